//! Refusals in words.

use super::Part;
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

impl Part {
    /// Its limit, when a call lacks something of it.
    pub fn note(self, ask: &Ask) -> String {
        match self {
            Self::Tenant => self.limit_of(&ask.tenant),
            Self::Model => self.limit_of(ask.model.as_deref().unwrap_or_default()),
        }
    }

    /// The limit of the tenant or model of that name.
    pub fn limit_of(self, name: &str) -> String {
        match self {
            Self::Tenant => format!("the limit of tenant `{name}`"),
            Self::Model => format!("the limit of model `{name}`"),
        }
    }
}

/// What is missing; of a pause, a breaker, and a limit within the upstream's with a note.
pub fn why(lack: Lack, note: &str) -> String {
    let what = match lack {
        Lack::Requests => "requests",
        Lack::InputTokens => "input tokens",
        Lack::OutputTokens => "output tokens",
        Lack::Tokens => "tokens",
        Lack::Money => "budget",
        Lack::Concurrency => "concurrency",
        Lack::Pause => return format!("paused: {note}"),
        Lack::Breaker => return format!("breaker: {note}"),
    };
    if note.is_empty() { what.to_owned() } else { format!("{what} within {note}") }
}

/// Money for people: cents, and all digits of what is less.
pub fn dollars(millionths: u64) -> String {
    let (whole, rest) = (millionths / 1_000_000, format!("{:06}", millionths % 1_000_000));
    let (cents, less) = rest.split_at(2);
    format!("{whole}.{cents}{} USD", less.trim_end_matches('0'))
}

/// The error for a call larger than a whole limit.
pub fn too_large(ask: &Ask, lack: Lack, limit: u64) -> PortError {
    let upstream = &ask.upstream;
    let guess = match lack {
        Lack::Tokens => Some(format!("{} tokens", ask.spend.tokens())),
        Lack::InputTokens => Some(format!("{} input tokens", ask.spend.input_tokens)),
        Lack::OutputTokens => Some(format!("{} output tokens", ask.spend.output_tokens)),
        Lack::Money => Some(dollars(ask.spend.money)),
        Lack::Requests | Lack::Concurrency | Lack::Pause | Lack::Breaker => None,
    };
    let message = match guess {
        Some(guess) => {
            let limit = if lack == Lack::Money { dollars(limit) } else { limit.to_string() };
            format!(
                "a call to `{upstream}` is guessed at {guess}, and its quota is {limit} in a window: it can never \
                 go; make the job smaller or raise the quota"
            )
        }
        None => format!("the quota of `{upstream}` is {limit} calls: none can ever go; raise it"),
    };
    PortError::Invalid { port: "quotas", message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_told_in_dollars() {
        for (millionths, text) in [
            (0, "0.00 USD"),
            (25_000_000, "25.00 USD"),
            (1_500_000, "1.50 USD"),
            (1_234, "0.001234 USD"),
            (30_100, "0.0301 USD"),
        ] {
            assert_eq!(dollars(millionths), text);
        }
    }
}
