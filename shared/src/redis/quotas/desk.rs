//! The task that talks with Redis: whatever comes while one round trip is under way goes together
//! in the next one, as one script call for each upstream.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use redis::{Cmd, cmd};
use tokio::sync::mpsc::{UnboundedReceiver, WeakUnboundedSender};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::Config;
use super::answer::{Answer, read};
use super::call::{Op, PORT, SCRIPT};
use super::clock::ServerClock;
use super::granted::Granted;
use super::lane::{Asked, Lane};
use super::running::Running;
use super::untold::Untold;
use crate::domain::{PortError, Verdict};
use crate::ports::{Admission, CallEnd, Limits, Reservation};
use crate::redis::script;
use crate::rules::{Slot, SlotAsk, micros, too_large, why};

/// Messages that one round trip takes at most.
const MOST_MESSAGES: usize = 512;

/// Changes that wait for no more.
const MOST_CHANGES: usize = 64;

/// What callers want.
pub(super) enum Message {
    Ask(Asked),
    /// A settlement, a pause, or nothing: then the upstream's state begins.
    Change {
        upstream: String,
        change: Option<Op>,
        done: Option<Done>,
    },
    /// Calls under way that Redis has just been told of: their numbers, and how long they can last from then on.
    Begun {
        upstream: String,
        calls: Vec<(u64, Duration)>,
        told: Instant,
    },
    /// How many asks wait, by upstream; answered when all that came before is done.
    Count(oneshot::Sender<BTreeMap<String, u32>>),
    /// Answered when no change waits any more to be told.
    Flush(oneshot::Sender<()>),
}

/// Changes of an upstream that have not gone yet.
struct Pending {
    changes: Vec<Op>,
    dones: Vec<Done>,
    /// When they go at the latest.
    due: Instant,
}

/// Told when a change is made.
pub(super) type Done = oneshot::Sender<Result<(), PortError>>;

impl Message {
    pub(super) fn settle(reservation: Reservation, end: CallEnd, done: Option<Done>) -> Self {
        let Reservation { id, upstream, .. } = reservation;
        Self::Change { upstream, change: Some(Op::Settle { id, end }), done }
    }

    pub(super) fn give_back(reservation: Reservation) -> Self {
        let Reservation { id, upstream, .. } = reservation;
        Self::Change { upstream, change: Some(Op::GiveBack { id }), done: None }
    }
}

/// What goes to one upstream in one round trip.
struct Work {
    upstream: String,
    changes: Vec<Op>,
    dones: Vec<Done>,
    asks: Vec<Asked>,
}

pub(super) struct Desk {
    config: Config,
    lanes: BTreeMap<String, Lane>,
    pending: BTreeMap<String, Pending>,
    /// Calls whose places are to be renewed, by upstream.
    running: BTreeMap<String, Running>,
    /// What Redis did not hear, by upstream; none of them is empty.
    untold: BTreeMap<String, Untold>,
    /// Calls for whose end the whole fleet waits.
    probes: BTreeSet<(String, u64)>,
    counts: Vec<oneshot::Sender<BTreeMap<String, u32>>>,
    flushes: Vec<oneshot::Sender<()>>,
    /// Upstreams that reports of other processes may not know of yet.
    unregistered: BTreeSet<String>,
    /// When Redis is told of all upstreams anew: it may have lost what it knew.
    reminder: Instant,
    clock: ServerClock,
    own: WeakUnboundedSender<Message>,
}

impl Desk {
    pub(super) fn new(config: Config, own: WeakUnboundedSender<Message>) -> Self {
        Self {
            reminder: Instant::now() + config.options.reminder,
            config,
            lanes: BTreeMap::new(),
            pending: BTreeMap::new(),
            running: BTreeMap::new(),
            untold: BTreeMap::new(),
            probes: BTreeSet::new(),
            counts: Vec::new(),
            flushes: Vec::new(),
            unregistered: BTreeSet::new(),
            clock: ServerClock::default(),
            own,
        }
    }

    /// Works until nobody can send any more.
    pub(super) async fn run(mut self, mut inbox: UnboundedReceiver<Message>) {
        let mut messages = Vec::new();
        let mut is_open = true;
        while is_open {
            let now = Instant::now();
            let asks = self.lanes.values().filter_map(|lane| lane.next(now));
            let changes = self.pending.values().map(|pending| pending.due);
            let running = self.running.values().filter_map(Running::due);
            let untold = self.untold.values().map(Untold::due);
            let next = asks.chain(changes).chain(running).chain(untold).chain([self.reminder]).min();
            tokio::select! {
                biased;
                came = inbox.recv_many(&mut messages, MOST_MESSAGES) => is_open = came > 0,
                () = sleep_until(next.unwrap_or(now)), if next.is_some() => {}
            }
            for message in messages.drain(..) {
                self.take_in(message);
            }
            if self.reminder <= Instant::now() {
                self.remind();
            }
            let in_a_hurry = !is_open || !self.counts.is_empty() || !self.flushes.is_empty();
            let work = self.gather(in_a_hurry);
            if !work.is_empty() {
                self.ask_redis(work).await;
            }
            for count in self.counts.drain(..) {
                let waiting = self.lanes.iter().map(|(name, lane)| (name.clone(), lane.waiting()));
                let _ = count.send(waiting.collect());
            }
            if self.pending.is_empty() && self.untold.is_empty() {
                for done in self.flushes.drain(..) {
                    let _ = done.send(());
                }
            }
        }
    }

    fn take_in(&mut self, message: Message) {
        match message {
            Message::Ask(asked) => self.lane(&asked.ask.upstream).push(asked),
            Message::Count(answer) => self.counts.push(answer),
            Message::Flush(done) => self.flushes.push(done),
            Message::Begun { upstream, calls, told } => {
                self.lane(&upstream);
                for (id, can_last) in calls {
                    self.begin(&upstream, id, told, told + can_last);
                }
            }
            Message::Change { upstream, change, done } => {
                self.lane(&upstream);
                let ended = change.as_ref().and_then(Op::ended);
                if let Some((running, id)) = self.running.get_mut(&upstream).zip(ended) {
                    running.end(id);
                }
                let due = Instant::now() + self.patience(&upstream, change.as_ref());
                let pending = self.pending.entry(upstream).or_insert_with(|| Pending {
                    changes: Vec::new(),
                    dones: Vec::new(),
                    due,
                });
                pending.due = pending.due.min(due);
                pending.changes.extend(change);
                pending.dones.extend(done);
            }
        }
    }

    fn remind(&mut self) {
        self.reminder = Instant::now() + self.config.options.reminder;
        self.unregistered.extend(self.lanes.keys().cloned());
        for upstream in self.unregistered.clone() {
            self.take_in(Message::Change { upstream, change: None, done: None });
        }
    }

    /// A call has its place since then, until then at most.
    fn begin(&mut self, upstream: &str, id: u64, since: Instant, until: Instant) {
        let new = || Running::new(self.config.place_life(), since);
        self.running.entry(upstream.to_owned()).or_insert_with(new).begin(id, since, until);
    }

    /// How long a change may wait for others to go with. What frees a place that somebody may wait for,
    /// or says that the upstream does badly, does not wait.
    fn patience(&mut self, upstream: &str, change: Option<&Op>) -> Duration {
        let limits = self.config.limits.get(upstream);
        let Some(Op::Settle { id, end }) = change else { return Duration::ZERO };
        let is_probe = self.probes.remove(&(upstream.to_owned(), *id));
        let has_places = limits.is_some_and(Limits::has_places);
        let goes_well = matches!(end.verdict, Verdict::Healthy | Verdict::Unknown);
        if goes_well && !is_probe && !has_places { self.config.options.patience } else { Duration::ZERO }
    }

    fn gather(&mut self, in_a_hurry: bool) -> Vec<Work> {
        let now = Instant::now();
        let (pending, running, untold) = (&mut self.pending, &mut self.running, &mut self.untold);
        let work = self.lanes.iter_mut().filter_map(|(upstream, lane)| {
            lane.refuse_late(now);
            let goes = |pending: &Pending| {
                in_a_hurry
                    || pending.due <= now
                    || pending.changes.len() >= MOST_CHANGES
                    || lane.waiting() > 0
            };
            let pending =
                if pending.get(upstream).is_some_and(goes) { pending.remove(upstream) } else { None };
            // What Redis did not hear goes along with whatever goes.
            let goes = |untold: &Untold| pending.is_some() || lane.waiting() > 0 || untold.due() <= now;
            let ends = to_tell_again(untold, upstream, goes);
            let in_company = pending.is_some() || !ends.is_empty() || lane.waiting() > 0;
            // First: who is asked for quota knows of all calls that go on.
            let renewal = running.get_mut(upstream).and_then(|running| running.take(now, in_company));
            let has_changes = pending.is_some() || !ends.is_empty() || renewal.is_some();
            let mut changes: Vec<_> = renewal.into_iter().chain(ends).collect();
            let (newer, dones) =
                pending.map_or_else(Default::default, |pending| (pending.changes, pending.dones));
            changes.extend(newer);
            let freed = changes.iter().filter(|change| change.ends_call()).count();
            let asks = lane.take(now, freed);
            let upstream = upstream.clone();
            (has_changes || !asks.is_empty()).then_some(Work { upstream, changes, dones, asks })
        });
        work.collect()
    }

    /// Changes go first: they free places, and a pause is for all who ask now.
    async fn ask_redis(&mut self, work: Vec<Work>) {
        let late = self.one_round(work).await;
        if late.is_empty() {
            return;
        }
        // The answer was expected sooner, or a clock was set: now its time is known anew.
        for work in self.one_round(late).await {
            let message = "Redis answers later than it is waited for; check its load".into();
            self.fail(work, &PortError::Unavailable { port: PORT, message });
        }
    }

    /// Returns the work that came too late.
    async fn one_round(&mut self, work: Vec<Work>) -> Vec<Work> {
        let asked = Instant::now();
        let valid_until = self.valid_until();
        let scripts = work.iter().map(|work| self.command(work, valid_until));
        let calls: Vec<_> = self.registration().into_iter().chain(scripts).collect();
        let registrations = calls.len() - work.len();
        let values = match script::run(&self.config.redis, PORT, &[&SCRIPT], calls).await {
            Ok(values) => values.into_iter().skip(registrations),
            Err(error) => {
                for work in work {
                    self.fail(work, &error);
                }
                return Vec::new();
            }
        };
        self.unregistered.clear();
        let mut late = Vec::new();
        for (work, value) in work.into_iter().zip(values) {
            let answers = match value.and_then(|value| read(&value)) {
                Ok(answers) => answers,
                Err(error) => {
                    self.fail(work, &error);
                    continue;
                }
            };
            self.clock.hear(answers.now, asked);
            let Some(done) = answers.done else {
                late.push(work);
                continue;
            };
            if done.was_empty {
                self.unregistered.insert(work.upstream.clone());
            }
            self.deliver(work, done.answers, answers.now, asked);
        }
        late
    }

    fn command(&self, work: &Work, valid_until: u64) -> Cmd {
        let now = Instant::now();
        let asks = work.asks.iter().map(|Asked { ask, deadline, .. }| {
            let hold = rounded(micros(deadline.saturating_duration_since(now)));
            Cow::Owned(Op::Ask(SlotAsk::of(ask, hold)))
        });
        let changes = work.changes.iter().map(Cow::Borrowed);
        self.config.call(&work.upstream, valid_until).command(changes.chain(asks))
    }

    /// Behind a server that stood still, scripts wait whose callers have long been told that it is
    /// unavailable. They must not set anything aside.
    fn valid_until(&self) -> u64 {
        match self.clock.at(Instant::now()) {
            0 => 0,
            now => now + micros(self.config.redis.response_timeout()),
        }
    }

    fn deliver(&mut self, work: Work, answers: Vec<Answer>, now: u64, asked_at: Instant) {
        for change in &work.changes {
            if let (Op::Renew { ids }, Some(running)) = (change, self.running.get_mut(&work.upstream)) {
                running.renewed(ids, asked_at);
            }
        }
        let lateness = self.config.lateness(&work.upstream);
        let mut full = Vec::new();
        let mut free_in = Duration::MAX;
        for (asked, answer) in work.asks.into_iter().zip(answers.into_iter().skip(work.changes.len())) {
            let until = |at: u64| Duration::from_micros(at.saturating_sub(now));
            let Answer::Slot(slot, note) = answer else { continue };
            let admission = match slot {
                Slot::Full { until: at } => {
                    free_in = until(at);
                    full.push(asked);
                    continue;
                }
                Slot::At { at, id, probe } => {
                    let Asked { ask, .. } = &asked;
                    let reservation = Reservation { id, upstream: ask.upstream.clone(), spend: ask.spend };
                    if probe {
                        self.probes.insert((work.upstream.clone(), id));
                    }
                    let slot = self.clock.slot(at, lateness);
                    self.begin(&work.upstream, id, asked_at, slot.begins + ask.slot_ttl);
                    Ok(Granted::new(Admission::Go { slot, reservation, probe }, self.own.clone()))
                }
                Slot::TooFar { at, lack, part } => {
                    let why = why(lack, &part.map_or(note, |part| part.note(&asked.ask)));
                    Ok(Granted::refused(Admission::NotBefore { wait: until(at), lack, why }))
                }
                Slot::Never { lack, limit } => Err(too_large(&asked.ask, lack, limit)),
            };
            let _ = asked.answer.send(admission);
        }
        for done in work.dones {
            let _ = done.send(Ok(()));
        }
        if let Some(lane) = self.lanes.get_mut(&work.upstream) {
            lane.put_back(full, free_in, Instant::now());
        }
    }

    fn fail(&mut self, work: Work, error: &PortError) {
        for asked in work.asks {
            let _ = asked.answer.send(Err(error.clone()));
        }
        for done in work.dones {
            let _ = done.send(Err(error.clone()));
        }
        if matches!(error, PortError::Unavailable { .. }) && work.changes.iter().any(Op::ends_call) {
            let now = Instant::now();
            let untold = self.untold.entry(work.upstream.clone()).or_insert_with(|| Untold::new(now));
            untold.keep(work.changes, now);
        }
        if let Some(lane) = self.lanes.get_mut(&work.upstream) {
            lane.fail(error);
        }
    }

    /// Lets reports of all processes know of upstreams.
    fn registration(&self) -> Option<Cmd> {
        let add = || cmd("SADD").arg(self.config.register()).arg(&self.unregistered).clone();
        (!self.unregistered.is_empty()).then(add)
    }

    fn lane(&mut self, upstream: &str) -> &mut Lane {
        if !self.lanes.contains_key(upstream) {
            self.unregistered.insert(upstream.to_owned());
        }
        self.lanes.entry(upstream.to_owned()).or_default()
    }
}

/// A long hold is told with two digits less: asks that came one after the other are alike then, and the script
/// takes those that are together.
fn rounded(hold: u64) -> u64 {
    const STEP: u64 = 10_000;
    if hold < 10 * STEP { hold } else { hold - hold % STEP }
}

/// What goes now of that which Redis did not hear.
fn to_tell_again(
    untold: &mut BTreeMap<String, Untold>,
    upstream: &str,
    goes: impl Fn(&Untold) -> bool,
) -> Vec<Op> {
    let Some(kept) = untold.get_mut(upstream).filter(|kept| goes(kept)) else { return Vec::new() };
    let ends = kept.take();
    if kept.is_empty() {
        untold.remove(upstream);
    }
    ends
}
