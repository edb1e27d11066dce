//! `log.analyze`: one log event -> what it is, how bad it is, and whether it is worth a ticket.

use std::sync::Arc;

use fleetline_shared::domain::{
    AnalyserRef, Appraisal, CallContext, Done, JobError, Kind, KindPolicy, LogArgs,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Analysed;
use crate::analysers::builtin::BuiltinLogs;
use crate::analysers::openai::{ChatClient, OpenAiLogs};
use crate::analysers::{Analysers, capped, one_line};

/// Characters of an error type.
pub const MAX_ERROR_TYPE: usize = 60;
/// Characters of a title.
pub const MAX_TITLE: usize = 120;
/// Characters of a description.
pub const MAX_DESCRIPTION: usize = 4_000;

/// What is known about a log event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogOutput {
    /// In kebab-case, the same for the same kind of trouble: `connection-refused`.
    pub error_type: String,
    /// How bad it is.
    pub severity: Severity,
    /// Whether somebody should look at it.
    pub create_ticket: bool,
    /// One line.
    pub title: String,
    /// Markdown.
    pub description: String,
    /// From 0 to 1.
    pub confidence: f64,
}

/// How bad an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nobody needs to act.
    Low,
    /// Somebody should look at it in time.
    Medium,
    /// Somebody should look at it now.
    High,
}

/// The kind `log.analyze`.
pub struct LogAnalyze {
    analysers: Analysers<LogArgs, LogOutput>,
    policy: KindPolicy,
}

impl LogAnalyze {
    /// With `builtin`, and `openai` if there is a client for it.
    pub fn new(chat: Option<&Arc<ChatClient>>, policy: KindPolicy) -> Self {
        Self { analysers: Analysers::new(BuiltinLogs).and(chat.map(OpenAiLogs::new)), policy }
    }
}

impl Analysed for LogAnalyze {
    fn analysers(&self) -> Vec<AnalyserRef> {
        self.analysers.references()
    }
}

impl Kind for LogAnalyze {
    const NAME: &'static str = LogArgs::KIND;
    type Args = LogArgs;
    type Output = LogOutput;

    async fn perform(&self, args: LogArgs, context: &CallContext) -> Result<Done<LogOutput>, JobError> {
        let analyser = self.analysers.get(&args.analyser)?;
        let output = analyser.analyse(&args, context).await?.capped();
        Ok(Done { analyser: args.analyser.name, model: args.analyser.model, ..Done::new(output) })
    }

    fn stand_in(&self, args: LogArgs) -> Option<LogArgs> {
        let analyser = self.analysers.stand_in(&args.analyser)?;
        Some(LogArgs { analyser, ..args })
    }

    fn model(&self, args: &RawValue) -> Option<String> {
        super::model_of(args)
    }

    fn policy(&self) -> KindPolicy {
        super::lasting(self.policy, self.analysers.longest_call())
    }

    /// Also refuses an analyser that is not configured here: only its work may carry the key.
    fn appraise(&self, args: &LogArgs, _: &RawValue) -> Result<Appraisal, String> {
        Ok(args.appraise(self.analysers.estimate(&args.analyser, args)?))
    }
}

impl LogOutput {
    /// Within the limits of this file, whatever the analyser brought.
    fn capped(self) -> Self {
        Self {
            error_type: kebab(&self.error_type),
            title: capped(&one_line(&self.title), MAX_TITLE),
            description: capped(&self.description, MAX_DESCRIPTION),
            confidence: self.confidence.clamp(0.0, 1.0),
            ..self
        }
    }
}

/// The text in kebab-case: words of small ASCII letters and digits; `unknown` if it has none.
fn kebab(text: &str) -> String {
    let mut kebab = String::new();
    for char in text.chars() {
        match char.to_ascii_lowercase() {
            char if char.is_ascii_alphanumeric() => kebab.push(char),
            _ if kebab.is_empty() || kebab.ends_with('-') => {}
            _ => kebab.push('-'),
        }
    }
    kebab.truncate(MAX_ERROR_TYPE);
    match kebab.trim_end_matches('-') {
        "" => "unknown".to_owned(),
        kebab => kebab.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_types_are_kebab_case() {
        for (text, expected) in [
            ("connection-refused", "connection-refused"),
            ("Connection Refused!", "connection-refused"),
            ("  --Null__Pointer ", "null-pointer"),
            ("HTTP 503", "http-503"),
            ("ошибка", "unknown"),
            ("", "unknown"),
        ] {
            assert_eq!(kebab(text), expected, "{text}");
        }
        assert_eq!(kebab(&"ab-".repeat(50)).len(), 59);
    }

    #[test]
    fn every_text_is_capped() {
        let long = "日".repeat(10_000);
        let output = LogOutput {
            error_type: long.clone(),
            severity: Severity::High,
            create_ticket: true,
            title: format!("a\n{long}"),
            description: long,
            confidence: -3.0,
        }
        .capped();
        let chars = |text: &str| text.chars().count();
        assert_eq!((chars(&output.title), chars(&output.description)), (MAX_TITLE, MAX_DESCRIPTION));
        assert!(output.confidence.abs() < f64::EPSILON);
        assert!(!output.title.contains('\n'));
    }
}
