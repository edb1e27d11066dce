//! Values that name other elements.

use std::collections::{BTreeSet, HashMap};

use fleetline_shared::domain::args::NodeContext;

use super::draft::Draft;
use super::element::id_field;
use super::values::Field;
use crate::answers::Reference;

/// Values of fewer characters that are numbers say nothing unless the field's name does.
const TELLING_DIGITS: usize = 4;

/// Longest first, so that `SegmentRefIDs` loses all of its suffix.
const REFERENCE_SUFFIXES: &[&str] = &[
    "ReferenceIDs",
    "ReferenceID",
    "References",
    "Reference",
    "RefIDs",
    "RefID",
    "RefIds",
    "RefId",
    "IDREFS",
    "IDREF",
    "Refs",
    "Ref",
    "_refs",
    "_ref",
    "-refs",
    "-ref",
    "_reference",
    "-reference",
];

/// Ids and the local name of the element that each identifies.
pub(super) struct Ids {
    elsewhere: HashMap<String, String>,
    here: HashMap<String, String>,
}

impl Ids {
    /// Those that the document defines elsewhere, and those of the subtree's own elements.
    pub(super) fn new(context: &NodeContext, drafts: &[Draft]) -> Self {
        let elsewhere = context.known_ids.iter().map(|id| (id.value.clone(), id.kind.clone())).collect();
        let here = drafts
            .iter()
            .filter_map(|draft| Some((id_field(draft.node)?.1, draft.node.tag_name().name().to_owned())))
            .collect();
        Self { elsewhere, here }
    }

    /// Without the document's ids nothing can be called undefined.
    fn complete(&self) -> bool {
        !self.elsewhere.is_empty()
    }
}

/// What the fields of one fact refer to.
#[derive(Default)]
pub(super) struct Found {
    /// Without repetitions, in document order.
    pub(super) references: Vec<Reference>,
    /// Those whose value no element of the document has as id.
    pub(super) undefined: BTreeSet<Reference>,
}

/// Finds the references among the fields of a draft.
pub(super) fn find(draft: &Draft, fields: &[Field], ids: &Ids) -> Found {
    let own_id = id_field(draft.node);
    let own_kind = draft.node.tag_name().name();
    let mut found = Found::default();
    for field in fields {
        let is_own =
            own_id.as_ref().is_some_and(|(name, value)| *name == field.name && *value == field.value);
        // `OfferID` in an `OfferItem` looks like an own id; the document may know better.
        if is_own && ids.elsewhere.get(&field.value).is_none_or(|kind| kind == own_kind) {
            continue;
        }
        for reference in of_field(field, own_kind, ids, &mut found.undefined) {
            if !found.references.contains(&reference) {
                found.references.push(reference);
            }
        }
    }
    found
}

fn of_field(field: &Field, element: &str, ids: &Ids, undefined: &mut BTreeSet<Reference>) -> Vec<Reference> {
    let reference = |kind: &str, value: &str| Reference {
        kind: kind.to_owned(),
        field: field.name.clone(),
        value: value.to_owned(),
    };
    let Some(stem) = reference_stem(&field.local) else {
        let known = ids.elsewhere.get(&field.value).filter(|kind| telling(field, kind));
        return known.map(|kind| reference(kind, &field.value)).into_iter().collect();
    };
    let mut references = Vec::new();
    for value in field.value.split_whitespace() {
        if let Some(kind) = ids.elsewhere.get(value).or_else(|| ids.here.get(value)) {
            references.push(reference(kind, value));
        } else if looks_like_id(value) {
            let guessed = reference(if stem.is_empty() { element } else { stem }, value);
            if ids.complete() {
                undefined.insert(guessed.clone());
            }
            references.push(guessed);
        }
    }
    references
}

/// What a reference's name says it refers to: `Segment` of `SegmentRefs`, nothing of `ref`.
fn reference_stem(local: &str) -> Option<&str> {
    if ["ref", "refs", "idref", "idrefs", "reference"].iter().any(|whole| local.eq_ignore_ascii_case(whole)) {
        return Some("");
    }
    let stem = REFERENCE_SUFFIXES.iter().find_map(|suffix| local.strip_suffix(suffix))?;
    (!stem.is_empty()).then_some(stem)
}

/// Whether equality with an id is no mere chance: a short number needs a name that fits.
fn telling(field: &Field, kind: &str) -> bool {
    let is_number = field.value.chars().all(|c| c.is_ascii_digit());
    let name = field.local.to_lowercase();
    !is_number
        || field.value.len() >= TELLING_DIGITS
        || field.kind == "id"
        || name.contains(&kind.to_lowercase())
}

/// Words of a sentence are no references, `SEG9` is one.
fn looks_like_id(value: &str) -> bool {
    value.chars().any(|c| c.is_ascii_digit() || c == '_')
}
