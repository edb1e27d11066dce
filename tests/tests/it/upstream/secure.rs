//! A server that speaks TLS, notes how each call came, and answers when it is told to.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::http::Version;
use axum::serve::{IncomingStream, Listener};
use fleetline_tests::services::Authority;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How one call came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Came {
    /// The caller's end of the connection: each connection has its own.
    pub(super) from: SocketAddr,
    pub(super) version: Version,
}

/// The running server. Dropped, it stops.
pub(super) struct SecureServer {
    address: SocketAddr,
    book: Book,
    task: JoinHandle<()>,
}

#[derive(Clone)]
struct Book {
    came: Arc<Mutex<Vec<Came>>>,
    count: Arc<watch::Sender<usize>>,
    answers: Arc<Semaphore>,
}

impl SecureServer {
    /// On a free port of the loopback, with the authority's certificate for `localhost`, offering these
    /// protocols.
    pub(super) async fn start(authority: &Authority, protocols: &[&str]) -> Self {
        let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = tcp.local_addr().expect("bound");
        let listener = TlsListener { tcp, acceptor: acceptor(authority, protocols) };
        let count = Arc::new(watch::channel(0).0);
        let book = Book { came: Arc::default(), count, answers: Arc::new(Semaphore::new(0)) };
        let app = Router::new().fallback(answer).with_state(book.clone());
        let service = app.into_make_service_with_connect_info::<Peer>();
        let task =
            tokio::spawn(async move { axum::serve(listener, service).await.expect("the listener works") });
        Self { address, book, task }
    }

    /// Where it is, by the name that its certificate has.
    pub(super) fn url(&self) -> reqwest::Url {
        self.url_by("localhost")
    }

    pub(super) fn url_by(&self, host: &str) -> reqwest::Url {
        format!("https://{host}:{}/", self.address.port()).parse().expect("an address")
    }

    /// Lets so many more calls have their answer.
    pub(super) fn answer(&self, calls: usize) {
        self.book.answers.add_permits(calls);
    }

    /// Waits until so many calls have come.
    pub(super) async fn calls_reach(&self, calls: usize) {
        let mut count = self.book.count.subscribe();
        count.wait_for(|count| *count >= calls).await.expect("the server runs");
    }

    /// The calls that have come.
    pub(super) fn came(&self) -> Vec<Came> {
        self.book.came.lock().expect("no panic").clone()
    }
}

impl Drop for SecureServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    State(book): State<Book>,
    ConnectInfo(Peer(from)): ConnectInfo<Peer>,
    version: Version,
) -> &'static str {
    book.came.lock().expect("no panic").push(Came { from, version });
    book.count.send_modify(|count| *count += 1);
    book.answers.acquire().await.expect("never closed").forget();
    "{}"
}

fn acceptor(authority: &Authority, protocols: &[&str]) -> TlsAcceptor {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let certificate = CertificateDer::from_pem_file(authority.certificate()).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(authority.key()).expect("a key");
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key);
    let mut config = config.expect("they belong together");
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

struct TlsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (tcp, from) = self.tcp.accept().await.expect("the listener works");
            // Who does not trust the certificate goes away.
            if let Ok(stream) = self.acceptor.accept(tcp).await {
                return (stream, from);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}

#[derive(Clone)]
struct Peer(SocketAddr);

impl Connected<IncomingStream<'_, TlsListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TlsListener>) -> Self {
        Self(*stream.remote_addr())
    }
}
