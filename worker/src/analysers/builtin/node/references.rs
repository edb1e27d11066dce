//! Which values are ids of other elements.

use std::collections::HashMap;

use fleetline_shared::domain::KnownId;
use roxmltree::Node;

use super::fields::Field;
use crate::analysers::xml::{own_id, referred_kind};
use crate::kinds::node_extract::Reference;

/// Ids in one field, as in `PassengerRefs="PAX1 PAX2"`.
const MAX_LIST: usize = 50;

/// The ids that the document defines, with the kind of element that each identifies.
pub(super) struct KnownIds {
    kinds: HashMap<String, String>,
}

impl KnownIds {
    /// Those of the rest of the document, and those of this subtree.
    pub(super) fn of(elsewhere: &[KnownId], root: Node) -> Self {
        let elsewhere = elsewhere.iter().map(|id| (id.value.clone(), id.kind.clone()));
        let here = root.descendants().filter(Node::is_element);
        let here = here.filter_map(|node| Some((own_id(node)?, node.tag_name().name().to_owned())));
        Self { kinds: elsewhere.chain(here).collect() }
    }

    /// What a field refers to: known ids, or what its name says it refers to.
    pub(super) fn references(&self, field: &Field) -> Vec<Reference> {
        if field.is_identity || field.value.is_empty() {
            return Vec::new();
        }
        let reference = |kind: &str, value: &str, resolved| Reference {
            kind: kind.to_owned(),
            field: field.key.clone(),
            value: value.to_owned(),
            resolved,
        };
        let named = referred_kind(field.name);
        if let Some(kind) = self.kind(&field.value, field, named.is_some()) {
            return vec![reference(kind, &field.value, true)];
        }
        let words: Vec<&str> = field.value.split_whitespace().take(MAX_LIST).collect();
        match named {
            Some(guess) => words
                .iter()
                .map(|word| match self.kind(word, field, true) {
                    Some(kind) => reference(kind, word, true),
                    None => reference(or_name(guess, field.name), word, false),
                })
                .collect(),
            None => words
                .iter()
                .map(|word| Some(reference(self.kind(word, field, false)?, word, true)))
                .collect::<Option<_>>()
                .unwrap_or_default(),
        }
    }

    /// The kind of element that a value identifies. Unless the field's name says that it refers,
    /// the value must not look like a number or a word that is there by chance.
    fn kind(&self, value: &str, field: &Field, refers: bool) -> Option<&str> {
        let kind = self.kinds.get(value.trim_start_matches('#'))?;
        let says_kind = field.name.to_lowercase().contains(&kind.to_lowercase());
        (refers || says_kind || is_distinctive(value)).then_some(kind)
    }
}

fn or_name<'a>(guess: &'a str, name: &'a str) -> &'a str {
    if guess.is_empty() { name } else { guess }
}

fn is_distinctive(value: &str) -> bool {
    value.len() >= 4
        && value.chars().any(char::is_alphabetic)
        && value.chars().any(|char| char.is_ascii_digit())
}
