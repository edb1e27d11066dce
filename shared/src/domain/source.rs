//! Where in its input a job came from.

use serde::{Deserialize, Serialize};

/// The place in the input that a job stands for. Shown with every result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Source {
    /// A subtree of an XML document.
    Node {
        /// Name of the input, as the user gave it.
        input: String,
        /// Path of the subtree from the root, with positions: `/Order/Items/Item[3]`.
        path: String,
        /// Number of the node in the document, from 1, in document order.
        ordinal: u64,
    },
    /// One or more lines of a log.
    Lines {
        /// Name of the input, as the user gave it.
        input: String,
        /// First line of the event that stands for the job, from 1.
        first_line: u64,
        /// Last line of that event.
        last_line: u64,
    },
    /// A job that a service asked for without saying where it came from.
    Request {
        /// Its number in the request, from 0.
        index: u64,
    },
    /// A job that another job's success brought forth.
    FollowUp {
        /// Id of that other job.
        follows: super::JobId,
    },
}
