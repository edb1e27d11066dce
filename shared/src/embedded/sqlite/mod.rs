//! The ledger in one `SQLite` file: WAL, full sync, one writer that commits in groups.
//!
//! It survives `kill -9` and power cuts: what a call answered is in the file.

mod analysers;
mod backlog;
mod cancel;
mod codes;
mod connection;
mod counters;
mod detail;
mod dispatch;
mod due;
mod fair;
mod fault;
mod finish;
mod handed_out;
mod lanes;
mod numbers;
#[cfg(test)]
mod plans;
mod query;
mod redrive;
mod results;
mod runs;
mod submit;
mod sweep;
mod turns;
mod twins;
mod unread;
mod validity;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::Connection;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use crate::domain::{AnalyserRef, DedupKey, Envelope, IfLeft, JobId, NewJob, NewRun, PortError, RunId};
use crate::ports::{
    Added, Backlog, BacklogLedger, CancelJobs, CancelLedger, Cancelled, DeadJobs, DispatchAsk,
    DispatchLedger, Finish, FinishLedger, Finished, JobDetail, JobFilter, JobRow, JobStanding, New, News,
    OfferLedger, OpenedRun, Page, QueryLedger, RedriveLedger, RunRow, Scope, Seal, SubmitLedger, Swept,
    Validity,
};
use dispatch::{Dispatched, LastTurns};
use fault::Fault;
use writer::{Durability, Writer};

/// A ledger in a file.
#[derive(Clone)]
pub struct SqliteLedger {
    path: Arc<PathBuf>,
    /// `None`: opened for reading only.
    writer: Option<Writer>,
    /// `None`: closed.
    reader: Arc<Mutex<Option<Connection>>>,
    changes: watch::Receiver<News>,
    /// Where the last round of each kind ended, so that the next begins behind it.
    last_turns: Arc<Mutex<LastTurns>>,
}

impl SqliteLedger {
    /// Opens the file, and makes it if it is missing.
    pub fn open(path: &Path) -> Result<Self, PortError> {
        let connection = connection::open_writer(path)?;
        let (raise, changes) = watch::channel(News::default());
        let writer = Writer::start(connection, path.to_owned(), raise);
        Self::with(path, Some(writer), changes)
    }

    /// Opens an existing file to look at, also while another process writes it. Calls that
    /// write are errors.
    pub fn open_read_only(path: &Path) -> Result<Self, PortError> {
        Self::with(path, None, watch::channel(News::default()).1)
    }

    fn with(path: &Path, writer: Option<Writer>, changes: watch::Receiver<News>) -> Result<Self, PortError> {
        let reader = connection::open_reader(path)?;
        Ok(Self {
            path: Arc::new(path.to_owned()),
            writer,
            reader: Arc::new(Mutex::new(Some(reader))),
            changes,
            last_turns: Arc::default(),
        })
    }

    /// Carries out what was asked and closes the file, also for all clones of this. Then the file has
    /// everything; until then, what was written last is in the log beside it. Waits so long at most;
    /// says whether it is closed.
    pub fn close(&self, within: Duration) -> bool {
        // Only a connection that may write can bring the file up to date, so it is the last one.
        drop(self.reader.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.writer.as_ref().is_none_or(|writer| writer.close(within))
    }

    /// The kinds of a run's unfinished jobs, each with an analyser that some of them ask for.
    pub async fn analysers_of_run(&self, run: RunId) -> Result<Vec<(String, AnalyserRef)>, PortError> {
        self.read(move |connection| analysers::of_run(connection, run)).await
    }

    /// The same of the dead jobs that [`RedriveLedger::redrive`] would send again.
    pub async fn analysers_of_dead(
        &self,
        tenant: &str,
        which: DeadJobs,
    ) -> Result<Vec<(String, AnalyserRef)>, PortError> {
        let tenant = tenant.to_owned();
        self.read(move |connection| analysers::of_dead(connection, &which, &tenant)).await
    }

    /// Runs `work` in a transaction. `news_of` says whether what it did may have made jobs ready or
    /// finished a run.
    async fn write<T: Send + 'static, E: Into<Fault>>(
        &self,
        durability: Durability,
        news_of: fn(&T) -> Option<New>,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, PortError> {
        match &self.writer {
            Some(writer) => writer.write(durability, news_of, work).await,
            None => Err(PortError::Invalid { port: "ledger", message: "it is open for reading only".into() }),
        }
    }

    async fn read<T: Send + 'static, E: Into<Fault>>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, PortError> {
        let reader = Arc::clone(&self.reader);
        let path = Arc::clone(&self.path);
        let read = spawn_blocking(move || {
            let reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
            let closed = || PortError::Broken { port: "ledger", message: "it is closed".into() };
            work(reader.as_ref().ok_or_else(closed)?).map_err(|error| error.into().in_words(&path))
        });
        read.await.map_err(|error| PortError::Broken { port: "ledger", message: error.to_string() })?
    }
}

#[async_trait]
impl SubmitLedger for SqliteLedger {
    async fn open_run(&self, run: NewRun) -> Result<OpenedRun, PortError> {
        self.write(Durability::PowerCut, |_| None, move |connection| runs::open_run(connection, &run)).await
    }

    async fn run_of_key(&self, tenant: &str, key: &str) -> Result<Option<RunId>, PortError> {
        let (tenant, key) = (tenant.to_owned(), key.to_owned());
        self.read(move |connection| runs::run_of_key(connection, &tenant, &key, true)).await
    }

    async fn add_jobs(&self, run: RunId, jobs: Vec<NewJob>) -> Result<Added, PortError> {
        self.write(
            Durability::PowerCut,
            |_| Some(New::Jobs),
            move |connection| submit::add_jobs(connection, run, &jobs),
        )
        .await
    }

    async fn still_reading(&self, run: RunId, if_left: IfLeft) -> Result<(), PortError> {
        self.write(
            Durability::ProcessEnd,
            |()| None,
            move |connection| unread::still_reading(connection, run, if_left),
        )
        .await
    }

    async fn seal_run(&self, run: RunId, seal: Seal) -> Result<(), PortError> {
        self.write(
            Durability::PowerCut,
            |()| Some(New::Moves),
            move |connection| runs::seal_run(connection, run, &seal),
        )
        .await
    }

    async fn submit_run(&self, run: NewRun, jobs: Vec<NewJob>, notes: Value) -> Result<OpenedRun, PortError> {
        self.write(
            Durability::PowerCut,
            |opened: &OpenedRun| (!opened.resumed).then_some(New::Jobs),
            move |connection| submit::submit_run(connection, &run, &jobs, notes),
        )
        .await
    }
}

impl OfferLedger for SqliteLedger {}

#[async_trait]
impl DispatchLedger for SqliteLedger {
    async fn dispatch(&self, ask: DispatchAsk) -> Result<Vec<Envelope>, PortError> {
        let last_turns = Arc::clone(&self.last_turns);
        let made_news = |dispatched: &Dispatched| (dispatched.died > 0).then_some(New::Moves);
        let dispatched = self.write(Durability::ProcessEnd, made_news, move |connection| {
            let mut last_turns = last_turns.lock().unwrap_or_else(PoisonError::into_inner);
            dispatch::dispatch(connection, &ask, &mut last_turns)
        });
        Ok(dispatched.await?.envelopes)
    }

    async fn handed_out(&self, scope: Scope, kind: &str) -> Result<Vec<JobId>, PortError> {
        let kind = kind.to_owned();
        self.read(move |connection| handed_out::handed_out(connection, scope, &kind)).await
    }

    async fn messages(&self, _: &str, jobs: Vec<JobId>) -> Result<Vec<Envelope>, PortError> {
        self.read(move |connection| handed_out::messages(connection, &jobs)).await
    }

    async fn next_due(&self, scope: Scope) -> Result<Option<Duration>, PortError> {
        let wait = self.read(move |connection| due::next_due(connection, scope)).await?;
        Ok(wait.map(|ms| Duration::from_millis(ms.cast_unsigned())))
    }

    async fn sweep(&self, scope: Scope, older_than: Duration, max_losses: u16) -> Result<Swept, PortError> {
        let age = numbers::to_ms(older_than);
        self.write(
            Durability::PowerCut,
            |_| Some(New::Moves),
            move |connection| sweep::sweep(connection, scope, age, max_losses),
        )
        .await
    }

    async fn end_left(&self, silent_for: Duration) -> Result<u64, PortError> {
        self.write(
            Durability::PowerCut,
            |ended| (*ended > 0).then_some(New::Moves),
            move |connection| unread::end_left(connection, silent_for),
        )
        .await
    }

    fn changes(&self) -> watch::Receiver<News> {
        self.changes.clone()
    }
}

#[async_trait]
impl FinishLedger for SqliteLedger {
    async fn validity(
        &self,
        dispatches: Vec<(JobId, u64)>,
        renew_after: Duration,
    ) -> Result<Vec<Validity>, PortError> {
        let age = numbers::to_ms(renew_after);
        let dispatches: Arc<[_]> = dispatches.into();
        let asked = Arc::clone(&dispatches);
        let (answers, waited) =
            self.read(move |connection| validity::of_all(connection, &asked, age)).await?;
        if !waited {
            return Ok(answers);
        }
        self.write(
            Durability::ProcessEnd,
            |_| None,
            move |connection| validity::begin_anew(connection, &dispatches, age),
        )
        .await
    }

    async fn args(&self, job: JobId) -> Result<Option<Box<RawValue>>, PortError> {
        self.read(move |connection| detail::args(connection, job)).await
    }

    async fn finish(&self, finishes: Vec<Finish>) -> Result<Vec<Finished>, PortError> {
        self.write(
            Durability::PowerCut,
            |_| Some(New::Moves),
            move |connection| finish::finish_all(connection, &finishes),
        )
        .await
    }
}

#[async_trait]
impl QueryLedger for SqliteLedger {
    async fn runs(&self, tenant: Option<&str>, page: Page) -> Result<Vec<RunRow>, PortError> {
        let tenant = tenant.map(ToOwned::to_owned);
        self.read(move |connection| query::runs(connection, tenant.as_deref(), page)).await
    }

    async fn run(&self, id: RunId) -> Result<Option<RunRow>, PortError> {
        self.read(move |connection| query::run(connection, id)).await
    }

    async fn jobs(&self, filter: JobFilter, page: Page) -> Result<Vec<JobRow>, PortError> {
        self.read(move |connection| query::jobs(connection, &filter, page)).await
    }

    async fn job_detail(&self, job: JobId) -> Result<Option<JobDetail>, PortError> {
        self.read(move |connection| detail::job_detail(connection, job)).await
    }

    async fn have_results(
        &self,
        tenant: &str,
        kind: &str,
        keys: Vec<DedupKey>,
    ) -> Result<Vec<bool>, PortError> {
        let (tenant, kind) = (tenant.to_owned(), kind.to_owned());
        self.read(move |connection| detail::have_results(connection, &tenant, &kind, &keys)).await
    }
}

#[async_trait]
impl BacklogLedger for SqliteLedger {
    async fn backlog(&self) -> Result<Vec<Backlog>, PortError> {
        self.read(backlog::backlog).await
    }

    async fn standing(&self, job: JobId) -> Result<Option<JobStanding>, PortError> {
        self.read(move |connection| backlog::standing(connection, job)).await
    }
}

#[async_trait]
impl RedriveLedger for SqliteLedger {
    async fn redrive(&self, which: DeadJobs, into: NewRun) -> Result<u64, PortError> {
        self.write(
            Durability::PowerCut,
            |_| Some(New::Moves),
            move |connection| redrive::redrive(connection, &which, &into),
        )
        .await
    }
}

#[async_trait]
impl CancelLedger for SqliteLedger {
    async fn cancel(&self, tenant: &str, which: CancelJobs) -> Result<Cancelled, PortError> {
        let tenant = tenant.to_owned();
        self.write(
            Durability::PowerCut,
            |_| Some(New::Moves),
            move |connection| cancel::cancel(connection, &tenant, which),
        )
        .await
    }
}
