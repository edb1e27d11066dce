//! The first reading: checks the document and learns what the second needs to cut it.

use std::io::{self, Read};

use super::canonical::{attribute_size, text_size};
use super::checks::is_blank;
use super::error::{Fault, XmlError};
use super::ids::Ids;
use super::input;
use super::marks::Marks;
use super::names::{NameId, Names};
use super::options::{DiscoveryOptions, OnMalformed};
use super::paths::{Part, PathId, Paths};
use super::reader::{Token, XmlReader};
use super::words::Role;

/// How a document is opened; each reading calls it once, and a fault once more to find its line.
pub(super) type Open<'a> = &'a dyn Fn() -> io::Result<Box<dyn Read>>;

/// What the first reading learned. Elements are known by their number in document order, from 0.
pub(super) struct Profile {
    pub(super) names: Names,
    pub(super) paths: Paths,
    pub(super) ids: Ids,
    pub(super) marks: Marks,
    pub(super) elements: u64,
    pub(super) comments: u64,
    pub(super) instructions: u64,
    pub(super) bytes: u64,
    pub(super) depth: u64,
    /// The error at which reading ended, if that is to be kept.
    pub(super) error: Option<XmlError>,
}

/// Reads the document once.
pub(super) fn profile(open: Open<'_>, options: &DiscoveryOptions) -> Result<Profile, XmlError> {
    let mut names = Names::new();
    let paths = Paths::new(options.max_paths, &mut names);
    let mut profile = Profile {
        names,
        paths,
        ids: Ids::new(options.max_ids),
        marks: Marks::default(),
        elements: 0,
        comments: 0,
        instructions: 0,
        bytes: 0,
        depth: 0,
        error: None,
    };
    let located = |fault: Fault, path| fault.into_error(path, |offset| locate(open, offset));
    let raw = open().map_err(XmlError::Io)?;
    let text = input::utf8(raw).map_err(|fault| located(fault, String::new()))?;
    let mut pass = Pass { profile: &mut profile, options, open: Vec::new(), run: Run::default() };
    let mut reader = XmlReader::new(text, options);
    if let Err(fault) = pass.run(&mut reader) {
        pass.mark_open_elements();
        let path = pass.path();
        let error = located(fault, path);
        let keep = options.on_malformed == OnMalformed::Keep && profile.elements > 0;
        if !(keep && matches!(error, XmlError::Malformed { .. })) {
            return Err(error);
        }
        profile.error = Some(error);
    }
    profile.comments = reader.comments;
    profile.instructions = reader.instructions;
    profile.bytes = reader.position();
    Ok(profile)
}

fn locate(open: Open<'_>, offset: u64) -> io::Result<(u64, u64)> {
    match input::utf8(open()?) {
        Ok(text) => input::locate(text, offset),
        // The fault was in the encoding, at the very start.
        Err(_) => Ok((1, 1)),
    }
}

/// An open element.
struct Element {
    path: PathId,
    number: u64,
    /// Bytes so far.
    size: u64,
    /// Bytes of white space that counts only if there is other text.
    blank: u64,
    has_children: bool,
    has_text: bool,
    preserve: bool,
    /// The text, where it may be an id.
    value: String,
}

/// The text since the last tag.
#[derive(Default)]
struct Run {
    size: u64,
    has_text: bool,
}

struct Pass<'a> {
    profile: &'a mut Profile,
    options: &'a DiscoveryOptions,
    open: Vec<Element>,
    run: Run,
}

impl Pass<'_> {
    fn run(&mut self, reader: &mut XmlReader) -> Result<(), Fault> {
        loop {
            match reader.next(&mut self.profile.names)? {
                Token::Start => self.start(reader)?,
                Token::Text => self.text(reader)?,
                Token::End => self.end(reader)?,
                Token::Eof => return Ok(()),
            }
        }
    }

    fn start(&mut self, reader: &XmlReader) -> Result<(), Fault> {
        self.end_run();
        let tag = &reader.tag;
        let (above, holder) = match self.open.last_mut() {
            None => (PathId::DOCUMENT, 0),
            Some(parent) => {
                parent.size += u64::from(!parent.has_children && !parent.has_text);
                parent.has_children = true;
                (parent.path, parent.number)
            }
        };
        let path = self.count(above, tag.name, Part::Element, holder, reader)?;
        let mut element = Element {
            path,
            number: self.profile.elements,
            size: 1 + self.profile.names.text(tag.name).len() as u64,
            blank: 0,
            has_children: false,
            has_text: false,
            preserve: self.open.last().is_some_and(|parent| parent.preserve),
            value: String::new(),
        };
        self.profile.elements += 1;
        for attribute in &tag.attributes {
            element.size += attribute_size(self.profile.names.text(attribute.name), &attribute.value);
            let field = self.count(path, attribute.name, Part::Attribute, element.number, reader)?;
            if self.profile.paths[field].role == Role::Identity {
                self.profile.ids.define(&attribute.value, tag.name);
            }
            if attribute.written == "xml:space" {
                element.preserve = attribute.value == "preserve";
            }
        }
        let node = self.profile.paths.get_mut(path);
        node.max_attributes = node.max_attributes.max(tag.attributes.len());
        self.open.push(element);
        self.profile.depth = self.profile.depth.max(self.open.len() as u64);
        Ok(())
    }

    /// Counts one more of a path in the element with number `holder`.
    fn count(
        &mut self,
        above: PathId,
        name: NameId,
        part: Part,
        holder: u64,
        reader: &XmlReader,
    ) -> Result<PathId, Fault> {
        let Profile { names, paths, .. } = &mut *self.profile;
        let path = paths.add(above, name, part, names).ok_or_else(|| {
            let what = format!("more than {} distinct paths", self.options.max_paths);
            Fault::limit(reader.offset, what, "max_paths")
        })?;
        paths.count(path, holder);
        Ok(path)
    }

    fn text(&mut self, reader: &XmlReader) -> Result<(), Fault> {
        self.run.size += text_size(&reader.text);
        self.run.has_text |= !is_blank(&reader.text);
        if self.run.size > self.options.max_node {
            let what = format!("one text is longer than {} bytes", self.options.max_node);
            return Err(Fault::limit(reader.offset, what, "max_node_mb"));
        }
        let element = self.open.last_mut().expect("text outside the root is refused");
        if self.profile.paths[element.path].role == Role::Identity && element.value.len() < 256 {
            element.value.push_str(&reader.text);
        }
        Ok(())
    }

    fn end_run(&mut self) {
        let run = std::mem::take(&mut self.run);
        let Some(element) = self.open.last_mut() else { return };
        if run.has_text {
            element.size += run.size + u64::from(!element.has_children && !element.has_text);
            element.has_text = true;
        } else {
            element.blank += run.size;
        }
    }

    fn end(&mut self, reader: &XmlReader) -> Result<(), Fault> {
        self.end_run();
        let mut element = self.open.pop().expect("the reader checks that tags match");
        let Profile { names, paths, ids, marks, .. } = &mut *self.profile;
        let mixed = element.has_text && element.has_children;
        if mixed || element.preserve {
            marks.keep_space.set(element.number);
            element.size += element.blank;
        }
        let node = paths.get_mut(element.path);
        let empty = !element.has_children && !element.has_text;
        element.size += if empty { 2 } else { 3 + names.text(node.name).len() as u64 };
        node.max_size = node.max_size.max(element.size);
        node.has_children |= element.has_children;
        node.mixed |= mixed;
        if node.role == Role::Identity && !element.has_children {
            let owner = node.parent;
            ids.define(&element.value, paths[owner].name);
        }
        if !element.has_children && element.size > self.options.max_node.saturating_mul(2) {
            let what = format!("one element without children has {} bytes", element.size);
            return Err(Fault::limit(reader.offset, what, "max_node_mb"));
        }
        marks.size(element.number, element.size, element.has_children, self.options);
        if let Some(parent) = self.open.last_mut() {
            parent.size += element.size;
        }
        Ok(())
    }

    /// At an error: what is open is as large as what was read of it.
    fn mark_open_elements(&mut self) {
        let mut inside = 0;
        for element in self.open.iter().rev() {
            inside += element.size;
            self.profile.marks.size(element.number, inside, element.has_children, self.options);
        }
    }

    /// Path of the innermost open element.
    fn path(&self) -> String {
        let Some(innermost) = self.open.last() else { return String::new() };
        let relative = self.profile.paths.relative(PathId::DOCUMENT, innermost.path, &self.profile.names);
        format!("/{relative}")
    }
}
