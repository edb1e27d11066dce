//! Cancelling, redriving, events, API keys.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::fault::{Fault, Result, also};
use super::numbers::to_ms;
use super::redrive::Round;
use super::retry::{perform, transact, transact_repeatably};
use super::{PostgresLedger, cancel, keys, outbox, redrive};
use crate::domain::{NewRun, PortError, RunId};
use crate::ports::{
    ApiKey, CancelJobs, CancelLedger, Cancelled, DeadJobs, Event, KeyLedger, New, NewApiKey, OutboxLedger,
    RedriveLedger,
};

/// Commits in doubt that one redrive lives through.
const REDRIVE_DOUBTS: u32 = 20;

impl PostgresLedger {
    async fn cancel_run(&self, tenant: &str, id: RunId) -> Result<Cancelled> {
        let run = transact!(self, connection => cancel::mark_run(&mut connection, tenant, id))?;
        self.cancel_jobs_of(run).await
    }

    /// Goes on with what was begun by somebody who died. A run that cannot be cancelled now keeps no other: the next
    /// sweep goes on behind the last one of this. Answers with the first fault.
    pub(super) async fn go_on_cancelling(&self) -> std::result::Result<(), PortError> {
        let after = self.cancelled_to.load(Ordering::Relaxed);
        let left =
            perform!(self, connection => cancel::left(&mut connection, after)).map_err(Fault::in_words)?;
        let is_all = left.len() < cancel::PORTION;
        self.cancelled_to.store(left.last().copied().filter(|_| !is_all).unwrap_or(0), Ordering::Relaxed);
        let mut first = None;
        for run in left {
            match self.cancel_jobs_of(run).await {
                Ok(Cancelled { cancelled, under_way }) => {
                    tracing::warn!(run, cancelled, under_way, "a cancellation that somebody left is done");
                }
                Err(fault) => {
                    let error = fault.in_words();
                    tracing::warn!(run, %error, "a cancellation that somebody left waits for the next sweep");
                    first.get_or_insert(error);
                }
            }
        }
        first.map_or(Ok(()), Err)
    }

    /// The attached first: none of them is to become ready only to be cancelled next. Then all, until none is left:
    /// a job may be handed out or come back at the moment when it is looked for in its other state.
    pub(super) async fn cancel_jobs_of(&self, run: i64) -> Result<Cancelled> {
        let mut sum = self.cancel_once(run, &[cancel::ATTACHED]).await?;
        loop {
            let ended = self.cancel_once(run, &cancel::LIVE).await?;
            if ended == Cancelled::default() {
                break;
            }
            sum += ended;
        }
        perform!(self, connection => cancel::unmark_run(&mut connection, run))?;
        Ok(sum)
    }

    /// Every job of the run that is seen in one of these states.
    async fn cancel_once(&self, run: i64, states: &[i16]) -> Result<Cancelled> {
        let (mut sum, mut after) = (Cancelled::default(), 0);
        while let Some(walked) =
            perform!(self, connection => cancel::walk(&mut connection, run, after, states))?
        {
            after = walked.last;
            for jobs in walked.found.chunks(cancel::ROUND) {
                for state in states {
                    sum += self.cancel_these(jobs, *state).await?;
                }
            }
        }
        Ok(sum)
    }

    async fn cancel_these(&self, jobs: &[i64], state: i16) -> Result<Cancelled> {
        let (cancelled, unshared) =
            transact!(self, connection => cancel::cancel_jobs(&mut connection, jobs, state))?;
        self.share_later(unshared);
        Ok(cancelled)
    }

    async fn cancel_job(&self, tenant: &str, id: crate::domain::JobId) -> Result<Cancelled> {
        let n = perform!(self, connection => cancel::find_job(&mut connection, tenant, id))?;
        while perform!(self, connection => cancel::is_live(&mut connection, n))? {
            for state in cancel::LIVE {
                let ended = self.cancel_these(&[n], state).await?;
                if ended != Cancelled::default() {
                    return Ok(ended);
                }
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
        self.changes.raise(New::Moves);
        cancelled.map_err(Fault::in_words)
    }

    async fn settled(&self) {
        self.sharing.closed().await;
    }
}

impl PostgresLedger {
    async fn redrive_all(&self, which: &DeadJobs, into: &NewRun) -> std::result::Result<u64, PortError> {
        let mut sent = None;
        match (self.redrive_in_rounds(which, into, &mut sent).await, sent) {
            (Err(fault), Some(sent)) => Err(self.stop_redrive(into, sent, fault).await),
            (done, _) => done.map_err(Fault::in_words),
        }
    }

    /// `sent`: how many are sent again at least, once the run may be there. A round after a commit in doubt goes on
    /// where the ledger says that it is.
    async fn redrive_in_rounds(
        &self,
        which: &DeadJobs,
        into: &NewRun,
        sent: &mut Option<u64>,
    ) -> Result<u64> {
        let mut doubts = 0;
        loop {
            match transact!(self, connection => redrive::round(&mut connection, which, into)) {
                Ok(Round::Full(jobs)) => {
                    *sent = Some(jobs);
                    self.changes.raise(New::Moves);
                }
                Ok(Round::Last(jobs)) if jobs > 0 || sent.is_none() => return Ok(jobs),
                Ok(Round::Known) if sent.is_none() => {
                    return Err(Fault::Invalid(format!(
                        "there is a run {} already: give the new one an id of its own",
                        into.id
                    )));
                }
                // A commit in doubt was the last, or a sweep has taken this redrive for left.
                Ok(_) => match perform!(self, connection => redrive::redriven(&mut connection, into))? {
                    (_, true) => {}
                    (jobs, false) => return Ok(jobs),
                },
                Err(Fault::InDoubt(_)) if doubts < REDRIVE_DOUBTS => {
                    sent.get_or_insert(0);
                    doubts += 1;
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    /// What is sent again stays so: its run ends with it, and whoever asked is told of it. If the ledger does not
    /// answer, a sweep seals the run.
    async fn stop_redrive(&self, into: &NewRun, sent: u64, fault: Fault) -> PortError {
        let stopped = transact_repeatably!(self, connection => redrive::stop(&mut connection, into));
        let (at_least, sent) = stopped.map_or(("at least ", sent), |jobs| ("", jobs));
        let error = fault.in_words();
        if sent == 0 {
            return error;
        }
        also(
            error,
            &format!(
                "{at_least}{sent} jobs are sent again already, as run {}, and the others are still dead: give the \
                 command again for them",
                into.id
            ),
        )
    }

    /// Seals the runs of redrives whose process died.
    pub(super) async fn seal_left_redrives(&self) -> Result<()> {
        let left = transact!(self, connection => redrive::seal_left(&mut connection))?;
        if left > 0 {
            tracing::warn!(runs = left, "redrives were left half done: what they have not is still dead");
        }
        Ok(())
    }
}

#[async_trait]
impl RedriveLedger for PostgresLedger {
    async fn redrive(&self, which: DeadJobs, into: NewRun) -> std::result::Result<u64, PortError> {
        let count = self.redrive_all(&which, &into).await;
        self.changes.raise(New::Moves);
        count
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
