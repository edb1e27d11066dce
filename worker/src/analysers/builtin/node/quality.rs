//! What an element lacks, and how sure its fact is.

use fleetline_shared::domain::{UsualPart, cut_marks};
use roxmltree::Node;

use super::Draft;
use crate::analysers::xml::{Parts, children};
use crate::kinds::node_extract::{Quality, QualityStatus};

/// What is wrong with one part, by sort.
pub(super) struct Findings {
    lacking: Vec<String>,
    unresolved: Vec<String>,
    empty: Vec<String>,
    left_out: usize,
    is_empty: bool,
}

impl Findings {
    /// `lacking`: see [`lacking`]; `left_out`: elements below that are over the limit of facts.
    pub(super) fn of(draft: &Draft, lacking: Vec<String>, left_out: usize) -> Self {
        let unresolved = draft.references.iter().filter(|reference| !reference.resolved);
        let empty = draft.fields.iter().filter(|field| field.is_empty_element);
        let has_values = draft.fields.iter().any(|field| !field.value.is_empty());
        Self {
            lacking,
            unresolved: unresolved
                .map(|reference| format!("{}={} (not in the document)", reference.field, reference.value))
                .collect(),
            empty: empty.map(|field| format!("{} (empty)", field.key)).collect(),
            left_out,
            is_empty: !has_values && children(draft.part.element).is_empty(),
        }
    }

    /// 0.9 with an id and 0.8 without, less 0.1 for each: parts that its kind usually has are
    /// missing, references lead nowhere, elements were over the limit; less 0.05 if some are empty.
    /// 0.5 if there is nothing in it.
    pub(super) fn confidence(&self, has_id: bool) -> f64 {
        if self.is_empty {
            return 0.5;
        }
        let tenths = [!self.lacking.is_empty(), !self.unresolved.is_empty(), self.left_out > 0];
        let lost = 10 * tenths.iter().filter(|bad| **bad).count() + 5 * usize::from(!self.empty.is_empty());
        let percent = if has_id { 90 } else { 80 } - i32::try_from(lost).unwrap_or(40);
        f64::from(percent) / 100.0
    }

    /// The worst first.
    pub(super) fn quality(self) -> Quality {
        let mut missing = Vec::new();
        if self.left_out > 0 {
            missing.push(format!("({} elements inside are described here, over the limit)", self.left_out));
        }
        missing.extend(self.lacking.into_iter().chain(self.unresolved).chain(self.empty));
        let status = match () {
            () if self.is_empty => QualityStatus::Empty,
            () if missing.is_empty() => QualityStatus::Complete,
            () => QualityStatus::Partial,
        };
        Quality { status, missing }
    }
}

/// For each part, the usual parts that it or an element of it lacks: `Name/Given (95 % of its kind
/// have it)`.
pub(super) fn lacking(root: Node, parts: &Parts, usual: &[UsualPart]) -> Vec<Vec<String>> {
    let mut lacking = vec![Vec::new(); parts.len()];
    for part in usual {
        for element in at(root, &part.of) {
            if is_whole(element) && !has(element, &part.name) {
                let (place, inside) = place(element, parts);
                lacking[place]
                    .push(format!("{inside}{} ({} % of its kind have it)", part.name, part.percent));
            }
        }
    }
    lacking
}

/// All elements at a path of names.
fn at<'a, 'input>(root: Node<'a, 'input>, path: &str) -> Vec<Node<'a, 'input>> {
    let names = path.split('/').filter(|name| !matches!(*name, "." | ""));
    names.fold(vec![root], |found, name| {
        let fits = |node: &Node| node.is_element() && node.tag_name().name() == name;
        found.iter().flat_map(|element| element.children().filter(fits)).collect()
    })
}

/// Whether no part of the element is in another job.
fn is_whole(element: Node) -> bool {
    let marks = [cut_marks::CONTINUED, cut_marks::CONTINUES];
    !element.children().filter_map(|child| child.pi()).any(|mark| marks.contains(&mark.target))
}

fn has(element: Node, name: &str) -> bool {
    match name.strip_prefix('@') {
        Some(name) => element.attributes().any(|attribute| attribute.name() == name),
        None => children(element).iter().any(|child| child.name == name),
    }
}

/// The part that the element belongs to, and the element's path in it, ending with `/` if any.
fn place(element: Node, parts: &Parts) -> (usize, String) {
    let mut inside = String::new();
    for above in element.ancestors().filter(Node::is_element) {
        if let Some(place) = parts.place(above) {
            return (place, inside);
        }
        inside = format!("{}/{inside}", above.tag_name().name());
    }
    (0, inside)
}
