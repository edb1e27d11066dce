//! One connection through the proxy: two directions, each with a reader and a writer.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::{Link, State, Way};

/// Bytes in one piece at most.
const PIECE: usize = 16 * 1024;
/// Pieces that one direction holds at most: a black one soon makes its sender wait.
const PIECES: usize = 16;

/// The two directions.
#[derive(Clone, Copy)]
enum Direction {
    ToServer,
    ToClient,
}

/// Relays until both sides have ended, one breaks, or the epoch is over.
pub(super) async fn run(mut client: TcpStream, server: &str, mut state: watch::Receiver<State>, epoch: u64) {
    let Ok(mut server) = TcpStream::connect(server).await else {
        // The client sees what it would see without the proxy: a reset.
        let _ = client.set_zero_linger();
        return;
    };
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let broken = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let up = relay(from_client, to_server, state.clone(), Direction::ToServer);
        let down = relay(from_server, to_client, state.clone(), Direction::ToClient);
        tokio::select! {
            ended = async { tokio::try_join!(up, down) } => ended.is_err(),
            over = state.wait_for(|state| state.epoch != epoch) => { drop(over); true }
        }
    };
    if broken {
        let _ = client.set_zero_linger();
        let _ = server.set_zero_linger();
    }
}

async fn relay(
    from: impl AsyncRead + Unpin,
    to: impl AsyncWrite + Unpin,
    state: watch::Receiver<State>,
    direction: Direction,
) -> io::Result<()> {
    let (pieces, inbox) = mpsc::channel(PIECES);
    let reading = read(from, pieces);
    let writing = write(to, inbox, state, direction);
    tokio::try_join!(reading, writing).map(drop)
}

/// A piece, and when it came.
type Piece = (Instant, Vec<u8>);

async fn read(mut from: impl AsyncRead + Unpin, pieces: mpsc::Sender<Piece>) -> io::Result<()> {
    let mut buffer = vec![0; PIECE];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 || pieces.send((Instant::now(), buffer[..count].to_vec())).await.is_err() {
            return Ok(());
        }
    }
}

async fn write(
    mut to: impl AsyncWrite + Unpin,
    mut inbox: mpsc::Receiver<Piece>,
    mut state: watch::Receiver<State>,
    direction: Direction,
) -> io::Result<()> {
    while let Some((came, piece)) = inbox.recv().await {
        let way = opened(&mut state, direction).await?;
        let Way::Slow { delay, bytes_per_second } = way else {
            to.write_all(&piece).await?;
            continue;
        };
        sleep_until(came + delay).await;
        for part in piece.chunks(bytes_per_second.map_or(PIECE, part_for)) {
            to.write_all(part).await?;
            if let Some(rate) = bytes_per_second {
                sleep(Duration::from_secs_f64(part.len() as f64 / f64::from(rate.max(1)))).await;
            }
        }
    }
    // The end of a stream does not pass a black link either.
    opened(&mut state, direction).await?;
    to.shutdown().await
}

/// A tenth of a second's bytes.
fn part_for(rate: u32) -> usize {
    usize::try_from(rate / 10).map_or(PIECE, |part| part.clamp(1, PIECE))
}

/// Waits until the direction is not black.
async fn opened(state: &mut watch::Receiver<State>, direction: Direction) -> io::Result<Way> {
    let way = |state: &State| match (state.link, direction) {
        (Link::Through { to_server: way, .. }, Direction::ToServer)
        | (Link::Through { to_client: way, .. }, Direction::ToClient) => way,
        // The epoch is over: the connection is about to be reset.
        (Link::Cut | Link::AcceptThenClose, _) => Way::Black,
    };
    match state.wait_for(|state| way(state) != Way::Black).await {
        Ok(state) => Ok(way(&state)),
        Err(_) => Err(io::ErrorKind::ConnectionAborted.into()),
    }
}
