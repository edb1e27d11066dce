//! Scripts by their hashes, loaded when the server does not know them.

use redis::{Cmd, Pipeline, Value, cmd};

use super::Redis;
use crate::domain::PortError;

/// A script of one of the `.lua` files.
pub(super) struct Script {
    code: &'static str,
    hash: String,
}

impl Script {
    pub(super) fn new(code: &'static str) -> Self {
        Self { code, hash: redis::Script::new(code).get_hash().to_owned() }
    }

    /// A call; its keys and arguments are to be added.
    pub(super) fn call(&self, keys: usize) -> Cmd {
        let mut call = cmd("EVALSHA");
        call.arg(&self.hash).arg(keys);
        call
    }

    fn load(&self) -> Cmd {
        let mut load = cmd("SCRIPT");
        load.arg("LOAD").arg(self.code);
        load
    }
}

/// Answers to calls of the scripts, in their order. Usually one round trip; a second one when a
/// server that was restarted must learn the scripts first.
pub(super) async fn run(
    redis: &Redis,
    port: &'static str,
    scripts: &[&Script],
    calls: Vec<Cmd>,
) -> Result<Vec<Result<Value, PortError>>, PortError> {
    if calls.is_empty() {
        return Ok(Vec::new());
    }
    let calls = pipeline(calls);
    let mut answers = redis.run(port, &calls).await?;
    if answers.iter().any(is_unknown) {
        let unknown = answers.iter_mut().zip(calls.cmd_iter()).filter(|(answer, _)| is_unknown(answer));
        let (places, again): (Vec<_>, Vec<_>) = unknown.unzip();
        let again = scripts.iter().map(|script| script.load()).chain(again.into_iter().cloned());
        let new = redis.run(port, &pipeline(again)).await?;
        for (place, answer) in places.into_iter().zip(new.into_iter().skip(scripts.len())) {
            *place = answer;
        }
    }
    Ok(answers.into_iter().map(|answer| checked(port, answer)).collect())
}

fn pipeline(calls: impl IntoIterator<Item = Cmd>) -> Pipeline {
    let mut pipeline = Pipeline::new();
    for call in calls {
        pipeline.add_command(call);
    }
    pipeline
}

fn is_unknown(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(error) if error.code() == "NOSCRIPT")
}

/// What the server says when it will answer again by itself.
const PASSING: [&str; 5] = ["LOADING", "BUSY", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN"];

pub(super) fn checked(port: &'static str, answer: Value) -> Result<Value, PortError> {
    let Value::ServerError(error) = answer else { return Ok(answer) };
    let code = error.code().to_owned();
    let message = format!("Redis says: {code} {}", error.details().unwrap_or_default());
    Err(match code.as_str() {
        passing if PASSING.contains(&passing) => PortError::Unavailable { port, message },
        "NOPERM" => PortError::Broken { port, message: format!("{message}; docs/redis.md lists the rights") },
        "OOM" => PortError::Broken { port, message: format!("{message}; raise its maxmemory") },
        _ => PortError::Broken { port, message },
    })
}

/// For answers that no script of ours gives.
pub(super) fn unexpected(port: &'static str, answer: &Value) -> PortError {
    PortError::Broken {
        port,
        message: format!("Redis gave an answer that its script does not give: {answer:?}"),
    }
}
