//! Content hashes of frames, part by part, as batches come by: a column, or a column of one slice where the output
//! declares a slice key. The partition's own columns are no parts: the step says them.

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
    fn rows_of_slices(&self, batch: &DataFrame) -> Result<BTreeMap<String, Vec<usize>>, Reason> {
        let mut keys: Vec<Vec<String>> = Vec::new();
        for name in &self.slice_key {
            let column = batch.column(name).map_err(|error| frame_error("slice key", &error))?;
            keys.push(match column.dtype() {
                DataType::Int64 => {
                    let ints = column.i64().map_err(|error| frame_error("slice key", &error))?;
                    ints.iter().map(|v| v.map_or_else(String::new, |v| v.to_string())).collect()
                }
                _ => {
                    let texts = column.str().map_err(|error| frame_error("slice key", &error))?;
                    texts.iter().map(|v| v.unwrap_or_default().to_owned()).collect()
                }
            });
        }
        let mut slices: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let mut name = String::new();
        for row in 0..batch.height() {
            name.clear();
            for (i, key) in keys.iter().enumerate() {
                if i > 0 {
                    name.push('/');
                }
                name.push_str(&key[row]);
            }
            match slices.get_mut(&name) {
                Some(rows) => rows.push(row),
                None => drop(slices.insert(name.clone(), vec![row])),
            }
        }
        Ok(slices)
    }

    /// The parts, sorted by id.
    pub fn finish(self) -> Vec<Part> {
        let mut parts = Vec::new();
        for (slice, hashers) in self.slices {
            for (hasher, (name, _)) in hashers.into_iter().zip(&self.columns) {
                let id = PartId { slice: slice.clone(), column: name.clone() };
                parts.push(Part { id, fingerprint: None, hash: hasher.finish() });
            }
        }
        parts.sort_by(|a, b| a.id.cmp(&b.id));
        parts
    }
}

fn add(hasher: &mut ColumnHasher, batch: &DataFrame, name: &str, rows: Option<&[usize]>) -> Result<(), Reason> {
    let wrong = |error: PolarsError| frame_error(&format!("hashing the column {name}"), &error);
    let column = batch.column(name).map_err(wrong)?;
    match column.dtype() {
        DataType::Float64 => {
            let values = column.f64().map_err(wrong)?;
            match rows {
                None => values.downcast_iter().for_each(|chunk| match chunk.validity() {
                    None => hasher.floats(chunk.values()),
                    Some(_) => chunk.iter().for_each(|value| hasher.float(value.copied())),
                }),
                Some(rows) => rows.iter().for_each(|row| hasher.float(values.get(*row))),
            }
        }
        DataType::Int64 => add_ints(hasher, column.i64().map_err(wrong)?, rows),
        DataType::Datetime(..) => add_ints(hasher, column.datetime().map_err(wrong)?.physical(), rows),
        DataType::Boolean => {
            let values = column.bool().map_err(wrong)?;
            match rows {
                None => values.iter().for_each(|value| hasher.bool(value)),
                Some(rows) => rows.iter().for_each(|row| hasher.bool(values.get(*row))),
            }
        }
        _ => {
            let values = column.str().map_err(wrong)?;
            match rows {
                None => values.iter().for_each(|value| hasher.text(value)),
                Some(rows) => rows.iter().for_each(|row| hasher.text(values.get(*row))),
            }
        }
    }
    Ok(())
}

fn add_ints(hasher: &mut ColumnHasher, values: &Int64Chunked, rows: Option<&[usize]>) {
    match rows {
        None => values.downcast_iter().for_each(|chunk| match chunk.validity() {
            None => hasher.ints(chunk.values()),
            Some(_) => chunk.iter().for_each(|value| hasher.int(value.copied())),
        }),
        Some(rows) => rows.iter().for_each(|row| hasher.int(values.get(*row))),
    }
}

/// The hash of one column of a frame, and its row count with it: for slices of sources.
pub fn hash_columns(frame: &DataFrame, columns: &[(&str, Kind)]) -> Result<Vec<assets_core::ContentHash>, Reason> {
    let hashed = columns.iter().map(|(name, kind)| {
        let mut hasher = ColumnHasher::new(tag(*kind));
        add(&mut hasher, frame, name, None)?;
        Ok(hasher.finish())
    });
    hashed.collect()
}
