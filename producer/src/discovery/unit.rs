//! A subtree that stays whole: it becomes a job, or part of the residue around it.

use super::canonical::{Body, Prefixes, Written};
use super::checks::is_blank;
use super::context::Context;
use super::error::XmlError;
use super::frame::Env;
use super::names::NsId;
use super::paths::{Part, PathId};
use super::tag::Tag;

/// A subtree while it is read.
pub(super) struct Unit {
    pub(super) path: PathId,
    /// Position of its root among its namesakes, from 1.
    pub(super) position: u64,
    /// Its number, if it is a job of its own.
    pub(super) ordinal: Option<u64>,
    pub(super) body: Body,
    pub(super) prefixes: Prefixes,
    pub(super) context: Context,
    pub(super) elements: u64,
    /// How its root was written.
    pub(super) root: Option<Written>,
    /// The default namespace around it; `None` for a job of its own.
    outside: Option<NsId>,
    open: Vec<Open>,
}

struct Open {
    path: PathId,
    written: Written,
    keep_space: bool,
    has_children: bool,
    present: u64,
}

impl Unit {
    /// A unit of which nothing is read yet.
    pub(super) fn new(
        path: PathId,
        position: u64,
        ordinal: Option<u64>,
        prefixes: Prefixes,
        outside: Option<NsId>,
        max_context: u32,
    ) -> Self {
        Self {
            path,
            position,
            ordinal,
            body: Body::default(),
            prefixes,
            context: Context::new(max_context),
            elements: 0,
            root: None,
            outside,
            open: Vec::new(),
        }
    }

    /// The next start tag, of element `number` (from 0).
    pub(super) fn start(&mut self, tag: &Tag, number: u64, env: &Env<'_>) -> Result<(), XmlError> {
        let (path, outside) = match self.open.last_mut() {
            None => (self.path, self.outside),
            Some(parent) => {
                let path = env.paths.find(parent.path, tag.name, Part::Element).ok_or(XmlError::Changed)?;
                parent.has_children = true;
                parent.present |= env.plan.usual_mask(path);
                (path, Some(parent.written.inside))
            }
        };
        let written = self.body.start(tag, outside, &mut self.prefixes, &env.names);
        if self.root.is_none() {
            self.root = Some(written.clone());
        }
        let present = fields(tag, path, &mut self.context, env)?;
        let keep_space = env.marks.keep_space.get(number);
        self.open.push(Open { path, written, keep_space, has_children: false, present });
        self.elements += 1;
        Ok(())
    }

    /// The text since the last tag; `leaf` if the element's end follows.
    pub(super) fn text(&mut self, text: &str, leaf: bool, env: &Env<'_>) {
        let Some(element) = self.open.last() else { return };
        if leaf && !element.has_children {
            self.context.value(env.paths[element.path].role, text, &env.ids, &env.names);
        }
        if element.keep_space || !is_blank(text) {
            self.body.text(text);
        }
    }

    /// The next end tag; returns whether it is the unit's own.
    pub(super) fn end(&mut self, env: &Env<'_>) -> bool {
        let element = self.open.pop().expect("the reader checks that tags match");
        self.body.end(&element.written.name);
        self.context.element(element.path, element.present, &env.plan);
        self.open.is_empty()
    }
}

/// Looks at an element's attributes; returns which usual parts they are.
pub(super) fn fields(tag: &Tag, path: PathId, context: &mut Context, env: &Env<'_>) -> Result<u64, XmlError> {
    let mut present = 0;
    for attribute in &tag.attributes {
        let field = env.paths.find(path, attribute.name, Part::Attribute).ok_or(XmlError::Changed)?;
        present |= env.plan.usual_mask(field);
        context.value(env.paths[field].role, &attribute.value, &env.ids, &env.names);
    }
    Ok(present)
}
