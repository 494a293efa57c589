//! Columns on their way: cells as they are gathered row by row, and what becomes of them.

use assets_core::Reason;
use assets_frames::columns;
use assets_frames::intake::cell::Cells;
use std::borrow::Cow;
use std::collections::HashMap;

/// Short texts that repeat: stored once, counted by code.
#[derive(Default)]
pub(super) struct Codes {
    codes: Vec<u32>,
    known: HashMap<String, u32>,
    texts: Vec<String>,
    last: u32,
}

/// Texts that are compared one by one before they are looked up.
const FEW: usize = 8;

/// Codes of a column that are noted.
const PLACES_MOST: usize = 256;

impl Codes {
    /// How many bytes more that takes.
    pub(super) fn push(&mut self, text: &str) -> usize {
        let before = self.texts.len();
        if self.texts.get(self.last as usize).is_none_or(|last| last != text) {
            self.last = self.code(text);
        }
        self.codes.push(self.last);
        if self.texts.len() > before { text.len() } else { 0 }
    }

    /// The same of a cell. `places` are the codes of what was met of its column.
    pub(super) fn push_cell(&mut self, cells: &Cells<'_>, row: usize, places: Option<&mut Vec<Option<u32>>>) -> usize {
        let code = cells.code(row).filter(|code| *code < PLACES_MOST);
        let (Some(code), Some(places)) = (code, places) else { return self.push(cells.get_text(row)) };
        if let Some(Some(place)) = places.get(code) {
            self.last = *place;
            self.codes.push(self.last);
            return 0;
        }
        let more = self.push(cells.get_text(row));
        places.resize(places.len().max(code + 1), None);
        places[code] = Some(self.last);
        more
    }

    fn code(&mut self, text: &str) -> u32 {
        let few = self.texts.iter().take(FEW).position(|known| known == text);
        let known = few.map(|at| at as u32).or_else(|| self.known.get(text).copied());
        known.unwrap_or_else(|| {
            let next = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
            self.known.insert(text.to_owned(), next);
            self.texts.push(text.to_owned());
            next
        })
    }

    pub(super) fn reserve(&mut self, rows: usize) {
        self.codes.reserve_exact(rows);
    }

    /// Adds what came later.
    pub(super) fn append(&mut self, later: Self) {
        let codes: Vec<u32> = later.texts.iter().map(|text| self.code(text)).collect();
        self.codes.extend(later.codes.into_iter().map(|code| codes[code as usize]));
        self.last = codes.get(later.last as usize).copied().unwrap_or(self.last);
    }

    /// As a column; empty text is null where the cell was.
    pub(super) fn column(self, name: &str) -> Result<assets_frames::Column, Reason> {
        let texts: Vec<Option<&str>> =
            self.texts.iter().map(|text| Some(text.as_str()).filter(|text| !text.is_empty())).collect();
        columns::coded_texts(name, &texts, self.codes)
    }
}

/// Texts that are nearly always absent.
#[derive(Default)]
pub(super) struct Rare(Vec<(usize, String)>);

impl Rare {
    /// How many bytes more that takes.
    pub(super) fn push(&mut self, row: usize, text: Option<Cow<'_, str>>) -> usize {
        let Some(text) = text else { return 0 };
        self.0.push((row, text.into_owned()));
        self.0.last().map_or(0, |(_, text)| text.len())
    }

    /// Adds what came later, behind so many rows.
    pub(super) fn append(&mut self, rows: usize, later: Self) {
        self.0.extend(later.0.into_iter().map(|(row, text)| (rows + row, text)));
    }

    pub(super) fn column(&self, name: &str, rows: usize) -> assets_frames::Column {
        if self.0.is_empty() {
            return columns::null_texts(name, rows);
        }
        let mut next = self.0.iter().peekable();
        let texts = (0..rows).map(move |row| next.next_if(|(at, _)| *at == row).map(|(_, text)| text.as_str()));
        columns::texts(name, texts)
    }
}

/// Numbers that are nearly always there: where one is not, its place is kept.
#[derive(Default)]
pub(super) struct Numbers<T> {
    values: Vec<T>,
    absent: Vec<usize>,
}

impl<T: Copy + Default> Numbers<T> {
    pub(super) fn count(&self) -> usize {
        self.values.len()
    }

    pub(super) fn push(&mut self, value: Option<T>) {
        if value.is_none() {
            self.absent.push(self.values.len());
        }
        self.values.push(value.unwrap_or_default());
    }

    pub(super) fn reserve(&mut self, rows: usize) {
        self.values.reserve_exact(rows);
    }

    /// Adds what came later.
    pub(super) fn append(&mut self, later: Self) {
        let rows = self.values.len();
        self.absent.extend(later.absent.into_iter().map(|row| rows + row));
        self.values.extend(later.values);
    }

    pub(super) fn column(
        self,
        whole: impl Fn(Vec<T>) -> assets_frames::Column,
        maybe: impl Fn(&mut dyn Iterator<Item = Option<T>>) -> assets_frames::Column,
    ) -> assets_frames::Column {
        if self.absent.is_empty() {
            return whole(self.values);
        }
        let mut absent = self.absent.iter().peekable();
        let cells = self.values.iter().enumerate();
        maybe(&mut cells.map(|(row, value)| absent.next_if(|at| **at == row).map_or(Some(*value), |_| None)))
    }
}
