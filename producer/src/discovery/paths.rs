//! Every distinct path of a document, with what the first reading learns about it.

use std::collections::HashMap;

use super::names::{NameId, Names};
use super::words::{self, Role};

/// A path of element names, perhaps ending in an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct PathId(u32);

impl PathId {
    /// The document itself, above the root element.
    pub(super) const DOCUMENT: Self = Self(0);

    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Whether a path's last part is an element or an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Part {
    Element,
    Attribute,
}

/// A path and its statistics.
#[derive(Debug)]
pub(super) struct PathNode {
    pub(super) parent: PathId,
    pub(super) name: NameId,
    pub(super) part: Part,
    /// What its name says.
    pub(super) role: Role,
    /// How many there are.
    pub(super) count: u64,
    /// How many parents have at least one.
    pub(super) holders: u64,
    /// The most that one parent has.
    pub(super) max_siblings: u64,
    pub(super) max_attributes: usize,
    /// Bytes of the largest, as canonical XML.
    pub(super) max_size: u64,
    pub(super) has_children: bool,
    /// Whether one of them has text beside child elements.
    pub(super) mixed: bool,
    /// The parent seen last and its number of these. A path has one open parent at a time, so one
    /// slot counts siblings.
    slot: (u64, u64),
}

/// All paths.
#[derive(Debug)]
pub(super) struct Paths {
    nodes: Vec<PathNode>,
    children: HashMap<(PathId, NameId, Part), PathId>,
    max: usize,
}

impl Paths {
    /// Knows the document alone; will hold `max` paths.
    pub(super) fn new(max: u32, names: &mut Names) -> Self {
        let name = names.name("document").expect("is a name");
        let document = node(PathId::DOCUMENT, name, Part::Element, Role::Plain);
        Self { nodes: vec![document], children: HashMap::new(), max: max as usize }
    }

    /// The child path of that name, if known.
    pub(super) fn find(&self, parent: PathId, name: NameId, part: Part) -> Option<PathId> {
        self.children.get(&(parent, name, part)).copied()
    }

    /// The child path of that name; `None` if there are too many paths.
    pub(super) fn add(&mut self, parent: PathId, name: NameId, part: Part, names: &Names) -> Option<PathId> {
        if let Some(path) = self.find(parent, name, part) {
            return Some(path);
        }
        if self.nodes.len() > self.max {
            return None;
        }
        let path = PathId(u32::try_from(self.nodes.len()).ok()?);
        let role = match parent {
            PathId::DOCUMENT => Role::Plain,
            _ => words::role(names.text(name), names.text(self[parent].name)),
        };
        self.nodes.push(node(parent, name, part, role));
        self.children.insert((parent, name, part), path);
        Some(path)
    }

    /// Counts one more of `path` in the parent that is element number `parent`.
    pub(super) fn count(&mut self, path: PathId, parent: u64) {
        let node = &mut self.nodes[path.index()];
        if node.count == 0 || node.slot.0 != parent {
            node.slot = (parent, 0);
            node.holders += 1;
        }
        node.count += 1;
        node.slot.1 += 1;
        node.max_siblings = node.max_siblings.max(node.slot.1);
    }

    pub(super) fn get_mut(&mut self, path: PathId) -> &mut PathNode {
        &mut self.nodes[path.index()]
    }

    /// All paths; parents come before their children.
    pub(super) fn ids(&self) -> impl DoubleEndedIterator<Item = PathId> + ExactSizeIterator + use<> {
        (0..u32::try_from(self.nodes.len()).expect("made from u32")).map(PathId)
    }

    /// The elements of a path from the root element down.
    pub(super) fn chain(&self, path: PathId) -> Vec<PathId> {
        let up = |path: &PathId| (*path != PathId::DOCUMENT).then(|| self[*path].parent);
        let mut chain: Vec<_> = std::iter::successors(Some(path), up).collect();
        chain.pop();
        chain.reverse();
        chain
    }

    /// Path of `below` seen from `root`: `.` for itself, then `Name/Given`.
    pub(super) fn relative(&self, root: PathId, below: PathId, names: &Names) -> String {
        let up = |path: &PathId| Some(self[*path].parent).filter(|_| *path != PathId::DOCUMENT);
        let mut parts: Vec<&str> = std::iter::successors(Some(below), up)
            .take_while(|path| *path != root)
            .map(|path| names.text(self[path].name))
            .collect();
        parts.reverse();
        if parts.is_empty() { ".".to_owned() } else { parts.join("/") }
    }
}

impl std::ops::Index<PathId> for Paths {
    type Output = PathNode;
    fn index(&self, path: PathId) -> &PathNode {
        &self.nodes[path.index()]
    }
}

fn node(parent: PathId, name: NameId, part: Part, role: Role) -> PathNode {
    PathNode {
        parent,
        name,
        part,
        role,
        count: 0,
        holders: 0,
        max_siblings: 0,
        max_attributes: 0,
        max_size: 0,
        has_children: false,
        mixed: false,
        slot: (0, 0),
    }
}
