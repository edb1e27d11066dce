//! What every way in has in common: requests are looked at first, accepted as a whole or not at
//! all, and the same request twice is one run.
//!
//! - [`requests`]: from JSON to [`JobRequest`]s.
//! - [`jobs`]: single jobs go to the ledger as a run of the pipeline `jobs`.
//! - [`files`]: whole files go through a pipeline, as a stream.

mod check;
pub mod files;
pub mod jobs;
pub mod requests;

pub use files::{
    FileAccepted, FileFault, FilePipeline, FileRejected, FileRequest, Left, Pipelines, Submissions,
    submit_file,
};
pub use jobs::{Accepted, AcceptedJob, Rejected, submit_jobs};
pub use requests::{JobLimits, JobProblem, JobRequest, JobRequests, Unreadable, read_requests};
