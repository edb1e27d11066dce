//! Requests for leases that go to Redis together. The script's own head says what it takes.

use std::sync::LazyLock;
use std::time::Duration;

use redis::{Cmd, Value, cmd};

use super::{PORT, text};
use crate::domain::PortError;
use crate::ports::Hold;
use crate::redis::Redis;
use crate::redis::script::{self, Script, unexpected};

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("leases.lua")));

/// The script's answer for a lease that is the taker's now.
const TAKEN: i64 = -1;

/// What becomes of a lease, in the order in which that is gone about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    Keep,
    Drop,
    Take,
}

/// What is asked for.
pub(super) struct Request {
    pub(super) what: What,
    /// With their whole keys.
    pub(super) holds: Vec<Hold>,
    pub(super) ttl: Duration,
}

/// One lease of a request.
#[derive(Clone, Copy)]
struct Wish<'r> {
    what: What,
    hold: &'r Hold,
    ttl: Duration,
}

/// The script's numbers for all requests. Those that came together are in no order, but for that: what is given up
/// goes after the renewals, for its own may be among them, and before what is wanted, for that may be it.
pub(super) async fn run(redis: &Redis, requests: &[Request]) -> Result<Vec<Vec<i64>>, PortError> {
    let mut places: Vec<usize> = (0..requests.len()).collect();
    places.sort_by_key(|place| requests[*place].what);
    let wishes: Vec<_> = places.iter().flat_map(|place| wishes(&requests[*place])).collect();
    let mut numbers = ask(redis, &wishes).await?.into_iter();
    let mut answers = vec![Vec::new(); requests.len()];
    for place in places {
        answers[place] = numbers.by_ref().take(requests[place].holds.len()).collect();
    }
    Ok(answers)
}

fn wishes(request: &Request) -> impl Iterator<Item = Wish<'_>> {
    request.holds.iter().map(|hold| Wish { what: request.what, hold, ttl: request.ttl })
}

/// Nearly all leases that are wanted are free: a plain command takes one for half of what it costs in a script, which
/// looks at those only that somebody has.
async fn ask(redis: &Redis, wishes: &[Wish<'_>]) -> Result<Vec<i64>, PortError> {
    let (others, wanted) = wishes.split_at(wishes.partition_point(|wish| wish.what != What::Take));
    let scripted = (!others.is_empty()).then(|| script_call(others));
    let calls = scripted.into_iter().chain(wanted.iter().map(take_if_free)).collect();
    let mut values = script::run(redis, PORT, &[&SCRIPT], calls).await?.into_iter();
    let mut answers = if others.is_empty() { Vec::new() } else { numbers(values.next(), others.len())? };
    let taken = values.map(|value| is_taken(&value?)).collect::<Result<Vec<_>, _>>()?;
    let held: Vec<_> =
        wanted.iter().zip(&taken).filter(|(_, taken)| !**taken).map(|(wish, _)| *wish).collect();
    let mut looked_at = Vec::new();
    if !held.is_empty() {
        let mut values = script::run(redis, PORT, &[&SCRIPT], vec![script_call(&held)]).await?;
        looked_at = numbers(values.pop(), held.len())?;
    }
    let mut looked_at = looked_at.into_iter();
    let answer = |taken| if taken { Some(TAKEN) } else { looked_at.next() };
    answers.extend(taken.into_iter().filter_map(answer));
    Ok(answers)
}

fn take_if_free(wish: &Wish<'_>) -> Cmd {
    let mut take = cmd("SET");
    take.arg(&wish.hold.key).arg(text(wish.hold.holder)).arg("NX").arg("PX").arg(millis(wish.ttl));
    take
}

fn is_taken(value: &Value) -> Result<bool, PortError> {
    match value {
        Value::Okay => Ok(true),
        Value::Nil => Ok(false),
        _ => Err(unexpected(PORT, value)),
    }
}

fn script_call(wishes: &[Wish<'_>]) -> Cmd {
    let mut call = SCRIPT.call(wishes.len());
    for wish in wishes {
        call.arg(&wish.hold.key);
    }
    for what in [What::Keep, What::Drop] {
        call.arg(wishes.iter().filter(|wish| wish.what == what).count());
    }
    for wish in wishes {
        call.arg(text(wish.hold.holder));
    }
    for wish in wishes.iter().filter(|wish| wish.what != What::Drop) {
        call.arg(millis(wish.ttl));
    }
    call
}

/// The script's numbers, one for each lease.
fn numbers(value: Option<Result<Value, PortError>>, leases: usize) -> Result<Vec<i64>, PortError> {
    let value = value.unwrap_or(Ok(Value::Nil))?;
    let numbers: Option<Vec<_>> = match &value {
        Value::BulkString(bytes) => str::from_utf8(bytes)
            .ok()
            .and_then(|text| text.split(' ').map(|number| number.parse().ok()).collect()),
        _ => None,
    };
    numbers.filter(|numbers| numbers.len() == leases).ok_or_else(|| unexpected(PORT, &value))
}

/// Redis counts whole milliseconds, and refuses none. The script's text has 14 digits of a number.
fn millis(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).clamp(1, 1 << 46)
}
