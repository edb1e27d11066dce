//! Counts events by fingerprint. One entry takes about 50 bytes, so a million are no burden.

use std::collections::HashMap;

use super::fingerprint::Fingerprint;

/// A map doubles when it is full; several small ones never double at once.
const SHARDS: usize = 64;

/// The groups seen so far, numbered from 0 in order of first sight.
pub struct Groups {
    numbers: Vec<HashMap<Fingerprint, u32>>,
    counts: Vec<u64>,
}

impl Default for Groups {
    fn default() -> Self {
        Self { numbers: vec![HashMap::new(); SHARDS], counts: Vec::new() }
    }
}

impl Groups {
    /// Counts one event; the number of its group if it is the first of it.
    pub fn add(&mut self, fingerprint: Fingerprint) -> Option<u64> {
        let shard = usize::from(fingerprint.as_bytes()[0]) % SHARDS;
        let next = u32::try_from(self.counts.len()).expect("fewer than 2^32 groups fit in memory");
        let number = *self.numbers[shard].entry(fingerprint).or_insert(next);
        if number == next {
            self.counts.push(1);
            return Some(u64::from(number));
        }
        self.counts[number as usize] += 1;
        None
    }

    /// How many groups there are.
    pub fn len(&self) -> u64 {
        self.counts.len() as u64
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Number and count of the groups with more than one event.
    pub fn repeated(&self) -> Vec<(u64, u64)> {
        (0..).zip(self.counts.iter().copied()).filter(|(_, count)| *count != 1).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::{LogEvent, fingerprint};

    fn of(message: &str) -> Fingerprint {
        fingerprint(&LogEvent { message: message.to_owned(), ..LogEvent::default() }).fingerprint
    }

    #[test]
    fn groups_are_numbered_at_first_sight_and_counted() {
        let mut groups = Groups::default();
        let added: Vec<_> =
            ["a", "b 1", "a", "b 2", "c", "b 3"].into_iter().map(|text| groups.add(of(text))).collect();
        assert_eq!(added, [Some(0), Some(1), None, None, Some(2), None]);
        assert_eq!((groups.len(), groups.repeated()), (3, vec![(0, 2), (1, 3)]));
    }
}
