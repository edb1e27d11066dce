//! Hears of closings: a connection of its own, since one that is subscribed can do nothing else.
//!
//! What is said while nobody listens is lost. Then who sleeps for a slot wakes at its time and calls
//! although the upstream has closed: a call for nothing, no wrong one.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use redis::Msg;
use redis::aio::{PubSubSink, PubSubStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::answer::lack;
use crate::closings::{Closing, Closings};
use crate::redis::Redis;

/// What a channel's name ends with, after prefix and upstream.
const AFTER: &str = "}:closings";
/// How often a silent connection is asked whether it lives: a firewall may have swallowed it.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Pauses between attempts to connect; they double.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// The task that listens, until this is dropped.
pub(super) struct Listening(JoinHandle<()>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Listening {
    /// Listens to all upstreams of the fleet, and passes on what it hears.
    pub(super) fn start(redis: Redis, closings: Arc<Closings>) -> Self {
        Self(tokio::spawn(async move {
            let before = format!("{{{}:", redis.prefix());
            let pattern = format!("{}*{AFTER}", literally(&before));
            let mut pause = PAUSES.0;
            loop {
                if let Some((sink, stream)) = redis.listen(&pattern).await {
                    pause = PAUSES.0;
                    hear(sink, stream, |message| {
                        if let Some((upstream, closing)) = read(&before, message) {
                            closings.tell(upstream, closing);
                        }
                    })
                    .await;
                }
                sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
                pause = (pause * 2).min(PAUSES.1);
            }
        }))
    }
}

/// Until the connection is lost.
async fn hear(mut sink: PubSubSink, mut stream: PubSubStream, told: impl Fn(&Msg)) {
    loop {
        match timeout(LOOK_EVERY, stream.next()).await {
            Ok(Some(message)) => told(&message),
            Ok(None) => return,
            Err(_) => match timeout(LOOK_EVERY, sink.ping::<redis::Value>()).await {
                Ok(Ok(_)) => {}
                _ => return,
            },
        }
    }
}

/// The upstream and what closed it; `lua/tell.lua` says how that is written.
fn read<'m>(before: &str, message: &'m Msg) -> Option<(&'m str, Closing)> {
    let upstream = message.get_channel_name().strip_prefix(before)?.strip_suffix(AFTER)?;
    let words: String = message.get_payload().ok()?;
    let mut words = words.splitn(4, ' ');
    let mut number = || words.next()?.parse::<u64>().ok();
    let (wait, last_id, lack) = (number()?, number()?, lack(number()?)?);
    let until = Instant::now() + Duration::from_micros(wait);
    Some((upstream, Closing { last_id, until, lack, note: words.next()?.to_owned() }))
}

/// Without the characters that stand for others in a pattern.
fn literally(prefix: &str) -> String {
    let escaped = |c| if matches!(c, '*' | '?' | '[' | ']' | '\\') { vec!['\\', c] } else { vec![c] };
    prefix.chars().flat_map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::literally;

    #[test]
    fn a_prefix_is_no_pattern() {
        assert_eq!(literally("a*b[c]?\\"), r"a\*b\[c\]\?\\");
    }
}
