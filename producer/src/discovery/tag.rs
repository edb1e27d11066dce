//! Start tags: names resolved, attributes in order and checked.

use quick_xml::XmlVersion;
use quick_xml::events::BytesStart;
use quick_xml::events::attributes::Attribute as RawAttribute;
use quick_xml::name::{NamespaceResolver, ResolveResult};

use super::error::{Fault, legal_at};
use super::names::{NameId, Names, NsId, shorten};

/// A start tag without its namespace declarations.
#[derive(Debug, Default)]
pub(super) struct Tag {
    pub(super) name: NameId,
    pub(super) space: NsId,
    /// Sorted by namespace URI and local name.
    pub(super) attributes: Vec<Attribute>,
}

/// An attribute.
#[derive(Debug)]
pub(super) struct Attribute {
    pub(super) name: NameId,
    pub(super) space: NsId,
    /// As written, with prefix.
    pub(super) written: String,
    pub(super) value: String,
}

/// What a start tag is checked against.
pub(super) struct TagRules<'a> {
    pub(super) resolver: &'a NamespaceResolver,
    /// Where the tag begins; its faults are told there.
    pub(super) offset: u64,
    pub(super) max_attributes: u32,
}

impl TagRules<'_> {
    /// Reads a start tag into `tag`.
    pub(super) fn read(&self, start: &BytesStart<'_>, names: &mut Names, tag: &mut Tag) -> Result<(), Fault> {
        let (space, local) = self.resolver.resolve_element(start.name());
        tag.space = self.space(&space, names)?;
        tag.name = names.name(local.as_ref()).map_err(|what| self.malformed(what))?;
        tag.attributes.clear();
        let mut declared = Vec::new();
        for (number, attribute) in (0u32..).zip(start.attributes().with_checks(false)) {
            if number == self.max_attributes {
                let what = format!("an element has more than {number} attributes");
                return Err(Fault::limit(self.offset, what, "max_attributes"));
            }
            let attribute = attribute.map_err(|error| self.malformed(format!("attribute: {error}")))?;
            self.spaced(start, attribute.key.as_ref())?;
            let value = self.value(&attribute)?;
            if attribute.key.as_namespace_binding().is_some() {
                declared.push(attribute.key.as_ref().to_owned());
            } else {
                tag.attributes.push(self.attribute(&attribute, value, names)?);
            }
        }
        self.unique(tag, declared, names)
    }

    fn value(&self, attribute: &RawAttribute<'_>) -> Result<String, Fault> {
        let written = attribute.key.as_ref();
        if attribute.value.contains('<') {
            return Err(self.malformed(format!("`<` in attribute `{written}` must be written `&lt;`")));
        }
        let value = attribute
            .normalized_value(XmlVersion::Implicit1_0)
            .map_err(|error| self.malformed(format!("attribute `{written}`: {error}")))?;
        legal_at(&value, self.offset).map_err(|fault| Fault { offset: self.offset, ..fault })?;
        Ok(value.into_owned())
    }

    fn attribute(
        &self,
        raw: &RawAttribute<'_>,
        value: String,
        names: &mut Names,
    ) -> Result<Attribute, Fault> {
        let (space, local) = self.resolver.resolve_attribute(raw.key);
        let space = self.space(&space, names)?;
        let name = names.name(local.as_ref()).map_err(|what| self.malformed(what))?;
        Ok(Attribute { name, space, written: raw.key.as_ref().to_owned(), value })
    }

    /// Sorts the attributes and refuses doubles, also those by two prefixes of one namespace.
    fn unique(&self, tag: &mut Tag, mut declared: Vec<String>, names: &Names) -> Result<(), Fault> {
        let key = |attribute: &Attribute| (names.uri(attribute.space), names.text(attribute.name));
        tag.attributes.sort_by(|a, b| key(a).cmp(&key(b)));
        declared.sort_unstable();
        let double = tag.attributes.windows(2).find(|pair| key(&pair[0]) == key(&pair[1]));
        let double = double.map(|pair| &pair[1].written);
        let double =
            double.or_else(|| declared.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| &pair[0]));
        match double {
            Some(name) => Err(self.malformed(format!("attribute `{name}` is there twice"))),
            None => Ok(()),
        }
    }

    /// The parser takes `a="1"b="2"`; XML does not.
    fn spaced(&self, start: &BytesStart<'_>, key: &str) -> Result<(), Fault> {
        let tag: &str = start;
        let at = key.as_ptr().addr().wrapping_sub(tag.as_ptr().addr());
        match tag.as_bytes().get(at.wrapping_sub(1)) {
            Some(before) if !before.is_ascii_whitespace() => {
                Err(self.malformed(format!("white space is missing before attribute `{}`", shorten(key))))
            }
            _ => Ok(()),
        }
    }

    fn space(&self, resolved: &ResolveResult<'_>, names: &mut Names) -> Result<NsId, Fault> {
        let uri = match resolved {
            ResolveResult::Unbound => return Ok(NsId::NONE),
            ResolveResult::Bound(uri) => uri.as_ref(),
            ResolveResult::Unknown(prefix) => {
                return Err(self.malformed(format!("prefix `{prefix}` is not declared")));
            }
        };
        let uri = quick_xml::escape::unescape(uri)
            .map_err(|error| self.malformed(format!("namespace `{}`: {error}", shorten(uri))))?;
        names.space(&uri).ok_or_else(|| self.malformed("more than 10000 namespaces"))
    }

    fn malformed(&self, what: impl Into<String>) -> Fault {
        Fault::malformed(self.offset, what)
    }
}
