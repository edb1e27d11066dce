//! `log.analyze` by a model.

use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use fleetline_shared::domain::{CallContext, Estimate, JobError, LogArgs};
use serde_json::{Value, json};

use super::request::{Question, fenced};
use super::{ChatClient, NAME, answer};
use crate::analysers::{Analyser, capped};
use crate::kinds::log_analyze::LogOutput;

const PROMPT: &str = include_str!("log_prompt.md");
/// Changes with the prompt, the schema, and the way the input is written.
const PROMPT_VERSION: &str = "log-1";
/// Characters of a message and of a stack trace that are sent.
const MAX_TEXT: usize = 16_000;
/// Tokens of a usual answer.
const USUAL_ANSWER: u64 = 300;

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    json!({
        "type": "object",
        "properties": {
            "error_type": { "type": "string", "description": "kebab-case" },
            "severity": { "type": "string", "enum": ["low", "medium", "high"] },
            "create_ticket": { "type": "boolean" },
            "title": { "type": "string", "description": "at most 120 characters" },
            "description": { "type": "string", "description": "Markdown" },
            "confidence": { "type": "number", "description": "from 0 to 1" },
        },
        "required": ["error_type", "severity", "create_ticket", "title", "description", "confidence"],
        "additionalProperties": false,
    })
});

/// The analyser `openai` of `log.analyze`.
pub struct OpenAiLogs {
    chat: Arc<ChatClient>,
    fixed_tokens: OnceLock<u64>,
}

impl OpenAiLogs {
    /// With a server to ask.
    pub fn new(chat: &Arc<ChatClient>) -> Self {
        Self { chat: Arc::clone(chat), fixed_tokens: OnceLock::new() }
    }
}

#[async_trait]
impl Analyser<LogArgs, LogOutput> for OpenAiLogs {
    fn name(&self) -> &'static str {
        NAME
    }

    fn model(&self) -> Option<&str> {
        Some(self.chat.model())
    }

    fn version(&self) -> &'static str {
        PROMPT_VERSION
    }

    fn estimate(&self, input: &LogArgs) -> Estimate {
        let fixed = *self.fixed_tokens.get_or_init(|| self.chat.fixed_tokens(&question("")));
        let input = self.chat.tokens(&user(input));
        let output_tokens = self.chat.answer_tokens(USUAL_ANSWER);
        Estimate { input_tokens: fixed + input, output_tokens }
    }

    fn call_timeout(&self) -> Option<Duration> {
        Some(self.chat.timeout())
    }

    async fn analyse(&self, args: &LogArgs, context: &CallContext) -> Result<LogOutput, JobError> {
        let user = user(args);
        let text = self.chat.ask(&question(&user), context).await?;
        let output: LogOutput = answer::parse(&text)?;
        if output.title.trim().is_empty() || output.error_type.trim().is_empty() {
            return Err(JobError::Retryable("the answer has no title or no error_type".to_owned()));
        }
        Ok(LogOutput { confidence: answer::confidence(output.confidence)?, ..output })
    }
}

fn question(user: &str) -> Question<'_> {
    Question { schema_name: "log_analyze", schema: &SCHEMA, system: PROMPT, user }
}

/// The event without its time and line, which differ between events that share a result.
fn user(args: &LogArgs) -> String {
    let fields = [
        ("level", Some(&args.level)),
        ("logger", Some(&args.logger)),
        ("service", args.service.as_ref()),
        ("message", Some(&args.message)),
        ("stack", args.stack.as_ref()),
    ];
    let line = |(name, value): (&str, Option<&String>)| {
        value.filter(|value| !value.is_empty()).map(|value| format!("{name}: {}", capped(value, MAX_TEXT)))
    };
    let lines: Vec<String> = fields.into_iter().filter_map(line).collect();
    fenced("EVENT", &lines.join("\n"))
}
