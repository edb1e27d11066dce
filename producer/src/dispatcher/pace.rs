//! No faster than the upstreams allow: jobs that could not call soon stay in the ledger.
//!
//! A worker sleeps through a wait of `hold` at most; jobs beyond that go back, which costs a trip for
//! nothing. So the dispatcher keeps about half of the hold's calls given out ahead, as the quotas
//! report it, and no more.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use fleetline_shared::domain::{Dimension, Envelope};
use fleetline_shared::failing::Failing;
use fleetline_shared::ports::{BreakerReport, Limits, Quotas, Rate, UpstreamReport};
use tokio::time::Instant;

/// Jobs handed out so lately may not have asked for their quota yet.
const ON_THE_WAY: Duration = Duration::from_millis(200);
/// A look at the quotas is good for so long: a fraction of the time for which is handed out ahead, and of
/// [`ON_THE_WAY`], so that nothing handed out since is forgotten.
const FRESH: Duration = Duration::from_millis(50);
/// Bounds of the time between two looks at an upstream that is used to the full.
const SOONEST: Duration = Duration::from_millis(20);
/// When to look again while a breaker's probe is under way.
const PROBED: Duration = Duration::from_millis(200);
/// Weight of the newest job in the means of tokens.
const NEWEST: f64 = 0.1;

/// What is known of the upstreams' use.
pub(super) struct Pace {
    /// Half of what workers hold.
    lead: Duration,
    /// Upstreams whose jobs have another way while the breaker is open.
    detours: BTreeSet<String>,
    upstreams: BTreeMap<String, Handed>,
    /// The latest look at the quotas; it may have shown nothing.
    reports: Option<(Instant, Option<Vec<UpstreamReport>>)>,
    failing: Failing,
}

/// What was handed out for one upstream.
#[derive(Default)]
struct Handed {
    lately: VecDeque<(Instant, usize)>,
    mean: Option<MeanJob>,
}

/// Tokens of a job.
#[derive(Clone, Copy, Debug, Default)]
struct MeanJob {
    input: f64,
    output: f64,
}

/// What may be handed out now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Allowed {
    /// For these upstreams nothing.
    pub(super) none: Vec<String>,
    /// For these so many jobs; for all others any number.
    pub(super) some: BTreeMap<String, usize>,
    /// When to look again, unless something changes.
    pub(super) look_in: Option<Duration>,
}

impl Allowed {
    /// Jobs that may be handed out for an upstream with a limit.
    pub(super) fn jobs(&self, upstream: &str) -> usize {
        self.some.get(upstream).copied().unwrap_or(0)
    }

    /// The upstreams that may have some jobs, but fewer than this; and all that may not have so many.
    pub(super) fn fewer_than(&self, jobs: usize) -> (Vec<String>, Vec<String>) {
        let fewer = self.some.iter().filter(|(_, some)| **some < jobs);
        let scarce = fewer.clone().filter(|(_, some)| **some > 0).map(|(name, _)| name.clone());
        (scarce.collect(), self.none.iter().chain(fewer.map(|(name, _)| name)).cloned().collect())
    }

    /// The upstreams with limits, but for this one.
    pub(super) fn others(&self, upstream: &str) -> Vec<String> {
        let others = self.some.keys().filter(|name| name.as_str() != upstream);
        self.none.iter().chain(others).cloned().collect()
    }

    /// Notes what was handed out.
    pub(super) fn note(&mut self, envelopes: &[Envelope]) {
        for upstream in envelopes.iter().filter_map(|envelope| envelope.upstream.as_ref()) {
            if let Some(jobs) = self.some.get_mut(upstream) {
                *jobs = jobs.saturating_sub(1);
            }
        }
    }
}

impl Pace {
    /// `upstreams` are to be known from the start.
    pub(super) fn new(hold: Duration, detours: BTreeSet<String>, upstreams: &BTreeSet<String>) -> Self {
        let upstreams = upstreams.iter().map(|name| (name.clone(), Handed::default())).collect();
        Self { lead: hold / 2, detours, upstreams, reports: None, failing: Failing::default() }
    }

    /// What the upstreams allow now. Every move of a line leads here: between two looks at the quotas,
    /// what was handed out since the first is what changes. While the quotas cannot be looked at, nothing
    /// is allowed for the upstreams that are known: workers could not call them.
    pub(super) async fn look(&mut self, quotas: &dyn Quotas) -> Allowed {
        let now = Instant::now();
        let (at, reports) = match self.reports.take() {
            Some((at, reports)) if now < at + FRESH => (at, reports),
            _ => (now, self.reports_of(quotas).await),
        };
        let allowed = match &reports {
            Some(reports) => self.allowed(reports, Instant::now()),
            None => Allowed { none: self.upstreams.keys().cloned().collect(), ..Allowed::default() },
        };
        self.reports = Some((at, reports));
        allowed
    }

    async fn reports_of(&mut self, quotas: &dyn Quotas) -> Option<Vec<UpstreamReport>> {
        match quotas.report().await {
            Ok(reports) => {
                if self.failing.end() {
                    tracing::info!("the quotas answer again");
                }
                Some(reports)
            }
            Err(error) => {
                if self.failing.begin(Instant::now()) {
                    tracing::warn!(%error, "jobs that call an upstream wait; the others go on");
                }
                None
            }
        }
    }

    /// What the upstreams allow now.
    pub(super) fn allowed(&mut self, reports: &[UpstreamReport], now: Instant) -> Allowed {
        let mut allowed = Allowed::default();
        for report in reports {
            if self.takes_detour(report) {
                continue;
            }
            let wait = match (closed_for(report), self.room(report, now)) {
                (Some(wait), _) => wait,
                (None, None) => continue,
                (None, Some(0)) => report.next_in.saturating_sub(self.lead).max(SOONEST),
                (None, Some(jobs)) => {
                    allowed.some.insert(report.upstream.clone(), jobs);
                    self.lead / 4
                }
            };
            allowed.look_in = Some(allowed.look_in.map_or(wait, |sooner| sooner.min(wait)));
            if !allowed.some.contains_key(&report.upstream) {
                allowed.none.push(report.upstream.clone());
            }
        }
        // Only those that are reported may be called then.
        if reports.iter().any(|report| report.apart) {
            let is_reported = |name: &&String| reports.iter().any(|report| report.upstream == **name);
            allowed.none.extend(self.upstreams.keys().filter(|name| !is_reported(name)).cloned());
        }
        allowed
    }

    /// Whether jobs go on without a call, as fast as they can.
    fn takes_detour(&self, report: &UpstreamReport) -> bool {
        let is_open =
            matches!(report.breaker, Some(BreakerReport::Open { .. } | BreakerReport::HalfOpen { .. }));
        is_open && report.paused.is_none() && self.detours.contains(&report.upstream)
    }

    /// Notes what was handed out.
    pub(super) fn note(&mut self, envelopes: &[Envelope], now: Instant) {
        for envelope in envelopes {
            let Some(upstream) = &envelope.upstream else { continue };
            if !self.upstreams.contains_key(upstream) {
                self.upstreams.insert(upstream.clone(), Handed::default());
            }
            let handed = self.upstreams.get_mut(upstream).expect("it is there");
            match handed.lately.back_mut() {
                Some((at, jobs)) if *at == now => *jobs += 1,
                _ => handed.lately.push_back((now, 1)),
            }
            let estimate = envelope.estimate;
            let newest =
                MeanJob { input: estimate.input_tokens as f64, output: estimate.output_tokens as f64 };
            handed.mean = Some(handed.mean.map_or(newest, |mean| mean.with(newest)));
        }
    }

    /// Jobs that may be handed out; `None`: the upstream has no limit.
    fn room(&mut self, report: &UpstreamReport, now: Instant) -> Option<usize> {
        let mean = self.upstreams.get(&report.upstream).and_then(|handed| handed.mean).unwrap_or_default();
        let ahead = self.lead.saturating_sub(report.next_in);
        let by_rate = jobs_per_second(&report.limits, mean)
            .map(|rate| whole(rate * f64::from(report.effective) / 1e3 * ahead.as_secs_f64()));
        let by_money = report.limits.budget.and_then(|_| affordable(report, ahead));
        // A quarter more than can run: the next ones are there when a place becomes free.
        let by_places = report.limits.concurrency.map(|places| {
            let places = places as usize;
            (places + places / 4 + 1).saturating_sub(report.in_flight as usize)
        });
        let by_breaker = matches!(report.breaker, Some(BreakerReport::HalfOpen { .. })).then_some(1);
        let room = [by_rate, by_money, by_places, by_breaker].into_iter().flatten().min()?;
        // Of what workers do apart nothing is heard: then the pace is what was handed out.
        let unheard = if report.apart { self.lead } else { ON_THE_WAY };
        let keep = self.lead.max(ON_THE_WAY);
        let handed = self.upstreams.get_mut(&report.upstream);
        let lately = handed.map_or(0, |handed| handed.since(now, unheard, keep));
        Some(room.saturating_sub(lately))
    }
}

impl MeanJob {
    fn with(self, newest: Self) -> Self {
        let with = |mean: f64, newest: f64| mean + NEWEST * (newest - mean);
        Self { input: with(self.input, newest.input), output: with(self.output, newest.output) }
    }
}

impl Handed {
    /// Jobs handed out within this time; older ones than `keep` are forgotten.
    fn since(&mut self, now: Instant, within: Duration, keep: Duration) -> usize {
        while self.lately.front().is_some_and(|(at, _)| *at + keep < now) {
            self.lately.pop_front();
        }
        self.lately.iter().rev().take_while(|(at, _)| *at + within >= now).map(|(_, jobs)| jobs).sum()
    }
}

/// Time until a pause and an open breaker let anybody go, if they hold all up now.
fn closed_for(report: &UpstreamReport) -> Option<Duration> {
    let paused = report.paused.as_ref().map(|(wait, _)| *wait);
    let open = match report.breaker {
        Some(BreakerReport::Open { probe_in }) => Some(probe_in),
        // Its end is told to nobody: the next look is soon enough.
        Some(BreakerReport::HalfOpen { probing: true }) => Some(PROBED),
        _ => None,
    };
    paused.max(open)
}

/// How many jobs the rates allow, if jobs take so many tokens.
fn jobs_per_second(limits: &Limits, mean: MeanJob) -> Option<f64> {
    let MeanJob { input, output } = mean;
    let jobs = |rate: Option<Rate>, units: f64| {
        rate.map(|rate| rate.amount as f64 / rate.window.as_secs_f64() / units.max(1.0))
    };
    let by_rate = [
        jobs(limits.requests, 1.0),
        jobs(limits.input_tokens, input),
        jobs(limits.output_tokens, output),
        jobs(limits.tokens, input + output),
    ];
    by_rate.into_iter().flatten().reduce(f64::min)
}

/// How many calls what is left of the budget pays for: it is no pace, all of it may go at once. `None`: as
/// many as there are, since no call was asked for yet that costs something.
fn affordable(report: &UpstreamReport, ahead: Duration) -> Option<usize> {
    if ahead.is_zero() {
        return Some(0);
    }
    let budget = report.used.iter().find(|used| used.dimension == Dimension::Money)?;
    let left = budget.limit.saturating_sub(budget.used.saturating_add(budget.others));
    let price = Some(report.next_spend.money).filter(|price| *price > 0)?;
    Some(whole(left as f64 / price as f64))
}

/// Rounded up.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "jobs of half a second, or of what is left of a budget"
)]
fn whole(jobs: f64) -> usize {
    jobs.ceil() as usize
}

#[cfg(test)]
mod tests {
    use fleetline_shared::domain::{DedupKey, Estimate, JobId, RunId, Spend};
    use fleetline_shared::ports::DimensionUse;

    use super::*;

    const HOLD: Duration = Duration::from_secs(1);

    fn report(limits: &Limits, in_flight: u32, next_in_ms: u64) -> UpstreamReport {
        UpstreamReport {
            upstream: "api".into(),
            limits: limits.clone(),
            effective: 1_000,
            used: Vec::new(),
            waiting: 0,
            in_flight,
            paused: None,
            next_in: Duration::from_millis(next_in_ms),
            next_spend: Spend::default(),
            breaker: None,
            apart: false,
        }
    }

    fn pace() -> Pace {
        Pace::new(HOLD, BTreeSet::new(), &BTreeSet::new())
    }

    fn envelope() -> Envelope {
        Envelope {
            v: 1,
            job_id: JobId::new(),
            run_id: RunId::new(),
            tenant: "default".into(),
            kind: "node.extract".into(),
            fence: 1,
            attempts: 0,
            max_attempts: 5,
            deadline_ms: None,
            dedup_key: DedupKey::from_bytes([0; 32]),
            upstream: Some("api".into()),
            estimate: Estimate::default(),
            again: false,
            args: None,
        }
    }

    fn per_minute(amount: u64) -> Limits {
        let requests = Some(Rate { amount, window: Duration::from_mins(1) });
        Limits { requests, ..Limits::default() }
    }

    #[test]
    fn about_half_of_the_hold_is_handed_out_ahead() {
        let (requests, few) = (per_minute(6_000), per_minute(6));
        let places = Limits { concurrency: Some(8), ..Limits::default() };
        let both = Limits { concurrency: Some(8), ..requests.clone() };
        // limits, calls under way, next one in ms, jobs
        let table = [
            (&Limits::default(), 5, 0, None),
            (&requests, 5, 0, Some(50)),
            (&requests, 5, 400, Some(10)),
            (&requests, 5, 500, Some(0)),
            (&requests, 5, 9_000, Some(0)),
            (&few, 0, 0, Some(1)),
            (&few, 0, 500, Some(0)),
            (&places, 0, 0, Some(11)),
            (&places, 8, 0, Some(3)),
            (&places, 20, 0, Some(0)),
            (&both, 2, 0, Some(9)),
            (&both, 2, 480, Some(2)),
        ];
        for (limits, in_flight, next_in, expected) in table {
            let room = pace().room(&report(limits, in_flight, next_in), Instant::now());
            assert_eq!(room, expected, "{limits:?}, {in_flight} under way, next in {next_in} ms");
        }
    }

    #[test]
    fn each_kind_of_tokens_has_its_pace() {
        let rate = Some(Rate { amount: 60_000, window: Duration::from_mins(1) });
        let by_input = Limits { input_tokens: rate, ..Limits::default() };
        let by_output = Limits { output_tokens: rate, ..Limits::default() };
        let by_both = Limits { tokens: rate, ..Limits::default() };
        let by_all = Limits { requests: rate, input_tokens: rate, ..by_output.clone() };
        // limits, next one in ms, jobs of 100 and 10 tokens
        for (limits, next_in, jobs) in
            [(&by_input, 0, 5), (&by_input, 500, 0), (&by_input, 9_000_000, 0), (&by_output, 0, 50)]
                .into_iter()
                .chain([(&by_both, 0, 5), (&by_all, 0, 5), (&by_all, 9_000_000, 0)])
        {
            let mut pace = pace();
            let earlier = Instant::now();
            let estimate = Estimate { input_tokens: 100, output_tokens: 10 };
            pace.note(&[Envelope { estimate, ..envelope() }], earlier);
            let now = earlier + HOLD;
            assert_eq!(pace.room(&report(limits, 0, next_in), now), Some(jobs), "{limits:?}, {next_in} ms");
        }
    }

    #[test]
    fn what_is_left_of_a_budget_may_go_at_once() {
        let budget = Some(Rate { amount: 1_000_000, window: Duration::from_hours(24) });
        let limits = Limits { budget, ..Limits::default() };
        // used, by others, price of a call, next one in ms, jobs
        for (used, others, money, next_in, jobs) in [
            (0, 0, 0, 0, None),
            (0, 0, 1_000, 0, Some(1_000)),
            (900_000, 0, 1_000, 0, Some(100)),
            (0, 990_000, 1_000, 0, Some(10)),
            (999_500, 0, 1_000, 400, Some(1)),
            (1_000_000, 0, 1_000, 400, Some(0)),
            (0, 0, 0, 9_000_000, Some(0)),
            (900_000, 0, 1_000, 9_000_000, Some(0)),
        ] {
            let spent = DimensionUse { dimension: Dimension::Money, used, others, limit: 1_000_000 };
            let next_spend = Spend { money, ..Spend::default() };
            let report = UpstreamReport { used: vec![spent], next_spend, ..report(&limits, 0, next_in) };
            let room = pace().room(&report, Instant::now());
            assert_eq!(room, jobs, "{used} used, {others} by others, next in {next_in} ms");
        }
    }

    #[test]
    fn whoever_may_have_enough_goes_with_those_without_a_limit() {
        let some = [("a", 0), ("b", 3), ("c", 8)].map(|(name, jobs)| (name.to_owned(), jobs));
        let allowed = Allowed { none: vec!["d".into()], some: BTreeMap::from(some), look_in: None };
        // room, who goes alone, who does not go with the others
        for (room, alone, skipped) in [
            (8, &["b"][..], &["d", "a", "b"][..]),
            (9, &["b", "c"], &["d", "a", "b", "c"]),
            (1, &[], &["d", "a"]),
        ] {
            let (scarce, skip) = allowed.fewer_than(room);
            assert_eq!(scarce, alone, "room for {room}");
            assert_eq!(skip, skipped, "room for {room}");
        }
        assert_eq!(allowed.others("b"), ["d", "a", "c"]);
    }

    #[tokio::test(start_paused = true)]
    async fn workers_apart_get_as_much_as_they_may_use() {
        let limits = per_minute(6_000);
        let report = UpstreamReport { apart: true, ..report(&limits, 0, 0) };
        let (mut pace, mut jobs) = (pace(), 0);
        for _ in 0..1_000 {
            let allowed = pace.allowed(std::slice::from_ref(&report), Instant::now());
            let some = allowed.jobs("api");
            let envelopes: Vec<_> = (0..some).map(|_| envelope()).collect();
            pace.note(&envelopes, Instant::now());
            jobs += some;
            tokio::time::advance(Duration::from_millis(60)).await;
        }
        assert!((5_000..6_100).contains(&jobs), "{jobs} in a minute");
    }

    #[test]
    fn workers_apart_get_nothing_of_unknown_upstreams() {
        let (mut pace, limits) = (pace(), per_minute(6_000));
        let unknown = Envelope { upstream: Some("another".into()), ..envelope() };
        pace.note(&[unknown, envelope()], Instant::now());
        for (apart, none) in [(false, &[][..]), (true, &["another".to_owned()])] {
            let report = UpstreamReport { apart, ..report(&limits, 0, 0) };
            assert_eq!(pace.allowed(&[report], Instant::now()).none, none);
        }
    }

    #[test]
    fn nobody_is_sent_to_an_open_breaker_and_one_to_a_half_open_one() {
        let look = |breaker| {
            let report = UpstreamReport { breaker: Some(breaker), ..report(&Limits::default(), 0, 0) };
            pace().allowed(&[report], Instant::now())
        };
        let probe_in = Duration::from_secs(40);
        let open = look(BreakerReport::Open { probe_in });
        assert_eq!((open.none.as_slice(), open.look_in), (&["api".to_owned()][..], Some(probe_in)));
        assert_eq!(look(BreakerReport::HalfOpen { probing: true }).none, ["api"]);
        assert_eq!(look(BreakerReport::HalfOpen { probing: false }).jobs("api"), 1);
        assert_eq!(look(BreakerReport::Closed { failures: 2 }), Allowed::default());
    }

    #[test]
    fn jobs_that_have_another_way_are_not_held_up_by_a_breaker() {
        let detours = || BTreeSet::from(["api".to_owned()]);
        let allowed = |report: UpstreamReport| {
            Pace::new(HOLD, detours(), &BTreeSet::new()).allowed(&[report], Instant::now())
        };
        let requests = per_minute(6);
        for breaker in
            [BreakerReport::Open { probe_in: HOLD }, BreakerReport::HalfOpen { probing: true }].map(Some)
        {
            let open = UpstreamReport { breaker, ..report(&requests, 0, 9_000) };
            assert_eq!(allowed(open.clone()), Allowed::default());
            let paused = UpstreamReport { paused: Some((HOLD, "429".into())), ..open };
            assert_eq!(allowed(paused).none, ["api"]);
        }
        let closed = UpstreamReport {
            breaker: Some(BreakerReport::Closed { failures: 2 }),
            ..report(&requests, 0, 9_000)
        };
        assert_eq!(allowed(closed).none, ["api"]);
    }

    #[test]
    fn a_pause_and_a_full_upstream_say_when_to_look_again() {
        let requests = per_minute(6_000);
        let wait = Duration::from_secs(7);
        let paused = UpstreamReport { paused: Some((wait, "429".into())), ..report(&requests, 0, 0) };
        let look = |report: &UpstreamReport| pace().allowed(std::slice::from_ref(report), Instant::now());
        assert_eq!(look(&paused).none, ["api"]);
        assert_eq!(look(&paused).look_in, Some(wait));
        assert_eq!(look(&report(&requests, 0, 900)).look_in, Some(Duration::from_millis(400)));
        assert_eq!(look(&report(&requests, 0, 900)).none, ["api"]);
        assert!(look(&report(&requests, 0, 0)).none.is_empty());
    }
}
