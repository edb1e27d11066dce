//! One call of the quota script. The script's own head says what it takes.

use std::sync::LazyLock;

use redis::{Cmd, Value};

use super::answer::{Answers, read};
use crate::domain::PortError;
use crate::ports::{Limits, Rate};
use crate::redis::Redis;
use crate::redis::script::{self, Script};
use crate::rules::{Pacing, SlotAsk, micros};

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
