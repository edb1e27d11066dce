//! The description of an event.

use fleetline_shared::domain::LogArgs;

use super::frames;
use crate::analysers::{capped, one_line};

/// Characters of the message.
const MAX_MESSAGE: usize = 800;
/// Characters of a cause or a frame.
const MAX_LINE: usize = 300;

/// What happened, where, and what to check. Texts from the log stand as code: they are not markup.
pub(super) fn describe(args: &LogArgs, means: &str, check: &[String]) -> String {
    let stack = args.stack.as_deref().unwrap_or_default();
    let message = block(&capped(args.message.trim(), MAX_MESSAGE));
    let mut paragraphs = vec![format!("**What happened.** {means}\n\n{message}")];
    if let Some(cause) = frames::root_cause(stack) {
        paragraphs.push(format!("**Root cause.** {}", code(&capped(cause, MAX_LINE))));
    }
    let places = places(args, stack);
    if !places.is_empty() {
        paragraphs.push(format!("**Where.** {}", places.join(", ")));
    }
    if !check.is_empty() {
        paragraphs.push(format!("**What to check**\n- {}", check.join("\n- ")));
    }
    paragraphs.join("\n\n") + "\n"
}

fn places(args: &LogArgs, stack: &str) -> Vec<String> {
    let named = |what: &str, value: &str| {
        let value = capped(&one_line(value), MAX_LINE);
        (!value.is_empty()).then(|| format!("{what} {}", code(&value)))
    };
    [
        named("logger", &args.logger),
        named("service", args.service.as_deref().unwrap_or_default()),
        named("at", args.timestamp.as_deref().unwrap_or_default()),
        named("topmost own frame", &frames::topmost_own(stack).unwrap_or_default()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A code span that the text cannot end.
fn code(text: &str) -> String {
    let fence = "`".repeat(longest_run(text) + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// A code block that the text cannot end.
fn block(text: &str) -> String {
    let fence = "`".repeat(longest_run(text).max(2) + 1);
    format!("{fence}\n{text}\n{fence}")
}

fn longest_run(text: &str) -> usize {
    text.split(|char| char != '`').map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_its_code() {
        assert_eq!(code("a"), "`a`");
        assert_eq!(code("a ``b`` `"), "``` a ``b`` ` ```");
        assert_eq!(block("x"), "```\nx\n```");
        assert_eq!(block("x\n````\ny"), "`````\nx\n````\ny\n`````");
    }
}
