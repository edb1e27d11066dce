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
    /// The elements above, outermost first.
    pub ancestors: Vec<Ancestor>,
    /// The subtree as canonical XML, with the namespace declarations it needs.
    pub xml: String,
    /// What the rest of the document says about this subtree.
    #[serde(default)]
    pub context: NodeContext,
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
    /// Ids defined elsewhere in the document whose values occur in this subtree.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known_ids: Vec<KnownId>,
    /// Children and attributes that most siblings of the same path have.
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
    /// Share of the siblings that have it, in percent.
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
