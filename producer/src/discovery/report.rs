//! What a split found, for people and programs.

use serde::Serialize;

use super::tree::SplitTree;

/// The account of one split.
///
/// `elements == elements_in_jobs + elements_skipped + elements_lost`, unless `stopped`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct XmlReport {
    /// Bytes of the document as UTF-8.
    pub bytes: u64,
    /// Elements of the document.
    pub elements: u64,
    /// Elements that belong to a job, each to exactly one.
    pub elements_in_jobs: u64,
    /// Elements left out by the node configuration.
    pub elements_skipped: u64,
    /// Elements of the node in which a malformed document broke off.
    pub elements_lost: u64,
    /// Jobs.
    pub jobs: u64,
    /// Bytes of canonical XML in the jobs.
    pub job_bytes: u64,
    /// Comments, which jobs leave out.
    pub comments: u64,
    /// Processing instructions, which jobs leave out.
    pub instructions: u64,
    /// How deep elements nest.
    pub depth: u64,
    /// What the node configuration left out, one entry for each disabled node.
    pub skipped: Vec<SkippedNode>,
    /// What a person should know: limits reached, patterns that cover nothing.
    pub notes: Vec<String>,
    /// The error at which reading ended, with `on_malformed = "keep"`.
    pub error: Option<String>,
    /// Whether the receiver of the jobs wanted no more.
    pub stopped: bool,
    /// The jobs by path.
    pub tree: SplitTree,
}

/// What one disabled node left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SkippedNode {
    /// Its pattern.
    pub pattern: String,
    /// Its label, if it has one.
    pub name: Option<String>,
    /// Elements that the pattern covers.
    pub nodes: u64,
    /// Those and all in them.
    pub elements: u64,
}
