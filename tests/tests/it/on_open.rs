//! What becomes of jobs while their upstream's breaker is open: they wait, lesser work stands in, or
//! they get the last result. No call is made, and the row says what it is.

use std::collections::BTreeMap;
use std::time::Duration;

use fleetline_shared::domain::{DeadReason, JobState, NewJob};
use fleetline_shared::ports::{BreakerOptions, Limits};
use fleetline_tests::openai_stub::{Behaviour, OpenAiStub};
use fleetline_worker::kinds::Kinds;
use fleetline_worker::{OnOpen, Terms};

use crate::openai::{client, config, log_args};
use crate::world::{Known, World, policy};

/// Failures that open the breaker, and attempts of a job.
const FAILURES: usize = 3;

struct Bench {
    stub: OpenAiStub,
    kinds: Kinds,
    world: World,
}

impl Bench {
    async fn start(on_open: OnOpen) -> Self {
        let stub = OpenAiStub::start();
        let kinds = Kinds::all(Some(&client(config(&stub))), policy());
        let breaker = BreakerOptions { open_for: Duration::from_hours(1), ..BreakerOptions::default() };
        let known = Known {
            limits: Limits { breaker: Some(breaker), ..Limits::default() },
            terms: Terms { on_open, ..Terms::default() },
        };
        let world = World::start(kinds.registry(), BTreeMap::from([("openai".to_owned(), known)])).await;
        Self { stub, kinds, world }
    }

    /// A job about an event of its own.
    fn job(&self, event: &str) -> NewJob {
        let mut args = log_args(&self.kinds);
        event.clone_into(&mut args.fingerprint);
        self.world.job("log.analyze", &args)
    }

    /// One job fails as often as it may, which is enough; then the stub would answer again.
    async fn open_the_breaker(&self) -> usize {
        self.stub.script(std::iter::repeat_n(Behaviour::status(500), FAILURES));
        let dead = self.world.done(self.job("opens the breaker")).await;
        assert_eq!((dead.state, dead.dead_reason), (JobState::Dead, Some(DeadReason::Exhausted)));
        self.stub.call_count()
    }
}

#[tokio::test]
async fn lesser_work_stands_in() {
    let bench = Bench::start(OnOpen::Fallback).await;
    let calls = bench.open_the_breaker().await;
    let run = bench.world.submit(vec![bench.job("a"), bench.job("b")]).await;
    for row in bench.world.finished(run).await {
        assert_eq!((row.state, row.analyser.as_deref()), (JobState::Succeeded, Some("builtin")));
        assert_eq!((row.model.as_deref(), row.usage.calls, row.reused), (None, 0, false));
        assert_ne!(row.output_value().expect("an analysis")["error_type"], "seen-by-stub");
        let said = row.error.expect("it says what it is");
        assert!(
            said.starts_with("openai fails and is left alone") && said.ends_with("builtin stands in"),
            "{said}"
        );
    }
    assert_eq!(bench.stub.call_count(), calls);
}

#[tokio::test]
async fn the_last_result_is_given_with_its_age_and_without_one_the_job_waits() {
    let bench = Bench::start(OnOpen::Cached).await;
    let first = bench.world.done(bench.job("a")).await;
    assert_eq!((first.state, first.usage.calls), (JobState::Succeeded, 1));
    let calls = bench.open_the_breaker().await;

    let run = bench.world.submit(vec![bench.job("a"), bench.job("never seen")]).await;
    let rows = bench.world.until(run, |rows| rows.iter().all(|row| row.error.is_some())).await;
    let (known, unknown) = (&rows[0], &rows[1]);
    assert_eq!((known.state, known.reused, known.result_of), (JobState::Succeeded, true, Some(first.job_id)));
    assert_eq!((known.attempts, known.usage.calls, known.output_value()), (0, 0, first.output_value()));
    let said = known.error.as_deref().unwrap_or_default();
    assert!(said.starts_with("openai fails and is left alone") && said.ends_with(" s old"), "{said}");
    assert_eq!((unknown.state, unknown.attempts, unknown.usage.calls), (JobState::Ready, 0, 0));
    assert_eq!(bench.stub.call_count(), calls);
}

#[tokio::test]
async fn jobs_wait() {
    let bench = Bench::start(OnOpen::Wait).await;
    // The second one is with the worker when the first one opens the breaker.
    bench.stub.script(std::iter::repeat_n(Behaviour::status(500), FAILURES));
    let jobs = (0..4).map(|number| NewJob { max_attempts: 1, ..bench.job(&number.to_string()) });
    let run = bench.world.submit(jobs.collect()).await;
    let rows = bench.world.until(run, |rows| rows.iter().all(|row| row.error.is_some())).await;
    let (dead, waiting): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.state == JobState::Dead);
    assert_eq!((dead.len(), waiting.len()), (FAILURES, 1), "{rows:#?}");
    assert_eq!((waiting[0].state, waiting[0].attempts, waiting[0].usage.calls), (JobState::Ready, 0, 0));
    let said = waiting[0].error.as_deref().unwrap_or_default();
    assert!(said.starts_with("openai fails and is left alone"), "{said}");
    assert_eq!(bench.stub.call_count(), FAILURES);
}

/// A job that is refused before its call says nothing about its upstream: in between failures it must not
/// look like a success.
#[tokio::test]
async fn a_bad_payload_is_no_sign_of_health() {
    let bench = Bench::start(OnOpen::Fallback).await;
    // Accepted by a process that knows the model, worked on by one that does not.
    let mut args = log_args(&bench.kinds);
    args.analyser.model = Some("unknown here".into());
    let args = serde_json::value::to_raw_value(&args).expect("plain JSON");
    bench.stub.script(std::iter::repeat_n(Behaviour::status(500), FAILURES));
    for number in 0..FAILURES {
        let refused = NewJob { args: args.clone(), ..bench.job(&format!("refused {number}")) };
        let refused = bench.world.done(refused).await;
        assert_eq!((refused.dead_reason, refused.usage.calls), (Some(DeadReason::Permanent), 0));
        let failed = NewJob { max_attempts: 1, ..bench.job(&format!("failed {number}")) };
        assert_eq!(bench.world.done(failed).await.usage.calls, 1);
    }
    let after = bench.world.done(bench.job("after")).await;
    assert_eq!(after.analyser.as_deref(), Some("builtin"), "the breaker is open: {after:?}");
    assert_eq!(bench.stub.call_count(), FAILURES);
}
