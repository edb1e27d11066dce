//! One call of the quota script, and its answer. The script's own head says what it takes and
//! returns.

use std::sync::LazyLock;

use redis::{Cmd, Value};

use crate::domain::PortError;
use crate::ports::{Limits, Rate};
use crate::redis::Redis;
use crate::redis::script::{self, Script, unexpected};
use crate::rules::{Lack, Pacing, Slot, SlotAsk, micros};

pub(super) const PORT: &str = "quotas";

/// The script, of its parts.
pub(super) static SCRIPT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("lua/head.lua"),
        include_str!("lua/log.lua"),
        include_str!("lua/meter.lua"),
        include_str!("lua/calls.lua"),
        include_str!("lua/state.lua"),
        include_str!("lua/main.lua"),
    ))
});

/// Numbers above are taken for this one: the script's are exact below 2^53.
const MOST: u64 = 1 << 47;
/// The same for amounts, which are multiplied.
const MOST_UNITS: u64 = 1 << 40;

/// One thing to do. Times in microseconds.
#[derive(Clone, Debug)]
pub enum Op {
    /// A wish for a slot.
    Ask(SlotAsk),
    /// A call ends.
    Settle {
        /// Number of the call.
        id: u64,
        /// What it used, if that is known.
        used: Option<u64>,
    },
    /// No slot within this time.
    Pause {
        /// From now on.
        wait: u64,
        /// Why, for people.
        why: String,
    },
    /// How things stand.
    Report,
}

/// Answer to an [`Op`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To a wish. The text says why, if a pause is what lacks.
    Slot(Slot, String),
    /// To a settlement or a pause: whether it changed anything.
    Changed(bool),
    /// To a report.
    Report(Standing),
}

/// How an upstream stands. Times are those of the server's clock, in microseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Calls under way.
    pub in_flight: u32,
    /// When the pause ends or ended.
    pub paused_until: u64,
    /// Why it was called.
    pub pause_why: String,
    /// When the next small call could start.
    pub next_start: u64,
    /// The limits in force.
    pub limits: Limits,
}

/// Answers to all ops of a call.
#[derive(Clone, Debug)]
pub struct Answers {
    /// The server's time, in microseconds.
    pub now: u64,
    /// What the script did; `None` if it came too late to do anything.
    pub done: Option<Done>,
}

/// What a script call did.
#[derive(Clone, Debug)]
pub struct Done {
    /// Nothing was known of this upstream.
    pub was_empty: bool,
    /// Answers in the order of the ops.
    pub answers: Vec<Answer>,
}

/// Which state a call is about, and under which limits.
#[derive(Clone, Debug)]
pub struct QuotaCall<'a> {
    /// What all keys begin with.
    pub prefix: &'a str,
    /// The upstream.
    pub upstream: &'a str,
    /// Its limits.
    pub limits: Limits,
    /// How closely they are approached.
    pub pacing: Pacing,
    /// The highest version's limits are in force. 0: those of the state.
    pub version: u64,
    /// The longest time, in microseconds, for which anybody may have been given a slot ahead: a
    /// state that begins waits so long for those who have one of a state that was lost.
    pub lead: u64,
    /// Server's time after which nobody waits for the answer any more. 0: none.
    pub valid_until: u64,
    /// The time, in tests only; else the server's.
    pub clock: Option<u64>,
}

impl QuotaCall<'_> {
    /// Does these things in their order, in one script call of their own.
    pub async fn run(&self, redis: &Redis, ops: &[Op]) -> Result<Answers, PortError> {
        let values = script::run(redis, PORT, &[&SCRIPT], vec![self.command(ops)]).await?;
        let value = values.into_iter().next().unwrap_or(Ok(Value::Nil))?;
        read(&value)
    }

    /// The command. The keys of one upstream have one hash tag, so that Redis Cluster keeps them
    /// together.
    pub(super) fn command(&self, ops: &[Op]) -> Cmd {
        let Self { prefix, upstream, limits, pacing, .. } = self;
        let mut call = SCRIPT.call(2);
        call.arg(format!("{{{prefix}:{upstream}}}:quota")).arg(format!("{{{prefix}:{upstream}}}:calls"));
        call.arg(self.clock.map(|clock| clock.to_string()).unwrap_or_default());
        call.arg(self.valid_until).arg(self.version);
        call.arg(rate_text(limits.requests, *pacing)).arg(rate_text(limits.tokens, *pacing));
        call.arg(limits.concurrency.map(|places| places.to_string()).unwrap_or_default());
        call.arg(self.lead.min(MOST));
        for op in ops {
            match op {
                Op::Ask(SlotAsk { tokens, hold, ttl }) => {
                    call.arg("ask").arg(tokens.min(&MOST_UNITS)).arg(hold.min(&MOST)).arg(ttl.min(&MOST))
                }
                Op::Settle { id, used } => {
                    let used = used.map(|used| used.min(MOST_UNITS).to_string()).unwrap_or_default();
                    call.arg("settle").arg(id).arg(used)
                }
                Op::Pause { wait, why } => call.arg("pause").arg(wait.min(&MOST)).arg(why),
                Op::Report => call.arg("report"),
            };
        }
        call
    }
}

fn rate_text(rate: Option<Rate>, pacing: Pacing) -> String {
    let Some(rate) = rate else { return String::new() };
    let amount = rate.amount.min(MOST_UNITS);
    let (metered, bucket) = (pacing.window(rate).min(MOST), pacing.bucket(rate).min(MOST_UNITS));
    format!("{amount} {metered} {bucket} {}", micros(rate.window).min(MOST))
}

/// Reads what the script returned.
pub(super) fn read(value: &Value) -> Result<Answers, PortError> {
    read_answers(value).ok_or_else(|| unexpected(PORT, value))
}

fn read_answers(value: &Value) -> Option<Answers> {
    let [now, rest @ ..] = items(value)? else { return None };
    let done = match rest {
        [] => None,
        [was_empty, answers @ ..] => Some(Done {
            was_empty: number(was_empty)? == 1,
            answers: answers.iter().map(read_answer).collect::<Option<_>>()?,
        }),
    };
    Some(Answers { now: number(now)?, done })
}

fn read_answer(value: &Value) -> Option<Answer> {
    if let Value::Int(changed) = value {
        return Some(Answer::Changed(*changed == 1));
    }
    let slot = |slot| Some(Answer::Slot(slot, String::new()));
    match items(value)? {
        [Value::Int(1), at, id] => slot(Slot::At { at: number(at)?, id: number(id)? }),
        [Value::Int(2), at, lack_of, why] => {
            let refused = Slot::TooFar { at: number(at)?, lack: lack(lack_of)? };
            Some(Answer::Slot(refused, text(why)?))
        }
        [Value::Int(3), until] => slot(Slot::Full { until: number(until)? }),
        [Value::Int(4), lack_of, limit] => slot(Slot::Never { lack: lack(lack_of)?, limit: number(limit)? }),
        [in_flight, paused_until, why, next_start, requests, tokens, places] => {
            Some(Answer::Report(Standing {
                in_flight: u32::try_from(number(in_flight)?).ok()?,
                paused_until: number(paused_until)?,
                pause_why: text(why)?,
                next_start: number(next_start)?,
                limits: Limits {
                    requests: rate(&text(requests)?),
                    tokens: rate(&text(tokens)?),
                    concurrency: text(places)?.parse().ok(),
                },
            }))
        }
        _ => None,
    }
}

fn items(value: &Value) -> Option<&[Value]> {
    if let Value::Array(items) = value { Some(items) } else { None }
}

fn number(value: &Value) -> Option<u64> {
    if let Value::Int(number) = value { u64::try_from(*number).ok() } else { None }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Value::SimpleString(text) => Some(text.clone()),
        _ => None,
    }
}

fn lack(value: &Value) -> Option<Lack> {
    Some(match number(value)? {
        1 => Lack::Requests,
        2 => Lack::Tokens,
        3 => Lack::Concurrency,
        4 => Lack::Pause,
        _ => return None,
    })
}

fn rate(text: &str) -> Option<Rate> {
    let mut numbers = text.split(' ').map(str::parse::<u64>);
    let (amount, window) = (numbers.next()?.ok()?, numbers.nth(2)?.ok()?);
    Some(Rate { amount, window: std::time::Duration::from_micros(window) })
}
