//! `assets sql`: a question over all published tables.

use crate::app::{App, Failure};
use crate::args::{Global, SqlArgs, TableFormat};
use crate::edge;
use crate::memory;
use crate::out::Out;
use crate::render::{number, rows};
use crate::session::Session;
use crate::verbs::show;
use assets_core::Reason;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// Rows of a table for a person.
const DISPLAYED: usize = 200;

/// What was asked for, else what the name of the file says.
fn format(out: &Out, args: &SqlArgs) -> Result<TableFormat, Failure> {
    let asked = match (args.format, &args.output) {
        (None, Some(path)) => Some(of_file(path)?),
        (asked, _) => asked,
    };
    match asked {
        Some(asked) if out.json && asked != TableFormat::Json => {
            let reason = Reason::new("wrong_usage", "--json and another format can't both be had");
            Err(Failure::usage(reason).help("leave out --json"))
        }
        Some(asked) => Ok(asked),
        None => Ok(if out.json { TableFormat::Json } else { TableFormat::Table }),
    }
}

fn of_file(path: &Path) -> Result<TableFormat, Failure> {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default();
    Ok(match ending.as_str() {
        "csv" => TableFormat::Csv,
        "json" => TableFormat::Json,
        "parquet" => TableFormat::Parquet,
        "txt" => TableFormat::Table,
        _ => {
            let message = format!("the name {} does not say in which format to write", path.display());
            let reason = Reason::new("unknown_format", message).with("path", path.display().to_string());
            return Err(Failure::usage(reason).help("add --format, or let it end in .csv, .json, .parquet or .txt"));
        }
    })
}

/// Says of which tables in a query some were made before their columns changed.
fn tell_outdated(out: &Out, session: &Session, query: &str) {
    let words: BTreeSet<&str> = query.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    for asset in session.project.graph().assets() {
        if !asset.outputs.iter().any(|output| words.contains(output.name.as_str())) {
            continue;
        }
        let shape = asset.shape();
        let made = session.ledger.steps().filter(|(step, _)| asset.has_step(step));
        let made = made.filter_map(|(_, tip)| tip.record()).filter(|record| !record.is_gone());
        let outdated = made.filter(|record| record.recipe.shape != shape).count();
        if outdated > 0 {
            let (name, tables) = (&asset.name, number::plural(outdated, "table"));
            out.warn(&format!(
                "{tables} of {name} made before its columns changed: what they lack is null here; `assets materialize {name}` \
                 makes them again"
            ));
        }
    }
}

pub(crate) fn run(app: &dyn App, out: &Out, global: &Global, args: &SqlArgs) -> Result<u8, Failure> {
    let format = format(out, args)?;
    if format == TableFormat::Parquet && args.output.is_none() {
        let reason = Reason::new("missing_argument", "Parquet goes to a file, not to stdout");
        return Err(Failure::usage(reason).help("add --output FILE.parquet"));
    }
    let session = Session::recorded_of_query(app, global, &args.query)?;
    let tables = Arc::clone(session.reader.tables());
    // Until the answer is written: a text of a table can be far larger than the table.
    let _limit = memory::limit(*out, session.project.memory());
    let table = session.project.sql(tables, &session.ledger, &args.query)?;
    let graph = session.project.graph();
    tell_outdated(out, &session, &args.query);
    let text = match (format, &args.output) {
        (TableFormat::Parquet, Some(path)) => {
            session.project.write_parquet(&table, path)?;
            out.note(&format!("wrote {} to {}", number::plural(table.rows(), "row"), path.display()));
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
            out.note(&format!("wrote {} to {}", number::plural(table.rows(), "row"), path.display()));
        }
        None => out.text(&text),
    }
    Ok(0)
}
