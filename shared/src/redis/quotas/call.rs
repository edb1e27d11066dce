//! One call of the quota script. The script's own head says what it takes.

use std::borrow::Cow;
use std::sync::LazyLock;

use redis::{Cmd, Value};

use super::answer::{Answers, read};
use super::text::{ask_text, end_args, ends_text, ids_text, limits_text, name_text};
use crate::domain::PortError;
use crate::ports::{CallEnd, Limits, PartName};
use crate::redis::Redis;
use crate::redis::script::{self, Script};
use crate::rules::{Pacing, SlotAsk};

pub(super) const PORT: &str = "quotas";

/// A part as a module of the script: what the file returns has this name.
macro_rules! module {
    ($names:literal, $file:literal) => {
        concat!("local ", $names, " = (function()\n", include_str!(concat!("lua/", $file)), "end)()\n")
    };
}

/// The same for a part that most calls do not need: it begins when something of it is used.
macro_rules! seldom {
    ($name:literal, $file:literal) => {
        concat!("local ", $name, " = lazily(function()\n", include_str!(concat!("lua/", $file)), "end)\n")
    };
}

/// The script, of its parts. Each call makes its functions anew, and making one takes the longer the more locals of
/// the script's own level it uses: hence modules, and one function around them all.
pub(super) static SCRIPT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("lua/head.lua"),
        "return (function()\n",
        module!("Log", "log.lua"),
        module!("Meter", "meter.lua"),
        module!("Limits, Meters, Spend", "limits.lua"),
        seldom!("Parts", "parts.lua"),
        module!("Throttle", "throttle.lua"),
        module!("Calls", "calls.lua"),
        seldom!("Places", "places.lua"),
        seldom!("Breaker", "breaker.lua"),
        seldom!("Discovery", "discovery.lua"),
        seldom!("Adaptive", "adaptive.lua"),
        module!("State", "state.lua"),
        module!("tell", "tell.lua"),
        module!("Next", "next.lua"),
        module!("Ends", "settle.lua"),
        seldom!("Resume", "resume.lua"),
        include_str!("lua/main.lua"),
        "end)()\n",
    ))
});

/// Numbers above are taken for this one: the script's are exact below 2^53.
pub(super) const MOST: u64 = 1 << 47;
/// The same for amounts, which are multiplied.
pub(super) const MOST_UNITS: u64 = 1 << 40;

/// One thing to do. Times in microseconds.
#[derive(Clone, Debug)]
pub enum Op {
    /// A wish for a slot.
    Ask(SlotAsk),
    /// A call ends.
    Settle {
        /// Number of the call.
        id: u64,
        /// How it ended.
        end: CallEnd,
    },
    /// A call was not made.
    GiveBack {
        /// Number of the call.
        id: u64,
    },
    /// No slot within this time.
    Pause {
        /// From now on.
        wait: u64,
        /// Why, for people.
        why: String,
    },
    /// Calls were made that the state was not told of.
    Resume {
        /// Nobody starts for so long.
        ahead: u64,
        /// Money that they spent.
        money: u64,
    },
    /// Of a tenant's or a model's limit more was used.
    Doubt {
        /// Whose.
        part: PartName,
        /// Nobody whom it limits starts for so long.
        ahead: u64,
    },
    /// A call under way that was admitted elsewhere. Its hold does not matter.
    Begun(SlotAsk),
    /// These calls go on, and keep their places.
    Renew {
        /// Their numbers.
        ids: Vec<u64>,
    },
    /// How things stand.
    Report,
}

impl Op {
    /// Whether the script takes them together: it does no more for many of them than it must.
    fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Ask(ask), Self::Ask(other)) => ask == other,
            (Self::Settle { end, .. }, Self::Settle { end: other, .. }) => {
                (end.used, end.verdict) == (other.used, other.verdict) && end.feedback == other.feedback
            }
            _ => false,
        }
    }

    /// The call that ends by it, and whose place it frees.
    pub(super) fn ended(&self) -> Option<u64> {
        match self {
            Self::Settle { id, .. } | Self::GiveBack { id } => Some(*id),
            _ => None,
        }
    }

    /// Whether it frees a place.
    pub(super) fn ends_call(&self) -> bool {
        self.ended().is_some()
    }
}

/// Which state a call is about, and under which limits.
#[derive(Clone, Copy, Debug)]
pub struct QuotaCall<'a> {
    /// What all keys begin with.
    pub prefix: &'a str,
    /// The upstream.
    pub upstream: &'a str,
    /// Its limits.
    pub limits: &'a Limits,
    /// How closely they are approached.
    pub pacing: Pacing,
    /// The highest version's limits are in force. 0: those of the state.
    pub version: u64,
    /// The longest time, in microseconds, for which anybody may have been given a slot ahead: a
    /// state that begins waits so long for those who have one of a state that was lost.
    pub lead: u64,
    /// For so many microseconds a call has its place unless that is renewed.
    pub life: u64,
    /// Server's time after which nobody waits for the answer any more. 0: none.
    pub valid_until: u64,
    /// The time, in tests only; else the server's.
    pub clock: Option<u64>,
}

impl QuotaCall<'_> {
    /// Does these things in their order, in one script call of their own.
    pub async fn run(&self, redis: &Redis, ops: &[Op]) -> Result<Answers, PortError> {
        let values =
            script::run(redis, PORT, &[&SCRIPT], vec![self.command(ops.iter().map(Cow::Borrowed))]).await?;
        let value = values.into_iter().next().unwrap_or(Ok(Value::Nil))?;
        read(&value)
    }

    /// The command. The keys of one upstream have one hash tag, so that Redis Cluster keeps them
    /// together.
    pub(super) fn command<'o>(&self, ops: impl IntoIterator<Item = Cow<'o, Op>>) -> Cmd {
        let Self { prefix, upstream, limits, pacing, .. } = self;
        let mut call = SCRIPT.call(3);
        for key in ["quota", "calls", "parts"] {
            call.arg(format!("{{{prefix}:{upstream}}}:{key}"));
        }
        call.arg(self.clock.map(|clock| clock.to_string()).unwrap_or_default());
        call.arg(self.valid_until).arg(self.version);
        call.arg(limits_text(limits, *pacing)).arg(self.lead.min(MOST)).arg(self.life.min(MOST));
        let ops: Vec<_> = ops.into_iter().collect();
        for alike in ops.chunk_by(|op, next| op.is_like(next)) {
            push(&mut call, alike);
        }
        call
    }
}

/// Adds ops that are alike.
fn push(call: &mut Cmd, alike: &[Cow<'_, Op>]) {
    match &*alike[0] {
        Op::Ask(ask) => {
            call.arg("ask").arg(alike.len()).arg(ask_text(ask));
            call.arg(name_text(&ask.tenant)).arg(name_text(&ask.model));
        }
        Op::Settle { end, .. } => {
            let ends = alike.iter().filter_map(|op| match &**op {
                Op::Settle { id, end } => Some((*id, end)),
                _ => None,
            });
            call.arg("settle").arg(&end_args(end)).arg(ends_text(ends));
        }
        Op::GiveBack { id } => {
            call.arg("give-back").arg(id);
        }
        Op::Pause { wait, why } => {
            call.arg("pause").arg(wait.min(&MOST)).arg(why);
        }
        Op::Resume { ahead, money } => {
            call.arg("resume").arg(ahead.min(&MOST)).arg(money.min(&MOST_UNITS));
        }
        Op::Doubt { part, ahead } => {
            let part = match part {
                PartName::Tenant(tenant) => format!("t:{}", name_text(tenant)),
                PartName::Model(model) => format!("m:{}", name_text(model)),
            };
            call.arg("doubt").arg(ahead.min(&MOST)).arg(part);
        }
        Op::Begun(ask) => {
            call.arg("begun").arg(ask_text(ask)).arg(name_text(&ask.tenant)).arg(name_text(&ask.model));
        }
        Op::Renew { ids } => {
            call.arg("renew").arg(ids_text(ids));
        }
        Op::Report => {
            call.arg("report");
        }
    }
}
