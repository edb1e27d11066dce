//! From an asynchronous source of bytes to a reader that blocks, with room for little between.

use std::io::{self, Read};

use tokio::sync::mpsc;

/// Chunks between socket and reader at most. A sender waits for room, and with it the socket.
const CHANNEL: usize = 4;

enum Part<B> {
    Bytes(B),
    End,
}

/// Where chunks go in. Dropped without [`FeedSender::end`]: the reader learns that it broke off.
pub struct FeedSender<B>(mpsc::Sender<Part<B>>);

/// Where bytes come out. Blocks: read it on a thread that may.
pub struct FeedReader<B> {
    parts: mpsc::Receiver<Part<B>>,
    chunk: Option<B>,
    /// Of the chunk.
    taken: usize,
    total: u64,
    ended: bool,
}

/// Both ends.
pub fn feed<B: AsRef<[u8]> + Send>() -> (FeedSender<B>, FeedReader<B>) {
    let (sender, parts) = mpsc::channel(CHANNEL);
    (FeedSender(sender), FeedReader { parts, chunk: None, taken: 0, total: 0, ended: false })
}

impl<B> FeedSender<B> {
    /// Waits for room. `false`: nobody reads any more.
    pub async fn send(&self, chunk: B) -> bool {
        self.0.send(Part::Bytes(chunk)).await.is_ok()
    }

    /// That was all.
    pub async fn end(self) {
        let _ = self.0.send(Part::End).await;
    }
}

impl<B: AsRef<[u8]>> Read for FeedReader<B> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(chunk) = &self.chunk {
                let rest = &chunk.as_ref()[self.taken..];
                if !rest.is_empty() {
                    let count = rest.len().min(buffer.len());
                    buffer[..count].copy_from_slice(&rest[..count]);
                    self.taken += count;
                    self.total += count as u64;
                    return Ok(count);
                }
                self.chunk = None;
            }
            if self.ended {
                return Ok(0);
            }
            match self.parts.blocking_recv() {
                Some(Part::Bytes(chunk)) => (self.chunk, self.taken) = (Some(chunk), 0),
                Some(Part::End) => self.ended = true,
                None => {
                    let message = format!("it broke off after {} bytes", self.total);
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::task::{Context, Waker};

    use super::*;

    fn read(reader: FeedReader<Vec<u8>>) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        std::io::BufReader::with_capacity(3, reader).read_to_end(&mut all).map(|_| all)
    }

    #[tokio::test]
    async fn what_goes_in_comes_out_and_an_end_is_an_end() {
        let (sender, reader) = feed();
        let reading = tokio::task::spawn_blocking(move || read(reader));
        for chunk in ["hello", "", " ", "world"] {
            assert!(sender.send(chunk.as_bytes().to_vec()).await);
        }
        sender.end().await;
        assert_eq!(reading.await.unwrap().unwrap(), b"hello world");
    }

    #[tokio::test]
    async fn a_sender_that_leaves_is_an_error_with_the_place() {
        let (sender, reader) = feed();
        let reading = tokio::task::spawn_blocking(move || read(reader));
        assert!(sender.send(b"hello".to_vec()).await);
        drop(sender);
        let error = reading.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(error.to_string().contains("after 5 bytes"), "{error}");
    }

    #[tokio::test]
    async fn a_sender_waits_for_room_and_hears_when_nobody_reads() {
        let (sender, reader) = feed();
        for _ in 0..CHANNEL {
            assert!(sender.send(vec![0]).await);
        }
        let mut waiting = std::pin::pin!(sender.send(vec![0]));
        let mut context = Context::from_waker(Waker::noop());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        drop(reader);
        assert!(!waiting.await);
    }
}
