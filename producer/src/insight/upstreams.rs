//! How the upstreams stand.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fleetline_shared::domain::Dimension;
use fleetline_shared::ports::{Backlog, BreakerReport, Limits, UpstreamReport};
use serde::Serialize;
use utoipa::ToSchema;

use super::Unknown;
use super::pace::{Pace, dimension_name};
use super::parts::{RateView, per_model, per_tenant, rates};

/// What is limited, in the order in which it is shown.
pub(super) const DIMENSIONS: [Dimension; 5] = [
    Dimension::Requests,
    Dimension::Tokens,
    Dimension::InputTokens,
    Dimension::OutputTokens,
    Dimension::Money,
];

/// All upstreams, and what is not known of them.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Upstreams")]
pub struct UpstreamsView {
    /// By name.
    pub upstreams: Vec<UpstreamView>,
    /// Jobs that call nobody.
    pub without: BacklogView,
    /// What could not be asked.
    pub unknown: Vec<Unknown>,
}

/// One upstream now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Upstream")]
pub struct UpstreamView {
    /// Its name.
    pub name: String,
    /// What it allows, and what of it is used. Empty: no limit.
    pub limits: Vec<LimitView>,
    /// What each tenant may use of it, as configured. Empty: a tenant has no limit of its own.
    pub per_tenant: Vec<RateView>,
    /// What may be used of it with a model, as configured, by the model's name.
    pub per_model: BTreeMap<String, Vec<RateView>>,
    /// Whether use, pause and calls under way are known. If not, limits are those configured here.
    pub is_known: bool,
    /// Share of the rates that is in use since the upstream last said 429, in percent.
    pub effective_percent: Option<f64>,
    /// Calls that its rates let start in a second now, as large as those that wait; null: no rate limits it, or none
    /// can be made while its quotas cannot be asked.
    pub calls_per_second: Option<f64>,
    /// Calls under way.
    pub in_flight: Option<u32>,
    /// The pause, if it is paused.
    pub paused: Option<PauseView>,
    /// Its breaker, if it has one.
    pub breaker: Option<BreakerView>,
    /// What waits for it in the ledger.
    pub backlog: BacklogView,
    /// Milliseconds until the last of the backlog is called, by `limits` and pause; null: no rate limits it,
    /// or its quotas cannot be asked.
    pub finish_in_ms: Option<u64>,
}

impl UpstreamView {
    /// While no call of it can be made, for nobody can say what its quotas allow: when that ends is not known.
    fn standing_still(self) -> Self {
        let finish_in_ms = self.finish_in_ms.filter(|_| self.backlog.calls() == 0);
        Self { calls_per_second: None, finish_in_ms, ..self }
    }
}

/// One dimension of a limit.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Limit")]
pub struct LimitView {
    /// `requests`, `tokens`, `input_tokens`, `output_tokens`, `budget` (millionths), `concurrency`.
    #[schema(value_type = String, example = "requests")]
    pub of: &'static str,
    /// How much.
    pub limit: u64,
    /// In any window of so many milliseconds; null: at the same time.
    pub window_ms: Option<u64>,
    /// Used by the fleet in the window until now, with what is set aside.
    pub used: Option<u64>,
    /// Used by others, as far as the upstream let us know.
    pub others: Option<u64>,
}

/// A pause.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Pause")]
pub struct PauseView {
    /// Milliseconds until it ends.
    pub for_ms: u64,
    /// Why it was called.
    pub why: String,
}

/// How a breaker stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(title = "Breaker")]
pub struct BreakerView {
    /// `closed`, `open` or `half_open`.
    #[schema(value_type = String, example = "closed")]
    pub state: &'static str,
    /// Of a closed one: how many calls failed one after the other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failures: Option<u32>,
    /// Of an open one: milliseconds until one call may try.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe_in_ms: Option<u64>,
}

impl From<BreakerReport> for BreakerView {
    fn from(report: BreakerReport) -> Self {
        match report {
            BreakerReport::Closed { failures } => {
                Self { state: "closed", failures: Some(failures), probe_in_ms: None }
            }
            BreakerReport::Open { probe_in } => {
                Self { state: "open", failures: None, probe_in_ms: Some(ms(probe_in)) }
            }
            BreakerReport::HalfOpen { .. } => Self { state: "half_open", failures: None, probe_in_ms: None },
        }
    }
}

/// Jobs that are not terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(title = "Backlog")]
pub struct BacklogView {
    /// May be handed out now.
    pub due: u64,
    /// Ready, but only later.
    pub later: u64,
    /// Handed out, without an outcome yet.
    pub dispatched: u64,
    /// Wait for a twin's result.
    pub attached: u64,
}

impl BacklogView {
    pub(super) fn of<'a>(rows: impl Iterator<Item = &'a Backlog>) -> Self {
        rows.fold(Self::default(), |sum, row| Self {
            due: sum.due + row.due,
            later: sum.later + row.later,
            dispatched: sum.dispatched + row.dispatched,
            attached: sum.attached + row.attached,
        })
    }

    /// Those that will call.
    pub fn calls(self) -> u64 {
        self.due + self.later + self.dispatched
    }
}

/// Tokens of a job, over all kinds.
pub(super) fn mean_tokens<'a>(rows: impl Iterator<Item = &'a Backlog>) -> f64 {
    let (jobs, tokens) = rows.fold((0.0, 0.0), |(jobs, tokens), row| {
        let ready = (row.due + row.later) as f64;
        (jobs + ready, tokens + ready * row.tokens)
    });
    if jobs > 0.0 { tokens / jobs } else { 0.0 }
}

pub(super) fn view(
    backlog: &[Backlog],
    reports: Option<Vec<UpstreamReport>>,
    configured: &BTreeMap<String, Limits>,
    stands_still: impl Fn(&str) -> bool,
    unknown: Vec<Unknown>,
) -> UpstreamsView {
    let reports: BTreeMap<String, UpstreamReport> =
        reports.into_iter().flatten().map(|report| (report.upstream.clone(), report)).collect();
    let waited_for = backlog.iter().filter_map(|row| row.upstream.as_ref());
    let names: BTreeSet<&String> = reports.keys().chain(configured.keys()).chain(waited_for).collect();
    let of = |name: &&String| {
        let rows = backlog.iter().filter(|row| row.upstream.as_ref() == Some(*name));
        let limits = configured.get(*name).cloned().unwrap_or_default();
        let view = one((*name).clone(), reports.get(*name), &limits, &rows.collect::<Vec<_>>());
        if stands_still(name) { view.standing_still() } else { view }
    };
    UpstreamsView {
        upstreams: names.iter().map(of).collect(),
        without: BacklogView::of(backlog.iter().filter(|row| row.upstream.is_none())),
        unknown,
    }
}

fn one(
    name: String,
    report: Option<&UpstreamReport>,
    configured: &Limits,
    backlog: &[&Backlog],
) -> UpstreamView {
    let limits = report.map_or(configured, |report| &report.limits);
    let waits = BacklogView::of(backlog.iter().copied());
    let effective = report.map_or(1_000, |report| report.effective);
    let pace = Pace::of(&limits.rates(), mean_tokens(backlog.iter().copied()), effective);
    let paused = report.and_then(|report| report.paused.clone());
    let pause = paused.as_ref().map_or(Duration::ZERO, |(wait, _)| *wait);
    UpstreamView {
        limits: limit_views(limits, report),
        per_tenant: per_tenant(limits),
        per_model: per_model(limits),
        is_known: report.is_some(),
        effective_percent: report.map(|report| f64::from(report.effective) / 10.0),
        calls_per_second: pace.map(|pace| pace.per_second),
        in_flight: report.map(|report| report.in_flight),
        breaker: report.and_then(|report| report.breaker).map(BreakerView::from),
        paused: paused.map(|(wait, why)| PauseView { for_ms: ms(wait), why }),
        finish_in_ms: match waits.calls() {
            0 => Some(0),
            calls => pace.map(|pace| ms(pause + pace.time_for(calls))),
        },
        backlog: waits,
        name,
    }
}

fn limit_views(limits: &Limits, report: Option<&UpstreamReport>) -> Vec<LimitView> {
    let mut views: Vec<_> = rates(&limits.rates())
        .map(|(dimension, rate)| {
            let used = report.and_then(|report| report.used.iter().find(|used| used.dimension == dimension));
            LimitView {
                of: dimension_name(dimension),
                limit: rate.amount,
                window_ms: Some(ms(rate.window)),
                used: used.map(|used| used.used),
                others: used.map(|used| used.others),
            }
        })
        .collect();
    views.extend(limits.concurrency.map(|places| LimitView {
        of: dimension_name(Dimension::Concurrency),
        limit: places.into(),
        window_ms: None,
        used: report.map(|report| report.in_flight.into()),
        others: None,
    }));
    views
}

pub(super) fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
