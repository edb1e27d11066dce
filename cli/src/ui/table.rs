//! Tables in one style: rounded corners, numbers to the right, colour only for a terminal.

use std::fmt;
use std::io::IsTerminal;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Attribute, CellAlignment, Color, ContentArrangement};

use super::format::clean;

/// How much the output's reader can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Whether colours and bold print are shown.
    pub colour: bool,
    /// Columns of the terminal; `None`: lines may have any length.
    pub width: Option<u16>,
}

impl Look {
    /// What stdout can take: colour and a width if it is a terminal, no colour with `NO_COLOR`.
    pub fn of_stdout() -> Self {
        if !std::io::stdout().is_terminal() {
            return Self::plain();
        }
        let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { colour, width: comfy_table::Table::new().width() }
    }

    /// No colour, any width: pipes and files.
    pub fn plain() -> Self {
        Self { colour: false, width: None }
    }
}

/// What a cell says beyond its text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// Nothing.
    #[default]
    Plain,
    /// As wished.
    Good,
    /// Look at it.
    Warn,
    /// Failed.
    Bad,
    /// Less important.
    Dim,
}

/// A column's name and side.
#[derive(Clone, Copy, Debug)]
pub enum Column {
    /// Text.
    Left(&'static str),
    /// Numbers.
    Right(&'static str),
}

/// A table to be printed with `{}`.
pub struct Table {
    inner: comfy_table::Table,
    colour: bool,
}

impl Table {
    /// An empty table.
    pub fn new(look: Look, columns: &[Column]) -> Self {
        let mut inner = comfy_table::Table::new();
        inner.load_style(UTF8_FULL_CONDENSED.with_rounded_corners());
        match look.width {
            Some(width) => {
                inner.set_width(width).set_content_arrangement(ContentArrangement::Dynamic);
            }
            None => {
                inner.set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        if look.colour {
            inner.enforce_styling();
        } else {
            inner.force_no_tty();
        }
        inner.set_header(columns.iter().map(|column| {
            let (Column::Left(name) | Column::Right(name)) = column;
            comfy_table::Cell::new(name).add_attribute(Attribute::Bold)
        }));
        for (column, made) in columns.iter().zip(inner.column_iter_mut()) {
            made.set_cell_alignment(match column {
                Column::Left(_) => CellAlignment::Left,
                Column::Right(_) => CellAlignment::Right,
            });
        }
        Self { inner, colour: look.colour }
    }

    /// Adds a row; missing cells stay empty. Texts become one line without control characters.
    pub fn row<T: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = (T, Tone)>) -> &mut Self {
        let cells = cells.into_iter().map(|(text, tone)| {
            let cell = comfy_table::Cell::new(clean(text.as_ref()));
            match tone {
                _ if !self.colour => cell,
                Tone::Plain => cell,
                Tone::Good => cell.fg(Color::Green),
                Tone::Warn => cell.fg(Color::Yellow),
                Tone::Bad => cell.fg(Color::Red).add_attribute(Attribute::Bold),
                Tone::Dim => cell.add_attribute(Attribute::Dim),
            }
        });
        self.inner.add_row(cells.collect::<Vec<_>>());
        self
    }

    /// Adds a row of plain cells.
    pub fn plain_row<T: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = T>) -> &mut Self {
        self.row(cells.into_iter().map(|cell| (cell, Tone::Plain)))
    }

    /// Whether no row was added.
    pub fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unicode_width::UnicodeWidthStr;

    fn sample(look: Look) -> String {
        let mut table = Table::new(look, &[Column::Left("kind"), Column::Right("jobs")]);
        table.row([("node.extract", Tone::Plain), ("1,234", Tone::Good)]);
        table.plain_row(["log.analyze\n\u{1b}[2J", "9"]);
        table.to_string()
    }

    #[test]
    fn plain_tables_have_no_escapes() {
        let expected = "\
╭──────────────────┬───────╮
│ kind             ┆  jobs │
╞══════════════════╪═══════╡
│ node.extract     ┆ 1,234 │
│ log.analyze \u{fffd}[2J ┆     9 │
╰──────────────────┴───────╯";
        let printed = sample(Look::plain());
        assert_eq!(printed, expected);
        assert!(!printed.contains('\u{1b}'));
    }

    #[test]
    fn colour_comes_only_from_tones() {
        let printed = sample(Look { colour: true, width: None });
        assert!(printed.contains("\u{1b}["), "{printed}");
        assert!(!printed.contains("\u{1b}[2J"), "{printed}");
    }

    #[test]
    fn a_width_is_kept() {
        let mut table = Table::new(Look { colour: false, width: Some(40) }, &[Column::Left("text")]);
        table.plain_row(["many words that together are longer than the forty columns there are"]);
        assert!(table.to_string().lines().all(|line| line.width() <= 40), "{table}");
    }
}
