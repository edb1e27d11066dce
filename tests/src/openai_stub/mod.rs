//! A server that speaks chat completions, counts every call, and misbehaves when told to.
//!
//! It runs on a thread of its own, so that it goes on counting whatever the test does meanwhile, and
//! it trusts nobody: a call counts when its whole request has come.

mod answers;
mod server;

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::{oneshot, watch};

/// One call, as it came.
#[derive(Clone, Debug)]
pub struct Call {
    /// From 1, in order of arrival.
    pub order: usize,
    /// When the whole request had come.
    pub at: Instant,
    /// Path and query.
    pub target: String,
    /// Names and values; those with keys hold only their length.
    pub headers: Vec<(String, String)>,
    /// The body; null if it was no JSON.
    pub body: Value,
    /// Equal for calls that ask the same of the same model.
    pub content_hash: String,
}

/// What the stub does with one call. Calls beyond the script get [`Behaviour::Answer`].
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// A good answer.
    Answer,
    /// A good answer around this content.
    Content(String),
    /// This status, headers and body.
    Status(u16, Vec<(&'static str, String)>, String),
    /// No answer until the client leaves.
    Hang,
    /// A complete answer whose content is cut-off JSON.
    MalformedJson,
    /// An answer that ended at the token limit.
    Length,
    /// An answer that the content filter ended.
    ContentFilter,
    /// The model refuses.
    Refusal,
    /// No choices.
    NoChoices,
    /// The connection breaks off inside the answer.
    Reset,
    /// The answer comes byte by byte with a pause after each.
    SlowBody(Duration),
    /// White space without end.
    EndlessBody,
}

impl Behaviour {
    /// HTTP 429, with `Retry-After` if given.
    pub fn rate_limited(retry_after: Option<&str>) -> Self {
        let headers = retry_after.map(|wait| ("retry-after", wait.to_owned()));
        let body = r#"{"error":{"message":"Rate limit reached","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#;
        Self::Status(429, headers.into_iter().collect(), body.to_owned())
    }

    /// A status with a plain error body.
    pub fn status(status: u16) -> Self {
        let body = r#"{"error":{"message":"as the script says","type":"stub","param":null,"code":null}}"#;
        Self::Status(status, Vec::new(), body.to_owned())
    }
}

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    script: VecDeque<Behaviour>,
    in_flight: usize,
    most_in_flight: usize,
}

struct Shared {
    state: Mutex<State>,
    latency: Duration,
    arrived: watch::Sender<usize>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The running stub. Dropped, it stops.
pub struct OpenAiStub {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl OpenAiStub {
    /// On a free port of the loopback, answering at once.
    pub fn start() -> Self {
        Self::with_latency(Duration::ZERO)
    }

    /// On a free port of the loopback, each answer after `latency`.
    pub fn with_latency(latency: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared { state: Mutex::default(), latency, arrived: watch::Sender::new(0) });
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn({
            let shared = Arc::clone(&shared);
            move || server::run(listener, shared, stopped)
        });
        Self { address, shared, stop: Some(stop), thread: Some(thread) }
    }

    /// For `OPENAI_BASE_URL`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// What to do with the next calls, one each.
    pub fn script(&self, behaviours: impl IntoIterator<Item = Behaviour>) {
        self.shared.state().script.extend(behaviours);
    }

    /// All calls so far, in order of arrival.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.state().calls.clone()
    }

    /// How many calls so far.
    pub fn call_count(&self) -> usize {
        self.shared.state().calls.len()
    }

    /// The most calls that were there at the same time.
    pub fn most_in_flight(&self) -> usize {
        self.shared.state().most_in_flight
    }

    /// Returns when so many calls have come in all.
    pub async fn calls_reach(&self, count: usize) {
        let mut arrived = self.shared.arrived.subscribe();
        arrived.wait_for(|arrived| *arrived >= count).await.expect("the stub outlives its callers");
    }
}

impl Drop for OpenAiStub {
    fn drop(&mut self) {
        // Either fails only if the server is gone already.
        let _ = self.stop.take().map(|stop| stop.send(()));
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}
