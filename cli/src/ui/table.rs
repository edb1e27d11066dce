//! Tables in one style: rounded corners, numbers to the right, colour only for a terminal.

use std::fmt;
use std::io::IsTerminal;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement};
use unicode_width::UnicodeWidthStr;

use super::format::{clean, truncate, truncate_start};
use super::has_colour;

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
        Self { colour: has_colour(true), width: comfy_table::Table::new().width() }
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

/// A column's name, and how its cells stand.
#[derive(Clone, Copy, Debug)]
pub enum Column {
    /// Short text: shown whole.
    Left(&'static str),
    /// Numbers: shown whole.
    Right(&'static str),
    /// Long text: its end goes where there is no room.
    Text(&'static str),
    /// A path: its beginning goes where there is no room.
    Path(&'static str),
}

impl Column {
    fn name(self) -> &'static str {
        let (Self::Left(name) | Self::Right(name) | Self::Text(name) | Self::Path(name)) = self;
        name
    }

    fn gives_way(self) -> bool {
        matches!(self, Self::Text(_) | Self::Path(_))
    }

    fn cut(self, text: &str, room: usize) -> String {
        match self {
            Self::Left(_) | Self::Right(_) => text.to_owned(),
            Self::Text(_) => truncate(text, room),
            Self::Path(_) => truncate_start(text, room),
        }
    }

    fn alignment(self) -> CellAlignment {
        if matches!(self, Self::Right(_)) { CellAlignment::Right } else { CellAlignment::Left }
    }
}

/// Widest that long texts become where lines may have any length.
const WIDEST: usize = 70;
/// Long texts keep so much on the narrowest terminal; after that, lines are broken.
const NARROWEST: usize = 10;

/// A table to be printed with `{}`: one line a row, as long as the terminal is not very narrow.
pub struct Table {
    look: Look,
    columns: Vec<Column>,
    rows: Vec<Vec<(String, Tone)>>,
}

impl Table {
    /// An empty table.
    pub fn new(look: Look, columns: &[Column]) -> Self {
        Self { look, columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; missing cells stay empty. Texts become one line without control characters.
    pub fn row<T: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = (T, Tone)>) -> &mut Self {
        self.rows.push(cells.into_iter().map(|(text, tone)| (clean(text.as_ref()), tone)).collect());
        self
    }

    /// Adds a row of plain cells.
    pub fn plain_row<T: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = T>) -> &mut Self {
        self.row(cells.into_iter().map(|cell| (cell, Tone::Plain)))
    }

    /// Width of each column: as wide as its texts, or less for those that give way.
    fn room(&self) -> Vec<usize> {
        let mut room: Vec<usize> = self.columns.iter().map(|column| column.name().width()).collect();
        for row in &self.rows {
            for (room, (text, _)) in room.iter_mut().zip(row) {
                *room = (*room).max(text.width());
            }
        }
        let Some(width) = self.look.width else {
            return room.into_iter().map(|room| room.min(WIDEST)).collect();
        };
        // Every cell has a space on both sides, and lines stand around and between them.
        let frame = 3 * room.len() + 1;
        let mut over = (room.iter().sum::<usize>() + frame).saturating_sub(width.into());
        while over > 0 {
            let giving = self.columns.iter().zip(&mut room).filter(|(column, _)| column.gives_way());
            let Some((_, widest)) = giving.max_by_key(|(_, room)| **room) else { break };
            if *widest <= NARROWEST {
                break;
            }
            *widest -= 1;
            over -= 1;
        }
        room
    }

    fn cell(&self, text: &str, tone: Tone) -> Cell {
        let cell = Cell::new(text);
        match tone {
            _ if !self.look.colour => cell,
            Tone::Plain => cell,
            Tone::Good => cell.fg(Color::Green),
            Tone::Warn => cell.fg(Color::Yellow),
            Tone::Bad => cell.fg(Color::Red).add_attribute(Attribute::Bold),
            Tone::Dim => cell.add_attribute(Attribute::Dim),
        }
    }

    fn frame(&self) -> comfy_table::Table {
        let mut frame = comfy_table::Table::new();
        frame.load_style(UTF8_FULL_CONDENSED.with_rounded_corners());
        match self.look.width {
            Some(width) => frame.set_width(width).set_content_arrangement(ContentArrangement::Dynamic),
            None => frame.set_content_arrangement(ContentArrangement::Disabled),
        };
        if self.look.colour {
            frame.enforce_styling();
        } else {
            frame.force_no_tty();
        }
        frame.set_header(
            self.columns.iter().map(|column| Cell::new(column.name()).add_attribute(Attribute::Bold)),
        );
        for (column, made) in self.columns.iter().zip(frame.column_iter_mut()) {
            made.set_cell_alignment(column.alignment());
        }
        frame
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let room = self.room();
        let mut table = self.frame();
        for row in &self.rows {
            let cells = row.iter().zip(&self.columns).zip(&room);
            table.add_row(
                cells.map(|(((text, tone), column), room)| self.cell(&column.cut(text, *room), *tone)),
            );
        }
        table.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn long_texts_give_way_so_that_a_row_is_one_line() {
        let columns = [Column::Left("job"), Column::Path("where"), Column::Text("error")];
        let mut table = Table::new(Look { colour: false, width: Some(50) }, &columns);
        table.plain_row([
            "5f0e",
            "/Order/Passengers/Passenger[14]",
            "the server answered 500 again and again",
        ]);
        let expected = "\
╭──────┬────────────────────┬────────────────────╮
│ job  ┆ where              ┆ error              │
╞══════╪════════════════════╪════════════════════╡
│ 5f0e ┆ …ers/Passenger[14] ┆ the server answer… │
╰──────┴────────────────────┴────────────────────╯";
        assert_eq!(table.to_string(), expected);
    }
}
