//! The values of an element: its attributes, its text, and those of the elements inside it that have
//! no fact of their own.

use roxmltree::{Attribute, Node};

use super::values::is_number;
use crate::analysers::xml::{Part, Parts, children, has_children, is_identity, own_text, steps};

/// Names of attributes that give a number its currency or its unit, in small letters.
const CURRENCIES: [&str; 6] = ["code", "cur", "curcode", "currency", "currencycode", "currencyid"];
const UNITS: [&str; 6] = ["unit", "units", "unitcode", "uom", "unitofmeasure", "unitofmeasurecode"];

/// One value.
pub(super) struct Field<'a> {
    /// Its place in the element of the fact: `@OrderID`, `Price/Total`, `Note[2]`, `#text`.
    pub(super) key: String,
    /// Local name of the attribute or element that holds it.
    pub(super) name: &'a str,
    /// What people would call it: the name, or that of an element that only wraps it.
    pub(super) label: &'a str,
    /// White space collapsed; empty for empty elements and attributes.
    pub(super) value: String,
    /// The unit of a number.
    pub(super) unit: Option<Unit>,
    /// Whether it is the id of the element of the fact.
    pub(super) is_identity: bool,
    /// Whether an element stands here that has neither text nor attributes.
    pub(super) is_empty_element: bool,
}

/// The unit of a number.
pub(super) struct Unit {
    /// `EUR`, `kg`.
    pub(super) name: String,
    /// Whether it is a currency.
    pub(super) is_currency: bool,
}

/// All fields of a part, in document order.
pub(super) fn of<'a>(part: &Part<'a, '_>, parts: &Parts<'a, '_>) -> Vec<Field<'a>> {
    let mut collector = Collector { part: part.element, parts, fields: Vec::new() };
    collector.visit(part.element, "");
    collector.fields
}

struct Collector<'c, 'a, 'input> {
    part: Node<'a, 'input>,
    parts: &'c Parts<'a, 'input>,
    fields: Vec<Field<'a>>,
}

impl<'a, 'input> Collector<'_, 'a, 'input> {
    fn visit(&mut self, element: Node<'a, 'input>, key: &str) {
        let text = own_text(element);
        let unit = unit(element, &text);
        let attributes = element.attributes().filter(|attribute| unit.as_ref() != Some(attribute));
        let attributes: Vec<Attribute> = attributes.collect();
        self.text(element, key, text, unit);
        for attribute in attributes {
            self.attribute(element, key, &attribute);
        }
        for step in steps(element) {
            if self.parts.place(step.element).is_none() {
                self.visit(step.element, &join(key, &step.name));
            }
        }
    }

    fn text(&mut self, element: Node<'a, 'input>, key: &str, value: String, unit: Option<Attribute>) {
        let has_more = has_children(element);
        let is_empty_element = value.is_empty() && !has_more && element.attributes().len() == 0;
        let is_leaf = !key.is_empty() && !has_more;
        if value.is_empty() && !(is_leaf && is_empty_element) {
            return;
        }
        let name = element.tag_name().name();
        self.fields.push(Field {
            key: if is_leaf { key.to_owned() } else { join(key, "#text") },
            name,
            label: if is_leaf { self.label(element) } else { name },
            value,
            unit: unit.map(|unit| Unit {
                name: unit.value().trim().to_owned(),
                is_currency: CURRENCIES.contains(&unit.name().to_ascii_lowercase().as_str()),
            }),
            is_identity: is_leaf && self.identifies(name, element.parent()),
            is_empty_element,
        });
    }

    fn attribute(&mut self, element: Node<'a, 'input>, key: &str, attribute: &Attribute<'a, 'input>) {
        self.fields.push(Field {
            key: join(key, &format!("@{}", attribute.name())),
            name: attribute.name(),
            label: attribute.name(),
            value: crate::analysers::one_line(attribute.value()),
            unit: None,
            is_identity: self.identifies(attribute.name(), Some(element)),
            is_empty_element: false,
        });
    }

    fn identifies(&self, name: &str, owner: Option<Node>) -> bool {
        owner.is_some_and(|owner| owner == self.part && is_identity(name, owner.tag_name().name()))
    }

    /// `TotalAmount` for its only child `SimpleCurrencyPrice`.
    fn label(&self, leaf: Node<'a, 'input>) -> &'a str {
        let wraps = |parent: &Node| {
            *parent != self.part && children(*parent).iter().map(|child| child.count).sum::<u64>() == 1
        };
        leaf.parent_element().filter(wraps).unwrap_or(leaf).tag_name().name()
    }
}

fn join(key: &str, step: &str) -> String {
    if key.is_empty() { step.to_owned() } else { format!("{key}/{step}") }
}

/// The attribute that says what a number counts.
fn unit<'a, 'input>(element: Node<'a, 'input>, text: &str) -> Option<Attribute<'a, 'input>> {
    let is_unit = |attribute: &Attribute| {
        let name = attribute.name().to_ascii_lowercase();
        CURRENCIES.contains(&name.as_str()) || UNITS.contains(&name.as_str())
    };
    element.attributes().find(is_unit).filter(|unit| is_number(text) && !unit.value().trim().is_empty())
}
