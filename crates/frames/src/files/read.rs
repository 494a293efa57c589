//! Reads one file for a table, row by row.

use super::TableOfFiles;
use super::gather::{Gather, Row};
use crate::foreign::Foreign;
use crate::intake::cell::{Cells, Delivered};
use crate::intake::delimited::Delimited;
use crate::intake::format::{Format, has_columns};
use crate::intake::{Limits, Parsed};
use assets_core::Reason;
use polars::prelude::*;
use std::path::Path;

/// Reads a file, and cuts it into slices.
pub(super) fn read(table: &TableOfFiles, path: &Path, name: &str, limits: &Limits) -> Result<Parsed, Reason> {
    let file_bytes = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    let mut gather = Gather::new(table, limits, file_bytes);
    match Format::of(path, name)? {
        Format::Parquet => {
            read_parquet(table, path, name, &mut gather)?;
            gather.finish(name, "row")
        }
        Format::Delimited => {
            read_delimited(table, path, name, &mut gather)?;
            gather.finish(name, "line")
        }
    }
}

/// The columns that are read: the keys, then the others.
fn wanted(table: &TableOfFiles) -> Vec<&str> {
    table.keys.iter().chain(table.columns.iter().map(|column| &column.name)).map(String::as_str).collect()
}

/// The names of a header, without the mark that some programs begin a file with.
fn header(cells: &csv::ByteRecord, name: &str) -> Result<Vec<String>, Reason> {
    let text = |cell: &[u8]| {
        let text = std::str::from_utf8(cell).map_err(|_| {
            let message = format!("{name} is not UTF-8: its header holds other bytes, as of Latin-1; convert it");
            Reason::new("wrong_encoding", message).with("path", name)
        })?;
        Ok(text.trim_start_matches('\u{feff}').trim().to_owned())
    };
    cells.iter().map(text).collect()
}

/// What is wrong with a header that lacks a column, if it is that its cells are separated otherwise.
fn other_delimiter(table: &TableOfFiles, header: &[&str]) -> Option<char> {
    let [one] = header else { return None };
    [',', ';', '\t', '|']
        .into_iter()
        .find(|other| one.contains(*other) && u32::from(table.delimiter) != u32::from(*other))
}

fn check_header(table: &TableOfFiles, name: &str, wanted: &[&str], there: &[&str]) -> Result<(), Reason> {
    has_columns(name, wanted, there).map_err(|reason| match other_delimiter(table, there) {
        Some(other) => {
            let message = format!(
                "{}; its cells seem to be separated by {other:?}: set `delimiter` of {}",
                reason.message, table.name
            );
            Reason { message, ..reason }
        }
        None => reason,
    })?;
    let twice = wanted.iter().find(|column| there.iter().filter(|have| have == column).count() > 1);
    match twice {
        None => Ok(()),
        Some(column) => {
            let message = format!("{name} has two columns {column}: which one is meant is not known");
            Err(Reason::new("duplicate_column", message).with("path", name).with("column", *column))
        }
    }
}

fn read_delimited(table: &TableOfFiles, path: &Path, name: &str, gather: &mut Gather<'_>) -> Result<(), Reason> {
    let mut rows = Delimited::open(path, name, table.delimiter)?;
    let header = header(rows.header()?, name)?;
    let there: Vec<&str> = header.iter().map(String::as_str).collect();
    let wanted = wanted(table);
    check_header(table, name, &wanted, &there)?;
    let places: Vec<usize> = wanted.iter().filter_map(|column| there.iter().position(|have| have == column)).collect();
    let mut record = csv::ByteRecord::new();
    while rows.next(&mut record)? {
        let bytes: Vec<&[u8]> = places.iter().map(|at| record.get(*at).unwrap_or_default()).collect();
        let broken: Vec<Option<String>> = bytes
            .iter()
            .map(|bytes| std::str::from_utf8(bytes).is_err().then(|| String::from_utf8_lossy(bytes).into_owned()))
            .collect();
        let cells: Vec<Delivered<'_>> = bytes
            .iter()
            .zip(&broken)
            .map(|(bytes, broken)| match (broken, std::str::from_utf8(bytes)) {
                (None, Ok("")) => Delivered::Null,
                (None, Ok(text)) => Delivered::Text(text),
                (broken, _) => Delivered::Broken(broken.as_deref().unwrap_or_default()),
            })
            .collect();
        let too_many = record.iter().skip(header.len()).any(|cell| !cell.is_empty());
        let line = record.position().map_or(0, csv::Position::line);
        gather.push(&Row { line, cells: &cells, too_many }, name)?;
    }
    Ok(())
}

fn read_parquet(table: &TableOfFiles, path: &Path, name: &str, gather: &mut Gather<'_>) -> Result<(), Reason> {
    let unreadable_as = |what: &str, error: &PolarsError| {
        let first = error.to_string().lines().next().unwrap_or_default().to_owned();
        let message = format!("{name} can't be read as {what}: {first}");
        Reason::new("source_unreadable", message).with("path", name)
    };
    let unreadable = |error| unreadable_as("Parquet", &error);
    // The footer comes last.
    let file = Foreign::open(path).map_err(|error| unreadable_as("Parquet (was it cut off?)", &error))?;
    let there = file.columns().map_err(unreadable)?;
    let there: Vec<&str> = there.iter().map(String::as_str).collect();
    let wanted = wanted(table);
    has_columns(name, &wanted, &there)?;
    let names: Vec<String> = wanted.iter().map(ToString::to_string).collect();
    gather.expect(file.height() as u64 * names.len() as u64, file.bytes(&names), name)?;
    file.each(&names, None, &mut |start, frame| {
        let frame = frame.map_err(unreadable)?;
        let columns: PolarsResult<Vec<Cells<'_>>> = wanted.iter().map(|name| Cells::of(frame.column(name)?)).collect();
        let columns = columns.map_err(unreadable)?;
        for at in 0..frame.height() {
            let cells: Vec<Delivered<'_>> = columns.iter().map(|cells| cells.get(at)).collect();
            gather.push(&Row { line: (start + at) as u64 + 1, cells: &cells, too_many: false }, name)?;
        }
        Ok(())
    })
}
