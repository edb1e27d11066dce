//! Which elements of a subtree get a fact of their own: its root, and each complex element below
//! that has an id or has siblings of its name. All others belong to the nearest of these above.

use std::collections::HashMap;

use roxmltree::{Node, NodeId};

use super::{Step, has_children, own_id, own_text, steps};

/// An element with a fact of its own.
pub(crate) struct Part<'a, 'input> {
    /// The element.
    pub(crate) element: Node<'a, 'input>,
    /// Its path from the root, which is `.`.
    pub(crate) path: String,
}

/// The elements with facts of their own, in document order, the root first.
pub(crate) struct Parts<'a, 'input> {
    list: Vec<Part<'a, 'input>>,
    places: HashMap<NodeId, usize>,
    most: usize,
    /// How many more there would be without the limit. They belong to the nearest part above.
    pub(crate) left_out: usize,
}

impl<'a, 'input> Parts<'a, 'input> {
    /// At most `most` of them.
    pub(crate) fn of(root: Node<'a, 'input>, most: usize) -> Self {
        let mut parts = Self { list: Vec::new(), places: HashMap::new(), most, left_out: 0 };
        parts.add(root, ".".to_owned());
        parts.walk(root, "");
        parts
    }

    /// All, the root first.
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Part<'a, 'input>> {
        self.list.iter()
    }

    /// How many, the root included.
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// Which one the element is, if it is one.
    pub(crate) fn place(&self, element: Node) -> Option<usize> {
        self.places.get(&element.id()).copied()
    }

    fn add(&mut self, element: Node<'a, 'input>, path: String) {
        if self.list.len() >= self.most {
            self.left_out += 1;
            return;
        }
        self.places.insert(element.id(), self.list.len());
        self.list.push(Part { element, path });
    }

    fn walk(&mut self, parent: Node<'a, 'input>, above: &str) {
        for Step { element, name: step, repeated } in steps(parent) {
            let path = if above.is_empty() { step } else { format!("{above}/{step}") };
            if is_complex(element) && (repeated || own_id(element).is_some()) {
                self.add(element, path.clone());
            }
            self.walk(element, &path);
        }
    }
}

/// More than one value.
fn is_complex(element: Node) -> bool {
    has_children(element) || (element.attributes().len() > 1 && own_text(element).is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_things_with_ids_and_repeated_things_are_parts() {
        let xml = "<Order><Total>1</Total><Items><Item id='1'><Price><Net>2</Net></Price></Item>\
                   <Note>a</Note><Note>b</Note><Leg><A/></Leg><Leg><A/></Leg></Items>\
                   <Seat row='1' col='A'/><Seat row='2' col='B'/><Owner OwnerID='x'><N/></Owner></Order>";
        let document = crate::analysers::xml::parse(xml).expect("XML");
        let paths = |most| {
            let parts = Parts::of(document.root_element(), most);
            (parts.iter().map(|part| part.path.clone()).collect::<Vec<_>>(), parts.left_out)
        };
        let all = [".", "Items/Item", "Items/Leg[1]", "Items/Leg[2]", "Seat[1]", "Seat[2]", "Owner"];
        assert_eq!(paths(100), (all.map(String::from).to_vec(), 0));
        assert_eq!(paths(3), (all[..3].iter().map(ToString::to_string).collect(), 4));
    }
}
