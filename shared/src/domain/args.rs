//! The args that pipelines write and kinds read: a wire format, so additions only.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Which analyser a job asks for. Part of the dedup key, so the worker must use this one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AnalyserRef {
    /// `builtin` or `openai`.
    pub name: String,
    /// The model, where the analyser has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Version of its prompt or rules; a change makes other dedup keys.
    pub version: String,
}

/// Args of `node.extract`: one subtree of an XML document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeArgs {
    /// Who is to extract.
    pub analyser: AnalyserRef,
    /// Local name of the subtree's root element.
    pub node_type: String,
    /// Path from the document's root, with positions: `/Order/Items/Item[3]`.
    pub path: String,
    /// Number of the node in the document, from 1.
    pub ordinal: u64,
    /// Whether this is a whole node or what stays of elements that were cut up. For people: it is
    /// not part of the dedup key, analysers go by the marks in `xml` (see [`cut_marks`]).
    #[serde(default)]
    pub shape: NodeShape,
    /// The elements above, outermost first. If `xml` starts with [`cut_marks::CONTINUED`], its root
    /// is the last of them.
    pub ancestors: Vec<Ancestor>,
    /// The subtree as canonical XML, with the namespace declarations it needs.
    pub xml: String,
    /// What the rest of the document says about this subtree.
    #[serde(default)]
    pub context: NodeContext,
}

/// What a job of `node.extract` holds of the document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeShape {
    /// A node with all that is in it.
    #[default]
    Whole,
    /// The document, or a part of it, without its nodes.
    Skeleton,
    /// A part of a node that is too large for one job.
    Split,
    /// A node that is too large and cannot be split: a single long text.
    Oversize,
}

/// Processing instructions in [`NodeArgs::xml`] that say what is in other jobs. A document's own
/// instructions are dropped, so there is no mistaking.
pub mod cut_marks {
    /// `<?cut Item 12?>`: here, 12 elements `Item` belong to other jobs. Counted with those that
    /// are there they give each sibling its position.
    pub const CUT: &str = "cut";
    /// `<?skipped Item 12?>`: here, 12 elements `Item` are left out by the node configuration.
    pub const SKIPPED: &str = "skipped";
    /// `<?continued?>`, first in an element: its start, with its attributes, is in another job. The
    /// element belongs to that job and is only repeated here to hold its children.
    pub const CONTINUED: &str = "continued";
    /// `<?continues?>`, last in an element: more of it is in another job.
    pub const CONTINUES: &str = "continues";
}

/// An element above a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ancestor {
    /// Local name.
    pub name: String,
    /// Its attributes, without namespace declarations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

/// Facts about the document that one subtree alone does not show.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeContext {
    /// Ids that elements of the document have and that fields of this subtree refer to. An element's
    /// own id is not among them unless something here refers to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known_ids: Vec<KnownId>,
    /// Children and attributes that most elements of the same path have and that at least one
    /// element of this subtree lacks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub usual_parts: Vec<UsualPart>,
}

/// An id that the document defines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownId {
    /// The id's value.
    pub value: String,
    /// Local name of the element that it identifies, `Passenger`.
    pub kind: String,
}

/// A child or attribute that elements of one path usually have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsualPart {
    /// Element path relative to the subtree's root (`.` is the root itself, then `Name/Given`).
    pub of: String,
    /// Name of the part; attributes start with `@`.
    pub name: String,
    /// Share of the document's elements of that path that have it, in percent, below 100.
    pub percent: u8,
}

/// Args of `log.analyze`: one event that stands for all with its fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogArgs {
    /// Who is to analyse.
    pub analyser: AnalyserRef,
    /// Name of the logger or component; empty if the line names none.
    pub logger: String,
    /// Level as written, in upper case (`ERROR`); empty if unknown.
    pub level: String,
    /// The message, first line first; a stack trace is in `stack`.
    pub message: String,
    /// The joined lines after the first: a stack trace, usually.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
    /// Time as written in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// The service or host, where the log names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Hex fingerprint of logger and masked message.
    pub fingerprint: String,
    /// The message with its varying parts masked.
    pub template: String,
}
