//! Refusals in words.

use super::Lack;
use crate::domain::PortError;
use crate::ports::Ask;

/// What is missing; of a pause, why it was called.
pub fn why(lack: Lack, pause: &str) -> String {
    match lack {
        Lack::Requests => "requests".into(),
        Lack::Tokens => "tokens".into(),
        Lack::Concurrency => "concurrency".into(),
        Lack::Pause => format!("paused: {pause}"),
    }
}

/// The error for a call larger than a whole limit.
pub fn too_large(ask: &Ask, lack: Lack, limit: u64) -> PortError {
    let upstream = &ask.upstream;
    let message = match lack {
        Lack::Tokens => format!(
            "a call to `{upstream}` is guessed at {} tokens, and its quota is {limit} in a window: it can never \
             go; make the job smaller or raise the quota",
            ask.tokens
        ),
        Lack::Requests | Lack::Concurrency | Lack::Pause => {
            format!("the quota of `{upstream}` is {limit} calls: none can ever go; raise it")
        }
    };
    PortError::Invalid { port: "quotas", message }
}
