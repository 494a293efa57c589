//! Rows of one file, gathered partition by partition into typed columns, and cut into slices.

use super::value::{Value, Values, value};
use super::{TableOfFiles, rejected};
use crate::columns;
use crate::intake::cell::Delivered;
use crate::intake::time::Parser;
use crate::intake::{Limits, Parsed, Taken, slice};
use assets_core::{Partition, Reason, key};
use polars::prelude::DataFrame;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

/// Beyond this, two integers can be the same float.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// Memory of a cell without its text.
const CELL_BYTES: u64 = 16;

/// Where a row stands, and its cells: the keys, then the columns.
pub(super) struct Row<'a> {
    pub(super) line: u64,
    pub(super) cells: &'a [Delivered<'a>],
    /// More cells than the header names, and something in them.
    pub(super) too_many: bool,
}

/// The rows of one partition.
struct Own {
    keys: Vec<String>,
    rows: usize,
    values: Vec<Values>,
}

/// A row that is left out.
struct Reject {
    keys: Vec<Option<String>>,
    code: &'static str,
    column: Option<String>,
    value: Option<String>,
    line: i64,
    row: String,
}

impl Reject {
    /// What is wrong with it, for people.
    fn what(&self) -> String {
        match (&self.column, &self.value) {
            (Some(column), Some(value)) => {
                let short: String = value.chars().take(40).collect();
                format!("{} in {column}: `{}`", self.code, short.escape_debug())
            }
            (Some(column), None) => format!("{} in {column}", self.code),
            _ => self.code.to_owned(),
        }
    }
}

/// Gathers rows.
pub(super) struct Gather<'t> {
    table: &'t TableOfFiles,
    all: Vec<Own>,
    by_keys: HashMap<Vec<String>, usize>,
    last: usize,
    rejects: Vec<Reject>,
    parser: Parser,
    rows: u64,
    limits: &'t Limits,
    taken: Taken,
    no_zone: Option<String>,
    /// Keys that went through a float that may have merged them with others, and how many rows have them.
    imprecise: BTreeMap<String, u64>,
}

impl<'t> Gather<'t> {
    /// For the rows of a file of so many bytes.
    pub(super) fn new(table: &'t TableOfFiles, limits: &'t Limits, file_bytes: u64) -> Self {
        Self {
            table,
            all: Vec::new(),
            by_keys: HashMap::new(),
            last: 0,
            rejects: Vec::new(),
            parser: Parser::default(),
            rows: 0,
            limits,
            taken: limits.nothing_taken(file_bytes),
            no_zone: None,
            imprecise: BTreeMap::new(),
        }
    }

    /// Refuses a file of that name whose cells are too many, or take too many bytes, before any of them is decoded.
    ///
    /// # Errors
    /// The rows need more memory than is allowed.
    pub(super) fn expect(&self, cells: u64, bytes: u64, name: &str) -> Result<(), Reason> {
        self.limits.check(bytes.max(cells.saturating_mul(CELL_BYTES)), name)
    }

    /// Takes a row of the file of that name.
    ///
    /// # Errors
    /// The rows need more memory than is allowed.
    pub(super) fn push(&mut self, row: &Row<'_>, name: &str) -> Result<(), Reason> {
        self.taken.add(row.cells.iter().map(|cell| CELL_BYTES + cell.text_bytes() as u64).sum(), name)?;
        self.place(row);
        Ok(())
    }

    fn place(&mut self, row: &Row<'_>) {
        self.rows += 1;
        let (keys, cells) = row.cells.split_at(self.table.keys.len());
        if row.too_many {
            return self.reject(row, "too_many_cells", None);
        }
        let mut texts: Vec<Cow<'_, str>> = Vec::with_capacity(keys.len());
        for (at, cell) in keys.iter().enumerate() {
            match key_text(*cell) {
                Err(code) => return self.reject(row, code, Some(at)),
                Ok(text) => texts.push(text),
            }
        }
        for (cell, text) in keys.iter().zip(&texts) {
            if matches!(cell, Delivered::Float(value) if value.abs() > EXACT_MAX) {
                *self.imprecise.entry(text.to_string()).or_default() += 1;
            }
        }
        let zone = self.table.timezone.as_ref();
        let mut values = Vec::with_capacity(cells.len());
        for (at, (cell, decl)) in cells.iter().zip(&self.table.columns).enumerate() {
            match value(*cell, decl.kind, &mut self.parser, zone) {
                Value::Bad => return self.reject(row, "bad_value", Some(keys.len() + at)),
                Value::NoZone => {
                    self.no_zone.get_or_insert_with(|| decl.name.clone());
                    return;
                }
                value => values.push(value),
            }
        }
        let at = self.partition(&texts);
        let own = &mut self.all[at];
        own.rows += 1;
        own.values.iter_mut().zip(values).zip(cells).for_each(|((all, value), cell)| all.push(value, *cell));
    }

    /// The place of a partition's rows: mostly that of the row before.
    fn partition(&mut self, keys: &[Cow<'_, str>]) -> usize {
        if self.all.get(self.last).is_some_and(|own| own.keys.iter().eq(keys.iter())) {
            return self.last;
        }
        let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
        let next = self.all.len();
        self.last = *self.by_keys.entry(keys.clone()).or_insert(next);
        if self.last == next {
            let values = self.table.columns.iter().map(|column| Values::new(column.kind)).collect();
            self.all.push(Own { keys, rows: 0, values });
        }
        self.last
    }

    fn name_at(&self, at: usize) -> &str {
        let keys = &self.table.keys;
        keys.get(at).unwrap_or_else(|| &self.table.columns[at - keys.len()].name)
    }

    fn reject(&mut self, row: &Row<'_>, code: &'static str, at: Option<usize>) {
        let text = |cell: &Delivered<'_>| cell.text().map(Cow::into_owned);
        let cells: serde_json::Map<String, serde_json::Value> =
            row.cells.iter().enumerate().map(|(at, cell)| (self.name_at(at).to_owned(), text(cell).into())).collect();
        let reject = Reject {
            keys: row.cells[..self.table.keys.len()].iter().map(text).collect(),
            code,
            column: at.map(|at| self.name_at(at).to_owned()),
            value: at.and_then(|at| text(&row.cells[at])),
            line: i64::try_from(row.line).unwrap_or(i64::MAX),
            row: serde_json::Value::Object(cells).to_string(),
        };
        self.rejects.push(reject);
    }

    /// Cuts what was gathered into slices. `places`: what rows are counted by, for people.
    pub(super) fn finish(self, name: &str, places: &str) -> Result<Parsed, Reason> {
        if let Some(column) = self.no_zone {
            let message = format!(
                "{name} holds times without a zone in the column {column}: set `timezone` in the settings, such as \"UTC\""
            );
            return Err(Reason::new("timezone_needed", message).with("path", name).with("column", column));
        }
        if self.rows == 0 {
            return Err(Reason::new("no_rows", format!("{name} has a header but no rows")).with("path", name));
        }
        let table = self.table;
        let mut warnings: Vec<Reason> = self.imprecise.iter().map(|(key, rows)| imprecise(name, key, *rows)).collect();
        let mut slices = Vec::new();
        let keys: Vec<&str> = table.keys.iter().map(String::as_str).collect();
        for own in self.all {
            let partition = Partition::many(keys.iter().copied().zip(own.keys.iter().map(String::as_str)));
            let texts = keys.iter().zip(&own.keys).map(|(name, key)| columns::constant_text(name, key, own.rows));
            let values = table.columns.iter().zip(own.values).map(|(column, values)| values.column(&column.name));
            slices.push(slice(&table.name, partition, columns::frame(texts.chain(values).collect())?, &keys)?);
        }
        slices.sort_by(|(a, _), (b, _)| a.partition.cmp(&b.partition));
        if let Some(first) = self.rejects.first() {
            let at = format!("{places} {}: {}", first.line, first.what());
            warnings.push(rejected::warning(table, name, self.rejects.len() as u64, &at));
            slices.push(slice(&table.rejects, Partition::none(), rejects_frame(table, &self.rejects)?, &[])?);
        }
        Ok(Parsed { slices, warnings, taken: Some(self.taken) })
    }
}

/// A key as text, or why it can't be one.
fn key_text(cell: Delivered<'_>) -> Result<Cow<'_, str>, &'static str> {
    let text = match cell {
        Delivered::Null | Delivered::Text("") => return Err("null_key"),
        Delivered::Float(value) if value.is_nan() => return Err("null_key"),
        Delivered::Broken(_) => return Err("bad_key"),
        cell => cell.text().ok_or("null_key")?,
    };
    key::usable_key(&text).map_err(|_| "bad_key")?;
    Ok(text)
}

fn imprecise(name: &str, key: &str, rows: u64) -> Reason {
    let message =
        format!("{name}: the key {key} was delivered as a float beyond 2^53: different keys may have become one");
    Reason::new("imprecise_key", message).with("path", name).with("key", key).with("rows", rows)
}

/// The rows that are left out, without the column that names the source.
fn rejects_frame(table: &TableOfFiles, all: &[Reject]) -> Result<DataFrame, Reason> {
    let keys = table.keys.iter().enumerate();
    let mut frame: Vec<_> =
        keys.map(|(at, name)| columns::texts(name, all.iter().map(|reject| reject.keys[at].as_deref()))).collect();
    frame.push(columns::texts("code", all.iter().map(|reject| Some(reject.code))));
    frame.push(columns::texts("column", all.iter().map(|reject| reject.column.as_deref())));
    frame.push(columns::texts("value", all.iter().map(|reject| reject.value.as_deref())));
    frame.push(columns::ints("line", all.iter().map(|reject| Some(reject.line))));
    frame.push(columns::texts("row", all.iter().map(|reject| Some(reject.row.as_str()))));
    columns::frame(frame)
}
