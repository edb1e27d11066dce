//! Canonical XML: the same content gives the same bytes, however it was written.
//!
//! Prefixes are replaced: the namespace of a job's root element is the default one, others are
//! `n1`, `n2`... in order of first use, declared on the root.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::names::{Names, NsId};
use super::tag::Tag;

/// The namespaces of one job, or of the jobs that one element is split into.
#[derive(Debug, Default)]
pub(super) struct Prefixes {
    default: NsId,
    others: Vec<NsId>,
}

impl Prefixes {
    pub(super) fn new(default: NsId) -> Self {
        Self { default, others: Vec::new() }
    }

    fn number(&mut self, space: NsId) -> usize {
        let known = self.others.iter().position(|other| *other == space);
        1 + known.unwrap_or_else(|| {
            self.others.push(space);
            self.others.len() - 1
        })
    }
}

/// How a start tag was written; its end tag and its children need it.
#[derive(Clone, Debug)]
pub(super) struct Written {
    /// Name with prefix.
    pub(super) name: String,
    /// Its prefix's number.
    pub(super) prefix: Option<usize>,
    /// The default namespace inside.
    pub(super) inside: NsId,
}

/// XML in the making.
#[derive(Debug, Default)]
pub(super) struct Body {
    pub(super) xml: String,
    /// Numbers of the prefixes in it.
    pub(super) used: BTreeSet<usize>,
    /// Whether the last start tag still lacks its `>`.
    open: bool,
}

impl Body {
    /// Writes a start tag. `outside` is the default namespace around it; `None` for a root, which
    /// gets its declarations at last.
    pub(super) fn start(
        &mut self,
        tag: &Tag,
        outside: Option<NsId>,
        prefixes: &mut Prefixes,
        names: &Names,
    ) -> Written {
        let local = names.text(tag.name);
        let written = if tag.space == NsId::NONE || tag.space == prefixes.default {
            Written { name: local.to_owned(), prefix: None, inside: tag.space }
        } else {
            let number = prefixes.number(tag.space);
            let inside = outside.unwrap_or(prefixes.default);
            Written { name: format!("n{number}:{local}"), prefix: Some(number), inside }
        };
        self.reopen(&written, outside.unwrap_or(written.inside), names);
        for attribute in &tag.attributes {
            self.xml.push(' ');
            match attribute.space {
                NsId::NONE => {}
                NsId::XML => self.xml.push_str("xml:"),
                space => {
                    let number = prefixes.number(space);
                    self.used.insert(number);
                    let _ = write!(self.xml, "n{number}:");
                }
            }
            self.xml.push_str(names.text(attribute.name));
            self.xml.push_str("=\"");
            escape(&attribute.value, attribute_escape, &mut self.xml);
            self.xml.push('"');
        }
        written
    }

    /// Writes a start tag again, without its attributes.
    pub(super) fn reopen(&mut self, written: &Written, outside: NsId, names: &Names) {
        self.close_tag();
        self.xml.push('<');
        self.xml.push_str(&written.name);
        if written.inside != outside {
            self.xml.push_str(" xmlns=\"");
            escape(names.uri(written.inside), attribute_escape, &mut self.xml);
            self.xml.push('"');
        }
        self.used.extend(written.prefix);
        self.open = true;
    }

    /// Writes an end tag.
    pub(super) fn end(&mut self, name: &str) {
        if std::mem::take(&mut self.open) {
            self.xml.push_str("/>");
        } else {
            let _ = write!(self.xml, "</{name}>");
        }
    }

    /// Writes text.
    pub(super) fn text(&mut self, text: &str) {
        if !text.is_empty() {
            self.close_tag();
            escape(text, text_escape, &mut self.xml);
        }
    }

    /// Writes a processing instruction.
    pub(super) fn instruction(&mut self, content: std::fmt::Arguments<'_>) {
        self.close_tag();
        let _ = write!(self.xml, "<?{content}?>");
    }

    /// Writes what was made apart.
    pub(super) fn append(&mut self, other: Body) {
        self.close_tag();
        self.xml.push_str(&other.xml);
        self.used.extend(other.used);
    }

    fn close_tag(&mut self) {
        if std::mem::take(&mut self.open) {
            self.xml.push('>');
        }
    }

    /// The finished XML, with the declarations on its root element.
    pub(super) fn finish(mut self, root: &Written, prefixes: &Prefixes, names: &Names) -> String {
        let declarations = self.declarations(root, prefixes, names);
        self.xml.insert_str(1 + root.name.len(), &declarations);
        self.xml
    }

    /// The declarations that the root needs.
    pub(super) fn declarations(&self, root: &Written, prefixes: &Prefixes, names: &Names) -> String {
        let mut declarations = String::new();
        let mut declare = |name: &str, space: NsId| {
            let _ = write!(declarations, " {name}=\"");
            escape(names.uri(space), attribute_escape, &mut declarations);
            declarations.push('"');
        };
        if root.inside != NsId::NONE {
            declare("xmlns", root.inside);
        }
        for number in &self.used {
            declare(&format!("xmlns:n{number}"), prefixes.others[number - 1]);
        }
        declarations
    }
}

fn text_escape(byte: u8) -> Option<&'static str> {
    match byte {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'>' => Some("&gt;"),
        b'\r' => Some("&#xD;"),
        _ => None,
    }
}

fn attribute_escape(byte: u8) -> Option<&'static str> {
    match byte {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'"' => Some("&quot;"),
        b'\t' => Some("&#x9;"),
        b'\n' => Some("&#xA;"),
        b'\r' => Some("&#xD;"),
        _ => None,
    }
}

fn escape(text: &str, table: fn(u8) -> Option<&'static str>, out: &mut String) {
    let mut done = 0;
    for (at, byte) in text.bytes().enumerate() {
        if let Some(escaped) = table(byte) {
            out.push_str(&text[done..at]);
            out.push_str(escaped);
            done = at + 1;
        }
    }
    out.push_str(&text[done..]);
}

fn escaped_size(text: &str, table: fn(u8) -> Option<&'static str>) -> u64 {
    text.bytes().map(|byte| table(byte).map_or(1, str::len) as u64).sum()
}

/// Bytes of a text as canonical XML.
pub(super) fn text_size(text: &str) -> u64 {
    escaped_size(text, text_escape)
}

/// Bytes of an attribute as canonical XML, the space before it included, a prefix not.
pub(super) fn attribute_size(name: &str, value: &str) -> u64 {
    4 + name.len() as u64 + escaped_size(value, attribute_escape)
}

/// Bytes of a start tag as canonical XML, namespace declarations not included.
pub(super) fn tag_size(tag: &Tag, names: &Names) -> u64 {
    let attributes = tag.attributes.iter();
    let size = |name, value: &str| attribute_size(names.text(name), value);
    2 + names.text(tag.name).len() as u64
        + attributes.map(|attribute| size(attribute.name, &attribute.value)).sum::<u64>()
}
