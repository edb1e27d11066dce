//! A provider to try things on: what `fleetline simulate` runs.
//!
//! It speaks OpenAI's chat completions and embeddings and a small JSON API, holds its callers to
//! strict limits (`limiter`), misbehaves on a time line (`faults`), and keeps a book of every call
//! (`ledger`). It shares no code with the parts of Fleetline that it checks.
//!
//! One call goes this way (`http`): faults that need no answer, the shape of the request
//! (`openai`), the limits, the latency, the answer, and the book.

mod clock;
mod distribution;
mod faults;
mod http;
mod ledger;
mod limiter;
mod openai;
mod options;
mod rate;
mod simulator;

pub use distribution::Distribution;
pub use faults::{Fault, FaultKind, Outage, parse_script};
pub use http::HeaderStyle;
pub use limiter::{Limits, Shape};
pub use options::Options;
pub use rate::Rate;
pub use simulator::Simulator;

/// A text that cannot be read, with what it should look like.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub(crate) String);
