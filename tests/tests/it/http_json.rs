//! `http.json` against the simulator: answers, refusals, faults, and what vendors tell of their limits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::domain::{
    CallContext, Dimension, ErasedDone, JobError, JobId, JobState, KindPolicy, Registry,
};
use fleetline_shared::ports::{Limits, Rate};
use fleetline_simulator::HeaderStyle;
use fleetline_worker::kinds::{Apis, HttpJson, Kinds};
use fleetline_worker::upstream::feedback::Vendor;
use fleetline_worker::upstream::{ApiClient, ApiConfig, UpstreamSettings};
use serde_json::{Value, json, value::to_raw_value};
use tokio_util::sync::CancellationToken;

use fleetline_shared::domain::Kind as _;

use crate::simulator::{Running, rate};
use crate::world::{Known, World, policy};

const AUTH: &str = "Bearer secret-of-the-test";

fn api(url: &str, vendor: Vendor) -> ApiClient {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let settings =
        UpstreamSettings { vendor, timeout: Duration::from_secs(20), ..UpstreamSettings::default() };
    let config =
        ApiConfig { base_url: format!("{url}/v1"), auth: Some(AUTH.into()), headers: Vec::new(), settings };
    ApiClient::new("api", &config).expect("good settings")
}

fn registry(apis: Vec<(&str, ApiClient)>, policy: KindPolicy) -> Registry {
    let apis: Apis = apis.into_iter().map(|(name, api)| (name.to_owned(), Arc::new(api))).collect();
    Kinds::calling(None, apis, policy).registry().clone()
}

async fn perform(url: &str, vendor: Vendor, args: &Value) -> (Result<ErasedDone, JobError>, CallContext) {
    let context = CallContext::new(JobId::new(), 1, CancellationToken::new());
    let registry = registry(vec![("api", api(url, vendor))], KindPolicy::default());
    let args = to_raw_value(args).expect("plain JSON");
    (registry.get(HttpJson::NAME).expect("registered").perform(&args, &context).await, context)
}

fn echo() -> Value {
    json!({ "upstream": "api", "path": "/echo", "body": { "x": [1.5, "ü"] } })
}

#[tokio::test]
async fn the_answer_is_the_result() {
    let simulator = Running::start(|_| {}).await;
    let (done, context) = perform(&simulator.url, Vendor::Plain, &echo()).await;
    assert_eq!(done.expect("an answer").output.get(), r#"{"call":1,"echo":{"x":[1.5,"ü"]}}"#);
    assert_eq!(context.usage().calls, 1);
    let calls = simulator.ledger().await;
    assert_eq!(calls[0]["marker"], context.job_id.to_string(), "a POST can be told from its repetition");
    assert!(calls[0]["key"].is_string(), "it has its Authorization");
}

#[tokio::test]
async fn vendors_tell_of_their_limits() {
    for (style, vendor) in [
        (HeaderStyle::Jira, Vendor::Jira),
        (HeaderStyle::Datadog, Vendor::Datadog),
        (HeaderStyle::OpenAi, Vendor::OpenAi),
    ] {
        let simulator = Running::start(|options| {
            options.headers = style;
            options.limits.requests = Some(rate("2/min"));
        })
        .await;
        let (done, context) = perform(&simulator.url, vendor, &echo()).await;
        done.expect("an answer");
        let heard = context.feedback();
        let calls = heard.standings.iter().find(|standing| standing.dimension == Dimension::Requests);
        let calls = calls.unwrap_or_else(|| panic!("{style:?}: {heard:?}"));
        assert_eq!((calls.limit, calls.remaining), (Some(2), Some(1)), "{style:?}");

        perform(&simulator.url, vendor, &echo()).await.0.expect("an answer");
        let (refused, context) = perform(&simulator.url, vendor, &echo()).await;
        let Err(JobError::RateLimited { retry_after: Some(wait), .. }) = refused else {
            panic!("{refused:?}")
        };
        assert!(wait > Duration::from_secs(50) && wait <= Duration::from_secs(61), "{style:?}: {wait:?}");
        assert_eq!(context.feedback().retry_after, Some(wait));
    }
}

#[tokio::test]
async fn what_may_help_another_time_is_retryable() {
    let simulator = Running::start(|_| {}).await;
    for (fault, part) in [
        ("error 503", "HTTP 503"),
        ("error 408", "HTTP 408"),
        ("error 425", "HTTP 425"),
        ("malformed", "no JSON"),
        ("reset", "the call failed"),
        ("outage reset", "the call failed"),
        ("outage refuse", "no connection"),
    ] {
        simulator.fails(&format!("0s.. {fault}")).await;
        let (failed, _) = perform(&simulator.url, Vendor::Plain, &echo()).await;
        let Err(JobError::Retryable(said)) = &failed else { panic!("{fault}: {failed:?}") };
        assert!(said.contains(part) && !said.contains("secret-of-the-test"), "{fault}: {said}");
        simulator.heals().await;
    }
    simulator.fails("0s.. hang").await;
    let settings = UpstreamSettings { timeout: Duration::from_millis(100), ..UpstreamSettings::default() };
    let config = ApiConfig { base_url: simulator.url.clone(), auth: None, headers: Vec::new(), settings };
    let registry =
        registry(vec![("api", ApiClient::new("api", &config).expect("good"))], KindPolicy::default());
    let args = to_raw_value(&json!({ "upstream": "api", "path": "/v1/echo", "body": 1 })).expect("JSON");
    let context = CallContext::new(JobId::new(), 1, CancellationToken::new());
    let failed = registry.get(HttpJson::NAME).expect("registered").perform(&args, &context).await;
    assert!(
        matches!(&failed, Err(JobError::Retryable(said)) if said.contains("no answer in time")),
        "{failed:?}"
    );
}

#[tokio::test]
async fn what_the_api_refuses_is_permanent() {
    let simulator = Running::start(|_| {}).await;
    let args = json!({ "upstream": "api", "path": "/nothing/here", "method": "GET", "query": { "a": "b" } });
    let (refused, context) = perform(&simulator.url, Vendor::Plain, &args).await;
    let Err(JobError::Permanent(said)) = &refused else { panic!("{refused:?}") };
    assert!(said.contains("HTTP 404") && said.contains("/v1/nothing/here"), "{said}");
    assert_eq!(context.usage().calls, 1);
    let (unknown, context) =
        perform(&simulator.url, Vendor::Plain, &json!({ "upstream": "other", "path": "/" })).await;
    assert!(matches!(&unknown, Err(JobError::NotHere(said)) if said.contains("`other`")), "{unknown:?}");
    assert_eq!(context.usage().calls, 0);
}

/// Jobs of two upstreams through the engine: one is used up, the other goes on.
#[tokio::test]
async fn each_upstream_has_its_own_quota() {
    let (jira, datadog) = (
        Running::start(|options| options.headers = HeaderStyle::Jira).await,
        Running::start(|options| options.headers = HeaderStyle::Datadog).await,
    );
    let apis = vec![("jira", api(&jira.url, Vendor::Jira)), ("datadog", api(&datadog.url, Vendor::Datadog))];
    let requests = Some(Rate { amount: 2, window: Duration::from_hours(1) });
    let few = Known { limits: Limits { requests, ..Limits::default() }, ..Known::default() };
    let upstreams = BTreeMap::from([("jira".to_owned(), few), ("datadog".to_owned(), Known::default())]);
    let world = World::start(&registry(apis, policy()), upstreams).await;
    let job = |upstream: &str, number: u32| {
        let args = json!({ "upstream": upstream, "path": "/echo", "body": { "number": number } });
        world.job(HttpJson::NAME, &args)
    };
    let jobs = (0..4).flat_map(|number| [job("jira", number), job("datadog", number)]);
    let run = world.submit(jobs.collect()).await;
    let rows = world
        .until(run, |rows| rows.iter().skip(1).step_by(2).all(|row| row.state == JobState::Succeeded))
        .await;
    for (number, row) in rows.iter().skip(1).step_by(2).enumerate() {
        assert_eq!(row.output_value().expect("an answer")["echo"]["number"], number);
    }
    assert!(jira.ledger().await.len() <= 2);
    assert_eq!(datadog.ledger().await.len(), 4);
}
