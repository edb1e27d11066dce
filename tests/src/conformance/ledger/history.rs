//! Random histories of operations, and what must hold after each of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fleetline_shared::domain::{DeadReason, Decision, Envelope, JobId, JobState, NewJob, RunId, RunState};
use fleetline_shared::ports::{Finished, JobRow, Scope, Seal, Validity};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::Subject;
use super::prelude::*;
use super::waiting::take_when_due;

const RUNS: usize = 3;
/// Keys below this one have results that are fresh for ever; the others' expire at once.
const LASTING: u8 = 4;
const KEYS: u8 = 6;

#[derive(Clone, Debug)]
enum Step {
    Submit {
        run: usize,
        keys: Vec<u8>,
    },
    Dispatch {
        limit: usize,
    },
    /// Finishes one of the dispatches so far, old ones included.
    Finish {
        which: prop::sample::Index,
        end: End,
    },
    Sweep {
        max_losses: u16,
    },
}

#[derive(Clone, Copy, Debug)]
enum End {
    Succeed,
    SucceedWithFollowUp(u8),
    Retry,
    Snooze,
    Exhausted,
    Permanent,
    Cancel,
    Ignore,
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        Just(End::Succeed),
        (0..KEYS).prop_map(End::SucceedWithFollowUp),
        Just(End::Retry),
        Just(End::Snooze),
        Just(End::Exhausted),
        Just(End::Permanent),
        Just(End::Cancel),
        Just(End::Ignore),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..RUNS, vec(0..KEYS, 1..5)).prop_map(|(run, keys)| Step::Submit { run, keys }),
        3 => (0..5_usize).prop_map(|limit| Step::Dispatch { limit }),
        6 => (any::<prop::sample::Index>(), end()).prop_map(|(which, end)| Step::Finish { which, end }),
        1 => (1..4_u16).prop_map(|max_losses| Step::Sweep { max_losses }),
    ]
}

fn decision(end: End) -> Decision {
    match end {
        End::Succeed => success("done"),
        End::SucceedWithFollowUp(key) => {
            let mut done = done("done");
            done.follow_ups = vec![NewJob { seq: None, ..keyed_job(0, key) }];
            Decision::Succeed(done)
        }
        End::Retry => retry(Duration::from_millis(2)),
        End::Snooze => snooze(Duration::ZERO),
        End::Exhausted => die(DeadReason::Exhausted),
        End::Permanent => die(DeadReason::Permanent),
        End::Cancel => Decision::Cancel,
        End::Ignore => Decision::Ignore,
    }
}

fn keyed_job(seq: u64, key: u8) -> NewJob {
    let fresh_for = (key >= LASTING).then_some(Duration::ZERO);
    NewJob { fresh_for, ..job(seq, &format!("key {key}")) }
}

/// What the test knows of the ledger.
struct History {
    ledger: Subject,
    runs: Vec<RunId>,
    next_seq: u64,
    dispatches: Vec<Envelope>,
    /// Dispatches with a recorded outcome, by job and fence.
    answered: BTreeSet<(JobId, u64)>,
    /// How each terminal job looked when it was first seen to be.
    ended: BTreeMap<JobId, String>,
}

impl History {
    /// Two runs of one tenant, one of another.
    async fn begin(ledger: Subject) -> Self {
        let mut runs = Vec::new();
        for tenant in [TENANT, TENANT, "globex"] {
            runs.push(open(&ledger, tenant).await);
        }
        Self {
            ledger,
            runs,
            next_seq: 1,
            dispatches: Vec::new(),
            answered: BTreeSet::new(),
            ended: BTreeMap::new(),
        }
    }

    async fn apply(&mut self, step: Step) {
        match step {
            Step::Submit { run, keys } => {
                let count = keys.len() as u64;
                let jobs = (self.next_seq..).zip(keys).map(|(seq, key)| keyed_job(seq, key)).collect();
                self.next_seq += count;
                add(&self.ledger, self.runs[run], jobs).await;
            }
            Step::Dispatch { limit } => {
                let taken = take(&self.ledger, limit).await;
                assert!(taken.len() <= limit);
                self.remember(taken);
            }
            Step::Finish { which, end } => {
                if self.dispatches.is_empty() {
                    return;
                }
                let envelope = which.get(&self.dispatches).clone();
                self.finish(&envelope, decision(end)).await;
            }
            Step::Sweep { max_losses } => {
                self.ledger.sweep(Scope::All, Duration::ZERO, max_losses).await.unwrap();
            }
        }
    }

    /// The newest dispatch counts, swept or not, until it has an outcome. Where a call may begin,
    /// its outcome is recorded.
    async fn finish(&mut self, envelope: &Envelope, decision: Decision) {
        let dispatch = (envelope.job_id, envelope.fence);
        let newest =
            !self.dispatches.iter().any(|other| other.job_id == dispatch.0 && other.fence > dispatch.1);
        let counts = newest && !self.answered.contains(&dispatch) && !self.ended.contains_key(&dispatch.0);
        let may_begin =
            self.ledger.validity(vec![dispatch], Duration::ZERO).await.unwrap()[0] != Validity::Stale;
        assert!(counts || !may_begin, "{envelope:?}");
        if counts && !matches!(decision, Decision::Ignore) {
            self.answered.insert(dispatch);
        }
        let answer = self.ledger.finish(vec![finish_of(envelope, decision)]).await.unwrap();
        assert_eq!(answer, [if counts { Finished::Recorded } else { Finished::Stale }]);
    }

    fn remember(&mut self, taken: Vec<Envelope>) {
        for envelope in taken {
            let earlier = self.dispatches.iter().filter(|old| old.job_id == envelope.job_id);
            assert!(earlier.map(|old| old.fence).max().unwrap_or(0) < envelope.fence, "{envelope:?}");
            assert!(!self.ended.contains_key(&envelope.job_id), "a terminal job was given: {envelope:?}");
            self.dispatches.push(envelope);
        }
    }

    async fn check(&mut self) {
        check_counters(&self.ledger).await;
        let mut all = Vec::new();
        for (n, run) in self.runs.iter().enumerate() {
            let tenant = n / 2;
            all.extend(rows(&self.ledger, *run).await.into_iter().map(|row| (tenant, row)));
        }
        check_twins(&all);
        check_results(&all);
        for (_, row) in all.into_iter().filter(|(_, row)| row.state.is_terminal()) {
            let shown = format!("{row:?}");
            let first = self.ended.entry(row.job_id).or_insert_with(|| shown.clone());
            assert_eq!(*first, shown, "a terminal job has changed");
        }
    }

    /// Sealed and worked off, every run finishes.
    async fn end(mut self) {
        for run in &self.runs {
            self.ledger.seal_run(*run, Seal::default()).await.unwrap();
        }
        self.ledger.sweep(Scope::All, Duration::ZERO, u16::MAX).await.unwrap();
        while !self.is_finished().await {
            let taken = take_when_due(&self.ledger).await;
            self.remember(taken.clone());
            for envelope in taken {
                self.finish(&envelope, success("at the end")).await;
            }
            self.check().await;
        }
        for run in &self.runs {
            assert!(states(&self.ledger, *run).await.into_iter().all(JobState::is_terminal));
        }
    }

    async fn is_finished(&self) -> bool {
        for run in &self.runs {
            if run_state(&self.ledger, *run).await != RunState::Finished {
                return false;
            }
        }
        true
    }
}

/// At most one job of a key is live, and whatever is attached has a live twin.
fn check_twins(all: &[(usize, JobRow)]) {
    let mut live = BTreeSet::new();
    for (tenant, row) in all {
        if matches!(row.state, JobState::Ready | JobState::Dispatched) {
            assert!(live.insert((tenant, row.dedup_key)), "two live jobs: {row:?}");
        }
    }
    for (tenant, row) in all.iter().filter(|(_, row)| row.state == JobState::Attached) {
        assert!(live.contains(&(tenant, row.dedup_key)), "no live twin: {row:?}");
    }
}

/// A key whose results last has one result, whoever asks.
fn check_results(all: &[(usize, JobRow)]) {
    let lasting: BTreeSet<_> = (0..LASTING).map(|key| keyed_job(0, key).dedup_key).collect();
    let mut makers = BTreeMap::new();
    for (tenant, row) in all {
        if row.state == JobState::Succeeded && lasting.contains(&row.dedup_key) {
            let maker = row.result_of.unwrap_or(row.job_id);
            assert_eq!(*makers.entry((tenant, row.dedup_key)).or_insert(maker), maker, "{row:?}");
        }
    }
}

/// Plays random histories, each on a fresh ledger.
pub fn run_many<F, Keep>(fresh: impl Fn() -> F)
where
    F: Future<Output = (Subject, Keep)>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let config = Config { cases: 64, failure_persistence: None, ..Config::default() };
    let played = TestRunner::new(config).run(&vec(step(), 1..40), |steps| {
        runtime.block_on(async {
            let (ledger, _keep) = fresh().await;
            let mut history = History::begin(ledger).await;
            for step in steps {
                history.apply(step).await;
                history.check().await;
            }
            history.end().await;
        });
        Ok(())
    });
    if let Err(failure) = played {
        panic!("{failure}");
    }
}
