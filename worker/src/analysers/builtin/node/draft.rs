//! Which elements get a fact, and which of the others belong to it.

use std::collections::HashMap;

use roxmltree::{Node, NodeId};

use super::element::{child_name, id_field, is_complex, is_leaf, stands_for};

/// Levels below a fact's element whose values the fact tells itself: `Price/Total/Amount`.
const OWN_LEVELS: usize = 3;

/// An element that gets a fact, with the elements that it speaks for.
pub(super) struct Draft<'a, 'input> {
    pub(super) node: Node<'a, 'input>,
    /// Index of the nearest draft above.
    pub(super) parent: Option<usize>,
    /// The element itself and those below it that have no fact of their own, in document order.
    pub(super) own: Vec<Own<'a, 'input>>,
}

/// An element that a draft speaks for.
pub(super) struct Own<'a, 'input> {
    pub(super) node: Node<'a, 'input>,
    /// Path from the draft's element, positions only where a name repeats; empty for itself.
    pub(super) key: String,
}

impl Draft<'_, '_> {
    /// Path from the document's root element, with positions; empty for the root.
    pub(super) fn path(&self) -> String {
        let mut steps: Vec<String> =
            steps(self.node).map(|node| format!("{}[{}]", node.tag_name().name(), position(node))).collect();
        steps.reverse();
        steps.join("/")
    }
}

/// Path from the document's root element by names alone; `.` for the root.
pub(super) fn plain_path(node: Node) -> String {
    let mut names: Vec<&str> = steps(node).map(|node| node.tag_name().name()).collect();
    names.reverse();
    if names.is_empty() { ".".to_owned() } else { names.join("/") }
}

/// The element and those above it, without the root element.
fn steps<'a, 'input>(node: Node<'a, 'input>) -> impl Iterator<Item = Node<'a, 'input>> {
    node.ancestors().filter(|above| above.parent_element().is_some())
}

/// Position among the siblings of its name, from 1; elements that were cut out count.
fn position(node: Node) -> u64 {
    let name = node.tag_name().name();
    let same = node.prev_siblings().filter(|sibling| child_name(*sibling) == Some(name));
    same.map(stands_for).fold(0, u64::saturating_add)
}

/// Where an element stands in relation to the fact that speaks for it.
struct Place {
    draft: usize,
    level: usize,
    key: String,
}

/// Goes through all elements in document order, without recursion: depth costs no stack.
pub(super) fn drafts<'a, 'input>(root: Node<'a, 'input>) -> Vec<Draft<'a, 'input>> {
    let mut drafts: Vec<Draft> = Vec::new();
    let mut places: HashMap<NodeId, Place> = HashMap::new();
    let mut siblings: HashMap<NodeId, Sibling> = HashMap::new();
    for node in root.descendants().filter(Node::is_element) {
        count_children(node, &mut siblings);
        let above = node.parent_element().and_then(|parent| places.get(&parent.id()));
        let place = match above {
            Some(above) if !stands_alone(node, above, siblings.get(&node.id())) => Place {
                draft: above.draft,
                level: above.level + 1,
                key: joined(&above.key, node, siblings.get(&node.id())),
            },
            _ => {
                drafts.push(Draft { node, parent: above.map(|above| above.draft), own: Vec::new() });
                Place { draft: drafts.len() - 1, level: 0, key: String::new() }
            }
        };
        drafts[place.draft].own.push(Own { node, key: place.key.clone() });
        places.insert(node.id(), place);
    }
    drafts
}

/// A thing of its own has an id or complex siblings of its name. What lies too deep to be told by
/// the fact above gets one too, so that no value is lost.
fn stands_alone(node: Node, above: &Place, sibling: Option<&Sibling>) -> bool {
    if !is_complex(node) {
        return false;
    }
    let repeated = sibling.is_some_and(|sibling| sibling.of > 1) && !is_leaf(node);
    repeated || id_field(node).is_some() || above.level + 1 >= OWN_LEVELS
}

/// Position of an element among the siblings of its name, and their number.
struct Sibling {
    position: u64,
    of: u64,
}

fn count_children(node: Node, siblings: &mut HashMap<NodeId, Sibling>) {
    let mut counts: HashMap<&str, u64> = HashMap::new();
    for child in node.children() {
        let Some(name) = child_name(child) else { continue };
        let count = counts.entry(name).or_default();
        *count = count.saturating_add(stands_for(child));
        siblings.insert(child.id(), Sibling { position: *count, of: 0 });
    }
    for child in node.children() {
        let Some(sibling) = siblings.get_mut(&child.id()) else { continue };
        sibling.of = child_name(child).and_then(|name| counts.get(name)).copied().unwrap_or(1);
    }
}

fn joined(above: &str, node: Node, sibling: Option<&Sibling>) -> String {
    let name = node.tag_name().name();
    let slash = if above.is_empty() { "" } else { "/" };
    match sibling {
        Some(Sibling { position, of }) if *of > 1 => format!("{above}{slash}{name}[{position}]"),
        _ => format!("{above}{slash}{name}"),
    }
}
