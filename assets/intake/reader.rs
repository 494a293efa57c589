//! Reads one file, delimited text or Parquet, row by row as delivered.

use super::delivered::Delivered;
use super::rows::{Gather, Parsed, Reading, Row};
use assets_core::{AssetName, Reason, suggest};
use assets_frames::polars::prelude::*;
use assets_frames::{Column, DataFrame, parquet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The columns that every source has to have.
pub const REQUIRED: [&str; 6] = ["time", "value", "field", "robot_id", "run_uuid", "sensor_type"];

/// Reads a file: Parquet by its first bytes, delimited text otherwise.
pub fn read(
    path: &Path,
    name: &str,
    reading: &Reading,
    raw: &AssetName,
    rejects: &AssetName,
) -> Result<Parsed, Reason> {
    let unreadable = |error: &dyn std::fmt::Display| {
        Reason::new("source_unreadable", format!("{name} can't be read: {error}")).with("path", name)
    };
    let mut start = [0; 4];
    let mut file = File::open(path).map_err(|error| unreadable(&error))?;
    let mut filled = 0;
    while filled < 4 {
        match file.read(&mut start[filled..]).map_err(|error| unreadable(&error))? {
            0 => break,
            read => filled += read,
        }
    }
    if filled == 0 {
        return Err(Reason::new("empty_file", format!("{name} is empty")).with("path", name));
    }
    let mut gather = Gather::new(reading);
    if &start == b"PAR1" || path.extension().is_some_and(|ending| ending == "parquet") {
        read_parquet(path, name, reading, &mut gather)?;
    } else {
        read_delimited(path, name, reading, &mut gather)?;
    }
    gather.finish(name, raw, rejects)
}

fn missing(name: &str, there: &[&str]) -> Result<(), Reason> {
    let missing: Vec<&str> = REQUIRED.into_iter().filter(|column| !there.contains(column)).collect();
    let Some(first) = missing.first() else { return Ok(()) };
    let hint = suggest::hint(first, there.iter().copied());
    let message = format!("{name} has no column {}{hint}", missing.join(", "));
    let has: Vec<String> = there.iter().take(40).map(ToString::to_string).collect();
    let missing: Vec<String> = missing.into_iter().map(str::to_owned).collect();
    Err(Reason::new("missing_column", message).with("path", name).with("missing", missing).with("has", has))
}

fn read_delimited(path: &Path, name: &str, reading: &Reading, gather: &mut Gather<'_>) -> Result<(), Reason> {
    let unreadable = |error: csv::Error| {
        Reason::new("source_unreadable", format!("{name} can't be read: {error}")).with("path", name)
    };
    // A short row is a row whose missing cells are empty: it ends up among the rejects, with its reason.
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_path(path).map_err(unreadable)?;
    let header = reader.byte_headers().map_err(unreadable)?.clone();
    let header: Vec<String> = header
        .iter()
        .map(|cell| String::from_utf8_lossy(cell).trim_start_matches('\u{feff}').trim().to_owned())
        .collect();
    let there: Vec<&str> = header.iter().map(String::as_str).collect();
    missing(name, &there)?;
    let place = |column: &str| there.iter().position(|have| *have == column);
    let places = REQUIRED.map(|column| place(column).unwrap_or(usize::MAX));
    let attributes: Vec<Option<usize>> = reading.attributes.iter().map(|column| place(column)).collect();
    let mut record = csv::ByteRecord::new();
    let mut cells: Vec<String> = vec![String::new(); header.len()];
    while reader.read_byte_record(&mut record).map_err(unreadable)? {
        let text = |at: usize| record.get(at).map(|bytes| std::str::from_utf8(bytes));
        let valid = (0..record.len()).all(|at| text(at).is_none_or(|text| text.is_ok()));
        if !valid {
            // Not UTF-8: replaced characters make it a bad value, with its text kept as well as it can be.
            cells.clear();
            cells.extend(record.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()));
        }
        let cell = |at: usize| -> &str {
            if valid { text(at).and_then(Result::ok).unwrap_or("") } else { cells.get(at).map_or("", String::as_str) }
        };
        let [time, value, field, robot, run, sensor] = places;
        let row = Row {
            time: Delivered::Text(cell(time)),
            value: Delivered::Text(cell(value)),
            field: cell(field),
            robot: Delivered::Text(cell(robot)),
            run: if text(run).is_some_and(|text| text.is_err()) {
                Delivered::Broken(cell(run))
            } else {
                Delivered::Text(cell(run))
            },
            sensor: cell(sensor),
        };
        gather.push(row, attributes.iter().map(|at| at.map_or("", cell)));
    }
    Ok(())
}

/// A column of any type, cell by cell.
enum Cells<'a> {
    Texts(Vec<Option<&'a str>>),
    Owned(Vec<Option<String>>),
    Floats(Vec<Option<f64>>),
    Ints(Vec<Option<i64>>),
    Unsigned(Vec<Option<u64>>),
    Times(Vec<Option<i64>>, bool),
}

impl<'a> Cells<'a> {
    fn of(column: &'a Column) -> PolarsResult<Self> {
        Ok(match column.dtype() {
            DataType::String => Self::Texts(column.str()?.iter().collect()),
            DataType::Float64 => Self::Floats(column.f64()?.iter().collect()),
            DataType::Int64 => Self::Ints(column.i64()?.iter().collect()),
            DataType::UInt64 => Self::Unsigned(column.u64()?.iter().collect()),
            DataType::Datetime(_, zone) => {
                let zoned = zone.is_some();
                let micros = column.cast(&DataType::Datetime(TimeUnit::Microseconds, zone.clone()))?;
                Self::Times(micros.datetime()?.physical().iter().collect(), zoned)
            }
            dtype if dtype.is_integer() => Self::Ints(column.cast(&DataType::Int64)?.i64()?.iter().collect()),
            dtype if dtype.is_float() => Self::Floats(column.cast(&DataType::Float64)?.f64()?.iter().collect()),
            _ => Self::Owned(parquet::as_text(column)?),
        })
    }

    /// A column whose cells are wanted as text, whatever type they came in.
    fn text(column: &'a Column) -> PolarsResult<Self> {
        match column.dtype() {
            DataType::String => Self::of(column),
            _ => Ok(Self::Owned(parquet::as_text(column)?)),
        }
    }

    fn get_text(&self, row: usize) -> &str {
        match self.get(row) {
            Delivered::Text(text) => text,
            _ => "",
        }
    }

    fn get(&self, row: usize) -> Delivered<'_> {
        let cell = match self {
            Self::Texts(cells) => cells[row].map(Delivered::Text),
            Self::Owned(cells) => cells[row].as_deref().map(Delivered::Text),
            Self::Floats(cells) => cells[row].map(Delivered::Float),
            Self::Ints(cells) => cells[row].map(Delivered::Int),
            Self::Unsigned(cells) => cells[row].map(Delivered::Unsigned),
            Self::Times(cells, true) => cells[row].map(Delivered::Time),
            Self::Times(cells, false) => cells[row].map(Delivered::Local),
        };
        cell.unwrap_or(Delivered::Null)
    }
}

fn read_parquet(path: &Path, name: &str, reading: &Reading, gather: &mut Gather<'_>) -> Result<(), Reason> {
    let unreadable = |error: PolarsError| {
        let first = error.to_string().lines().next().unwrap_or_default().to_owned();
        Reason::new("source_unreadable", format!("{name} can't be read: {first}")).with("path", name)
    };
    let there = parquet::foreign_columns(path).map_err(unreadable)?;
    let there: Vec<&str> = there.iter().map(String::as_str).collect();
    missing(name, &there)?;
    let attributes: Vec<&String> = reading.attributes.iter().filter(|a| there.contains(&a.as_str())).collect();
    let wanted: Vec<String> = REQUIRED.iter().map(ToString::to_string).chain(attributes.into_iter().cloned()).collect();
    let frame = parquet::read_foreign_columns(path, &wanted).map_err(unreadable)?;
    push_frame(&frame, reading, gather).map_err(unreadable)
}

fn push_frame(frame: &DataFrame, reading: &Reading, gather: &mut Gather<'_>) -> PolarsResult<()> {
    let cells = |name: &str| Cells::of(frame.column(name)?);
    let (times, values, robots, runs) = (cells("time")?, cells("value")?, cells("robot_id")?, cells("run_uuid")?);
    let texts = |name: &str| Cells::text(frame.column(name)?);
    let (fields, sensors) = (texts("field")?, texts("sensor_type")?);
    let attributes: Vec<Option<Cells<'_>>> = reading.attributes.iter().map(|name| texts(name).ok()).collect();
    for at in 0..frame.height() {
        let row = Row {
            time: times.get(at),
            value: values.get(at),
            field: fields.get_text(at),
            robot: robots.get(at),
            run: runs.get(at),
            sensor: sensors.get_text(at),
        };
        let attributes = attributes.iter().map(|cells| cells.as_ref().map_or("", |cells| cells.get_text(at)));
        gather.push(row, attributes);
    }
    Ok(())
}
