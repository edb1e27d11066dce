//! How upstreams stand, and what jobs wait for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fleetline_producer::insight::FleetPorts;
use fleetline_shared::embedded::{MemoryBroker, MemoryLeases, MemoryQuotas};
use fleetline_shared::ports::{Limits, Quotas, Rate, Rates, Role};
use fleetline_shared::redis::{Redis, RedisLeases, RedisOptions, RedisQuotas};
use reqwest::Method;

use super::fixture::{Site, echoes, problem};

fn limits() -> BTreeMap<String, Limits> {
    let rate = |amount| Some(Rate { amount, window: Duration::from_mins(1) });
    let per_tenant = Some(Rates { requests: rate(50), ..Rates::default() });
    let per_model = [("small".into(), Rates { tokens: rate(1_000), ..Rates::default() })].into();
    let limits = Limits { requests: rate(500), per_tenant, per_model, ..Limits::default() };
    [("api".to_owned(), limits)].into()
}

async fn site(quotas: Arc<dyn Quotas>, leases: Arc<dyn fleetline_shared::ports::Leases>) -> Site {
    let fleet = FleetPorts { quotas, broker: Arc::new(MemoryBroker::new()), leases };
    Site::with(|parts| {
        parts.insight.limits = limits();
        parts.insight.fleet = Some(fleet);
    })
    .await
}

#[tokio::test]
async fn admins_see_how_the_upstreams_stand() {
    let quotas = Arc::new(MemoryQuotas::new(limits()));
    quotas.pause("api", Duration::from_mins(1), "429").await.expect("it works");
    let site = site(quotas, Arc::new(MemoryLeases::new())).await;
    site.submit(&echoes([1, 2, 3])).await;
    let said = problem(site.get("/v1/upstreams"), 403).await;
    assert!(said["detail"].as_str().expect("a text").contains("`admin`"), "{said}");

    let admin = site.new_key("acme", Role::Admin).await;
    let request = site.request(Method::GET, "/v1/upstreams").bearer_auth(admin);
    let view: serde_json::Value = request.send().await.expect("an answer").json().await.expect("JSON");
    assert_eq!(view["unknown"].as_array().map(Vec::len), Some(0), "{view}");
    assert_eq!(view["without"]["due"], 3, "{view}");
    let api = &view["upstreams"][0];
    assert_eq!((&api["name"], &api["paused"]["why"]), (&"api".into(), &"429".into()), "{view}");
    assert_eq!((&api["limits"][0]["limit"], &api["limits"][0]["window_ms"]), (&500.into(), &60_000.into()));
    let tenant = serde_json::json!([{ "of": "requests", "limit": 50, "window_ms": 60_000 }]);
    let models = serde_json::json!({ "small": [{ "of": "tokens", "limit": 1_000, "window_ms": 60_000 }] });
    assert_eq!((&api["per_tenant"], &api["per_model"]), (&tenant, &models));
}

#[tokio::test]
async fn a_job_says_what_it_waits_for_to_its_own_tenant() {
    let site = site(Arc::new(MemoryQuotas::new(limits())), Arc::new(MemoryLeases::new())).await;
    let accepted = site.submit(&echoes([1, 2])).await;
    let job = accepted["jobs"][1]["job_id"].as_str().expect("an id");
    let path = format!("/v1/jobs/{job}/explain");
    let said = site.json(&path).await;
    assert_eq!((&said["job_id"], &said["state"]), (&job.into(), &"ready".into()), "{said}");
    let waits: Vec<_> =
        said["waits_for"].as_array().expect("a list").iter().map(|wait| &wait["what"]).collect();
    assert_eq!(waits, ["turn", "worker"], "{said}");
    assert_eq!(said["expected"], serde_json::Value::Null, "without a worker it never runs: {said}");

    let other = site.new_key("other", Role::Admin).await;
    problem(site.request(Method::GET, &path).bearer_auth(other), 404).await;
    site.work(2).await;
    let done = site.json(&path).await;
    assert_eq!((&done["state"], &done["waits_for"]), (&"succeeded".into(), &serde_json::json!([])));
}

#[tokio::test]
async fn without_redis_the_rest_is_told() {
    // A port that nobody listens on.
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("one").port();
    let url = format!("redis://:very-secret@127.0.0.1:{port}/");
    let redis = Redis::new(RedisOptions::new(url)).expect("the URL can be read");
    let quotas = Arc::new(RedisQuotas::new(redis.clone(), BTreeMap::new()));
    let site = site(quotas, Arc::new(RedisLeases::new(redis))).await;
    let accepted = site.submit(&echoes([1])).await;
    let admin = site.new_key("acme", Role::Admin).await;
    let get = async |path: &str| -> serde_json::Value {
        let response = site.request(Method::GET, path).bearer_auth(&admin).send().await.expect("an answer");
        assert_eq!(response.status(), 200, "{path}");
        response.json().await.expect("JSON")
    };
    let view = get("/v1/upstreams").await;
    assert_eq!(view["unknown"][0]["what"], "use of the quotas, pauses, breakers", "{view}");
    let api = &view["upstreams"][0];
    assert_eq!((&api["is_known"], &api["limits"][0]["limit"]), (&false.into(), &500.into()), "{view}");
    assert!(!view.to_string().contains("very-secret"), "{view}");
    let job = accepted["jobs"][0]["job_id"].as_str().expect("an id");
    let said = get(&format!("/v1/jobs/{job}/explain")).await;
    assert_eq!(said["waits_for"][0]["what"], "worker", "{said}");
    assert_eq!(said["unknown"][0]["what"], "who holds the lease on its key", "{said}");
}
