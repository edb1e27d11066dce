//! Connections that end if their client is too slow to ask, or takes nothing of its answer.
//!
//! While a request is worked on only the handlers watch the time.

use std::io::{self, ErrorKind, IoSlice};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::header::CONTENT_LENGTH;
use axum::response::Response;
use axum::serve::Listener;
use futures_util::stream::{self, StreamExt};
use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep, sleep_until};

/// A client that still sends after its answer is listened to for this long, and for so many bytes.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 64 << 20;

/// A listener whose connections have their time limited.
pub(super) struct Guarded {
    listener: TcpListener,
    times: Times,
}

/// How long a connection waits for its client.
#[derive(Clone, Copy)]
pub(super) struct Times {
    /// For a request's head from its first byte on, and for the first one after the connection.
    pub(super) head: Duration,
    /// Between two requests.
    pub(super) idle: Duration,
    /// Until the client takes something of an answer.
    pub(super) write: Duration,
}

impl Guarded {
    pub(super) fn new(listener: TcpListener, times: Times) -> Self {
        Self { listener, times }
    }
}

impl Listener for Guarded {
    type Io = GuardedStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (GuardedStream, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.listener).await;
        // Answers are written whole; waiting for more only delays them.
        let _ = stream.set_nodelay(true);
        let guarded = GuardedStream {
            stream,
            exchanges: Arc::default(),
            ended: 0,
            waits: Waits::ForHead,
            lingers: None,
            timer: Box::pin(sleep_until(Instant::now() + self.times.head)),
            stalled: None,
            times: self.times,
        };
        (guarded, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// What a connection without a request waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waits {
    /// The rest of a head, or the first one.
    ForHead,
    /// The next request.
    Idle,
}

/// A connection.
pub(super) struct GuardedStream {
    stream: TcpStream,
    exchanges: Arc<Exchanges>,
    /// Of the exchanges, those after which the waiting has begun.
    ended: usize,
    waits: Waits,
    /// At the end: bytes that may still come.
    lingers: Option<usize>,
    timer: Pin<Box<Sleep>>,
    /// Until when the client may take nothing of what is written; `None`: it took the last of it.
    stalled: Option<Pin<Box<Sleep>>>,
    times: Times,
}

impl GuardedStream {
    /// For its requests.
    pub(super) fn connection(&self) -> Connection {
        Connection(Arc::clone(&self.exchanges))
    }

    fn wait(&mut self, waits: Waits, time: Duration) {
        self.waits = waits;
        self.timer.as_mut().reset(Instant::now() + time);
    }

    /// The same for what was written, unless that takes too long.
    fn unless_stalled(
        &mut self,
        written: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let write = self.times.write;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + write)));
        stalled.as_mut().poll(context).map(|()| Err(ErrorKind::TimedOut.into()))
    }

    /// Discards what comes, until the other side is done too or it is enough.
    fn poll_linger(&mut self, mut left: usize, context: &mut Context<'_>) -> Poll<()> {
        while left > 0 && self.timer.as_mut().poll(context).is_pending() {
            let mut bytes = [MaybeUninit::uninit(); 16 << 10];
            let mut buffer = ReadBuf::uninit(&mut bytes);
            let read = Pin::new(&mut self.stream).poll_read(context, &mut buffer);
            if ready!(read).is_err() || buffer.filled().is_empty() {
                break;
            }
            left = left.saturating_sub(buffer.filled().len());
            self.lingers = Some(left);
        }
        Poll::Ready(())
    }
}

impl AsyncRead for GuardedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.exchanges.reader.register(context.waker());
        if self.exchanges.open.load(Ordering::Acquire) > 0 {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let ended = self.exchanges.ended.load(Ordering::Acquire);
        if self.ended != ended {
            self.ended = ended;
            let idle = self.times.idle;
            self.wait(Waits::Idle, idle);
        }
        if self.timer.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(ErrorKind::TimedOut.into()));
        }
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if self.waits == Waits::Idle {
            let head = self.times.head;
            self.wait(Waits::ForHead, head);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for GuardedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.unless_stalled(written, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// A connection that is closed with bytes unread is reset, which may take the answer away from a
    /// client that has not read it yet (RFC 9112, 9.6).
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingers.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
            if !self.exchanges.unread.load(Ordering::Acquire) {
                return Poll::Ready(Ok(()));
            }
            self.lingers = Some(LINGER_BYTES);
            self.timer.as_mut().reset(Instant::now() + LINGER);
        }
        let left = self.lingers.unwrap_or_default();
        self.poll_linger(left, context).map(Ok)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.unless_stalled(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Requests of one connection that are worked on or whose answers are being sent.
#[derive(Default)]
struct Exchanges {
    open: AtomicUsize,
    /// Exchanges that have ended so far.
    ended: AtomicUsize,
    /// Whether the last request has a body of which the end was not read.
    unread: AtomicBool,
    /// Who waits for the next request: the waiting time begins when the last exchange ends.
    reader: AtomicWaker,
}

/// What a request knows of its connection.
#[derive(Clone)]
pub(super) struct Connection(Arc<Exchanges>);

/// From a request's arrival until its answer is sent.
pub(super) struct Exchange(Arc<Exchanges>);

/// Begins with the request, whose body is watched from then on.
pub(super) fn exchange(request: Request) -> (Option<Exchange>, Request) {
    let Some(Connection(exchanges)) = request.extensions().get() else {
        return (None, request);
    };
    let exchanges = Arc::clone(exchanges);
    exchanges.open.fetch_add(1, Ordering::AcqRel);
    let has_body = !request.body().is_end_stream();
    exchanges.unread.store(has_body, Ordering::Release);
    let exchange = Exchange(Arc::clone(&exchanges));
    if !has_body {
        return (Some(exchange), request);
    }
    let at_its_end = stream::poll_fn(move |_| {
        exchanges.unread.store(false, Ordering::Release);
        Poll::Ready(None)
    });
    let watched = |body: Body| Body::from_stream(body.into_data_stream().chain(at_its_end));
    (Some(exchange), request.map(watched))
}

impl Exchange {
    /// Ends when the response's body is sent, or dropped.
    pub(super) fn until_sent(self, response: Response) -> Response {
        let (mut parts, body) = response.into_parts();
        // A stream has no length of its own.
        if let Some(length) = body.size_hint().exact() {
            parts.headers.entry(CONTENT_LENGTH).or_insert(length.into());
        }
        let chunks = body.into_data_stream().map(move |chunk| {
            let _until_here = &self;
            chunk
        });
        Response::from_parts(parts, Body::from_stream(chunks))
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::AcqRel);
        self.0.open.fetch_sub(1, Ordering::AcqRel);
        self.0.reader.wake();
    }
}
