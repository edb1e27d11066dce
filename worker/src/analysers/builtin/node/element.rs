//! Questions about one element.

use roxmltree::Node;

use crate::answers::ChildCount;

/// Instructions that stand where elements of one name are in other jobs or left out: `<?cut Item 12?>`.
const ELSEWHERE: &[&str] = &["cut", "skipped"];
/// Instructions that tell that a part of the element is in another job.
const PARTIAL: &[&str] = &["continued", "continues"];

/// Name of a child: an element's own, or that of the elements that were cut out here.
pub(super) fn child_name<'a>(node: Node<'a, '_>) -> Option<&'a str> {
    if node.is_element() {
        return Some(node.tag_name().name());
    }
    let qualified = elsewhere(node)?.split_whitespace().next()?;
    Some(qualified.rsplit(':').next().unwrap_or(qualified))
}

/// How many elements a child stands for: one, or as many as were cut out here.
pub(super) fn stands_for(node: Node) -> u64 {
    let number = || elsewhere(node)?.split_whitespace().nth(1)?.parse().ok();
    number().unwrap_or(1)
}

fn elsewhere<'a>(node: Node<'a, '_>) -> Option<&'a str> {
    node.pi().filter(|pi| ELSEWHERE.contains(&pi.target))?.value
}

/// Whether more of the element is in another job, so that nothing can be said to be missing.
pub(super) fn is_partial(node: Node) -> bool {
    node.children().any(|child| child.pi().is_some_and(|pi| PARTIAL.contains(&pi.target)))
}

/// Whether the element has no child elements, cut out ones included.
pub(super) fn is_leaf(node: Node) -> bool {
    node.children().all(|child| child_name(child).is_none())
}

/// Whether the element holds more than a value: children, or an id that others may refer to.
pub(super) fn is_complex(node: Node) -> bool {
    !is_leaf(node) || id_field(node).is_some_and(|(field, _)| field.starts_with('@'))
}

/// Complex children and cut out ones, by name, in order of appearance.
pub(super) fn complex_children(node: Node) -> Vec<ChildCount> {
    let mut counts: Vec<ChildCount> = Vec::new();
    for child in node.children() {
        let Some(name) = child_name(child).filter(|_| !child.is_element() || is_complex(child)) else {
            continue;
        };
        match counts.iter_mut().find(|count| count.name == name) {
            Some(count) => count.count = count.count.saturating_add(stands_for(child)),
            None => counts.push(ChildCount { name: name.to_owned(), count: stands_for(child) }),
        }
    }
    counts
}

/// The element's own text, without surrounding white space; `None` if there is none.
pub(super) fn text(node: Node) -> Option<String> {
    let text: String = node.children().filter(Node::is_text).filter_map(|text| text.text()).collect();
    let trimmed = text.trim();
    (!trimmed.is_empty()).then(|| trimmed.to_owned())
}

/// The field that identifies the element, `@OrderID` or `OrderID`, and its value.
pub(super) fn id_field(node: Node) -> Option<(String, String)> {
    let name = node.tag_name().name();
    let attribute = |wanted: fn(&str, &str) -> bool| {
        node.attributes()
            .find(|attribute| wanted(attribute.name(), name) && !attribute.value().trim().is_empty())
            .map(|attribute| (format!("@{}", attribute.name()), attribute.value().trim().to_owned()))
    };
    attribute(is_own_id).or_else(|| attribute(|field, _| id_stem(field).is_some())).or_else(|| {
        node.children()
            .filter(|child| child.is_element() && is_own_id(child.tag_name().name(), name) && is_leaf(*child))
            .find_map(|child| Some((child.tag_name().name().to_owned(), text(child)?)))
    })
}

/// Whether a field of that name identifies the element it stands in: `ID`, or `OrderID` in `Order`
/// and `OrderItem`, but not `AirlineID` in `Carrier`.
fn is_own_id(field: &str, element: &str) -> bool {
    id_stem(field).is_some_and(|stem| element.to_lowercase().contains(&stem.to_lowercase()))
}

/// What an id's name says it identifies: `Order` of `OrderID`, nothing of `id`.
pub(super) fn id_stem(field: &str) -> Option<&str> {
    if ["id", "key"].iter().any(|whole| field.eq_ignore_ascii_case(whole)) {
        return Some("");
    }
    let stem = ["_id", "-id", "_key", "-key", "ID", "Id", "Key"]
        .iter()
        .find_map(|suffix| field.strip_suffix(suffix).filter(|stem| !stem.is_empty()))?;
    (!stem.to_lowercase().ends_with("ref")).then_some(stem)
}
