//! The values of a fact, with their types and units.

use roxmltree::{Attribute, Node};
use serde_json::{Map, Value, json};

use super::draft::{Draft, Own};
use super::element::{is_leaf, is_partial, text};
use super::types;
use crate::answers::capped;

/// Characters of a text value at most.
const VALUE_CHARS: usize = 200;

/// Attributes that give the unit of the number beside them.
const UNIT_ATTRIBUTES: &[&str] = &[
    "code",
    "currency",
    "currencycode",
    "currencyid",
    "curcode",
    "unit",
    "unitcode",
    "units",
    "uom",
    "unitofmeasure",
    "unitofmeasurecode",
];

/// One value of a fact.
pub(super) struct Field {
    /// `@Name`, `Name`, `Price/Total`, `Price/@Code`; `text()` for the element's own text.
    pub(super) name: String,
    /// Local name of the attribute or element that holds it.
    pub(super) local: String,
    /// In full; empty if the document has the field without a value.
    pub(super) value: String,
    /// One of [`types`]' names.
    pub(super) kind: &'static str,
    /// As the document writes it.
    pub(super) unit: Option<String>,
}

/// All fields of the draft's own elements, in document order, empty ones included.
pub(super) fn fields(draft: &Draft) -> Vec<Field> {
    draft.own.iter().flat_map(of_element).collect()
}

fn of_element(own: &Own) -> Vec<Field> {
    let node = own.node;
    let local = node.tag_name().name();
    let text = text(node);
    let kind = text.as_deref().map(|text| types::of(&hint(own, local), text));
    let unit = unit(node, kind);
    let mut fields: Vec<Field> = node
        .attributes()
        .filter(|attribute| unit != Some(*attribute))
        .map(|attribute| of_attribute(own, &attribute))
        .collect();
    let empty = is_leaf(node) && node.attributes().len() == 0 && !is_partial(node);
    if text.is_some() || empty {
        fields.push(Field {
            name: text_name(own),
            local: local.to_owned(),
            value: text.unwrap_or_default(),
            kind: kind.unwrap_or(types::TEXT),
            unit: unit.map(|unit| unit.value().trim().to_owned()),
        });
    }
    fields
}

/// A leaf's text is named like the leaf; text between elements, and that of the fact's own element,
/// has no name.
fn text_name(own: &Own) -> String {
    match (own.key.as_str(), is_leaf(own.node)) {
        ("", _) => "text()".to_owned(),
        (key, true) => key.to_owned(),
        (key, false) => format!("{key}/text()"),
    }
}

fn of_attribute(own: &Own, attribute: &Attribute) -> Field {
    let slash = if own.key.is_empty() { "" } else { "/" };
    let value = attribute.value().trim().to_owned();
    Field {
        name: format!("{}{slash}@{}", own.key, attribute.name()),
        local: attribute.name().to_owned(),
        kind: types::of(&hint(own, attribute.name()), &value),
        value,
        unit: None,
    }
}

/// The names from the parent element on, last the field's own: `Departure/AirportCode`.
fn hint(own: &Own, local: &str) -> String {
    let element = own.node.tag_name().name();
    let parent = own.node.parent_element().map_or("", |parent| parent.tag_name().name());
    if local == element { format!("{parent}/{local}") } else { format!("{element}/{local}") }
}

fn unit<'a, 'input>(node: Node<'a, 'input>, kind: Option<&str>) -> Option<Attribute<'a, 'input>> {
    if !kind.is_some_and(types::is_number) {
        return None;
    }
    let is_unit = |attribute: &Attribute| {
        UNIT_ATTRIBUTES.contains(&attribute.name().to_ascii_lowercase().as_str())
            && !attribute.value().trim().is_empty()
    };
    node.attributes().find(is_unit)
}

/// The fields that have a value, as the answer gives them. Numbers stay text, digit by digit.
pub(super) fn attributes(fields: Vec<Field>) -> Map<String, Value> {
    let mut map = Map::new();
    for field in fields.into_iter().filter(|field| !field.value.is_empty()) {
        let mut value = json!({ "value": capped(&field.value, VALUE_CHARS), "type": field.kind });
        if let Some(unit) = field.unit {
            value["unit"] = Value::String(capped(&unit, VALUE_CHARS));
        }
        map.insert(free_name(&map, &field.name), value);
    }
    map
}

/// Attributes of two namespaces may share a local name; neither may hide the other.
fn free_name(map: &Map<String, Value>, name: &str) -> String {
    let mut free = name.to_owned();
    let mut number = 1;
    while map.contains_key(&free) {
        number += 1;
        free = format!("{name}#{number}");
    }
    free
}
