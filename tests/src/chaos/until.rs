//! Waiting for something that can be seen from outside.

use std::time::Duration;

use tokio::time::{Instant, sleep};

const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Looks until there is an answer; panics with `what` after `bound`, which is generous: it says that
/// something will never come, not that it is slow.
pub async fn until<T>(what: &str, bound: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + bound;
    loop {
        if let Some(answer) = look().await {
            return answer;
        }
        assert!(Instant::now() < give_up, "waited {} s for this: {what}", bound.as_secs());
        sleep(LOOK_EVERY).await;
    }
}
