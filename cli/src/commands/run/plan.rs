//! What a `run` is going to do: input, pipeline, analyser, and the key that says "the same again".

use std::io::Read;
use std::ops::ControlFlow;
use std::path::Path;

use fleetline_producer::discovery::{DiscoveryOptions, SplitTree};
use fleetline_producer::logs::LogOptions;
use fleetline_producer::pipelines::{JobTemplate, split_logs, split_xml};
use fleetline_shared::domain::{NewJob, NewRun, RunId};
use serde_json::{Value, json};

use crate::app::App;
use crate::args::Pipeline;
use crate::exit::CliError;
use crate::input::Input;

/// A run that can be started.
pub struct Plan {
    /// The input.
    pub input: Input,
    /// How it becomes jobs.
    pub pipeline: Pipeline,
    /// What all its jobs have in common.
    pub template: JobTemplate,
    discovery: DiscoveryOptions,
    logs: LogOptions,
}

/// What a splitter tells at the end of the input.
#[derive(Debug, Default)]
pub struct SplitEnd {
    /// Final occurrences of jobs, by number in the run.
    pub occurrences: Vec<(u64, u64)>,
    /// What was read, for people and programs.
    pub notes: Value,
    /// Why the input was not read to its end, if what came before is kept.
    pub problem: Option<String>,
    /// The split of an XML document as a tree.
    pub tree: Option<SplitTree>,
}

impl Plan {
    /// Opens the input and settles what is left to be guessed.
    pub fn new(app: &App, file: &Path, pipeline: Option<Pipeline>) -> Result<Self, CliError> {
        let mut input = Input::open(file)?;
        let pipeline = pipeline.unwrap_or_else(|| input.guess());
        if pipeline == Pipeline::Discovery {
            // A document is read twice: once for its statistics, once for its nodes.
            input.spool()?;
        }
        Ok(Self {
            input,
            pipeline,
            template: app.job_template(pipeline)?,
            discovery: app.discovery_options()?,
            logs: app.log_options(),
        })
    }

    /// The run to open. The same content with the same settings has the same key, so that an
    /// interrupted run goes on; standard input of the `logs` pipeline has none.
    pub fn new_run(&self, tenant: &str) -> Result<NewRun, CliError> {
        let settings = self.settings();
        let key = self
            .input
            .content_hash()?
            .map(|hash| blake3::hash(format!("{hash} {settings}").as_bytes()).to_hex().to_string());
        Ok(NewRun {
            id: RunId::new(),
            tenant: tenant.into(),
            pipeline: self.pipeline.as_str().into(),
            input: self.input.name.clone(),
            idempotency_key: key,
            once: false,
            settings,
        })
    }

    fn settings(&self) -> Value {
        let options = match self.pipeline {
            Pipeline::Discovery => json!(self.discovery),
            Pipeline::Logs => json!(self.logs),
        };
        json!({ "pipeline": self.pipeline.as_str(), "analyser": self.template.analyser, "options": options })
    }

    /// Reads the input and hands each job to `sink`, in the order of the input. Blocks.
    pub fn split(&self, sink: &mut dyn FnMut(NewJob) -> ControlFlow<()>) -> Result<SplitEnd, CliError> {
        match self.pipeline {
            Pipeline::Discovery => self.split_document(sink),
            Pipeline::Logs => self.split_log(sink),
        }
    }

    fn split_document(&self, sink: &mut dyn FnMut(NewJob) -> ControlFlow<()>) -> Result<SplitEnd, CliError> {
        let open = || Ok(self.input.reader()? as Box<dyn Read>);
        let mut report = split_xml(open, &self.input.name, &self.discovery, &self.template, sink)
            .map_err(|error| self.unreadable(&error))?;
        let tree = std::mem::take(&mut report.tree);
        let problem = report.error.as_ref().map(|error| format!("{}: {error}", self.input.name));
        Ok(SplitEnd { occurrences: Vec::new(), notes: json!(report), problem, tree: Some(tree) })
    }

    fn split_log(&self, sink: &mut dyn FnMut(NewJob) -> ControlFlow<()>) -> Result<SplitEnd, CliError> {
        let reader = self.input.reader().map_err(|error| self.unreadable(&error))?;
        let mut report = split_logs(reader, &self.input.name, &self.logs, &self.template, sink)
            .map_err(|error| self.unreadable(&error))?;
        let occurrences = std::mem::take(&mut report.occurrences);
        Ok(SplitEnd { occurrences, notes: json!(report), problem: None, tree: None })
    }

    fn unreadable(&self, error: &dyn std::fmt::Display) -> CliError {
        CliError::Failure(format!("{}: {error}", self.input.name))
    }
}
