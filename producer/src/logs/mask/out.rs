//! The template while it is written: merges repeated items, so that a list of five ids and a
//! list of five hundred read the same.

/// Marks for what varies. They stand in templates, and so in fingerprints: never change one.
pub(super) mod mark {
    pub(in super::super) const NUMBER: &str = "<num>";
    pub(in super::super) const ID: &str = "<id>";
    pub(in super::super) const ADDRESS: &str = "<addr>";
    pub(in super::super) const PATH: &str = "<path>";
    pub(in super::super) const URL: &str = "<url>";
    pub(in super::super) const EMAIL: &str = "<email>";
    pub(in super::super) const QUOTED: &str = "<str>";
    pub(in super::super) const TIME: &str = "<time>";
    pub(in super::super) const NAME: &str = "<name>";
    pub(in super::super) const VALUE: &str = "<*>";
}

const DEEPEST_GROUP: usize = 64;

/// An item: a masked word or a bracketed group.
#[derive(Clone, Copy)]
struct Item {
    start: usize,
    end: usize,
}

/// The template so far.
#[derive(Default)]
pub(super) struct Out {
    text: String,
    last: Option<Item>,
    open: Vec<(u8, usize)>,
}

impl Out {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes), ..Self::default() }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn into_text(mut self) -> String {
        self.text.truncate(self.text.trim_end().len());
        self.text
    }

    /// Text that does not vary.
    pub(super) fn literal(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// One space, however many were there; none at the start.
    pub(super) fn space(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with(' ') {
            self.text.push(' ');
        }
    }

    /// Text with a mark in it, written since `start`: dropped if it repeats the item before it.
    pub(super) fn item(&mut self, start: usize) {
        if let Some(last) = self.last
            && last.end <= start
            && self.text[last.end..start].bytes().all(|byte| matches!(byte, b' ' | b',' | b';' | b'|'))
            && last.end < start
            && self.text[last.start..last.end] == self.text[start..]
        {
            self.text.truncate(last.end);
            return;
        }
        self.last = Some(Item { start, end: self.text.len() });
    }

    /// A bracket opens.
    pub(super) fn open(&mut self, bracket: u8) {
        if self.open.len() < DEEPEST_GROUP {
            self.open.push((bracket, self.text.len()));
        }
        self.text.push(char::from(bracket));
    }

    /// A bracket closes: the group is an item.
    pub(super) fn close(&mut self, bracket: u8) {
        self.text.push(char::from(bracket));
        let opener = opener_of(bracket);
        if self.open.last().is_some_and(|(open, _)| *open == opener)
            && let Some((_, start)) = self.open.pop()
        {
            self.item(start);
        }
    }

    /// Whether the innermost open bracket is a brace.
    pub(super) fn in_braces(&self) -> bool {
        self.open.last().is_some_and(|(open, _)| *open == b'{')
    }

    /// Whether a number was the last thing written, but for one space.
    pub(super) fn drop_space_after_number(&mut self) -> bool {
        let after_number = self.text.strip_suffix(' ').is_some_and(|text| text.ends_with(mark::NUMBER));
        if after_number {
            self.text.pop();
        }
        after_number
    }
}

fn opener_of(bracket: u8) -> u8 {
    match bracket {
        b')' => b'(',
        b']' => b'[',
        b'}' => b'{',
        _ => b'<',
    }
}
