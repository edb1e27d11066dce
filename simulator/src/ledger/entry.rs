//! One call in the book.

use serde::{Serialize, Serializer};

/// One call. Serialised, it is a line of the ledger.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Entry {
    /// From 1, in order of arrival.
    pub(crate) seq: u64,
    /// Arrival of the whole request: microseconds since 1970, by a clock that never goes back.
    pub(crate) at_us: u64,
    /// `chat`, `embeddings`, `echo`.
    pub(crate) endpoint: &'static str,
    /// Tells keys apart without showing them.
    pub(crate) key: Option<Box<str>>,
    /// What the caller calls this call.
    pub(crate) marker: Option<Box<str>>,
    pub(crate) model: Option<Box<str>>,
    /// Equal for calls that ask the same of the same model.
    #[serde(serialize_with = "hex")]
    pub(crate) content: u64,
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    /// Whether it used quota.
    pub(crate) charged: bool,
    pub(crate) verdict: Verdict,
    /// Which limit, or which fault.
    pub(crate) why: Option<Box<str>>,
    pub(crate) status: Option<u16>,
    /// From arrival to the begin of the answer.
    pub(crate) latency_us: Option<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's interface")]
fn hex<S: Serializer>(content: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{content:016x}"))
}

/// The begin of a text from outside: lines of the ledger have a bounded size.
pub(crate) fn short(text: &str) -> Box<str> {
    const MOST: usize = 80;
    text[..text.floor_char_boundary(MOST)].into()
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// It has no answer yet.
    Open,
    /// It got what it asked for.
    Served,
    /// It met a limit.
    Limited,
    /// It was not as it should be.
    Invalid,
    /// A fault hit it.
    Fault,
    /// Its caller left before the answer.
    Left,
}
