//! A served intake with keys, a kind of its own, and somebody who does the work.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use fleetline_producer::discovery::DiscoveryOptions;
use fleetline_producer::http::{Access, HttpOptions, HttpParts, keys, serve};
use fleetline_producer::insight::Insight;
use fleetline_producer::intake::Pipelines;
use fleetline_producer::logs::LogOptions;
use fleetline_producer::pipelines::{Appraiser, JobTemplate};
use fleetline_shared::domain::{
    CallContext, Decision, Done, JobError, Kind, KindPolicy, PortError, Registry, Usage, Weights,
};
use fleetline_shared::ports::{
    ApiKey, DispatchAsk, DispatchLedger, Finish, FinishLedger, KeyLedger, NewApiKey, Role, Scope,
};
use fleetline_shared::postgres::{PostgresLedger, PostgresOptions};
use fleetline_tests::services::Database;
use fleetline_worker::kinds::Kinds;
use reqwest::{Client, Method, RequestBuilder, Response};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Answers with what it is given; panics when told to.
pub(super) struct Echo;

#[derive(Deserialize)]
pub(super) struct EchoArgs {
    n: i64,
    #[serde(default)]
    panic: bool,
    /// The whole output, in place of an object with `n`.
    output: Option<Value>,
    /// The same as text.
    text: Option<String>,
}

impl Kind for Echo {
    const NAME: &'static str = "test.echo";
    type Args = EchoArgs;
    type Output = Box<RawValue>;

    async fn perform(&self, args: EchoArgs, _: &CallContext) -> Result<Done<Box<RawValue>>, JobError> {
        let text =
            args.text.unwrap_or_else(|| args.output.unwrap_or_else(|| json!({ "n": args.n })).to_string());
        Ok(Done::new(RawValue::from_string(text).expect("JSON")))
    }

    fn appraise(
        &self,
        args: &EchoArgs,
        json: &RawValue,
    ) -> Result<fleetline_shared::domain::Appraisal, String> {
        assert!(!args.panic, "told to");
        fleetline_shared::domain::Appraisal::of_whole(Self::NAME, json)
    }
}

/// The kinds of the intake under test.
pub(super) fn registry() -> Registry {
    Kinds::all(None, KindPolicy::default()).registry().clone().with(Echo)
}

/// The template of the built-in rules for a kind.
pub(super) fn template(kinds: &Kinds, kind: &str, analyser: &str) -> JobTemplate {
    let choice = kinds.analyser(kind, analyser).expect("it is configured");
    JobTemplate {
        analyser: choice.clone(),
        max_attempts: 3,
        deadline: None,
        fresh_for: None,
        appraiser: Appraiser::of(kinds.registry().get(kind).expect("it is registered")),
    }
}

/// The ledger's keys: counts how often one is looked for, and can be told to be out of reach.
pub(super) struct KeyStore {
    ledger: PostgresLedger,
    pub(super) lookups: AtomicUsize,
    pub(super) down: AtomicBool,
}

#[async_trait]
impl KeyLedger for KeyStore {
    async fn add_key(&self, key: NewApiKey) -> Result<(), PortError> {
        self.ledger.add_key(key).await
    }

    async fn keys(&self) -> Result<Vec<ApiKey>, PortError> {
        self.ledger.keys().await
    }

    async fn revoke_key(&self, id: Uuid) -> Result<bool, PortError> {
        self.ledger.revoke_key(id).await
    }

    async fn find_key(&self, hash: [u8; 32]) -> Result<Option<ApiKey>, PortError> {
        self.lookups.fetch_add(1, Ordering::SeqCst);
        if self.down.load(Ordering::SeqCst) {
            let message = "postgres://user:very-secret@db is gone".to_owned();
            return Err(PortError::Unavailable { port: "ledger", message });
        }
        self.ledger.find_key(hash).await
    }
}

/// What is served if nothing else is said.
pub(super) fn parts(folder: &TempDir, ledger: PostgresLedger, keys: Arc<KeyStore>) -> HttpParts {
    let kinds = Kinds::all(None, KindPolicy::default());
    let spool = folder.path().join("spool");
    std::fs::create_dir_all(&spool).expect("a folder");
    HttpParts {
        ledger: Arc::new(ledger.clone()),
        kinds: registry(),
        pipelines: Pipelines {
            discovery: template(&kinds, "node.extract", "builtin"),
            discovery_options: DiscoveryOptions::default(),
            logs: template(&kinds, "log.analyze", "builtin"),
            log_options: LogOptions::default(),
            spool,
        },
        insight: Insight {
            ledger: Arc::new(ledger),
            kinds: registry(),
            limits: BTreeMap::new(),
            static_shares: BTreeSet::new(),
            weights: Weights::default(),
            fleet: None,
            flags: String::new(),
        },
        access: Access::Keys(keys),
        options: HttpOptions { events_spacing: Duration::from_millis(20), ..HttpOptions::default() },
    }
}

/// A served intake.
pub(super) struct Site {
    pub(super) address: SocketAddr,
    pub(super) ledger: PostgresLedger,
    pub(super) keys: Arc<KeyStore>,
    /// A key of tenant `acme` that may submit.
    pub(super) key: String,
    pub(super) shutdown: CancellationToken,
    pub(super) serving: JoinHandle<std::io::Result<()>>,
    pub(super) client: Client,
    pub(super) folder: TempDir,
    pub(super) database: Database,
}

impl Site {
    pub(super) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// With other settings.
    pub(super) async fn with(change: impl FnOnce(&mut HttpParts)) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().expect("a folder");
        let database = Database::new().await;
        // A crowd waits for a connection as long as it takes, on however slow a machine.
        let options = PostgresOptions { acquire_timeout: Duration::from_mins(1), ..database.options() };
        let ledger = PostgresLedger::open(&options).await.expect("the ledger opens");
        let (lookups, down) = (AtomicUsize::default(), AtomicBool::default());
        let keys = Arc::new(KeyStore { ledger: ledger.clone(), lookups, down });
        let mut parts = parts(&folder, ledger.clone(), keys.clone());
        change(&mut parts);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(serve(listener, parts, shutdown.clone()));
        let client = Client::new();
        let mut site =
            Self { address, ledger, keys, key: String::new(), shutdown, serving, client, folder, database };
        site.key = site.new_key("acme", Role::Submit).await;
        site
    }

    /// Makes a key.
    pub(super) async fn new_key(&self, tenant: &str, role: Role) -> String {
        let minted = keys::new_key(tenant, role, "test").expect("random numbers");
        self.keys.add_key(minted.record).await.expect("the store takes it");
        minted.key
    }

    /// A request without a key.
    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    pub(super) fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path).bearer_auth(&self.key)
    }

    pub(super) fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path).bearer_auth(&self.key)
    }

    /// A GET that answers 200 with JSON.
    pub(super) async fn json(&self, path: &str) -> Value {
        let response = self.get(path).send().await.expect("an answer");
        assert_eq!(response.status(), 200, "{path}");
        response.json().await.expect("JSON")
    }

    /// Submits jobs; the answer must be 202.
    pub(super) async fn submit(&self, jobs: &Value) -> Value {
        accepted(self.post("/v1/jobs").json(jobs).send()).await
    }

    /// Submits a file; the answer must be 202.
    pub(super) async fn upload(&self, pipeline: &str, body: impl Into<reqwest::Body>) -> Value {
        accepted(self.post(&format!("/v1/runs?pipeline={pipeline}")).body(body).send()).await
    }

    /// The runs of the key's tenant.
    pub(super) async fn runs(&self) -> Vec<Value> {
        self.json("/v1/runs").await["items"].as_array().expect("a list").clone()
    }

    /// Does up to `most` jobs that are ready.
    pub(super) async fn work(&self, most: usize) -> usize {
        let registry = registry();
        let mut done = 0;
        for name in registry.names() {
            let ask = DispatchAsk {
                scope: Scope::All,
                kind: name.into(),
                limit: most - done,
                skip_upstreams: Vec::new(),
                weights: Weights::default(),
            };
            let mut finishes = Vec::new();
            for envelope in self.ledger.dispatch(ask).await.expect("the ledger works") {
                let context = CallContext::new(envelope.job_id, 1, CancellationToken::new());
                let args = envelope.args.expect("a dispatch reads the args");
                let result = registry.get(name).expect("it is there").perform(&args, &context).await;
                let decision = Decision::Succeed(result.expect("the built-in rules know everything"));
                finishes.push(Finish {
                    job: envelope.job_id,
                    fence: envelope.fence,
                    decision,
                    usage: Usage::default(),
                });
            }
            done += finishes.len();
            self.ledger.finish(finishes).await.expect("the ledger works");
        }
        done
    }
}

async fn accepted(answer: impl Future<Output = reqwest::Result<Response>>) -> Value {
    let response = answer.await.expect("an answer");
    let status = response.status();
    let location = response.headers().get("location").cloned();
    let body: Value = response.json().await.expect("JSON");
    assert_eq!(status, 202, "{body}");
    let run = body["run_id"].as_str().or_else(|| body["id"].as_str()).expect("an id");
    assert_eq!(location.expect("a location"), format!("/v1/runs/{run}").as_str());
    body
}

/// The problem that the answer must be.
pub(super) async fn problem(request: RequestBuilder, status: u16) -> Value {
    problem_of(request.send().await.expect("an answer"), status).await
}

/// The same of an answer that is there.
pub(super) async fn problem_of(response: Response, status: u16) -> Value {
    let found = response.status();
    let content_type = response.headers().get("content-type").cloned();
    assert!(response.headers().contains_key("x-request-id"));
    let text = response.text().await.expect("a body");
    assert_eq!(found, status, "{text}");
    assert_eq!(content_type.expect("a type"), "application/problem+json");
    let body: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(body["status"], status);
    for field in ["type", "title", "detail"] {
        assert!(!body[field].as_str().expect("a text").is_empty(), "{body}");
    }
    body
}

/// Jobs of [`Echo`] with these numbers.
pub(super) fn echoes(numbers: impl IntoIterator<Item = i64>) -> Value {
    numbers.into_iter().map(|n| json!({ "kind": "test.echo", "args": { "n": n } })).collect()
}
