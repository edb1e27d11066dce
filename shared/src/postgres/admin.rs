//! Cancelling, redriving, events, API keys.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::fault::{Fault, Result};
use super::numbers::to_ms;
use super::retry::{perform, transact};
use super::{PostgresLedger, cancel, keys, outbox, redrive};
use crate::domain::{NewRun, PortError, RunId};
use crate::ports::{
    ApiKey, CancelJobs, CancelLedger, Cancelled, DeadJobs, Event, KeyLedger, NewApiKey, OutboxLedger,
    RedriveLedger,
};

impl PostgresLedger {
    async fn cancel_run(&self, tenant: &str, id: RunId) -> Result<Cancelled> {
        let run = transact!(self, connection => cancel::mark_run(&mut connection, tenant, id))?;
        let mut sum = Cancelled::default();
        for state in cancel::STEPS {
            let mut after = 0;
            loop {
                let jobs = perform!(self, connection => cancel::round(&mut connection, run, after, state))?;
                let Some(last) = jobs.last() else { break };
                after = *last;
                let ended =
                    transact!(self, connection => cancel::cancel_jobs(&mut connection, &jobs, state))?;
                sum.cancelled += ended.cancelled;
                sum.under_way += ended.under_way;
            }
        }
        Ok(sum)
    }

    async fn cancel_job(&self, tenant: &str, id: crate::domain::JobId) -> Result<Cancelled> {
        let n = perform!(self, connection => cancel::find_job(&mut connection, tenant, id))?;
        // In whichever state it is by then.
        for state in cancel::STEPS {
            let ended = transact!(self, connection => cancel::cancel_jobs(&mut connection, &[n], state))?;
            if ended != Cancelled::default() {
                return Ok(ended);
            }
        }
        Ok(Cancelled::default())
    }
}

#[async_trait]
impl CancelLedger for PostgresLedger {
    async fn cancel(&self, tenant: &str, which: CancelJobs) -> std::result::Result<Cancelled, PortError> {
        let cancelled = match which {
            CancelJobs::Run(run) => self.cancel_run(tenant, run).await,
            CancelJobs::Job(job) => self.cancel_job(tenant, job).await,
        };
        self.changes.raise();
        cancelled.map_err(Fault::in_words)
    }
}

#[async_trait]
impl RedriveLedger for PostgresLedger {
    async fn redrive(&self, which: DeadJobs, into: NewRun) -> std::result::Result<u64, PortError> {
        let mut count = transact!(self, connection => redrive::redrive(&mut connection, &which, &into));
        if let Err(Fault::InDoubt(_)) = count {
            count = match perform!(self, connection => redrive::redriven(&mut connection, &into)) {
                Ok(Some(jobs)) => Ok(jobs),
                Ok(None) => transact!(self, connection => redrive::redrive(&mut connection, &which, &into)),
                Err(fault) => Err(fault),
            };
        }
        self.changes.raise();
        count.map_err(Fault::in_words)
    }
}

#[async_trait]
impl OutboxLedger for PostgresLedger {
    async fn take_events(&self, limit: usize, claim: Duration) -> std::result::Result<Vec<Event>, PortError> {
        let claim = to_ms(claim);
        let events = perform!(self, connection => outbox::take(&mut connection, limit, claim));
        events.map_err(Fault::in_words)
    }

    async fn events_published(&self, ids: Vec<Uuid>) -> std::result::Result<(), PortError> {
        let done = perform!(self, connection => outbox::published(&mut connection, &ids));
        done.map_err(Fault::in_words)
    }
}

#[async_trait]
impl KeyLedger for PostgresLedger {
    async fn add_key(&self, key: NewApiKey) -> std::result::Result<(), PortError> {
        let added = perform!(self, connection => keys::add(&mut connection, &key));
        added.map_err(Fault::in_words)
    }

    async fn keys(&self) -> std::result::Result<Vec<ApiKey>, PortError> {
        let all = perform!(self, connection => keys::all(&mut connection));
        all.map_err(Fault::in_words)
    }

    async fn revoke_key(&self, id: Uuid) -> std::result::Result<bool, PortError> {
        let revoked = perform!(self, connection => keys::revoke(&mut connection, id));
        revoked.map_err(Fault::in_words)
    }

    async fn find_key(&self, hash: [u8; 32]) -> std::result::Result<Option<ApiKey>, PortError> {
        let found = perform!(self, connection => keys::find(&mut connection, &hash));
        found.map_err(Fault::in_words)
    }
}
