//! Inputs whose jobs are known beforehand.

use std::fmt::Write;
use std::ops::Range;

/// An XML document of items, each of which becomes one job.
#[derive(Clone, Debug)]
pub struct Input {
    /// Numbers of the items. The same number in two inputs is the same call.
    pub items: Range<usize>,
    /// Whether there is one more, which kills workers that are told to die of it.
    pub is_poisonous: bool,
}

impl Input {
    /// What the args of a poisonous job contain.
    pub const POISON: &str = "thing of poison";

    /// These items.
    pub fn new(items: Range<usize>) -> Self {
        Self { items, is_poisonous: false }
    }

    /// The same with a poisonous item.
    #[must_use]
    pub fn with_poison(self) -> Self {
        Self { is_poisonous: true, ..self }
    }

    /// The document. Its items differ in their numbers; what holds them differs with the range.
    pub fn document(&self) -> String {
        let mut items = String::new();
        for n in self.items.clone() {
            write!(items, "<Item><Name>thing {n}</Name><Price><Total>{n}.50</Total></Price></Item>")
                .expect("a string takes text");
        }
        if self.is_poisonous {
            write!(items, "<Item><Name>{}</Name></Item>", Self::POISON).expect("a string takes text");
        }
        let id = format!("{}-{}", self.items.start, self.items.end);
        format!("<Order OrderID='{id}'><Buyer>somebody</Buyer><Items>{items}</Items></Order>")
    }
}
