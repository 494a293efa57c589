//! Aligned tables for a terminal.
//!
//! comfy-table measures text without knowing colors, so cells carry zero-width marks that become colors afterwards.

use crate::render::words;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use console::Style;

/// The look of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    Plain,
    Dim,
    Bold,
    State(assets_core::freshness::State),
    Good,
    Bad,
}

impl Look {
    fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Dim => Style::new().dim(),
            Self::Bold => Style::new().bold(),
            Self::State(state) => words::state_style(state),
            Self::Good => Style::new().green(),
            Self::Bad => Style::new().red().bold(),
        }
    }

    fn number(self) -> u32 {
        match self {
            Self::Plain => 0,
            Self::Dim => 1,
            Self::Bold => 2,
            Self::Good => 3,
            Self::Bad => 4,
            Self::State(state) => 16 + state as u32,
        }
    }

    fn of_number(number: u32) -> Option<Self> {
        let all = [Self::Plain, Self::Dim, Self::Bold, Self::Good, Self::Bad];
        let states = assets_core::freshness::State::ALL.map(Self::State);
        all.into_iter().chain(states).find(|look| look.number() == number)
    }
}

const MARK: u32 = 0xE0100;
const END: char = '\u{E01EF}';

/// A table that is being put together.
pub(crate) struct Grid {
    headers: Vec<String>,
    right: Vec<bool>,
    rows: Vec<Vec<(String, Look)>>,
}

impl Grid {
    /// Headers; those that begin with `>` head right-aligned columns.
    pub(crate) fn new<S: AsRef<str>>(headers: &[S]) -> Self {
        let headers: Vec<&str> = headers.iter().map(AsRef::as_ref).collect();
        let right = headers.iter().map(|header| header.starts_with('>')).collect();
        let headers = headers.iter().map(|header| words::safe(header.strip_prefix('>').unwrap_or(header))).collect();
        Self { headers, right, rows: Vec::new() }
    }

    /// Adds a row of plain cells.
    pub(crate) fn plain<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(|cell| (words::safe(&cell.into()), Look::Plain)).collect());
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<(String, Look)>) {
        self.rows.push(cells.into_iter().map(|(text, look)| (words::safe(&text), look)).collect());
    }

    /// Leaves out the columns that don't fit into `width`, and says how many.
    pub(crate) fn fit(&mut self, width: usize) -> usize {
        let measure = |i: usize| {
            let cells =
                self.rows.iter().filter_map(|row| row.get(i)).map(|(text, _)| console::measure_text_width(text));
            cells.chain([console::measure_text_width(&self.headers[i])]).max().unwrap_or(0) + 2
        };
        let mut used = 0;
        let fits = (0..self.headers.len()).take_while(|i| {
            used += measure(*i);
            used <= width + 2
        });
        let keep = fits.count().max(1).min(self.headers.len());
        let dropped = self.headers.len() - keep;
        self.headers.truncate(keep);
        self.right.truncate(keep);
        self.rows.iter_mut().for_each(|row| row.truncate(keep));
        dropped
    }

    /// The table as text, each line ended.
    pub(crate) fn render(&self) -> String {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        let cell = |i: usize, text: &str, look: Look| {
            let align = if self.right.get(i) == Some(&true) { CellAlignment::Right } else { CellAlignment::Left };
            Cell::new(marked(text, look)).set_alignment(align)
        };
        table.set_header(self.headers.iter().enumerate().map(|(i, text)| cell(i, text, Look::Bold)));
        for row in &self.rows {
            table.add_row(row.iter().enumerate().map(|(i, (text, look))| cell(i, text, *look)));
        }
        table.column_iter_mut().for_each(|column| {
            column.set_padding((0, 2));
        });
        let text = table.to_string();
        text.lines().map(|line| colored(line.trim_end()) + "\n").collect()
    }
}

fn marked(text: &str, look: Look) -> String {
    match (look, char::from_u32(MARK + look.number())) {
        (Look::Plain, _) | (_, None) => text.to_owned(),
        (_, Some(mark)) => format!("{mark}{text}{END}"),
    }
}

fn colored(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    let mark = |c: char| (MARK..MARK + 32).contains(&u32::from(c));
    while let Some(at) = rest.find(mark) {
        out.push_str(&rest[..at]);
        let mut chars = rest[at..].chars();
        let look = chars.next().and_then(|c| Look::of_number(u32::from(c) - MARK)).unwrap_or(Look::Plain);
        let (text, after) = chars.as_str().split_once(END).unwrap_or((chars.as_str(), ""));
        out.push_str(&look.style().apply_to(text).to_string());
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_right_aligned_and_marks_have_no_width() {
        console::set_colors_enabled(false);
        let mut grid = Grid::new(&["run", ">rows"]);
        grid.row(vec![("75".into(), Look::Dim), ("1".into(), Look::Plain)]);
        grid.row(vec![("7582\u{1b}".into(), Look::Plain), ("12345".into(), Look::Bad)]);
        assert_eq!(grid.render(), "run          rows\n75              1\n7582\\u{1b}  12345\n");
        assert_eq!(grid.fit(12), 1);
    }
}
