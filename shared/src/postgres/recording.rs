//! What workers read before their call and write after it.

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::value::RawValue;

use super::fault::{Fault, Result};
use super::finish::{Group, finish_all, finish_each};
use super::numbers::{number_of, to_ms};
use super::retry::{perform, transact, transact_repeatably};
use super::{PostgresLedger, detail, fast, validity};
use crate::domain::{JobId, PortError};
use crate::ports::{Finish, FinishLedger, Finished, New, Validity};

/// Commits in doubt that one group lives through.
const DOUBTS: u32 = 20;

impl PostgresLedger {
    /// A group in which no job is named twice. After a commit in doubt the group is finished once
    /// more, which waits for whatever is still under way and changes nothing that is settled; what
    /// is then no longer current was recorded if the ledger has its fence.
    async fn finish_group(&self, group: &[&Finish]) -> Result<Vec<Finished>> {
        let mut doubts = 0;
        loop {
            match self.try_group(group).await {
                Err(Fault::InDoubt(_)) if doubts < DOUBTS => {
                    doubts += 1;
                    tokio::time::sleep(Duration::from_millis(fastrand::u64(0..=u64::from(doubts) * 5))).await;
                }
                Ok(mut answers) if doubts > 0 => {
                    let recorded = perform!(self, connection => validity::recorded(&mut connection, group))?;
                    for (answer, finish) in answers.iter_mut().zip(group) {
                        if *answer == Finished::Stale && recorded.contains(&number_of(finish.job)) {
                            *answer = Finished::Recorded;
                        }
                    }
                    return Ok(answers);
                }
                other => return other,
            }
        }
    }

    async fn try_group(&self, group: &[&Finish]) -> Result<Vec<Finished>> {
        let mut recorded = HashSet::new();
        if group.iter().all(|finish| fast::plain(finish).is_some()) {
            match perform!(self, connection => fast::finish(&mut connection, group)) {
                Ok(done) => {
                    if done.news {
                        self.changes.raise(New::End);
                    }
                    recorded = done.recorded;
                }
                // One by one, below.
                Err(fault) if fault.is_about_the_row() => {}
                Err(fault) => return Err(fault),
            }
        }
        let rest: Vec<&Finish> =
            group.iter().filter(|finish| !recorded.contains(&finish.job)).copied().collect();
        let mut answers = self.finish_rest(&rest).await?.into_iter();
        let answer = |finish: &&Finish| {
            if recorded.contains(&finish.job) {
                Finished::Recorded
            } else {
                answers.next().expect("one answer for each of the rest")
            }
        };
        Ok(group.iter().map(answer).collect())
    }

    async fn finish_rest(&self, rest: &[&Finish]) -> Result<Vec<Finished>> {
        if rest.is_empty() {
            return Ok(Vec::new());
        }
        let mut group: Result<Group> = transact!(self, connection => finish_all(&mut connection, rest));
        if group.as_ref().is_err_and(super::fault::Fault::is_about_the_row) {
            group = transact!(self, connection => finish_each(&mut connection, rest));
        }
        let group = group?;
        if group.news {
            self.changes.raise(New::Moves);
        }
        self.share_later(group.unshared);
        Ok(group.answers)
    }
}

#[async_trait]
impl FinishLedger for PostgresLedger {
    async fn validity(
        &self,
        dispatches: Vec<(JobId, u64)>,
        renew_after: Duration,
    ) -> std::result::Result<Vec<Validity>, PortError> {
        if dispatches.is_empty() {
            return Ok(Vec::new());
        }
        let age = to_ms(renew_after);
        let found = perform!(self, connection => validity::of_all(&mut connection, &dispatches, age));
        let (answers, waited) = found.map_err(Fault::in_words)?;
        if !waited {
            return Ok(answers);
        }
        let answers = transact_repeatably!(self, connection => {
            validity::begin_anew(&mut connection, &dispatches, age)
        });
        answers.map_err(Fault::in_words)
    }

    async fn args(&self, job: JobId) -> std::result::Result<Option<Box<RawValue>>, PortError> {
        let args = perform!(self, connection => detail::args(&mut connection, job));
        args.map_err(Fault::in_words)
    }

    async fn finish(&self, finishes: Vec<Finish>) -> std::result::Result<Vec<Finished>, PortError> {
        let mut answers = vec![Finished::Stale; finishes.len()];
        let mut left: Vec<usize> = (0..finishes.len()).collect();
        // A job that is named twice: the second is asked after the first is recorded.
        while !left.is_empty() {
            let mut named = HashSet::new();
            let (now, later): (Vec<usize>, Vec<usize>) =
                left.into_iter().partition(|place| named.insert(finishes[*place].job));
            let group: Vec<&Finish> = now.iter().map(|place| &finishes[*place]).collect();
            let found = self.finish_group(&group).await.map_err(Fault::in_words)?;
            for (place, answer) in now.into_iter().zip(found) {
                answers[place] = answer;
            }
            left = later;
        }
        Ok(answers)
    }
}
