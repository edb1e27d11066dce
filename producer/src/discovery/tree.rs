//! The split as a tree of paths, for `--dry-run`.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use fleetline_shared::domain::NodeShape;
use serde::Serialize;

use super::names::Names;
use super::options::DiscoveryOptions;
use super::paths::{PathId, Paths};
use super::piece::{Fate, Sums};

/// The jobs of a split, by the paths of their root elements.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SplitTree {
    /// The root element; none if there is no job.
    pub roots: Vec<TreeNode>,
}

/// An element path with the jobs there and below.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TreeNode {
    /// Local names from the node above: several, if there is nothing to say about those between.
    pub path: String,
    /// The jobs whose root elements have this path.
    pub rows: Vec<TreeRow>,
    /// Paths below, in order of their first element.
    pub children: Vec<TreeNode>,
}

/// Jobs of one path that are of the same sort.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TreeRow {
    /// `node`, `skeleton` (the document without its nodes), `split` (parts of nodes above the size
    /// limit), `oversize` or `disabled`.
    pub how: &'static str,
    /// The label from the node configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Jobs; for `disabled`, the elements that would have been nodes.
    pub jobs: u64,
    /// Elements in them.
    pub elements: u64,
    /// Bytes of canonical XML.
    pub bytes: u64,
    /// Estimated tokens of the XML, without prompts.
    pub tokens: u64,
}

impl SplitTree {
    /// The tree of what was sent and skipped.
    pub(super) fn new(
        sums: &HashMap<(PathId, Fate), Sums>,
        paths: &Paths,
        names: &Names,
        options: &DiscoveryOptions,
    ) -> Self {
        let mut rows: HashMap<PathId, Vec<(Fate, TreeRow)>> = HashMap::new();
        for (&(path, fate), sums) in sums {
            rows.entry(path).or_default().push((fate, row(path, fate, *sums, paths, names, options)));
        }
        let mut children: HashMap<PathId, Vec<PathId>> = HashMap::new();
        let mut placed = HashSet::new();
        for path in paths.ids().skip(1) {
            let needed = rows.contains_key(&path);
            for step in paths.chain(path).into_iter().rev().take_while(|_| needed) {
                if !placed.insert(step) {
                    break;
                }
                children.entry(paths[step].parent).or_default().push(step);
            }
        }
        let roots = children.get(&PathId::DOCUMENT).cloned().unwrap_or_default();
        let build = |root: PathId| node(root, &mut rows, &children, paths, names);
        Self { roots: roots.into_iter().map(build).collect() }
    }
}

fn row(
    path: PathId,
    fate: Fate,
    sums: Sums,
    paths: &Paths,
    names: &Names,
    options: &DiscoveryOptions,
) -> TreeRow {
    let covers = || {
        let chain: Vec<&str> =
            paths.chain(path).into_iter().map(|path| names.text(paths[path].name)).collect();
        options.node.iter().position(|rule| rule.pattern.matches(&chain))
    };
    let (how, rule) = match fate {
        Fate::Job(NodeShape::Whole) => ("node", covers()),
        Fate::Job(NodeShape::Skeleton) => ("skeleton", None),
        Fate::Job(NodeShape::Split) => ("split", covers()),
        Fate::Job(NodeShape::Oversize) => ("oversize", covers()),
        Fate::Skipped(rule) => ("disabled", Some(rule)),
    };
    TreeRow {
        how,
        name: rule.and_then(|rule| options.node[rule].name.clone()),
        jobs: sums.pieces,
        elements: sums.elements,
        bytes: sums.bytes,
        tokens: sums.tokens,
    }
}

fn node(
    path: PathId,
    rows: &mut HashMap<PathId, Vec<(Fate, TreeRow)>>,
    children: &HashMap<PathId, Vec<PathId>>,
    paths: &Paths,
    names: &Names,
) -> TreeNode {
    let (mut path, mut label) = (path, names.text(paths[path].name).to_owned());
    // A chain of elements with nothing to say is one line.
    while let (false, Some([only])) = (rows.contains_key(&path), children.get(&path).map(Vec::as_slice)) {
        path = *only;
        let _ = write!(label, "/{}", names.text(paths[path].name));
    }
    let mut own = rows.remove(&path).unwrap_or_default();
    own.sort_by_key(|(fate, _)| *fate);
    let below = children.get(&path).map_or(&[][..], Vec::as_slice);
    TreeNode {
        path: label,
        rows: own.into_iter().map(|(_, row)| row).collect(),
        children: below.iter().map(|child| node(*child, rows, children, paths, names)).collect(),
    }
}
