//! Limits of tenants and models within an upstream's.

use std::collections::BTreeMap;
use std::time::Duration;

use fleetline_shared::domain::Dimension;
use fleetline_shared::ports::{JobStanding, Limits, Rate, Rates};
use fleetline_shared::rules::{Part, why};
use serde::Serialize;
use utoipa::ToSchema;

use super::Scene;
use super::pace::{Pace, dimension_name, rate_words};
use super::upstreams::{DIMENSIONS, ms};
use super::waits::{Wait, WaitsFor};

/// How much per window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(title = "Rate")]
pub struct RateView {
    /// `requests`, `tokens`, `input_tokens`, `output_tokens`, `budget` (millionths).
    #[schema(value_type = String, example = "requests")]
    pub of: &'static str,
    /// How much.
    pub limit: u64,
    /// In any window of so many milliseconds.
    pub window_ms: u64,
}

/// What is limited, one after the other.
pub(super) fn rates(rates: &Rates) -> impl Iterator<Item = (Dimension, Rate)> {
    DIMENSIONS.into_iter().filter_map(|dimension| Some((dimension, rates.get(dimension)?)))
}

fn views(of: &Rates) -> Vec<RateView> {
    let view = |(dimension, rate): (_, Rate)| RateView {
        of: dimension_name(dimension),
        limit: rate.amount,
        window_ms: ms(rate.window),
    };
    rates(of).map(view).collect()
}

/// What each tenant may use.
pub(super) fn per_tenant(limits: &Limits) -> Vec<RateView> {
    limits.per_tenant.iter().flat_map(views).collect()
}

/// What may be used with models, by name.
pub(super) fn per_model(limits: &Limits) -> BTreeMap<String, Vec<RateView>> {
    limits.per_model.iter().map(|(model, rates)| (model.clone(), views(rates))).collect()
}

/// The tenant's or the model's limits that count for a job.
pub(super) struct OwnLimits<'a> {
    part: Part,
    name: &'a str,
    rates: &'a Rates,
}

impl<'a> OwnLimits<'a> {
    /// Those of a job's tenant and of its model.
    pub(super) fn of(job: &'a JobStanding, scene: &'a Scene) -> impl Iterator<Item = Self> {
        let limits = &scene.limits;
        let tenant = limits.per_tenant.as_ref().map(|rates| (Part::Tenant, job.tenant.as_str(), rates));
        let model = scene.model.as_deref();
        let model = model.and_then(|name| Some((Part::Model, name, limits.per_model.get(name)?)));
        tenant.into_iter().chain(model).map(|(part, name, rates)| Self { part, name, rates })
    }

    /// What a job that was put back waits for, if what was recorded says that it is one of these.
    pub(super) fn wait(&self, job: &JobStanding) -> Option<Wait> {
        let (recorded, until) = (job.error.as_deref()?, job.due_in?);
        let limit = self.part.limit_of(self.name);
        let (dimension, rate) =
            rates(self.rates).find(|(dimension, _)| why((*dimension).into(), &limit) == recorded)?;
        let detail = format!(
            "{limit} at upstream `{}`, {}: it had no room for this call",
            job.upstream.as_deref().unwrap_or_default(),
            rate_words(dimension, rate)
        );
        Some(Wait::new(WaitsFor::Quota, detail, Some(until)))
    }

    /// How long jobs before it take of so many tokens each, and why. That others than those of its own
    /// run call the same model is not known.
    pub(super) fn time_before(&self, job: &JobStanding, tokens: f64) -> Option<(Duration, String)> {
        let pace = Pace::of(self.rates, tokens, 1_000)?;
        let (jobs, whose) = match self.part {
            Part::Tenant => (job.ahead + job.turns, "tenant"),
            Part::Model => (job.ahead, "run"),
        };
        let limit = self.part.limit_of(self.name);
        let why = format!("{jobs} jobs of its {whose} before it at {}, {limit}", pace.words());
        Some((pace.time_for(jobs), why))
    }
}
