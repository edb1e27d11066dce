//! What a log event means, by a table of rules.
//!
//! The tables are in [`rules`], one file per theme. How a rule is chosen: [`table`]; what the level
//! changes: [`level`]; the words of the answer: [`report`].

mod exception;
mod frames;
mod level;
mod markdown;
mod report;
mod rules;
mod table;
#[cfg(test)]
mod tests;

use fleetline_shared::domain::args::LogArgs;

use self::exception::Exceptions;
use self::level::Level;
use self::report::Report;
use self::table::{Certainty, Verdict};
use crate::answers::{LogAnswer, Severity};

/// Characters of a message that rules look at.
const LOOKED_AT: usize = 8_000;

/// Says what the event means, how bad it is and what to check.
///
/// `confidence` is that of the rule that matched (0.9 for an exception's name or an unmistakable
/// phrase, 0.75 for a phrase, 0.6 for a mere hint), 0.7 for "nothing but information", 0.3 for
/// "unclassified".
pub fn analyse_log(args: &LogArgs) -> LogAnswer {
    let level = Level::of(&args.level);
    let exceptions = Exceptions::of(args);
    let verdict = verdict(&words(args, &exceptions), level);
    let report = Report { args, exceptions: &exceptions, verdict: &verdict };
    LogAnswer {
        error_type: verdict.error_type.to_owned(),
        severity: verdict.severity,
        create_ticket: verdict.ticket,
        title: report.title(),
        description: report.description(),
        confidence: verdict.confidence,
    }
}

/// The words that the rules see: the message and the exceptions' lines.
fn words(args: &LogArgs, exceptions: &Exceptions) -> String {
    let mut words: String = args.message.chars().take(LOOKED_AT).collect();
    for line in exceptions.lines() {
        words.push('\n');
        words.push_str(line);
    }
    words
}

fn verdict(words: &str, level: Level) -> Verdict {
    let Some(rule) = table::best(words, level.least_certainty()) else {
        return unclassified(words, level);
    };
    let (severity, ticket) = level.adjust(rule.severity, rule.ticket);
    Verdict {
        error_type: rule.error_type,
        severity,
        ticket,
        confidence: rule.certainty.confidence(),
        meaning: rule.meaning,
        check: rule.check,
    }
}

/// No rule knows the words: the level alone decides, or words of failure if there is none.
fn unclassified(words: &str, level: Level) -> Verdict {
    let rule = match level {
        Level::Fatal | Level::Error => &rules::UNCLASSIFIED_ERROR,
        Level::Warning => &rules::UNCLASSIFIED_WARNING,
        Level::Unknown if table::speaks_of_failure(words) => &rules::UNCLASSIFIED_ERROR,
        Level::Unknown | Level::Info => &rules::INFORMATIONAL,
    };
    let (severity, ticket) = level.adjust(rule.severity, rule.ticket);
    let confidence = if rule.severity == Severity::Low && level == Level::Info {
        Certainty::INFORMATIONAL
    } else {
        Certainty::UNCLASSIFIED
    };
    Verdict {
        error_type: rule.error_type,
        severity,
        ticket,
        confidence,
        meaning: rule.meaning,
        check: rule.check,
    }
}
