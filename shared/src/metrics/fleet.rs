//! How the whole fleet stands, asked for when somebody looks: each of its servers knows a part.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::Metrics;
use super::labels::{Counted, OfUpstream, Part, Waiting};
use crate::domain::{Dimension, PortError};
use crate::ports::{Backlog, BacklogLedger, BreakerReport, Quotas, UpstreamReport};

/// A server that takes longer is as good as away.
const PATIENCE: Duration = Duration::from_secs(3);
/// Counting a long backlog costs the ledger something: not more often than this.
const BACKLOG_EVERY: Duration = Duration::from_secs(10);

type Shares = Gauge<f64, AtomicU64>;

/// Gauges of upstreams and backlog. Those of a server that does not answer are absent.
pub struct FleetGauges {
    quotas: Arc<dyn Quotas>,
    ledger: Arc<dyn BacklogLedger>,
    /// When the backlog was last counted. Also lets one look at a time go on.
    counted: Mutex<Option<Instant>>,
    used: Family<Counted, Gauge>,
    others: Family<Counted, Gauge>,
    limit: Family<Counted, Gauge>,
    in_flight: Family<OfUpstream, Gauge>,
    effective: Family<OfUpstream, Shares>,
    paused: Family<OfUpstream, Shares>,
    breaker: Family<OfUpstream, Gauge>,
    jobs: Family<Waiting, Gauge>,
    up: Family<Part, Gauge>,
}

impl FleetGauges {
    /// Gauges that are added to these metrics.
    pub fn new(quotas: Arc<dyn Quotas>, ledger: Arc<dyn BacklogLedger>, metrics: &mut Metrics) -> Self {
        let gauges = Self {
            quotas,
            ledger,
            counted: Mutex::default(),
            used: Family::default(),
            others: Family::default(),
            limit: Family::default(),
            in_flight: Family::default(),
            effective: Family::default(),
            paused: Family::default(),
            breaker: Family::default(),
            jobs: Family::default(),
            up: Family::default(),
        };
        metrics.add("upstream_used", "Used by the fleet in the window until now", gauges.used.clone());
        metrics.add("upstream_used_by_others", "Used by others, as far as is known", gauges.others.clone());
        metrics.add("upstream_limit", "What may be used in a window", gauges.limit.clone());
        metrics.add("upstream_in_flight", "Calls of the fleet under way", gauges.in_flight.clone());
        metrics.add(
            "upstream_effective_ratio",
            "Share of the rates in use, below 1 after a 429",
            gauges.effective.clone(),
        );
        metrics.add("upstream_paused_seconds", "Time until a pause ends; 0: none", gauges.paused.clone());
        metrics.add("upstream_breaker_state", "0 closed, 1 half-open, 2 open", gauges.breaker.clone());
        metrics.add(
            "jobs",
            "Jobs that are not terminal: due, later, dispatched, attached",
            gauges.jobs.clone(),
        );
        metrics.add("up", "Whether a part of the fleet answered at this look", gauges.up.clone());
        gauges
    }

    /// Asks, and sets the gauges to what was answered.
    pub async fn refresh(&self) {
        let mut counted = self.counted.lock().await;
        let reports = self.asked("quotas", self.quotas.report()).await;
        self.clear_upstreams();
        for report in reports.iter().flatten() {
            self.set_upstream(report);
        }
        if counted.is_none_or(|at| at.elapsed() >= BACKLOG_EVERY) {
            let backlog = self.asked("ledger", self.ledger.backlog()).await;
            self.jobs.clear();
            backlog.iter().flatten().for_each(|row| self.set_backlog(row));
            // A look that took too long is no reason to take the next one at once.
            *counted = Some(Instant::now());
        }
    }

    async fn asked<T>(
        &self,
        part: &'static str,
        question: impl Future<Output = Result<T, PortError>>,
    ) -> Option<T> {
        let answer = match timeout(PATIENCE, question).await {
            Ok(Ok(answer)) => Some(answer),
            Ok(Err(error)) => {
                tracing::debug!(%error, part, "no metrics of a part of the fleet");
                None
            }
            Err(_) => None,
        };
        self.up.get_or_create(&Part { part }).set(i64::from(answer.is_some()));
        answer
    }

    fn clear_upstreams(&self) {
        self.used.clear();
        self.others.clear();
        self.limit.clear();
        self.in_flight.clear();
        self.effective.clear();
        self.paused.clear();
        self.breaker.clear();
    }

    fn set_upstream(&self, report: &UpstreamReport) {
        let name = report.upstream.as_str();
        for used in &report.used {
            let of = Counted::new(name, used.dimension);
            self.used.get_or_create(&of).set(signed(used.used));
            self.others.get_or_create(&of).set(signed(used.others));
            self.limit.get_or_create(&of).set(signed(used.limit));
        }
        if let Some(places) = report.limits.concurrency {
            let of = Counted::new(name, Dimension::Concurrency);
            self.used.get_or_create(&of).set(i64::from(report.in_flight));
            self.limit.get_or_create(&of).set(i64::from(places));
        }
        let of = OfUpstream::new(name);
        self.in_flight.get_or_create(&of).set(i64::from(report.in_flight));
        self.effective.get_or_create(&of).set(f64::from(report.effective) / 1e3);
        let pause = report.paused.as_ref().map_or(Duration::ZERO, |(wait, _)| *wait);
        self.paused.get_or_create(&of).set(pause.as_secs_f64());
        if let Some(breaker) = report.breaker {
            self.breaker.get_or_create(&of).set(match breaker {
                BreakerReport::Closed { .. } => 0,
                BreakerReport::HalfOpen { .. } => 1,
                BreakerReport::Open { .. } => 2,
            });
        }
    }

    fn set_backlog(&self, row: &Backlog) {
        let states = [
            ("due", row.due),
            ("later", row.later),
            ("dispatched", row.dispatched),
            ("attached", row.attached),
        ];
        for (state, jobs) in states {
            let (kind, upstream) = (row.kind.clone(), row.upstream.clone().unwrap_or_default());
            self.jobs.get_or_create(&Waiting { kind, upstream, state }).set(signed(jobs));
        }
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
