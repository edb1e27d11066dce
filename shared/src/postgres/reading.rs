//! What people, reports and services read.

use async_trait::async_trait;

use super::fault::Fault;
use super::retry::perform;
use super::{PostgresLedger, backlog, detail, query};
use crate::domain::{DedupKey, JobId, PortError, RunId};
use crate::ports::{
    Backlog, BacklogLedger, JobDetail, JobFilter, JobRow, JobStanding, Page, QueryLedger, RunRow,
};

#[async_trait]
impl QueryLedger for PostgresLedger {
    async fn runs(&self, tenant: Option<&str>, page: Page) -> Result<Vec<RunRow>, PortError> {
        let rows = perform!(self, connection => query::runs(&mut connection, tenant, page));
        rows.map_err(Fault::in_words)
    }

    async fn run(&self, id: RunId) -> Result<Option<RunRow>, PortError> {
        let row = perform!(self, connection => query::run(&mut connection, id));
        row.map_err(Fault::in_words)
    }

    async fn jobs(&self, filter: JobFilter, page: Page) -> Result<Vec<JobRow>, PortError> {
        let rows = perform!(self, connection => query::jobs(&mut connection, &filter, page));
        rows.map_err(Fault::in_words)
    }

    async fn job_detail(&self, job: JobId) -> Result<Option<JobDetail>, PortError> {
        let detail = perform!(self, connection => detail::job_detail(&mut connection, job));
        detail.map_err(Fault::in_words)
    }

    async fn have_results(
        &self,
        tenant: &str,
        kind: &str,
        keys: Vec<DedupKey>,
    ) -> Result<Vec<bool>, PortError> {
        let found = perform!(self, connection => detail::have_results(&mut connection, tenant, kind, &keys));
        found.map_err(Fault::in_words)
    }
}

#[async_trait]
impl BacklogLedger for PostgresLedger {
    async fn backlog(&self) -> Result<Vec<Backlog>, PortError> {
        let rows = perform!(self, connection => backlog::backlog(&mut connection));
        rows.map_err(Fault::in_words)
    }

    async fn standing(&self, job: JobId) -> Result<Option<JobStanding>, PortError> {
        let standing = perform!(self, connection => backlog::standing(&mut connection, job));
        standing.map_err(Fault::in_words)
    }
}
