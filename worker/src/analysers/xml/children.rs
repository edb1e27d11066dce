//! The children of an element, counted by name, with those that were cut out to be jobs of their own.
//!
//! In a cut-out child's place stands `<?cut Name n?>`: `n` elements of that name, one if no number
//! is given. They count for positions, so that paths stay those of the whole document.

use std::collections::HashMap;

use fleetline_shared::domain::cut_marks;
use roxmltree::Node;

use crate::kinds::node_extract::Child;

/// A child element and its step in a path: `Item[3]`, or `Item` if there is no other of that name.
pub(crate) struct Step<'a, 'input> {
    /// The child.
    pub(crate) element: Node<'a, 'input>,
    /// Its step.
    pub(crate) name: String,
    /// Whether its parent has others of that name.
    pub(crate) repeated: bool,
}

/// Name and number of the elements that were cut out here.
pub(crate) fn cut_out<'a>(node: Node<'a, '_>) -> Option<(&'a str, u64)> {
    let instruction =
        node.pi().filter(|instruction| [cut_marks::CUT, cut_marks::SKIPPED].contains(&instruction.target))?;
    let mut words = instruction.value?.split_whitespace();
    let name = words.next()?;
    let name = name.rsplit_once(':').map_or(name, |(_, local)| local);
    Some((name, words.next().and_then(|count| count.parse().ok()).unwrap_or(1)))
}

/// The child elements that are here, in order.
pub(crate) fn steps<'a, 'input>(parent: Node<'a, 'input>) -> Vec<Step<'a, 'input>> {
    let totals: HashMap<String, u64> =
        children(parent).into_iter().map(|child| (child.name, child.count)).collect();
    let mut seen: HashMap<&str, u64> = HashMap::new();
    let mut steps = Vec::new();
    for node in parent.children() {
        if let Some((name, count)) = cut_out(node) {
            *seen.entry(name).or_default() += count;
        } else if node.is_element() {
            let name = node.tag_name().name();
            let position = seen.entry(name).or_default();
            *position += 1;
            let repeated = totals.get(name).is_some_and(|total| *total > 1);
            let step = if repeated { format!("{name}[{position}]") } else { name.to_owned() };
            steps.push(Step { element: node, name: step, repeated });
        }
    }
    steps
}

/// All children by name, in order of first sight.
pub(crate) fn children(parent: Node) -> Vec<Child> {
    let mut children: Vec<Child> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for node in parent.children() {
        let (name, count, cut_out) = match cut_out(node) {
            Some((name, count)) => (name, count, count),
            None if node.is_element() => (node.tag_name().name(), 1, 0),
            None => continue,
        };
        let place = *places.entry(name).or_insert_with(|| {
            children.push(Child { name: name.to_owned(), count: 0, cut_out: 0 });
            children.len() - 1
        });
        children[place].count += count;
        children[place].cut_out += cut_out;
    }
    children
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_out_children_count_for_positions() {
        let xml = "<l xmlns:p='u'><p:i/><?cut p:i 2?><x/><i/><?cut o?><?other i 9?></l>";
        let document = crate::analysers::xml::parse(xml).expect("XML");
        let list = document.root_element();
        let found: Vec<String> = steps(list).into_iter().map(|step| step.name).collect();
        assert_eq!(found, ["i[1]", "x", "i[4]"]);
        let counted: Vec<String> = children(list)
            .iter()
            .map(|child| format!("{} {} {}", child.name, child.count, child.cut_out))
            .collect();
        assert_eq!(counted, ["i 4 2", "x 1 0", "o 1 1"]);
    }
}
