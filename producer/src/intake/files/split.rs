//! Which splitter reads a file, with which options.

use std::fmt;
use std::io::{BufReader, Read};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use fleetline_shared::domain::NewJob;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::spool::{FromStart, Input};
use super::{FileRequest, Splitting};
use crate::discovery::DiscoveryOptions;
use crate::logs::LogOptions;
use crate::pipelines::{JobTemplate, split_logs, split_xml};

/// The pipelines that read files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilePipeline {
    /// XML documents.
    Discovery,
    /// Logs.
    Logs,
}

impl FilePipeline {
    /// The name in the ledger and in requests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Discovery => "discovery",
            Self::Logs => "logs",
        }
    }
}

impl fmt::Display for FilePipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for FilePipeline {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = [Self::Discovery, Self::Logs].into_iter().find(|pipeline| pipeline.as_str() == text);
        known.ok_or_else(|| format!("there is no pipeline `{text}` for files; there are discovery, logs"))
    }
}

/// The settings of every run that is made of a file.
#[derive(Clone, Debug)]
pub struct Pipelines {
    /// What all jobs of a document have in common.
    pub discovery: JobTemplate,
    /// How documents are split.
    pub discovery_options: DiscoveryOptions,
    /// What all jobs of a log have in common.
    pub logs: JobTemplate,
    /// How logs are read.
    pub log_options: LogOptions,
    /// Folder for inputs that must be kept while they are read; it needs room for the largest
    /// inputs that are read at the same time.
    pub spool: PathBuf,
}

impl Pipelines {
    pub(super) fn settings(&self, pipeline: FilePipeline) -> Value {
        let (template, options) = match pipeline {
            FilePipeline::Discovery => (&self.discovery, json!(self.discovery_options)),
            FilePipeline::Logs => (&self.logs, json!(self.log_options)),
        };
        json!({ "pipeline": pipeline.as_str(), "analyser": template.analyser, "options": options })
    }
}

/// What a splitter tells at the end of the input.
pub(super) struct SplitEnd {
    /// Final occurrences of jobs, by number in the run.
    pub(super) occurrences: Vec<(u64, u64)>,
    /// What was read.
    pub(super) notes: Value,
    /// Why the input was not read to its end, if what came before is kept.
    pub(super) problem: Option<String>,
}

/// Splits on a thread of its own until the input ends or nobody takes jobs any more.
pub(super) fn start_splitting(
    pipelines: Arc<Pipelines>,
    request: &FileRequest,
    input: Input,
    jobs: mpsc::Sender<NewJob>,
) -> Splitting {
    let (pipeline, name) = (request.pipeline, request.input.clone());
    spawn_blocking(move || {
        let mut sink = |job| match jobs.blocking_send(job) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        };
        match pipeline {
            FilePipeline::Discovery => document(&pipelines, &name, &input, &mut sink),
            FilePipeline::Logs => log(&pipelines, &name, input, &mut sink),
        }
    })
}

type Sink<'a> = &'a mut dyn FnMut(NewJob) -> ControlFlow<()>;

fn document(pipelines: &Pipelines, name: &str, input: &Input, sink: Sink<'_>) -> Result<SplitEnd, String> {
    let open = || match input {
        Input::Spooled { file, .. } => Ok(Box::new(FromStart::of(file)?) as Box<dyn Read>),
        Input::Stream(_) => Err(std::io::Error::other("a document is read twice, so it must be spooled")),
    };
    let report = split_xml(open, name, &pipelines.discovery_options, &pipelines.discovery, sink);
    let mut report = report.map_err(|error| error.to_string())?;
    let problem = report.error.clone();
    report.tree = crate::discovery::SplitTree::default();
    Ok(SplitEnd { occurrences: Vec::new(), notes: json!(report), problem })
}

fn log(pipelines: &Pipelines, name: &str, input: Input, sink: Sink<'_>) -> Result<SplitEnd, String> {
    let reader: Box<dyn Read> = match input {
        Input::Stream(stream) => stream,
        Input::Spooled { file, .. } => {
            Box::new(BufReader::new(FromStart::of(&file).map_err(|error| error.to_string())?))
        }
    };
    let report = split_logs(reader, name, &pipelines.log_options, &pipelines.logs, sink);
    let mut report = report.map_err(|error| error.to_string())?;
    let occurrences = std::mem::take(&mut report.occurrences);
    Ok(SplitEnd { occurrences, notes: json!(report), problem: None })
}
