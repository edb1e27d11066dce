//! The second reading: cuts the document into pieces, with one subtree in memory at a time.

use fleetline_shared::domain::NodeShape;

use super::canonical::Prefixes;
use super::checks::is_blank;
use super::error::{Fault, FaultKind, XmlError};
use super::frame::{Env, Frame, ancestors_of, path_of, step};
use super::paths::{Part, PathId};
use super::piece::Piece;
use super::plan::Cut;
use super::reader::{Token, XmlReader};
use super::residue::Residue;
use super::tag::Tag;
use super::unit::Unit;

/// Cuts one document.
pub(super) struct Cutter<'a> {
    pub(super) env: Env<'a>,
    /// The open containers, the root element first.
    frames: Vec<Frame>,
    /// The residues being read, the document's first.
    residues: Vec<Residue>,
    /// The subtree being read, if it stays whole.
    unit: Option<Unit>,
    /// Inside an element that is left out: its path, its rule, how deep.
    skipped: Option<(PathId, usize, u32)>,
    /// The text since the last tag.
    text: String,
    /// Elements begun.
    elements: u64,
    /// Elements of a node that was cut off by an error.
    pub(super) lost: u64,
}

/// Why cutting ended before the document did.
pub(super) enum Stop {
    /// The document is not well-formed here.
    Fault,
    Error(XmlError),
    /// The sink wants no more.
    Enough,
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        match fault.kind {
            FaultKind::Io(error) => Self::Error(XmlError::Io(error)),
            _ => Self::Fault,
        }
    }
}

impl From<XmlError> for Stop {
    fn from(error: XmlError) -> Self {
        Self::Error(error)
    }
}

impl<'a> Cutter<'a> {
    pub(super) fn new(env: Env<'a>) -> Self {
        Self {
            env,
            frames: Vec::new(),
            residues: Vec::new(),
            unit: None,
            skipped: None,
            text: String::new(),
            elements: 0,
            lost: 0,
        }
    }

    /// Reads to the end.
    pub(super) fn run(&mut self, reader: &mut XmlReader) -> Result<(), Stop> {
        while !self.env.out.stopped {
            match reader.next(&mut self.env.names)? {
                Token::Start => self.start(&reader.tag)?,
                Token::Text if self.skipped.is_none() => self.text.push_str(&reader.text),
                Token::Text => {}
                Token::End => self.end(),
                Token::Eof => return Ok(()),
            }
        }
        Err(Stop::Enough)
    }

    /// Sends what was read of open containers; an open node is lost.
    pub(super) fn break_off(&mut self) {
        if let Some(unit) = self.unit.take() {
            self.lost = unit.elements;
            if let (None, Some(residue)) = (unit.ordinal, self.residues.last_mut()) {
                residue.prefixes = unit.prefixes;
            }
        }
        while let Some(mut residue) = self.residues.pop() {
            residue.break_off(&self.frames, &mut self.env);
            self.frames.truncate(residue.first);
        }
    }

    fn start(&mut self, tag: &Tag) -> Result<(), XmlError> {
        if let Some((path, rule, depth)) = &mut self.skipped {
            *depth += 1;
            self.elements += 1;
            self.env.out.skip(*path, *rule, false);
            return Ok(());
        }
        self.end_text(false);
        self.elements += 1;
        match &mut self.unit {
            Some(unit) => unit.start(tag, self.elements - 1, &self.env),
            None => self.child(tag),
        }
    }

    /// An element whose parent is a container, or the root: decides what becomes of it.
    fn child(&mut self, tag: &Tag) -> Result<(), XmlError> {
        let (parent, holder) = self.frames.last().map_or((PathId::DOCUMENT, 0), |top| (top.path, top.number));
        let path = self.env.paths.find(parent, tag.name, Part::Element).ok_or(XmlError::Changed)?;
        let position = self.env.siblings.count(path, holder);
        if let Some(top) = self.frames.last_mut() {
            top.present |= self.env.plan.usual_mask(path);
        }
        let number = self.elements - 1;
        let split = self.env.marks.split.get(number);
        match self.env.plan.cut(path) {
            Cut::Skip(rule) => {
                self.cut_from_parent(path);
                self.env.out.skip(path, rule, true);
                self.skipped = Some((path, rule, 0));
                Ok(())
            }
            Cut::Node if !split => self.node(tag, path, position),
            _ if self.env.marks.huge_leaves.contains(&number) => self.node(tag, path, position),
            Cut::Node => self.residue(tag, path, position, NodeShape::Split),
            Cut::Keep if self.frames.is_empty() => self.residue(tag, path, position, NodeShape::Skeleton),
            Cut::Keep if split || self.env.plan.descends(path) => self.container(tag, path, position),
            Cut::Keep => self.kept(tag, path, position),
        }
    }

    fn cut_from_parent(&mut self, path: PathId) {
        if let Some(top) = self.frames.last_mut() {
            top.cut(path);
        }
    }

    fn node(&mut self, tag: &Tag, path: PathId, position: u64) -> Result<(), XmlError> {
        self.cut_from_parent(path);
        let ordinal = Some(self.env.out.next_ordinal());
        let prefixes = Prefixes::new(tag.space);
        let unit = Unit::new(path, position, ordinal, prefixes, None, self.env.options.max_context);
        self.unit.insert(unit).start(tag, self.elements - 1, &self.env)
    }

    fn residue(&mut self, tag: &Tag, path: PathId, position: u64, shape: NodeShape) -> Result<(), XmlError> {
        self.cut_from_parent(path);
        let residue = Residue::new(self.frames.len(), tag.space, shape, &mut self.env);
        self.residues.push(residue);
        self.container(tag, path, position)
    }

    fn container(&mut self, tag: &Tag, path: PathId, position: u64) -> Result<(), XmlError> {
        let residue = self.residues.last_mut().expect("the root opens one");
        residue.open(&mut self.frames, tag, (path, position, self.elements), &mut self.env)
    }

    fn kept(&mut self, tag: &Tag, path: PathId, position: u64) -> Result<(), XmlError> {
        let residue = self.residues.last_mut().expect("the root opens one");
        let prefixes = std::mem::take(&mut residue.prefixes);
        let outside = self.frames.last().map(|top| top.written.inside);
        let unit = Unit::new(path, position, None, prefixes, outside, self.env.options.max_context);
        self.unit.insert(unit).start(tag, self.elements - 1, &self.env)
    }

    fn end(&mut self) {
        if let Some((_, _, depth)) = &mut self.skipped {
            match depth.checked_sub(1) {
                Some(less) => *depth = less,
                None => self.skipped = None,
            }
            return;
        }
        self.end_text(true);
        match self.unit.take() {
            None => self.end_container(),
            Some(mut unit) => {
                if unit.end(&self.env) {
                    self.end_unit(unit);
                } else {
                    self.unit = Some(unit);
                }
            }
        }
    }

    fn end_container(&mut self) {
        let residue = self.residues.last_mut().expect("a container is open");
        residue.close(&mut self.frames, &mut self.env);
        if self.frames.len() == residue.first {
            self.residues.pop();
        }
    }

    fn end_unit(&mut self, unit: Unit) {
        let Some(ordinal) = unit.ordinal else {
            let residue = self.residues.last_mut().expect("a container is open");
            residue.keep(&mut self.frames, unit, &mut self.env);
            return;
        };
        let Env { names, paths, options, out, .. } = &mut self.env;
        let root = unit.root.expect("a unit has a root");
        let name = names.text(paths[unit.path].name).to_owned();
        let above = path_of(&self.frames, paths, names);
        let xml = unit.body.finish(&root, &unit.prefixes, names);
        // Declarations and prefixes may put a node a little above the limit; only what could not
        // be split is oversize.
        let huge = unit.elements == 1 && xml.len() as u64 > options.max_subtree;
        let piece = Piece {
            shape: if huge { NodeShape::Oversize } else { NodeShape::Whole },
            node_type: name,
            path: above + &step(unit.path, unit.position, paths, names),
            ordinal,
            ancestors: ancestors_of(&self.frames),
            xml,
            context: unit.context.finish(unit.path, paths, names),
            elements: unit.elements,
        };
        out.send(unit.path, piece);
    }

    /// A tag ends the text before it; `leaf` if that is an end tag.
    fn end_text(&mut self, leaf: bool) {
        if self.text.is_empty() {
            return;
        }
        let text = std::mem::take(&mut self.text);
        if let Some(unit) = &mut self.unit {
            unit.text(&text, leaf, &self.env);
        } else if let (Some(residue), Some(top)) = (self.residues.last_mut(), self.frames.last())
            && (!is_blank(&text) || self.env.marks.keep_space.get(top.number - 1))
        {
            residue.text(&mut self.frames, &text, &mut self.env);
        }
        self.text = text;
        self.text.clear();
    }
}
