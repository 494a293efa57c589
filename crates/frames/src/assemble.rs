//! A table put together column by column: what is stored is taken as it is, what is not is hashed and encoded.

use crate::parts::PartsHasher;
use crate::sink::{self, Sink};
use crate::splice::{self, Source, SplicedColumn};
use crate::{columns, grow, inputs};
use assets_core::executor::PartTask;
use assets_core::record::{OutputRecord, Part, Stored, Unavailable};
use assets_core::table_store::{Grown, TableStore};
use assets_core::{AssetDecl, ColumnDecl, OutputDecl, PartId, Partition, Reason};
use polars::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A column of a table that is being put together.
pub(crate) enum Piece {
    /// Computed now.
    New(Column),
    /// Computed now, and put aside.
    Aside(Aside),
    /// A column of a stored table, under its name there.
    Stored(Arc<OutputRecord>, String),
}

/// A column that is not in memory any more.
#[derive(Clone)]
pub(crate) struct Aside {
    pub(crate) source: Arc<Source>,
    part: Part,
}

/// Columns of more rows are put aside where the store has files for that: a table's columns need not be in memory together.
pub(crate) const HELD_ROWS_MOST: usize = 2_000_000;

impl Aside {
    /// Puts a column aside, under its declared name; `None` where there is no file for it.
    pub(crate) fn put(
        column: &Column,
        decl: &OutputDecl,
        dimensions: &[String],
        tables: &dyn TableStore,
    ) -> Result<Option<Self>, Reason> {
        let Some(file) = tables.scratch().map_err(sink::store_reason)? else { return Ok(None) };
        let part = hashed(decl, dimensions, vec![column.clone()])?.into_iter().next();
        let source = Arc::new(Source::aside(file, column)?);
        Ok(part.map(|part| Self { source, part }))
    }
}

/// All that a table is put together from.
pub(crate) struct Assembly<'a> {
    pub(crate) decl: &'a OutputDecl,
    pub(crate) asset: &'a AssetDecl,
    pub(crate) partition: &'a Partition,
    pub(crate) tasks: Vec<&'a PartTask>,
    pub(crate) earlier: &'a [OutputRecord],
    pub(crate) tables: &'a dyn TableStore,
    /// Where it is an earlier table with further columns: that one's bytes, on their way.
    pub(crate) grown: Option<Grown>,
}

impl Assembly<'_> {
    /// Stores the table. `sink` holds what is known of columns that are null throughout.
    pub(crate) fn finish(mut self, computed: Vec<(String, Piece)>, sink: Sink) -> Result<OutputRecord, Reason> {
        if computed.is_empty()
            && let Some(whole) = self.unchanged()?
        {
            return Ok(whole);
        }
        let mut pieces: BTreeMap<String, Piece> = computed.into_iter().collect();
        let mut unavailable: Vec<Unavailable> = sink.unavailable.clone();
        let earlier: Vec<Arc<OutputRecord>> = self.earlier.iter().cloned().map(Arc::new).collect();
        for task in &self.tasks {
            let Some((at, id)) = &task.take else { continue };
            let Some(record) = earlier.get(*at) else { continue };
            let known = record.unavailable.iter().find(|known| id.column == known.column);
            unavailable
                .extend(known.map(|k| Unavailable { column: task.id.column.to_string(), reason: k.reason.clone() }));
            pieces.insert(task.id.column.to_string(), Piece::Stored(Arc::clone(record), id.column.to_string()));
        }
        let rows = self.rows(&pieces)?;
        let on_file = |piece: &Piece| match piece {
            Piece::New(_) => false,
            Piece::Aside(_) => true,
            Piece::Stored(record, _) => matches!(record.stored, Stored::Object(_)),
        };
        let mut record = if self.decl.packed || !pieces.values().any(on_file) {
            self.rewrite(pieces, rows, sink)?
        } else {
            self.splice(pieces, rows)?
        };
        unavailable.sort_by_key(|u| self.decl.columns.iter().position(|column| column.name == u.column));
        record.unavailable = unavailable;
        Ok(record)
    }

    /// The earlier table where it is already what is declared, column by column.
    fn unchanged(&self) -> Result<Option<OutputRecord>, Reason> {
        let Some((at, _)) = self.tasks.first().and_then(|task| task.take.as_ref()) else { return Ok(None) };
        let same = |task: &&PartTask| task.take.as_ref().is_some_and(|(from, id)| from == at && *id == task.id);
        let Some(record) = self.earlier.get(*at).filter(|record| record.parts.len() == self.tasks.len()) else {
            return Ok(None);
        };
        if !self.tasks.iter().all(same) {
            return Ok(None);
        }
        let head = inputs::read_output(self.tables, record, None, Some(0))?;
        Ok((**head.schema() == columns::schema(&self.decl.columns)).then(|| record.clone()))
    }

    fn rows(&self, pieces: &BTreeMap<String, Piece>) -> Result<usize, Reason> {
        let height = |piece: &Piece| match piece {
            Piece::New(column) => column.len(),
            Piece::Aside(aside) => aside.source.metadata.num_rows,
            Piece::Stored(record, _) => usize::try_from(record.rows).unwrap_or(usize::MAX),
        };
        let rows = pieces.values().map(height).next().unwrap_or(0);
        match pieces.iter().find(|(_, piece)| height(piece) != rows) {
            None => Ok(rows),
            Some((name, piece)) => {
                let message =
                    format!("the column {name} has {} rows, others of {} have {rows}", height(piece), self.decl.name);
                Err(Reason::new("row_count_differs", message).with("column", name.as_str()).with("expected", rows))
            }
        }
    }

    /// The declared columns in order: the partition's keys, and the pieces.
    fn frame(&self, pieces: BTreeMap<String, Piece>, rows: usize) -> Result<DataFrame, Reason> {
        let mut pieces = pieces;
        let mut all = Vec::new();
        for decl in &self.decl.columns {
            all.push(match pieces.remove(&decl.name) {
                Some(Piece::New(column)) => column,
                Some(Piece::Aside(aside)) => aside.source.column(&decl.name)?,
                Some(Piece::Stored(record, name)) => {
                    inputs::read_column(self.tables, &record, &name)?.with_name(decl.name.as_str().into())
                }
                None => self.key_column(&decl.name, rows)?,
            });
        }
        columns::frame(all)
    }

    fn key_column(&self, name: &str, rows: usize) -> Result<Column, Reason> {
        let key = self.partition.keys().find(|(dimension, _)| *dimension == name);
        let key = key.ok_or_else(|| {
            Reason::new("column_missing", format!("nothing was computed for the column {name} of {}", self.decl.name))
        })?;
        Ok(columns::constant_text(name, key.1, rows))
    }

    fn rewrite(&self, pieces: BTreeMap<String, Piece>, rows: usize, mut sink: Sink) -> Result<OutputRecord, Reason> {
        sink.write(self.frame(pieces, rows)?, self.tables)?;
        sink.finish(self.tables)
    }

    /// Stored columns as they are encoded, the others encoded now.
    fn splice(&mut self, mut pieces: BTreeMap<String, Piece>, rows: usize) -> Result<OutputRecord, Reason> {
        let mut sources = Vec::new();
        let mut opened: Vec<&Stored> = Vec::new();
        let mut parts: Vec<Part> = Vec::new();
        let mut all: Vec<(String, SplicedColumn)> = Vec::new();
        let records: Vec<Arc<OutputRecord>> = pieces
            .values()
            .filter_map(|piece| if let Piece::Stored(record, _) = piece { Some(Arc::clone(record)) } else { None })
            .collect();
        for record in &records {
            if let (Stored::Object(object), false) = (&record.stored, opened.contains(&&record.stored)) {
                opened.push(&record.stored);
                if self.grown.is_none() {
                    let object = self.tables.open(object).map_err(sink::store_reason)?;
                    sources.push(Source::to_copy(object)?);
                }
            }
        }
        let mut fresh = Vec::new();
        for decl in &self.decl.columns {
            let column = match pieces.remove(&decl.name) {
                Some(Piece::Stored(record, name)) => {
                    parts.extend(part_of(&record, &name, &decl.name));
                    match opened.iter().position(|stored| **stored == record.stored) {
                        Some(source) => SplicedColumn::Copy { source, column: name },
                        None => SplicedColumn::New(inputs::read_column(self.tables, &record, &name)?),
                    }
                }
                Some(Piece::New(column)) => {
                    fresh.push(column.clone());
                    SplicedColumn::New(column)
                }
                Some(Piece::Aside(aside)) => {
                    parts.push(aside.part);
                    SplicedColumn::Aside(aside.source)
                }
                None if opened.is_empty() => SplicedColumn::New(self.key_column(&decl.name, rows)?),
                // Whoever is taken from is of the same partition and begins with the same keys.
                None => SplicedColumn::Copy { source: 0, column: decl.name.clone() },
            };
            all.push((decl.name.clone(), column));
        }
        parts.extend(hashed(self.decl, &self.asset.dimensions, fresh)?);
        parts.sort_by(|a, b| a.id.cmp(&b.id));
        let schema = columns::schema(&self.decl.columns);
        let (staged, spliced) = match self.grown.take() {
            Some(Grown { mut staged, kept, rest }) => {
                let grown = grow::finish(staged.as_mut(), kept, &rest, &schema, &all);
                (staged, grown)
            }
            None => {
                let mut staged = self.tables.stage().map_err(sink::store_reason)?;
                let spliced = splice::splice(staged.as_mut(), &schema, &sources, all, rows);
                (staged, spliced)
            }
        };
        spliced.map_err(|reason| staged.failed().unwrap_or(reason))?;
        let (object, bytes) = staged.put().map_err(sink::store_reason)?;
        Ok(OutputRecord {
            name: self.decl.name.clone(),
            stored: Stored::Object(object),
            rows: rows as u64,
            bytes,
            parts,
            unavailable: Vec::new(),
        })
    }
}

fn hashed(decl: &OutputDecl, dimensions: &[String], fresh: Vec<Column>) -> Result<Vec<Part>, Reason> {
    let is_fresh = |column: &&ColumnDecl| fresh.iter().any(|new| new.name().as_str() == column.name);
    let columns = decl.columns.iter().filter(is_fresh).cloned().collect();
    let mut hasher = PartsHasher::new(&OutputDecl::new(decl.name.clone(), columns), dimensions);
    hasher.update(&columns::frame(fresh)?)?;
    Ok(hasher.finish())
}

fn part_of(record: &OutputRecord, name: &str, new: &str) -> Option<Part> {
    let part = record.parts.iter().find(|part| part.id.column == name)?;
    Some(Part { id: PartId::column(new), ..part.clone() })
}
