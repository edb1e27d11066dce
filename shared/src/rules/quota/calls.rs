//! Calls under way: for concurrency, and to correct what they use when they end.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::Spend;

/// The calls of one upstream that were given a slot and have not ended.
#[derive(Clone, Debug)]
pub(super) struct Calls {
    limit: Option<u32>,
    last_id: u64,
    by_id: BTreeMap<u64, Call>,
    by_end: BTreeSet<(u64, u64)>,
}

/// One call under way.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) slot: u64,
    pub(super) spend: Spend,
    /// The parts of the upstream whose limits it took from.
    pub(super) parts: Vec<String>,
    pub(super) end: u64,
}

impl Calls {
    pub(super) fn new(limit: Option<u32>) -> Self {
        Self { limit, last_id: 0, by_id: BTreeMap::new(), by_end: BTreeSet::new() }
    }

    pub(super) fn limit(&self) -> Option<u64> {
        self.limit.map(u64::from)
    }

    /// If none of so many places is free, when one gets free by itself.
    pub(super) fn full_until(&mut self, places: Option<u64>, now: u64) -> Option<u64> {
        let limit = usize::try_from(places?).unwrap_or(usize::MAX);
        if self.under_way(now) < limit {
            return None;
        }
        self.by_end.first().map(|(end, _)| *end)
    }

    /// How many there are, without those whose time is over: their worker died.
    pub(super) fn under_way(&mut self, now: u64) -> usize {
        while let Some(&(end, id)) = self.by_end.first()
            && end <= now
        {
            self.by_end.pop_first();
            self.by_id.remove(&id);
        }
        self.by_id.len()
    }

    pub(super) fn begin(&mut self, call: Call) -> u64 {
        self.last_id += 1;
        self.by_end.insert((call.end, self.last_id));
        self.by_id.insert(self.last_id, call);
        self.last_id
    }

    /// The number given last.
    pub(super) fn last_id(&self) -> u64 {
        self.last_id
    }

    /// A call under way.
    pub(super) fn get(&mut self, id: u64, now: u64) -> Option<&Call> {
        self.under_way(now);
        self.by_id.get(&id)
    }

    pub(super) fn end(&mut self, id: u64, now: u64) -> Option<Call> {
        self.under_way(now);
        let call = self.by_id.remove(&id)?;
        self.by_end.remove(&(call.end, id));
        Some(call)
    }
}
