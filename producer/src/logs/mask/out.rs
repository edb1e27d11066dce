//! The template while it is written: merges repeated items, so that a list of five ids and a
//! list of five hundred read the same.

/// Marks for what varies. They stand in templates, and so in fingerprints: never change one.
pub(in crate::logs) mod mark {
    pub(in crate::logs) const NUMBER: &str = "<num>";
    pub(in crate::logs) const ID: &str = "<id>";
    pub(in crate::logs) const ADDRESS: &str = "<addr>";
    pub(in crate::logs) const PATH: &str = "<path>";
    pub(in crate::logs) const URL: &str = "<url>";
    pub(in crate::logs) const EMAIL: &str = "<email>";
    pub(in crate::logs) const QUOTED: &str = "<str>";
    pub(in crate::logs) const TIME: &str = "<time>";
    pub(in crate::logs) const NAME: &str = "<name>";
    pub(in crate::logs) const VALUE: &str = "<*>";
}

const DEEPEST_GROUP: usize = 64;

/// An item: a masked word or a bracketed group.
#[derive(Clone, Copy)]
struct Item {
    start: usize,
    end: usize,
}

/// A bracket that is open.
struct Open {
    bracket: u8,
    start: usize,
    /// The last group that closed directly inside it.
    last_group: Option<Item>,
}

/// The template so far.
#[derive(Default)]
pub(super) struct Out {
    text: String,
    last_word: Option<Item>,
    last_group: Option<Item>,
    open: Vec<Open>,
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

    /// A word with a mark in it, written since `start`: dropped if it repeats the one before it.
    pub(super) fn item(&mut self, start: usize) {
        if !self.drop_repeated(self.last_word, start) {
            self.last_word = Some(Item { start, end: self.text.len() });
        }
    }

    /// Drops the text since `start` if it repeats the item, with nothing but commas between.
    fn drop_repeated(&mut self, last: Option<Item>, start: usize) -> bool {
        let repeated = last.is_some_and(|last| {
            let between = self.text.get(last.end..start).unwrap_or("");
            !between.is_empty()
                && between.bytes().all(|byte| matches!(byte, b' ' | b',' | b';' | b'|'))
                && self.text[last.start..last.end] == self.text[start..]
        });
        if let Some(last) = last.filter(|_| repeated) {
            self.text.truncate(last.end);
            self.last_word = Some(last);
        }
        repeated
    }

    /// A bracket opens.
    pub(super) fn open(&mut self, bracket: u8) {
        if self.open.len() < DEEPEST_GROUP {
            self.open.push(Open { bracket, start: self.text.len(), last_group: None });
        }
        self.text.push(char::from(bracket));
    }

    /// A bracket closes: its group is an item.
    pub(super) fn close(&mut self, bracket: u8) {
        self.text.push(char::from(bracket));
        let opener = opener_of(bracket);
        let Some(group) = self.open.pop_if(|open| open.bracket == opener) else { return };
        let before = self.open.last().map_or(self.last_group, |outer| outer.last_group);
        if !self.drop_repeated(before, group.start) {
            let item = Some(Item { start: group.start, end: self.text.len() });
            *self.open.last_mut().map_or(&mut self.last_group, |outer| &mut outer.last_group) = item;
        }
    }

    /// Whether the innermost open bracket is a brace.
    pub(super) fn in_braces(&self) -> bool {
        self.open.last().is_some_and(|open| open.bracket == b'{')
    }

    /// Whether a number and a space were the last things written.
    pub(super) fn after_number(&self) -> bool {
        self.text.strip_suffix(' ').is_some_and(|text| text.ends_with(mark::NUMBER))
    }

    /// Takes the space back that stands at the end.
    pub(super) fn drop_space(&mut self) {
        self.text.truncate(self.text.trim_end_matches(' ').len());
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
