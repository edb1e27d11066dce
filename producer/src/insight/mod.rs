//! What people ask of a running fleet: how do its upstreams stand, and what does this job wait for?
//!
//! [`Insight`] asks the ports, [`upstreams`] and [`explain`] make answers of what they said. A port
//! that does not answer is named; what the others know is told all the same.

mod explain;
mod pace;
mod parts;
#[cfg(test)]
mod tests;
mod upstreams;
mod waits;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::domain::{JobId, JobState, PortError, Registry, Weights};
use fleetline_shared::ports::{
    Broker, Held, JobStanding, Leases, Ledger, Limits, Quotas, UpstreamReport, lease_key,
};
use serde::Serialize;
use serde_json::value::to_raw_value;
use tokio::time::timeout;
use utoipa::ToSchema;

pub use explain::{Expected, Explanation};
pub use parts::RateView;
pub use upstreams::{BacklogView, BreakerView, LimitView, PauseView, UpstreamView, UpstreamsView};
pub use waits::{Wait, WaitsFor};

/// A port that takes longer is as good as away: people wait for the answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Who can be asked.
#[derive(Clone)]
pub struct Insight {
    /// What waits.
    pub ledger: Arc<dyn Ledger>,
    /// What jobs ask for, by their args.
    pub kinds: Registry,
    /// The upstreams' limits as they are configured here.
    pub limits: BTreeMap<String, Limits>,
    /// Upstreams whose calls go on, each worker with its share of the limits, while the quotas are away.
    pub static_shares: BTreeSet<String>,
    /// How tenants share the upstreams.
    pub weights: Weights,
    /// The fleet's other servers; `None`: the ledger is a file, and its worker is another process.
    pub fleet: Option<FleetPorts>,
    /// What commands that are shown need to speak of the same ledger, such as ` --db PATH`.
    pub flags: String,
}

/// The servers that a fleet shares beside its ledger.
#[derive(Clone)]
pub struct FleetPorts {
    /// How much of the quotas is used.
    pub quotas: Arc<dyn Quotas>,
    /// Who takes from the lines.
    pub broker: Arc<dyn Broker>,
    /// Who works on what.
    pub leases: Arc<dyn Leases>,
}

/// Something that could not be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Unknown {
    /// What is therefore not known.
    #[schema(value_type = String, example = "use of the quotas, pauses, breakers")]
    pub what: &'static str,
    /// What went wrong, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What the ports said, as far as they answered.
#[derive(Default)]
struct Seen {
    unknown: Vec<Unknown>,
}

impl Seen {
    async fn ask<T>(
        &mut self,
        what: &'static str,
        question: impl Future<Output = Result<T, PortError>>,
    ) -> Option<T> {
        let error = match timeout(PATIENCE, question).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
        };
        self.unknown.push(Unknown { what, error: Some(error) });
        None
    }
}

/// What is not known without Redis.
pub const QUOTAS: &str = "use of the quotas, pauses, breakers";
const WORKERS: &str = "how many workers take its kind, and what waits on its line";
const LEASE: &str = "who holds the lease on its key";

impl Insight {
    /// All upstreams that are configured, known to the quotas, or waited for.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn upstreams(&self) -> Result<UpstreamsView, PortError> {
        let backlog = self.ledger.backlog().await?;
        let mut seen = Seen::default();
        let reports = self.reports(&mut seen).await;
        let is_blind = self.fleet.is_some() && reports.is_none();
        let stands_still = |name: &str| is_blind && !self.static_shares.contains(name);
        Ok(upstreams::view(&backlog, reports, &self.limits, stands_still, seen.unknown))
    }

    /// What a job waits for; `None`: there is no such job, or it is not the tenant's.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn explain(&self, job: JobId, tenant: Option<&str>) -> Result<Option<Explanation>, PortError> {
        let standing = self.ledger.standing(job).await?;
        let Some(standing) = standing.filter(|job| tenant.is_none_or(|tenant| tenant == job.tenant)) else {
            return Ok(None);
        };
        let twin = match standing.twin.filter(|_| standing.state == JobState::Attached) {
            Some(twin) => self.ledger.standing(twin).await?,
            None => None,
        };
        // Whoever is attached waits for what its twin waits for.
        let whose = twin.as_ref().unwrap_or(&standing);
        let mut seen = Seen::default();
        let scene = self.scene(whose, &mut seen).await?;
        let mut explanation = explain::explain(whose, &scene);
        if twin.is_some() {
            explanation = explanation.for_attached(&standing);
        }
        explanation.unknown = seen.unknown;
        Ok(Some(explanation))
    }

    async fn scene(&self, job: &JobStanding, seen: &mut Seen) -> Result<Scene, PortError> {
        if job.state.is_terminal() {
            return Ok(Scene::default());
        }
        let of_upstream = |row: &fleetline_shared::ports::Backlog| row.upstream == job.upstream;
        let backlog = self.ledger.backlog().await?.into_iter().filter(of_upstream).collect();
        let (is_fleet, weights) = (self.fleet.is_some(), self.weights.clone());
        let flags = self.flags.clone();
        let mut scene = Scene { backlog, is_fleet, weights, flags, ..Scene::default() };
        let name = job.upstream.as_deref().unwrap_or_default();
        scene.limits = self.limits.get(name).cloned().unwrap_or_default();
        if let Some(fleet) = &self.fleet {
            let reports = if name.is_empty() { None } else { self.reports(seen).await };
            scene.is_blind = !name.is_empty() && reports.is_none();
            scene.report = reports.and_then(|reports| reports.into_iter().find(|of| of.upstream == name));
            if let Some(report) = &scene.report {
                scene.limits = report.limits.clone();
            }
            let line = async {
                Ok((fleet.broker.consumers(&job.kind).await?, fleet.broker.depth(&job.kind).await?))
            };
            let line = seen.ask(WORKERS, line).await;
            scene.consumers = line.map(|(consumers, _)| consumers);
            scene.on_line = line.map(|(_, depth)| depth.ready);
            let key = lease_key(&job.tenant, &job.kind, &job.dedup_key);
            scene.lease = seen.ask(LEASE, fleet.leases.holder(&key)).await.flatten();
        }
        if !scene.limits.per_model.is_empty() {
            scene.model = self.model(job).await?;
        }
        Ok(scene)
    }

    /// With which of its upstream's models it calls.
    async fn model(&self, job: &JobStanding) -> Result<Option<String>, PortError> {
        let Some(kind) = self.kinds.get(&job.kind) else { return Ok(None) };
        let detail = self.ledger.job_detail(job.job).await?;
        let args = detail.and_then(|detail| to_raw_value(&detail.args).ok());
        Ok(args.and_then(|args| kind.model(&args)))
    }

    async fn reports(&self, seen: &mut Seen) -> Option<Vec<UpstreamReport>> {
        let fleet = self.fleet.as_ref()?;
        seen.ask(QUOTAS, fleet.quotas.report()).await
    }
}

/// Everything around one job.
#[derive(Default)]
struct Scene {
    /// What waits for its upstream.
    backlog: Vec<fleetline_shared::ports::Backlog>,
    /// The upstream's limits.
    limits: Limits,
    /// With which of its models the job calls, if any of them is limited.
    model: Option<String>,
    /// How the upstream stands, if it is known.
    report: Option<UpstreamReport>,
    /// Whether nobody could say how it stands.
    is_blind: bool,
    /// Consumers of its line, if they are known.
    consumers: Option<usize>,
    /// Messages on its line that nobody has.
    on_line: Option<usize>,
    /// Who holds the lease on its key, as far as is known.
    lease: Option<Held>,
    /// Whether there are other servers than the ledger at all.
    is_fleet: bool,
    /// How tenants share the upstream.
    weights: Weights,
    /// What commands need to speak of the same ledger.
    flags: String,
}
