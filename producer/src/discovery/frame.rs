//! Open containers: elements whose children are dealt out to several pieces.

use std::collections::BTreeMap;

use fleetline_shared::domain::Ancestor;

use super::canonical::Written;
use super::ids::Ids;
use super::marks::Marks;
use super::names::Names;
use super::options::DiscoveryOptions;
use super::paths::{PathId, Paths};
use super::piece::Output;
use super::plan::Plan;
use super::tag::Tag;

/// What the second reading needs all the time.
pub(super) struct Env<'a> {
    pub(super) names: Names,
    pub(super) paths: Paths,
    pub(super) plan: Plan,
    pub(super) ids: Ids,
    pub(super) marks: Marks,
    pub(super) siblings: Siblings,
    pub(super) options: &'a DiscoveryOptions,
    pub(super) out: Output<'a>,
}

/// Numbers the children of open containers: a path has one open parent at a time, so one slot for
/// each path is enough.
pub(super) struct Siblings {
    slots: Vec<Slot>,
    parts: u64,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    /// Number of the parent element, from 1.
    parent: u64,
    seen: u64,
    /// Up to which child the part with that number accounts for them.
    shown: u64,
    part: u64,
}

impl Siblings {
    pub(super) fn new(paths: usize) -> Self {
        Self { slots: vec![Slot::default(); paths], parts: 0 }
    }

    /// A number for a new part of a residue.
    pub(super) fn new_part(&mut self) -> u64 {
        self.parts += 1;
        self.parts
    }

    /// Counts a child; returns its position among its namesakes, from 1.
    pub(super) fn count(&mut self, path: PathId, parent: u64) -> u64 {
        let slot = &mut self.slots[path.index()];
        if slot.parent != parent {
            *slot = Slot { parent, ..Slot::default() };
        }
        slot.seen += 1;
        slot.seen
    }

    /// How many children of that path were seen.
    pub(super) fn seen(&self, path: PathId) -> u64 {
        self.slots[path.index()].seen
    }

    /// The children up to `position` are now accounted for in `part`; returns how many were not.
    pub(super) fn show(&mut self, path: PathId, part: u64, position: u64) -> u64 {
        let slot = &mut self.slots[path.index()];
        let shown = if slot.part == part { slot.shown } else { 0 };
        (slot.part, slot.shown) = (part, position);
        position.saturating_sub(shown)
    }
}

/// An open container.
pub(super) struct Frame {
    pub(super) path: PathId,
    /// Number of the element, from 1.
    pub(super) number: u64,
    /// Position among its namesakes, from 1.
    pub(super) position: u64,
    pub(super) ancestor: Ancestor,
    pub(super) written: Written,
    /// The part that has its start tag.
    pub(super) part: u64,
    /// Paths of children that went elsewhere since the last thing written.
    pub(super) pending: Vec<PathId>,
    /// Its usual parts that are there.
    pub(super) present: u64,
}

impl Frame {
    /// A child went elsewhere.
    pub(super) fn cut(&mut self, path: PathId) {
        if !self.pending.contains(&path) {
            self.pending.push(path);
        }
    }
}

/// Longer attribute values of ancestors are shortened: each job below repeats them.
const MAX_ANCESTOR_VALUE: usize = 1024;

/// The element as its descendants' jobs know it.
pub(super) fn ancestor(tag: &Tag, names: &Names) -> Ancestor {
    let shorten = |value: &str| match value.char_indices().nth(MAX_ANCESTOR_VALUE) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    };
    let attributes: BTreeMap<_, _> =
        tag.attributes.iter().map(|it| (it.written.clone(), shorten(&it.value))).collect();
    Ancestor { name: names.text(tag.name).to_owned(), attributes }
}

/// The path of the last frame.
pub(super) fn path_of(frames: &[Frame], paths: &Paths, names: &Names) -> String {
    frames.iter().map(|frame| step(frame.path, frame.position, paths, names)).collect()
}

/// One step of a path. The position is there if any element of that path has a namesake beside it.
pub(super) fn step(path: PathId, position: u64, paths: &Paths, names: &Names) -> String {
    let node = &paths[path];
    match node.max_siblings {
        0 | 1 => format!("/{}", names.text(node.name)),
        _ => format!("/{}[{position}]", names.text(node.name)),
    }
}

/// The ancestors that a job below these frames has.
pub(super) fn ancestors_of(frames: &[Frame]) -> Vec<Ancestor> {
    frames.iter().map(|frame| frame.ancestor.clone()).collect()
}
