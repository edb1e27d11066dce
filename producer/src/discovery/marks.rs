//! Elements that the second reading must handle with care. One bit per element is the only thing
//! that grows with a document.

use std::collections::HashSet;

use super::options::DiscoveryOptions;

/// Elements that need care.
#[derive(Default)]
pub(super) struct Marks {
    /// Above the size limit, with child elements: to be split.
    pub(super) split: Bits,
    /// Above the size limit, without child elements.
    pub(super) huge_leaves: HashSet<u64>,
    /// White space between their children counts.
    pub(super) keep_space: Bits,
}

impl Marks {
    /// Notes what the size of an element means for it.
    pub(super) fn size(&mut self, element: u64, size: u64, has_children: bool, options: &DiscoveryOptions) {
        if size <= options.max_subtree {
            return;
        }
        if has_children {
            self.split.set(element);
        } else {
            self.huge_leaves.insert(element);
        }
    }
}

/// A set of small numbers.
#[derive(Debug, Default)]
pub(super) struct Bits {
    words: Vec<u64>,
}

impl Bits {
    /// Adds `number`.
    pub(super) fn set(&mut self, number: u64) {
        let (word, bit) = place(number);
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= bit;
    }

    /// Whether `number` is in the set.
    pub(super) fn get(&self, number: u64) -> bool {
        let (word, bit) = place(number);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }
}

fn place(number: u64) -> (usize, u64) {
    let word = usize::try_from(number / 64).expect("element numbers fit the address space");
    (word, 1 << (number % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_was_set_and_nothing_else() {
        let mut bits = Bits::default();
        for number in [0, 63, 64, 1_000] {
            bits.set(number);
        }
        let held: Vec<u64> = (0..2_000).filter(|number| bits.get(*number)).collect();
        assert_eq!(held, [0, 63, 64, 1_000]);
    }
}
