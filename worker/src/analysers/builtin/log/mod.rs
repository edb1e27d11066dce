//! Log events by rules: a table of patterns says what an event is, its level how bad that is.

mod frames;
mod level;
mod markdown;
mod rules;

use async_trait::async_trait;
use fleetline_shared::domain::{CallContext, JobError, LogArgs};

use self::level::Weight;
use self::rules::{Rule, Rules};
use super::NAME;
use crate::analysers::{Analyser, capped, one_line};
use crate::kinds::log_analyze::{LogOutput, MAX_TITLE, Severity};

/// Changes whenever the same event may give another output.
const RULES_VERSION: &str = "log-rules-1";
/// Bytes of a message and of a stack trace that the rules read.
const MAX_READ: usize = 16 * 1024;
/// An event that its program took lightly is an error only if the pattern is as sure as this.
const SURE: f64 = 0.8;

/// The analyser `builtin` of `log.analyze`.
pub struct BuiltinLogs;

#[async_trait]
impl Analyser<LogArgs, LogOutput> for BuiltinLogs {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> &'static str {
        RULES_VERSION
    }

    async fn analyse(&self, args: &LogArgs, _: &CallContext) -> Result<LogOutput, JobError> {
        Ok(analyse(args))
    }
}

fn analyse(args: &LogArgs) -> LogOutput {
    let weight = Weight::of(&args.level);
    match rule(args, weight) {
        Some(rule) => by_rule(args, rule, weight.unwrap_or(Weight::Error)),
        None => without_rule(args, weight),
    }
}

fn rule(args: &LogArgs, weight: Option<Weight>) -> Option<&'static Rule> {
    let least = if weight == Some(Weight::Plain) { SURE } else { 0.0 };
    let message = beginning(&args.message);
    let stack = beginning(args.stack.as_deref().unwrap_or_default());
    let cause = frames::root_cause(args.stack.as_deref().unwrap_or_default()).map(beginning);
    Rules::shipped().best([message, cause.unwrap_or_default(), stack], least)
}

fn by_rule(args: &LogArgs, rule: &Rule, weight: Weight) -> LogOutput {
    let (severity, create_ticket) = weight.apply(rule.severity, rule.ticket);
    LogOutput {
        error_type: rule.error_type.clone(),
        severity,
        create_ticket,
        title: title(args, Some(&rule.title)),
        description: markdown::describe(args, &rule.means, &rule.check),
        confidence: rule.confidence,
    }
}

/// No rule knows the event: its level is all there is.
fn without_rule(args: &LogArgs, weight: Option<Weight>) -> LogOutput {
    let (error_type, severity, create_ticket, means, confidence) = match weight {
        Some(Weight::Plain) => {
            ("informational", Severity::Low, false, "The program reports on its work; nothing is wrong.", 0.9)
        }
        None => {
            ("unclassified", Severity::Low, false, "No rule knows this message, and it has no level.", 0.3)
        }
        Some(Weight::Warning) => (
            "unclassified-warning",
            Severity::Low,
            false,
            "The program warns; no rule knows this message.",
            0.3,
        ),
        Some(Weight::Error) => (
            "unclassified-error",
            Severity::Medium,
            true,
            "The program reports an error; no rule knows this message.",
            0.3,
        ),
        Some(Weight::Fatal) => (
            "unclassified-fatal",
            Severity::High,
            true,
            "The program reports an error that it cannot live with; no rule knows this message.",
            0.4,
        ),
    };
    let check = if create_ticket || weight == Some(Weight::Warning) {
        vec!["The lines before it from the same logger".to_owned()]
    } else {
        Vec::new()
    };
    LogOutput {
        error_type: error_type.to_owned(),
        severity,
        create_ticket,
        title: title(args, None),
        description: markdown::describe(args, means, &check),
        confidence,
    }
}

/// `Connection refused: orders: cannot reach ...`: what it is, where, and the masked message.
fn title(args: &LogArgs, what: Option<&str>) -> String {
    let first_line = args.template.lines().next().filter(|line| !line.trim().is_empty());
    let said = one_line(first_line.unwrap_or_else(|| args.message.lines().next().unwrap_or_default()));
    let place = args.logger.rsplit(['.', '/']).next().unwrap_or_default();
    let parts = [what.unwrap_or_default(), place, &said];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { "Event without text".to_owned() } else { capped(&parts.join(": "), MAX_TITLE) }
}

fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_READ)]
}

#[cfg(test)]
mod tests;
