//! How complete an element is, and how sure we are of its fact.

use fleetline_shared::domain::args::UsualPart;
use roxmltree::Node;

use super::Read;
use super::draft::{Draft, Own, plain_path};
use super::element::{child_name, is_partial};
use super::types::TEXT;
use crate::answers::{Quality, QualityStatus};

/// What a fact of nothing but untyped text loses.
const TEXT_PENALTY: f64 = 0.3;
/// What a fact of nothing but undefined references loses.
const UNDEFINED_PENALTY: f64 = 0.2;
/// How sure we are of an element without any value.
const NO_VALUES: f64 = 0.5;

/// What is missing in a fact's element and the elements it speaks for.
pub(super) fn judge(draft: &Draft, read: &Read, usual: &[UsualPart]) -> Quality {
    let mut missing = Vec::new();
    if !usual.is_empty() {
        let whole = draft.own.iter().filter(|own| !is_partial(own.node));
        missing.extend(whole.flat_map(|own| lacking(own, usual)));
    }
    let empty = read.fields.iter().filter(|field| field.value.is_empty());
    missing.extend(empty.map(|field| format!("{} (empty)", field.name)));
    let undefined = read.found.undefined.iter();
    missing.extend(undefined.map(|r| format!("{} -> {} (not defined in the document)", r.field, r.value)));
    Quality { status: status(draft, read, &missing), missing }
}

fn status(draft: &Draft, read: &Read, missing: &[String]) -> QualityStatus {
    let has_values = read.fields.iter().any(|field| !field.value.is_empty());
    let has_children = draft.node.children().any(|child| child_name(child).is_some());
    match (has_values || has_children, missing.is_empty()) {
        (false, _) => QualityStatus::Empty,
        (true, true) => QualityStatus::Complete,
        (true, false) => QualityStatus::Partial,
    }
}

/// Parts that most siblings of the element have and that it lacks.
fn lacking(own: &Own, usual: &[UsualPart]) -> Vec<String> {
    let path = plain_path(own.node);
    let slash = if own.key.is_empty() { "" } else { "/" };
    usual
        .iter()
        .filter(|part| part.of == path && !has_part(own.node, &part.name))
        .map(|part| format!("{}{slash}{} ({} % of its siblings have it)", own.key, part.name, part.percent))
        .collect()
}

fn has_part(node: Node, part: &str) -> bool {
    match part.strip_prefix('@') {
        Some(name) => node.attributes().any(|attribute| attribute.name() == name),
        None => node.children().any(|child| child_name(child) == Some(part)),
    }
}

/// How sure we are, from 0.5 to 1, to two places.
///
/// 1 if each value has a type and each reference an element; minus 0.3 times the share of values
/// that are mere text, minus 0.2 times the share of references to nothing. 0.5 without any value.
pub(super) fn confidence(read: &Read) -> f64 {
    let values = read.fields.iter().filter(|field| !field.value.is_empty()).count();
    if values == 0 {
        return NO_VALUES;
    }
    let texts = read.fields.iter().filter(|field| !field.value.is_empty() && field.kind == TEXT).count();
    let references = read.found.references.len().max(1);
    let undefined = read.found.undefined.len() as f64 / references as f64;
    let confidence = 1.0 - TEXT_PENALTY * texts as f64 / values as f64 - UNDEFINED_PENALTY * undefined;
    (confidence * 100.0).round() / 100.0
}
