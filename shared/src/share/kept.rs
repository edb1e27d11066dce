//! What a process did with an upstream while the fleet's quota was out of reach, until the fleet's quota
//! has been told.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::Spend;
use crate::ports::{Absence, Ask, CallEnd, PartName, Reservation, UnderWay};

/// Ends of calls that wait for the fleet's quota; the oldest are forgotten first, and what was set aside
/// for them stays used.
const MOST_ENDS: usize = 10_000;

/// What is kept of one upstream.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Calls under way that the share admitted, by their numbers there.
    open: BTreeMap<u64, Open>,
    /// Those that the fleet's quota has taken over.
    handed: BTreeMap<u64, Reservation>,
    /// What ended calls of the share spent that the fleet's quota does not know of.
    money: u64,
    /// Ends of calls that the fleet's quota admitted.
    ends: VecDeque<(Reservation, CallEnd)>,
}

#[derive(Debug)]
struct Open {
    tenant: String,
    model: Option<String>,
    spend: Spend,
    ends: Instant,
}

impl Kept {
    /// The share admitted a call that begins then.
    pub(super) fn admitted(&mut self, id: u64, ask: &Ask, begins: Instant) {
        let now = Instant::now();
        // Calls whose end nobody tells.
        self.open.retain(|_, call| call.ends > now);
        let (tenant, model) = (ask.tenant.clone(), ask.model.clone());
        let ends = begins + ask.slot_ttl;
        self.open.insert(id, Open { tenant, model, spend: ask.spend, ends });
    }

    /// A call of the share was not made. Its reservation with the fleet's quota, if that has one.
    pub(super) fn given_back(&mut self, id: u64) -> Option<Reservation> {
        self.open.remove(&id);
        self.handed.remove(&id)
    }

    /// A call of the share ended. Its reservation with the fleet's quota, if that has one.
    pub(super) fn ended(&mut self, id: u64, end: &CallEnd) -> Option<Reservation> {
        let handed = self.handed.remove(&id);
        if handed.is_none()
            && let Some(call) = self.open.remove(&id)
        {
            self.money = self.money.saturating_add(end.used.unwrap_or(call.spend).money);
        }
        handed
    }

    /// What the fleet's quota must be told, with the numbers of the calls.
    pub(super) fn absence(&self, ahead: Duration, parts: Vec<(PartName, Duration)>) -> (Vec<u64>, Absence) {
        let now = Instant::now();
        let live = self.open.iter().filter(|(_, call)| call.ends > now);
        let (ids, calls) = live
            .map(|(id, Open { tenant, model, spend, ends })| {
                let (tenant, model, spend) = (tenant.clone(), model.clone(), *spend);
                (*id, UnderWay { tenant, model, spend, ends_in: *ends - now })
            })
            .unzip();
        (ids, Absence { ahead, money: self.money, parts, calls })
    }

    /// The fleet's quota was told. Returns its reservations for calls that have ended meanwhile.
    pub(super) fn told(&mut self, money: u64, calls: Vec<(u64, Option<Reservation>)>) -> Vec<Reservation> {
        self.money -= money;
        let mut ended = Vec::new();
        for (id, reservation) in calls {
            let is_open = self.open.remove(&id).is_some();
            let Some(reservation) = reservation else { continue };
            if is_open {
                self.handed.insert(id, reservation);
            } else {
                ended.push(reservation);
            }
        }
        ended
    }

    /// The end of a call of the fleet's quota waits.
    pub(super) fn wait(&mut self, reservation: Reservation, end: CallEnd) {
        if self.ends.len() == MOST_ENDS {
            self.ends.pop_front();
        }
        self.ends.push_back((reservation, end));
    }

    /// The ends that wait, for the fleet's quota to hear of.
    pub(super) fn take_ends(&mut self) -> VecDeque<(Reservation, CallEnd)> {
        std::mem::take(&mut self.ends)
    }
}
