//! Jobs as rows for programs: results completed with what depends on their place in the input.

use std::io::{self, Write};

use fleetline_shared::domain::{DedupKey, JobId, JobState, Registry, RunId, Source, Usage};
use fleetline_shared::ports::{JobFilter, JobRow, QueryLedger};
use serde::Serialize;
use serde_json::{Value, json};

use crate::exit::CliError;
use crate::lookup::each_job;

/// One line of `--out` and of `fleetline results`.
#[derive(Debug, Serialize)]
pub struct ResultRow {
    /// The job.
    pub job_id: JobId,
    /// Its run.
    pub run_id: RunId,
    /// Name of its kind.
    pub kind: String,
    /// Jobs with the same key share one result.
    pub dedup_key: DedupKey,
    /// How far it is.
    pub state: JobState,
    /// Events of the input it stands for.
    pub occurrences: u64,
    /// Whether another job paid for the result.
    pub reused: bool,
    /// Who made the result.
    pub analyser: Option<String>,
    /// With which model.
    pub model: Option<String>,
    /// Where in the input it came from.
    pub source: Source,
    /// The result, its facts included.
    pub output: Option<Value>,
    /// What the job's own attempts used.
    pub usage: Usage,
    /// Why it is dead, or why its last attempt failed.
    pub error: Option<String>,
}

/// The facts of a job, at their place in the input.
pub fn facts_of(registry: &Registry, job: &JobRow) -> Vec<Value> {
    let mut facts = job.facts.clone();
    if let Some(kind) = registry.get(&job.kind) {
        for fact in &mut facts {
            kind.locate(fact, &job.source);
        }
    }
    facts
}

/// The row of a job.
pub fn result_row(registry: &Registry, job: JobRow) -> ResultRow {
    let facts = facts_of(registry, &job);
    let mut output = job.output;
    if let Some(output) = &mut output {
        if let Some(kind) = registry.get(&job.kind) {
            kind.locate(output, &job.source);
        }
        if let Value::Object(fields) = output
            && !facts.is_empty()
        {
            fields.insert("facts".into(), json!(facts));
        }
    }
    ResultRow {
        job_id: job.job_id,
        run_id: job.run_id,
        kind: job.kind,
        dedup_key: job.dedup_key,
        state: job.state,
        occurrences: job.occurrences,
        reused: job.reused,
        analyser: job.analyser,
        model: job.model,
        source: job.source,
        output,
        usage: job.usage,
        error: job.error,
    }
}

/// Writes a run's rows as JSON lines, in the order of their submission. Returns how many.
pub async fn write_results(
    ledger: &dyn QueryLedger,
    registry: &Registry,
    run: RunId,
    out: &mut (impl Write + Send),
) -> Result<u64, CliError> {
    let filter = JobFilter { run: Some(run), with_results: true, ..JobFilter::default() };
    let mut rows = 0;
    each_job(ledger, filter, |job| {
        rows += 1;
        write_line(out, &result_row(registry, job))
    })
    .await?;
    out.flush().map_err(|error| closed(&error))?;
    Ok(rows)
}

/// Writes one JSON line.
pub fn write_line(out: &mut impl Write, row: &impl Serialize) -> Result<(), CliError> {
    let line = serde_json::to_string(row).map_err(|error| CliError::Failure(error.to_string()))?;
    writeln!(out, "{line}").map_err(|error| closed(&error))
}

/// Prints text to standard output. Unlike `println!` it does not panic when nobody reads it.
pub fn write_text(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| closed(&error))
}

/// Prints a line to standard error. Unlike `eprintln!` it does not panic when nobody reads it.
pub fn tell(text: &str) {
    // There is nowhere left to report the failure to.
    let _ = writeln!(io::stderr(), "{text}");
}

/// What a failed write means.
pub fn closed(error: &io::Error) -> CliError {
    match error.kind() {
        io::ErrorKind::BrokenPipe => CliError::Closed,
        _ => CliError::Failure(format!("the output could not be written: {error}")),
    }
}
