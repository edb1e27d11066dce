//! Who may do what, and who sees what.

use std::sync::atomic::Ordering;
use std::time::Duration;

use fleetline_producer::http::{Access, HttpParts, serve};
use fleetline_shared::ports::{KeyLedger, Page, QueryLedger, Role};
use reqwest::Method;
use serde_json::json;
use tokio::net::TcpListener;

use super::fixture::{Site, echoes, parts, problem};

#[tokio::test]
async fn without_a_good_key_nothing_is_told() {
    let site = Site::start().await;
    let run = site.submit(&echoes([1])).await["run_id"].as_str().expect("an id").to_owned();
    let good = site.key.clone();
    let other_secret = format!("{}{}", &good[..good.len() - 4], "0000");
    for (name, value) in [
        ("x-nothing", "x"),
        ("authorization", "Bearer"),
        ("authorization", "Bearer nonsense"),
        ("authorization", "Basic dXNlcjpwYXNz"),
        ("x-api-key", other_secret.as_str()),
        ("x-api-key", ""),
    ] {
        for path in ["/v1/runs", &format!("/v1/runs/{run}"), &format!("/v1/runs/{run}/events")] {
            let request = site.request(Method::GET, path).header(name, value);
            let response = request.try_clone().expect("it has no body").send().await.expect("an answer");
            assert_eq!(response.headers()["www-authenticate"], "Bearer");
            let said = problem(request, 401).await;
            assert!(!said.to_string().contains(&run) && !said.to_string().contains("flk_0"), "{said}");
        }
    }
    for header in ["x-api-key", "authorization"] {
        let value = if header == "x-api-key" { good.clone() } else { format!("bearer {good}") };
        let response = site.request(Method::GET, "/v1/runs").header(header, value).send().await;
        assert_eq!(response.expect("an answer").status(), 200);
    }
}

#[tokio::test]
async fn roles_bound_what_a_key_may_do() {
    let site = Site::start().await;
    let run = site.submit(&echoes([1])).await["run_id"].as_str().expect("an id").to_owned();
    let (read, admin) = (site.new_key("acme", Role::Read).await, site.new_key("acme", Role::Admin).await);
    let with = |key: &str, method, path: &str| site.request(method, path).bearer_auth(key);
    assert_eq!(
        with(&read, Method::GET, &format!("/v1/runs/{run}")).send().await.expect("an answer").status(),
        200
    );
    for path in ["/v1/jobs", "/v1/runs?pipeline=logs", &format!("/v1/runs/{run}/cancel")] {
        let said = problem(with(&read, Method::POST, path).json(&echoes([2])), 403).await;
        assert!(said["detail"].as_str().expect("a text").contains("`submit`"), "{said}");
    }
    let sent = with(&admin, Method::POST, "/v1/jobs").json(&echoes([2])).send().await;
    assert_eq!(sent.expect("an answer").status(), 202);
}

#[tokio::test]
async fn what_is_anothers_is_not_there() {
    let site = Site::start().await;
    let accepted = site.submit(&echoes([1])).await;
    let run = accepted["run_id"].as_str().expect("an id");
    let job = accepted["jobs"][0]["job_id"].as_str().expect("an id");
    let other = site.new_key("other", Role::Admin).await;
    for (method, path) in [
        (Method::GET, format!("/v1/runs/{run}")),
        (Method::GET, format!("/v1/runs/{run}/jobs")),
        (Method::GET, format!("/v1/runs/{run}/results")),
        (Method::GET, format!("/v1/runs/{run}/facts")),
        (Method::GET, format!("/v1/runs/{run}/events")),
        (Method::POST, format!("/v1/runs/{run}/cancel")),
        (Method::GET, format!("/v1/jobs/{job}")),
        (Method::POST, format!("/v1/jobs/{job}/cancel")),
    ] {
        for accept in ["application/json", "application/x-ndjson"] {
            let request = site.request(method.clone(), &path).bearer_auth(&other).header("accept", accept);
            let said = problem(request, 404).await.to_string();
            assert!(!said.contains("acme") && !said.contains("echo"), "{said}");
        }
    }
    let listed = site.request(Method::GET, "/v1/runs").bearer_auth(&other).send().await.expect("an answer");
    assert_eq!(listed.json::<serde_json::Value>().await.expect("JSON")["items"], json!([]));
    assert_eq!(site.json(&format!("/v1/jobs/{job}")).await["state"], "ready");
}

#[tokio::test]
async fn a_revoked_key_is_worth_nothing() {
    let site = Site::with(|parts| parts.options.key_cache = Duration::ZERO).await;
    assert_eq!(site.get("/v1/runs").send().await.expect("an answer").status(), 200);
    let id = site.keys.keys().await.expect("keys")[0].id;
    assert!(site.keys.revoke_key(id).await.expect("it is there"));
    problem(site.get("/v1/runs"), 401).await;
}

#[tokio::test]
async fn a_key_is_looked_up_once_for_many_requests() {
    let memory = Duration::from_hours(1);
    let site = Site::with(|parts| parts.options.key_cache = memory).await;
    for _ in 0..20 {
        assert_eq!(site.get("/v1/runs").send().await.expect("an answer").status(), 200);
        problem(site.request(Method::GET, "/v1/runs").bearer_auth("no key at all"), 401).await;
    }
    assert_eq!(site.keys.lookups.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn open_means_everybody_and_loopback_only() {
    let site = Site::with(|parts| parts.access = Access::Open("mine".into())).await;
    let sent = site.request(Method::POST, "/v1/jobs").json(&echoes([1])).send().await.expect("an answer");
    assert_eq!(sent.status(), 202);
    assert_eq!(site.ledger.runs(Some("mine"), Page::first(10)).await.expect("runs").len(), 1);

    let parts = parts(&site.folder, site.ledger.clone(), site.keys.clone());
    let parts = HttpParts { access: Access::Open("mine".into()), ..parts };
    let everywhere = TcpListener::bind("0.0.0.0:0").await.expect("a port");
    let refused = serve(everywhere, parts, site.shutdown.clone()).await.unwrap_err();
    assert!(refused.to_string().contains("loopback only"), "{refused}");
}
