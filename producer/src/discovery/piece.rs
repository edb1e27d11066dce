//! What the second reading gives: the pieces of a document, each one job.

use std::collections::HashMap;
use std::ops::ControlFlow;

use fleetline_shared::domain::{Ancestor, NodeContext, NodeShape};

use super::paths::PathId;

/// One piece of a document.
#[derive(Clone, Debug)]
pub struct Piece {
    /// Whole node or residue.
    pub shape: NodeShape,
    /// Local name of the root element.
    pub node_type: String,
    /// Path of the root element, with positions.
    pub path: String,
    /// Number in document order, from 1.
    pub ordinal: u64,
    /// The elements above, outermost first.
    pub ancestors: Vec<Ancestor>,
    /// Canonical XML.
    pub xml: String,
    /// What the document says about this piece.
    pub context: NodeContext,
    /// Elements that belong to this piece; repeated containers are not among them.
    pub elements: u64,
}

/// How the elements of a row of the split came to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Fate {
    /// Jobs of that shape.
    Job(NodeShape),
    /// Left out by the node configuration's entry of that number.
    Skipped(usize),
}

/// Sums of one path and fate.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    pub(super) pieces: u64,
    pub(super) elements: u64,
    pub(super) bytes: u64,
    pub(super) tokens: u64,
}

/// Takes pieces, numbers and counts them.
pub(super) struct Output<'a> {
    sink: &'a mut dyn FnMut(Piece) -> ControlFlow<()>,
    ordinals: u64,
    pub(super) sums: HashMap<(PathId, Fate), Sums>,
    /// Whether the sink wants no more.
    pub(super) stopped: bool,
}

impl<'a> Output<'a> {
    pub(super) fn new(sink: &'a mut dyn FnMut(Piece) -> ControlFlow<()>) -> Self {
        Self { sink, ordinals: 0, sums: HashMap::new(), stopped: false }
    }

    /// The number of a piece whose first element begins now.
    pub(super) fn next_ordinal(&mut self) -> u64 {
        self.ordinals += 1;
        self.ordinals
    }

    /// Hands a piece over, unless the sink has had enough.
    pub(super) fn send(&mut self, path: PathId, piece: Piece) {
        if self.stopped {
            return;
        }
        let sums = self.sums.entry((path, Fate::Job(piece.shape))).or_default();
        let bytes = piece.xml.len() as u64;
        sums.pieces += 1;
        sums.elements += piece.elements;
        sums.bytes += bytes;
        sums.tokens += estimate_tokens(bytes);
        self.stopped = (self.sink)(piece).is_break();
    }

    /// Counts an element that is left out; `root` if it is the one that the pattern names.
    pub(super) fn skip(&mut self, path: PathId, rule: usize, root: bool) {
        let sums = self.sums.entry((path, Fate::Skipped(rule))).or_default();
        sums.pieces += u64::from(root);
        sums.elements += 1;
    }
}

/// Tokens of a text: four bytes each, the rule of thumb for English and markup.
pub fn estimate_tokens(bytes: u64) -> u64 {
    bytes.div_ceil(4)
}
