//! Quotas that go on with a static share when the fleet's are out of reach.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::task::JoinHandle;

use super::kept::Kept;
use super::limits::share_of;
use super::reach::{LOOK_LIMIT, Reach, SETTLING, Standing};
use super::watch;
use crate::domain::{Dimension, PortError, Spend, Verdict};
use crate::embedded::MemoryQuotas;
use crate::ports::{
    Admission, Ask, CallEnd, FleetQuotas, Lack, Limits, Quotas, Rates, Reservation, SlotTime, Turn,
    UpstreamReport,
};
use crate::rules::{METERED, Pacing, pause_after};

const PORT: &str = "quotas";

/// Marks the numbers that a share gave out: the fleet's are below.
const OWN: u64 = 1 << 63;

/// Why nobody calls for a moment.
const IN_DOUBT: &str = "whether Redis can be reached is not known yet";
/// Why upstreams without a share are left alone.
const OUT_OF_REACH: &str = "Redis cannot be reached";
/// When to ask again about what the share is too small for.
const TOO_LARGE_FOR_SHARE: Duration = Duration::from_secs(5);

/// The fleet's quotas, and for some upstreams a static share while those are out of reach.
///
/// Reports then count apart: see [`UpstreamReport::apart`].
pub struct StaticShare {
    inner: Arc<Inner>,
    watching: JoinHandle<()>,
}

impl Drop for StaticShare {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

pub(super) struct Inner {
    pub(super) fleet: Arc<dyn FleetQuotas>,
    /// The whole limits of all upstreams.
    limits: BTreeMap<String, Limits>,
    /// The shares.
    own: MemoryQuotas,
    /// By upstream with a share.
    pub(super) kept: BTreeMap<String, Mutex<Kept>>,
    pacing: Pacing,
    pub(super) reach: Reach,
}

impl StaticShare {
    /// Goes on with a share of the limits of the upstreams in `replicas`, divided by so many processes,
    /// while `fleet` is out of reach; no more processes may use the quotas. Without any of them it only
    /// looks whether `fleet` is in reach. Must be called in a tokio runtime.
    pub fn new(
        fleet: Arc<dyn FleetQuotas>,
        limits: BTreeMap<String, Limits>,
        replicas: &BTreeMap<String, u32>,
        pacing: Pacing,
    ) -> Result<Self, PortError> {
        let mut shares = BTreeMap::new();
        for (name, replicas) in replicas {
            let whole = limits.get(name).cloned().unwrap_or_default();
            let share = share_of(&whole, *replicas)
                .map_err(|error| PortError::Invalid { port: PORT, message: format!("{name}: {error}") })?;
            shares.insert(name.clone(), share);
        }
        let kept = shares.keys().map(|name| (name.clone(), Mutex::default())).collect();
        let own = MemoryQuotas::with_pacing(shares, pacing);
        let inner = Arc::new(Inner { fleet, limits, own, kept, pacing, reach: Reach::new() });
        let watching = tokio::spawn(watch::watch(Arc::clone(&inner)));
        Ok(Self { inner, watching })
    }

    /// Whether the fleet's quotas are in reach.
    pub fn reach(&self) -> Reach {
        self.inner.reach.clone()
    }
}

impl Inner {
    /// What is kept of an upstream with a share.
    fn kept(&self, upstream: &str) -> Option<MutexGuard<'_, Kept>> {
        Some(lock(self.kept.get(upstream)?))
    }

    /// Begins to use the shares, as states that know nothing of what the fleet used until now: what it
    /// may have used in a burst is made up for first. What a tenant or a model may have used holds up nobody
    /// else.
    pub(super) fn begin_share(&self) {
        for name in self.kept.keys() {
            let rates = self.limits.get(name).map(Limits::rates).unwrap_or_default();
            self.own.begin_share(name, burst_time(&rates, self.pacing));
        }
    }

    /// Tells the fleet's quota of one upstream what was done without it.
    pub(super) async fn resume(&self, name: &str, kept: &Mutex<Kept>) -> Result<(), PortError> {
        self.tell_ends(kept).await?;
        let (whole, parts) = self.own.deficit(name);
        let parts = parts.into_iter().map(|(part, deficit)| (part, SETTLING + deficit)).collect();
        let (ids, absence) = lock(kept).absence(SETTLING + whole, parts);
        let money = absence.money;
        let reservations = self.fleet.resume(name, absence).await?;
        let ended = lock(kept).told(money, ids.into_iter().zip(reservations).collect());
        for reservation in ended {
            self.end_in_fleet(reservation, CallEnd::unknown(None)).await?;
        }
        Ok(())
    }

    /// Tells the fleet's quota how its calls ended meanwhile. What it cannot hear waits on.
    pub(super) async fn tell_ends(&self, kept: &Mutex<Kept>) -> Result<(), PortError> {
        let ends = lock(kept).take_ends();
        let told = ends.iter().map(|(reservation, end)| self.fleet.settle(reservation.clone(), end.clone()));
        let told = join_all(told).await;
        let mut answer = Ok(());
        for ((reservation, end), told) in ends.into_iter().zip(told) {
            if let Err(error @ PortError::Unavailable { .. }) = told {
                lock(kept).wait(reservation, end);
                answer = Err(error);
            }
        }
        answer
    }

    /// Ends a call of the fleet's quota, now or when that can be reached.
    async fn end_in_fleet(&self, reservation: Reservation, end: CallEnd) -> Result<(), PortError> {
        let Err(error) = self.fleet.settle(reservation.clone(), end.clone()).await else { return Ok(()) };
        if !matches!(error, PortError::Unavailable { .. }) {
            return Err(error);
        }
        match self.kept(&reservation.upstream) {
            Some(mut kept) => {
                kept.wait(reservation, end);
                Ok(())
            }
            None => Err(error),
        }
    }

    async fn settle_fleet(&self, reservation: Reservation, end: CallEnd) -> Result<(), PortError> {
        if !self.kept.contains_key(&reservation.upstream) || self.reach.is_there() {
            return self.end_in_fleet(reservation, end).await;
        }
        if end.verdict == Verdict::RateLimited {
            // The fleet's quota would pause all; it cannot, so this process does.
            self.own.pause(&reservation.upstream, pause_after(end.feedback.retry_after), "429").await?;
        }
        if let Some(mut kept) = self.kept(&reservation.upstream) {
            kept.wait(reservation, end);
        }
        Ok(())
    }

    async fn admit_by_share(&self, ask: Ask) -> Result<Admission, PortError> {
        let admission = match self.own.admit(ask.clone()).await {
            Err(PortError::Invalid { .. }) => {
                let why = "larger than a worker's share while Redis cannot be reached".to_owned();
                return Ok(refusal(TOO_LARGE_FOR_SHARE, why));
            }
            answer => answer?,
        };
        let Admission::Go { slot, mut reservation, probe } = admission else { return Ok(admission) };
        let Some(mut kept) = self.kept(&ask.upstream) else { return Ok(in_doubt()) };
        // Under this lock: what the fleet's quota will be told of is complete when the standing changes.
        if self.reach.standing() != Standing::Share {
            self.own.give_back(reservation);
            return Ok(in_doubt());
        }
        kept.admitted(reservation.id, &ask, slot.begins);
        reservation.id |= OWN;
        Ok(Admission::Go { slot, reservation, probe })
    }

    /// Reports while the fleet's quota is out of reach.
    fn reports_apart(&self) -> Vec<UpstreamReport> {
        let is_share = self.reach.standing() == Standing::Share;
        let report = |(name, limits): (&String, &Limits)| {
            let calls = is_share && self.kept.contains_key(name);
            UpstreamReport {
                upstream: name.clone(),
                limits: limits.clone(),
                effective: 1_000,
                used: Vec::new(),
                in_flight: 0,
                waiting: 0,
                paused: (!calls).then(|| (LOOK_LIMIT, OUT_OF_REACH.to_owned())),
                next_in: Duration::ZERO,
                next_spend: Spend::default(),
                breaker: None,
                apart: true,
            }
        };
        self.limits.iter().map(report).collect()
    }
}

#[async_trait]
impl Quotas for StaticShare {
    async fn admit(&self, ask: Ask) -> Result<Admission, PortError> {
        if !self.inner.kept.contains_key(&ask.upstream) {
            return self.inner.fleet.admit(ask).await;
        }
        match self.inner.reach.standing() {
            Standing::Fleet => self.inner.fleet.admit(ask).await,
            Standing::Share => self.inner.admit_by_share(ask).await,
            Standing::Starting | Standing::Doubt => Ok(in_doubt()),
        }
    }

    async fn turn(&self, reservation: &Reservation, slot: SlotTime) -> Turn {
        match own(reservation) {
            Some(own) => self.inner.own.turn(&own, slot).await,
            None => self.inner.fleet.turn(reservation, slot).await,
        }
    }

    fn give_back(&self, reservation: Reservation) {
        let Some(own) = own(&reservation) else { return self.inner.fleet.give_back(reservation) };
        let handed = self.inner.kept(&own.upstream).and_then(|mut kept| kept.given_back(own.id));
        if let Some(handed) = handed {
            self.inner.fleet.give_back(handed);
        }
        self.inner.own.give_back(own);
    }

    async fn settle(&self, reservation: Reservation, end: CallEnd) -> Result<(), PortError> {
        let Some(own) = own(&reservation) else { return self.inner.settle_fleet(reservation, end).await };
        let handed = self.inner.kept(&own.upstream).and_then(|mut kept| kept.ended(own.id, &end));
        if let Some(handed) = handed {
            self.inner.settle_fleet(handed, end.clone()).await?;
        }
        self.inner.own.settle(own, end).await
    }

    async fn flush(&self) {
        self.inner.fleet.flush().await;
    }

    async fn pause(&self, upstream: &str, wait: Duration, why: &str) -> Result<(), PortError> {
        if self.inner.reach.is_there() || !self.inner.kept.contains_key(upstream) {
            return self.inner.fleet.pause(upstream, wait, why).await;
        }
        self.inner.own.pause(upstream, wait, why).await
    }

    async fn report(&self) -> Result<Vec<UpstreamReport>, PortError> {
        if self.inner.reach.is_there() {
            return self.inner.fleet.report().await;
        }
        Ok(self.inner.reports_apart())
    }
}

/// The reservation as the share knows it, if it is the share's.
fn own(reservation: &Reservation) -> Option<Reservation> {
    (reservation.id & OWN != 0).then(|| Reservation { id: reservation.id & !OWN, ..reservation.clone() })
}

fn in_doubt() -> Admission {
    refusal(LOOK_LIMIT, format!("paused: {IN_DOUBT}"))
}

fn refusal(wait: Duration, why: String) -> Admission {
    Admission::NotBefore { wait, lack: Lack::Pause, why }
}

/// The time in which the fleet's quota refills what it lets through in a burst.
fn burst_time(rates: &Rates, pacing: Pacing) -> Duration {
    let paced = METERED.into_iter().filter(|dimension| *dimension != Dimension::Money);
    let times = paced.filter_map(|dimension| {
        let rate = rates.get(dimension)?;
        let burst = pacing.bucket(dimension, rate) as f64 / rate.amount.max(1) as f64;
        Some(Duration::from_micros(pacing.window(rate)).mul_f64(burst))
    });
    times.max().unwrap_or_default()
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}
