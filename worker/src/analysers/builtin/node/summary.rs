//! One sentence about an element.

use roxmltree::Node;

use super::ReferredTo;
use super::element::id_field;
use super::types::{TEXT, is_number, is_time};
use super::values::Field;
use crate::answers::{ChildCount, Quality, QualityStatus, SUMMARY_CHARS, capped};

/// Values that a sentence tells at most.
const TOLD_VALUES: usize = 4;
/// Characters of one value in a sentence at most.
const TOLD_CHARS: usize = 40;
/// Names of children or kinds in a sentence at most.
const TOLD_NAMES: usize = 4;

/// `OrderItem OI55257070-ADT: 422.52 EUR, 6 Services, refers to 2 Passengers`.
pub(super) fn sentence(
    node: Node,
    fields: &[Field],
    children: &[ChildCount],
    referred: &ReferredTo,
    quality: &Quality,
) -> String {
    let id = id_field(node);
    let mut parts = told_values(fields, id.as_ref().map(|(name, _)| name.as_str()));
    parts.extend(told_children(children));
    if !referred.is_empty() {
        parts.push(format!("refers to {}", told_references(referred)));
    }
    if !quality.missing.is_empty() && quality.status != QualityStatus::Empty {
        parts.push(format!("{} missing", quality.missing.len()));
    }
    let subject = match id {
        Some((_, id)) => format!("{} {}", node.tag_name().name(), capped(&id, TOLD_CHARS)),
        None => node.tag_name().name().to_owned(),
    };
    let rest = if parts.is_empty() { "empty".to_owned() } else { parts.join(", ") };
    capped(&format!("{subject}: {rest}"), SUMMARY_CHARS)
}

/// The most telling values; among equals, the first in the document. One of a name is enough.
fn told_values(fields: &[Field], id: Option<&str>) -> Vec<String> {
    let mut candidates: Vec<&Field> = fields
        .iter()
        .filter(|field| !field.value.is_empty() && Some(field.name.as_str()) != id && field.kind != "id")
        .collect();
    candidates.sort_by_key(|field| rank(field));
    let mut told: Vec<String> = Vec::new();
    for field in candidates {
        let text = told_value(field);
        if !told.contains(&text) {
            told.push(text);
        }
        if told.len() == TOLD_VALUES {
            break;
        }
    }
    told
}

/// The lower, the more telling.
fn rank(field: &Field) -> u8 {
    let name = field.local.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    if is_number(field.kind) && field.unit.is_some() {
        0
    } else if is_number(field.kind) && has(&["amount", "total", "price", "quantity", "count"]) {
        1
    } else if has(&["status", "state"]) {
        2
    } else if has(&["name", "title"]) {
        3
    } else if field.kind.ends_with("-code") || has(&["code", "type", "category", "number", "ptc"]) {
        4
    } else if is_time(field.kind) {
        5
    } else if field.kind == TEXT {
        7
    } else {
        6
    }
}

fn told_value(field: &Field) -> String {
    let value = capped(&field.value.split_whitespace().collect::<Vec<_>>().join(" "), TOLD_CHARS);
    match &field.unit {
        Some(unit) => format!("{value} {}", capped(unit, TOLD_CHARS)),
        None => format!("{} {value}", name_for_people(&field.name)),
    }
}

/// `PieceAllowance/TotalQuantity[2]` is called `TotalQuantity`; `Departure/Code` keeps its parent, for
/// a short name alone says little.
fn name_for_people(name: &str) -> String {
    let clean = |step: &str| step.split('[').next().unwrap_or(step).trim_start_matches('@').to_owned();
    let mut steps = name.rsplit('/').map(clean);
    let last = steps.next().unwrap_or_default();
    match steps.next() {
        Some(parent)
            if ["Code", "Name", "Value", "Date", "Time", "Type", "AirportCode", "AirportName"]
                .contains(&last.as_str()) =>
        {
            format!("{parent} {last}")
        }
        _ if last == "text()" => "text".to_owned(),
        _ => last,
    }
}

/// Several of a name, or things whose name is all there is to tell.
fn told_children(children: &[ChildCount]) -> Vec<String> {
    let mut told: Vec<&ChildCount> = children.iter().filter(|child| child.count > 1).collect();
    if told.is_empty() {
        told = children.iter().collect();
    }
    told.iter().take(TOLD_NAMES).map(|child| counted(child.count, &child.name)).collect()
}

fn told_references(referred: &ReferredTo) -> String {
    let told: Vec<String> = referred
        .iter()
        .take(TOLD_NAMES)
        .map(|(kind, values)| match (values.len(), values.first()) {
            (1, Some(value)) => format!("{kind} {}", capped(value, TOLD_CHARS)),
            (count, _) => counted(count as u64, kind),
        })
        .collect();
    let more = referred.len() - told.len();
    match (told.split_last(), more) {
        (Some((last, [])), 0) => last.clone(),
        (Some((last, first)), 0) => format!("{} and {last}", first.join(", ")),
        _ => format!("{} and {more} more kinds", told.join(", ")),
    }
}

fn counted(count: u64, name: &str) -> String {
    if count == 1 { format!("1 {name}") } else { format!("{count} {}", plural(name)) }
}

fn plural(name: &str) -> String {
    let is_vowel = |c: char| "aeiouAEIOU".contains(c);
    // `Dimensions` is a plural already.
    if name.ends_with('s') && !name.ends_with("ss") {
        return name.to_owned();
    }
    if let Some(stem) = name.strip_suffix('y').filter(|stem| !stem.ends_with(is_vowel)) {
        return format!("{stem}ies");
    }
    let hisses = ["s", "x", "z", "ch", "sh"].iter().any(|end| name.ends_with(end));
    if hisses { format!("{name}es") } else { format!("{name}s") }
}
