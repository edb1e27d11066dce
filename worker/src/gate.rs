//! The gate to an upstream: quota is set aside before a call and settled after it.

use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::domain::{Envelope, PortError, Usage};
use fleetline_shared::ports::{Admission, Ask, Quotas, Reservation};
use tokio::time::sleep;

/// Upstreams that said 429 without saying for how long are paused for this long.
const PAUSE_WITHOUT_WORD: Duration = Duration::from_secs(5);

/// A call's admission to its upstream, or to none.
pub(crate) struct Pass {
    quotas: Arc<dyn Quotas>,
    reservation: Option<Reservation>,
}

/// Answer of [`Pass::get`].
pub(crate) enum Gate {
    /// Go.
    Open(Pass),
    /// Not now; nothing is set aside.
    Closed {
        /// When to come back.
        wait: Duration,
        /// What is missing.
        why: String,
    },
}

impl Pass {
    /// Sets quota aside and sleeps until the call's time has come, `hold` at most.
    pub(crate) async fn get(
        quotas: &Arc<dyn Quotas>,
        envelope: &Envelope,
        hold: Duration,
        slot_ttl: Duration,
    ) -> Result<Gate, PortError> {
        let quotas = Arc::clone(quotas);
        let Some(upstream) = &envelope.upstream else {
            return Ok(Gate::Open(Self { quotas, reservation: None }));
        };
        let ask = Ask { upstream: upstream.clone(), tokens: envelope.estimate.total(), hold, slot_ttl };
        Ok(match quotas.admit(ask).await? {
            Admission::Go { after, reservation } => {
                if !after.is_zero() {
                    sleep(after).await;
                }
                Gate::Open(Self { quotas, reservation: Some(reservation) })
            }
            Admission::NotBefore { wait, why } => Gate::Closed { wait, why },
        })
    }

    /// Frees the call's place and books what it really used.
    pub(crate) async fn settle(self, used: Usage) {
        let Some(reservation) = self.reservation else { return };
        let tokens = used.input_tokens + used.output_tokens;
        // No tokens after a call means that the upstream did not say: the estimate stands.
        let known = (used.calls == 0 || tokens > 0).then_some(tokens);
        if let Err(error) = self.quotas.settle(reservation, known).await {
            tracing::debug!(%error, "quota could not be settled; the estimate stands");
        }
    }
}

/// Pauses the upstream that said 429, and says how long its job is to wait.
pub(crate) async fn pause(
    quotas: &Arc<dyn Quotas>,
    envelope: &Envelope,
    retry_after: Option<Duration>,
    message: &str,
) -> Duration {
    let wait = retry_after.unwrap_or(PAUSE_WITHOUT_WORD);
    if let Some(upstream) = &envelope.upstream
        && let Err(error) = quotas.pause(upstream, wait, message).await
    {
        tracing::warn!(%error, upstream, "the upstream could not be paused");
    }
    wait
}
