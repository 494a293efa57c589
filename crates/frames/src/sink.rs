//! Where an asset writes an output: batches go in, an object (or rows for the record) with content hashes comes out.

use crate::codes::{Codes, Texts};
use crate::parquet::TableWriter;
use crate::parts::PartsHasher;
use crate::{columns, frame_error, small};
use assets_core::record::{OutputRecord, Stored, Unavailable};
use assets_core::table::Table;
use assets_core::table_store::{Staged, TableStore, TableStoreError};
use assets_core::{ObjectId, OutputDecl, Partition, Reason};
use polars::prelude::*;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

/// Rows of a packed output travel in the record up to this size, else they become an object.
const INLINE_BYTES_MAX: usize = 16 * 1024;

/// An output being written.
pub struct Sink {
    decl: OutputDecl,
    partition: Partition,
    hasher: PartsHasher,
    rows: u64,
    held: Vec<DataFrame>,
    file: Option<(Shared, TableWriter<Shared>)>,
    /// Columns that are null throughout, with their reasons.
    pub(crate) unavailable: Vec<Unavailable>,
}

/// The staged place, shared between the writer of the format and whoever makes it an object.
#[derive(Clone)]
struct Shared(Arc<Mutex<Option<Box<dyn Staged>>>>);

impl Shared {
    fn failed(&self) -> Option<Reason> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.failed()
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(staged) => staged.write(bytes),
            None => Err(std::io::Error::other("the table was already stored")),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(staged) => staged.flush(),
            None => Ok(()),
        }
    }
}

pub(crate) fn store_reason(error: TableStoreError) -> Reason {
    error.reason
}

impl Sink {
    pub(crate) fn new(decl: &OutputDecl, dimensions: &[String], partition: &Partition) -> Self {
        let hasher = PartsHasher::new(decl, dimensions);
        Self {
            decl: decl.clone(),
            partition: partition.clone(),
            hasher,
            rows: 0,
            held: Vec::new(),
            file: None,
            unavailable: Vec::new(),
        }
    }

    /// Adds rows. They must have exactly the declared columns: the first of the blocking checks.
    pub(crate) fn write(&mut self, batch: DataFrame, tables: &dyn TableStore) -> Result<(), Reason> {
        self.check_schema(&batch)?;
        self.check_partition(&batch)?;
        self.hasher.update(&batch)?;
        self.rows += batch.height() as u64;
        if self.decl.packed {
            self.held.push(batch);
            return Ok(());
        }
        if self.file.is_none() {
            let staged = Shared(Arc::new(Mutex::new(Some(tables.stage().map_err(store_reason)?))));
            let writer = TableWriter::new(staged.clone(), batch.schema());
            self.file = Some((staged.clone(), writer.map_err(|reason| staged.failed().unwrap_or(reason))?));
        }
        match self.file.as_mut() {
            Some((staged, writer)) => writer.write(&batch).map_err(|reason| staged.failed().unwrap_or(reason)),
            None => Ok(()),
        }
    }

    fn check_schema(&self, batch: &DataFrame) -> Result<(), Reason> {
        let expected = columns::schema(&self.decl.columns);
        if **batch.schema() == expected {
            return Ok(());
        }
        let list = |schema: &Schema| -> Vec<String> {
            schema.iter().map(|(name, dtype)| format!("{name}: {dtype}")).collect()
        };
        let message = format!("{} has other columns than it declares", self.decl.name);
        Err(Reason::new("schema_mismatch", message)
            .with("declared", list(&expected))
            .with("written", list(batch.schema())))
    }

    /// Rows of another partition are never written, whatever an asset does: a table is trusted to say whose it is.
    fn check_partition(&self, batch: &DataFrame) -> Result<(), Reason> {
        for (dimension, key) in self.partition.keys() {
            let Ok(column) = batch.column(dimension).and_then(Texts::of) else { continue };
            let texts = match column {
                Texts::Same(text, rows) => Vec::from_iter((rows > 0).then_some(text)),
                Texts::Each(values) => Codes::of(values).texts,
            };
            if let Some(other) = texts.into_iter().find(|value| *value != Some(key)) {
                let message = format!("{} of {key} has a row whose {dimension} is {other:?}", self.decl.name);
                return Err(Reason::new("partition_mismatch", message).with("output", self.decl.name.as_str()));
            }
        }
        Ok(())
    }

    /// Stores what was written.
    pub(crate) fn finish(mut self, tables: &dyn TableStore) -> Result<OutputRecord, Reason> {
        if self.rows == 0 && self.held.is_empty() && self.file.is_none() {
            self.write(columns::empty(&self.decl.columns), tables)?;
        }
        let (stored, bytes) = if self.decl.packed { self.store_packed(tables)? } else { self.store_file()? };
        Ok(OutputRecord {
            name: self.decl.name,
            stored,
            rows: self.rows,
            bytes,
            parts: self.hasher.finish(),
            unavailable: self.unavailable,
        })
    }

    fn store_file(&mut self) -> Result<(Stored, u64), Reason> {
        let Some((staged, writer)) = self.file.take() else {
            return Err(Reason::new("nothing_written", format!("nothing was written to {}", self.decl.name)));
        };
        writer.finish().map_err(|reason| staged.failed().unwrap_or(reason))?;
        let staged = staged.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let staged = staged.ok_or_else(|| Reason::new("nothing_written", "the table was already stored"))?;
        let (object, bytes) = staged.put().map_err(store_reason)?;
        Ok((Stored::Object(object), bytes))
    }

    fn store_packed(&mut self, tables: &dyn TableStore) -> Result<(Stored, u64), Reason> {
        let mut frame = columns::empty(&self.decl.columns);
        for batch in std::mem::take(&mut self.held) {
            frame.vstack_mut(&batch).map_err(|error| frame_error("batches do not fit", &error))?;
        }
        // A value takes a byte at least.
        if frame.height() <= INLINE_BYTES_MAX {
            let bytes = encode(&frame)?;
            if bytes.len() <= INLINE_BYTES_MAX {
                let size = bytes.len() as u64;
                return Ok((Stored::Inline(bytes), size));
            }
        }
        let mut staged = tables.stage().map_err(store_reason)?;
        crate::parquet::write_frame(&frame, staged.as_mut())?;
        let (object, bytes) = staged.put().map_err(store_reason)?;
        Ok((Stored::Object(object), bytes))
    }
}

/// A small frame as the bytes that travel in a record: a version byte, then postcard.
pub(crate) fn encode(frame: &DataFrame) -> Result<Vec<u8>, Reason> {
    let mut bytes = vec![1];
    let table = small::to_table(frame)?;
    bytes.extend(postcard::to_allocvec(&table).map_err(|error| Reason::new("inline_rows", format!("rows: {error}")))?);
    Ok(bytes)
}

/// The frame that such bytes hold.
pub(crate) fn decode(bytes: &[u8]) -> Result<DataFrame, Reason> {
    small::from_table(&decode_table(bytes)?)
}

fn decode_table(bytes: &[u8]) -> Result<Table, Reason> {
    match bytes.split_first() {
        Some((1, rest)) => postcard::from_bytes(rest)
            .map_err(|error| Reason::new("inline_rows", format!("the record's rows can't be read: {error}"))),
        _ => Err(Reason::new("inline_rows", "the record's rows have a version that this program does not know")),
    }
}

/// Bytes of records whose rows are put together into one frame.
const STACKED_BYTES: u64 = 1 << 20;

/// Rows of outputs, as they lie.
pub(crate) enum Rows<'a> {
    /// Those of outputs one after the other whose rows are in their records: a frame each would cost more than its rows.
    Inline(DataFrame),
    /// Those of one whose rows are in an object.
    Object(&'a OutputRecord, &'a ObjectId),
}

/// The rows of outputs, in their order.
pub(crate) fn rows_of<'a>(outputs: &'a [&'a OutputRecord]) -> impl Iterator<Item = Result<Rows<'a>, Reason>> {
    let (mut at, mut next) = (0, None);
    std::iter::from_fn(move || {
        let mut stacked: Option<Table> = next.take();
        let mut bytes = 0;
        while let Some(output) = outputs.get(at) {
            let Stored::Inline(rows) = &output.stored else { break };
            at += 1;
            let table = match decode_table(rows) {
                Ok(table) => table,
                Err(reason) => return Some(Err(reason)),
            };
            bytes += output.bytes;
            match &mut stacked {
                Some(stacked) => next = stacked.append(table),
                None => stacked = Some(table),
            }
            if next.is_some() || bytes >= STACKED_BYTES {
                break;
            }
        }
        if let Some(table) = stacked {
            return Some(small::from_table(&table).map(Rows::Inline));
        }
        let output = outputs.get(at)?;
        let Stored::Object(object) = &output.stored else { return None };
        at += 1;
        Some(Ok(Rows::Object(output, object)))
    })
}
