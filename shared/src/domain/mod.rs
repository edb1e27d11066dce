//! The words of Fleetline as types. Nothing here does I/O.

mod appraisal;
mod args;
mod envelope;
mod error;
mod feedback;
mod finding;
mod ids;
mod job;
mod kind;
mod outcome;
mod run;
mod source;
mod tenant;
mod weights;

pub use appraisal::Appraisal;
pub use args::{
    AnalyserRef, Ancestor, KnownId, LogArgs, NodeArgs, NodeContext, NodeShape, UsualPart, cut_marks,
};
pub use envelope::{ENVELOPE_VERSION, Envelope, EnvelopeError, LARGEST_ARGS};
pub use error::{JobError, PortError};
pub use feedback::{Dimension, DimensionStanding, Feedback, Spend, Verdict};
pub use finding::Finding;
pub use ids::{JobId, RunId};
pub use job::{DedupKey, Estimate, JobState, NewJob, Usage};
pub use kind::{CallContext, Done, DynKind, ErasedDone, Kind, KindPolicy, Registry};
pub use outcome::{DeadReason, Decision, FailureClass, Outcome};
pub use run::{IfLeft, NewRun, RunCounts, RunState};
pub use source::Source;
pub use tenant::is_tenant_name;
pub use weights::Weights;
