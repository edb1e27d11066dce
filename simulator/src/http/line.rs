//! Connections that can be refused and reset.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::State;

/// Listens except while an outage refuses connections.
pub(super) struct FaultyListener {
    listener: Option<TcpListener>,
    address: SocketAddr,
    state: Arc<State>,
}

impl FaultyListener {
    pub(super) fn new(listener: TcpListener, state: Arc<State>) -> io::Result<Self> {
        Ok(Self { address: listener.local_addr()?, listener: Some(listener), state })
    }

    /// The listener, once nothing speaks against it.
    async fn open(&mut self) -> io::Result<&TcpListener> {
        if self.state.timeline.refuses(true).now_or_never().is_some() {
            self.listener = None;
        }
        self.state.timeline.refuses(false).await;
        match self.listener.take() {
            Some(listener) => Ok(self.listener.insert(listener)),
            None => Ok(self.listener.insert(TcpListener::bind(self.address).await?)),
        }
    }

    async fn next(&mut self) -> io::Result<Option<(TcpStream, SocketAddr)>> {
        let state = Arc::clone(&self.state);
        let listener = self.open().await?;
        tokio::select! {
            // First, so that nobody slips in while the door closes.
            biased;
            () = state.timeline.refuses(true) => {
                self.listener = None;
                Ok(None)
            }
            accepted = listener.accept() => accepted.map(Some),
        }
    }
}

impl Listener for FaultyListener {
    type Io = FaultyStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (FaultyStream, SocketAddr) {
        const PAUSE: Duration = Duration::from_millis(100);
        loop {
            match self.next().await {
                Ok(Some((stream, from))) => {
                    // Only speed is lost if it cannot be set.
                    let _ = stream.set_nodelay(true);
                    return (FaultyStream { stream, line: Line::default() }, from);
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// What a handler can do to the connection of its call.
#[derive(Clone, Debug, Default)]
pub(super) struct Line(Arc<AtomicBool>);

impl Line {
    /// Nothing more is written; the other side sees a reset.
    pub(super) fn reset(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Connected<IncomingStream<'_, FaultyListener>> for Line {
    fn connect_info(stream: IncomingStream<'_, FaultyListener>) -> Self {
        stream.io().line.clone()
    }
}

/// A connection that fails at its next write when it is told to.
pub(super) struct FaultyStream {
    stream: TcpStream,
    line: Line,
}

impl FaultyStream {
    fn check(&self) -> io::Result<()> {
        if !self.line.0.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.stream.set_zero_linger()?;
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

impl AsyncRead for FaultyStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for FaultyStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
