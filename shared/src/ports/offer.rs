//! Jobs that are handed out with their submission.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::domain::{Envelope, PortError};

/// What a dispatcher that has nothing left to hand out lets a ledger hand out by itself.
#[derive(Clone, Debug, Default)]
pub struct Offer {
    /// Jobs at most, by kind.
    pub room: BTreeMap<String, usize>,
    /// Upstreams whose jobs wait.
    pub skip_upstreams: Vec<String>,
}

/// A ledger that can hand out jobs as they are submitted through it: one transaction instead of two, and nobody has to
/// look for them. One that cannot takes no offer.
#[async_trait]
pub trait OfferLedger: Send + Sync {
    /// Makes an offer, which takes the place of the last one. `None`: nothing is handed out so any more.
    fn offer(&self, _offer: Option<Offer>) {}

    /// The jobs that went by an offer since the last time. They are handed out as if
    /// [`dispatch`](super::DispatchLedger::dispatch) had given them, so their messages must reach their lines. An error:
    /// nobody knows whether a submission handed some out. `None`: there is no offer, and no submission is under way that
    /// took of the last one. For one caller at a time; nothing is lost when it stops waiting.
    async fn offered(&self) -> Option<Result<Vec<Envelope>, PortError>> {
        None
    }
}
