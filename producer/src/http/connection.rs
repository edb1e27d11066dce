//! Connections that end if their client is too slow to ask.
//!
//! While a request is worked on, or its answer sent, only the handlers watch the time.

use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::http::header::CONTENT_LENGTH;
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use futures_util::StreamExt;
use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep, sleep_until};

/// A listener whose connections have their time limited.
pub(super) struct Guarded {
    listener: TcpListener,
    head: Duration,
    idle: Duration,
}

impl Guarded {
    /// `head`: time for a request's head from its first byte on, and for the first one after the
    /// connection. `idle`: time between two requests.
    pub(super) fn new(listener: TcpListener, head: Duration, idle: Duration) -> Self {
        Self { listener, head, idle }
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
            timer: Box::pin(sleep_until(Instant::now() + self.head)),
            head: self.head,
            idle: self.idle,
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
    timer: Pin<Box<Sleep>>,
    head: Duration,
    idle: Duration,
}

impl GuardedStream {
    fn wait(&mut self, waits: Waits, time: Duration) {
        self.waits = waits;
        self.timer.as_mut().reset(Instant::now() + time);
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
            let idle = self.idle;
            self.wait(Waits::Idle, idle);
        }
        if self.timer.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(ErrorKind::TimedOut.into()));
        }
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if self.waits == Waits::Idle {
            let head = self.head;
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
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
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
    /// Who waits for the next request: the waiting time begins when the last exchange ends.
    reader: AtomicWaker,
}

/// What a request knows of its connection.
#[derive(Clone)]
pub(super) struct Connection(Arc<Exchanges>);

impl Connected<IncomingStream<'_, Guarded>> for Connection {
    fn connect_info(stream: IncomingStream<'_, Guarded>) -> Self {
        Self(Arc::clone(&stream.io().exchanges))
    }
}

/// From a request's arrival until its answer is sent.
pub(super) struct Exchange(Arc<Exchanges>);

/// Begins with the request.
pub(super) fn exchange(request: &Request) -> Option<Exchange> {
    let ConnectInfo(connection) = request.extensions().get::<ConnectInfo<Connection>>()?;
    connection.0.open.fetch_add(1, Ordering::AcqRel);
    Some(Exchange(Arc::clone(&connection.0)))
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
