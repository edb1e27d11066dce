//! Decides, per path, which elements are nodes.

use std::collections::HashMap;

use super::names::Names;
use super::options::DiscoveryOptions;
use super::paths::{Part, PathId, PathNode, Paths};
use super::words::is_list_of;

/// What becomes of the elements of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Each is a job of its own, unless it is too large and therefore split.
    Node,
    /// Left out by the entry of that number in the node configuration.
    Skip(usize),
    /// Stays with what is around it.
    Keep,
}

/// The decisions for all paths.
pub(super) struct Plan {
    cuts: Vec<Cut>,
    /// Whether nodes (or what is left out) are below.
    descend: Vec<bool>,
    /// By number, whether an entry of the node configuration fits any path.
    rules_used: Vec<bool>,
    /// The usual parts of the elements of a path; at most 64, so that 64 bits say which are there.
    usual: HashMap<PathId, Vec<PathId>>,
    /// The place of a path among its parent's usual parts.
    usual_bit: HashMap<PathId, u8>,
}

impl Plan {
    /// Decides from the statistics and the options.
    pub(super) fn new(paths: &Paths, names: &Names, options: &DiscoveryOptions) -> Self {
        let automatic = options.is_automatic();
        let mut rules_used = vec![false; options.node.len()];
        let cut = |path| match configured(path, paths, names, options) {
            Some(rule) => {
                rules_used[rule] = true;
                if options.node[rule].enabled { Cut::Node } else { Cut::Skip(rule) }
            }
            None if automatic && is_node(&paths[path], paths, names, options) => Cut::Node,
            None => Cut::Keep,
        };
        let cuts: Vec<Cut> = paths.ids().map(cut).collect();
        let mut descend = vec![false; cuts.len()];
        for path in paths.ids().rev() {
            if cuts[path.index()] != Cut::Keep || descend[path.index()] {
                descend[paths[path].parent.index()] = true;
            }
        }
        let mut plan = Self { cuts, descend, rules_used, usual: HashMap::new(), usual_bit: HashMap::new() };
        plan.find_usual_parts(paths, options);
        plan
    }

    pub(super) fn cut(&self, path: PathId) -> Cut {
        self.cuts[path.index()]
    }

    pub(super) fn descends(&self, path: PathId) -> bool {
        self.descend[path.index()]
    }

    /// Whether entry number `rule` of the node configuration fits any path.
    pub(super) fn uses(&self, rule: usize) -> bool {
        self.rules_used[rule]
    }

    /// The bit that stands for `path` among its parent's usual parts; 0 if it is not usual.
    pub(super) fn usual_mask(&self, path: PathId) -> u64 {
        self.usual_bit.get(&path).map_or(0, |bit| 1 << bit)
    }

    /// The usual parts of `path` that are not in `present`.
    pub(super) fn missing(&self, path: PathId, present: u64) -> impl Iterator<Item = PathId> + '_ {
        let usual = self.usual.get(&path).map_or(&[][..], Vec::as_slice);
        (0u32..).zip(usual).filter(move |(bit, _)| present >> bit & 1 == 0).map(|(_, part)| *part)
    }

    /// A part that all have is missing nowhere, so it needs no bit.
    fn find_usual_parts(&mut self, paths: &Paths, options: &DiscoveryOptions) {
        for part in paths.ids().skip(1) {
            let (holders, of) = (paths[part].holders, paths[part].parent);
            let all = paths[of].count;
            let share = holders.saturating_mul(100);
            let enough = all >= u64::from(options.usual_min_elements);
            if !enough || holders == all || share < all * u64::from(options.usual_percent) {
                continue;
            }
            let usual = self.usual.entry(of).or_default();
            if let Ok(bit @ 0..64) = u8::try_from(usual.len()) {
                usual.push(part);
                self.usual_bit.insert(part, bit);
            }
        }
    }
}

/// Number of the entry of the node configuration that decides: the first that fits.
fn configured(path: PathId, paths: &Paths, names: &Names, options: &DiscoveryOptions) -> Option<usize> {
    if options.node.is_empty() || path == PathId::DOCUMENT || paths[path].part == Part::Attribute {
        return None;
    }
    let chain: Vec<&str> = paths.chain(path).into_iter().map(|path| names.text(paths[path].name)).collect();
    options.node.iter().position(|rule| rule.pattern.matches(&chain))
}

/// Repeated siblings with something in them are nodes, and so are the items of what is by its name
/// a list, even if it has one: a passenger is a node also on a single ticket. Pieces of running
/// text are not.
fn is_node(node: &PathNode, paths: &Paths, names: &Names, options: &DiscoveryOptions) -> bool {
    if node.part == Part::Attribute || node.parent == PathId::DOCUMENT {
        return false;
    }
    let parent = &paths[node.parent];
    let repeated = node.max_siblings >= 2 || is_list_of(names.text(parent.name), names.text(node.name));
    let rich = node.has_children || node.max_attributes >= 2 || node.max_size > options.max_subtree / 4;
    repeated && rich && !parent.mixed
}
