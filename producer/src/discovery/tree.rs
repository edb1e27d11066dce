//! The split as a tree of paths, for `--dry-run`.

use std::collections::HashMap;
use std::fmt::{self, Write};

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

/// How many lines [`SplitTree`]'s `Display` writes at most, about.
const MAX_LINES: usize = 60;

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
        for path in paths.ids().skip(1) {
            let needed = rows.contains_key(&path);
            for step in paths.chain(path).into_iter().rev().take_while(|_| needed) {
                let siblings = children.entry(paths[step].parent).or_default();
                if siblings.contains(&step) {
                    break;
                }
                siblings.push(step);
            }
        }
        let roots = children.get(&PathId::DOCUMENT).cloned().unwrap_or_default();
        let build = |root: PathId| node(root, &mut rows, &children, paths, names);
        Self { roots: roots.into_iter().map(build).collect() }
    }

    /// The tree as text, at most about `lines` lines: of many siblings those with the most jobs
    /// stay, and a line counts the others.
    pub fn render(&self, lines: usize) -> String {
        let mut out = String::new();
        for root in &self.roots {
            line(&mut out, "/", &root.path, &root.rows);
            below(&mut out, "", &root.children, lines.saturating_sub(1));
        }
        out
    }
}

impl fmt::Display for SplitTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(MAX_LINES))
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

impl TreeNode {
    fn jobs(&self) -> u64 {
        let own = self.rows.iter().map(|row| row.jobs).sum::<u64>();
        own + self.children.iter().map(Self::jobs).sum::<u64>()
    }

    fn lines(&self) -> usize {
        1 + self.children.iter().map(Self::lines).sum::<usize>()
    }
}

fn below(out: &mut String, indent: &str, nodes: &[TreeNode], lines: usize) {
    let shown = choose(nodes, lines);
    let hidden: Vec<&TreeNode> =
        nodes.iter().enumerate().filter(|(at, _)| !shown.contains(at)).map(|(_, node)| node).collect();
    let mut left = lines.saturating_sub(shown.len() + usize::from(!hidden.is_empty()));
    for (number, at) in shown.iter().enumerate() {
        let node = &nodes[*at];
        let last = number + 1 == shown.len() && hidden.is_empty();
        let (branch, deeper) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        line(out, &format!("{indent}{branch}"), &node.path, &node.rows);
        let share = left / (shown.len() - number);
        let used = share.min(node.lines() - 1);
        below(out, &format!("{indent}{deeper}"), &node.children, share);
        left = left.saturating_sub(used);
    }
    if !hidden.is_empty() {
        let jobs: u64 = hidden.iter().map(|node| node.jobs()).sum();
        let _ = writeln!(out, "{indent}└─ … {} more paths, {}", hidden.len(), count(jobs, "job"));
    }
}

/// Which of the nodes to show in so many lines, in document order.
fn choose(nodes: &[TreeNode], lines: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..nodes.len()).collect();
    if nodes.len() > lines {
        order.sort_by_key(|at| std::cmp::Reverse(nodes[*at].jobs()));
        order.truncate(lines.saturating_sub(1));
        order.sort_unstable();
    }
    order
}

fn line(out: &mut String, before: &str, path: &str, rows: &[TreeRow]) {
    let _ = write!(out, "{before}{path}");
    let mut separator = "  ";
    for row in rows {
        let unit = if row.how == "disabled" { "node" } else { "job" };
        let label = row.name.as_ref().map(|name| format!(" “{name}”")).unwrap_or_default();
        let (jobs, elements) = (count(row.jobs, unit), count(row.elements, "element"));
        let _ = write!(out, "{separator}{}{label}: {jobs}, {elements}", row.how);
        if row.how != "disabled" {
            let _ = write!(out, ", {}, ~{} tokens", size(row.bytes), thousands(row.tokens));
        }
        separator = "; ";
    }
    out.push('\n');
}

fn count(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", thousands(number), if number == 1 { "" } else { "s" })
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(path: &str, jobs: u64, children: Vec<TreeNode>) -> TreeNode {
        let row = TreeRow { how: "node", name: None, jobs, elements: jobs * 2, bytes: 2048, tokens: 512 };
        TreeNode { path: path.into(), rows: if jobs > 0 { vec![row] } else { vec![] }, children }
    }

    #[test]
    fn draws_branches() {
        let inner = vec![tree("b", 1, vec![tree("c/d", 1_234, vec![])]), tree("e", 0, vec![])];
        let drawn = SplitTree { roots: vec![tree("a", 0, inner)] }.to_string();
        let expected = "/a\n\
            ├─ b  node: 1 job, 2 elements, 2.0 KiB, ~512 tokens\n\
            │  └─ c/d  node: 1,234 jobs, 2,468 elements, 2.0 KiB, ~512 tokens\n\
            └─ e\n";
        assert_eq!(drawn, expected);
    }

    #[test]
    fn stays_short() {
        let many = (0..500).map(|number| tree(&format!("n{number}"), number + 1, vec![])).collect();
        let drawn = SplitTree { roots: vec![tree("a", 0, many)] }.render(20);
        assert_eq!(drawn.lines().count(), 20);
        assert!(drawn.contains("n499"), "the largest stay");
        assert!(drawn.ends_with("└─ … 482 more paths, 116,403 jobs\n"), "{drawn}");
    }
}
