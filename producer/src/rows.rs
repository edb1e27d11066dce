//! Jobs as rows for programs: results completed with what depends on their place in the input. The
//! command line and the HTTP intake show the same rows.

use std::collections::BTreeMap;

use fleetline_shared::domain::{DedupKey, JobId, JobState, Registry, RunId, Source, Usage};
use fleetline_shared::ports::JobRow;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use utoipa::ToSchema;

/// A job with its result.
#[derive(Debug, Serialize, ToSchema)]
pub struct ResultRow {
    /// The job.
    #[schema(value_type = String, format = Uuid)]
    pub job_id: JobId,
    /// Its run.
    #[schema(value_type = String, format = Uuid)]
    pub run_id: RunId,
    /// Name of its kind.
    pub kind: String,
    /// Jobs with the same key share one result.
    #[schema(value_type = String)]
    pub dedup_key: DedupKey,
    /// How far it is.
    #[schema(value_type = String, example = "succeeded")]
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
    #[schema(value_type = Object, example = json!({ "input": "order.xml", "path": "/Order/Item[3]", "ordinal": 4 }))]
    pub source: Source,
    /// The result, its facts included: whatever JSON its kind gives; null without one.
    #[schema(value_type = Value)]
    pub output: Option<Box<RawValue>>,
    /// What the job's own attempts used.
    #[schema(value_type = Object, example = json!({ "calls": 1, "input_tokens": 812, "output_tokens": 164 }))]
    pub usage: Usage,
    /// Why it is dead, or why its last attempt failed.
    pub error: Option<String>,
}

/// The facts of a job, at their place in the input.
pub fn facts_of(registry: &Registry, job: &mut JobRow) -> Vec<Value> {
    let mut facts = std::mem::take(&mut job.facts);
    if let Some(kind) = registry.get(&job.kind) {
        for fact in &mut facts {
            kind.locate(fact, &job.source);
        }
    }
    facts
}

/// The row of a job.
pub fn result_row(registry: &Registry, mut job: JobRow) -> ResultRow {
    let output = completed(registry, &mut job).or(job.output).map(on_one_line);
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

/// Rows come as lines, and what an API answered may have several. A JSON string has no bare line break, so it says
/// the same.
fn on_one_line(output: Box<RawValue>) -> Box<RawValue> {
    if !output.get().contains(['\n', '\r']) {
        return output;
    }
    RawValue::from_string(output.get().replace(['\n', '\r'], " ")).expect("white space is left as such")
}

/// The output with what depends on the job's place. `None`: it stays as its kind wrote it, to the last digit.
fn completed(registry: &Registry, job: &mut JobRow) -> Option<Box<RawValue>> {
    let mut output = job.output_value()?;
    let mut is_other = registry.get(&job.kind).is_some_and(|kind| kind.locate(&mut output, &job.source));
    let facts = facts_of(registry, job);
    if let Value::Object(fields) = &mut output
        && !facts.is_empty()
    {
        fields.insert("facts".into(), Value::Array(facts));
        is_other = true;
    }
    is_other.then(|| raw(&output))
}

/// A job's facts as rows; a result without facts is one itself, to the last digit, under `value` if it is no object.
pub fn fact_rows(registry: &Registry, mut job: JobRow) -> Vec<Box<RawValue>> {
    let facts = facts_of(registry, &mut job);
    if !facts.is_empty() {
        return facts.iter().map(raw).collect();
    }
    let Some(output) = job.output else { return Vec::new() };
    let mut fields = serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(output.get())
        .unwrap_or_else(|_| BTreeMap::from([("value".to_owned(), output)]));
    fields.insert("place".into(), raw(&place(&job.source)));
    fields.insert("occurrences".into(), raw(&job.occurrences));
    vec![on_one_line(raw(&fields))]
}

fn raw(value: &impl Serialize) -> Box<RawValue> {
    to_raw_value(value).expect("it is plain JSON")
}

/// The class of a fact: its element's name, or its error type.
pub fn type_of(fact: &RawValue) -> String {
    #[derive(Default, Deserialize)]
    struct Classes<'a> {
        #[serde(borrow)]
        node_type: Option<&'a RawValue>,
        #[serde(borrow)]
        error_type: Option<&'a RawValue>,
    }
    let Classes { node_type, error_type } = serde_json::from_str(fact.get()).unwrap_or_default();
    let text = |class: &RawValue| serde_json::from_str(class.get()).ok();
    node_type.and_then(text).or_else(|| error_type.and_then(text)).unwrap_or_default()
}

/// Where in its input a job came from, in few words.
pub fn place(source: &Source) -> String {
    match source {
        Source::Node { path, .. } => path.clone(),
        Source::Lines { first_line, last_line, .. } if first_line == last_line => {
            format!("line {first_line}")
        }
        Source::Lines { first_line, last_line, .. } => format!("lines {first_line}-{last_line}"),
        Source::Request { index } => format!("request {index}"),
        Source::FollowUp { follows } => format!("follows {}", last_digits(&follows.to_string())),
    }
}

/// Ids of one minute begin alike: people tell them apart by their ends.
fn last_digits(id: &str) -> &str {
    &id[id.len().saturating_sub(8)..]
}
