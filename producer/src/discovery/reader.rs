//! The document as checked tokens: what passes here is well-formed XML with namespaces.

use std::io::{BufReader, Read};

use quick_xml::Error;
use quick_xml::encoding::EncodingError;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::reader::NsReader;

use super::checks::{is_blank, is_xml_char};
use super::error::{Fault, FaultKind, legal_at};
use super::input::{Capped, TooLong};
use super::names::{Names, shorten};
use super::options::DiscoveryOptions;
use super::tag::{Tag, TagRules};

/// What comes next; its content is in [`XmlReader::tag`] and [`XmlReader::text`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Start,
    /// A piece of text: the pieces between two tags are one text.
    Text,
    End,
    Eof,
}

/// Reads tokens and checks them.
pub(super) struct XmlReader {
    inner: NsReader<Capped<BufReader<Box<dyn Read>>>>,
    buffer: Vec<u8>,
    /// The start tag read last.
    pub(super) tag: Tag,
    /// The piece of text read last, with references resolved.
    pub(super) text: String,
    /// Where the token read last begins.
    pub(super) offset: u64,
    pub(super) comments: u64,
    pub(super) instructions: u64,
    depth: u32,
    root_seen: bool,
    max_depth: u32,
    max_attributes: u32,
}

const BUFFER: usize = 64 * 1024;

impl XmlReader {
    /// Reads UTF-8 text.
    pub(super) fn new(text: Box<dyn Read>, options: &DiscoveryOptions) -> Self {
        let max = usize::try_from(options.max_node).unwrap_or(usize::MAX);
        let mut inner = NsReader::from_reader(Capped::new(BufReader::with_capacity(BUFFER, text), max));
        inner.config_mut().expand_empty_elements = true;
        inner.config_mut().check_comments = true;
        Self {
            inner,
            buffer: Vec::new(),
            tag: Tag::default(),
            text: String::new(),
            offset: 0,
            comments: 0,
            instructions: 0,
            depth: 0,
            root_seen: false,
            max_depth: options.max_depth,
            max_attributes: options.max_attributes,
        }
    }

    /// Bytes read so far.
    pub(super) fn position(&self) -> u64 {
        self.inner.buffer_position()
    }

    /// The next token.
    pub(super) fn next(&mut self, names: &mut Names) -> Result<Token, Fault> {
        loop {
            let mut buffer = std::mem::take(&mut self.buffer);
            buffer.clear();
            self.offset = self.inner.buffer_position();
            self.inner.get_mut().reset();
            let token = match self.inner.read_event_into(&mut buffer) {
                Ok(event) => self.token(event, names)?,
                Err(error) => return Err(self.fault(&error)),
            };
            self.buffer = buffer;
            if let Some(token) = token {
                return Ok(token);
            }
        }
    }

    fn token(&mut self, event: Event<'_>, names: &mut Names) -> Result<Option<Token>, Fault> {
        match event {
            Event::Start(start) => self.start(&start, names),
            Event::End(_) => {
                self.depth -= 1;
                Ok(Some(Token::End))
            }
            Event::Text(text) => {
                if memchr::memmem::find(text.as_bytes(), b"]]>").is_some() {
                    return Err(self.malformed("`]]>` in text must be written `]]&gt;`"));
                }
                self.characters(&text, &text.xml10_content())
            }
            Event::CData(data) if self.depth == 0 => {
                let _ = data;
                Err(self.malformed("CDATA outside the root element"))
            }
            Event::CData(data) => self.characters(&data, &data.xml10_content()),
            Event::GeneralRef(reference) => self.reference(&reference),
            Event::Comment(comment) => {
                self.comments += 1;
                self.legal(&comment).map(|()| None)
            }
            Event::PI(instruction) => {
                self.instructions += 1;
                self.legal(&instruction).map(|()| None)
            }
            Event::Decl(_) if self.offset == 0 => Ok(None),
            Event::Decl(_) => Err(self.malformed("the XML declaration must be at the very start")),
            Event::DocType(_) => Err(Fault { offset: self.offset, kind: FaultKind::Dtd }),
            Event::Empty(_) => unreachable!("empty elements come as start and end"),
            Event::Eof => self.end_of_document().map(Some),
        }
    }

    fn start(&mut self, start: &BytesStart<'_>, names: &mut Names) -> Result<Option<Token>, Fault> {
        if self.depth == 0 && self.root_seen {
            return Err(self.malformed("a second root element; a document has one"));
        }
        self.root_seen = true;
        self.depth += 1;
        if self.depth > self.max_depth {
            let what = format!("elements nest deeper than {}", self.max_depth);
            return Err(Fault::limit(self.offset, what, "max_depth"));
        }
        self.legal(start)?;
        let rules = TagRules {
            resolver: self.inner.resolver(),
            offset: self.offset,
            max_attributes: self.max_attributes,
        };
        rules.read(start, names, &mut self.tag)?;
        Ok(Some(Token::Start))
    }

    /// Text as it stands in the document (for places) and as it means.
    fn characters(&mut self, raw: &str, content: &str) -> Result<Option<Token>, Fault> {
        if self.depth == 0 {
            return self.outside(raw).map(|()| None);
        }
        legal_at(raw, self.offset)?;
        self.text.clear();
        self.text.push_str(content);
        Ok(Some(Token::Text))
    }

    fn outside(&self, text: &str) -> Result<(), Fault> {
        if is_blank(text) {
            return Ok(());
        }
        if self.root_seen {
            return Err(self.malformed("text after the root element"));
        }
        let what = format!("it starts with `{}`, not with `<`", shorten(text.trim()).escape_debug());
        Err(Fault { offset: self.offset, kind: FaultKind::NotXml(what) })
    }

    fn reference(&mut self, reference: &BytesRef<'_>) -> Result<Option<Token>, Fault> {
        if self.depth == 0 {
            return Err(self.malformed("a reference outside the root element"));
        }
        let name: &str = reference;
        self.text.clear();
        match reference.resolve_char_ref() {
            Ok(Some(char)) if is_xml_char(char) => self.text.push(char),
            Ok(Some(_)) => return Err(self.malformed(format!("`&{name};` is no legal character"))),
            Err(error) => return Err(self.malformed(format!("`&{};`: {error}", shorten(name)))),
            Ok(None) => {
                let text = quick_xml::escape::resolve_xml_entity(name).ok_or_else(|| {
                    self.malformed(format!("entity `&{};` is not one of XML's five", shorten(name)))
                })?;
                self.text.push_str(text);
            }
        }
        Ok(Some(Token::Text))
    }

    fn end_of_document(&self) -> Result<Token, Fault> {
        if self.depth > 0 {
            return Err(self.malformed("the document ends before its elements do: it is cut off"));
        }
        if !self.root_seen {
            return Err(Fault { offset: self.offset, kind: FaultKind::Empty("no root element") });
        }
        Ok(Token::Eof)
    }

    fn legal(&self, text: &str) -> Result<(), Fault> {
        // The markup before the text is one to nine bytes; the token's start is near enough.
        legal_at(text, self.offset).map_err(|fault| Fault { offset: self.offset, ..fault })
    }

    fn malformed(&self, what: impl Into<String>) -> Fault {
        Fault::malformed(self.offset, what)
    }

    fn fault(&self, error: &Error) -> Fault {
        match error {
            Error::Io(io)
                if io.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<TooLong>) =>
            {
                Fault::limit(self.offset, "a single tag or text is too long".into(), "max_node_mb")
            }
            Error::Io(io) => Fault {
                offset: self.offset,
                kind: FaultKind::Io(std::io::Error::new(io.kind(), io.to_string())),
            },
            Error::Encoding(EncodingError::Utf8(utf8)) => {
                let offset = self.offset + utf8.valid_up_to() as u64;
                Fault::malformed(offset, "bytes that are not UTF-8; declare the encoding or convert the file")
            }
            other => {
                let what = match other {
                    Error::Syntax(error) => error.to_string(),
                    Error::IllFormed(error) => error.to_string(),
                    other => other.to_string(),
                };
                Fault::malformed(self.inner.error_position().max(self.offset), what)
            }
        }
    }
}
