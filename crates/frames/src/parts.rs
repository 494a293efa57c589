//! Content hashes of frames, part by part, as batches come by: a column, or a column of one slice where the output
//! declares a slice key. The partition's own columns are no parts: the step says them.

use crate::codes::{self, Codes, Texts};
use crate::frame_error;
use assets_core::content::{ColumnHasher, Tag};
use assets_core::record::{Part, PartId};
use assets_core::{Kind, OutputDecl, Reason};
use polars::prelude::*;
use std::collections::BTreeMap;

/// Hashes an output's batches.
pub struct PartsHasher {
    columns: Vec<(String, Tag)>,
    slice_key: Vec<String>,
    slices: BTreeMap<Option<String>, Vec<ColumnHasher>>,
}

fn tag(kind: Kind) -> Tag {
    match kind {
        Kind::Float => Tag::Float,
        Kind::Int => Tag::Int,
        Kind::Text => Tag::Text,
        Kind::Time => Tag::Time,
        Kind::Bool => Tag::Bool,
    }
}

impl PartsHasher {
    /// A hasher for an output of an asset cut by `dimensions`.
    pub fn new(output: &OutputDecl, dimensions: &[String]) -> Self {
        let own = |name: &String| !dimensions.contains(name) && !output.slice_key.contains(name);
        let columns = output.columns.iter().filter(|column| own(&column.name));
        let columns: Vec<_> = columns.map(|column| (column.name.clone(), tag(column.kind))).collect();
        let mut hasher = Self { columns, slice_key: output.slice_key.clone(), slices: BTreeMap::new() };
        if hasher.slice_key.is_empty() {
            hasher.slices.insert(None, hasher.fresh());
        }
        hasher
    }

    fn fresh(&self) -> Vec<ColumnHasher> {
        self.columns.iter().map(|(_, tag)| ColumnHasher::new(*tag)).collect()
    }

    /// Adds a batch. It has the declared columns.
    pub fn update(&mut self, batch: &DataFrame) -> Result<(), Reason> {
        if self.slice_key.is_empty() {
            let hashers = self.slices.entry(None).or_default();
            for (hasher, (name, _)) in hashers.iter_mut().zip(&self.columns) {
                add(hasher, batch, name, None)?;
            }
            return Ok(());
        }
        for (slice, rows) in self.rows_of_slices(batch)? {
            let fresh = self.fresh();
            let hashers = self.slices.entry(Some(slice)).or_insert(fresh);
            for (hasher, (name, _)) in hashers.iter_mut().zip(&self.columns) {
                add(hasher, batch, name, Some(&rows))?;
            }
        }
        Ok(())
    }

    /// Row numbers of each slice, in order.
    fn rows_of_slices(&self, batch: &DataFrame) -> Result<BTreeMap<String, Vec<IdxSize>>, Reason> {
        // A row's slice as a number: its place among all there could be, of each column's texts one.
        let mut places: Vec<usize> = Vec::new();
        let mut names: Vec<String> = vec![String::new()];
        for (at, name) in self.slice_key.iter().enumerate() {
            let column = batch.column(name).map_err(|error| frame_error("slice key", &error))?;
            let (texts, codes) = key_codes(column).map_err(|error| frame_error("slice key", &error))?;
            let join = if at > 0 { "/" } else { "" };
            let further = |name: &String| texts.iter().map(|text| format!("{name}{join}{text}")).collect::<Vec<_>>();
            names = names.iter().flat_map(further).collect();
            match at {
                // Not added to zeros: fresh memory that is read before it is written costs two faults a page, and the second one
                // interrupts all processors.
                0 => places = codes.iter().map(|code| *code as usize).collect(),
                _ => places
                    .iter_mut()
                    .zip(&codes)
                    .for_each(|(place, code)| *place = *place * texts.len() + *code as usize),
            }
        }
        let mut counts = vec![0; names.len()];
        places.iter().for_each(|place| counts[*place] += 1);
        let mut rows: Vec<Vec<IdxSize>> = counts.into_iter().map(Vec::with_capacity).collect();
        (0..).zip(&places).for_each(|(row, place)| rows[*place].push(row));
        let mut slices: BTreeMap<String, Vec<IdxSize>> = BTreeMap::new();
        for (name, rows) in names.into_iter().zip(rows).filter(|(_, rows)| !rows.is_empty()) {
            slices.entry(name).or_default().extend(rows);
        }
        // Null and empty text are called alike.
        slices.values_mut().filter(|rows| !rows.is_sorted()).for_each(|rows| rows.sort_unstable());
        Ok(slices)
    }

    /// The parts, sorted by id.
    pub fn finish(self) -> Vec<Part> {
        let mut parts = Vec::new();
        for (slice, hashers) in self.slices {
            for (hasher, (name, _)) in hashers.into_iter().zip(&self.columns) {
                let id = PartId { slice: slice.as_ref().map(Into::into), column: name.into() };
                parts.push(Part { id, fingerprint: None, hash: hasher.finish() });
            }
        }
        parts.sort_by(|a, b| a.id.cmp(&b.id));
        parts
    }
}

/// What the column says of a row's slice: the texts, and which of them each row has.
fn key_codes(column: &Column) -> PolarsResult<(Vec<String>, Vec<u32>)> {
    if column.dtype() != &DataType::Int64 {
        let codes = Texts::of(column)?.codes();
        return Ok((codes.texts.iter().map(|text| text.unwrap_or_default().to_owned()).collect(), codes.codes));
    }
    let (distinct, codes) = codes::of_ints(column.i64()?);
    Ok((distinct.iter().map(|value| value.map_or_else(String::new, |value| value.to_string())).collect(), codes))
}

fn add(hasher: &mut ColumnHasher, batch: &DataFrame, name: &str, rows: Option<&[IdxSize]>) -> Result<(), Reason> {
    let wrong = |error: PolarsError| frame_error(&format!("hashing the column {name}"), &error);
    let column = batch.column(name).map_err(wrong)?;
    match column.dtype() {
        DataType::Float64 => {
            let values = column.f64().map_err(wrong)?;
            add_numbers(hasher, values, rows, ColumnHasher::floats, ColumnHasher::maybe_floats);
        }
        DataType::Int64 => add_ints(hasher, column.i64().map_err(wrong)?, rows),
        DataType::Datetime(..) => add_ints(hasher, column.datetime().map_err(wrong)?.physical(), rows),
        DataType::Boolean => {
            let values = column.bool().map_err(wrong)?;
            match rows {
                None => values.iter().for_each(|value| hasher.bool(value)),
                Some(rows) => rows.iter().for_each(|row| hasher.bool(values.get(*row as usize))),
            }
        }
        _ => match (Texts::of(column).map_err(wrong)?, rows) {
            (Texts::Same(text, all), rows) => {
                let rows = rows.map_or(all, <[IdxSize]>::len);
                match text {
                    Some(text) => hasher.repeated_text(text, rows),
                    None => hasher.nulls(rows),
                }
            }
            (Texts::Each(values), None) if values.null_count() == values.len() => hasher.nulls(values.len()),
            (Texts::Each(values), None) => match Codes::up_to(values, values.len() / 4) {
                Some(codes) => hasher.coded_texts(&codes.texts, &codes.codes),
                None => values.iter().for_each(|value| hasher.text(value)),
            },
            (Texts::Each(values), Some(rows)) => rows.iter().for_each(|row| hasher.text(values.get(*row as usize))),
        },
    }
    Ok(())
}

fn add_ints(hasher: &mut ColumnHasher, values: &Int64Chunked, rows: Option<&[IdxSize]>) {
    add_numbers(hasher, values, rows, ColumnHasher::ints, ColumnHasher::maybe_ints);
}

/// Rows of a slice that are gathered at once.
const GATHERED: usize = 1024;

fn add_numbers<T: PolarsNumericType>(
    hasher: &mut ColumnHasher,
    values: &ChunkedArray<T>,
    rows: Option<&[IdxSize]>,
    add: impl Fn(&mut ColumnHasher, &[T::Native]),
    add_maybe: impl Fn(&mut ColumnHasher, &[T::Native], &dyn Fn(usize) -> bool),
) {
    let Some(rows) = rows else {
        for chunk in values.downcast_iter() {
            match chunk.validity().filter(|validity| validity.unset_bits() > 0) {
                None => add(hasher, chunk.values()),
                Some(validity) => add_maybe(hasher, chunk.values(), &|row| validity.get_bit(row)),
            }
        }
        return;
    };
    let values = values.rechunk();
    let Some(chunk) = values.downcast_iter().next() else { return };
    let mut gathered = Vec::with_capacity(GATHERED.min(rows.len()));
    for rows in rows.chunks(GATHERED) {
        gathered.clear();
        gathered.extend(rows.iter().map(|row| chunk.values()[*row as usize]));
        match chunk.validity() {
            None => add(hasher, &gathered),
            Some(validity) => add_maybe(hasher, &gathered, &|at| validity.get_bit(rows[at] as usize)),
        }
    }
}

/// Hashes the columns of a table that comes in batches of rows, the row count with each: for slices of sources.
#[derive(Default)]
pub(crate) struct ColumnsHasher(Vec<(String, ColumnHasher)>);

impl ColumnsHasher {
    /// Adds rows: all columns but some.
    pub(crate) fn update(&mut self, batch: &DataFrame, without: &[&str]) -> Result<(), Reason> {
        if self.0.is_empty() {
            let kind_of = |column: &Column| crate::columns::kind(column.dtype()).unwrap_or(Kind::Text);
            let all = batch.columns().iter().filter(|column| !without.contains(&column.name().as_str()));
            let new = |column: &Column| (column.name().to_string(), ColumnHasher::new(tag(kind_of(column))));
            self.0 = all.map(new).collect();
        }
        self.0.iter_mut().try_for_each(|(name, hasher)| add(hasher, batch, name, None))
    }

    /// The names and hashes, in the table's order.
    pub(crate) fn finish(self) -> impl Iterator<Item = (String, assets_core::ContentHash)> {
        self.0.into_iter().map(|(name, hasher)| (name, hasher.finish()))
    }
}
