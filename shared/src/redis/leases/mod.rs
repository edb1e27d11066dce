//! Leases as keys that expire by themselves.
//!
//! Redis may lose a lease or, after a failover, give it twice: then a call may be paid for twice,
//! and the ledger's fence keeps the record right.
//!
//! What is given up or renewed waits a little for a call that is made anyhow: nobody waits for it.

mod call;
mod company;

use std::fmt::Write;
use std::time::Duration;

use async_trait::async_trait;
use redis::{Pipeline, Value, cmd};

use self::call::{Request, What, run};
use self::company::Company;
use super::Redis;
use super::script::unexpected;
use crate::batcher::{Batcher, Groups};
use crate::domain::{JobId, PortError};
use crate::kill_point;
use crate::ports::{Acquired, Held, Hold, Holder, Leases};

const PORT: &str = "leases";

/// The script's answer for [`Acquired::Duplicate`].
const DUPLICATE: i64 = -2;
/// So many leases go in one call, and a handful of requests more: that keeps no other client of Redis waiting.
const BATCHES: Groups = Groups { limit: 256, width: 2 };

/// For so long a lease that is given up may wait for company.
const PATIENCE: Duration = Duration::from_millis(200);
/// The share of its life for which a renewal may.
const RENEWAL: u32 = 30;

/// Leases in Redis. Requests that come while others are under way go together, in one round trip; a second one
/// follows if somebody has what is wanted.
pub struct RedisLeases {
    redis: Redis,
    prefix: String,
    batcher: Batcher<Request, Answer>,
    company: Company,
    patience: Duration,
}

/// The script's number for each hold.
type Answer = Result<Vec<i64>, PortError>;

impl RedisLeases {
    /// Leases under the connection's prefix. Must be called in a tokio runtime.
    pub fn new(redis: Redis) -> Self {
        Self::with_patience(redis, PATIENCE)
    }

    /// The same; a lease that is given up waits so long, at most, for requests to go with.
    pub fn with_patience(redis: Redis, patience: Duration) -> Self {
        // One hash tag for all, so that Redis Cluster keeps together what goes together.
        let prefix = format!("{{{}:lease}}:", redis.prefix());
        let for_batches = redis.clone();
        let weight = |request: &Request| request.holds.len();
        let batcher = Batcher::weighed(BATCHES, weight, move |requests: Vec<Request>| {
            let redis = for_batches.clone();
            async move {
                match run(&redis, &requests).await {
                    Ok(answers) => answers.into_iter().map(Ok).collect(),
                    Err(error) => vec![Err(error); requests.len()],
                }
            }
        });
        Self { redis, prefix, batcher, company: Company::new(), patience }
    }

    async fn ask(&self, what: What, holds: &[Hold], ttl: Duration, patience: Duration) -> Answer {
        if holds.is_empty() {
            return Ok(Vec::new());
        }
        let whole = |hold: &Hold| Hold { key: [self.prefix.as_str(), &hold.key].concat(), ..*hold };
        let request = Request { what, holds: holds.iter().map(whole).collect(), ttl };
        let ended = || PortError::Broken { port: PORT, message: "the task that asks Redis has ended".into() };
        self.batcher.ask_within(request, patience).await.ok_or_else(ended)?
    }
}

#[async_trait]
impl Leases for RedisLeases {
    async fn acquire_all(&self, wanted: &[Hold], ttl: Duration) -> Result<Vec<Acquired>, PortError> {
        let left = self.ask(What::Take, wanted, ttl, Duration::ZERO).await?;
        let answer = |left: i64| match u64::try_from(left) {
            Ok(left) => Acquired::Held { expires_in: Duration::from_millis(left) },
            Err(_) if left == DUPLICATE => Acquired::Duplicate,
            Err(_) => Acquired::Yes,
        };
        Ok(left.into_iter().map(answer).collect())
    }

    async fn renew_all(&self, held: &[Hold], ttl: Duration) -> Result<Vec<bool>, PortError> {
        let kept = self.ask(What::Keep, held, ttl, ttl / RENEWAL).await?;
        Ok(kept.into_iter().map(|kept| kept == 1).collect())
    }

    async fn release_all(&self, held: &[Hold]) -> Result<Vec<bool>, PortError> {
        let given_up = self.ask(What::Drop, held, Duration::ZERO, self.patience).await?;
        Ok(given_up.into_iter().map(|given_up| given_up == 1).collect())
    }

    fn patience(&self) -> Duration {
        self.company.patience()
    }

    async fn holder(&self, key: &str) -> Result<Option<Held>, PortError> {
        let key = format!("{}{key}", self.prefix);
        let mut look = Pipeline::new();
        look.add_command(cmd("GET").arg(&key).clone()).add_command(cmd("PTTL").arg(&key).clone());
        let answers = self.redis.run(PORT, &look).await?;
        match answers.as_slice() {
            [Value::Nil, _] => Ok(None),
            [Value::BulkString(holder), Value::Int(left)] => {
                let expires_in = Duration::from_millis(u64::try_from(*left).unwrap_or(0));
                // Somebody else's key under our name is nobody's lease.
                Ok(read_holder(&String::from_utf8_lossy(holder)).map(|holder| Held { holder, expires_in }))
            }
            _ => Err(unexpected(PORT, &Value::Array(answers))),
        }
    }
}

/// The holder as the scripts compare it.
fn text(Holder { job, fence, token, nonce }: Holder) -> String {
    if kill_point::is_mutant("lease_without_owner") {
        return "anybody".into();
    }
    let mut text = String::with_capacity(36 + 1 + 20 + 2 * (1 + 16));
    let _ = write!(text, "{job}");
    push_digits::<10>(&mut text, fence, 20);
    push_digits::<16>(&mut text, token, 16);
    push_digits::<16>(&mut text, nonce, 16);
    text
}

/// `:` and the number with zeros before it. By hand, for `format!` writes zeros one by one, and every job has
/// its text made twice.
fn push_digits<const BASE: u64>(text: &mut String, mut number: u64, width: usize) {
    let mut digits = [b'0'; 20];
    for digit in digits[..width].iter_mut().rev() {
        let value = u8::try_from(number % BASE).unwrap_or(0);
        *digit = if value < 10 { b'0' + value } else { b'a' + value - 10 };
        number /= BASE;
    }
    text.push(':');
    text.push_str(str::from_utf8(&digits[..width]).unwrap_or_default());
}

/// Reads what [`text`] wrote. Earlier builds draw no nonce.
fn read_holder(text: &str) -> Option<Holder> {
    let mut parts = text.split(':');
    let job: JobId = parts.next()?.parse().ok()?;
    let fence = parts.next()?.parse().ok()?;
    let token = u64::from_str_radix(parts.next()?, 16).ok()?;
    let nonce = parts.next().map_or(Ok(0), |nonce| u64::from_str_radix(nonce, 16)).ok()?;
    Some(Holder { job, fence, token, nonce })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_has_the_places_in_which_the_script_looks() {
        for number in [0, 1, 9, 10, 0xabcd_ef01_2345_6789, u64::MAX] {
            let holder = Holder { job: JobId::new(), fence: number, token: number / 3, nonce: !number };
            let Holder { job, fence, token, nonce } = holder;
            assert_eq!(text(holder), format!("{job}:{fence:020}:{token:016x}:{nonce:016x}"));
            assert_eq!(read_holder(&text(holder)), Some(holder));
        }
    }
}
