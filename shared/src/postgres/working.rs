//! What producers and dispatchers write.

use std::sync::PoisonError;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::watch;

use super::fault::{Fault, Result, in_doubt};
use super::numbers::to_ms;
use super::offers::{Part, first_envelope};
use super::retry::{perform, transact, transact_repeatably};
use super::whole::Submitted;
use super::{PostgresLedger, dispatch, due, expire, handed_out, lone, runs, submit, sweep, unread, whole};
use crate::domain::{Envelope, IfLeft, JobId, NewJob, NewRun, PortError, RunId};
use crate::ports::{
    Added, DispatchAsk, DispatchLedger, New, News, Offer, OfferLedger, OpenedRun, Scope, Seal, SubmitLedger,
    Swept,
};

/// Jobs whose occurrences are set in one transaction.
const OCCURRENCES: usize = 5_000;

/// Submissions of the same numbers at the same time: each finds the other's jobs known in the end.
const ADD_TRIES: u32 = 8;

impl PostgresLedger {
    async fn add(&self, run: RunId, jobs: &[NewJob]) -> Result<Added> {
        let mut tries = 1;
        loop {
            let ground = perform!(self, connection => submit::ground(&mut connection, run, jobs))?;
            let added = transact!(self, connection => submit::add_jobs(&mut connection, run, jobs, &ground));
            match added {
                // What was committed has its numbers, and is known to the next try.
                Err(Fault::InDoubt(_)) if tries < ADD_TRIES && jobs.iter().all(|job| job.seq.is_some()) => {}
                Err(fault) if tries < ADD_TRIES && fault.is_duplicate() => {}
                other => return other,
            }
            tries += 1;
        }
    }

    async fn submit_whole(
        &self,
        run: &NewRun,
        jobs: &[NewJob],
        notes: &Value,
        goes: &[bool],
    ) -> Result<Submitted> {
        if run.idempotency_key.is_some() || !lone::is_small(jobs) {
            return transact_repeatably!(self, connection => {
                whole::submit_run(&mut connection, run, jobs, notes, goes)
            });
        }
        let mut tries = 1;
        loop {
            let submitted = perform!(self, connection => async {
                lone::submit(&mut connection, run, jobs, notes, goes).await.map_err(in_doubt)
            });
            match submitted {
                // It may be there, or be made at this moment by the server that lost its caller: who comes
                // second waits for that one's end, fails, and finds it the next time.
                Err(Fault::InDoubt(_)) if tries < ADD_TRIES => {}
                Err(fault) if tries < ADD_TRIES && fault.is_duplicate() => {}
                other => {
                    let run = OpenedRun { id: run.id, resumed: false };
                    return other.map(|handed_out| Submitted { run, handed_out });
                }
            }
            tries += 1;
        }
    }

    /// Submits a run whose jobs may go by an offer, and says which did.
    async fn submit_by_offer(
        &self,
        part: Part,
        run: &NewRun,
        jobs: &[NewJob],
        notes: &Value,
    ) -> Result<OpenedRun> {
        match self.submit_whole(run, jobs, notes, &part.which).await {
            Ok(Submitted { run: opened, handed_out }) => {
                let is_all = handed_out.as_ref().is_some_and(|those| those.len() == jobs.len());
                match handed_out {
                    Some(those) => {
                        self.tidy.handed_out(those.len());
                        part.say(
                            those
                                .into_iter()
                                .map(|(place, id)| first_envelope(run, &jobs[place], id))
                                .collect(),
                        );
                    }
                    None if opened.resumed => part.say(Vec::new()),
                    // By an earlier try, whose answer was lost.
                    None => {}
                }
                if !opened.resumed && !is_all {
                    self.changes.raise(New::Jobs);
                }
                Ok(opened)
            }
            Err(fault) => {
                if !matches!(fault, Fault::InDoubt(_) | Fault::TookTooLong) {
                    part.say(Vec::new());
                }
                Err(fault)
            }
        }
    }
}

impl PostgresLedger {
    /// What others have left. None of it keeps the rest from being done. Answers with the first fault.
    async fn go_on_with_all(&self) -> std::result::Result<(), PortError> {
        let cancelled = self.go_on_cancelling().await;
        let shared = self.go_on_sharing().await;
        let sealed = self.seal_left_redrives().await.map_err(Fault::in_words);
        let mut faults = [cancelled, shared, sealed].into_iter().filter_map(std::result::Result::err);
        let first = faults.next();
        for error in faults {
            tracing::warn!(%error, "something else that was left waits for the next sweep");
        }
        first.map_or(Ok(()), Err)
    }
}

#[async_trait]
impl SubmitLedger for PostgresLedger {
    async fn open_run(&self, run: NewRun) -> std::result::Result<OpenedRun, PortError> {
        if run.idempotency_key.is_none() {
            // One statement, which may be repeated with the same id.
            let opened = perform!(self, connection => runs::open_run(&mut connection, &run));
            return opened.map_err(Fault::in_words);
        }
        // The id tells whether it was this call's.
        let opened = transact_repeatably!(self, connection => runs::open_run(&mut connection, &run));
        opened.map_err(Fault::in_words)
    }

    async fn run_of_key(&self, tenant: &str, key: &str) -> std::result::Result<Option<RunId>, PortError> {
        let found = perform!(self, connection => runs::run_of_key(&mut connection, tenant, key, true));
        found.map_err(Fault::in_words)
    }

    async fn add_jobs(&self, run: RunId, jobs: Vec<NewJob>) -> std::result::Result<Added, PortError> {
        let added = self.add(run, &jobs).await.map_err(Fault::in_words)?;
        self.changes.raise(New::Jobs);
        Ok(added)
    }

    async fn still_reading(&self, run: RunId, if_left: IfLeft) -> std::result::Result<(), PortError> {
        let said = perform!(self, connection => unread::still_reading(&mut connection, run, if_left));
        said.map_err(Fault::in_words)
    }

    async fn seal_run(&self, run: RunId, seal: Seal) -> std::result::Result<(), PortError> {
        // A few at a time: whoever finishes a job of the run waits for its row meanwhile.
        for some in seal.occurrences.chunks(OCCURRENCES) {
            let set = transact_repeatably!(self, connection => {
                runs::set_occurrences(&mut connection, run, some)
            });
            set.map_err(Fault::in_words)?;
        }
        let sealed = transact_repeatably!(self, connection => {
            runs::seal_run(&mut connection, run, &seal.notes)
        });
        if sealed.map_err(Fault::in_words)? {
            self.changes.raise(New::End);
        }
        Ok(())
    }

    async fn submit_run(
        &self,
        run: NewRun,
        jobs: Vec<NewJob>,
        notes: Value,
    ) -> std::result::Result<OpenedRun, PortError> {
        let part = self.offers.take(if lone::is_small(&jobs) { &jobs } else { &[] });
        if part.is_empty() {
            return self.submit_by_offer(part, &run, &jobs, &notes).await.map_err(Fault::in_words);
        }
        // In a task, for whoever waits may go away, and what is handed out must reach its line.
        let ledger = self.clone();
        let submitting = async move { ledger.submit_by_offer(part, &run, &jobs, &notes).await };
        let broke_off =
            |error| PortError::Broken { port: "ledger", message: format!("a submission broke off: {error}") };
        tokio::spawn(submitting).await.map_err(broke_off)?.map_err(Fault::in_words)
    }
}

#[async_trait]
impl OfferLedger for PostgresLedger {
    fn offer(&self, offer: Option<Offer>) {
        self.offers.set(offer);
    }

    async fn offered(&self) -> Option<std::result::Result<Vec<Envelope>, PortError>> {
        self.offers.next().await
    }
}

#[async_trait]
impl DispatchLedger for PostgresLedger {
    async fn dispatch(&self, ask: DispatchAsk) -> std::result::Result<Vec<Envelope>, PortError> {
        if self.doubts.lock().unwrap_or_else(PoisonError::into_inner).remove(&ask.kind) {
            let message = "the answer of the last dispatch was lost in part".into();
            return Err(PortError::Unavailable { port: "ledger", message });
        }
        let taken = perform!(self, connection => dispatch::dispatch(&mut connection, &ask, &self.last_turns));
        let taken = taken.map_err(Fault::in_words)?;
        if taken.in_doubt {
            self.doubts.lock().unwrap_or_else(PoisonError::into_inner).insert(ask.kind);
        }
        self.tidy.handed_out(taken.envelopes.len());
        if !taken.expired.is_empty() {
            let expired = transact!(self, connection => expire::expire(&mut connection, &taken.expired));
            match expired {
                Ok(unshared) => {
                    self.share_later(unshared);
                    self.changes.raise(New::Moves);
                }
                // The next dispatch finds them again; the envelopes must reach their line.
                Err(fault) => tracing::warn!(error = %fault.in_words(), "expired jobs stay for now"),
            }
        }
        Ok(taken.envelopes)
    }

    async fn handed_out(&self, scope: Scope, kind: &str) -> std::result::Result<Vec<JobId>, PortError> {
        let jobs = perform!(self, connection => handed_out::handed_out(&mut connection, scope, kind));
        jobs.map_err(Fault::in_words)
    }

    async fn messages(&self, kind: &str, jobs: Vec<JobId>) -> std::result::Result<Vec<Envelope>, PortError> {
        let envelopes = perform!(self, connection => handed_out::messages(&mut connection, kind, &jobs));
        envelopes.map_err(Fault::in_words)
    }

    async fn next_due(&self, scope: Scope) -> std::result::Result<Option<Duration>, PortError> {
        let wait = perform!(self, connection => due::next_due(&mut connection, scope));
        let wait = wait.map_err(Fault::in_words)?;
        Ok(wait.map(|ms| Duration::from_millis(ms.max(0).cast_unsigned())))
    }

    async fn sweep(
        &self,
        scope: Scope,
        older_than: Duration,
        max_losses: u16,
    ) -> std::result::Result<Swept, PortError> {
        let age = to_ms(older_than);
        let swept = transact!(self, connection => sweep::sweep(&mut connection, scope, age, max_losses));
        let (swept, unshared) = swept.map_err(Fault::in_words)?;
        self.share_later(unshared);
        let others = if scope == Scope::All { self.go_on_with_all().await } else { Ok(()) };
        // What is committed is news, whatever became of the others.
        self.changes.raise(New::Moves);
        others?;
        Ok(swept)
    }

    async fn end_left(&self, silent_for: Duration) -> std::result::Result<u64, PortError> {
        self.end_all_left(silent_for).await
    }

    fn changes(&self) -> watch::Receiver<News> {
        self.changes.subscribe()
    }
}
