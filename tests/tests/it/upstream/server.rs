//! A server that notes who called how, and answers as it is told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, Response};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// One request as it came.
#[derive(Clone)]
pub(super) struct Seen {
    /// The caller's end of the connection: each connection has its own.
    pub(super) from: SocketAddr,
    /// Its headers.
    pub(super) headers: HeaderMap,
}

impl Seen {
    /// A header as text.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}")).to_str().expect("text")
    }
}

/// What every request is answered with.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, &'static str)>,
    pub(super) body: &'static [u8],
}

impl Default for Reply {
    fn default() -> Self {
        Self { status: 200, headers: Vec::new(), body: b"{}" }
    }
}

type Shared = Arc<(Reply, Mutex<Vec<Seen>>)>;

/// The running server. Dropped, it stops.
pub(super) struct Server {
    address: SocketAddr,
    shared: Shared,
    task: JoinHandle<()>,
}

impl Server {
    /// On a free port of the loopback.
    pub(super) async fn start(reply: Reply) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let shared = Arc::new((reply, Mutex::default()));
        let app = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let service = app.into_make_service_with_connect_info::<SocketAddr>();
        let task =
            tokio::spawn(async move { axum::serve(listener, service).await.expect("the listener works") });
        Self { address, shared, task }
    }

    /// Where it is.
    pub(super) fn url(&self, path: &str) -> reqwest::Url {
        format!("http://{}{path}", self.address).parse().expect("an address")
    }

    /// What came so far.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.shared.1.lock().expect("no panic").clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    State(shared): State<Shared>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    _: Bytes,
) -> Response<Body> {
    let (reply, seen) = &*shared;
    seen.lock().expect("no panic").push(Seen { from, headers });
    let builder = Response::builder().status(reply.status);
    let builder = reply.headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
    builder.body(Body::from(reply.body)).expect("a response")
}
