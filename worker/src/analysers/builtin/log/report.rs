//! Title and description of a log analysis.

use fleetline_shared::domain::args::LogArgs;

use super::exception::Exceptions;
use super::frames;
use super::markdown::{fenced, span};
use super::table::Verdict;
use crate::answers::{DESCRIPTION_CHARS, TITLE_CHARS, capped};

/// Characters of a message in the description at most.
const MESSAGE_CHARS: usize = 1_500;
/// Characters of a name, place or exception line in the description at most.
const NAME_CHARS: usize = 240;
/// Characters of a logger's name in the title at most.
const LOGGER_CHARS: usize = 40;

/// An event and what was found out about it.
pub(super) struct Report<'a> {
    pub(super) args: &'a LogArgs,
    pub(super) exceptions: &'a Exceptions,
    pub(super) verdict: &'a Verdict,
}

impl Report<'_> {
    /// `ConnectException: cannot reach <*> (OrderClient)`.
    pub(super) fn title(&self) -> String {
        let line = first_line(&self.args.template).or_else(|| first_line(&self.args.message));
        let line = line.unwrap_or_else(|| "(no message)".to_owned());
        let what = match self.exceptions.name().filter(|name| !line.contains(name)) {
            Some(name) => format!("{name}: {line}"),
            None => line,
        };
        let logger = match short_name(&self.args.logger) {
            "" => String::new(),
            name => format!(" ({})", capped(name, LOGGER_CHARS)),
        };
        let room = TITLE_CHARS - logger.chars().count();
        format!("{}{logger}", capped(&what, room))
    }

    /// What happened, where, what to check.
    pub(super) fn description(&self) -> String {
        let message = capped(self.args.message.trim(), MESSAGE_CHARS);
        let mut text = format!("## What happened\n\n{}\n\n{}\n", self.verdict.meaning, fenced(&message));
        let places = self.places();
        if !places.is_empty() {
            text.push_str("\n## Where\n\n");
            text.extend(places);
        }
        if !self.verdict.check.is_empty() {
            text.push_str("\n## What to check\n\n");
            text.extend(self.verdict.check.iter().map(|check| format!("- {check}\n")));
        }
        capped(text.trim_end(), DESCRIPTION_CHARS)
    }

    fn places(&self) -> Vec<String> {
        let stack = self.args.stack.as_deref().unwrap_or_default();
        let exception = self.exceptions.lines().last().map(str::to_owned);
        let rows = [
            ("Logger", Some(self.args.logger.clone())),
            ("Service", self.args.service.clone()),
            ("Code", frames::own(stack)),
            ("Cause", exception),
            ("First seen", self.args.timestamp.clone()),
        ];
        rows.into_iter()
            .filter_map(|(label, value)| Some((label, value.filter(|value| !value.trim().is_empty())?)))
            .map(|(label, value)| format!("- {label}: {}\n", span(&capped(&value, NAME_CHARS))))
            .collect()
    }
}

/// The first line that says something, its white space made single.
fn first_line(text: &str) -> Option<String> {
    let line = text.lines().find(|line| !line.trim().is_empty())?;
    Some(line.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// `OrderService` of `com.shop.orders.OrderService`, `Listener` of `Manager$Listener`.
fn short_name(logger: &str) -> &str {
    let logger = logger.trim().lines().next().unwrap_or_default();
    logger.rsplit(['.', '/', '$', ':']).find(|part| !part.trim().is_empty()).unwrap_or(logger).trim()
}
