//! The ledger of a run that is submitted or followed. A fleet's may be away for a while.

use std::sync::Arc;

use async_trait::async_trait;
use fleetline_shared::domain::{DedupKey, IfLeft, JobId, NewJob, NewRun, PortError, RunId};
use fleetline_shared::ports::{
    Added, JobDetail, JobFilter, JobRow, Ledger, News, OpenedRun, Page, QueryLedger, RunRow, Seal,
    SubmitLedger,
};
use serde_json::Value;
use tokio::sync::watch;

use crate::app::App;
use crate::outage::Outages;

/// What a command needs of the ledger for one run.
#[derive(Clone)]
pub struct RunLedger {
    /// Where its jobs go.
    pub jobs: Arc<dyn SubmitLedger>,
    /// How far it is.
    pub query: Arc<dyn QueryLedger>,
    /// Changes whenever it may have got further.
    pub changes: watch::Receiver<News>,
}

impl RunLedger {
    /// Outages of a fleet's ledger are waited for, within `postgres.patience`; a file has none.
    pub fn new(app: &App, ledger: Arc<dyn Ledger>) -> Self {
        let changes = ledger.changes();
        if !app.fleet() {
            return Self { jobs: ledger.clone(), query: ledger, changes };
        }
        let patient = Arc::new(PatientLedger { ledger, outages: Outages::of(app) });
        Self { jobs: patient.clone(), query: patient, changes }
    }
}

/// A ledger that is asked again while it is away. All that it is asked may be asked twice: runs have ids,
/// and a run's jobs have numbers.
struct PatientLedger {
    ledger: Arc<dyn Ledger>,
    outages: Outages,
}

#[async_trait]
impl SubmitLedger for PatientLedger {
    async fn open_run(&self, run: NewRun) -> Result<OpenedRun, PortError> {
        self.outages.outlast(|| self.ledger.open_run(run.clone())).await
    }

    async fn run_of_key(&self, tenant: &str, key: &str) -> Result<Option<RunId>, PortError> {
        self.outages.outlast(|| self.ledger.run_of_key(tenant, key)).await
    }

    async fn add_jobs(&self, run: RunId, jobs: Vec<NewJob>) -> Result<Added, PortError> {
        self.outages.outlast(|| self.ledger.add_jobs(run, jobs.clone())).await
    }

    /// Once: it is said again anyway.
    async fn still_reading(&self, run: RunId, if_left: IfLeft) -> Result<(), PortError> {
        self.ledger.still_reading(run, if_left).await
    }

    async fn seal_run(&self, run: RunId, seal: Seal) -> Result<(), PortError> {
        self.outages.outlast(|| self.ledger.seal_run(run, seal.clone())).await
    }

    async fn submit_run(&self, run: NewRun, jobs: Vec<NewJob>, notes: Value) -> Result<OpenedRun, PortError> {
        self.outages.outlast(|| self.ledger.submit_run(run.clone(), jobs.clone(), notes.clone())).await
    }
}

#[async_trait]
impl QueryLedger for PatientLedger {
    async fn runs(&self, tenant: Option<&str>, page: Page) -> Result<Vec<RunRow>, PortError> {
        self.outages.outlast(|| self.ledger.runs(tenant, page)).await
    }

    async fn run(&self, id: RunId) -> Result<Option<RunRow>, PortError> {
        self.outages.outlast(|| self.ledger.run(id)).await
    }

    async fn jobs(&self, filter: JobFilter, page: Page) -> Result<Vec<JobRow>, PortError> {
        self.outages.outlast(|| self.ledger.jobs(filter.clone(), page)).await
    }

    async fn job_detail(&self, job: JobId) -> Result<Option<JobDetail>, PortError> {
        self.outages.outlast(|| self.ledger.job_detail(job)).await
    }

    async fn have_results(
        &self,
        tenant: &str,
        kind: &str,
        keys: Vec<DedupKey>,
    ) -> Result<Vec<bool>, PortError> {
        self.outages.outlast(|| self.ledger.have_results(tenant, kind, keys.clone())).await
    }
}
