//! Text of others inside markdown: no content may end the block that it stands in.

/// Backticks in a row that are kept; longer runs only serve to break out.
const RUN: usize = 8;

/// A fenced block, with a fence longer than any run of backticks in the text.
pub(super) fn fenced(text: &str) -> String {
    let text = short_runs(text);
    let fence = "`".repeat(longest_run(&text).max(2) + 1);
    format!("{fence}text\n{text}\n{fence}")
}

/// A code span on one line.
pub(super) fn span(text: &str) -> String {
    let text = short_runs(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    let ticks = "`".repeat(longest_run(&text) + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{ticks}{pad}{text}{pad}{ticks}")
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

fn short_runs(text: &str) -> String {
    let mut run = 0;
    text.chars()
        .filter(|c| {
            run = if *c == '`' { run + 1 } else { 0 };
            run <= RUN
        })
        .collect()
}
