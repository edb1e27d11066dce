//! Google Analytics' reports: what they say of the property's quota bounds the next ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::routing::post;
use axum::{Json, Router};
use fleetline_shared::domain::{CallContext, Dimension, JobId, Spend};
use fleetline_shared::ports::{CallEnd, Limits, Rate};
use fleetline_shared::rules::{Pacing, QuotaState, Slot, SlotAsk};
use fleetline_tests::openai_spec::shared_folder;
use fleetline_worker::upstream::feedback::Vendor;
use fleetline_worker::upstream::{ApiClient, ApiConfig, Outgoing, UpstreamSettings};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json, value::to_raw_value};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Fleet;

/// A report as `properties.runReport` answers it, of a property of which others have used much.
fn report() -> Value {
    let status = |consumed: u32, remaining: u32| json!({ "consumed": consumed, "remaining": remaining });
    json!({
        "kind": "analyticsData#runReport",
        "dimensionHeaders": [{ "name": "country" }],
        "metricHeaders": [{ "name": "activeUsers", "type": "TYPE_INTEGER" }],
        "rows": [{ "dimensionValues": [{ "value": "Norway" }], "metricValues": [{ "value": "23" }] }],
        "rowCount": 1,
        "propertyQuota": {
            "tokensPerDay": status(7, 170_000),
            "tokensPerHour": status(7, 12_000),
            "tokensPerProjectPerHour": status(7, 1_000),
            "concurrentRequests": status(0, 10),
            "serverErrorsPerProjectPerHour": status(0, 10),
            "potentiallyThresholdedRequestsPerHour": status(0, 120),
        },
    })
}

async fn run_report(
    State(calls): State<Arc<AtomicU64>>,
    Path(_): Path<String>,
    Json(request): Json<Value>,
) -> Json<Value> {
    assert_eq!(request["returnPropertyQuota"], true);
    calls.fetch_add(1, Ordering::SeqCst);
    Json(report())
}

fn request() -> Value {
    json!({
        "dimensions": [{ "name": "country" }],
        "metrics": [{ "name": "activeUsers" }],
        "dateRanges": [{ "startDate": "yesterday", "endDate": "yesterday" }],
        "returnPropertyQuota": true,
    })
}

/// The vendor's server. Dropped, it stops.
struct Ga4 {
    url: String,
    calls: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Ga4 {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/v1beta", listener.local_addr().expect("bound"));
        let calls = Arc::new(AtomicU64::new(0));
        let route = post(run_report);
        let app = Router::new().route("/v1beta/properties/{report}", route).with_state(Arc::clone(&calls));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.expect("the listener works") });
        Self { url, calls, task }
    }
}

impl Drop for Ga4 {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_a_result_and_its_tokens_are_booked() {
    let ga4 = Ga4::start().await;
    let settings =
        format!("[upstreams.ga4]\nbase_url = \"{}\"\nvendor = \"ga4\"\nconcurrency = 10\n", ga4.url);
    let fleet = Fleet::start(&settings).await;
    let job = json!({ "kind": "http.json", "args": {
        "upstream": "ga4", "path": "/properties/1234:runReport", "tokens": 10, "body": request(),
    } });
    let accepted = fleet.accepted(&job).await;
    let ended = fleet.ended(&accepted[0]).await;
    assert_eq!(ended["output"]["rows"][0]["metricValues"][0]["value"], "23", "{ended:#}");
    assert_eq!(ended["usage"]["input_tokens"], 7, "{ended:#}");
    assert_eq!(ga4.calls.load(Ordering::SeqCst), 1);
    fleet.end().await;
}

/// The quota in hours that pass at once.
#[tokio::test]
async fn what_a_report_says_of_the_property_bounds_the_next_ones() {
    const HOUR: u64 = 3_600_000_000;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let ga4 = Ga4::start().await;
    let settings = UpstreamSettings { vendor: Vendor::Ga4, ..UpstreamSettings::default() };
    let config = ApiConfig { base_url: ga4.url.clone(), auth: None, headers: Vec::new(), settings };
    let api = ApiClient::new("ga4", &config).expect("good settings");
    let context = CallContext::new(JobId::new(), 1, CancellationToken::new());
    let url = api.url("/properties/1234:runReport", std::iter::empty()).expect("a path");
    let body = to_raw_value(&request()).expect("JSON");
    let outgoing = Outgoing { method: Method::POST, url, headers: HeaderMap::new(), body: Some(&body) };
    api.call(outgoing, &context).await.expect("a report");

    let tokens = Some(Rate { amount: 14_000, window: Duration::from_hours(1) });
    let limits = Limits { tokens, ..Limits::default() };
    let mut quota = QuotaState::new(&limits, Pacing::default(), HOUR);
    let ask = |tokens| SlotAsk {
        spend: Spend { input_tokens: tokens, ..Spend::default() },
        hold: HOUR / 6,
        ttl: HOUR,
        ..SlotAsk::default()
    };
    let now = 4 * HOUR;
    let Slot::At { id, .. } = quota.admit(&ask(10), now) else { panic!("nothing was used for hours") };
    let used = Spend { input_tokens: context.usage().input_tokens, ..Spend::default() };
    let end = CallEnd { feedback: context.feedback(), ..CallEnd::unknown(Some(used)) };
    assert!(quota.settle(id, &end, now + 1_000_000));

    let now = now + 60_000_000;
    let standing = quota.standing(now);
    let tokens =
        standing.used.iter().find(|used| used.dimension == Dimension::Tokens).expect("it is limited");
    assert_eq!((tokens.used, tokens.others), (7, 14_000 - 7 - 1_000));
    assert!(matches!(quota.admit(&ask(1_100), now), Slot::TooFar { .. }), "1,000 are left of the hour");
}

/// What the test's server says is what the vendor's own description knows.
#[test]
fn the_report_is_as_the_vendor_describes_it() {
    let Some(folder) = shared_folder() else { return };
    let spec = std::fs::read_to_string(folder.join("specs/ga4-data.json")).expect("the vendor's description");
    let spec: Value = serde_json::from_str(&spec).expect("JSON");
    let known = |schema: &str, name: &str| spec["schemas"][schema]["properties"].get(name).is_some();
    let report = report();
    for name in report.as_object().expect("an object").keys() {
        assert!(known("RunReportResponse", name), "{name}");
    }
    for (name, status) in report["propertyQuota"].as_object().expect("an object") {
        assert!(known("PropertyQuota", name), "{name}");
        assert!(status.as_object().expect("an object").keys().all(|name| known("QuotaStatus", name)));
    }
    assert!(known("RunReportRequest", "returnPropertyQuota"));
}
