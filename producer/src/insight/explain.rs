//! What one job waits for, and when it will probably run.

use std::collections::BTreeMap;
use std::time::Duration;

use fleetline_shared::domain::{JobId, JobState, RunId};
use fleetline_shared::ports::{Held, JobStanding};
use serde::Serialize;
use utoipa::ToSchema;

use super::pace::Pace;
use super::parts::{OwnLimits, RateView, per_model, per_tenant};
use super::upstreams::{BacklogView, mean_tokens, ms};
use super::waits::{Wait, WaitsFor, of_ready, of_rivals, of_workers};
use super::{Scene, Unknown};

/// What a job waits for, and when it is expected to run.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Explanation")]
pub struct Explanation {
    /// The job.
    #[schema(value_type = String, format = Uuid)]
    pub job_id: JobId,
    /// Its run.
    #[schema(value_type = String, format = Uuid)]
    pub run_id: RunId,
    /// Its kind.
    pub kind: String,
    /// Whom it calls.
    pub upstream: Option<String>,
    /// How far it is.
    #[schema(value_type = String, example = "ready")]
    pub state: JobState,
    /// Counted attempts.
    pub attempts: u16,
    /// How many it may have.
    pub max_attempts: u16,
    /// All of it in a sentence.
    pub summary: String,
    /// What it waits for; empty: it is terminal.
    pub waits_for: Vec<Wait>,
    /// When its call is expected to start, if that can be said.
    pub expected: Option<Expected>,
    /// Milliseconds until its deadline, if it has one and is not terminal.
    pub deadline_in_ms: Option<u64>,
    /// What each tenant may use of its upstream, as configured. Empty: it is terminal, or a tenant has no
    /// limit of its own.
    pub per_tenant: Vec<RateView>,
    /// The same of its model, by the model's name.
    pub per_model: BTreeMap<String, Vec<RateView>>,
    /// What was recorded last: why it was put back, failed, or died.
    pub recorded: Option<String>,
    /// What could not be asked.
    pub unknown: Vec<Unknown>,
}

/// An estimate with its reasons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(title = "Expected")]
pub struct Expected {
    /// Milliseconds from now.
    pub in_ms: u64,
    /// Why.
    pub why: String,
}

impl Explanation {
    /// The same seen from a job that waits for the result of this one.
    pub(super) fn for_attached(mut self, attached: &JobStanding) -> Self {
        let twin = self.job_id;
        let detail = format!("the result of job {twin}, which asks for the same thing: {}", self.summary);
        self.waits_for.insert(0, Wait::new(WaitsFor::Twin, detail.clone(), None));
        Self {
            job_id: attached.job,
            run_id: attached.run,
            state: attached.state,
            attempts: attached.attempts,
            max_attempts: attached.max_attempts,
            summary: format!("it waits for {detail}"),
            recorded: attached.error.clone(),
            deadline_in_ms: attached.deadline_in.map(ms),
            ..self
        }
    }
}

pub(super) fn explain(job: &JobStanding, scene: &Scene) -> Explanation {
    let waits_for = match job.state {
        JobState::Ready => of_ready(job, scene),
        JobState::Dispatched => vec![of_dispatched(job, scene)],
        JobState::Attached | JobState::Succeeded | JobState::Dead | JobState::Cancelled => Vec::new(),
    };
    let mut per_model = per_model(&scene.limits);
    per_model.retain(|name, _| scene.model.as_ref() == Some(name));
    let expected = (job.state == JobState::Ready).then(|| expected(job, scene)).flatten();
    Explanation {
        job_id: job.job,
        run_id: job.run,
        kind: job.kind.clone(),
        upstream: job.upstream.clone(),
        state: job.state,
        attempts: job.attempts,
        max_attempts: job.max_attempts,
        summary: summary(job, &waits_for),
        waits_for: if waits_for.is_empty() && job.state == JobState::Ready {
            vec![nothing()]
        } else {
            waits_for
        },
        expected,
        per_tenant: per_tenant(&scene.limits),
        per_model,
        deadline_in_ms: job.deadline_in.filter(|_| !job.state.is_terminal()).map(ms),
        recorded: job.error.clone(),
        unknown: Vec::new(),
    }
}

fn nothing() -> Wait {
    Wait::new(WaitsFor::Nothing, "the dispatcher hands it out at its next look", None)
}

fn summary(job: &JobStanding, waits: &[Wait]) -> String {
    let recorded = || job.error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
    match job.state {
        JobState::Succeeded => "it has its result".to_owned(),
        JobState::Dead => format!("it is dead{}", recorded()),
        JobState::Cancelled => "it was cancelled".to_owned(),
        JobState::Attached => "it waits for a twin".to_owned(),
        JobState::Ready | JobState::Dispatched => match waits {
            [] => format!("it waits for nothing: {}", nothing().detail),
            [one] => format!("it waits for {}", one.detail),
            [first, rest @ ..] => format!("it waits for {} (and {} more)", first.detail, rest.len()),
        },
    }
}

/// Handed out: who has it?
fn of_dispatched(job: &JobStanding, scene: &Scene) -> Wait {
    let since =
        job.dispatched.map_or(String::new(), |since| format!(", handed out or taken {} ago", seconds(since)));
    if job.withdrawn {
        return Wait::new(WaitsFor::Outcome, format!("its end: it was cancelled{since}"), None);
    }
    match scene.lease {
        Some(Held { holder, .. }) if holder.job == job.job => {
            let attempt = job.attempts + 1;
            let detail =
                format!("the outcome of attempt {attempt}{since}: a worker holds the lease on its key");
            Wait::new(WaitsFor::Outcome, detail, None)
        }
        Some(Held { holder, expires_in }) => {
            let detail = format!("the lease on its key, which job {} holds{since}", holder.job);
            Wait::new(WaitsFor::Lease, detail, Some(expires_in))
        }
        None => on_the_line(job, scene, &since),
    }
}

fn on_the_line(job: &JobStanding, scene: &Scene, since: &str) -> Wait {
    if let Some(wait) = of_workers(job, scene) {
        return Wait { detail: format!("{}{since}", wait.detail), ..wait };
    }
    let detail = match scene.on_line {
        Some(0) => format!("its worker, which has it in hand{since}"),
        Some(jobs) => format!("a worker to take it from its line, where {jobs} wait{since}"),
        None => format!("its worker{since}"),
    };
    Wait::new(WaitsFor::Outcome, detail, None)
}

/// The backlog before it, at the pace that lets it go the slowest, after what bars the way now.
fn expected(job: &JobStanding, scene: &Scene) -> Option<Expected> {
    if scene.consumers == Some(0) || scene.is_blind {
        return None;
    }
    let report = scene.report.as_ref();
    let pause = report.and_then(|report| report.paused.as_ref()).map_or(Duration::ZERO, |(wait, _)| *wait);
    let start = pause.max(job.due_in.unwrap_or_default()).max(report.map_or(Duration::ZERO, |of| of.next_in));
    let due = job.ahead + job.turns + of_rivals(job, &scene.weights);
    let before = due + BacklogView::of(scene.backlog.iter()).dispatched;
    let (time, mut why) = match slowest(job, scene, before) {
        Some((time, why)) => (start + time, why),
        None if before == 0 || job.due_in.is_some() => (start, "no rate limits it".to_owned()),
        None => return None,
    };
    if !start.is_zero() {
        why = format!("after {}, {why}", seconds(start));
    }
    Some(Expected { in_ms: ms(time), why })
}

/// The longest time that limits need for what goes before it: the upstream's, its tenant's, its model's.
fn slowest(job: &JobStanding, scene: &Scene, before: u64) -> Option<(Duration, String)> {
    let tokens = mean_tokens(scene.backlog.iter());
    let effective = scene.report.as_ref().map_or(1_000, |report| report.effective);
    let whole = Pace::of(&scene.limits.rates(), tokens, effective).map(|pace| {
        let lowered = match effective {
            1_000.. => String::new(),
            less => format!(", lowered to {}% since a 429", f64::from(less) / 10.0),
        };
        (pace.time_for(before), format!("{before} jobs before it at {}{lowered}", pace.words()))
    });
    let own = OwnLimits::of(job, scene).filter_map(|limits| limits.time_before(job, tokens));
    own.chain(whole).max_by_key(|(time, _)| *time)
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
