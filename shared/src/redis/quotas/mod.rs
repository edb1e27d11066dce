//! Quotas of a whole fleet. The arithmetic is that of [`crate::rules::QuotaState`], as a script
//! with the server's clock: one state for each upstream, which all processes share.
//!
//! A state that is lost (flushed, evicted, read from an old copy at the server's restart) starts
//! empty: nothing is known of the last window, so calls start at the pace that keeps to the limit
//! whatever was used before. A server that cannot be reached admits nobody.
//!
//! Each process sends its own limits along; those of the process that started last are in force;
//! a process without limits leaves the others' in force.

pub mod answer;
pub mod call;
mod clock;
mod desk;
mod granted;
mod lane;
mod listening;
mod resume;
mod running;
mod text;
mod untold;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use redis::{Pipeline, Value, cmd};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::Instant;

use self::answer::{Answer, Answers, read};
use self::call::{Op, PORT, QuotaCall, SCRIPT};
use self::desk::{Desk, Message};
use self::lane::Asked;
use self::listening::Listening;
use self::text::{limits_text, read_limits};
use super::Redis;
use super::script::{self, unexpected};
use crate::closings::Closings;
use crate::domain::PortError;
use crate::ports::{
    Admission, Ask, CallEnd, LONGEST_HOLD, Limits, Quotas, Reservation, SlotTime, Turn, UpstreamReport,
};
use crate::rules::{Pacing, QuotaStanding, micros};

/// Quotas in Redis.
pub struct RedisQuotas {
    config: Config,
    desk: UnboundedSender<Message>,
    closings: Arc<Closings>,
    /// Begins with the first ask: who only reads reports has nothing to hear.
    listening: OnceLock<Listening>,
}

/// How limits are kept.
#[derive(Clone, Copy, Debug)]
pub struct QuotaOptions {
    /// How closely they are approached.
    pub pacing: Pacing,
    /// No process of the fleet asks with a longer hold. When the server loses its state, nobody
    /// starts for so long, but those who were given their slots before. Asks with a longer hold
    /// are answered; that no window is over the limit is then not promised at a loss.
    pub longest_hold: Duration,
    /// For so long the end of a call may wait for other requests to go with, if nobody waits for it:
    /// the call went well, and the upstream has no limit of calls at the same time.
    pub patience: Duration,
    /// For so long a call has its place of those at the same time; its process renews it while the call goes on.
    /// More, where Redis may take very long to answer. So soon others have the places of a process that dies.
    pub place_life: Duration,
    /// How often the states of all upstreams that the process has limits for or asked about are begun and
    /// registered anew, should Redis have lost them.
    pub reminder: Duration,
}

impl Default for QuotaOptions {
    fn default() -> Self {
        Self {
            pacing: Pacing::default(),
            longest_hold: LONGEST_HOLD,
            patience: Duration::from_millis(200),
            place_life: Duration::from_secs(15),
            reminder: Duration::from_secs(10),
        }
    }
}

/// What all calls of a process have in common.
#[derive(Clone)]
struct Config {
    redis: Redis,
    limits: Arc<BTreeMap<String, Limits>>,
    unlimited: Arc<Limits>,
    options: QuotaOptions,
    /// When the process started: microseconds since 1970.
    started: u64,
}

impl Config {
    fn call<'a>(&'a self, upstream: &'a str, valid_until: u64) -> QuotaCall<'a> {
        let limits = self.limits.get(upstream);
        QuotaCall {
            prefix: self.redis.prefix(),
            upstream,
            limits: limits.unwrap_or(&self.unlimited),
            pacing: self.options.pacing,
            version: version(self.started, limits),
            lead: micros(self.options.longest_hold),
            life: micros(self.place_life()),
            valid_until,
            clock: None,
        }
    }

    /// How old a place becomes that is not renewed: an answer that is waited for, and the one before it, may come as
    /// late as they are waited for.
    fn place_life(&self) -> Duration {
        self.options.place_life.max(5 * self.redis.response_timeout())
    }

    /// How much later than its slot a call may start.
    fn lateness(&self, upstream: &str) -> Option<Duration> {
        self.options.pacing.lateness(self.limits.get(upstream)?)
    }

    /// The key of the set of all upstreams that have a state.
    fn register(&self) -> String {
        format!("{}:upstreams", self.redis.prefix())
    }
}

/// The version of a process's limits. Who knows nothing of an upstream leaves its limits to those who do. Who
/// sets none leaves them to those who set some, whenever they started: milliseconds are fewer than microseconds.
fn version(started: u64, limits: Option<&Limits>) -> u64 {
    match limits {
        None => 0,
        Some(limits) if limits.are_open() => started / 1_000,
        Some(_) => started,
    }
}

/// The limits as a state keeps them: no larger than it can count, and within each other.
pub fn as_kept(limits: &Limits) -> Limits {
    read_limits(&limits_text(limits, Pacing::default())).unwrap_or_else(|| limits.clone())
}

impl RedisQuotas {
    /// Quotas with these limits by upstream, and the usual options. Must be called in a tokio
    /// runtime.
    pub fn new(redis: Redis, limits: BTreeMap<String, Limits>) -> Self {
        Self::with_options(redis, limits, QuotaOptions::default())
    }

    /// Quotas with these limits by upstream. Must be called in a tokio runtime.
    pub fn with_options(redis: Redis, limits: BTreeMap<String, Limits>, options: QuotaOptions) -> Self {
        let started = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, micros);
        let config = Config { redis, limits: Arc::new(limits), unlimited: Arc::default(), options, started };
        let (desk, inbox) = unbounded_channel();
        tokio::spawn(Desk::new(config.clone(), desk.downgrade()).run(inbox));
        for upstream in config.limits.keys() {
            // A state that begins now has its first window behind it when it is needed.
            let _ = desk.send(Message::Change { upstream: upstream.clone(), change: None, done: None });
        }
        Self { config, desk, closings: Arc::default(), listening: OnceLock::new() }
    }

    async fn change(&self, message: impl FnOnce(desk::Done) -> Message) -> Result<(), PortError> {
        let (done, answer) = oneshot::channel();
        self.desk.send(message(done)).map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }

    /// Asks of this process without an answer yet, by upstream.
    async fn waiting(&self) -> Result<BTreeMap<String, u32>, PortError> {
        let (answer, counted) = oneshot::channel();
        self.desk.send(Message::Count(answer)).map_err(|_| ended())?;
        counted.await.map_err(|_| ended())
    }

    /// The limits in force as processes gave them, by upstream.
    pub async fn given_limits(&self) -> Result<BTreeMap<String, Limits>, PortError> {
        Ok(self.stands().await?.into_iter().map(|stand| (stand.upstream, stand.limits)).collect())
    }

    async fn stands(&self) -> Result<Vec<Stand>, PortError> {
        let names = self.names().await?;
        let calls = names.iter().map(|name| self.config.call(name, 0).command([Cow::Owned(Op::Report)]));
        let values = script::run(&self.config.redis, PORT, &[&SCRIPT], calls.collect()).await?;
        names.into_iter().zip(values).map(|(name, value)| stand(name, read(&value?)?)).collect()
    }

    async fn names(&self) -> Result<BTreeSet<String>, PortError> {
        let mut members = Pipeline::new();
        members.add_command(cmd("SMEMBERS").arg(self.config.register()).clone());
        let answers = self.config.redis.run(PORT, &members).await?;
        let known = answers.into_iter().next().unwrap_or(Value::Nil);
        let known: Vec<String> = redis::from_redis_value_ref(&known).map_err(|_| unexpected(PORT, &known))?;
        Ok(known.into_iter().chain(self.config.limits.keys().cloned()).collect())
    }
}

fn ended() -> PortError {
    PortError::Broken { port: PORT, message: "the task that asks Redis has ended".into() }
}

#[async_trait]
impl Quotas for RedisQuotas {
    async fn admit(&self, ask: Ask) -> Result<Admission, PortError> {
        self.listening
            .get_or_init(|| Listening::start(self.config.redis.clone(), Arc::clone(&self.closings)));
        let deadline = Instant::now() + ask.hold;
        let (answer, granted) = oneshot::channel();
        self.desk.send(Message::Ask(Asked { ask, deadline, answer })).map_err(|_| ended())?;
        Ok(granted.await.map_err(|_| ended())??.take())
    }

    async fn turn(&self, reservation: &Reservation, slot: SlotTime) -> Turn {
        self.closings.turn(reservation, slot).await
    }

    fn give_back(&self, reservation: Reservation) {
        let _ = self.desk.send(Message::give_back(reservation));
    }

    async fn settle(&self, reservation: Reservation, end: CallEnd) -> Result<(), PortError> {
        self.change(|done| Message::settle(reservation, end, Some(done))).await
    }

    async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.desk.send(Message::Flush(done)).is_ok() {
            let _ = flushed.await;
        }
    }

    async fn pause(&self, upstream: &str, wait: Duration, why: &str) -> Result<(), PortError> {
        let pause = Op::Pause { wait: micros(wait), why: why.to_owned() };
        let upstream = upstream.to_owned();
        self.change(|done| Message::Change { upstream, change: Some(pause), done: Some(done) }).await
    }

    async fn report(&self) -> Result<Vec<UpstreamReport>, PortError> {
        let waiting = self.waiting().await?;
        let report = |Stand { upstream, standing, limits, now }| {
            let waiting = waiting.get(&upstream).copied().unwrap_or(0);
            standing.report(upstream, limits, waiting, now)
        };
        Ok(self.stands().await?.into_iter().map(report).collect())
    }
}

/// How an upstream stands at a time, and its limits without those that were found.
struct Stand {
    upstream: String,
    standing: QuotaStanding,
    limits: Limits,
    now: u64,
}

fn stand(upstream: String, answers: Answers) -> Result<Stand, PortError> {
    let now = answers.now;
    match answers.done.map(|done| done.answers).as_deref() {
        Some([Answer::Report(standing, limits)]) => {
            Ok(Stand { upstream, standing: standing.clone(), limits: (**limits).clone(), now })
        }
        other => {
            let message = format!("no report of {upstream}: {other:?}");
            Err(PortError::Broken { port: PORT, message })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::BreakerOptions;

    #[test]
    fn limits_go_before_none_and_later_ones_before_earlier_ones() {
        const NOW: u64 = 1_760_000_000_000_000;
        let open = Limits { breaker: Some(BreakerOptions::default()), ..Limits::default() };
        let limited = Limits { concurrency: Some(1), ..open.clone() };
        let lifted = Limits { lifted: true, ..open.clone() };
        let in_order = [
            version(NOW + 9_000, None),
            version(NOW, Some(&open)),
            version(NOW + 9_000, Some(&open)),
            version(NOW, Some(&limited)),
            version(NOW + 1, Some(&lifted)),
            version(NOW + 2, Some(&limited)),
        ];
        assert!(in_order.is_sorted_by(|earlier, later| earlier < later), "{in_order:?}");
    }
}
