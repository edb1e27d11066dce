//! Real processes on real servers, as an operator sees them: metrics, `upstreams`, `explain`.

mod rig;
mod scrape;

use std::collections::BTreeSet;
use std::time::Duration;

use fleetline_tests::chaos::until;
use rig::Rig;
use scrape::Scrape;

const JOBS: u64 = 40;
const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_can_be_seen() {
    let mut rig = Rig::start().await;
    let new = rig.json(&["upstreams", "--fleet", "--json"]);
    assert_eq!(new["unknown"], serde_json::json!([]), "nobody has called yet: {new}");
    rig.submit(usize::try_from(JOBS).expect("few"));

    // Nothing is handed out yet, and Redis is away for whoever looks: when a job runs is not known.
    let jobs = rig.lines(&["jobs", "latest", "--fleet", "--json", "--limit", "0"]);
    let last = jobs.last().expect("a job")["job_id"].as_str().expect("an id").to_owned();
    let told = rig.without_redis(&["explain", &last, "--fleet"]);
    let out = String::from_utf8_lossy(&told.stdout);
    assert!(out.contains("are not known now") && !out.contains("expected to run"), "{out}");
    let serve = rig.serve().await;

    // Nobody works yet.
    let upstreams = rig.json(&["upstreams", "--fleet", "--json"]);
    let openai = &upstreams["upstreams"][0];
    assert_eq!((&openai["name"], &openai["is_known"]), (&"openai".into(), &true.into()), "{upstreams}");
    assert_eq!(openai["limits"][0]["limit"], 600, "{upstreams}");
    let waiting = openai["backlog"]["due"].as_u64().expect("a count")
        + openai["backlog"]["dispatched"].as_u64().expect("a count");
    assert!(waiting >= JOBS, "{upstreams}");
    let explained = rig.json(&["explain", &last, "--fleet", "--json"]);
    let waits = explained["waits_for"].as_array().expect("a list");
    assert!(waits.iter().any(|wait| wait["what"] == "worker"), "{explained}");
    assert_eq!(explained["unknown"], serde_json::json!([]), "{explained}");
    let fleet = Scrape::of(&serve).await;
    assert_eq!(
        fleet.value("fleetline_upstream_limit", &[("upstream", "openai"), ("dimension", "requests")]),
        600
    );
    assert!(fleet.sum("fleetline_jobs") >= JOBS);
    assert_eq!(fleet.value("fleetline_up", &[("part", "quotas")]), 1);

    // Redis is away for whoever looks.
    let told = rig.without_redis(&["upstreams", "--fleet"]);
    assert!(told.status.success(), "{told:?}");
    let (out, err) = (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
    assert!(out.contains("?/600 requests/min") && err.contains("not known: use of the quotas"), "{out}{err}");
    assert_eq!(err.matches("use of the quotas").count(), 1, "{err}");

    // For as long as somebody looks, plainly where nobody can clear a screen.
    let watch = rig.watch(&["upstreams", "--fleet", "--watch"]);
    let seen = until("three looks", PATIENCE, async || {
        let seen = watch.log();
        (seen.matches("used of limits").count() >= 3).then_some(seen)
    })
    .await;
    assert!(seen.contains("0/600 requests/min") && !seen.contains('\u{1b}'), "{seen}");
    drop(watch);

    // What has no quota is found, whatever its name is.
    let found = rig.doctor(&[("FLEETLINE_UPSTREAMS__OTHER__BASE_URL", "http://127.0.0.1:9")]);
    assert!(
        found.contains("upstreams.other: it has no quota") && !found.contains("upstreams.openai"),
        "{found}"
    );
    let limited = ("FLEETLINE_UPSTREAMS__OTHER__INPUT_TOKENS", "1k/min");
    let found = rig.doctor(&[("FLEETLINE_UPSTREAMS__OTHER__BASE_URL", "http://127.0.0.1:9"), limited]);
    assert!(!found.contains("it has no quota"), "{found}");
    let found = rig.doctor(&[("FLEETLINE_UPSTREAMS__OPENAI__REQUESTS", "5/min")]);
    assert!(found.contains("upstreams.openai: not as in force: requests"), "{found}");
    let found = rig.doctor(&[("FLEETLINE_UPSTREAMS__OPENAI__REQUESTS", "none")]);
    assert!(found.contains("upstreams.openai: no limit is set here"), "{found}");

    let work = rig.work().await;
    rig.lines(&["watch", "latest", "--json"]);
    let made = rig.calls().await;
    // An outcome is seen in the ledger before the worker has counted it.
    let worker = until("all outcomes to be counted", PATIENCE, async || {
        let scrape = Scrape::of(&work).await;
        let taken = scrape.sum("fleetline_deliveries_total");
        let all = taken > 0 && scrape.sum("fleetline_attempt_duration_seconds_count") == taken;
        (all && scrape.sum("fleetline_deliveries_in_hand") == 0).then_some(scrape)
    })
    .await;
    let healthy = [("upstream", "openai"), ("outcome", "healthy")];
    assert_eq!(worker.value("fleetline_calls_total", &healthy), made);
    assert_eq!(worker.value("fleetline_call_duration_seconds_count", &healthy[..1]), made);
    let succeeded = worker.value("fleetline_finishes_total", &[("outcome", "succeeded")]);
    assert!(succeeded >= JOBS, "{succeeded} succeeded");
    assert!(worker.sum("fleetline_finish_batch_jobs_sum") >= succeeded);
    assert!(worker.sum("fleetline_job_queue_wait_seconds_count") >= JOBS);
    for direction in ["input_tokens", "output_tokens"] {
        let tokens =
            worker.value("fleetline_tokens_total", &[("upstream", "openai"), ("dimension", direction)]);
        assert!(tokens > 0, "{direction}");
    }
    let fleet = Scrape::of(&serve).await;
    let used = fleet.value("fleetline_upstream_used", &[("upstream", "openai"), ("dimension", "requests")]);
    assert!(used >= made.min(JOBS), "{used} of {made}");
    assert!(fleet.sum("fleetline_dispatched_total") >= JOBS);
    let explained = rig.json(&["explain", &last, "--fleet", "--json"]);
    assert_eq!(explained["state"], "succeeded");

    every_metric_is_documented(&[fleet, worker]);
    rig.end().await;
}

/// Redis says whose limit holds a job up, the ledger keeps it, and both are shown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_of_a_tenant_and_a_model_are_seen() {
    let mut rig = Rig::start().await;
    rig.set("FLEETLINE_UPSTREAMS__OPENAI__PER_TENANT__REQUESTS", "2/h");
    rig.set("FLEETLINE_UPSTREAMS__OPENAI__PER_MODEL__GPT-4O-MINI__TOKENS", "9M/min");
    rig.submit(6);
    rig.serve().await;
    rig.work().await;
    let recorded = "requests within the limit of tenant `default`";
    let job = until("a job to be put back", PATIENCE, async || {
        let jobs = rig.lines(&["jobs", "latest", "--fleet", "--json", "--limit", "0"]);
        let job = jobs.into_iter().find(|job| job["error"] == recorded && job["state"] == "ready")?;
        Some(job["job_id"].as_str().expect("an id").to_owned())
    })
    .await;
    let explained = rig.json(&["explain", &job, "--fleet", "--json"]);
    assert_eq!(
        (&explained["waits_for"][0]["what"], &explained["recorded"]),
        (&"quota".into(), &recorded.into())
    );
    assert!(
        explained["summary"].as_str().is_some_and(|said| said.contains("2 requests in 3600s")),
        "{explained}"
    );
    let tenant = serde_json::json!([{ "of": "requests", "limit": 2, "window_ms": 3_600_000 }]);
    let model =
        serde_json::json!({ "gpt-4o-mini": [{ "of": "tokens", "limit": 9_000_000, "window_ms": 60_000 }] });
    assert_eq!((&explained["per_tenant"], &explained["per_model"]), (&tenant, &model), "{explained}");
    let upstreams = rig.json(&["upstreams", "--fleet", "--json"]);
    let openai = &upstreams["upstreams"][0];
    assert_eq!((&openai["per_tenant"], &openai["per_model"]), (&tenant, &model), "{upstreams}");
    rig.end().await;
}

fn every_metric_is_documented(scrapes: &[Scrape]) {
    let exported: BTreeSet<String> = scrapes.iter().flat_map(Scrape::families).collect();
    let page = include_str!("../../../../docs/metrics.md");
    let documented: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `fleetline_"))
        .map(|line| format!("fleetline_{}", line.split(['`', '{']).next().expect("a name")))
        .collect();
    // A family without samples is not shown.
    let unknown: Vec<_> = exported.difference(&documented).collect();
    assert!(unknown.is_empty() && !exported.is_empty(), "not in docs/metrics.md: {unknown:?}");
}
