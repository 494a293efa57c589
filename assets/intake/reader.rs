//! Reads one file, delimited text or Parquet, row by row as delivered.

use super::rows::{Gather, Reading, Row};
use assets_core::{AssetName, Reason};
use assets_frames::intake::cell::{Cells, Delivered};
use assets_frames::intake::delimited::Delimited;
use assets_frames::intake::format::{Format, has_columns};
use assets_frames::intake::{Parsed, unreadable};
use assets_frames::polars::prelude::*;
use assets_frames::{DataFrame, parquet};
use std::path::Path;

/// The columns that every source has to have.
pub const REQUIRED: [&str; 6] = ["time", "value", "field", "robot_id", "run_uuid", "sensor_type"];

/// Rows of a frame whose cells are held at once.
const STRETCH_ROWS: usize = 1 << 14;

/// Reads a file: Parquet by its first bytes, delimited text otherwise.
pub fn read(
    path: &Path,
    name: &str,
    reading: &Reading,
    raw: &AssetName,
    rejects: &AssetName,
) -> Result<Parsed, Reason> {
    let mut gather = Gather::new(reading);
    match Format::of(path, name)? {
        Format::Parquet => read_parquet(path, name, reading, &mut gather)?,
        Format::Delimited => read_delimited(path, name, reading, &mut gather)?,
    }
    gather.finish(name, raw, rejects)
}

fn read_delimited(path: &Path, name: &str, reading: &Reading, gather: &mut Gather<'_>) -> Result<(), Reason> {
    let mut rows = Delimited::open(path, name, b',')?;
    let header: Vec<String> = rows
        .header()?
        .iter()
        .map(|cell| String::from_utf8_lossy(cell).trim_start_matches('\u{feff}').trim().to_owned())
        .collect();
    let there: Vec<&str> = header.iter().map(String::as_str).collect();
    has_columns(name, &REQUIRED, &there)?;
    let place = |column: &str| there.iter().position(|have| *have == column);
    let places = REQUIRED.map(|column| place(column).unwrap_or(usize::MAX));
    let attributes: Vec<Option<usize>> = reading.attributes.iter().map(|column| place(column)).collect();
    let mut record = csv::ByteRecord::new();
    let mut cells: Vec<String> = vec![String::new(); header.len()];
    while rows.next(&mut record)? {
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

fn read_parquet(path: &Path, name: &str, reading: &Reading, gather: &mut Gather<'_>) -> Result<(), Reason> {
    let unreadable = |error: PolarsError| unreadable(name, &error.to_string().lines().next().unwrap_or_default());
    let there = parquet::foreign_columns(path).map_err(unreadable)?;
    let there: Vec<&str> = there.iter().map(String::as_str).collect();
    has_columns(name, &REQUIRED, &there)?;
    let attributes: Vec<&String> = reading.attributes.iter().filter(|a| there.contains(&a.as_str())).collect();
    let wanted: Vec<String> = REQUIRED.iter().map(ToString::to_string).chain(attributes.into_iter().cloned()).collect();
    let frame = parquet::read_foreign_columns(path, &wanted).map_err(unreadable)?;
    // A stretch at a time: the cells of all rows at once would be twice the frame.
    for start in (0..frame.height()).step_by(STRETCH_ROWS) {
        push_frame(&frame.slice(start as i64, STRETCH_ROWS), reading, gather).map_err(unreadable)?;
    }
    Ok(())
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
