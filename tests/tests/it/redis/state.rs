//! What the quota script keeps between its calls: when it is void, when limits change, how much it
//! is. Time is a number here.

use std::time::Duration;

use fleetline_shared::domain::Spend;
use fleetline_shared::ports::{AdaptiveOptions, CallEnd, LONGEST_HOLD, Limits, Rate, Rates};
use fleetline_shared::redis::quotas::answer::{Answer, Done};
use fleetline_shared::redis::quotas::call::{Op, QuotaCall};
use fleetline_shared::redis::{QuotaOptions, Redis};
use fleetline_shared::rules::{Pacing, Slot, SlotAsk, micros};
use fleetline_tests::services;
use redis::Commands;

use super::redis;

const SECOND: u64 = 1_000_000;
const START: u64 = 1_760_000_000_000_000;

fn requests(amount: u64, seconds: u64) -> Limits {
    Limits { requests: Some(Rate { amount, window: Duration::from_secs(seconds) }), ..Limits::default() }
}

/// One upstream at a time of its own, and a way to look at its keys.
struct Bench {
    redis: Redis,
    keys: redis::Connection,
    now: u64,
    pacing: Pacing,
    lead: u64,
    life: u64,
}

impl Bench {
    fn new() -> Self {
        let client = redis::Client::open(services::shared().redis.as_str()).unwrap();
        let pacing = Pacing { margin: 0.0, ..Pacing::default() };
        let (redis, keys) = (redis(), client.get_connection().unwrap());
        Self { redis, keys, now: START, pacing, lead: SECOND, life: 15 * SECOND }
    }

    fn key(&self, name: &str) -> String {
        format!("{{{}:api}}:{name}", self.redis.prefix())
    }

    async fn run(&self, limits: &Limits, version: u64, valid_until: u64, ops: &[Op]) -> Option<Done> {
        let call = QuotaCall {
            prefix: self.redis.prefix(),
            upstream: "api",
            limits,
            pacing: self.pacing,
            version,
            lead: self.lead,
            life: self.life,
            valid_until,
            clock: Some(self.now),
        };
        call.run(&self.redis, ops).await.unwrap().done
    }

    async fn done(&self, limits: &Limits, version: u64, ops: &[Op]) -> Done {
        self.run(limits, version, 0, ops).await.expect("it is never too late")
    }

    /// Calls that may be under way.
    async fn places(&self) -> Option<u32> {
        let done = self.done(&Limits::default(), 0, &[Op::Report]).await;
        let [Answer::Report(standing, _)] = done.answers.as_slice() else { panic!("{done:?}") };
        standing.places
    }

    /// Calls under way, and the limits in force.
    async fn standing(&self) -> (u32, Limits) {
        let done = self.done(&Limits::default(), 0, &[Op::Report]).await;
        let [Answer::Report(standing, limits)] = done.answers.as_slice() else { panic!("{done:?}") };
        (standing.in_flight, (**limits).clone())
    }
}

fn ask(hold: u64) -> Op {
    Op::Ask(SlotAsk { hold, ttl: 60 * SECOND, tenant: "default".into(), ..SlotAsk::default() })
}

fn starts(done: &Done) -> usize {
    done.answers.iter().filter(|answer| matches!(answer, Answer::Slot(Slot::At { .. }, _))).count()
}

fn starts_of(done: &Done) -> impl Iterator<Item = u64> {
    done.answers.iter().filter_map(|answer| match answer {
        Answer::Slot(Slot::At { at, .. }, _) => Some(*at),
        _ => None,
    })
}

/// Whoever was given a slot as far ahead as settings allow still goes.
#[tokio::test]
async fn a_lost_state_waits_for_the_longest_hold() {
    let mut bench = Bench::new();
    bench.lead = micros(QuotaOptions::default().longest_hold);
    let limits = requests(100, 10);
    bench.done(&limits, 1, &[]).await;
    bench.now += 60 * SECOND;
    let many = vec![ask(micros(LONGEST_HOLD)); 120];
    let mut starts: Vec<u64> = Vec::new();
    for tick in 0..130 {
        if tick == 65 {
            let keys = ["quota", "calls", "parts"].map(|name| bench.key(name));
            let _: () = bench.keys.del(&keys).unwrap();
        }
        starts.extend(starts_of(&bench.done(&limits, 1, &many).await));
        bench.now += SECOND / 5;
    }
    starts.sort_unstable();
    let within = |from: u64| starts.iter().filter(|at| (from..from + 10 * SECOND).contains(at)).count();
    let most = starts.iter().map(|from| within(*from)).max();
    assert!(most <= Some(100), "{most:?} in a window");
    assert!(starts.len() > 150, "calls went before and after: {}", starts.len());
}

#[tokio::test]
async fn a_state_of_which_a_part_is_lost_starts_empty() {
    let mut bench = Bench::new();
    let limits = requests(100, 10);
    assert!(bench.done(&limits, 1, &[]).await.was_empty);
    for name in ["quota", "calls"] {
        assert!(!bench.done(&limits, 1, &[ask(SECOND)]).await.was_empty);
        let key = bench.key(name);
        let _: () = bench.keys.del(&key).unwrap();
        assert!(bench.done(&limits, 1, &[ask(SECOND)]).await.was_empty, "{name} was lost");
    }
}

/// A server that was restarted reads a state from its disk that does not know the last calls.
#[tokio::test]
async fn a_state_of_another_run_of_the_server_starts_empty() {
    let mut bench = Bench::new();
    let limits = requests(100, 10);
    bench.done(&limits, 1, &[]).await;
    bench.now += SECOND;
    assert!(!bench.done(&limits, 1, &[]).await.was_empty);
    let key = bench.key("quota");
    let _: () = bench.keys.hset(&key, "run", "0123456789abcdef").unwrap();
    bench.now += SECOND;
    assert!(bench.done(&limits, 1, &[]).await.was_empty);
}

/// Else it would stand still until the clock is where it was.
#[tokio::test]
async fn a_state_of_the_future_starts_empty_and_its_calls_are_not_mistaken() {
    let mut bench = Bench::new();
    let done = bench.done(&Limits::default(), 1, &[ask(0)]).await;
    let [Answer::Slot(Slot::At { id: old, .. }, _)] = done.answers[..] else { panic!("{done:?}") };
    bench.now -= SECOND / 2;
    assert!(!bench.done(&Limits::default(), 1, &[]).await.was_empty, "clocks are set a little all the time");
    bench.now -= 60 * SECOND;
    let done = bench
        .done(&Limits::default(), 1, &[ask(0), Op::Settle { id: old, end: CallEnd::unknown(None) }])
        .await;
    assert!(done.was_empty);
    assert_eq!(done.answers[1], Answer::Changed(false), "a call of the lost state");
    assert_eq!(bench.standing().await.0, 1);
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_does_nothing() {
    let bench = Bench::new();
    assert!(bench.run(&Limits::default(), 1, bench.now - 1, &[ask(0)]).await.is_none());
    assert!(bench.run(&Limits::default(), 1, bench.now, &[ask(0)]).await.is_some());
    assert_eq!(bench.standing().await.0, 1);
}

#[tokio::test]
async fn the_limits_of_the_latest_version_are_in_force() {
    let bench = Bench::new();
    bench.done(&requests(100, 10), 5, &[]).await;
    for (limits, version) in [(requests(7, 10), 4), (Limits::default(), 0)] {
        bench.done(&limits, version, &[]).await;
        assert_eq!(bench.standing().await.1, requests(100, 10), "version {version} is older");
    }
    let newer = Limits { concurrency: Some(3), ..requests(7, 20) };
    bench.done(&newer, 6, &[]).await;
    assert_eq!(bench.standing().await.1, newer);
    bench.done(&Limits::default(), 7, &[]).await;
    assert_eq!(bench.standing().await.1, Limits::default());
}

fn places(concurrency: u32) -> Limits {
    Limits { concurrency: Some(concurrency), ..requests(1_000, 60) }
}

/// The numbers of calls that are let go.
fn ids(done: &Done) -> Vec<u64> {
    let id = |answer: &Answer| match answer {
        Answer::Slot(Slot::At { id, .. }, _) => Some(*id),
        _ => None,
    };
    done.answers.iter().filter_map(id).collect()
}

impl Bench {
    /// One second after the other, with somebody who asks for places; how many get some.
    async fn pass(&mut self, limits: &Limits, seconds: u64, ops: &[Op]) -> usize {
        let mut got = 0;
        for _ in 0..seconds {
            self.now += SECOND;
            got += starts(&self.done(limits, 1, ops).await);
        }
        got
    }

    /// Calls that something is known of, and those that are to be forgotten.
    fn known(&mut self) -> (usize, usize) {
        let (state, idle) = (self.key("quota"), self.key("parts"));
        let fields: Vec<String> = self.keys.hkeys(&state).unwrap();
        let calls = fields.iter().filter(|field| field.starts_with("call.")).count();
        (calls, self.keys.zcard(&idle).unwrap())
    }
}

/// Its process died: what it took of rates stays used, and it is known for as long as the call could last.
#[tokio::test]
async fn a_place_that_is_not_renewed_is_soon_free() {
    let mut bench = Bench::new();
    let limits = places(1);
    bench.done(&limits, 1, &[]).await;
    bench.now += 60 * SECOND;
    let dead = ids(&bench.done(&limits, 1, &[ask(0)]).await);
    assert_eq!(dead.len(), 1);
    assert_eq!(bench.pass(&limits, 14, &[ask(0)]).await, 0);
    assert_eq!(bench.pass(&limits, 1, &[ask(0)]).await, 1);
    let done = bench.done(&Limits::default(), 0, &[Op::Report]).await;
    let [Answer::Report(standing, _)] = done.answers.as_slice() else { panic!("{done:?}") };
    assert_eq!((standing.in_flight, standing.used[0].used), (1, 2));
    assert_eq!(bench.known(), (2, 1));
    bench.pass(&limits, 46, &[]).await;
    let settle = Op::Settle { id: dead[0], end: CallEnd::unknown(None) };
    assert_eq!(bench.done(&limits, 1, &[settle]).await.answers, [Answer::Changed(false)]);
    assert_eq!((bench.known(), bench.standing().await.0), ((1, 1), 0), "the other one is dead as well");
}

#[tokio::test]
async fn a_place_that_is_renewed_is_its_calls_for_as_long_as_that_can_last() {
    let mut bench = Bench::new();
    let limits = places(2);
    bench.done(&limits, 1, &[]).await;
    bench.now += 60 * SECOND;
    let calls = ids(&bench.done(&limits, 1, &[ask(0), ask(0)]).await);
    for _ in 0..5 {
        assert_eq!(bench.pass(&limits, 10, &[ask(0)]).await, 0);
        assert_eq!(bench.done(&limits, 1, &[Op::Renew { ids: calls.clone() }]).await.answers.len(), 1);
    }
    assert_eq!(bench.pass(&limits, 9, &[ask(0)]).await, 0);
    let renewals = [Op::Renew { ids: calls }, ask(0), ask(0)];
    assert_eq!(bench.pass(&limits, 1, &renewals).await, 2, "it is over for certain");
}

/// It had stood still, and others have its place.
#[tokio::test]
async fn a_process_that_goes_on_has_its_places_again() {
    let mut bench = Bench::new();
    let limits = places(1);
    bench.done(&limits, 1, &[]).await;
    bench.now += 60 * SECOND;
    let slow = ids(&bench.done(&limits, 1, &[ask(0)]).await);
    assert_eq!(bench.pass(&limits, 15, &[ask(0)]).await, 1);
    assert_eq!(starts(&bench.done(&limits, 1, &[Op::Renew { ids: slow.clone() }, ask(0)]).await), 0);
    assert_eq!(bench.standing().await.0, 2, "one too many, for a moment");
    assert_eq!(bench.pass(&limits, 14, &[ask(0)]).await, 0);
    bench.pass(&limits, 1, &[]).await;
    assert_eq!(bench.standing().await.0, 0);
    // It had ended long ago, and only its end was not told.
    let used = Some(Spend::default());
    let settle = || Op::Settle { id: slow[0], end: CallEnd::unknown(used) };
    let done = bench.done(&limits, 1, &[settle(), settle(), ask(0), ask(0)]).await;
    assert_eq!(done.answers[..2], [Answer::Changed(true), Answer::Changed(false)]);
    assert_eq!((starts(&done), bench.standing().await.0), (1, 1));
}

/// Nobody could renew while Redis was away: nobody else is let in before all had the time to say what goes on.
#[tokio::test]
async fn places_outlast_a_time_in_which_nobody_is_heard() {
    let mut bench = Bench::new();
    let limits = places(2);
    bench.done(&limits, 1, &[]).await;
    bench.now += 60 * SECOND;
    let long = || {
        let ask = SlotAsk { ttl: 7_200 * SECOND, tenant: "default".into(), ..SlotAsk::default() };
        Op::Ask(ask)
    };
    let calls = ids(&bench.done(&limits, 1, &[long(), long()]).await);
    assert_eq!(bench.pass(&limits, 3, &[ask(0)]).await, 0);
    bench.now += 3_600 * SECOND;
    assert_eq!(starts(&bench.done(&limits, 1, &[ask(0)]).await), 0);
    let lives = Op::Renew { ids: vec![calls[0]] };
    assert_eq!(bench.pass(&limits, 6, &[ask(0)]).await, 0);
    bench.done(&limits, 1, &[lives]).await;
    assert_eq!(bench.pass(&limits, 14, &[ask(0)]).await, 1, "one of them is dead");
}

/// It asked under a build that renews nothing.
#[tokio::test]
async fn a_place_of_a_long_life_needs_no_renewal() {
    let mut bench = Bench::new();
    let limits = places(1);
    bench.done(&limits, 1, &[]).await;
    bench.now += 60 * SECOND;
    let life = std::mem::replace(&mut bench.life, u64::MAX);
    assert_eq!(starts(&bench.done(&limits, 1, &[ask(0)]).await), 1);
    bench.life = life;
    assert_eq!(bench.pass(&limits, 59, &[ask(0)]).await, 0);
    assert_eq!(bench.pass(&limits, 1, &[ask(0)]).await, 1);
}

fn budget(amount: u64) -> Limits {
    let window = Duration::from_hours(24);
    Limits { budget: Some(Rate { amount, window }), ..Limits::default() }
}

#[tokio::test]
async fn another_budget_keeps_what_is_known() {
    let mut bench = Bench::new();
    let spend = Spend { money: 100_000, ..Spend::default() };
    let paid = || Op::Ask(SlotAsk { spend, ttl: SECOND, tenant: "default".into(), ..SlotAsk::default() });
    let many = || std::iter::repeat_with(paid).take(30).collect::<Vec<_>>();
    bench.done(&budget(1_000_000), 1, &[]).await;
    bench.now += 2 * 24 * 3_600 * SECOND;
    assert_eq!(starts(&bench.done(&budget(1_000_000), 1, &[paid(), paid()]).await), 2);
    bench.now += 2 * SECOND;
    let raised = bench.done(&budget(2_000_000), 2, &many()).await;
    assert_eq!(starts(&raised), 18, "all but the two that are known");
    bench.now += 2 * SECOND;
    assert_eq!(starts(&bench.done(&budget(500_000), 3, &many()).await), 0);
    bench.now += 24 * 3_600 * SECOND;
    assert_eq!(starts(&bench.done(&budget(500_000), 3, &many()).await), 5);
}

const DAY: u64 = 24 * 3_600 * SECOND;

fn tenants(rates: Rates) -> Limits {
    Limits { per_tenant: Some(rates), ..Limits::default() }
}

/// Ten calls of the tenant's a day, or a multiple of that.
fn tenants_budget(days_calls: u64) -> Limits {
    tenants(Rates { budget: budget(days_calls * 100_000).budget, ..Rates::default() })
}

fn paid(calls: usize) -> Vec<Op> {
    let spend = Spend { money: 100_000, ..Spend::default() };
    vec![Op::Ask(SlotAsk { spend, ttl: SECOND, tenant: "acme".into(), ..SlotAsk::default() }); calls]
}

/// A state of which all is known, and what a tenant spends of its ten calls of a day.
async fn spends(calls: usize) -> Bench {
    let mut bench = Bench::new();
    bench.done(&tenants_budget(10), 1, &[]).await;
    bench.now += 2 * DAY;
    assert_eq!(starts(&bench.done(&tenants_budget(10), 1, &paid(calls)).await), calls);
    bench.now += 2 * SECOND;
    bench
}

#[tokio::test]
async fn what_a_tenant_spent_counts_whatever_limits_change() {
    let calls = Rates { requests: requests(1_000, 10).requests, ..Rates::default() };
    let both = Rates { budget: budget(1_000_000).budget, ..calls };
    let other_model = || [("other".to_owned(), calls)].into();
    // The limits after it, calls that go half a day later, and a day after all is known.
    for (limits, half_a_day_later, days_later) in [
        (Limits { per_model: other_model(), ..tenants_budget(10) }, 3, 10),
        (Limits { requests: requests(1_000, 10).requests, ..tenants_budget(10) }, 3, 10),
        (tenants(both), 3, 10),
        (tenants_budget(20), 13, 20),
        (tenants_budget(5), 0, 5),
    ] {
        let mut bench = spends(7).await;
        bench.done(&limits, 2, &[]).await;
        bench.now += DAY / 2;
        assert_eq!(starts(&bench.done(&limits, 2, &paid(30)).await), half_a_day_later, "{limits:?}");
        bench.now += 2 * DAY;
        assert_eq!(starts(&bench.done(&limits, 2, &paid(30)).await), days_later, "{limits:?}");
    }
}

/// Meanwhile nobody counted, but what was counted before is known.
#[tokio::test]
async fn what_a_tenant_spent_counts_after_its_limit_was_gone() {
    let mut bench = spends(10).await;
    bench.done(&requests(1_000, 10), 2, &[]).await;
    bench.done(&tenants_budget(10), 3, &[]).await;
    bench.now += DAY / 2;
    assert_eq!(starts(&bench.done(&tenants_budget(10), 3, &paid(30)).await), 0);
    bench.now += 3 * DAY;
    assert_eq!(starts(&bench.done(&tenants_budget(10), 3, &paid(30)).await), 10);
}

#[tokio::test]
async fn what_a_tenant_spent_counts_after_static_shares() {
    let mut bench = spends(10).await;
    let resume = Op::Resume { ahead: SECOND, money: 0 };
    bench.done(&tenants_budget(10), 1, &[resume]).await;
    bench.now += DAY / 2;
    assert_eq!(starts(&bench.done(&tenants_budget(10), 1, &paid(30)).await), 0);
}

/// A call that ends after a change was counted before it.
#[tokio::test]
async fn what_a_call_used_is_booked_though_limits_have_changed() {
    let mut bench = spends(9).await;
    let paid_call = bench.done(&tenants_budget(10), 1, &paid(1)).await;
    let [Answer::Slot(Slot::At { id, .. }, _)] = paid_call.answers[..] else { panic!("{paid_call:?}") };
    let changed = Limits { requests: requests(1_000, 10).requests, ..tenants_budget(10) };
    let settle = Op::Settle { id, end: CallEnd::unknown(Some(Spend::default())) };
    let resume = Op::Resume { ahead: 0, money: 0 };
    let done = bench.done(&changed, 2, &[resume, settle]).await;
    assert_eq!(done.answers[1], Answer::Changed(true));
    bench.now += DAY / 2;
    assert_eq!(starts(&bench.done(&changed, 2, &paid(30)).await), 1, "it used nothing");
}

/// Calls of a rate that changed count under the new one; of a tenant that comes later, all may go.
#[tokio::test]
async fn what_a_tenant_used_under_the_old_limit_counts_under_the_new_one() {
    let mut bench = Bench::new();
    bench.pacing.burst = 1.0;
    let limits = |amount| tenants(Rates { requests: requests(amount, 10).requests, ..Rates::default() });
    bench.done(&limits(100), 1, &[]).await;
    bench.now += 20 * SECOND;
    assert_eq!(starts(&bench.done(&limits(100), 1, &vec![ask(0); 200]).await), 100);
    bench.now += SECOND;
    bench.done(&limits(150), 2, &[]).await;
    bench.now += 8 * SECOND;
    assert_eq!(starts(&bench.done(&limits(150), 2, &vec![ask(900_000); 200]).await), 0, "it is unknown yet");
    bench.now += 2 * SECOND;
    bench.done(&limits(150), 2, &[ask(0)]).await;
    bench.now += 10 * SECOND;
    let other = SlotAsk { hold: 900_000, ttl: SECOND, tenant: "other".into(), ..SlotAsk::default() };
    let other = Op::Ask(other);
    assert_eq!(starts(&bench.done(&limits(150), 2, &vec![other; 200]).await), 150);
}

/// A tenant that is silent for a day is known for as long as its limit's window.
#[tokio::test]
async fn a_state_lasts_as_long_as_a_tenants_window() {
    let mut bench = Bench::new();
    let month = Rates { requests: requests(100, 30 * 86_400).requests, ..Rates::default() };
    let limits = Limits { requests: requests(600, 60).requests, ..tenants(month) };
    bench.done(&limits, 1, &[ask(0)]).await;
    for key in ["quota", "calls"].map(|name| bench.key(name)) {
        let left: i64 = bench.keys.ttl(&key).unwrap();
        assert!(left > 30 * 86_400, "{key}: {left} s");
    }
}

/// As the first version kept it: rates one by one, no share, no breaker. Nobody can tell what a later
/// version would have kept beside, so it is void, and what comes after it goes at an even pace.
#[tokio::test]
async fn a_state_of_the_first_version_is_void_and_not_exceeded() {
    const WINDOW: u64 = 10 * SECOND;
    let mut bench = Bench::new();
    bench.pacing = Pacing::default();
    let (state, ends) = (bench.key("quota"), bench.key("calls"));
    let info: String = redis::cmd("INFO").arg("server").query(&mut bench.keys).unwrap();
    let run = info.lines().find_map(|line| line.strip_prefix("run_id:")).unwrap();
    let used: Vec<u64> = (0..100).map(|n| START - n * SECOND / 10).rev().collect();
    let numbers = [
        ("since", 1),
        ("seen", START),
        ("kept", START + 3_600 * SECOND),
        ("id", START),
        ("slot", START),
        ("paused", 0),
        ("claim", 0),
        ("claim_until", 0),
        ("requests.empty_at", START),
        ("requests.burst", 2),
        ("requests.refunded", 0),
        ("requests.cold_until", 0),
        ("requests.debt", 0),
        ("requests.first", 1),
        ("requests.last", 100),
        ("requests.sum", 100),
    ];
    let texts = [("run", run), ("requests", "100 10050000 2 10000000"), ("tokens", ""), ("concurrency", "5")];
    let _: () = bench.keys.hset_multiple(&state, &numbers).unwrap();
    let _: () = bench.keys.hset_multiple(&state, &texts).unwrap();
    for (n, at) in (1..).zip(&used) {
        let _: () = bench.keys.hset(&state, format!("requests.{n}"), format!("{at} {at} 1")).unwrap();
    }
    let _: () = bench.keys.hset(&state, format!("call.{START}"), format!("{START} 0")).unwrap();
    let _: () = bench.keys.zadd_multiple(&ends, &[(f64::INFINITY, "-".to_owned())]).unwrap();
    let _: () = bench.keys.zadd(&ends, START.to_string(), (START + SECOND) as f64).unwrap();

    let settle = Op::Settle { id: START, end: CallEnd::unknown(None) };
    let done = bench.done(&requests(100, 10), 2, &[settle]).await;
    assert_eq!((done.was_empty, done.answers.as_slice()), (true, &[Answer::Changed(false)][..]));
    let mut starts = used;
    for _ in 0..200 {
        bench.now += SECOND / 10;
        let done = bench.done(&requests(100, 10), 2, &vec![ask(SECOND); 5]).await;
        starts.extend(done.answers.iter().filter_map(|answer| match answer {
            Answer::Slot(Slot::At { at, .. }, _) => Some(*at),
            _ => None,
        }));
    }
    assert!(starts.len() > 250, "{}", starts.len());
    for last in &starts {
        let inside = starts.iter().filter(|start| *start + WINDOW >= *last && *start <= last).count();
        assert!(inside <= 100, "{inside} until {last}");
    }
}

/// The number of places that was found is kept when its bounds change, as far as it is within them.
#[tokio::test]
async fn the_places_that_were_found_stay_within_their_bounds() {
    let mut bench = Bench::new();
    let wide = Limits { adaptive: Some(AdaptiveOptions { min: 2, max: 100 }), ..Limits::default() };
    bench.done(&wide, 1, &[]).await;
    let state = bench.key("quota");
    // Found: 50 places, of which a call takes a second when nothing hinders it.
    let _: () = bench.keys.hset(&state, "adapted", "50 1000000 1 50 0 0 0 0 0").unwrap();
    assert_eq!(bench.places().await, Some(50));
    bench.done(&Limits { concurrency: Some(8), ..wide.clone() }, 2, &[]).await;
    assert_eq!(bench.places().await, Some(8));
    bench.done(&wide, 3, &[]).await;
    assert_eq!(bench.places().await, Some(8), "it does not jump back");
}

#[tokio::test]
async fn what_was_used_under_the_old_limit_counts_under_the_new_one() {
    let mut bench = Bench::new();
    bench.pacing.burst = 1.0;
    bench.done(&requests(100, 10), 1, &[]).await;
    bench.now += 20 * SECOND;
    let asks = vec![ask(0); 200];
    assert_eq!(starts(&bench.done(&requests(100, 10), 1, &asks).await), 100);
    bench.now += 9 * SECOND;
    let asks = vec![ask(900_000); 200];
    assert_eq!(starts(&bench.done(&requests(150, 10), 2, &asks).await), 0, "150 could be used before");
    bench.now += 11 * SECOND + 1;
    assert_eq!(starts(&bench.done(&requests(150, 10), 2, &asks).await), 150);
}

/// Callers that live on start at their slots, whatever the server has lost meanwhile.
#[tokio::test]
async fn slots_of_a_lost_state_count() {
    let mut bench = Bench::new();
    let limits = requests(500, 10);
    let mut starts = Vec::new();
    bench.done(&limits, 1, &[]).await;
    // Lost when the window is full, and once more when the new state has given its first slots.
    for seconds in [15, 2, 15] {
        for _ in 0..seconds * 10 {
            bench.now += SECOND / 10;
            let done = bench.done(&limits, 1, &vec![ask(SECOND); 70]).await;
            starts.extend(done.answers.iter().filter_map(|answer| match answer {
                Answer::Slot(Slot::At { at, .. }, _) => Some(*at),
                _ => None,
            }));
        }
        let key = bench.key("quota");
        let _: () = bench.keys.del(&key).unwrap();
    }
    assert!(starts.len() > 1_000, "{} calls", starts.len());
    starts.sort_unstable();
    for (place, last) in starts.iter().enumerate() {
        let inside = starts[..=place].iter().filter(|at| **at + 10 * SECOND >= *last).count();
        assert!(inside <= 500, "{inside} calls in the window until {last}");
    }
}

/// Entries that no window contains any more are removed, and all of it when nobody calls.
#[tokio::test]
async fn the_state_is_bounded_and_ends() {
    let mut bench = Bench::new();
    let limits = requests(1_000_000, 10);
    bench.done(&limits, 1, &[]).await;
    bench.now += 20 * SECOND;
    for _ in 0..3_000 {
        let done = bench.done(&limits, 1, &[ask(SECOND)]).await;
        let [Answer::Slot(Slot::At { id, .. }, _)] = done.answers[..] else { panic!("{done:?}") };
        bench.done(&limits, 1, &[Op::Settle { id, end: CallEnd::unknown(None) }]).await;
        bench.now += 11_000;
    }
    let (quota, calls) = (bench.key("quota"), bench.key("calls"));
    let fields: usize = bench.keys.hlen(&quota).unwrap();
    assert!((900..1_000).contains(&fields), "{fields} fields: 10 s of entries, and few more");
    assert_eq!(bench.keys.zcard::<_, usize>(&calls).unwrap(), 1, "the mark");
    for key in [quota, calls] {
        let left: i64 = bench.keys.ttl(&key).unwrap();
        assert!((86_400..2 * 86_400).contains(&left), "{left} s");
    }
}

/// Tenants come and go; those who call no more cost no memory.
#[tokio::test]
async fn tenants_that_are_idle_are_forgotten() {
    let mut bench = Bench::new();
    let per_tenant = Rates { requests: requests(10, 10).requests, ..Rates::default() };
    let limits = Limits { per_tenant: Some(per_tenant), ..Limits::default() };
    bench.done(&limits, 1, &[]).await;
    bench.now += 20 * SECOND;
    let ask_of = |tenant: u64| {
        let ask = SlotAsk { ttl: SECOND, tenant: tenant.to_string(), ..SlotAsk::default() };
        Op::Ask(ask)
    };
    for tenant in 0..2_000 {
        bench.now += SECOND / 10;
        assert_eq!(starts(&bench.done(&limits, 1, &[ask_of(tenant)]).await), 1);
    }
    let (quota, parts) = (bench.key("quota"), bench.key("parts"));
    assert!(bench.keys.zcard::<_, usize>(&parts).unwrap() < 150, "10 s of tenants");
    assert!(bench.keys.hlen::<_, usize>(&quota).unwrap() < 400);
    let again = bench.done(&limits, 1, &[ask_of(1_999), ask_of(0)]).await;
    assert_eq!(starts(&again), 1, "who called just now waits, who was forgotten does not");
}
