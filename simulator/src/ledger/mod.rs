//! The book of every call.

mod entry;
mod summary;

use std::collections::VecDeque;
use std::time::Duration;

pub(crate) use self::entry::{Entry, Verdict, short};
pub(crate) use self::summary::Summary;
use self::summary::Totals;

/// All calls since the start or since it was cleared, up to a limit.
#[derive(Debug)]
pub(crate) struct Ledger {
    entries: VecDeque<Entry>,
    limit: usize,
    next_seq: u64,
    /// Calls before this number were forgotten.
    since: u64,
    totals: Totals,
}

impl Ledger {
    /// Keeps the latest `limit` calls; older ones stay in the totals alone.
    pub(crate) fn new(limit: usize) -> Self {
        Self { entries: VecDeque::new(), limit, next_seq: 1, since: 1, totals: Totals::default() }
    }

    /// Writes a call down as it comes; returns its number, from 1 and never used again.
    pub(crate) fn open(&mut self, mut entry: Entry) -> u64 {
        entry.seq = self.next_seq;
        self.next_seq += 1;
        self.totals.begin();
        if self.entries.len() == self.limit {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
        self.next_seq - 1
    }

    /// Changes a call, if it is still there.
    pub(crate) fn amend(&mut self, seq: u64, amend: impl FnOnce(&mut Entry)) {
        let first = self.first_seq();
        let place = seq.checked_sub(first).and_then(|place| usize::try_from(place).ok());
        if let Some(entry) = place.and_then(|place| self.entries.get_mut(place)) {
            amend(entry);
        }
    }

    /// Notes the end of a call.
    pub(crate) fn close(&mut self, seq: u64, verdict: Verdict, status: Option<u16>, latency: Duration) {
        self.totals.end((seq >= self.since).then_some((verdict, status)));
        self.amend(seq, |entry| {
            entry.verdict = verdict;
            entry.status = status;
            entry.latency_us = Some(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
        });
    }

    /// Forgets all calls. Those under way are not counted when they end.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.since = self.next_seq;
        self.totals.restart();
    }

    /// Up to `most` calls with larger numbers than `after`, in order of arrival.
    pub(crate) fn page(&self, after: u64, most: usize) -> impl Iterator<Item = &Entry> {
        let skipped = usize::try_from((after + 1).saturating_sub(self.first_seq())).unwrap_or(usize::MAX);
        self.entries.iter().skip(skipped).take(most)
    }

    /// In numbers. `windows` are those of the limits on calls and tokens.
    pub(crate) fn summary(&self, windows: [Option<Duration>; 2]) -> Summary {
        Summary::new(&self.totals, &self.entries, windows)
    }

    fn first_seq(&self) -> u64 {
        self.next_seq - self.entries.len() as u64
    }
}
