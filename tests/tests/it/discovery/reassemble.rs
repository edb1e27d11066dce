//! Puts a document together again from its jobs and compares it with the original.

use std::collections::{BTreeMap, HashMap};

use fleetline_shared::domain::cut_marks::{CONTINUED, CONTINUES, CUT, SKIPPED};
use roxmltree::{Document, Node};

use super::Split;

/// An element: namespace, attributes, its own text.
#[derive(Clone, Debug, Default, PartialEq)]
struct Element {
    space: String,
    attributes: BTreeMap<String, String>,
    text: String,
    /// Number in document order.
    number: usize,
}

type Elements = BTreeMap<String, Element>;

/// Panics unless each element of `original` that is not skipped is in exactly one job, with its
/// attributes and text, and all jobs tell their place truly.
pub(super) fn assert_reassembles(original: &str, split: &Split) {
    let document = Document::parse(original).expect("the original parses");
    let mut expected = Elements::new();
    collect(
        document.root_element(),
        &format!("/{}[1]", document.root_element().tag_name().name()),
        &mut expected,
    );
    let skipped = usize::try_from(split.report.elements_skipped).unwrap();
    assert_eq!(split.report.elements, expected.len() as u64);

    let mut found = Elements::new();
    let mut last_number = None;
    for (at, (job, args)) in split.jobs.iter().enumerate() {
        assert_eq!(job.seq, Some(at as u64), "numbers have no gaps");
        assert_eq!(args.ordinal, at as u64 + 1);
        let mut own = Job::default();
        let document = Document::parse(&args.xml).unwrap_or_else(|error| panic!("{error}\n{}", args.xml));
        let root = document.root_element();
        assert_eq!(root.tag_name().name(), args.node_type);
        own.element(root, &full(&args.path));
        for (path, text) in own.texts {
            found.entry(path).or_default().text.push_str(&text);
        }
        // A part that begins inside its root may begin with text, which has no number here.
        let root_number = own.owned.get(&full(&args.path)).map(|_| expected[&full(&args.path)].number);
        assert!(root_number.is_none() || root_number > last_number, "jobs are numbered in document order");
        last_number = root_number.or(last_number);
        for (path, element) in own.owned {
            let text = found.remove(&path).map(|element| element.text).unwrap_or_default();
            assert!(!found.contains_key(&path), "{path} is in two jobs");
            found.insert(path.clone(), Element { text, number: expected[&path].number, ..element });
        }
        assert_ancestors(args, &expected);
    }
    let mut left_out = 0;
    for (path, element) in &mut expected {
        let Some(found) = found.get_mut(path) else {
            left_out += 1;
            continue;
        };
        found.text.truncate(found.text.trim_end().len());
        element.text.truncate(element.text.trim_end().len());
        assert_eq!(found, element, "{path}");
    }
    assert_eq!(left_out, skipped, "every element is in a job, or reported as skipped");
    let known: Vec<_> = found.keys().filter(|path| !expected.contains_key(*path)).collect();
    assert!(known.is_empty(), "elements that the original does not have: {known:?}");
    let report = &split.report;
    assert_eq!(report.elements, report.elements_in_jobs + report.elements_skipped);
    assert_eq!(report.jobs, split.jobs.len() as u64);
}

fn collect(node: Node<'_, '_>, path: &str, into: &mut Elements) {
    let element = Element { text: own_text(node), number: into.len(), ..element(node) };
    into.insert(path.to_owned(), element);
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for child in node.children().filter(Node::is_element) {
        let name = child.tag_name().name();
        let position = seen.entry(name).and_modify(|seen| *seen += 1).or_insert(1);
        collect(child, &format!("{path}/{name}[{position}]"), into);
    }
}

fn element(node: Node<'_, '_>) -> Element {
    let name =
        |it: &roxmltree::Attribute<'_, '_>| format!("{{{}}}{}", it.namespace().unwrap_or(""), it.name());
    Element {
        space: node.tag_name().namespace().unwrap_or("").to_owned(),
        attributes: node.attributes().map(|it| (name(&it), it.value().to_owned())).collect(),
        ..Element::default()
    }
}

/// White space alone is no text.
fn own_text(node: Node<'_, '_>) -> String {
    let text: String = node.children().filter(Node::is_text).filter_map(|it| it.text()).collect();
    if text.trim_matches([' ', '\t', '\n', '\r']).is_empty() { String::new() } else { text }
}

/// What one job holds.
#[derive(Default)]
struct Job {
    owned: Elements,
    texts: Vec<(String, String)>,
}

impl Job {
    fn element(&mut self, node: Node<'_, '_>, path: &str) {
        let mut seen: HashMap<&str, usize> = HashMap::new();
        let mut owned = true;
        let mut text = String::new();
        for (at, child) in node.children().enumerate() {
            if let Some(mark) = child.pi() {
                match mark.target {
                    CONTINUED => {
                        assert_eq!(at, 0, "the mark comes first");
                        owned = false;
                    }
                    CONTINUES => assert!(child.next_sibling().is_none(), "the mark comes last"),
                    CUT | SKIPPED => {
                        let (name, count) = mark.value.unwrap().split_once(' ').unwrap();
                        *seen.entry(name).or_insert(0) += count.parse::<usize>().unwrap();
                    }
                    other => panic!("unknown mark {other}"),
                }
            } else if child.is_element() {
                let name = child.tag_name().name();
                let position = seen.entry(name).and_modify(|seen| *seen += 1).or_insert(1);
                let path = format!("{path}/{name}[{position}]");
                self.element(child, &path);
            } else {
                text.push_str(child.text().unwrap_or_default());
            }
        }
        self.texts.push((path.to_owned(), text));
        if owned {
            let twice = self.owned.insert(path.to_owned(), element(node));
            assert!(twice.is_none(), "{path} is there twice");
        } else {
            assert_eq!(element(node).attributes.len(), 0, "{path} is repeated without attributes");
        }
    }
}

/// `/a/b[2]` with every position: `/a[1]/b[2]`.
fn full(path: &str) -> String {
    let steps = path.split('/').skip(1);
    steps.map(|step| if step.ends_with(']') { format!("/{step}") } else { format!("/{step}[1]") }).collect()
}

/// The ancestors are the elements above the job's root, or end with the root if it is repeated.
fn assert_ancestors(args: &fleetline_shared::domain::NodeArgs, expected: &Elements) {
    let path = full(&args.path);
    let continued = args.xml.split_once('>').unwrap().1.starts_with("<?continued?>");
    let mut above: Vec<&str> = path.match_indices('/').map(|(at, _)| &path[..at]).skip(1).collect();
    if continued {
        above.push(&path);
    }
    assert_eq!(above.len(), args.ancestors.len(), "{}", args.path);
    for (path, ancestor) in above.iter().zip(&args.ancestors) {
        let values: Vec<&String> = expected[*path].attributes.values().collect();
        let mut told: Vec<&String> = ancestor.attributes.values().collect();
        let mut values = values;
        values.sort();
        told.sort();
        assert_eq!(told, values, "attributes of {path}");
        assert!(path.ends_with(']') && path.contains(&format!("/{}[", ancestor.name)));
    }
}
