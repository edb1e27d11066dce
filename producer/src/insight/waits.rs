//! The things that a job may wait for, one after the other.

use std::time::Duration;

use fleetline_shared::domain::{Dimension, Weights};
use fleetline_shared::ports::{BreakerReport, JobStanding, UpstreamReport};
use fleetline_shared::rules::dollars;
use serde::Serialize;
use utoipa::ToSchema;

use super::Scene;
use super::pace::dimension_name;
use super::parts::OwnLimits;
use super::upstreams::ms;

/// One thing that a job waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Wait {
    /// What it is.
    pub what: WaitsFor,
    /// The same for people.
    pub detail: String,
    /// Milliseconds until it is over, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_ms: Option<u64>,
}

/// What a job waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WaitsFor {
    /// Its time: it was put back until then.
    Time,
    /// The end of its upstream's pause.
    Pause,
    /// Its upstream's breaker.
    Breaker,
    /// Its upstream's quota per window, or what its tenant or its model may use of it.
    Quota,
    /// A place among its upstream's calls.
    Concurrency,
    /// Jobs that go before it.
    Turn,
    /// A worker that takes its kind.
    Worker,
    /// The end of another job's call for the same thing.
    Lease,
    /// Another job's result.
    Twin,
    /// The end of the attempt that is under way.
    Outcome,
    /// Nothing: it goes at the next look.
    Nothing,
}

impl Wait {
    pub(super) fn new(what: WaitsFor, detail: impl Into<String>, time: Option<Duration>) -> Self {
        Self { what, detail: detail.into(), for_ms: time.map(ms) }
    }
}

/// Of a ready job, what bars its way first.
pub(super) fn of_ready(job: &JobStanding, scene: &Scene) -> Vec<Wait> {
    let time = || {
        let why = job.error.as_deref().unwrap_or("nothing was recorded");
        Some(Wait::new(WaitsFor::Time, format!("its time, since it was put back: {why}"), Some(job.due_in?)))
    };
    let own_limit = OwnLimits::of(job, scene).find_map(|limits| limits.wait(job));
    let mut waits: Vec<_> = own_limit.or_else(time).into_iter().collect();
    if let Some(report) = &scene.report {
        waits.extend(of_upstream(report));
    }
    if scene.is_blind {
        let name = job.upstream.as_deref().unwrap_or_default();
        let detail = format!("upstream `{name}`, whose quotas, pauses and breaker are not known now");
        waits.push(Wait::new(WaitsFor::Quota, detail, None));
    }
    if job.due_in.is_none()
        && let Some(detail) = turn(job, &scene.weights)
    {
        waits.push(Wait::new(WaitsFor::Turn, detail, None));
    }
    waits.extend(of_workers(job, scene));
    waits
}

/// What an upstream lacks now.
fn of_upstream(report: &UpstreamReport) -> Vec<Wait> {
    let name = &report.upstream;
    let mut waits: Vec<_> =
        report.breaker.and_then(|breaker| of_breaker(name, breaker)).into_iter().collect();
    let is_open = !waits.is_empty();
    if let Some((wait, why)) = &report.paused {
        waits.push(Wait::new(
            WaitsFor::Pause,
            format!("the end of the pause of upstream `{name}`: {why}"),
            Some(*wait),
        ));
    } else if !report.next_in.is_zero() && !is_open {
        waits.push(Wait::new(WaitsFor::Quota, quota(report), Some(report.next_in)));
    }
    if let Some(places) = report.limits.concurrency.filter(|places| report.in_flight >= *places) {
        let detail = format!("a place at upstream `{name}`: {places} calls are under way, as many as may be");
        waits.push(Wait::new(WaitsFor::Concurrency, detail, None));
    }
    waits
}

/// What an open breaker lets through: one call at a time, after a while.
fn of_breaker(name: &str, breaker: BreakerReport) -> Option<Wait> {
    let (detail, time) = match breaker {
        BreakerReport::Open { probe_in } => (
            format!("the breaker of upstream `{name}`, which is open: its calls failed again and again"),
            Some(probe_in),
        ),
        BreakerReport::HalfOpen { probing: true } => {
            (format!("the breaker of upstream `{name}`: one call tries whether it is well again"), None)
        }
        BreakerReport::Closed { .. } | BreakerReport::HalfOpen { probing: false } => return None,
    };
    Some(Wait::new(WaitsFor::Breaker, detail, time))
}

/// The dimension that is used the most: that is the one that lacks.
fn quota(report: &UpstreamReport) -> String {
    let name = &report.upstream;
    let share = |used: u64, limit: u64| used as f64 / (limit as f64).max(1.0);
    let fullest =
        report.used.iter().filter(|used| used.dimension != Dimension::Concurrency).max_by(|one, other| {
            share(one.used + one.others, one.limit).total_cmp(&share(other.used + other.others, other.limit))
        });
    let Some(used) = fullest else { return format!("quota of upstream `{name}`") };
    let amount = |units: u64| match used.dimension {
        Dimension::Money => dollars(units),
        _ => units.to_string(),
    };
    let by = match used.dimension {
        Dimension::Money => "by others, or before Redis lost its state",
        _ => "by others",
    };
    let others =
        if used.others > 0 { format!(", {} of them {by}", amount(used.others)) } else { String::new() };
    format!(
        "quota of upstream `{name}`: {} of {} {} in the window are used or given out{others}",
        amount(used.used + used.others),
        amount(used.limit),
        dimension_name(used.dimension)
    )
}

/// How many due jobs of other tenants go before it, at most: for each job of its own tenant as many as
/// the weights say, if all are as large. Who they are is not for everybody.
pub(super) fn of_rivals(job: &JobStanding, weights: &Weights) -> u64 {
    let own = u128::from(job.ahead + job.turns + 1);
    let weight = u128::from(weights.of(&job.tenant));
    let before = |(tenant, due): &(String, u64)| {
        let turns = (own * u128::from(weights.of(tenant))).div_ceil(weight);
        (*due).min(u64::try_from(turns).unwrap_or(u64::MAX))
    };
    job.rivals.iter().map(before).sum()
}

/// What goes before it, if anything does.
fn turn(job: &JobStanding, weights: &Weights) -> Option<String> {
    let rivals = of_rivals(job, weights);
    if job.ahead + job.turns + rivals == 0 {
        return None;
    }
    let own = match job.ahead {
        1 => "1 job of its run that goes before it".to_owned(),
        jobs => format!("{jobs} jobs of its run that go before it"),
    };
    let lanes = match job.lanes {
        0 => own,
        1 => format!("{own}, and up to {} of another run, which takes turns with it", job.turns),
        runs => format!("{own}, and up to {} of {runs} other runs, which take turns with it", job.turns),
    };
    Some(match rivals {
        0 => lanes,
        jobs => format!("{lanes}, and up to {jobs} of other tenants, by their weights"),
    })
}

/// Who would take it.
pub(super) fn of_workers(job: &JobStanding, scene: &Scene) -> Option<Wait> {
    let kind = &job.kind;
    if !scene.is_fleet {
        let detail = format!(
            "a process that works on this database: the command that began the run, or `fleetline run --resume \
             {}{}`; if one runs, it will",
            job.run, scene.flags
        );
        return Some(Wait::new(WaitsFor::Worker, detail, None));
    }
    scene.consumers.filter(|consumers| *consumers == 0).map(|_| {
        let detail =
            format!("a worker, for none takes `{kind}`: start one with `fleetline work --kinds {kind}`");
        Wait::new(WaitsFor::Worker, detail, None)
    })
}
