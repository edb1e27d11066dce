//! The fleet in virtual time: a dispatcher that paces its lines, workers that ask, call and settle, a
//! provider. Only the quota's state is the real one.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};
use std::time::Duration;

use fleetline_shared::domain::{Feedback, Spend, Verdict};
use fleetline_shared::ports::{CallEnd, Limits};
use fleetline_shared::rules::{Pacing, QuotaState, Slot, SlotAsk};

use super::checker::{Broken, Checker, Figures};
use super::traffic::{MINUTE, SECOND, Size, TENANTS, Traffic};
use super::{Mutant, Plan};

/// While there is a backlog, at least this share of the limit is used.
const LEAST_SHARE: f64 = 0.99;
/// What a worker sleeps through, and the half of it that is handed out ahead.
const HOLD: u64 = SECOND;
const LEAD: u64 = HOLD / 2;
/// What was handed out so lately counts as not yet asked for.
const ON_THE_WAY: u64 = 200_000;
/// The dispatcher's clock is no finer.
const MOMENT: u64 = 1_000;
/// From a slot to the call's arrival, at most.
const JITTER: u64 = 200_000;
/// A worker that died is back, or another one, within this.
const REPLACED: u64 = 5 * MINUTE;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A minute begins: tenants submit.
    Minute,
    /// The dispatcher looks.
    Look,
    /// A job may come back.
    Due,
    /// A worker asks for its job.
    Ask(usize),
    /// A call ends.
    End(usize),
    /// A call that nobody ends: its place frees itself.
    Lapse,
    /// A worker is there (again).
    Join,
    /// The provider turns away what arrives next.
    Storm,
    /// Many workers die at once.
    Deploy,
}

/// A job that a worker has.
#[derive(Clone, Copy, Default)]
struct Job {
    number: u64,
    tenant: usize,
    size: Size,
    /// Of its call: the reservation, and the call's number in the checker.
    call: (u64, u64),
    asked: bool,
}

pub(super) struct World<'p> {
    plan: &'p Plan,
    state: QuotaState,
    traffic: Traffic,
    checker: Checker,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    now: u64,
    made: u64,
    /// Jobs by tenant that nobody has.
    backlog: [u64; TENANTS.len()],
    turn: usize,
    /// Jobs that workers have, and free places for more.
    jobs: Vec<Job>,
    free: Vec<usize>,
    /// Handed out, and not asked for yet.
    on_the_way: u64,
    /// Jobs that were told to come back, in the order of their times.
    later: BTreeSet<(u64, usize)>,
    /// Jobs that wait for a place at the provider.
    for_place: VecDeque<usize>,
    idle: u64,
    under_way: usize,
    /// Calls that will be turned away.
    storm: u32,
    /// The look that counts.
    look_at: u64,
}

impl<'p> World<'p> {
    pub(super) fn new(plan: &'p Plan) -> Self {
        let state = QuotaState::new(&plan.given(), Pacing::default(), 0);
        let traffic = Traffic::new(plan.seed, plan.day, plan.capacity(), plan.largest);
        let mut world = Self {
            plan,
            state,
            traffic,
            checker: Checker::new(plan.truth()),
            events: BinaryHeap::new(),
            now: 0,
            made: 0,
            backlog: [0; TENANTS.len()],
            turn: 0,
            jobs: Vec::new(),
            free: Vec::new(),
            on_the_way: 0,
            later: BTreeSet::new(),
            for_place: VecDeque::new(),
            idle: plan.workers,
            under_way: 0,
            storm: 0,
            look_at: u64::MAX,
        };
        world.at(0, Event::Minute);
        world.at(plan.day / 3, Event::Deploy);
        if plan.storms {
            world.at(plan.day / 4, Event::Storm);
        }
        world
    }

    /// Lives until the end; returns the figures, and the first promise that was broken.
    pub(super) fn live(mut self) -> (Figures, Option<Broken>) {
        while let Some(Reverse((at, _, event))) = self.events.pop()
            && at < self.plan.days * self.plan.day
        {
            if event == Event::Look && self.look_at != at {
                continue;
            }
            self.now = at;
            let waits = self.work_waits();
            self.checker.now(at, waits);
            self.happen(event);
            self.checker.at_once(self.under_way);
        }
        self.checker.conclude(LEAST_SHARE)
    }

    /// Whether the tenant has a job that is not held back by a limit of its own.
    fn may_go(&self, tenant: usize) -> bool {
        let is_held = |(_, place): &(u64, usize)| self.jobs[*place].tenant == tenant;
        self.backlog[tenant] > 0 && (self.plan.per_tenant.is_none() || !self.later.iter().any(is_held))
    }

    /// Whether only the limits keep work from starting.
    fn work_waits(&mut self) -> bool {
        let eligible = (0..TENANTS.len()).any(|tenant| self.may_go(tenant));
        let places = self.plan.concurrency.is_none_or(|places| self.under_way < places as usize);
        if !eligible || self.idle == 0 || !places {
            return false;
        }
        let standing = self.state.standing(self.now);
        standing.effective == 1_000 && standing.paused_until <= self.now
    }

    fn at(&mut self, at: u64, event: Event) {
        self.made += 1;
        self.events.push(Reverse((at, self.made, event)));
    }

    fn look_again(&mut self, at: u64) {
        if at < self.look_at || self.look_at <= self.now {
            self.look_at = at;
            self.at(at, Event::Look);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Minute => {
                for tenant in 0..TENANTS.len() {
                    self.backlog[tenant] += self.traffic.jobs(tenant, self.now);
                }
                self.at(self.now + MINUTE, Event::Minute);
                self.look();
            }
            Event::Look => self.look(),
            Event::Due => self.look_again(self.now + MOMENT),
            Event::Ask(place) => {
                self.on_the_way -= 1;
                if self.ask(place) {
                    self.look();
                } else {
                    // What was handed out lately counts as on its way.
                    self.look_again(self.now + ON_THE_WAY);
                }
            }
            Event::End(place) => self.end(place),
            Event::Lapse => {
                self.under_way -= 1;
                self.next_for_place();
                self.look();
            }
            Event::Join => {
                self.idle += 1;
                self.look();
            }
            Event::Storm => {
                self.storm = 3;
                let next = self.traffic.up_to(self.plan.day / 6);
                self.at(self.now + MINUTE + next, Event::Storm);
            }
            Event::Deploy => {
                let died = self.idle.min(self.plan.workers / 3);
                self.idle -= died;
                for _ in 0..died {
                    let back = self.traffic.up_to(REPLACED);
                    self.at(self.now + back, Event::Join);
                }
                self.at(self.now + self.plan.day, Event::Deploy);
            }
        }
    }

    /// Hands out what can ask soon, tenants in turn, as the dispatcher does.
    fn look(&mut self) {
        let standing = self.state.standing(self.now);
        if standing.paused_until > self.now {
            return self.look_again(standing.paused_until);
        }
        let next_in = standing.next_start.saturating_sub(self.now);
        if next_in >= LEAD {
            return self.look_again((standing.next_start - LEAD).max(self.now) + MOMENT);
        }
        let per_second = self.plan.capacity() / 60.0 * f64::from(standing.effective) / 1e3;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
        let room = (per_second * (LEAD - next_in) as f64 / 1e6).ceil() as u64;
        let places = self.plan.concurrency.map(|places| {
            let places = u64::from(places);
            (places + places / 4 + 1).saturating_sub(self.under_way as u64 + self.for_place.len() as u64)
        });
        let room = room.min(places.unwrap_or(u64::MAX)).saturating_sub(self.on_the_way);
        for _ in 0..room {
            if !self.hand_out() {
                break;
            }
        }
    }

    fn hand_out(&mut self) -> bool {
        if self.idle == 0 {
            return false;
        }
        let Some(place) = self.returning().or_else(|| self.next_of_backlog()) else { return false };
        self.idle -= 1;
        self.on_the_way += 1;
        let way = self.traffic.up_to(50_000);
        self.at(self.now + way, Event::Ask(place));
        true
    }

    /// A job whose time to come back has come: it keeps its place before those that never asked.
    fn returning(&mut self) -> Option<usize> {
        let (at, place) = self.later.first().copied().filter(|(at, _)| *at <= self.now)?;
        self.later.remove(&(at, place));
        Some(place)
    }

    fn next_of_backlog(&mut self) -> Option<usize> {
        let mut tenants = (0..TENANTS.len()).map(|step| (self.turn + 1 + step) % TENANTS.len());
        let tenant = tenants.find(|tenant| self.may_go(*tenant))?;
        self.turn = tenant;
        self.backlog[tenant] -= 1;
        self.made += 1;
        let job = Job { number: self.made, tenant, size: self.traffic.size(), ..Job::default() };
        let place = self.free.pop().unwrap_or_else(|| {
            self.jobs.push(job);
            self.jobs.len() - 1
        });
        self.jobs[place] = job;
        Some(place)
    }

    /// Whether it is given a slot.
    fn ask(&mut self, place: usize) -> bool {
        let job = self.jobs[place];
        if !job.asked {
            self.checker.asks(job.number, job.tenant, self.now);
            self.jobs[place].asked = true;
        }
        let ask = SlotAsk {
            spend: Spend { input_tokens: job.size.estimate, ..Spend::default() },
            hold: HOLD,
            lead: 0,
            ttl: if self.plan.mutant == Some(Mutant::PlacesFreedEarly) { SECOND } else { self.plan.ttl },
            tenant: format!("tenant-{}", job.tenant),
            model: String::new(),
        };
        match self.state.admit(&ask, self.now) {
            Slot::At { at, id, .. } => {
                self.start(place, at, id);
                true
            }
            Slot::TooFar { at, .. } => {
                let again = match self.plan.mutant {
                    // A worker that does not come back when it was told to.
                    Some(Mutant::LateBack) => at + 4 * MINUTE,
                    _ => at,
                };
                self.idle += 1;
                self.later.insert((again, place));
                self.at(again, Event::Due);
                false
            }
            Slot::Full { .. } => {
                self.for_place.push_back(place);
                false
            }
            Slot::Never { .. } => panic!("no call is larger than a limit"),
        }
    }

    fn start(&mut self, place: usize, slot: u64, id: u64) {
        let job = self.jobs[place];
        let call = self.checker.starts(job.number, slot, job.size);
        self.jobs[place].call = (id, call);
        self.under_way += 1;
        if self.traffic.per_million(300) {
            // It dies before its call: the slot is lost, and nobody settles.
            return self.dies(place, slot + self.plan.ttl);
        }
        let arrives = slot + self.traffic.up_to(JITTER);
        self.checker.arrives(arrives);
        if self.traffic.per_million(2_000) {
            return self.dies(place, slot + self.plan.ttl);
        }
        let takes = self.traffic.latency(self.plan.latency);
        self.at((arrives + takes).min(slot + self.plan.ttl - 1), Event::End(place));
    }

    fn dies(&mut self, place: usize, lapses: u64) {
        self.free.push(place);
        self.at(lapses, Event::Lapse);
        let back = self.traffic.up_to(REPLACED);
        self.at(self.now + back, Event::Join);
    }

    fn end(&mut self, place: usize) {
        let Job { size, call: (id, call), .. } = self.jobs[place];
        let mut end = CallEnd::unknown(None);
        if self.storm > 0 {
            self.storm -= 1;
            let wait = Duration::from_secs(5 + self.traffic.up_to(25));
            if self.plan.mutant != Some(Mutant::DeafTo429) {
                end.verdict = Verdict::RateLimited;
            }
            end.feedback = Feedback { retry_after: Some(wait), ..Feedback::default() };
            self.settle(id, call, Size { used: 0, ..size }, &mut end);
            let until = self.now + u64::try_from(wait.as_micros()).expect("seconds");
            if self.state.standing(self.now).paused_until == until || end.verdict != Verdict::RateLimited {
                self.checker.paused(self.now, until);
            }
        } else {
            end.verdict = Verdict::Healthy;
            self.settle(id, call, size, &mut end);
        }
        self.under_way -= 1;
        self.idle += 1;
        self.free.push(place);
        self.next_for_place();
        self.look();
    }

    fn settle(&mut self, id: u64, call: u64, size: Size, end: &mut CallEnd) {
        let told = match self.plan.mutant {
            Some(Mutant::RefundTwice) => (2 * size.used).saturating_sub(size.estimate),
            _ => size.used,
        };
        end.used = Some(Spend { input_tokens: told, ..Spend::default() });
        self.state.settle(id, end, self.now);
        self.checker.used(call, size.used);
    }

    fn next_for_place(&mut self) {
        if let Some(place) = self.for_place.pop_front() {
            self.ask(place);
        }
    }
}

impl Plan {
    /// Calls in a minute that the limits allow.
    fn capacity(&self) -> f64 {
        self.calls_per_minute
    }

    /// The limits as the state is told.
    fn given(&self) -> Limits {
        match self.mutant {
            Some(Mutant::RateTooHigh) => self.limits(1.01, 1.0),
            Some(Mutant::WindowTooShort) => self.limits(1.0, 0.99),
            Some(Mutant::RateTooLow) => self.limits(0.98, 1.0),
            _ => self.limits(1.0, 1.0),
        }
    }
}
