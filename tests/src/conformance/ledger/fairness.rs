//! A long run never keeps a short one waiting.

use std::time::Duration;

use fleetline_shared::domain::{Envelope, NewJob, RunId};
use fleetline_shared::ports::{CancelJobs, DispatchAsk, Scope};

use super::Subject;
use super::prelude::*;

async fn long_and_short(ledger: &Subject) -> (RunId, RunId) {
    let long = open(ledger, TENANT).await;
    add(ledger, long, jobs("long", 1, 10_000)).await;
    let short = open(ledger, TENANT).await;
    add(ledger, short, jobs("short", 1, 10)).await;
    (long, short)
}

async fn taken_of(ledger: &Subject, run: RunId, limit: usize) -> usize {
    take(ledger, limit).await.iter().filter(|envelope| envelope.run_id == run).count()
}

/// In each dispatch, until it has no more.
pub async fn a_short_run_gets_its_share(ledger: &Subject) {
    let (long, short) = long_and_short(ledger).await;
    assert_eq!(taken_of(ledger, short, 8).await, 4);
    assert_eq!(taken_of(ledger, short, 8).await, 4);
    assert_eq!(taken_of(ledger, short, 8).await, 2);
    assert_eq!(taken_of(ledger, long, 8).await, 8);
}

/// As when lines have room for one message at a time.
pub async fn rounds_of_one_are_fair(ledger: &Subject) {
    let (_, short) = long_and_short(ledger).await;
    let mut of_short = 0;
    for _ in 0..20 {
        of_short += taken_of(ledger, short, 1).await;
    }
    assert_eq!(of_short, 10);
}

/// Also when the limit is no multiple of the number of runs.
pub async fn a_small_round_serves_every_run(ledger: &Subject) {
    let mut runs = Vec::new();
    for n in 0..3 {
        let run = open(ledger, TENANT).await;
        add(ledger, run, jobs(&format!("run-{n}"), 1, 50)).await;
        runs.push(run);
    }
    for limit in [3, 4, 5, 7] {
        let taken = take(ledger, limit).await;
        assert_eq!(taken.len(), limit);
        for run in &runs {
            let share = taken.iter().filter(|envelope| envelope.run_id == *run).count();
            assert!(share >= limit / 3 && share <= limit.div_ceil(3), "{share} of {limit}");
        }
    }
}

/// Rounds of one kind do not use up the turns of another.
pub async fn kinds_take_turns_apart(ledger: &Subject) {
    let mut runs = Vec::new();
    for n in 0..2 {
        let run = open(ledger, TENANT).await;
        add(ledger, run, jobs(&format!("run-{n}"), 1, 20)).await;
        let others = jobs(&format!("other-{n}"), 21, 40).into_iter();
        add(ledger, run, others.map(|job| NewJob { kind: "test.other".into(), ..job }).collect()).await;
        runs.push(run);
    }
    let mut of_first = [0, 0];
    for _ in 0..10 {
        for (count, kind) in of_first.iter_mut().zip([KIND, "test.other"]) {
            let one = DispatchAsk { kind: kind.into(), ..ask(Scope::All, 1) };
            let taken = ledger.dispatch(one).await.unwrap();
            *count += usize::from(taken[0].run_id == runs[0]);
        }
    }
    assert_eq!(of_first, [5, 5]);
}

/// A deep backlog for one upstream does not keep the jobs of another waiting.
pub async fn upstreams_of_a_run_take_turns(ledger: &Subject) {
    let run = open(ledger, TENANT).await;
    let to = |upstream: &str, from, to| {
        let jobs = jobs(upstream, from, to).into_iter();
        jobs.map(|job| NewJob { upstream: Some(upstream.into()), ..job }).collect::<Vec<_>>()
    };
    add(ledger, run, to("a", 1, 100)).await;
    add(ledger, run, to("b", 101, 103)).await;
    let mut of_b = 0;
    for _ in 0..8 {
        of_b += take(ledger, 1).await.iter().filter(|job| job.upstream.as_deref() == Some("b")).count();
    }
    assert_eq!(of_b, 3);
}

/// No room stays empty while anybody has work.
pub async fn what_one_leaves_others_take(ledger: &Subject) {
    let (long, short) = long_and_short(ledger).await;
    assert_eq!(take(ledger, 18).await.len(), 18);
    let taken = take(ledger, 100).await;
    assert_eq!(taken.len(), 100);
    assert_eq!(taken.iter().filter(|envelope| envelope.run_id == short).count(), 1);
    assert_eq!(taken.iter().filter(|envelope| envelope.run_id == long).count(), 99);
}

/// Runs whose jobs all wait for a later time, however many, take no turn from one with due jobs; nor do its
/// own, though they are more urgent.
pub async fn runs_that_wait_take_no_turns(ledger: &Subject) {
    for tenants in [[TENANT, TENANT], [TENANT, "globex"]] {
        let long = among_waiting_runs(ledger, tenants).await;
        for limit in [1, 1, 64, 3, 1] {
            let taken = take(ledger, limit).await;
            assert_eq!(taken.len(), limit);
            assert!(taken.iter().all(|envelope| envelope.run_id == long));
        }
        ledger.cancel(TENANT, CancelJobs::Run(long)).await.unwrap();
    }
}

/// A run with a hundred due jobs between runs of one job each that waits for an hour.
async fn among_waiting_runs(ledger: &Subject, tenants: [&str; 2]) -> RunId {
    let mut long = None;
    for n in 0..140 {
        let run = open(ledger, tenants[n % 2]).await;
        add(ledger, run, jobs(&format!("short-{run}"), 1, 1)).await;
        if n == 70 {
            let run = *long.insert(open(ledger, TENANT).await);
            let jobs = jobs(&format!("long-{run}"), 1, 101).into_iter();
            let urgent = |job: NewJob| NewJob { priority: i16::from(job.seq == Some(1)), ..job };
            add(ledger, run, jobs.map(urgent).collect()).await;
        }
    }
    let long = long.expect("one of them");
    let back = |envelope: &Envelope| {
        let is_due = envelope.run_id == long && seq_of(envelope) > 1;
        finish_of(envelope, snooze(if is_due { Duration::ZERO } else { HOUR }))
    };
    let taken = take(ledger, 1_000).await;
    assert_eq!(taken.len(), 241);
    ledger.finish(taken.iter().map(back).collect()).await.unwrap();
    long
}
