//! Which ids a document defines, and of what.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::names::NameId;

/// Longer values are no ids.
const MAX_LENGTH: usize = 128;

/// Ids by the hash of their value, each with the names of the elements it identifies. A wrong match
/// among a million ids is one in ten million million look-ups.
#[derive(Debug)]
pub(super) struct Ids {
    defined: BTreeSet<(u64, NameId)>,
    max: usize,
    /// Ids left out because the table was full.
    pub(super) left_out: u64,
}

impl Ids {
    /// Will hold `max` ids.
    pub(super) fn new(max: u32) -> Self {
        Self { defined: BTreeSet::new(), max: max as usize, left_out: 0 }
    }

    /// `value` identifies an element named `kind`.
    pub(super) fn define(&mut self, value: &str, kind: NameId) {
        let value = value.trim();
        if value.is_empty() || value.len() > MAX_LENGTH {
            return;
        }
        let id = (hash(value), kind);
        if self.defined.len() < self.max {
            self.defined.insert(id);
        } else {
            self.left_out += u64::from(!self.defined.contains(&id));
        }
    }

    /// What `value` identifies; usually one element name, or none.
    pub(super) fn kinds(&self, value: &str) -> impl Iterator<Item = NameId> + '_ {
        let hash = hash(value);
        let first = (hash, NameId::default());
        self.defined.range(first..).take_while(move |(other, _)| *other == hash).map(|(_, kind)| *kind)
    }
}

/// Whether a value may be taken for an id though its field's name does not say "reference": not a
/// word, not a small number.
pub(super) fn looks_like_id(value: &str) -> bool {
    let has = |test: fn(&u8) -> bool| value.as_bytes().iter().any(test);
    let digits = has(u8::is_ascii_digit);
    value.len() <= MAX_LENGTH
        && digits
        && (value.len() >= 6 || (value.len() >= 3 && has(u8::is_ascii_alphabetic)))
}

fn hash(value: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::names::Names;

    #[test]
    fn keeps_every_kind_of_a_value() {
        let mut names = Names::new();
        let [order, item] = ["Order", "Item"].map(|name| names.name(name).unwrap());
        let mut ids = Ids::new(3);
        ids.define(" A1 ", order);
        ids.define("A1", item);
        ids.define("A2", item);
        ids.define("A3", item);
        ids.define("A1", item);
        assert_eq!(ids.kinds("A1").collect::<Vec<_>>(), [order, item]);
        assert_eq!(ids.kinds("A3").count(), 0);
        assert_eq!(ids.left_out, 1);
    }

    #[test]
    fn words_and_small_numbers_are_no_ids() {
        for (value, expected) in
            [("PAX1", true), ("482915", true), ("2021", false), ("true", false), ("A1", false), ("SD1", true)]
        {
            assert_eq!(looks_like_id(value), expected, "{value}");
        }
    }
}
