//! One sentence: `OrderItem OI-1: total 422.52 EUR, 5 Services, refers to 2 Passengers`.

use std::collections::{BTreeMap, HashSet};

use super::Draft;
use crate::analysers::capped;
use crate::analysers::xml::children;
use crate::kinds::node_extract::{Attribute, Child, ValueType};

/// Values that are named.
const MAX_VALUES: usize = 3;
/// Kinds of children, and of references, that are named.
const MAX_KINDS: usize = 4;
/// Characters of one value.
const MAX_LENGTH: usize = 40;

/// The sentence about the part at `place`.
pub(super) fn of(place: usize, drafts: &[Draft], attributes: &BTreeMap<String, Attribute>) -> String {
    let draft = &drafts[place];
    let mut subject = draft.part.element.tag_name().name().to_owned();
    if let Some(id) = &draft.id {
        subject = format!("{subject} {}", capped(id, MAX_LENGTH));
    }
    let mut said = values(draft, attributes);
    said.extend(below(place, drafts).iter().take(MAX_KINDS).map(count));
    let refers: Vec<String> = referred(place, drafts).iter().take(MAX_KINDS).map(count).collect();
    if let Some((last, others)) = refers.split_last() {
        let list = if others.is_empty() { last.clone() } else { format!("{} and {last}", others.join(", ")) };
        said.push(format!("refers to {list}"));
    }
    if said.is_empty() { format!("{subject}: empty") } else { format!("{subject}: {}", said.join(", ")) }
}

/// The values that tell most, by type, then in document order.
fn values(draft: &Draft, attributes: &BTreeMap<String, Attribute>) -> Vec<String> {
    let mut seen = HashSet::new();
    let mut ranked: Vec<(u8, String)> = Vec::new();
    for field in &draft.fields {
        let attribute = &attributes[&field.key];
        let Some(rank) = rank(attribute) else { continue };
        if !seen.insert((&attribute.value, &attribute.unit)) {
            continue;
        }
        let unit = attribute.unit.as_ref().map(|unit| format!(" {unit}")).unwrap_or_default();
        let value = capped(&attribute.value, MAX_LENGTH);
        ranked.push((rank, format!("{} {value}{unit}", spoken(field.label))));
    }
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().take(MAX_VALUES).map(|(_, said)| said).collect()
}

fn rank(attribute: &Attribute) -> Option<u8> {
    match attribute.value_type {
        ValueType::Amount => Some(0),
        ValueType::Quantity => Some(1),
        ValueType::Date | ValueType::DateTime | ValueType::Duration => Some(2),
        ValueType::Code | ValueType::Email => Some(3),
        ValueType::Text if attribute.value.chars().count() <= MAX_LENGTH => Some(3),
        ValueType::Text | ValueType::Integer | ValueType::Decimal | ValueType::Time => Some(4),
        ValueType::Boolean => Some(5),
        ValueType::Id | ValueType::Reference | ValueType::Uuid | ValueType::Url | ValueType::Empty => None,
    }
}

/// The parts right below, and the children that were cut out, by name.
fn below(place: usize, drafts: &[Draft]) -> Vec<Child> {
    let mut counts = Vec::new();
    let mut skip = String::new();
    for draft in drafts.iter().skip(place + 1) {
        let path = &draft.part.path;
        if !is_inside(path, &drafts[place].part.path) {
            break;
        }
        // A part inside a part that was counted is not right below.
        if skip.is_empty() || !path.starts_with(&skip) {
            add(&mut counts, draft.part.element.tag_name().name(), 1);
            skip = format!("{path}/");
        }
    }
    for child in children(drafts[place].part.element) {
        if child.cut_out > 0 {
            add(&mut counts, &child.name, child.cut_out);
        }
    }
    counts
}

/// The elements that the part and all inside it refer to, each once, by kind.
fn referred(place: usize, drafts: &[Draft]) -> Vec<Child> {
    let path = &drafts[place].part.path;
    let inside = drafts
        .iter()
        .skip(place)
        .take_while(|draft| draft.part.path == *path || is_inside(&draft.part.path, path));
    let mut seen = HashSet::new();
    let mut counts = Vec::new();
    for reference in inside.flat_map(|draft| &draft.references) {
        if seen.insert((&reference.kind, &reference.value)) {
            add(&mut counts, &reference.kind, 1);
        }
    }
    counts
}

fn is_inside(path: &str, above: &str) -> bool {
    above == "." || path.strip_prefix(above).is_some_and(|rest| rest.starts_with('/'))
}

fn add(counts: &mut Vec<Child>, name: &str, more: u64) {
    match counts.iter_mut().find(|child| child.name == name) {
        Some(child) => child.count += more,
        None => counts.push(Child { name: name.to_owned(), count: more, cut_out: 0 }),
    }
}

fn count(child: &Child) -> String {
    let Child { name, count, .. } = child;
    match (*count, name.strip_suffix('y')) {
        (1, _) => format!("1 {name}"),
        (_, Some(stem)) if !stem.ends_with(['a', 'e', 'i', 'o', 'u']) => format!("{count} {stem}ies"),
        _ if name.ends_with(['s', 'x']) || name.ends_with("ch") => format!("{count} {name}es"),
        _ => format!("{count} {name}s"),
    }
}

/// `TotalAmount` as people say it: `total amount`. Abbreviations stay.
fn spoken(name: &str) -> String {
    let mut words: Vec<String> = vec![String::new()];
    let chars: Vec<char> = name.chars().collect();
    for (at, char) in chars.iter().enumerate() {
        let after_small = at > 0 && !chars[at - 1].is_uppercase();
        let before_small = chars.get(at + 1).is_some_and(|next| next.is_lowercase());
        if matches!(char, '_' | '-' | '.') {
            words.push(String::new());
        } else {
            if char.is_uppercase() && at > 0 && (after_small || before_small) {
                words.push(String::new());
            }
            words.last_mut().expect("never empty").push(*char);
        }
    }
    let is_abbreviation = |word: &str| word.chars().count() > 1 && !word.chars().any(char::is_lowercase);
    let speak = |word: String| if is_abbreviation(&word) { word } else { word.to_lowercase() };
    words.into_iter().filter(|word| !word.is_empty()).map(speak).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speaks() {
        for (name, expected) in [
            ("TotalAmount", "total amount"),
            ("PTC", "PTC"),
            ("IATALocationCode", "IATA location code"),
            ("order_date", "order date"),
            ("id", "id"),
        ] {
            assert_eq!(spoken(name), expected);
        }
    }

    #[test]
    fn counts() {
        for (name, number, expected) in [
            ("Service", 1, "1 Service"),
            ("Service", 6, "6 Services"),
            ("Penalty", 2, "2 Penalties"),
            ("Day", 2, "2 Days"),
            ("PriceClass", 2, "2 PriceClasses"),
            ("Pax", 3, "3 Paxes"),
        ] {
            let child = Child { name: name.to_owned(), count: number, cut_out: 0 };
            assert_eq!(count(&child), expected);
        }
    }
}
