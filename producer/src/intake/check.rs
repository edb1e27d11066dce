//! From a request to a job: within the limits, of a known kind, with args that the kind can read.

use std::time::Duration;

use fleetline_shared::domain::{Appraisal, NewJob, Registry, Source};
use fleetline_shared::rules::dedup_key;
use serde_json::value::RawValue;

use super::problems::{JobProblem, LONGEST_NAME, Problems, short};
use super::requests::{JobLimits, JobRequest, JobRequests};

/// Characters of a dedup key that a caller names.
const LONGEST_KEY: usize = 512;
/// Bytes of a source that a caller names.
const LONGEST_SOURCE: usize = 4096;

/// All jobs, or what is wrong with the requests: the first problems, those that were found in reading them
/// included.
pub(super) fn check_all(
    requests: &JobRequests,
    kinds: &Registry,
    limits: &JobLimits,
) -> Result<Vec<NewJob>, Vec<JobProblem>> {
    let mut problems = requests.problems.clone();
    let mut jobs = Vec::with_capacity(requests.read.len());
    for (index, request) in &requests.read {
        let index = *index;
        let before = problems.count();
        check_fields(index, request, limits, &mut problems);
        match appraise(request, kinds, limits) {
            Ok(appraisal) if problems.count() == before => jobs.push(job(index, request, limits, appraisal)),
            Ok(_) => {}
            Err((field, detail)) => problems.push(JobProblem::new(index, field, detail)),
        }
    }
    if problems.count() == 0 { Ok(jobs) } else { Err(problems.told()) }
}

fn check_fields(index: usize, request: &JobRequest, limits: &JobLimits, problems: &mut Problems) {
    let mut wrong = |field: &str, detail: String| problems.push(JobProblem::new(index, field, detail));
    if let Some(key) = &request.dedup_key
        && !(1..=LONGEST_KEY).contains(&key.chars().count())
    {
        wrong("dedup_key", format!("has 1 to {LONGEST_KEY} characters, not {}", key.chars().count()));
    }
    if let Some(attempts) = request.max_attempts
        && !(1..=limits.max_attempts).contains(&attempts)
    {
        wrong("max_attempts", format!("is 1 to {}, not {attempts}", limits.max_attempts));
    }
    let longest = limits.longest.as_secs();
    if let Some(seconds) = request.deadline_seconds
        && !(1..=longest).contains(&seconds)
    {
        wrong("deadline_seconds", format!("is 1 to {longest}, not {seconds}"));
    }
    if let Some(seconds) = request.fresh_for_seconds
        && seconds > longest
    {
        wrong("fresh_for_seconds", format!("is 0 to {longest}, not {seconds}"));
    }
    match &request.source {
        Some(Source::FollowUp { .. } | Source::Request { .. }) => {
            wrong("source", "has `path` and `ordinal`, or `first_line` and `last_line`".into());
        }
        Some(source @ (Source::Node { input, .. } | Source::Lines { input, .. })) => {
            let path = if let Source::Node { path, .. } = source { path.len() } else { 0 };
            if input.len() + path > LONGEST_SOURCE {
                wrong("source", format!("has more than {LONGEST_SOURCE} bytes"));
            }
        }
        None => {}
    }
}

type Refusal = (&'static str, String);

fn appraise(request: &JobRequest, kinds: &Registry, limits: &JobLimits) -> Result<Appraisal, Refusal> {
    let kind = kinds.get(&request.kind).ok_or_else(|| {
        let names: Vec<_> = kinds.names().collect();
        let wanted = short(&request.kind, LONGEST_NAME);
        ("kind", format!("there is no kind `{wanted}`; there are {}", names.join(", ")))
    })?;
    let bytes = request.args.get().len();
    if bytes > limits.args_bytes {
        return Err(("args", format!("have {bytes} bytes; {} are allowed", limits.args_bytes)));
    }
    // Before anything parses them, for parsers recurse.
    if depth(&request.args) > limits.args_depth {
        return Err(("args", format!("nest deeper than {} levels", limits.args_depth)));
    }
    kind.appraise(&request.args).map_err(|what| ("args", what))
}

/// How deep JSON nests, without recursion.
fn depth(json: &RawValue) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in json.get().bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn job(index: usize, request: &JobRequest, limits: &JobLimits, appraisal: Appraisal) -> NewJob {
    let index = index as u64;
    // Told apart from keys that kinds make of args.
    let own_key = request.dedup_key.as_ref().map(|key| dedup_key(&request.kind, ["by the caller", key]));
    NewJob {
        seq: Some(index),
        kind: request.kind.clone(),
        args: request.args.clone(),
        dedup_key: own_key.unwrap_or(appraisal.dedup_key),
        priority: request.priority.unwrap_or_default(),
        upstream: appraisal.upstream,
        estimate: appraisal.estimate,
        source: request.source.clone().unwrap_or(Source::Request { index }),
        occurrences: 1,
        max_attempts: request.max_attempts.unwrap_or(limits.default_attempts),
        deadline: request.deadline_seconds.map(Duration::from_secs),
        fresh_for: request.fresh_for_seconds.map(Duration::from_secs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_strings_are_no_depth() {
        for (json, expected) in [
            ("1", 0),
            ("[]", 1),
            (r#"{"a":[1,[2]]}"#, 3),
            (r#"["[[[", "\"[[", "\\"]"#, 1),
            ("[[],[],[[]]]", 3),
        ] {
            assert_eq!(depth(&RawValue::from_string(json.into()).unwrap()), expected, "{json}");
        }
    }
}
