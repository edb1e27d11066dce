//! Draws the tree of a split.

use std::fmt::{self, Write};

use super::tree::{SplitTree, TreeNode, TreeRow};

/// How many lines [`SplitTree`]'s `Display` writes at most, about.
const MAX_LINES: usize = 60;

impl SplitTree {
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
