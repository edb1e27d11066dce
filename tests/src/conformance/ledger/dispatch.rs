//! Taking jobs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::domain::{
    DeadReason, ENVELOPE_VERSION, Envelope, Estimate, JobState, LARGEST_ARGS, NewJob, RunState,
};
use fleetline_shared::ports::{DispatchAsk, Scope, Validity};
use tokio::task::JoinSet;

use super::Subject;
use super::prelude::*;

/// Args, attempts, estimate, upstream, deadline.
pub async fn a_message_says_all_a_worker_needs(ledger: &Subject) {
    let sent = NewJob {
        upstream: Some("llm".into()),
        deadline: Some(HOUR),
        max_attempts: 7,
        args: raw(r#"{"seq": 1, "text": "ü \u0000 \" 🚂", "big": 12345678901234567890.5}"#),
        ..job(1, "a")
    };
    let run = run_of(ledger, vec![sent.clone()]).await;
    let got = take_one(ledger).await;
    assert_eq!(got.v, ENVELOPE_VERSION);
    assert_eq!(got.run_id, run);
    assert_eq!(got.job_id, rows(ledger, run).await[0].job_id);
    assert_eq!((got.tenant.as_str(), got.kind.as_str()), (TENANT, KIND));
    assert_eq!((got.fence, got.attempts, got.max_attempts), (1, 0, 7));
    assert_eq!(got.dedup_key, sent.dedup_key);
    assert_eq!(got.upstream.as_deref(), Some("llm"));
    assert_eq!(got.estimate, Estimate { input_tokens: 3, output_tokens: 4 });
    assert_eq!(args_of(&got).get(), sent.args.get(), "args are passed on as they are");
    let left = got.deadline().unwrap();
    assert!(left <= HOUR && left > HOUR / 2, "{left:?}");
}

/// A failure counts as an attempt, a snooze does not.
pub async fn each_dispatch_raises_the_fence(ledger: &Subject) {
    run_of(ledger, vec![job(1, "a")]).await;
    let mut seen = Vec::new();
    for decision in [retry(Duration::ZERO), snooze(Duration::ZERO), retry(Duration::ZERO)] {
        let envelope = take_one(ledger).await;
        seen.push((envelope.fence, envelope.attempts));
        record(ledger, &envelope, decision).await;
    }
    let last = take_one(ledger).await;
    seen.push((last.fence, last.attempts));
    assert_eq!(seen, [(1, 0), (2, 1), (3, 1), (4, 2)]);
}

/// However many ask at the same time.
pub async fn a_job_is_given_once(ledger: &Subject) {
    run_of(ledger, jobs("a", 1, 200)).await;
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let ledger = Arc::clone(ledger);
        tasks.spawn(async move {
            let mut mine = Vec::new();
            loop {
                let taken = take(&ledger, 7).await;
                if taken.is_empty() {
                    return mine;
                }
                mine.extend(seqs(&taken));
            }
        });
    }
    let mut all = Vec::new();
    while let Some(mine) = tasks.join_next().await {
        all.extend(mine.unwrap());
    }
    assert_eq!(all.len(), 200);
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), (1..=200).collect());
}

/// In one dispatch and over several.
pub async fn priority_goes_first_then_order(ledger: &Subject) {
    let priorities = [0, 5, -3, 5, 0, i16::MAX, i16::MIN, 0];
    let ranked =
        (1..).zip(priorities).map(|(seq, priority)| NewJob { priority, ..job(seq, &format!("a-{seq}")) });
    run_of(ledger, ranked.collect()).await;
    let mut order = seqs(&take(ledger, 3).await);
    order.extend(seqs(&take(ledger, 2).await));
    order.extend(seqs(&take(ledger, 100).await));
    assert_eq!(order, [6, 2, 4, 1, 5, 8, 3, 7]);
}

/// The jobs of others go on.
pub async fn paused_upstreams_stay(ledger: &Subject) {
    let to = |seq, upstream: Option<&str>| NewJob {
        upstream: upstream.map(ToOwned::to_owned),
        ..job(seq, &format!("a-{seq}"))
    };
    run_of(ledger, vec![to(1, Some("a")), to(2, Some("b")), to(3, None), to(4, Some("a"))]).await;
    let skip = |names: &[&str]| DispatchAsk {
        skip_upstreams: names.iter().map(ToString::to_string).collect(),
        ..ask(Scope::All, 10)
    };
    let mut free = seqs(&ledger.dispatch(skip(&["a", "z"])).await.unwrap());
    free.sort_unstable();
    assert_eq!(free, [2, 3]);
    assert!(ledger.dispatch(skip(&["a"])).await.unwrap().is_empty());
    assert_eq!(seqs(&ledger.dispatch(skip(&[])).await.unwrap()), [1, 4]);
}

/// Nor of another kind.
pub async fn no_more_than_asked_for(ledger: &Subject) {
    let run = run_of(ledger, jobs("a", 1, 5)).await;
    assert!(take(ledger, 0).await.is_empty());
    let other = DispatchAsk { kind: "test.other".into(), ..ask(Scope::All, 10) };
    assert!(ledger.dispatch(other).await.unwrap().is_empty());
    assert_eq!(seqs(&take(ledger, 2).await), [1, 2]);
    assert_eq!(seqs(&ledger.dispatch(ask(Scope::Run(run), 2)).await.unwrap()), [3, 4]);
    assert_eq!(seqs(&take(ledger, 2).await), [5]);
    assert!(take(ledger, 2).await.is_empty());
}

/// It is not given any more, and its run may end with it.
pub async fn a_passed_deadline_kills(ledger: &Subject) {
    let late = NewJob { deadline: Some(Duration::ZERO), ..job(1, "a") };
    let run = run_of(ledger, vec![late]).await;
    assert!(take(ledger, 10).await.is_empty());
    let row = rows(ledger, run).await.remove(0);
    assert_eq!((row.state, row.dead_reason), (JobState::Dead, Some(DeadReason::DeadlinePassed)));
    assert!(row.error.unwrap().contains("deadline"));
    check_counters(ledger).await;
    assert_eq!(run_state(ledger, run).await, RunState::Finished);
}

/// Whatever else there is to hand out beside it.
pub async fn a_passed_deadline_kills_beside_another_run(ledger: &Subject) {
    let late = NewJob { deadline: Some(Duration::ZERO), ..job(1, "a") };
    let run = run_of(ledger, vec![late]).await;
    run_of(ledger, vec![job(1, "b")]).await;
    assert_eq!(take(ledger, 10).await.len(), 1);
    assert_eq!(states(ledger, run).await, [JobState::Dead]);
    check_counters(ledger).await;
}

/// A twin without that deadline goes on with it.
pub async fn an_expired_job_leaves_its_place(ledger: &Subject) {
    let late = NewJob { deadline: Some(Duration::ZERO), ..job(1, "same") };
    let run = run_of(ledger, vec![late, job(2, "same")]).await;
    let mut taken = take(ledger, 10).await;
    if taken.is_empty() {
        taken = take(ledger, 10).await;
    }
    assert_eq!(seqs(&taken), [2]);
    assert_eq!(states(ledger, run).await, [JobState::Dead, JobState::Dispatched]);
}

/// By its newest dispatch, and nothing changes by it. Of what is ready or has ended there is none.
pub async fn messages_can_be_had_again(ledger: &Subject) {
    let large = raw(&format!("{:?}", "x".repeat(LARGEST_ARGS)));
    let run =
        run_of(ledger, [jobs("a", 1, 3), vec![NewJob { args: large, ..job(4, "large") }]].concat()).await;
    for envelope in take(ledger, 1).await {
        record(ledger, &envelope, retry(Duration::ZERO)).await;
    }
    let mut sent = take(ledger, 10).await;
    record(ledger, &sent.remove(0), success("done")).await;
    record(ledger, &sent.remove(0), snooze(HOUR)).await;
    let other = run_of(ledger, vec![NewJob { upstream: Some("llm".into()), ..job(1, "b") }]).await;
    sent.extend(take(ledger, 1).await);

    let handed_out = ledger.handed_out(Scope::All, KIND).await.unwrap();
    assert_eq!(BTreeSet::from_iter(handed_out.clone()), sent.iter().map(|sent| sent.job_id).collect());
    for (scope, count) in [(Scope::Run(run), 2), (Scope::Run(other), 1)] {
        assert_eq!(ledger.handed_out(scope, KIND).await.unwrap().len(), count, "{scope:?}");
    }
    assert_eq!(ledger.handed_out(Scope::All, "other.kind").await.unwrap(), []);

    let everyone: Vec<_> = rows(ledger, run).await.iter().map(|row| row.job_id).chain(handed_out).collect();
    let again: BTreeSet<_> =
        ledger.messages(KIND, everyone).await.unwrap().iter().map(Envelope::encode).collect();
    assert_eq!(again, sent.iter().map(Envelope::encode).collect());
    let dispatches = sent.iter().map(|sent| (sent.job_id, sent.fence)).collect();
    assert_eq!(ledger.validity(dispatches, HOUR).await.unwrap(), [Validity::Current; 3]);
}
