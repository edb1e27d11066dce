//! Limits within an upstream's: each tenant's, and those of models.

use std::collections::BTreeMap;

use super::meters::{Meters, units};
use super::{Pacing, SlotAsk};
use crate::domain::{Dimension, Spend};
use crate::ports::{Limits, Rates};

/// Fewer are never looked through for idle ones.
const FEW: usize = 64;

/// Meters of parts have counted all calls that they are told of.
const ANY: u64 = u64::MAX;

/// Who has a limit within the upstream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Each tenant.
    Tenant,
    /// A model.
    Model,
}

/// Meters of tenants and models by name: `t:TENANT`, `m:MODEL` after the time since when they are the
/// same. One that is absent was not used since `since`; one that is idle is the same as an absent one,
/// and so makes place.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    per_tenant: Option<Rates>,
    per_model: BTreeMap<String, Rates>,
    pacing: Pacing,
    since: u64,
    /// Nothing was spent before that.
    is_unspent: bool,
    by_name: BTreeMap<String, Meters>,
    /// So many may be there before the idle ones go.
    many: usize,
}

impl Parts {
    pub(super) fn new(limits: &Limits, pacing: Pacing, since: u64) -> Self {
        let (per_tenant, per_model) = (limits.per_tenant, limits.per_model.clone());
        Self { per_tenant, per_model, pacing, since, is_unspent: false, by_name: BTreeMap::new(), many: FEW }
    }

    /// Names of the parts that limit an ask, whose meters are there after this.
    pub(super) fn of(&mut self, ask: &SlotAsk, now: u64) -> Vec<String> {
        self.forget_idle(now);
        let tenant = self.per_tenant.map(|rates| (format!("{}t:{}", self.since, ask.tenant), rates));
        let model = self.per_model.get(&ask.model);
        let model = model.map(|rates| (format!("{}m:{}", self.since, ask.model), *rates));
        let parts: Vec<_> = tenant.into_iter().chain(model).collect();
        for (name, rates) in &parts {
            if self.by_name.get(name).is_none_or(|meters| meters.is_idle(now)) {
                let meters = Meters::new(rates, self.pacing, self.since);
                let meters = if self.is_unspent { meters.unspent() } else { meters };
                self.by_name.insert(name.clone(), meters);
            }
        }
        parts.into_iter().map(|(name, _)| name).collect()
    }

    /// What is in this place of [`Parts::of`].
    pub(super) fn part(&self, place: usize) -> Part {
        if place == 0 && self.per_tenant.is_some() { Part::Tenant } else { Part::Model }
    }

    /// All begin anew then: what was used of them is not known.
    pub(super) fn doubt(&mut self, from: u64) {
        self.since = from;
        self.is_unspent = false;
    }

    /// Nothing was spent before they begin.
    pub(super) fn unspent(self) -> Self {
        Self { is_unspent: true, ..self }
    }

    /// The largest of [`Meters::deficit`].
    pub(super) fn deficit(&self, now: u64) -> u64 {
        self.by_name.values().map(|meters| meters.deficit(now)).max().unwrap_or(0)
    }

    fn forget_idle(&mut self, now: u64) {
        if self.by_name.len() >= self.many {
            self.by_name.retain(|_, meters| !meters.is_idle(now));
            self.many = (2 * self.by_name.len()).max(FEW);
        }
    }

    pub(super) fn too_small(&self, names: &[String], spend: Spend) -> Option<(Dimension, u64)> {
        names.iter().find_map(|name| self.by_name.get(name)?.too_small(spend))
    }

    pub(super) fn prepare(&mut self, names: &[String], spend: Spend, now: u64) {
        for name in names {
            self.by_name.entry(name.clone()).and_modify(|meters| meters.prepare(spend, now));
        }
    }

    /// For each dimension the earliest time from `now` on that it allows, and the place of the part's name.
    pub(super) fn earliest(&self, names: &[String], spend: Spend, now: u64) -> Vec<(u64, usize, Dimension)> {
        let parts =
            names.iter().enumerate().filter_map(|(place, name)| Some((place, self.by_name.get(name)?)));
        let of = |(place, meters): (usize, &Meters)| {
            meters.earliest(spend, now).map(move |(at, dimension)| (at, place, dimension)).collect::<Vec<_>>()
        };
        parts.flat_map(of).collect()
    }

    /// See [`super::Meter::tell`].
    pub(super) fn tell(&mut self, name: &str, dimension: Dimension, spend: Spend, at: u64) -> u64 {
        let meter = self.by_name.get_mut(name).and_then(|meters| meters.get_mut(dimension));
        meter.map_or(at, |meter| meter.tell(units(spend, dimension), at))
    }

    /// See [`super::Meter::see_free`].
    pub(super) fn see_free(&mut self, names: &[String], spend: Spend, now: u64) {
        for name in names {
            let meters = self.by_name.get_mut(name).into_iter().flat_map(Meters::iter_mut);
            meters.for_each(|(dimension, meter)| meter.see_free(units(spend, *dimension), now));
        }
    }

    pub(super) fn take(&mut self, names: &[String], spend: Spend, at: u64) {
        for name in names {
            self.by_name.entry(name.clone()).and_modify(|meters| meters.take(spend, at));
        }
    }

    /// Of a part that is idle, the call has long left the window.
    pub(super) fn correct(&mut self, names: &[String], at: u64, (reserved, used): (Spend, Spend), now: u64) {
        for name in names {
            if let Some(meters) = self.by_name.get_mut(name).filter(|meters| !meters.is_idle(now)) {
                meters.correct(ANY, at, (reserved, used));
            }
        }
    }

    /// The call of a slot was not made.
    pub(super) fn uncount(&mut self, names: &[String], at: u64, now: u64) {
        for name in names {
            if let Some(meters) = self.by_name.get_mut(name).filter(|meters| !meters.is_idle(now)) {
                meters.uncount(ANY, at);
            }
        }
    }
}
