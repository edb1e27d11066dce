//! Whole files on their way through a pipeline into the ledger, with memory that does not grow
//! with the file.

mod feed;
mod split;
mod spool;

use std::io::Read;
use std::sync::Arc;

use fleetline_shared::domain::{NewJob, NewRun, PortError, RunId, RunState};
use fleetline_shared::ports::{CancelJobs, Ledger, OpenedRun, RunRow, Seal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::jobs::{CONTENT, Rejected, same_content};
use crate::submit::submit;

pub use feed::{FeedReader, FeedSender, feed};
pub use split::{FilePipeline, Pipelines};
use split::{SplitEnd, start_splitting};
use spool::{Input, spool};

/// Jobs between splitter and ledger at most: bounds the memory.
const CHANNEL: usize = 256;

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
    /// The run that has been cancelled for it, if some jobs were in the ledger already.
    pub cancelled: Option<RunId>,
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
}

impl From<FileFault> for FileRejected {
    fn from(fault: FileFault) -> Self {
        Self { fault, cancelled: None }
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
/// out to be unreadable later has its run cancelled. A document is read twice, and with an
/// idempotency key the content must be known before the run: those are kept in a temporary file.
/// Everything else goes straight through.
pub async fn submit_file(
    ledger: Arc<dyn Ledger>,
    pipelines: Arc<Pipelines>,
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
    Submission { ledger: &*ledger, new_run }.run(inbox, splitting).await
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
struct Submission<'a> {
    ledger: &'a dyn Ledger,
    new_run: NewRun,
}

impl Submission<'_> {
    async fn run(
        self,
        mut inbox: mpsc::Receiver<NewJob>,
        splitting: Splitting,
    ) -> Result<FileAccepted, FileRejected> {
        let Some(first) = inbox.recv().await else {
            // Nothing to analyse, but maybe well read: a log without errors is no error.
            let end = ended(splitting).await.map_err(FileFault::Unreadable)?;
            let opened = self.open().await?;
            return Ok(self.seal(opened, end).await?);
        };
        let opened = self.open().await?;
        if opened.resumed && self.row(opened.id).await?.state != RunState::Open {
            // All of it is in the ledger. Nobody reads the splitter's jobs any more, so it stops.
            drop(inbox);
            let _ = splitting.await;
            return Ok(FileAccepted { run: self.row(opened.id).await?, repeated: true, problem: None });
        }
        match self.add_all(opened, first, inbox, splitting).await {
            Ok(end) => Ok(self.seal(opened, end).await?),
            Err(fault) => Err(self.give_up(opened, fault).await),
        }
    }

    async fn open(&self) -> Result<OpenedRun, FileFault> {
        let opened = self.ledger.open_run(self.new_run.clone()).await?;
        if opened.resumed {
            let content = self.new_run.settings[CONTENT].as_str().unwrap_or_default();
            same_content(self.ledger, opened.id, &self.new_run.pipeline, content).await?;
        }
        Ok(opened)
    }

    async fn add_all(
        &self,
        opened: OpenedRun,
        first: NewJob,
        inbox: mpsc::Receiver<NewJob>,
        splitting: Splitting,
    ) -> Result<SplitEnd, FileFault> {
        let added = submit(self.ledger, opened.id, first, inbox).await;
        let split = ended(splitting).await;
        match added {
            Ok(_) => split.map_err(FileFault::Unreadable),
            Err(PortError::Invalid { .. }) => {
                Err(FileFault::Conflict(format!("run {} was cancelled while its input was read", opened.id)))
            }
            Err(error) => Err(FileFault::Ledger(error)),
        }
    }

    async fn seal(&self, opened: OpenedRun, end: SplitEnd) -> Result<FileAccepted, FileFault> {
        let seal = Seal { occurrences: end.occurrences, notes: end.notes };
        self.ledger.seal_run(opened.id, seal).await?;
        let run = self.row(opened.id).await?;
        Ok(FileAccepted { run, repeated: opened.resumed, problem: end.problem })
    }

    /// What is in the ledger of a file that is not accepted is not wanted. A request that may be
    /// repeated finds its run as it is when the ledger is back.
    async fn give_up(&self, opened: OpenedRun, fault: FileFault) -> FileRejected {
        if matches!(fault, FileFault::Ledger(_)) && self.new_run.once {
            return fault.into();
        }
        let cancelled = self.ledger.cancel(&self.new_run.tenant, CancelJobs::Run(opened.id)).await;
        if let Err(error) = &cancelled {
            tracing::warn!(run = %opened.id, %error, "the run of a refused file could not be cancelled");
        }
        FileRejected { fault, cancelled: cancelled.ok().map(|_| opened.id) }
    }

    async fn row(&self, id: RunId) -> Result<RunRow, FileFault> {
        let gone = || PortError::Broken { port: "ledger", message: format!("run {id} is gone") };
        Ok(self.ledger.run(id).await?.ok_or_else(gone)?)
    }
}

async fn ended(splitting: Splitting) -> Result<SplitEnd, String> {
    splitting.await.unwrap_or_else(|error| {
        tracing::error!(%error, "the splitter stopped");
        Err("the splitter failed on this input; this is a bug, please report it".to_owned())
    })
}
