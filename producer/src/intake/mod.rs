//! What every way in has in common: requests are looked at first, accepted as a whole or not at
//! all, and the same request twice is one run.
//!
//! - [`requests`]: from JSON to [`JobRequest`]s.
//! - [`jobs`]: single jobs go to the ledger as a run of the pipeline `jobs`.
//! - [`files`]: whole files go through a pipeline, as a stream.

mod check;
pub mod files;
pub mod jobs;
mod problems;
pub mod requests;
mod shape;

pub use files::{
    FileAccepted, FileFault, FilePipeline, FileRejected, FileRequest, Left, Pipelines, Submissions,
    submit_file,
};
pub use jobs::{Accepted, AcceptedJob, NewJobs, Rejected, submit_jobs};
pub use problems::JobProblem;
pub(crate) use problems::MOST_PROBLEMS;
pub use requests::{JobLimits, JobRequest, JobRequests, Unreadable, read_requests};
