//! Whatever goes wrong is told in one form, and never tells too much.

use std::sync::atomic::Ordering;

use fleetline_shared::ports::Role;
use reqwest::Method;
use serde_json::json;

use super::fixture::{Site, problem};

#[tokio::test]
async fn paths_and_methods_that_are_not_there() {
    let site = Site::start().await;
    for path in ["/", "/v1", "/v2/runs", "/v1/runs/", "/v1/runs/x/y"] {
        assert_eq!(problem(site.get(path), 404).await["type"], "urn:fleetline:problem:not-found");
    }
    for path in ["/v1/runs/latest", "/v1/jobs/7", "/v1/runs/0199aaaa-bbbb-7ccc-8ddd-eeeeffff0001/results"] {
        problem(site.get(path), 404).await;
    }
    let response = site.request(Method::DELETE, "/v1/runs").send().await.expect("an answer");
    assert_eq!(response.headers()["allow"], "POST,GET,HEAD");
    problem(site.request(Method::DELETE, "/v1/runs"), 405).await;
}

#[tokio::test]
async fn malformed_json_is_told_with_its_place() {
    let site = Site::start().await;
    let send = |body: &'static str| {
        site.post("/v1/jobs").header("content-type", "application/json; charset=utf-8").body(body)
    };
    for (body, line, column) in [
        ("", 1, 0),
        ("[{\"kind\": }]", 1, 11),
        ("[\n  {\"kind\": \"a\",}\n]", 2, 16),
        ("[1] x", 1, 5),
        ("[{\"kind\":\"a\"", 1, 12),
    ] {
        let said = problem(send(body), 400).await;
        assert_eq!((&said["line"], &said["column"]), (&json!(line), &json!(column)), "{body}: {said}");
        assert_eq!(said["type"], "urn:fleetline:problem:malformed-json");
    }
    assert!(site.runs().await.is_empty());
}

#[tokio::test]
async fn of_many_problems_some_are_told() {
    let site = Site::start().await;
    for (jobs, found, told) in
        [(1, "a problem was", 1), (100, "100 problems were", 100), (150, "more than 100 problems were", 101)]
    {
        let said = problem(site.post("/v1/jobs").json(&vec![json!({ "kind": "none" }); jobs]), 422).await;
        assert!(said["detail"].as_str().expect("a text").starts_with(found), "{said}");
        assert_eq!(said["errors"].as_array().expect("a list").len(), told);
    }
}

#[tokio::test]
async fn bodies_of_another_type_or_size() {
    let site = Site::with(|parts| parts.options.jobs.bytes = 1_000).await;
    problem(site.post("/v1/jobs").body("kind=test.echo"), 415).await;
    problem(site.post("/v1/jobs").header("content-type", "text/plain").body("{}"), 415).await;
    problem(site.post("/v1/jobs").header("content-encoding", "gzip").json(&json!([])), 415).await;
    problem(site.post("/v1/runs?pipeline=logs").header("content-encoding", "gzip").body("x"), 415).await;
    let said = problem(site.post("/v1/jobs").json(&"a".repeat(1_000)), 413).await;
    assert!(said["detail"].as_str().expect("a text").contains("1000 bytes"), "{said}");
}

#[tokio::test]
async fn parameters_that_make_no_sense() {
    let site = Site::start().await;
    let run = site.submit(&super::fixture::echoes([1])).await["run_id"].as_str().expect("an id").to_owned();
    for path in [
        "/v1/runs?limit=0".to_owned(),
        "/v1/runs?limit=many".to_owned(),
        "/v1/runs?after=-1".to_owned(),
        "/v1/runs?after=yesterday".to_owned(),
        format!("/v1/runs/{run}/jobs?state=done"),
        format!("/v1/runs/{run}/jobs?after=x"),
        format!("/v1/runs/{run}/results?limit=100000"),
        format!("/v1/runs/{run}/results?after=-1"),
    ] {
        problem(site.get(&path), 400).await;
    }
    for path in [
        "/v1/runs".to_owned(),
        format!("/v1/runs/{run}/jobs"),
        format!("/v1/runs/{run}/results"),
        format!("/v1/runs/{run}/facts"),
    ] {
        let said = problem(site.get(&format!("{path}?State=dead")), 400).await;
        assert!(said["detail"].as_str().expect("a text").contains("`State`"), "{said}");
    }
    let job = site.json(&format!("/v1/runs/{run}/jobs")).await["items"][0]["job_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    for path in [
        format!("/v1/runs/{run}"),
        format!("/v1/runs/{run}/events"),
        format!("/v1/jobs/{job}"),
        format!("/v1/jobs/{job}/explain"),
    ] {
        let said = problem(site.get(&format!("{path}?verbose=1")), 400).await;
        assert!(said["detail"].as_str().expect("a text").contains("`verbose`"), "{path}: {said}");
    }
    for path in ["/v1/jobs".to_owned(), format!("/v1/jobs/{job}/cancel"), format!("/v1/runs/{run}/cancel")] {
        let request = site.post(&format!("{path}?dry_run=true")).json(&super::fixture::echoes([2]));
        let said = problem(request, 400).await;
        assert!(said["detail"].as_str().expect("a text").contains("`dry_run`"), "{path}: {said}");
    }
    let admin = site.new_key("acme", Role::Admin).await;
    problem(site.request(Method::GET, "/v1/upstreams?verbose=1").bearer_auth(admin), 400).await;
    assert_eq!(site.json(&format!("/v1/jobs/{job}")).await["state"], "ready");
    assert_eq!(site.runs().await.len(), 1);
    problem(site.post("/v1/runs?pipeline=logs&imput=app.log").body("x"), 400).await;
    problem(site.post("/v1/jobs").header("idempotency-key", "k".repeat(256)).json(&json!([])), 400).await;
}

#[tokio::test]
async fn a_panic_is_an_answer_and_no_end() {
    let site = Site::start().await;
    let job = json!({ "kind": "test.echo", "args": { "n": 1, "panic": true } });
    let said = problem(site.post("/v1/jobs").json(&job), 500).await;
    assert!(!said.to_string().contains("told to"), "{said}");
    assert!(site.runs().await.is_empty());
}

#[tokio::test]
async fn a_ledger_out_of_reach_is_told_without_its_address() {
    let site = Site::start().await;
    site.keys.down.store(true, Ordering::SeqCst);
    let response = site.get("/v1/runs").send().await.expect("an answer");
    assert_eq!(response.headers()["retry-after"], "5");
    let said = problem(site.get("/v1/runs"), 503).await;
    assert!(!said.to_string().contains("secret"), "{said}");
    site.keys.down.store(false, Ordering::SeqCst);
    assert_eq!(site.get("/v1/runs").send().await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn requests_have_ids() {
    let site = Site::start().await;
    let send = |id: &'static str| site.get("/v1/runs").header("x-request-id", id).send();
    let kept = send("order-17:a.b").await.expect("an answer");
    assert_eq!(kept.headers()["x-request-id"], "order-17:a.b");
    for bad in ["", "has blanks", "<script>"] {
        let replaced = send(bad).await.expect("an answer");
        let id = replaced.headers()["x-request-id"].to_str().expect("a text");
        assert!(id.len() == 36 && id != bad, "{id}");
    }
}

#[tokio::test]
async fn probes_need_no_key() {
    let site = Site::start().await;
    for (path, status) in [("/healthz", "ok"), ("/readyz", "ready")] {
        let response = site.request(Method::GET, path).send().await.expect("an answer");
        assert_eq!(response.json::<serde_json::Value>().await.expect("JSON"), json!({ "status": status }));
    }
}
