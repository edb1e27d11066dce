//! Limits within an upstream's: each tenant's, and those of models.

use std::collections::BTreeMap;

use super::meters::{Meters, units};
use super::{Pacing, SlotAsk};
use crate::domain::{Dimension, Spend};
use crate::ports::{Limits, PartName, Rates};

/// Fewer are never looked through for idle ones.
const FEW: usize = 64;

/// Meters of parts have counted all calls that they are told of. Here, that is: in Redis their rates change.
const ANY: u64 = u64::MAX;

/// What names of tenants' and of models' parts begin with.
const TENANT: &str = "t:";
const MODEL: &str = "m:";

/// Who has a limit within the upstream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Each tenant.
    Tenant,
    /// A model.
    Model,
}

/// Meters of tenants and models by name: `t:TENANT`, `m:MODEL`. One that is absent was not used since
/// `since`; one that is idle is the same as an absent one, and so makes place.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    per_tenant: Option<Rates>,
    per_model: BTreeMap<String, Rates>,
    pacing: Pacing,
    /// What was used before is not known, but what the meters have seen of it.
    since: u64,
    /// Nothing was spent before that.
    is_unspent: bool,
    /// Others may have used a burst just before that.
    is_after_burst: bool,
    by_name: BTreeMap<String, PartMeters>,
    /// So many may be there before the idle ones go.
    many: usize,
}

/// What is metered of one part.
#[derive(Clone, Debug)]
struct PartMeters {
    meters: Meters,
    /// The latest of the times since when uses are known that it has heard of.
    since: u64,
    /// Whether an ask came so far that they decide. If not they are as good as absent, and no earlier call that ends
    /// changes them: it is not in them.
    is_used: bool,
}

impl Parts {
    pub(super) fn new(limits: &Limits, pacing: Pacing, since: u64) -> Self {
        let (per_tenant, per_model) = (limits.per_tenant, limits.per_model.clone());
        Self {
            per_tenant,
            per_model,
            pacing,
            since,
            is_unspent: false,
            is_after_burst: false,
            by_name: BTreeMap::new(),
            many: FEW,
        }
    }

    /// Names of the parts that limit an ask, whose meters are there after this.
    pub(super) fn of(&mut self, ask: &SlotAsk, now: u64) -> Vec<String> {
        self.forget_idle(now);
        let tenant = self.per_tenant.is_some().then(|| PartName::Tenant(ask.tenant.clone()));
        let is_limited = self.per_model.contains_key(&ask.model);
        let model = is_limited.then(|| PartName::Model(ask.model.clone()));
        [tenant, model].into_iter().flatten().filter_map(|part| self.open(&part, now)).collect()
    }

    /// The name of a part that has limits, whose meters are there after this.
    fn open(&mut self, part: &PartName, now: u64) -> Option<String> {
        let (name, rates) = match part {
            PartName::Tenant(tenant) => (format!("{TENANT}{tenant}"), self.per_tenant?),
            PartName::Model(model) => (format!("{MODEL}{model}"), *self.per_model.get(model)?),
        };
        if self.known(&name, now).is_none() {
            let mut meters = Meters::new(&rates, self.pacing, self.since);
            if self.is_after_burst {
                meters.owe_burst(self.pacing);
            }
            let meters = if self.is_unspent { meters.unspent() } else { meters };
            self.by_name.insert(name.clone(), PartMeters { meters, since: self.since, is_used: false });
        }
        Some(name)
    }

    /// A part's meters, unless they are not used, or idle: then the calls that they are told of have long left the window.
    fn known(&mut self, name: &str, now: u64) -> Option<&mut Meters> {
        let part = self.by_name.get_mut(name).filter(|part| part.is_used && !part.meters.is_idle(now))?;
        if part.doubt(self.since, now) && self.is_after_burst {
            part.meters.owe_burst(self.pacing);
        }
        Some(&mut part.meters)
    }

    fn get(&self, name: &str) -> Option<&Meters> {
        self.by_name.get(name).map(|part| &part.meters)
    }

    fn get_mut(&mut self, name: &str) -> Option<&mut Meters> {
        self.by_name.get_mut(name).map(|part| &mut part.meters)
    }

    /// What is in this place of [`Parts::of`].
    pub(super) fn part(&self, place: usize) -> Part {
        if place == 0 && self.per_tenant.is_some() { Part::Tenant } else { Part::Model }
    }

    /// What was used until then is not known, but what the meters have seen of it.
    pub(super) fn doubt(&mut self, from: u64) {
        self.since = from;
        self.is_unspent = false;
    }

    /// As [`Parts::doubt`] says, of one part until a later time than of the others.
    pub(super) fn doubt_one(&mut self, part: &PartName, from: u64, now: u64) {
        let name = self.open(part, now);
        if let Some(part) = name.and_then(|name| self.by_name.get_mut(&name)) {
            part.doubt(from, now);
            part.is_used = true;
        }
    }

    /// Others may have used a burst just before what the meters know.
    pub(super) fn after_burst(&mut self) {
        self.is_after_burst = true;
    }

    /// Nothing was spent before they begin.
    pub(super) fn unspent(self) -> Self {
        Self { is_unspent: true, ..self }
    }

    /// Of each part used since the last doubt, [`Meters::deficit`].
    pub(super) fn deficits(&mut self, now: u64) -> Vec<(PartName, u64)> {
        let since = self.since;
        let used = self.by_name.iter_mut().filter(|(_, part)| part.since >= since);
        let deficit = |(name, part): (&String, &mut PartMeters)| {
            part.meters.prepare(Spend::default(), now);
            let name = match name.strip_prefix(TENANT) {
                Some(tenant) => PartName::Tenant(tenant.to_owned()),
                None => PartName::Model(name.strip_prefix(MODEL)?.to_owned()),
            };
            Some((name, part.meters.deficit(now)))
        };
        used.filter_map(deficit).collect()
    }

    fn forget_idle(&mut self, now: u64) {
        if self.by_name.len() >= self.many {
            self.by_name.retain(|_, part| !part.meters.is_idle(now));
            self.many = (2 * self.by_name.len()).max(FEW);
        }
    }

    pub(super) fn too_small(&self, names: &[String], spend: Spend) -> Option<(Dimension, u64)> {
        names.iter().find_map(|name| self.get(name)?.too_small(spend))
    }

    pub(super) fn prepare(&mut self, names: &[String], spend: Spend, now: u64) {
        for name in names {
            if let Some(part) = self.by_name.get_mut(name) {
                part.is_used = true;
                part.meters.prepare(spend, now);
            }
        }
    }

    /// For each dimension the earliest time from `now` on that it allows, and the place of the part's name.
    pub(super) fn earliest(&self, names: &[String], spend: Spend, now: u64) -> Vec<(u64, usize, Dimension)> {
        let parts = names.iter().enumerate().filter_map(|(place, name)| Some((place, self.get(name)?)));
        let of = |(place, meters): (usize, &Meters)| {
            meters.earliest(spend, now).map(move |(at, dimension)| (at, place, dimension)).collect::<Vec<_>>()
        };
        parts.flat_map(of).collect()
    }

    /// See [`super::Meter::tell`].
    pub(super) fn tell(&mut self, name: &str, dimension: Dimension, spend: Spend, at: u64) -> u64 {
        let meter = self.get_mut(name).and_then(|meters| meters.get_mut(dimension));
        meter.map_or(at, |meter| meter.tell(units(spend, dimension), at))
    }

    /// See [`super::Meter::see_free`].
    pub(super) fn see_free(&mut self, names: &[String], spend: Spend, now: u64) {
        for name in names {
            let meters = self.get_mut(name).into_iter().flat_map(Meters::iter_mut);
            meters.for_each(|(dimension, meter)| meter.see_free(units(spend, *dimension), now));
        }
    }

    pub(super) fn take(&mut self, names: &[String], spend: Spend, at: u64) {
        for name in names {
            self.get_mut(name).into_iter().for_each(|meters| meters.take(spend, at));
        }
    }

    pub(super) fn correct(&mut self, names: &[String], at: u64, (reserved, used): (Spend, Spend), now: u64) {
        for name in names {
            if let Some(meters) = self.known(name, now) {
                meters.correct(ANY, at, (reserved, used));
            }
        }
    }

    /// The call of a slot was not made.
    pub(super) fn uncount(&mut self, names: &[String], at: u64, now: u64) {
        for name in names {
            if let Some(meters) = self.known(name, now) {
                meters.uncount(ANY, at);
            }
        }
    }
}

impl PartMeters {
    /// Hears of a time since when uses are known; whether that is news.
    fn doubt(&mut self, since: u64, now: u64) -> bool {
        let is_news = self.since < since;
        if is_news {
            self.meters.doubt(None, since, now);
            self.since = since;
        }
        is_news
    }
}
