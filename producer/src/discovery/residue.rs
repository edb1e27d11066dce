//! What stays of containers when their nodes are cut out: start tags, text, small children.
//!
//! One residue covers the document, one each node that had to be split. It is sent in parts, none
//! above the size limit unless a single thing in it is. Processing instructions tell what is
//! elsewhere, see [`fleetline_shared::domain::cut_marks`].

use fleetline_shared::domain::{NodeShape, cut_marks};

use super::canonical::{Body, Prefixes, tag_size};
use super::checks::is_blank;
use super::context::Context;
use super::error::XmlError;
use super::frame::{Env, Frame, ancestor, ancestors_of, path_of};
use super::names::NsId;
use super::paths::PathId;
use super::piece::Piece;
use super::plan::Cut;
use super::tag::Tag;
use super::unit::{Unit, fields};

/// A residue while it is read.
pub(super) struct Residue {
    /// Which frame is its root.
    pub(super) first: usize,
    pub(super) prefixes: Prefixes,
    shape: NodeShape,
    /// The frame around this part's content, if an earlier part has its start tag; `None` in the
    /// part that begins with the root's start tag.
    base: Option<usize>,
    /// Number of this part.
    part: u64,
    body: Body,
    context: Context,
    /// The part's number among the jobs, once something belongs to it.
    ordinal: Option<u64>,
    elements: u64,
}

/// `<?continued?>` or `<?continues?>`.
const MARK: u64 = 13;

impl Residue {
    /// A residue whose root will be frame number `first`.
    pub(super) fn new(first: usize, space: NsId, shape: NodeShape, env: &mut Env<'_>) -> Self {
        Self {
            first,
            prefixes: Prefixes::new(space),
            shape,
            base: None,
            part: env.siblings.new_part(),
            body: Body::default(),
            context: Context::new(env.options.max_context),
            ordinal: None,
            elements: 0,
        }
    }

    /// A container begins.
    pub(super) fn open(
        &mut self,
        frames: &mut Vec<Frame>,
        tag: &Tag,
        (path, position, number): (PathId, u64, u64),
        env: &mut Env<'_>,
    ) -> Result<(), XmlError> {
        let end = env.names.text(tag.name).len() as u64 + 3 + MARK;
        self.make_room(frames, tag_size(tag, &env.names) + end, Some((path, position)), env);
        let outside = frames[self.first..].last().map(|frame| frame.written.inside);
        let written = self.body.start(tag, outside, &mut self.prefixes, &env.names);
        let present = fields(tag, path, &mut self.context, env)?;
        self.elements += 1;
        let ancestor = ancestor(tag, &env.names);
        let part = self.part;
        frames.push(Frame { path, number, position, ancestor, written, part, pending: Vec::new(), present });
        Ok(())
    }

    /// Text directly in the innermost container.
    pub(super) fn text(&mut self, frames: &mut [Frame], text: &str, env: &mut Env<'_>) {
        // White space alone is not worth a job; it waits for what follows.
        if self.ordinal.is_none() && is_blank(text) {
            self.body.text(text);
            return;
        }
        self.make_room(frames, super::canonical::text_size(text), None, env);
        self.body.text(text);
    }

    /// A child of the innermost container that stays with it.
    pub(super) fn keep(&mut self, frames: &mut [Frame], unit: Unit, env: &mut Env<'_>) {
        self.prefixes = unit.prefixes;
        self.make_room(frames, unit.body.xml.len() as u64, Some((unit.path, unit.position)), env);
        self.body.append(unit.body);
        self.context.append(unit.context);
        self.elements += unit.elements;
    }

    /// The innermost container ends.
    pub(super) fn close(&mut self, frames: &mut Vec<Frame>, env: &mut Env<'_>) {
        let top = frames.len() - 1;
        if self.ordinal.is_some() {
            self.account(frames, None, env);
        }
        let frame = &frames[top];
        if self.base != Some(top) {
            if frame.part == self.part {
                self.context.element(frame.path, frame.present, &env.plan);
            }
            self.body.end(&frame.written.name);
        } else if top > self.first {
            self.wrap(frames, env);
        }
        if top == self.first {
            self.send(frames, false, env);
        }
        frames.pop();
    }

    /// Sends what there is: reading ends inside the containers.
    pub(super) fn break_off(&mut self, frames: &[Frame], env: &mut Env<'_>) {
        self.send(frames, true, env);
    }

    /// Begins a new part if `length` more bytes do not fit, and accounts for the children before.
    fn make_room(
        &mut self,
        frames: &mut [Frame],
        length: u64,
        child: Option<(PathId, u64)>,
        env: &mut Env<'_>,
    ) {
        if self.ordinal.is_some() && self.size(frames, env) + length > env.options.max_subtree {
            self.send(frames, true, env);
        }
        self.ordinal.get_or_insert_with(|| env.out.next_ordinal());
        if frames.len() > self.first {
            self.account(frames, child, env);
        }
    }

    /// Bytes of this part if it were sent now.
    fn size(&self, frames: &[Frame], env: &Env<'_>) -> u64 {
        let name = |frame: &Frame| frame.written.name.len() as u64;
        let count = |path: &PathId| env.names.text(env.paths[*path].name).len() as u64 + 20;
        let pending: u64 = frames.last().map_or(0, |frame| frame.pending.iter().map(count).sum());
        let (outer, inner) = frames[self.first..].split_at(self.base.map_or(0, |base| base + 1 - self.first));
        let ends: u64 = inner.iter().map(|frame| name(frame) + 3 + MARK).sum();
        let wraps: u64 = outer.iter().map(|frame| 3 * name(frame) + 25 + 2 * MARK).sum();
        let root = &frames[self.base.unwrap_or(self.first)].written;
        let declarations = self.body.declarations(root, &self.prefixes, &env.names).len() as u64;
        self.body.xml.len() as u64 + pending + ends + wraps + declarations
    }

    /// Writes how many children before this place are elsewhere, so that positions can be counted.
    fn account(&mut self, frames: &mut [Frame], child: Option<(PathId, u64)>, env: &mut Env<'_>) {
        let Some(frame) = frames.last_mut() else { return };
        for path in std::mem::take(&mut frame.pending) {
            let before = match child {
                Some((same, position)) if same == path => position - 1,
                _ => env.siblings.seen(path),
            };
            self.mark(path, before, env);
        }
        if let Some((path, position)) = child {
            self.mark(path, position - 1, env);
            env.siblings.show(path, self.part, position);
        }
    }

    fn mark(&mut self, path: PathId, position: u64, env: &mut Env<'_>) {
        let count = env.siblings.show(path, self.part, position);
        if count > 0 {
            let mark = match env.plan.cut(path) {
                Cut::Skip(_) => cut_marks::SKIPPED,
                Cut::Node | Cut::Keep => cut_marks::CUT,
            };
            self.body.instruction(format_args!("{mark} {} {count}", env.names.text(env.paths[path].name)));
        }
    }

    /// A container that an earlier part began ends here: this part goes on one level up.
    fn wrap(&mut self, frames: &mut [Frame], env: &mut Env<'_>) {
        let top = frames.len() - 1;
        self.base = Some(top - 1);
        let content = std::mem::take(&mut self.body);
        if self.ordinal.is_none() {
            return;
        }
        let (path, position) = (frames[top].path, frames[top].position);
        self.mark(path, position - 1, env);
        env.siblings.show(path, self.part, position);
        let written = &frames[top].written;
        self.body.reopen(written, frames[top - 1].written.inside, &env.names);
        self.body.instruction(format_args!("{}", cut_marks::CONTINUED));
        self.body.append(content);
        self.body.end(&written.name);
    }

    /// Sends this part and begins the next. `unfinished`: the containers go on.
    fn send(&mut self, frames: &[Frame], unfinished: bool, env: &mut Env<'_>) {
        let mut body = std::mem::take(&mut self.body);
        let root = self.base.unwrap_or(self.first);
        let next = Some(frames.len() - 1);
        let Some(ordinal) = self.ordinal.take() else { return };
        if unfinished {
            let inner = self.base.map_or(self.first, |base| base + 1);
            for frame in frames[inner..].iter().rev() {
                body.instruction(format_args!("{}", cut_marks::CONTINUES));
                body.end(&frame.written.name);
            }
        }
        let written = &frames[root].written;
        if self.base.is_some() {
            let content = std::mem::take(&mut body);
            body.reopen(written, written.inside, &env.names);
            body.instruction(format_args!("{}", cut_marks::CONTINUED));
            body.append(content);
            if unfinished {
                body.instruction(format_args!("{}", cut_marks::CONTINUES));
            }
            body.end(&written.name);
        }
        let context = std::mem::replace(&mut self.context, Context::new(env.options.max_context));
        let above = if self.base.is_some() { root + 1 } else { root };
        let piece = Piece {
            shape: self.shape,
            node_type: frames[root].ancestor.name.clone(),
            path: path_of(&frames[..=root], &env.paths, &env.names),
            ordinal,
            ancestors: ancestors_of(&frames[..above]),
            xml: body.finish(written, &self.prefixes, &env.names),
            context: context.finish(frames[root].path, &env.paths, &env.names),
            elements: std::mem::take(&mut self.elements),
        };
        env.out.send(frames[root].path, piece);
        (self.base, self.part) = (next, env.siblings.new_part());
    }
}
