//! Single jobs: accepted whole or not at all, and once for each idempotency key.

use std::collections::HashSet;

use fleetline_producer::intake::{JobLimits, NewJobs, Rejected, read_requests, submit_jobs};
use fleetline_shared::domain::{KindPolicy, NewRun, RunId};
use fleetline_shared::ports::{QueryLedger, Role, RunRow, SubmitLedger};
use fleetline_worker::kinds::Kinds;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::fixture::{Site, echoes, problem, registry};

#[tokio::test]
async fn a_job_goes_from_submission_to_result() {
    let site = Site::start().await;
    let accepted = site
        .submit(&json!({
            "kind": "test.echo", "args": { "n": 7 }, "priority": 3, "max_attempts": 2, "dedup_key": null,
            "deadline_seconds": 60, "fresh_for_seconds": 60,
            "source": { "input": "orders.csv", "first_line": 7, "last_line": 7 }
        }))
        .await;
    assert_eq!((&accepted["repeated"], &accepted["jobs"][0]["state"]), (&json!(false), &json!("ready")));
    let run = accepted["run_id"].as_str().expect("an id");
    let before = site.json(&format!("/v1/runs/{run}")).await;
    assert_eq!((&before["state"], &before["counts"]["jobs"]), (&json!("running"), &json!(1)));
    assert_eq!(before["input"], "1 job of test.echo");

    assert_eq!(site.work(10).await, 1);
    let job =
        site.json(&format!("/v1/jobs/{}", accepted["jobs"][0]["job_id"].as_str().expect("an id"))).await;
    assert_eq!((&job["state"], &job["output"]), (&json!("succeeded"), &json!({ "n": 7 })));
    assert_eq!((&job["args"], &job["failed_attempts"]), (&json!({ "n": 7 }), &json!([])));
    assert_eq!(job["source"], json!({ "input": "orders.csv", "first_line": 7, "last_line": 7 }));
    assert_eq!(site.json(&format!("/v1/runs/{run}")).await["state"], "finished");

    let again = site.submit(&echoes([7])).await;
    assert_eq!(again["jobs"][0]["state"], "succeeded", "a result that is there is not made again");
}

#[tokio::test]
async fn an_array_is_answered_in_its_order() {
    let site = Site::start().await;
    let accepted = site.submit(&echoes([5, 3, 5, 4])).await;
    let jobs = accepted["jobs"].as_array().expect("a list");
    let states: Vec<_> = jobs.iter().map(|job| job["state"].as_str().expect("a state")).collect();
    assert_eq!(states, ["ready", "ready", "attached", "ready"]);
    for (index, n) in [5, 3, 5, 4].into_iter().enumerate() {
        assert_eq!(jobs[index]["index"], index);
        let job = site.json(&format!("/v1/jobs/{}", jobs[index]["job_id"].as_str().expect("an id"))).await;
        assert_eq!((&job["args"]["n"], &job["source"]), (&json!(n), &json!({ "index": index })));
    }
}

#[tokio::test]
async fn a_key_of_the_callers_decides_what_is_the_same() {
    let site = Site::start().await;
    let job = |n: i64, key: &str| json!({ "kind": "test.echo", "args": { "n": n }, "dedup_key": key });
    let accepted = site.submit(&json!([job(1, "a"), job(2, "a"), job(1, "b")])).await;
    let states: Vec<_> =
        accepted["jobs"].as_array().expect("a list").iter().map(|job| &job["state"]).collect();
    assert_eq!(states, ["ready", "attached", "ready"]);
}

#[tokio::test]
async fn every_problem_is_named_and_nothing_accepted() {
    let site = Site::start().await;
    let jobs = json!([
        { "kind": "test.echo", "args": { "n": 1 } },
        { "kind": "test.ecco", "args": { "n": 1 } },
        { "kind": "test.echo", "args": { "n": "one" } },
        { "kind": "test.echo", "args": { "n": 1 }, "max_attempts": 0, "dedup_key": "" },
        { "kind": "log.analyze", "args": { "logger": "x" } },
        { "kind": "test.echo", "args": { "n": 1 }, "deadline_seconds": 0 },
        { "kind": "test.echo", "args": { "n": 1 }, "source": { "follows": "0199aaaa-bbbb-7ccc-8ddd-eeeeffff0001" } },
    ]);
    let said = problem(site.post("/v1/jobs").json(&jobs), 422).await;
    assert_eq!(said["type"], "urn:fleetline:problem:invalid-jobs");
    let found: Vec<(u64, &str)> = said["errors"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|error| (error["index"].as_u64().expect("a number"), error["field"].as_str().expect("a name")))
        .collect();
    let expected = [
        (1, "kind"),
        (2, "args"),
        (3, "dedup_key"),
        (3, "max_attempts"),
        (4, "args"),
        (5, "deadline_seconds"),
        (6, "source"),
    ];
    assert_eq!(found, expected, "{said}");

    let shapes = json!([7, { "args": {} }, { "kind": "test.echo", "args": { "n": 1 }, "prio": 1, "priority": "high" }]);
    let said = problem(site.post("/v1/jobs").json(&shapes), 422).await;
    let found: Vec<&Value> =
        said["errors"].as_array().expect("a list").iter().map(|error| &error["field"]).collect();
    assert_eq!(found, ["", "kind", "priority", "prio"], "{said}");

    let both = json!([
        { "kind": "test.echo", "args": { "n": "one" } },
        { "kind": null, "args": { "n": 1 } },
        { "kind": "test.ecco", "args": { "n": 1 } },
        { "kind": "test.echo", "args": null, "priority": "high", "max_attempts": 0 },
    ]);
    let said = problem(site.post("/v1/jobs").json(&both), 422).await;
    let found: Vec<_> = said["errors"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|error| (error["index"].as_u64().expect("a number"), error["field"].as_str().expect("a name")))
        .collect();
    let expected = [(0, "args"), (1, "kind"), (2, "kind"), (3, "priority"), (3, "max_attempts"), (3, "args")];
    assert_eq!(found, expected, "what cannot be read hides nothing: {said}");
    assert_eq!(said["errors"][1]["detail"], "is missing");
    assert!(site.runs().await.is_empty());
}

#[tokio::test]
async fn limits_are_named() {
    let limits = JobLimits { jobs: 3, args_bytes: 100, args_depth: 4, ..JobLimits::default() };
    let site = Site::with(|parts| parts.options.jobs = limits).await;
    let job = |args: Value| json!({ "kind": "test.echo", "args": args });
    for (jobs, part) in [
        (echoes(0..4), "1 to 3 jobs; this one has 4"),
        (json!([]), "1 to 3 jobs; this one has 0"),
        (job(json!({ "n": 1, "x": "a".repeat(100) })), "100 are allowed"),
        (job(json!({ "n": 1, "x": [[[[]]]] })), "deeper than 4"),
    ] {
        let said = problem(site.post("/v1/jobs").json(&jobs), 422).await;
        assert!(said["errors"][0]["detail"].as_str().expect("a text").contains(part), "{said}");
    }
    site.submit(&job(json!({ "n": 1, "x": [[[]]] }))).await;
    let deep = format!(r#"{{"kind":"test.echo","args":{}{}}}"#, "[".repeat(40), "]".repeat(40));
    let sent = site.post("/v1/jobs").header("content-type", "application/json").body(deep);
    assert_eq!(problem(sent, 422).await["errors"][0]["field"], "args");
}

#[tokio::test]
async fn the_same_request_again_is_the_same_run() {
    let site = Site::start().await;
    let send =
        |jobs: Value, key: &'static str| site.post("/v1/jobs").header("idempotency-key", key).json(&jobs);
    let first: Value = send(echoes([1, 2]), "k").send().await.expect("an answer").json().await.expect("JSON");
    let again: Value = send(echoes([1, 2]), "k").send().await.expect("an answer").json().await.expect("JSON");
    assert_eq!((&again["run_id"], &again["repeated"]), (&first["run_id"], &json!(true)));
    assert_eq!(again["jobs"], first["jobs"]);

    site.work(10).await;
    let finished: Value =
        send(echoes([1, 2]), "k").send().await.expect("an answer").json().await.expect("JSON");
    assert_eq!((&finished["run_id"], &finished["jobs"][1]["state"]), (&first["run_id"], &json!("succeeded")));
    // Order of keys and blanks are no content.
    let spelt = r#"[ {"args": {"n": 1}, "kind": "test.echo"}, {"kind": "test.echo", "args": {"n":2}} ]"#;
    let request =
        site.post("/v1/jobs").header("idempotency-key", "k").header("content-type", "application/json");
    assert_eq!(request.body(spelt).send().await.expect("an answer").status(), 202);

    let said = problem(send(echoes([1, 3]), "k"), 409).await;
    assert!(said["detail"].as_str().expect("a text").contains("use a new key"), "{said}");
    assert_eq!(site.runs().await.len(), 1);

    let other = site.new_key("other", Role::Submit).await;
    let theirs = site.post("/v1/jobs").header("idempotency-key", "k").header("x-api-key", &other);
    let theirs = theirs.headers(bearer(&other)).json(&echoes([1, 3])).send().await.expect("an answer");
    assert_eq!(theirs.status(), 202, "keys are each tenant's own");
}

/// Another `serve` has other limits and kinds, or this one was started anew with such.
#[tokio::test]
async fn the_same_request_again_is_the_same_run_for_other_settings() {
    let site = Site::start().await;
    let jobs = json!([
        { "kind": "test.echo", "args": { "n": 1, "x": "a".repeat(100) }, "max_attempts": 50 },
        { "kind": "test.echo", "args": { "n": 2 } },
    ]);
    let new = || NewJobs { id: RunId::new(), tenant: "acme", idempotency_key: Some("k".into()) };
    let limits = JobLimits::default();
    let read = |jobs: &Value| read_requests(jobs.to_string().as_bytes(), &limits).expect("jobs");
    let stricter = JobLimits { args_bytes: 50, max_attempts: 10, ..limits };
    let without = Kinds::all(None, KindPolicy::default()).registry().clone();

    let early = submit_jobs(&site.ledger, &registry(), &stricter, new(), &read(&jobs)).await;
    assert!(matches!(early, Err(Rejected::Invalid(_))), "nobody has accepted it yet: {early:?}");
    let first = site.post("/v1/jobs").header("idempotency-key", "k").json(&jobs).send().await;
    let first: Value = first.expect("an answer").json().await.expect("JSON");
    for (kinds, limits) in [(&registry(), stricter), (&without, limits)] {
        let again = submit_jobs(&site.ledger, kinds, &limits, new(), &read(&jobs)).await.expect("as before");
        assert!(again.repeated);
        assert_eq!(
            (json!(again.run_id), json!(again.jobs)),
            (first["run_id"].clone(), first["jobs"].clone())
        );

        let mut other = jobs.clone();
        other[0]["args"]["n"] = json!(3);
        let other = submit_jobs(&site.ledger, kinds, &limits, new(), &read(&other)).await;
        assert!(matches!(other, Err(Rejected::Conflict(_))), "{other:?}");
        let mut unread = jobs.clone();
        unread[0]["prio"] = json!(3);
        let unread = submit_jobs(&site.ledger, kinds, &limits, new(), &read(&unread)).await;
        assert!(matches!(unread, Err(Rejected::Invalid(_))), "{unread:?}");
        let unkeyed = NewJobs { idempotency_key: None, ..new() };
        let unkeyed = submit_jobs(&site.ledger, kinds, &limits, unkeyed, &read(&jobs)).await;
        assert!(matches!(unkeyed, Err(Rejected::Invalid(_))), "{unkeyed:?}");
    }
    assert_eq!(site.runs().await.len(), 1);
}

/// An earlier version could die before it had added the jobs.
#[tokio::test]
async fn a_run_without_its_jobs_is_told() {
    let site = Site::start().await;
    let accepted = site.submit(&echoes([1])).await;
    let run: RunId = accepted["run_id"].as_str().expect("an id").parse().expect("a run id");
    let RunRow { tenant, pipeline, input, settings, .. } =
        site.ledger.run(run).await.expect("a row").expect("the run");
    let key = Some("k".to_owned());
    let half =
        NewRun { id: RunId::new(), tenant, pipeline, input, idempotency_key: key, once: true, settings };
    site.ledger.open_run(half).await.expect("a run");
    let request = site.post("/v1/jobs").header("idempotency-key", "k").json(&echoes([1]));
    let said = problem(request, 409).await;
    assert!(said["detail"].as_str().expect("a text").contains("never filled: cancel it"), "{said}");
}

fn bearer(key: &str) -> reqwest::header::HeaderMap {
    [(reqwest::header::AUTHORIZATION, format!("Bearer {key}").parse().expect("a header"))]
        .into_iter()
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_at_once_with_one_key_are_one_run() {
    let site = Site::start().await;
    let jobs = echoes(0..3);
    let sent = (0..1_000).map(|_| async {
        let response = site.post("/v1/jobs").header("idempotency-key", "rush").json(&jobs).send().await;
        let response = response.expect("an answer");
        assert_eq!(response.status(), 202);
        response.json::<Value>().await.expect("JSON")
    });
    let answers = join_all(sent).await;
    let runs: HashSet<_> = answers.iter().map(|answer| answer["run_id"].to_string()).collect();
    let ids: HashSet<_> = answers.iter().map(|answer| answer["jobs"].to_string()).collect();
    assert_eq!((runs.len(), ids.len()), (1, 1));
    assert_eq!(answers.iter().filter(|answer| answer["repeated"] == false).count(), 1);
    assert_eq!(site.runs().await[0]["counts"]["jobs"], 3);
}

#[tokio::test]
async fn jobs_and_runs_are_cancelled() {
    let site = Site::start().await;
    let accepted = site.submit(&echoes(0..3)).await;
    let (run, job) = (&accepted["run_id"].as_str().expect("an id"), &accepted["jobs"][0]["job_id"]);
    let job = job.as_str().expect("an id");
    let cancel = async |path: String| {
        let response = site.post(&path).send().await.expect("an answer");
        assert_eq!(response.status(), 200, "{path}");
        response.json::<Value>().await.expect("JSON")
    };
    let one = cancel(format!("/v1/jobs/{job}/cancel")).await;
    assert_eq!(one, json!({ "cancelled": 1, "under_way": 0 }));
    assert_eq!(site.json(&format!("/v1/jobs/{job}")).await["state"], "cancelled");
    let all = cancel(format!("/v1/runs/{run}/cancel")).await;
    assert_eq!(all, json!({ "cancelled": 2, "under_way": 0 }));
    let after = site.json(&format!("/v1/runs/{run}")).await;
    assert_eq!((&after["state"], &after["counts"]["cancelled"]), (&json!("finished"), &json!(3)));
}
