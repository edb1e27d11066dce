//! Processes that lose the fleet's quota and get it back, in virtual time.

mod histories;
mod leases;
mod switches;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::time::sleep;

use super::StaticShare;
use crate::domain::{PortError, Spend};
use crate::embedded::MemoryQuotas;
use crate::ports::{
    Absence, Admission, Ask, CallEnd, FleetQuotas, Limits, Quotas, Rate, Reservation, SlotTime, Turn,
    UpstreamReport,
};
use crate::rules::Pacing;

const UPSTREAM: &str = "api";
/// How long an attempt to reach a server takes that is down.
const IN_VAIN: Duration = Duration::from_millis(300);
/// The longest sleep for a slot.
const HOLD: Duration = Duration::from_secs(1);

/// A fleet's quotas that can be out of reach, for all processes or for none.
struct Switched {
    quotas: Mutex<Arc<MemoryQuotas>>,
    limits: BTreeMap<String, Limits>,
    up: watch::Sender<bool>,
}

impl Switched {
    fn new(limits: &Limits) -> Arc<Self> {
        let limits = BTreeMap::from([(UPSTREAM.to_owned(), limits.clone())]);
        let quotas = Mutex::new(Arc::new(MemoryQuotas::new(limits.clone())));
        Arc::new(Self { quotas, limits, up: watch::Sender::new(true) })
    }

    fn set(&self, up: bool) {
        self.up.send_replace(up);
    }

    /// Its state is lost. As on a server, a new one waits for those who were given a slot ahead.
    fn forget(&self) {
        let anew = Arc::new(MemoryQuotas::new(self.limits.clone()));
        let _ = anew.resume(UPSTREAM, Absence { ahead: HOLD, ..Absence::default() }).now_or_never();
        *self.quotas.lock().unwrap_or_else(PoisonError::into_inner) = anew;
    }

    /// The quotas, if they are in reach.
    async fn there(&self) -> Result<Arc<MemoryQuotas>, PortError> {
        if !*self.up.borrow() {
            sleep(IN_VAIN).await;
            return Err(PortError::Unavailable { port: "quotas", message: "down".into() });
        }
        Ok(Arc::clone(&self.quotas.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// A process of the fleet, one of so many.
    fn process(self: &Arc<Self>, replicas: u32) -> Arc<StaticShare> {
        let replicas = BTreeMap::from([(UPSTREAM.to_owned(), replicas)]);
        let (fleet, limits) = (Arc::clone(self), self.limits.clone());
        Arc::new(StaticShare::new(fleet, limits, &replicas, Pacing::default()).unwrap())
    }
}

#[async_trait]
impl Quotas for Switched {
    async fn admit(&self, ask: Ask) -> Result<Admission, PortError> {
        self.there().await?.admit(ask).await
    }

    async fn turn(&self, reservation: &Reservation, slot: SlotTime) -> Turn {
        let quotas = Arc::clone(&self.quotas.lock().unwrap_or_else(PoisonError::into_inner));
        quotas.turn(reservation, slot).await
    }

    fn give_back(&self, reservation: Reservation) {
        if *self.up.borrow() {
            self.quotas.lock().unwrap_or_else(PoisonError::into_inner).give_back(reservation);
        }
    }

    async fn settle(&self, reservation: Reservation, end: CallEnd) -> Result<(), PortError> {
        self.there().await?.settle(reservation, end).await
    }

    async fn flush(&self) {}

    async fn pause(&self, upstream: &str, wait: Duration, why: &str) -> Result<(), PortError> {
        self.there().await?.pause(upstream, wait, why).await
    }

    async fn report(&self) -> Result<Vec<UpstreamReport>, PortError> {
        self.there().await?.report().await
    }
}

#[async_trait]
impl FleetQuotas for Switched {
    async fn reach(&self) -> Result<(), PortError> {
        self.there().await.map(drop)
    }

    async fn resume(&self, upstream: &str, absence: Absence) -> Result<Vec<Option<Reservation>>, PortError> {
        self.there().await?.resume(upstream, absence).await
    }
}

fn per(amount: u64, seconds: u64) -> Rate {
    Rate { amount, window: Duration::from_secs(seconds) }
}

fn ask(tokens: u64) -> Ask {
    Ask {
        upstream: UPSTREAM.into(),
        tenant: "default".into(),
        model: None,
        priority: 0,
        spend: Spend { input_tokens: tokens, output_tokens: 0, money: 0 },
        hold: HOLD,
        lead: Duration::ZERO,
        slot_ttl: Duration::from_mins(1),
    }
}
