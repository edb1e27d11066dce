//! All that is metered of an upstream, a tenant or a model: used together or not at all.

use super::discovery::Found;
use super::{Meter, Pacing};
use crate::domain::{Dimension, Spend};
use crate::ports::{Limits, Rate, Rates};

/// What is metered. Of two that let a call start at the same time, the later one here is named.
pub const METERED: [Dimension; 5] = [
    Dimension::Money,
    Dimension::Tokens,
    Dimension::OutputTokens,
    Dimension::InputTokens,
    Dimension::Requests,
];

/// All limits per window: the upstream's, each tenant's and those of models.
pub(super) fn all_rates(limits: &Limits) -> impl Iterator<Item = (Dimension, Rate)> {
    let sets =
        [limits.rates()].into_iter().chain(limits.per_tenant).chain(limits.per_model.values().copied());
    sets.flat_map(|rates| METERED.into_iter().filter_map(move |of| Some((of, rates.get(of)?))))
}

/// What a call takes of a dimension.
pub(super) fn units(spend: Spend, dimension: Dimension) -> u64 {
    match dimension {
        Dimension::Requests | Dimension::Concurrency => 1,
        Dimension::InputTokens => spend.input_tokens,
        Dimension::OutputTokens => spend.output_tokens,
        Dimension::Tokens => spend.tokens(),
        Dimension::Money => spend.money,
    }
}

/// The limited dimensions, in the order of [`METERED`].
#[derive(Clone, Debug)]
pub(super) struct Meters(Vec<(Dimension, Meter)>);

impl Meters {
    /// Meters that know nothing of what was used before `from`.
    pub(super) fn new(rates: &Rates, pacing: Pacing, from: u64) -> Self {
        let limited = METERED.into_iter().filter_map(|dimension| Some((dimension, rates.get(dimension)?)));
        Self(
            limited.map(|(dimension, rate)| (dimension, Meter::new(dimension, rate, pacing, from))).collect(),
        )
    }

    /// Nothing was spent before they begin.
    pub(super) fn unspent(mut self) -> Self {
        self.get_mut(Dimension::Money).into_iter().for_each(Meter::begin_full);
        self
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(Dimension, Meter)> {
        self.0.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut (Dimension, Meter)> {
        self.0.iter_mut()
    }

    pub(super) fn get(&self, wanted: Dimension) -> Option<&Meter> {
        self.0.iter().find(|(dimension, _)| *dimension == wanted).map(|(_, meter)| meter)
    }

    pub(super) fn get_mut(&mut self, wanted: Dimension) -> Option<&mut Meter> {
        self.0.iter_mut().find(|(dimension, _)| *dimension == wanted).map(|(_, meter)| meter)
    }

    /// Paces uses at so many thousandths of the limits.
    pub(super) fn throttle(&mut self, per_mille: u64) {
        self.paced().for_each(|meter| meter.throttle(per_mille));
    }

    /// The upstream says that nothing is left.
    pub(super) fn drain(&mut self, now: u64) {
        self.paced().for_each(|meter| meter.drain(now));
    }

    /// All but that of money.
    pub(super) fn paced(&mut self) -> impl Iterator<Item = &mut Meter> {
        let paced = self.0.iter_mut().filter(|(dimension, _)| *dimension != Dimension::Money);
        paced.map(|(_, meter)| meter)
    }

    /// A dimension whose whole limit is smaller than this, and the limit.
    pub(super) fn too_small(&self, spend: Spend) -> Option<(Dimension, u64)> {
        let meters = self.0.iter().filter(|(_, meter)| !meter.is_found());
        let limits = meters.map(|(dimension, meter)| (*dimension, meter.amount()));
        limits.into_iter().find(|(dimension, limit)| units(spend, *dimension) > *limit)
    }

    /// Meters what was found.
    pub(super) fn find(&mut self, all: impl Iterator<Item = Found>, last_id: u64, now: u64) {
        for found in all {
            let meter = Meter::found(&found, self.get(found.dimension), last_id, now);
            self.0.retain(|(dimension, _)| *dimension != found.dimension);
            self.0.push((found.dimension, meter));
        }
        self.0.sort_by_key(|(dimension, _)| METERED.iter().position(|metered| metered == dimension));
    }

    /// The shortest window of what is paced.
    pub(super) fn shortest_window(&self) -> Option<u64> {
        let paced = self.0.iter().filter(|(dimension, _)| *dimension != Dimension::Money);
        paced.map(|(_, meter)| meter.window()).min()
    }

    pub(super) fn prepare(&mut self, spend: Spend, now: u64) {
        for (dimension, meter) in &mut self.0 {
            meter.prepare(units(spend, *dimension), now);
        }
    }

    /// For each dimension the earliest time from `now` on that it allows.
    pub(super) fn earliest(&self, spend: Spend, now: u64) -> impl Iterator<Item = (u64, Dimension)> {
        let of = move |(dimension, meter): &(Dimension, Meter)| {
            (meter.earliest(units(spend, *dimension), now), *dimension)
        };
        self.0.iter().map(of)
    }

    pub(super) fn take(&mut self, spend: Spend, at: u64) {
        for (dimension, meter) in &mut self.0 {
            meter.take(units(spend, *dimension), at);
        }
    }

    /// The call itself stays counted.
    pub(super) fn correct(&mut self, id: u64, at: u64, (reserved, used): (Spend, Spend)) {
        let metered = self.0.iter_mut().filter(|(dimension, _)| *dimension != Dimension::Requests);
        for (dimension, meter) in metered.filter(|(_, meter)| meter.counts(id)) {
            meter.correct(at, units(reserved, *dimension), units(used, *dimension));
        }
    }

    /// The call of a slot was not made.
    pub(super) fn uncount(&mut self, id: u64, at: u64) {
        if let Some(meter) = self.get_mut(Dimension::Requests).filter(|meter| meter.counts(id)) {
            meter.put_back(at);
        }
    }

    pub(super) fn is_idle(&self, now: u64) -> bool {
        self.0.iter().all(|(_, meter)| meter.is_idle(now))
    }
}
