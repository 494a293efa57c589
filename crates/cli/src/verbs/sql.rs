//! `assets sql`: a question over all published tables.

use crate::app::{App, Failure};
use crate::args::{Global, SqlArgs, TableFormat};
use crate::edge;
use crate::out::Out;
use crate::render::{number, rows};
use crate::session::Session;
use crate::verbs::show;
use assets_core::Reason;
use std::sync::Arc;

/// Rows of a table for a person.
const DISPLAYED: usize = 200;

pub(crate) fn run(app: &dyn App, out: &Out, global: &Global, args: &SqlArgs) -> Result<u8, Failure> {
    let format = args.format.unwrap_or(if out.json { TableFormat::Json } else { TableFormat::Table });
    if format == TableFormat::Parquet && args.output.is_none() {
        let reason = Reason::new("missing_argument", "Parquet goes to a file, not to stdout");
        return Err(Failure::usage(reason).help("add --output FILE.parquet"));
    }
    let session = Session::recorded(app, global)?;
    let tables = Arc::clone(session.reader.tables());
    let table = session.project.sql(tables, &session.ledger, &args.query)?;
    let graph = session.project.graph();
    let text = match (format, &args.output) {
        (TableFormat::Parquet, Some(path)) => {
            session.project.write_parquet(&table, path)?;
            out.note(&format!("wrote {} rows to {}", number::count(table.rows() as u64), path.display()));
            return Ok(0);
        }
        (TableFormat::Csv, _) => rows::csv(&table),
        (TableFormat::Json, _) => rows::json(&table),
        (TableFormat::Table, Some(_)) => rows::grid(&table, graph, usize::MAX).render(),
        (TableFormat::Table | TableFormat::Parquet, None) => {
            show::print(out, &table, graph, DISPLAYED);
            return Ok(0);
        }
    };
    match &args.output {
        Some(path) => {
            let plain = console::strip_ansi_codes(&text);
            std::fs::write(path, plain.as_bytes()).map_err(|error| edge::file_failure(path, &error))?;
            out.note(&format!("wrote {} rows to {}", number::count(table.rows() as u64), path.display()));
        }
        None => out.text(&text),
    }
    Ok(0)
}
