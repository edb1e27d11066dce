//! Names and namespaces as numbers: each is kept once.

use std::collections::HashMap;
use std::rc::Rc;

/// A local name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct NameId(u32);

/// A namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct NsId(u32);

impl NsId {
    /// No namespace.
    pub(super) const NONE: Self = Self(0);
    /// What the prefix `xml` stands for.
    pub(super) const XML: Self = Self(1);
}

/// Strings by number and back.
#[derive(Debug, Default)]
struct Table {
    by_text: HashMap<Rc<str>, u32>,
    by_number: Vec<Rc<str>>,
}

impl Table {
    fn find(&self, text: &str) -> Option<u32> {
        self.by_text.get(text).copied()
    }

    fn add(&mut self, text: &str) -> u32 {
        let number = u32::try_from(self.by_number.len()).expect("names are capped far below this");
        let text: Rc<str> = text.into();
        self.by_text.insert(Rc::clone(&text), number);
        self.by_number.push(text);
        number
    }
}

/// All names and namespaces of a document. Names are as many as paths, which are capped.
#[derive(Debug)]
pub(super) struct Names {
    names: Table,
    spaces: Table,
}

/// Documents have a handful of namespaces; more than this is an attack or a mistake.
const MAX_NAMESPACES: usize = 10_000;

impl Names {
    /// Knows no name, and the two fixed namespaces.
    pub(super) fn new() -> Self {
        let mut spaces = Table::default();
        spaces.add("");
        spaces.add("http://www.w3.org/XML/1998/namespace");
        Self { names: Table::default(), spaces }
    }

    /// The number of a local name; the error says why it is none.
    pub(super) fn name(&mut self, text: &str) -> Result<NameId, String> {
        if let Some(number) = self.names.find(text) {
            return Ok(NameId(number));
        }
        if !super::checks::is_nc_name(text) {
            return Err(format!("`{}` is not a name", shorten(text)));
        }
        Ok(NameId(self.names.add(text)))
    }

    /// The number of a namespace, `None` if there are too many.
    pub(super) fn space(&mut self, uri: &str) -> Option<NsId> {
        if let Some(number) = self.spaces.find(uri) {
            return Some(NsId(number));
        }
        (self.spaces.by_number.len() < MAX_NAMESPACES).then(|| NsId(self.spaces.add(uri)))
    }

    /// The text of a name.
    pub(super) fn text(&self, name: NameId) -> &str {
        &self.names.by_number[name.0 as usize]
    }

    /// The URI of a namespace.
    pub(super) fn uri(&self, space: NsId) -> &str {
        &self.spaces.by_number[space.0 as usize]
    }
}

/// The beginning of a text for a message.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
