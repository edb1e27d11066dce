//! Refusals in words.

use crate::domain::{Dimension, PortError};
use crate::ports::{Ask, Lack};

impl From<Dimension> for Lack {
    fn from(dimension: Dimension) -> Self {
        match dimension {
            Dimension::Requests => Self::Requests,
            Dimension::InputTokens => Self::InputTokens,
            Dimension::OutputTokens => Self::OutputTokens,
            Dimension::Tokens => Self::Tokens,
            Dimension::Money => Self::Money,
            Dimension::Concurrency => Self::Concurrency,
        }
    }
}

/// What is missing; of a pause and a breaker with a note.
pub fn why(lack: Lack, note: &str) -> String {
    match lack {
        Lack::Requests => "requests".into(),
        Lack::InputTokens => "input tokens".into(),
        Lack::OutputTokens => "output tokens".into(),
        Lack::Tokens => "tokens".into(),
        Lack::Money => "budget".into(),
        Lack::Concurrency => "concurrency".into(),
        Lack::Pause => format!("paused: {note}"),
        Lack::Breaker => format!("breaker: {note}"),
    }
}

/// The error for a call larger than a whole limit.
pub fn too_large(ask: &Ask, lack: Lack, limit: u64) -> PortError {
    let upstream = &ask.upstream;
    let guess = match lack {
        Lack::Tokens => Some((ask.spend.tokens(), "tokens")),
        Lack::InputTokens => Some((ask.spend.input_tokens, "input tokens")),
        Lack::OutputTokens => Some((ask.spend.output_tokens, "output tokens")),
        Lack::Money => Some((ask.spend.money, "millionths of the budget's currency")),
        Lack::Requests | Lack::Concurrency | Lack::Pause | Lack::Breaker => None,
    };
    let message = match guess {
        Some((guess, what)) => format!(
            "a call to `{upstream}` is guessed at {guess} {what}, and its quota is {limit} in a window: it can \
             never go; make the job smaller or raise the quota"
        ),
        None => format!("the quota of `{upstream}` is {limit} calls: none can ever go; raise it"),
    };
    PortError::Invalid { port: "quotas", message }
}
