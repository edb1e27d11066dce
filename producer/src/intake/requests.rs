//! Job requests as JSON: the same from HTTP and from AMQP.

use std::collections::BTreeMap;
use std::time::Duration;

use fleetline_shared::domain::Source;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::problems::{JobProblem, Problems};
use super::shape::{FIELDS, Items, Named, read_items};

/// What one request may ask for at most.
#[derive(Clone, Copy, Debug)]
pub struct JobLimits {
    /// Bytes of one request.
    pub bytes: usize,
    /// Jobs in one request; they share one transaction.
    pub jobs: usize,
    /// Bytes of one job's args.
    pub args_bytes: usize,
    /// How deep the args may nest.
    pub args_depth: usize,
    /// Attempts of a job that names no number.
    pub default_attempts: u16,
    /// The largest number of attempts that a job may name.
    pub max_attempts: u16,
    /// The longest deadline, and the longest that a result may stay fresh.
    pub longest: Duration,
}

impl Default for JobLimits {
    fn default() -> Self {
        Self {
            bytes: 16 << 20,
            jobs: 1_000,
            args_bytes: 1 << 20,
            args_depth: 64,
            default_attempts: 5,
            max_attempts: 100,
            longest: Duration::from_hours(24 * 366),
        }
    }
}

/// A job as a service asks for it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "kind": "log.analyze",
    "args": {
        "analyser": { "name": "builtin", "version": "log-rules-1" },
        "logger": "org.acme.Api", "level": "ERROR", "message": "Connection refused",
        "fingerprint": "5f1c", "template": "Connection refused"
    },
    "priority": 5,
    "deadline_seconds": 3600
}))]
pub struct JobRequest {
    /// Name of the kind.
    pub kind: String,
    /// The kind's args.
    #[schema(value_type = Object)]
    pub args: Box<RawValue>,
    /// Jobs of one kind with the same key share one result. Without it the kind decides by the args.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 512)]
    pub dedup_key: Option<String>,
    /// Higher goes first within the run. 0 if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = -32768, maximum = 32767)]
    pub priority: Option<i16>,
    /// Counted attempts before the job is dead.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100)]
    pub max_attempts: Option<u16>,
    /// How long after submission the job may still start. No limit if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 31_622_400)]
    pub deadline_seconds: Option<u64>,
    /// How long the result may be reused. For ever if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 31_622_400)]
    pub fresh_for_seconds: Option<u64>,
    /// Where the job came from, shown with its result: `input` with `path` and `ordinal`, or with
    /// `first_line` and `last_line`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub source: Option<Source>,
}

/// Why a text holds no requests.
#[derive(Debug)]
pub enum Unreadable {
    /// It is not JSON.
    Malformed {
        /// Line of the fault, from 1.
        line: usize,
        /// Its column, from 1; 0 if the line has none.
        column: usize,
        /// What is wrong there.
        what: String,
    },
    /// It is JSON, but these jobs are none.
    Invalid(Vec<JobProblem>),
}

/// What a text asks for. Its jobs are still to be checked, so that all problems are told at once.
#[derive(Debug)]
pub struct JobRequests {
    /// Jobs with a kind and args, by their number in the request.
    pub(super) read: Vec<(usize, JobRequest)>,
    /// What could not be read.
    pub(super) problems: Problems,
}

impl JobRequests {
    /// Whether nothing of the text is missing in what was read.
    pub(super) fn are_whole(&self) -> bool {
        self.problems.count() == 0
    }
}

/// Reads one job, or an array of them.
pub fn read_requests(body: &[u8], limits: &JobLimits) -> Result<JobRequests, Unreadable> {
    let unfit = |detail| Unreadable::Invalid(vec![JobProblem::new(0, "", detail)]);
    if body.len() > limits.bytes {
        let detail = format!("a request has {} bytes at most; this one has {}", limits.bytes, body.len());
        return Err(unfit(detail));
    }
    let whole: &RawValue = serde_json::from_slice(body).map_err(|error| malformed(&error))?;
    let Items { kept, count } = if whole.get().starts_with('[') {
        read_items(whole.get(), limits.jobs).map_err(|error| malformed(&error))?
    } else {
        Items { kept: vec![whole], count: 1 }
    };
    if !(1..=limits.jobs).contains(&count) {
        return Err(unfit(format!("a request holds 1 to {} jobs; this one has {count}", limits.jobs)));
    }
    let mut problems = Problems::default();
    let requests = kept.iter().enumerate();
    let read = requests.filter_map(|(index, item)| Some((index, read_one(index, item, &mut problems)?)));
    Ok(JobRequests { read: read.collect(), problems })
}

fn malformed(error: &serde_json::Error) -> Unreadable {
    Unreadable::Malformed { line: error.line(), column: error.column(), what: what_is_wrong(error) }
}

/// Of "expected value at line 1 column 2" what is before the place, which has fields of its own or says nothing.
fn what_is_wrong(error: &serde_json::Error) -> String {
    error.to_string().split(" at line ").next().unwrap_or_default().to_owned()
}

fn read_one(index: usize, item: &RawValue, problems: &mut Problems) -> Option<JobRequest> {
    let Ok(Named { known: left, unknown }) = serde_json::from_str(item.get()) else {
        problems.push(JobProblem::new(index, "", "a job is an object with at least `kind` and `args`"));
        return None;
    };
    let mut fields = Fields { index, left, problems };
    let kind = fields.required("kind");
    let args = fields.required("args");
    let can_be_checked = kind.is_some() && args.is_some();
    let request = JobRequest {
        kind: kind.unwrap_or_default(),
        args: args.unwrap_or_default(),
        dedup_key: fields.optional("dedup_key"),
        priority: fields.optional("priority"),
        max_attempts: fields.optional("max_attempts"),
        deadline_seconds: fields.optional("deadline_seconds"),
        fresh_for_seconds: fields.optional("fresh_for_seconds"),
        source: fields.optional("source"),
    };
    for name in unknown {
        let detail = format!("is no field of a job; there are {}", FIELDS.join(", "));
        problems.push(JobProblem::new(index, &name, detail));
    }
    can_be_checked.then_some(request)
}

/// `null` is as good as left out, but for args.
fn left_out(name: &str, value: &RawValue) -> bool {
    value.get() == "null" && name != "args"
}

/// The fields of one job, read one by one so that each problem has a name.
struct Fields<'a> {
    index: usize,
    left: BTreeMap<&'static str, &'a RawValue>,
    problems: &'a mut Problems,
}

impl Fields<'_> {
    fn required<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        if self.left.get(name).is_none_or(|value| left_out(name, value)) {
            self.problems.push(JobProblem::new(self.index, name, "is missing"));
        }
        self.optional(name)
    }

    fn optional<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let value = self.left.remove(name)?;
        if left_out(name, value) {
            return None;
        }
        serde_json::from_str(value.get())
            .map_err(|error| self.problems.push(JobProblem::new(self.index, name, what_is_wrong(&error))))
            .ok()
    }
}
