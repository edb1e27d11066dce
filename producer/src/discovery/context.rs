//! What one job is told of the rest of the document.

use fleetline_shared::domain::{KnownId, NodeContext, UsualPart};

use super::ids::{Ids, looks_like_id};
use super::names::Names;
use super::paths::{Part, PathId, Paths};
use super::plan::Plan;
use super::words::Role;

/// A list of references may be longer than an id.
const MAX_REFERENCES: usize = 4096;

/// Gathers the context of one job while its XML is made.
#[derive(Debug)]
pub(super) struct Context {
    /// At most this many entries of each sort.
    max: usize,
    known_ids: Vec<KnownId>,
    /// Path of an element, and of the part that it lacks.
    missing: Vec<(PathId, PathId)>,
}

impl Context {
    pub(super) fn new(max: u32) -> Self {
        Self { max: max as usize, known_ids: Vec::new(), missing: Vec::new() }
    }

    /// Looks at the value of a field: does it refer to an element that the document has?
    pub(super) fn value(&mut self, role: Role, value: &str, ids: &Ids, names: &Names) {
        let value = value.trim();
        match role {
            Role::Reference if value.len() <= MAX_REFERENCES => {
                for value in value.split_ascii_whitespace() {
                    self.id(value.strip_prefix('#').unwrap_or(value), ids, names);
                }
            }
            Role::Plain if looks_like_id(value) => self.id(value, ids, names),
            // An element's own id is no reference.
            Role::Identity | Role::Reference | Role::Plain => {}
        }
    }

    fn id(&mut self, value: &str, ids: &Ids, names: &Names) {
        for kind in ids.kinds(value) {
            let known = KnownId { value: value.to_owned(), kind: names.text(kind).to_owned() };
            push_new(&mut self.known_ids, known, self.max);
        }
    }

    /// An element of path `of` ends; `present` are the usual parts that it has.
    pub(super) fn element(&mut self, of: PathId, present: u64, plan: &Plan) {
        for part in plan.missing(of, present) {
            push_new(&mut self.missing, (of, part), self.max);
        }
    }

    /// Takes over what was gathered apart.
    pub(super) fn append(&mut self, other: Self) {
        for known in other.known_ids {
            push_new(&mut self.known_ids, known, self.max);
        }
        for missing in other.missing {
            push_new(&mut self.missing, missing, self.max);
        }
    }

    /// The context for a job whose root has path `root`.
    pub(super) fn finish(self, root: PathId, paths: &Paths, names: &Names) -> NodeContext {
        let usual = |(of, part): (PathId, PathId)| {
            let at = match paths[part].part {
                Part::Element => "",
                Part::Attribute => "@",
            };
            let percent = paths[part].holders * 100 / paths[of].count;
            UsualPart {
                of: paths.relative(root, of, names),
                name: format!("{at}{}", names.text(paths[part].name)),
                percent: u8::try_from(percent).unwrap_or(100),
            }
        };
        NodeContext { known_ids: self.known_ids, usual_parts: self.missing.into_iter().map(usual).collect() }
    }
}

fn push_new<T: PartialEq>(list: &mut Vec<T>, item: T, max: usize) {
    if list.len() < max && !list.contains(&item) {
        list.push(item);
    }
}
