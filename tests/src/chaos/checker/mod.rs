//! The verdict: what must be true once all is quiet, judged by outside evidence alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::evidence::{Call, Counts, Evidence, Job, Run};

/// What happened to the fleet, as the test knows it.
#[derive(Clone, Debug, Default)]
pub struct Story {
    /// Submissions that were accepted: their runs, and how many jobs each has at least.
    pub accepted: Vec<(String, u64)>,
    /// What may have cost calls.
    pub disturbances: Vec<Disturbance>,
    /// Jobs that must be dead, no more and no less.
    pub dead: u64,
    /// The provider's limit, if it is judged.
    pub quota: Option<Quota>,
    /// Terminal rows that were seen to change.
    pub changed: Vec<String>,
}

/// A fault that may have hit calls under way.
#[derive(Clone, Debug)]
pub struct Disturbance {
    /// For people.
    pub what: String,
    /// When it began and ended.
    pub from: Instant,
    /// See `from`.
    pub until: Instant,
    /// Calls that it can have cost: those that were under way, or whose outcome was not committed.
    pub calls_at_risk: usize,
}

impl Story {
    /// When calls came, and what had happened last before each.
    fn around(&self, calls: &[Instant]) -> String {
        let Some(began) = calls.iter().min() else { return String::new() };
        let told = calls.iter().map(|at| {
            let before = self.disturbances.iter().rev().find(|one| one.from <= *at);
            let before = before.map(|one| format!("{} {:.2?} before", one.what, *at - one.from));
            format!("at {:.2?} ({})", *at - *began, before.as_deref().unwrap_or("nothing before"))
        });
        told.collect::<Vec<_>>().join(", ")
    }
}

/// So many calls in any window of that length.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    /// Calls.
    pub calls: usize,
    /// Length of the window.
    pub window: Duration,
}

/// All that is not as promised; empty if nothing is.
pub fn violations(evidence: &Evidence, story: &Story) -> Vec<String> {
    let mut found = story.changed.clone();
    found.extend(jobs(evidence, story));
    found.extend(runs(evidence, story));
    found.extend(results(evidence));
    found.extend(calls(evidence, story));
    found.extend(story.quota.iter().filter_map(|quota| overrun(&evidence.calls, *quota)));
    found.extend(left_over(evidence));
    found
}

/// Each job in one terminal state, none dead without cause; results where they belong.
fn jobs(evidence: &Evidence, story: &Story) -> Vec<String> {
    let mut found = Vec::new();
    let open: Vec<_> = evidence.jobs.iter().filter(|job| !job.is_terminal()).collect();
    if let Some(job) = open.first() {
        found.push(format!("{} jobs are not terminal, such as {job:?}", open.len()));
    }
    let odd = |job: &&Job| job.has_result != (job.state == "succeeded");
    if let Some(job) = evidence.jobs.iter().find(odd) {
        found.push(format!("result and state do not agree: {job:?}"));
    }
    let dead = evidence.jobs.iter().filter(|job| job.state == "dead");
    let count = dead.clone().count() as u64;
    if count != story.dead {
        found.push(format!(
            "{count} jobs are dead, not {}: {:?}",
            story.dead,
            dead.take(3).collect::<Vec<_>>()
        ));
    }
    let ids: BTreeSet<_> = evidence.jobs.iter().map(|job| &job.id).collect();
    if ids.len() != evidence.jobs.len() {
        found.push("a job has two rows".to_owned());
    }
    found
}

/// Accepted runs are there and finished; every run's counters are its rows' counts.
fn runs(evidence: &Evidence, story: &Story) -> Vec<String> {
    let mut found = Vec::new();
    let rows: BTreeMap<_, _> = evidence.runs.iter().map(|run| (run.id.as_str(), run)).collect();
    for (id, jobs) in &story.accepted {
        match rows.get(id.as_str()) {
            None => found.push(format!("accepted run {id} is not there")),
            Some(run) if run.state != "finished" => {
                found.push(format!("accepted run {id} is {}, not finished", run.state));
            }
            Some(run) if run.counts.jobs != *jobs => {
                found.push(format!("accepted run {id} has {} jobs, not {jobs}", run.counts.jobs));
            }
            Some(_) => {}
        }
    }
    let mut counted: BTreeMap<&str, Counts> = BTreeMap::new();
    for job in &evidence.jobs {
        count(counted.entry(&job.run).or_default(), job);
    }
    let wrong = |run: &&Run| counted.get(run.id.as_str()).copied().unwrap_or_default() != run.counts;
    found.extend(evidence.runs.iter().filter(wrong).map(|run| {
        let rows = counted.get(run.id.as_str());
        format!("counters are not the rows' counts: {run:?}, rows {rows:?}")
    }));
    found
}

fn count(counts: &mut Counts, job: &Job) {
    counts.jobs += 1;
    counts.reused += u64::from(job.reused);
    match job.state.as_str() {
        "succeeded" => counts.succeeded += 1,
        "dead" => counts.dead += 1,
        "cancelled" => counts.cancelled += 1,
        _ => {}
    }
}

/// At most one result per key, and one for each key that succeeded.
fn results(evidence: &Evidence) -> Vec<String> {
    let mut found = Vec::new();
    let with_result: BTreeSet<_> = evidence.results.iter().collect();
    if with_result.len() != evidence.results.len() {
        found.push(format!("{} results for {} keys", evidence.results.len(), with_result.len()));
    }
    let missing =
        evidence.jobs.iter().find(|job| job.state == "succeeded" && !with_result.contains(&job.key));
    found.extend(missing.map(|job| format!("a job succeeded without a result of its key: {job:?}")));
    found
}

/// One paid call per key, and at most one more for each disturbance inside its calls' time.
fn calls(evidence: &Evidence, story: &Story) -> Vec<String> {
    let mut found = Vec::new();
    let mut by_content: BTreeMap<&str, Vec<Instant>> = BTreeMap::new();
    for call in &evidence.calls {
        by_content.entry(&call.content).or_default().push(call.at);
    }
    let keys: BTreeSet<_> = evidence.results.iter().collect();
    if by_content.len() < keys.len() {
        found.push(format!(
            "{} keys have a result, but only {} were called for",
            keys.len(),
            by_content.len()
        ));
    }
    let mut extra = 0;
    for times in by_content.values() {
        let (first, last) = (times.iter().min(), times.iter().max());
        let inside =
            story.disturbances.iter().filter(|one| Some(&one.from) <= last && Some(&one.until) >= first);
        let allowed = 1 + inside.count();
        if times.len() > allowed {
            found.push(format!(
                "{} calls for one key, {allowed} allowed: {}",
                times.len(),
                story.around(times)
            ));
        }
        extra += times.len() - 1;
    }
    let at_risk: usize = story.disturbances.iter().map(|one| one.calls_at_risk).sum();
    if extra > at_risk {
        found.push(format!(
            "{extra} calls too many; at most {at_risk} were at risk: {:?}",
            story.disturbances
        ));
    }
    found
}

/// The first window in which the provider got more than its quota.
fn overrun(calls: &[Call], quota: Quota) -> Option<String> {
    let mut times: Vec<_> = calls.iter().map(|call| call.at).collect();
    times.sort_unstable();
    let over = times.windows(quota.calls + 1).find(|window| {
        window.last().zip(window.first()).is_some_and(|(last, first)| *last - *first < quota.window)
    })?;
    Some(format!("{} calls within {:?}; the quota is {quota:?}", over.len(), *over.last()? - *over.first()?))
}

/// Nothing waits anywhere.
fn left_over(evidence: &Evidence) -> Vec<String> {
    let mut found = Vec::new();
    for (line, messages) in evidence.lines.iter().filter(|(_, messages)| *messages > 0) {
        found.push(format!("{messages} messages are left on {line}"));
    }
    if evidence.live > 0 {
        found.push(format!("{} rows of live jobs and keys are left", evidence.live));
    }
    if evidence.outbox > 0 {
        found.push(format!("{} events are left in the outbox", evidence.outbox));
    }
    if !evidence.leases.is_empty() {
        found.push(format!("leases are left: {:?}", evidence.leases));
    }
    if evidence.dead_letters > 0 {
        found.push(format!("{} dead letters are not recorded as dead jobs", evidence.dead_letters));
    }
    found
}

#[cfg(test)]
mod tests;
