//! Whole files on their way through a pipeline into the ledger, with memory that does not grow
//! with the file.

mod feed;
mod split;
mod spool;
mod submissions;

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::domain::{IfLeft, NewJob, NewRun, PortError, RunId, RunState};
use fleetline_shared::ports::{CancelJobs, Cancelled, Ledger, OpenedRun, RunRow, Seal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::jobs::{CONTENT, Rejected, same_content};
use crate::submit::{submit, while_reading};

pub use feed::{FeedReader, FeedSender, feed};
pub use split::{FilePipeline, Pipelines};
use split::{SplitEnd, start_splitting};
pub use spool::FromStart;
use spool::{Input, spool};
pub use submissions::Submissions;

/// Jobs between splitter and ledger at most: bounds the memory.
const CHANNEL: usize = 256;
/// Until the next try to cancel the run of a refused file.
const PAUSE: Duration = Duration::from_secs(2);

/// A file to be submitted.
#[derive(Clone, Debug)]
pub struct FileRequest {
    /// Whose run it will be.
    pub tenant: String,
    /// How it becomes jobs.
    pub pipeline: FilePipeline,
    /// Its name, for people.
    pub input: String,
    /// The same key and content again are the same run, also after its end.
    pub idempotency_key: Option<String>,
}

/// A file that was accepted: all its jobs are in the ledger.
#[derive(Debug)]
pub struct FileAccepted {
    /// The run.
    pub run: RunRow,
    /// Whether an earlier request with the same idempotency key made it.
    pub repeated: bool,
    /// Why the file was not read to its end, if what came before is kept.
    pub problem: Option<String>,
}

/// A file that was not accepted.
#[derive(Debug)]
pub struct FileRejected {
    /// Why.
    pub fault: FileFault,
    /// What is in the ledger of it.
    pub left: Left,
}

/// What a file that was not accepted has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Nothing, or what the same request will find.
    Nothing,
    /// Some jobs, in a run that has been cancelled.
    Cancelled(RunId),
    /// A run that will be cancelled when the ledger is back.
    Open(RunId),
}

/// Why a file was not accepted.
#[derive(Debug)]
pub enum FileFault {
    /// It broke off, or is not what the pipeline reads: what, and where.
    Unreadable(String),
    /// The idempotency key stands for something else, or the run was cancelled meanwhile.
    Conflict(String),
    /// The file could not be kept while it is read: the disk.
    Spool(std::io::Error),
    /// The ledger could not do it.
    Ledger(PortError),
    /// The server ended before the file did.
    Stopped,
}

impl From<FileFault> for FileRejected {
    fn from(fault: FileFault) -> Self {
        Self { fault, left: Left::Nothing }
    }
}

impl From<PortError> for FileFault {
    fn from(error: PortError) -> Self {
        Self::Ledger(error)
    }
}

impl From<Rejected> for FileFault {
    fn from(rejected: Rejected) -> Self {
        match rejected {
            Rejected::Ledger(error) => Self::Ledger(error),
            Rejected::Conflict(what) => Self::Conflict(what),
            Rejected::Invalid(problems) => Self::Unreadable(
                problems.into_iter().map(|problem| problem.detail).collect::<Vec<_>>().join("; "),
            ),
        }
    }
}

/// Splits the file and accepts its jobs, until all of it is in the ledger.
///
/// The run is opened with the first job: a file that cannot be read leaves no trace. One that turns
/// out to be unreadable later, or is not whole when submissions are stopped, has its run cancelled.
/// A document is read twice, and with an idempotency key the content must be known before the run:
/// those are kept in a temporary file. Everything else goes straight through.
pub async fn submit_file(
    ledger: Arc<dyn Ledger>,
    pipelines: Arc<Pipelines>,
    submissions: Submissions,
    request: FileRequest,
    body: impl Read + Send + 'static,
) -> Result<FileAccepted, FileRejected> {
    let input = if request.pipeline == FilePipeline::Discovery || request.idempotency_key.is_some() {
        spool(body, pipelines.spool.clone()).await?
    } else {
        Input::Stream(Box::new(body))
    };
    let new_run = new_run(&pipelines, &request, input.content());
    let (jobs, inbox) = mpsc::channel(CHANNEL);
    let splitting = start_splitting(pipelines, &request, input, jobs);
    Submission { ledger, submissions, new_run }.run(inbox, splitting).await
}

fn new_run(pipelines: &Pipelines, request: &FileRequest, content: Option<&str>) -> NewRun {
    let mut settings = pipelines.settings(request.pipeline);
    settings[CONTENT] = content.into();
    NewRun {
        id: RunId::new(),
        tenant: request.tenant.clone(),
        pipeline: request.pipeline.as_str().to_owned(),
        input: request.input.clone(),
        once: request.idempotency_key.is_some(),
        idempotency_key: request.idempotency_key.clone(),
        settings,
    }
}

type Splitting = JoinHandle<Result<SplitEnd, String>>;

/// The way from the splitter into the ledger.
struct Submission {
    ledger: Arc<dyn Ledger>,
    submissions: Submissions,
    new_run: NewRun,
}

impl Submission {
    async fn run(
        self,
        mut inbox: mpsc::Receiver<NewJob>,
        splitting: Splitting,
    ) -> Result<FileAccepted, FileRejected> {
        let Some(first) = self.unless_stopped(inbox.recv()).await? else {
            // Nothing to analyse, but maybe well read: a log without errors is no error.
            let end = ended(splitting).await.map_err(FileFault::Unreadable)?;
            let opened = self.open().await?;
            return match self.seal(opened, end).await {
                Ok(accepted) => Ok(accepted),
                Err(fault) => Err(self.give_up(opened, fault).await),
            };
        };
        let opened = self.open().await?;
        if opened.resumed {
            let run = self.row(opened.id).await?;
            if run.state != RunState::Open {
                // Nobody reads the splitter's jobs any more, so it stops.
                drop(inbox);
                let _ = splitting.await;
                return Ok(as_before(run)?);
            }
            self.same_split(&run)?;
        }
        let filling = async {
            let end = self.add_all(opened, first, inbox, splitting).await?;
            self.seal(opened, end).await
        };
        match while_reading(&*self.ledger, opened.id, IfLeft::Cancelled, filling).await {
            Ok(accepted) => Ok(accepted),
            Err(fault) => Err(self.give_up(opened, fault).await),
        }
    }

    async fn open(&self) -> Result<OpenedRun, FileFault> {
        let opened = self.ledger.open_run(self.new_run.clone()).await?;
        if opened.resumed {
            let content = self.new_run.settings[CONTENT].as_str().unwrap_or_default();
            same_content(&*self.ledger, opened.id, &self.new_run.pipeline, content).await?;
        }
        Ok(opened)
    }

    /// Pieces have numbers, and those that are there already are passed over: of another split they would be
    /// other pieces.
    fn same_split(&self, run: &RunRow) -> Result<(), FileFault> {
        if run.settings == self.new_run.settings {
            return Ok(());
        }
        Err(FileFault::Conflict(format!(
            "run {} was begun with other settings, under which the file has other pieces: cancel it, and use a new \
             idempotency key",
            run.id
        )))
    }

    async fn add_all(
        &self,
        opened: OpenedRun,
        first: NewJob,
        inbox: mpsc::Receiver<NewJob>,
        splitting: Splitting,
    ) -> Result<SplitEnd, FileFault> {
        let added = self.unless_stopped(submit(&*self.ledger, opened.id, first, inbox)).await?;
        let split = ended(splitting).await;
        match added {
            Ok(_) => split.map_err(FileFault::Unreadable),
            Err(PortError::Invalid { .. }) => Err(cancelled_meanwhile(opened.id)),
            Err(error) => Err(FileFault::Ledger(error)),
        }
    }

    async fn unless_stopped<T>(&self, part: impl Future<Output = T>) -> Result<T, FileFault> {
        self.submissions.unless_stopped(part).await.ok_or(FileFault::Stopped)
    }

    async fn seal(&self, opened: OpenedRun, end: SplitEnd) -> Result<FileAccepted, FileFault> {
        let seal = Seal { occurrences: end.occurrences, notes: end.notes };
        self.ledger.seal_run(opened.id, seal).await?;
        let run = self.row(opened.id).await?;
        if run.cancelled_at_ms.is_some() {
            return Err(cancelled_meanwhile(run.id));
        }
        Ok(FileAccepted { run, repeated: opened.resumed, problem: end.problem })
    }

    /// What is in the ledger of a file that is not accepted is not wanted. A request that may be
    /// repeated finds its run as it is when the ledger is back, or at another server.
    async fn give_up(self, opened: OpenedRun, fault: FileFault) -> FileRejected {
        if matches!(fault, FileFault::Ledger(_) | FileFault::Stopped) && self.new_run.once {
            return fault.into();
        }
        let run = opened.id;
        let left = match self.cancel(run).await {
            Ok(_) => Left::Cancelled(run),
            Err(error) => {
                tracing::warn!(%run, %error, "the run of a refused file is not cancelled yet");
                self.cancel_later(run);
                Left::Open(run)
            }
        };
        FileRejected { fault, left }
    }

    /// Until it succeeds or the process ends.
    fn cancel_later(self, run: RunId) {
        let submissions = self.submissions.clone();
        submissions.spawn(async move {
            loop {
                sleep(PAUSE).await;
                match self.cancel(run).await {
                    Ok(_) => return tracing::info!(%run, "the run of a refused file is cancelled"),
                    Err(error @ PortError::Invalid { .. }) => {
                        return tracing::error!(%run, %error, "it stays open");
                    }
                    Err(_) => {}
                }
            }
        });
    }

    async fn cancel(&self, run: RunId) -> Result<Cancelled, PortError> {
        self.ledger.cancel(&self.new_run.tenant, CancelJobs::Run(run)).await
    }

    async fn row(&self, id: RunId) -> Result<RunRow, FileFault> {
        let gone = || PortError::Broken { port: "ledger", message: format!("run {id} is gone") };
        Ok(self.ledger.run(id).await?.ok_or_else(gone)?)
    }
}

/// By somebody, or since nothing was heard of this process for too long.
fn cancelled_meanwhile(run: RunId) -> FileFault {
    FileFault::Conflict(format!("run {run} was cancelled while its input was read"))
}

/// What the first request with this key was told, or would have been.
fn as_before(run: RunRow) -> Result<FileAccepted, FileFault> {
    // Whoever reads a file to its end leaves notes.
    if run.notes.is_null() {
        return Err(FileFault::Conflict(format!(
            "the idempotency key stands for run {}, which was cancelled or closed before all of the file was in it: \
             use a new key",
            run.id
        )));
    }
    let problem = run.notes["error"].as_str().map(ToOwned::to_owned);
    Ok(FileAccepted { run, repeated: true, problem })
}

async fn ended(splitting: Splitting) -> Result<SplitEnd, String> {
    splitting.await.unwrap_or_else(|error| {
        tracing::error!(%error, "the splitter stopped");
        Err("the splitter failed on this input; this is a bug, please report it".to_owned())
    })
}
