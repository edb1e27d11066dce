//! A TCP proxy between processes and one server, whose faults are switched at run time.
//!
//! What is under way when a direction turns black is held, not dropped: as with real packets, a
//! connection that gets well again goes on where it was.

mod connection;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

/// A port that was given up is asked for again after this time.
const BIND_PAUSE: Duration = Duration::from_millis(20);

/// How the proxy treats connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Connections go through, each direction in its own way.
    Through {
        /// From the client to the server.
        to_server: Way,
        /// From the server to the client.
        to_client: Way,
    },
    /// Existing connections are reset, new ones refused.
    Cut,
    /// Existing connections are reset, new ones accepted and closed at once.
    AcceptThenClose,
}

impl Link {
    /// All is well.
    pub const PASS: Self = Self::Through { to_server: Way::Pass, to_client: Way::Pass };
}

/// How one direction of a connection treats bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// At once.
    Pass,
    /// Not at all. Connections open, nothing comes through.
    Black,
    /// Late, and at most so many bytes a second on each connection.
    Slow {
        /// How late.
        delay: Duration,
        /// `None`: as many as there are.
        bytes_per_second: Option<u32>,
    },
}

/// What every connection watches.
#[derive(Clone, Copy, Debug)]
struct State {
    link: Link,
    /// Grows when existing connections are to be reset.
    epoch: u64,
}

/// The running proxy. Dropped, it ends with all its connections.
pub struct Proxy {
    address: SocketAddr,
    state: watch::Sender<State>,
    open: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// On a free port of the loopback, in front of `server` (`host:port`). All passes.
    pub async fn start(server: &str) -> Self {
        let listener = listen_anywhere().await;
        let address = listener.local_addr().expect("bound");
        let state = watch::Sender::new(State { link: Link::PASS, epoch: 0 });
        let open = Arc::new(AtomicUsize::new(0));
        let front =
            Front { address, server: server.to_owned(), state: state.subscribe(), open: Arc::clone(&open) };
        Self { address, state, open, task: tokio::spawn(front.run(listener)) }
    }

    /// Where clients find it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Treats connections so from now on.
    pub fn set(&self, link: Link) {
        self.state.send_modify(|state| {
            state.link = link;
            state.epoch += u64::from(!matches!(link, Link::Through { .. }));
        });
    }

    /// Resets the connections there are; new ones are treated as before.
    pub fn reset(&self) {
        self.state.send_modify(|state| state.epoch += 1);
    }

    /// Connections that are open now.
    pub fn connections(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Accepts, or refuses by not listening at all.
struct Front {
    address: SocketAddr,
    server: String,
    state: watch::Receiver<State>,
    open: Arc<AtomicUsize>,
}

impl Front {
    async fn run(mut self, listener: TcpListener) {
        let mut listener = Some(listener);
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            let is_cut = self.state.borrow_and_update().link == Link::Cut;
            if is_cut {
                listener = None;
            } else if listener.is_none() {
                listener = Some(listen(self.address).await);
            }
            tokio::select! {
                changed = self.state.changed() => if changed.is_err() { return },
                Some(Ok((client, _))) = accept(listener.as_ref()) => self.connect(client, &mut connections),
            }
        }
    }

    fn connect(&self, client: TcpStream, connections: &mut JoinSet<()>) {
        let State { link, epoch } = *self.state.borrow();
        if !matches!(link, Link::Through { .. }) {
            return;
        }
        let (server, state) = (self.server.clone(), self.state.clone());
        let open = Open::count(&self.open);
        connections.spawn(async move {
            connection::run(client, &server, state, epoch).await;
            drop(open);
        });
    }
}

async fn accept(listener: Option<&TcpListener>) -> Option<std::io::Result<(TcpStream, SocketAddr)>> {
    Some(listener?.accept().await)
}

/// Below the ports that systems hand out to clients: a cut link gives its port up, and must get it
/// again.
async fn listen_anywhere() -> TcpListener {
    loop {
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", fastrand::u16(10_000..20_000))).await {
            return listener;
        }
    }
}

/// The port is ours, but connections that are being torn down, or a client on its way out, may
/// still have it.
async fn listen(address: SocketAddr) -> TcpListener {
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(_) => sleep(BIND_PAUSE).await,
        }
    }
}

/// One open connection, counted until it is dropped.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn count(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(open))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
