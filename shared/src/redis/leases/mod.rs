//! Leases as keys that expire by themselves.
//!
//! Redis may lose a lease or, after a failover, give it twice: then a call may be paid for twice,
//! and the ledger's fence keeps the record right.

use std::time::Duration;

use async_trait::async_trait;
use redis::{Cmd, Value};

use super::Redis;
use super::script::{self, Script, unexpected};
use crate::batcher::Batcher;
use crate::domain::PortError;
use crate::kill_point;
use crate::ports::{Acquired, Holder, Leases};

const PORT: &str = "leases";

/// The script's answer for [`Acquired::Duplicate`].
const DUPLICATE: i64 = -2;
/// Most requests that go in one round trip: more would keep other clients of Redis waiting.
const BATCH: usize = 256;

/// Leases in Redis. Requests that come while others are under way go together.
pub struct RedisLeases {
    prefix: String,
    batcher: Batcher<Cmd, Result<Value, PortError>>,
    scripts: &'static Scripts,
}

struct Scripts {
    acquire: Script,
    renew: Script,
    release: Script,
}

static SCRIPTS: std::sync::LazyLock<Scripts> = std::sync::LazyLock::new(|| Scripts {
    acquire: Script::new(include_str!("acquire.lua")),
    renew: Script::new(include_str!("renew.lua")),
    release: Script::new(include_str!("release.lua")),
});

impl RedisLeases {
    /// Leases under the connection's prefix. Must be called in a tokio runtime.
    pub fn new(redis: Redis) -> Self {
        let prefix = format!("{}:lease:", redis.prefix());
        let scripts = &*SCRIPTS;
        let batcher = Batcher::start(BATCH, move |calls: Vec<Cmd>| {
            let redis = redis.clone();
            async move {
                let number = calls.len();
                let all = [&scripts.acquire, &scripts.renew, &scripts.release];
                match script::run(&redis, PORT, &all, calls).await {
                    Ok(answers) => answers,
                    Err(error) => vec![Err(error); number],
                }
            }
        });
        Self { prefix, batcher, scripts }
    }

    /// The number that a script answers.
    async fn ask(
        &self,
        script: &Script,
        key: &str,
        holder: Holder,
        ttl: Option<Duration>,
    ) -> Result<i64, PortError> {
        let mut call = script.call(1);
        call.arg(format!("{}{key}", self.prefix)).arg(text(holder));
        if let Some(ttl) = ttl {
            call.arg(millis(ttl));
        }
        let ended = || PortError::Broken { port: PORT, message: "the task that asks Redis has ended".into() };
        match self.batcher.ask(call).await.ok_or_else(ended)?? {
            Value::Int(answer) => Ok(answer),
            other => Err(unexpected(PORT, &other)),
        }
    }
}

#[async_trait]
impl Leases for RedisLeases {
    async fn acquire(&self, key: &str, holder: Holder, ttl: Duration) -> Result<Acquired, PortError> {
        let left = self.ask(&self.scripts.acquire, key, holder, Some(ttl)).await?;
        Ok(match u64::try_from(left) {
            Ok(left) => Acquired::Held { expires_in: Duration::from_millis(left) },
            Err(_) if left == DUPLICATE => Acquired::Duplicate,
            Err(_) => Acquired::Yes,
        })
    }

    async fn renew(&self, key: &str, holder: Holder, ttl: Duration) -> Result<bool, PortError> {
        Ok(self.ask(&self.scripts.renew, key, holder, Some(ttl)).await? == 1)
    }

    async fn release(&self, key: &str, holder: Holder) -> Result<bool, PortError> {
        Ok(self.ask(&self.scripts.release, key, holder, None).await? == 1)
    }
}

/// The holder as the scripts compare it.
fn text(Holder { job, fence, token }: Holder) -> String {
    if kill_point::is_mutant("lease_without_owner") {
        return "anybody".into();
    }
    format!("{job}:{fence:020}:{token:016x}")
}

/// Redis counts whole milliseconds, and refuses none.
fn millis(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).clamp(1, 1 << 50)
}
