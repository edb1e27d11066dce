//! What is said of a job, by its state and what is around it.

use std::time::Duration;

use fleetline_shared::domain::{DedupKey, Dimension, Estimate, JobId, JobState, RunId, Spend, Weights};
use fleetline_shared::ports::{
    Backlog, BreakerReport, DimensionUse, Held, Holder, JobStanding, Limits, Rate, Rates, UpstreamReport,
};

use super::explain::explain;
use super::upstreams::view;
use super::{Explanation, Scene, WaitsFor};

const SECOND: Duration = Duration::from_secs(1);

fn ready() -> JobStanding {
    JobStanding {
        job: JobId::new(),
        run: RunId::new(),
        tenant: "acme".into(),
        kind: "node.extract".into(),
        upstream: Some("api".into()),
        dedup_key: DedupKey::from_bytes([1; 32]),
        estimate: Estimate::default(),
        state: JobState::Ready,
        attempts: 0,
        max_attempts: 3,
        error: None,
        due_in: None,
        dispatched: None,
        deadline_in: None,
        withdrawn: false,
        twin: None,
        ahead: 0,
        lanes: 0,
        turns: 0,
        rivals: Vec::new(),
    }
}

fn dispatched() -> JobStanding {
    JobStanding { state: JobState::Dispatched, dispatched: Some(SECOND), ..ready() }
}

fn limits() -> Limits {
    Limits { requests: Some(per_minute(600)), concurrency: Some(5), ..Limits::default() }
}

fn report() -> UpstreamReport {
    let used = DimensionUse { dimension: Dimension::Requests, used: 580, others: 20, limit: 600 };
    UpstreamReport {
        breaker: None,
        apart: false,
        upstream: "api".into(),
        limits: limits(),
        effective: 1_000,
        used: vec![used],
        in_flight: 2,
        waiting: 0,
        paused: None,
        next_in: Duration::ZERO,
        next_spend: Spend::default(),
    }
}

fn fleet(report: UpstreamReport) -> Scene {
    let backlog = vec![Backlog {
        upstream: Some("api".into()),
        kind: "node.extract".into(),
        due: 90,
        later: 10,
        dispatched: 20,
        attached: 5,
        tokens: 100.0,
    }];
    let limits = report.limits.clone();
    Scene {
        backlog,
        limits,
        report: Some(report),
        consumers: Some(4),
        on_line: Some(3),
        lease: None,
        model: None,
        is_blind: false,
        is_fleet: true,
        weights: Weights::default(),
        flags: String::new(),
    }
}

fn what(explanation: &Explanation) -> Vec<WaitsFor> {
    explanation.waits_for.iter().map(|wait| wait.what).collect()
}

#[test]
fn a_ready_job_names_all_that_bars_its_way() {
    use WaitsFor::{Breaker, Concurrency, Nothing, Pause, Quota, Time, Turn, Worker};
    let paused = UpstreamReport { paused: Some((SECOND * 4, "429".into())), ..report() };
    let used_up = UpstreamReport { next_in: SECOND, ..report() };
    let breaker = Some(BreakerReport::Open { probe_in: SECOND });
    let failing = UpstreamReport { next_in: SECOND, breaker, ..report() };
    let full = UpstreamReport { in_flight: 5, ..report() };
    let behind = JobStanding { ahead: 3, lanes: 2, turns: 7, ..ready() };
    let later = JobStanding { due_in: Some(SECOND), error: Some("requests".into()), ahead: 3, ..ready() };
    let table = [
        ("nothing", ready(), report(), Some(4), vec![Nothing]),
        ("a pause", ready(), paused.clone(), Some(4), vec![Pause]),
        ("a breaker", ready(), failing, Some(4), vec![Breaker]),
        ("quota", ready(), used_up, Some(4), vec![Quota]),
        ("places", ready(), full, Some(4), vec![Concurrency]),
        ("others", behind.clone(), report(), Some(4), vec![Turn]),
        ("its time", later, report(), Some(4), vec![Time]),
        ("workers", ready(), report(), Some(0), vec![Worker]),
        ("who knows which workers", ready(), report(), None, vec![Nothing]),
        ("several", behind, paused, Some(0), vec![Pause, Turn, Worker]),
    ];
    for (name, job, report, consumers, expected) in table {
        let explanation = explain(&job, &Scene { consumers, ..fleet(report) });
        assert_eq!(what(&explanation), expected, "{name}: {explanation:?}");
        assert!(explanation.summary.contains(&explanation.waits_for[0].detail), "{name}");
        assert_eq!(explanation.expected.is_none(), consumers == Some(0), "{name}");
    }
}

fn per_minute(amount: u64) -> Rate {
    Rate { amount, window: Duration::from_mins(1) }
}

/// Tenants and two models have limits of their own; the job calls the model `small`.
fn parted() -> Scene {
    let model = |amount| Rates { tokens: Some(per_minute(amount)), ..Rates::default() };
    let limits = Limits {
        per_tenant: Some(Rates {
            requests: Some(per_minute(60)),
            budget: Some(per_minute(5_000_000)),
            ..Rates::default()
        }),
        per_model: [("large".into(), model(9_000)), ("small".into(), model(1_000))].into(),
        ..limits()
    };
    Scene { model: Some("small".into()), ..fleet(UpstreamReport { limits, ..report() }) }
}

#[test]
fn a_job_that_its_tenants_or_models_limit_puts_back_waits_for_that() {
    use WaitsFor::{Quota, Time};
    // what was recorded, what it waits for, how that is said
    let table = [
        (
            "requests within the limit of tenant `acme`",
            Quota,
            "the limit of tenant `acme` at upstream `api`, 60 requests in 60s",
        ),
        (
            "budget within the limit of tenant `acme`",
            Quota,
            "the limit of tenant `acme` at upstream `api`, 5.00 USD in 60s",
        ),
        (
            "tokens within the limit of model `small`",
            Quota,
            "the limit of model `small` at upstream `api`, 1000 tokens in 60s",
        ),
        // No longer limited, or never so.
        (
            "tokens within the limit of tenant `acme`",
            Time,
            "put back: tokens within the limit of tenant `acme`",
        ),
        ("requests", Time, "put back: requests"),
    ];
    for (recorded, what_for, said) in table {
        let job = JobStanding { error: Some(recorded.into()), due_in: Some(SECOND * 7), ..ready() };
        let explanation = explain(&job, &parted());
        assert_eq!(what(&explanation), [what_for], "{explanation:?}");
        assert!(explanation.summary.contains(said), "{explanation:?}");
        assert_eq!(explanation.waits_for[0].for_ms, Some(7_000), "{explanation:?}");
        // Its time has come: whether there is room now is not known.
        let due = explain(&JobStanding { due_in: None, ..job }, &parted());
        assert_eq!((what(&due), due.recorded.as_deref()), (vec![WaitsFor::Nothing], Some(recorded)));
    }
}

#[test]
fn the_limits_of_a_jobs_own_tenant_and_model_are_named() {
    let explanation = explain(&ready(), &parted());
    let tenant: Vec<_> = explanation.per_tenant.iter().map(|rate| (rate.of, rate.limit)).collect();
    assert_eq!(tenant, [("requests", 60), ("budget", 5_000_000)]);
    let models: Vec<_> =
        explanation.per_model.iter().map(|(name, of)| (name.as_str(), of[0].limit)).collect();
    assert_eq!(models, [("small", 1_000)]);
    assert!(explain(&ready(), &Scene { model: None, ..parted() }).per_model.is_empty());
}

/// Of all limits that need a time for what goes before it, the longest counts.
#[test]
fn an_estimate_knows_the_limits_of_tenant_and_model() {
    let behind = JobStanding { ahead: 20, lanes: 1, turns: 20, ..ready() };
    let expected = |scene: &Scene| explain(&behind, scene).expected.expect("it is limited");
    // 20 calls of 100 tokens to the model.
    let model = expected(&parted());
    let why =
        "20 jobs of its run before it at 10.0 calls/min (1000 tokens in 60s), the limit of model `small`";
    assert_eq!((model.in_ms, model.why.as_str()), (120_000, why));
    let tenant = expected(&Scene { model: None, ..parted() });
    let why =
        "40 jobs of its tenant before it at 1.0 calls/s (60 requests in 60s), the limit of tenant `acme`";
    assert_eq!((tenant.in_ms, tenant.why.as_str()), (40_000, why));
    let many = JobStanding { rivals: vec![("other".into(), 500)], ahead: 2, turns: 0, ..behind.clone() };
    let whole = explain(&many, &Scene { model: None, ..parted() }).expected.expect("it is limited");
    assert!(whole.why.starts_with("25 jobs before it at 10.0 calls/s"), "{whole:?}");
}

/// Redis is away: then nobody knows when it runs.
#[test]
fn without_quotas_nothing_is_expected() {
    let behind = JobStanding { ahead: 3, ..ready() };
    for (job, waits) in [(ready(), vec![WaitsFor::Quota]), (behind, vec![WaitsFor::Quota, WaitsFor::Turn])] {
        let explanation = explain(&job, &Scene { report: None, is_blind: true, ..fleet(report()) });
        assert_eq!((what(&explanation), &explanation.expected), (waits, &None));
        assert!(explanation.summary.contains("quotas, pauses and breaker are not known"), "{explanation:?}");
    }
}

#[test]
fn what_lacks_is_said_in_numbers() {
    let tokens = DimensionUse { dimension: Dimension::Tokens, used: 100, others: 0, limit: 1_000 };
    let used_up = UpstreamReport { next_in: SECOND, used: vec![tokens, report().used[0]], ..report() };
    let explanation = explain(&ready(), &fleet(used_up));
    assert_eq!(
        explanation.summary,
        "it waits for quota of upstream `api`: 600 of 600 requests in the window are used or given out, 20 of them by others"
    );
    let behind = JobStanding { ahead: 3, lanes: 2, turns: 7, ..ready() };
    assert_eq!(
        explain(&behind, &fleet(report())).summary,
        "it waits for 3 jobs of its run that go before it, and up to 7 of 2 other runs, which take turns with it"
    );
}

#[test]
fn an_estimate_is_what_goes_before_at_the_effective_rate() {
    let behind = JobStanding { ahead: 30, lanes: 2, turns: 50, ..ready() };
    let expected = |report| explain(&behind, &fleet(report)).expected.expect("it is limited");
    let at_once = expected(report());
    assert_eq!(
        (at_once.in_ms, at_once.why.as_str()),
        (10_000, "100 jobs before it at 10.0 calls/s (600 requests in 60s)")
    );
    let paused = UpstreamReport { paused: Some((SECOND * 4, "429".into())), effective: 500, ..report() };
    let later = expected(paused);
    assert_eq!(later.in_ms, 24_000);
    assert!(later.why.starts_with("after 4.0 s") && later.why.contains("50% since a 429"), "{}", later.why);
    let unlimited = Scene { limits: Limits::default(), report: None, ..fleet(report()) };
    assert_eq!(explain(&behind, &unlimited).expected, None, "how fast it goes, nobody knows");
}

/// Of two tenants the heavier one has more turns meanwhile, but not more than it has jobs.
#[test]
fn an_estimate_knows_the_tenants_shares() {
    let rivals = vec![("heavy".to_owned(), 1_000), ("small".to_owned(), 2)];
    let behind = JobStanding { ahead: 9, rivals, ..ready() };
    let weights = [("acme", 2), ("heavy", 6)].map(|(tenant, weight)| (tenant.to_owned(), weight));
    let explained = |weights: Weights| explain(&behind, &Scene { weights, ..fleet(report()) });
    let heavy = explained(weights.into_iter().collect());
    // 9 of its own, 30 and 2 of the others, and 20 under way.
    assert_eq!(heavy.expected.expect("it is limited").in_ms, 6_100);
    assert_eq!(
        heavy.summary,
        "it waits for 9 jobs of its run that go before it, and up to 32 of other tenants, by their weights"
    );
    assert_eq!(explained(Weights::default()).expected.expect("it is limited").in_ms, 4_100);
}

#[test]
fn a_job_handed_out_is_with_somebody() {
    let held = |job| {
        let holder = Holder { job, fence: 1, token: 0, nonce: 0 };
        Some(Held { holder, expires_in: SECOND * 30 })
    };
    let job = dispatched();
    let with = |lease| explain(&job, &Scene { lease, ..fleet(report()) });
    let own = with(held(job.job));
    assert_eq!(what(&own), [WaitsFor::Outcome]);
    assert!(own.summary.contains("attempt 1") && own.summary.contains("1.0 s ago"), "{}", own.summary);
    let other = JobId::new();
    let others = with(held(other));
    assert_eq!(what(&others), [WaitsFor::Lease]);
    assert!(others.summary.contains(&other.to_string()), "{}", others.summary);
    assert!(with(None).summary.contains("where 3 wait"), "{}", with(None).summary);
    let nobody = explain(&job, &Scene { consumers: Some(0), ..fleet(report()) });
    assert!(nobody.summary.contains("none takes `node.extract`"), "{}", nobody.summary);
    let withdrawn = JobStanding { withdrawn: true, ..job.clone() };
    assert!(explain(&withdrawn, &fleet(report())).summary.contains("it was cancelled"));
}

#[test]
fn terminal_jobs_wait_for_nothing() {
    for state in [JobState::Succeeded, JobState::Dead, JobState::Cancelled] {
        let job = JobStanding { state, error: Some("it broke".into()), deadline_in: Some(SECOND), ..ready() };
        let explanation = explain(&job, &Scene::default());
        assert!(explanation.waits_for.is_empty() && explanation.expected.is_none(), "{explanation:?}");
        assert_eq!(explanation.deadline_in_ms, None);
        assert_eq!(explanation.summary.contains("it broke"), state == JobState::Dead);
    }
}

#[test]
fn an_attached_job_waits_for_what_its_twin_waits_for() {
    let twin = JobStanding { ahead: 3, ..ready() };
    let attached = JobStanding { state: JobState::Attached, twin: Some(twin.job), ..ready() };
    let explanation = explain(&twin, &fleet(report())).for_attached(&attached);
    assert_eq!(what(&explanation), [WaitsFor::Twin, WaitsFor::Turn]);
    assert_eq!((explanation.job_id, explanation.state), (attached.job, JobState::Attached));
    assert!(explanation.summary.contains(&twin.job.to_string()), "{}", explanation.summary);
    assert!(explanation.expected.is_some());
}

#[test]
fn upstreams_are_those_configured_known_or_waited_for() {
    let backlog = fleet(report()).backlog;
    let reported =
        UpstreamReport { upstream: "other".into(), paused: Some((SECOND, "429".into())), ..report() };
    let configured = [("api".to_owned(), limits()), ("quiet".to_owned(), Limits::default())].into();
    let shown = view(&backlog, Some(vec![reported]), &configured, |_| false, Vec::new());
    let names: Vec<_> = shown.upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
    assert_eq!(names, ["api", "other", "quiet"]);
    let [api, other, quiet] = shown.upstreams.as_slice() else { panic!("three") };
    assert_eq!((api.is_known, api.backlog.calls(), api.finish_in_ms), (false, 120, Some(12_000)));
    assert_eq!(api.limits[0].used, None, "what nobody said is not made up");
    assert!(other.is_known && other.paused.is_some());
    assert_eq!((other.limits[0].used, other.limits[1].used), (Some(580), Some(2)));
    assert_eq!((quiet.finish_in_ms, quiet.limits.len()), (Some(0), 0));
}

/// Redis is away: no call is made, but with static shares.
#[test]
fn an_upstream_that_stands_still_has_no_rate_and_no_end() {
    let backlog = fleet(report()).backlog;
    let configured = ["api", "quiet"].map(|name| (name.to_owned(), limits())).into();
    for (is_still, rate, finish) in [(true, None, None), (false, Some(10.0), Some(12_000))] {
        let shown = view(&backlog, None, &configured, |_| is_still, Vec::new());
        let [api, quiet] = shown.upstreams.as_slice() else { panic!("two") };
        assert_eq!((api.calls_per_second, api.finish_in_ms), (rate, finish));
        assert_eq!((api.limits.len(), quiet.finish_in_ms), (2, Some(0)));
    }
}

/// Those in force where they are known, else those configured here.
#[test]
fn upstreams_name_the_limits_of_tenants_and_models() {
    let limits = parted().limits;
    let reported = UpstreamReport { limits: limits.clone(), ..report() };
    for (reports, here) in [(Some(vec![reported]), Limits::default()), (None, limits)] {
        let shown = view(&[], reports, &[("api".to_owned(), here)].into(), |_| false, Vec::new());
        let [api] = shown.upstreams.as_slice() else { panic!("one") };
        let tenant: Vec<_> =
            api.per_tenant.iter().map(|rate| (rate.of, rate.limit, rate.window_ms)).collect();
        assert_eq!(tenant, [("requests", 60, 60_000), ("budget", 5_000_000, 60_000)]);
        let models: Vec<_> = api.per_model.iter().map(|(name, of)| (name.as_str(), of[0].limit)).collect();
        assert_eq!(models, [("large", 9_000), ("small", 1_000)]);
    }
}
