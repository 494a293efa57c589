//! stub
#![allow(missing_docs)]
use assets_core::Reason;
use assets_core::table_store::Object;
use polars::prelude::*;
use std::io::Write;
pub enum SplicedColumn {
    Copy { source: usize, column: String },
    New(Column),
}
pub struct Source(DataFrame);
impl Source {
    pub fn open(object: Object) -> Result<Self, Reason> {
        crate::parquet::read(object, None, None).map(Self).map_err(|e| crate::frame_error("s", &e))
    }
}
pub fn splice<W: Write>(
    into: W,
    schema: &Schema,
    sources: &[Source],
    columns: Vec<(String, SplicedColumn)>,
) -> Result<(), Reason> {
    let all = columns
        .into_iter()
        .map(|(n, c)| match c {
            SplicedColumn::Copy { source, column } => {
                sources[source].0.column(&column).unwrap().clone().with_name(n.as_str().into())
            }
            SplicedColumn::New(c) => c.with_name(n.as_str().into()),
        })
        .collect();
    let frame = crate::columns::frame(all)?;
    let mut w = crate::parquet::TableWriter::new(into, schema)?;
    w.write(&frame)?;
    w.finish()
}
