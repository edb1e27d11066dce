//! The task that looks whether the fleet's quota can be reached, and switches.

use std::sync::{Arc, Mutex};

use tokio::time::{Instant, sleep, timeout};

use super::kept::Kept;
use super::quotas::Inner;
use super::reach::{LOOK_EVERY, LOOK_LIMIT, OUT_AFTER, SETTLING, Standing};
use crate::domain::PortError;

/// Looks for ever.
pub(super) async fn watch(inner: Arc<Inner>) {
    let mut watcher = Watcher { inner, since: Instant::now(), has_shared: false };
    loop {
        let seen = watcher.look().await;
        watcher.go_on(seen).await;
        sleep(LOOK_EVERY).await;
    }
}

struct Watcher {
    inner: Arc<Inner>,
    /// When the process began, or the doubt.
    since: Instant,
    /// Whether the share was used since the fleet's quota was.
    has_shared: bool,
}

impl Watcher {
    async fn look(&self) -> Result<(), PortError> {
        timeout(LOOK_LIMIT, self.inner.fleet.reach()).await.unwrap_or_else(|_| {
            let silent = || {
                let message = format!("Redis did not answer within {LOOK_LIMIT:?}; check that it runs");
                PortError::Unavailable { port: "quotas", message }
            };
            Err(self.inner.fleet.trouble().unwrap_or_else(silent))
        })
    }

    async fn go_on(&mut self, seen: Result<(), PortError>) {
        match (self.inner.reach.standing(), seen) {
            (Standing::Fleet, Ok(())) | (Standing::Share, Err(_)) => {}
            (Standing::Starting, Ok(())) => {
                if self.since.elapsed() >= SETTLING {
                    self.inner.reach.set(Standing::Fleet);
                }
            }
            (Standing::Starting | Standing::Fleet, Err(_)) => self.doubt(),
            (Standing::Doubt, Err(error)) => {
                if self.since.elapsed() >= OUT_AFTER {
                    self.share(&error);
                }
            }
            (Standing::Doubt | Standing::Share, Ok(())) => self.come_back().await,
        }
    }

    fn doubt(&mut self) {
        self.since = Instant::now();
        self.inner.reach.set(Standing::Doubt);
    }

    fn share(&mut self, error: &PortError) {
        let upstreams: Vec<_> = self.inner.kept.keys().map(String::as_str).collect();
        if upstreams.is_empty() {
            tracing::warn!(%error, "Redis cannot be reached: no upstream is called until it is back");
        } else {
            tracing::warn!(
                %error,
                upstreams = upstreams.join(", "),
                "Redis cannot be reached: calls go on, each worker with its static share of the quota"
            );
        }
        self.has_shared = true;
        self.inner.begin_share();
        self.inner.reach.set(Standing::Share);
    }

    /// Nobody is admitted any more while the fleet's quota is told what was used.
    async fn come_back(&mut self) {
        self.doubt();
        for (name, kept) in &self.inner.kept {
            if let Err(error) = self.tell(name, kept).await {
                tracing::debug!(%error, "Redis answered, and could not be told what was done without it");
                return self.doubt();
            }
        }
        if std::mem::take(&mut self.has_shared) {
            tracing::info!("Redis answers again: calls go on with the fleet's quota");
            self.inner.reach.set(Standing::Fleet);
        } else {
            self.begin_anew();
        }
    }

    /// A process that used no share has nothing to make up for, and holds up nobody.
    async fn tell(&self, name: &str, kept: &Mutex<Kept>) -> Result<(), PortError> {
        if self.has_shared { self.inner.resume(name, kept).await } else { self.inner.tell_ends(kept).await }
    }

    /// Others may have noticed sooner and use their shares: it waits for them, as one that begins.
    fn begin_anew(&mut self) {
        if !self.inner.kept.is_empty() {
            tracing::info!(
                "Redis answers again, before any static share was used: upstreams with shares are called again \
                 in {SETTLING:?}"
            );
        }
        self.since = Instant::now();
        self.inner.reach.set(Standing::Starting);
    }
}
