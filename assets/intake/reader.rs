//! Reads one file, delimited text or Parquet, row by row as delivered.

use super::rows::{Columns, Gather, Gathered, Only, Part, Reading, Row, Runs};
use super::{RunFiles, run_id};
use assets_core::record::SliceRecord;
use assets_core::{Reason, cores};
use assets_frames::DataFrame;
use assets_frames::foreign::{self, Foreign};
use assets_frames::intake::cell::{Cells, Delivered};
use assets_frames::intake::delimited::Delimited;
use assets_frames::intake::format::{Format, has_columns};
use assets_frames::intake::{Limits, Parsed, TakeRows, unreadable};
use assets_frames::parquet::ROW_GROUP_ROWS;
use assets_frames::polars::prelude::*;
use std::path::Path;
use std::sync::Arc;

/// The columns that every source has to have.
pub const REQUIRED: [&str; 6] = ["time", "value", "field", "robot_id", "run_uuid", "sensor_type"];

/// Rows of a frame whose cells are held at once.
const STRETCH_ROWS: usize = 1 << 14;

/// Rows that a thread is worth.
const PART_ROWS: usize = 1 << 16;

/// Rows of one run that are given on at once: whole row groups of its table.
pub const BATCH_ROWS: usize = 4 * ROW_GROUP_ROWS;

/// Reads a file: Parquet by its first bytes, delimited text otherwise.
pub fn read(path: &Path, name: &str, files: &RunFiles, limits: &Limits) -> Result<Parsed, Reason> {
    let gather = Gather::new(&files.reading, limits.rows_most, None);
    let Gathered { mut parsed, came_again, surplus } = gathered(path, name, files, Asked::All(limits), gather)?;
    if !came_again.is_empty() {
        // Runs lie one after the other in most files. Those that don't are read once more.
        let again = read_anywhere(path, name, files, limits, came_again, surplus)?;
        parsed.slices.extend(again.slices.into_iter().map(|(slice, _)| (slice, None)));
        parsed.slices.sort_by(|(a, _), (b, _)| a.partition.cmp(&b.partition));
    }
    Ok(parsed)
}

/// Reads the rows of some runs.
pub fn read_some(path: &Path, name: &str, files: &RunFiles, limits: &Limits, runs: Runs) -> Result<Parsed, Reason> {
    read_anywhere(path, name, files, limits, runs, 0)
}

fn read_anywhere(
    path: &Path,
    name: &str,
    files: &RunFiles,
    limits: &Limits,
    runs: Runs,
    surplus: usize,
) -> Result<Parsed, Reason> {
    let runs = Arc::new(runs);
    let is_wanted = |run: &str| runs.contains(&Some(run.to_owned()));
    let asked = if runs.contains(&None) { Asked::Any } else { Asked::Runs(&is_wanted) };
    let gather = Gather::new(&files.reading, limits.rows_most, None).among(Some(Arc::clone(&runs))).anywhere(surplus);
    Ok(gathered(path, name, files, asked, gather)?.parsed)
}

/// Reads the rows of one run, or those without a usable id.
pub fn read_run(
    path: &Path,
    name: &str,
    files: &RunFiles,
    run: Option<&str>,
    each: &mut TakeRows<'_>,
) -> Result<Option<SliceRecord>, Reason> {
    let each: &mut TakeRows<'_> = &mut |frame| each(frame);
    let is_it = |other: &str| run == Some(other);
    let asked = if run.is_some() { Asked::Runs(&is_it) } else { Asked::Any };
    let gather = Gather::new(&files.reading, BATCH_ROWS, Some(Only { run: run.map(str::to_owned), each }));
    Ok(gathered(path, name, files, asked, gather)?.parsed.slices.pop().map(|(slice, _)| slice))
}

fn gathered(
    path: &Path,
    name: &str,
    files: &RunFiles,
    asked: Asked<'_>,
    mut gather: Gather<'_>,
) -> Result<Gathered, Reason> {
    match Format::of(path, name)? {
        Format::Parquet => read_parquet(path, name, &files.reading, asked, &mut gather)?,
        Format::Delimited => read_delimited(path, name, &files.reading, &mut gather)?,
    }
    gather.finish(name, &files.raw, &files.rejects)
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
        gather.make_room(name)?;
    }
    Ok(())
}

/// What is wanted of a file.
#[derive(Clone, Copy)]
enum Asked<'a> {
    /// All of it, for the first time.
    All(&'a Limits),
    /// Any of it, of a file that was let in.
    Any,
    /// The rows of these runs. Whether a batch of rows holds any of them can be told from its ids alone.
    Runs(&'a (dyn Fn(&str) -> bool + Sync)),
}

fn read_parquet(
    path: &Path,
    name: &str,
    reading: &Reading,
    asked: Asked<'_>,
    gather: &mut Gather<'_>,
) -> Result<(), Reason> {
    let unreadable = |error| no_parquet(name, &error);
    let file = Foreign::open(path).map_err(unreadable)?;
    let there = file.columns().map_err(unreadable)?;
    let there: Vec<&str> = there.iter().map(String::as_str).collect();
    has_columns(name, &REQUIRED, &there)?;
    let attributes: Vec<&String> = reading.attributes.iter().filter(|a| there.contains(&a.as_str())).collect();
    let wanted: Vec<String> = REQUIRED.iter().map(ToString::to_string).chain(attributes.into_iter().cloned()).collect();
    let is_wanted = match asked {
        // A row group is decoded as a whole.
        Asked::All(limits) => limits.check(file.largest_group(&wanted), name).map(|()| None)?,
        Asked::Any => None,
        Asked::Runs(is_wanted) => Some(is_wanted),
    };
    let holds_any = |ids: &Column| {
        is_wanted.is_none_or(|is_wanted| Cells::of(ids).map_or(true, |ids| holds(&ids, reading, is_wanted)))
    };
    let only: foreign::Only<'_> = (REQUIRED[4], &holds_any);
    file.each(&wanted, is_wanted.is_some().then_some(only), &mut |_, frame| {
        let frame = frame.map_err(unreadable)?;
        if !push_parts(&frame, name, reading, gather) {
            push_stretches(&frame, name, reading, gather)?;
        }
        Ok(())
    })
}

/// Gathers rows in several places at once, and adds them in their order. False, with nothing done, where they are few, could
/// not be held together, or are unusual.
fn push_parts(frame: &DataFrame, name: &str, reading: &Reading, gather: &mut Gather<'_>) -> bool {
    let rows = frame.height();
    let threads = cores::at_once().min(rows / PART_ROWS);
    if threads < 2 || !gather.has_room(rows) {
        return false;
    }
    let (share, runs) = (rows.div_ceil(threads), gather.runs());
    let part = |start: usize| {
        let mut part = Gather::new(reading, usize::MAX, None).among(runs.clone());
        let pushed = push_stretches(&frame.slice(start as i64, share), name, reading, &mut part);
        pushed.ok().and_then(|()| part.into_part())
    };
    let part = &part;
    let parts: Option<Vec<Part>> = std::thread::scope(|scope| {
        let parts: Vec<_> = (0..rows).step_by(share).map(|start| scope.spawn(move || part(start))).collect();
        parts.into_iter().map(|part| part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    let gathered = parts.map(|parts| parts.into_iter().for_each(|part| gather.append(part)));
    gathered.is_some()
}

/// Gathers rows a stretch at a time: the cells of all rows at once would be twice the frame.
fn push_stretches(frame: &DataFrame, name: &str, reading: &Reading, gather: &mut Gather<'_>) -> Result<(), Reason> {
    let starts = (0..frame.height()).step_by(STRETCH_ROWS);
    starts
        .map(|start| frame.slice(start as i64, STRETCH_ROWS))
        .try_for_each(|rows| push_frame(&rows, name, reading, gather))
}

fn no_parquet(name: &str, error: &PolarsError) -> Reason {
    unreadable(name, &error.to_string().lines().next().unwrap_or_default())
}

/// Whether any of these ids is that of a run that is wanted.
fn holds(ids: &Cells<'_>, reading: &Reading, is_wanted: &dyn Fn(&str) -> bool) -> bool {
    (0..ids.len()).any(|at| {
        // Most are as the one before.
        if at > 0 && ids.is_same(at, at - 1) {
            return false;
        }
        let id = ids.get(at);
        run_id::of_cell(id).is_some_and(|id| is_wanted(reading.named(&id.id)))
    })
}

fn push_frame(frame: &DataFrame, name: &str, reading: &Reading, gather: &mut Gather<'_>) -> Result<(), Reason> {
    let unreadable = |error| no_parquet(name, &error);
    let cells = |name: &str| frame.column(name).and_then(Cells::of).map_err(unreadable);
    let (time, value, robot) = (cells("time")?, cells("value")?, cells("robot_id")?);
    let run = frame.column("run_uuid").and_then(Cells::alike).map_err(unreadable)?;
    let texts = |name: &str| frame.column(name).and_then(Cells::text).map_err(unreadable);
    let (field, sensor) = (texts("field")?, texts("sensor_type")?);
    let attributes = reading.attributes.iter().map(|name| texts(name).ok()).collect();
    gather.push_columns(&Columns { time, value, field, robot, run, sensor, attributes }, name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use assets_core::AssetName;

    /// Rows of every kind: several runs by turns, ids that are none, numbers and times that are none, texts that are kept.
    fn push_some(gather: &mut Gather<'_>, rows: std::ops::Range<usize>) {
        let texts = ["2024-07-01T00:00:00.5Z", "2024-07-01T00:00:00.50Z", "", "soon", "2024-07-01T00:00:01Z"];
        let values = [Delivered::Float(1.5), Delivered::Null, Delivered::Text("1.50"), Delivered::Text("high")];
        let robots = [Delivered::Int(1), Delivered::Text("2.0"), Delivered::Null];
        let runs = [
            Delivered::Text("a"),
            Delivered::Text("b"),
            Delivered::Float(7.58e18),
            Delivered::Text(""),
            Delivered::Text("a/../b\0"),
        ];
        let fields = ["x", "y", "", "z"];
        for row in rows {
            let cells = Row {
                time: Delivered::Text(texts[row / 3 % texts.len()]),
                value: values[row % 7 % values.len()],
                field: fields[row / 5 % fields.len()],
                robot: robots[row % 11 % robots.len()],
                run: runs[row / 13 % runs.len()],
                sensor: if row > 90 { "load_cell" } else { "encoder" },
            };
            gather.push(cells, [if row % 17 == 5 { "cell-9" } else { "cell-1" }].into_iter());
        }
    }

    #[test]
    fn rows_gathered_in_parts_are_as_gathered_at_once() {
        let reading = Reading { attributes: vec!["cell_id".into()], ..Reading::default() };
        let name = |name: &str| AssetName::new(name).expect("a name");
        let finish = |gather: Gather<'_>| {
            let finished = gather.finish("a.parquet", &name("raw"), &name("intake_rejects")).expect("rows");
            let (parsed, again) = (finished.parsed, finished.came_again);
            assert!(again.is_empty(), "nothing was cut before");
            let (slices, frames): (Vec<_>, Vec<_>) = parsed.slices.into_iter().unzip();
            (slices, frames.into_iter().map(|frame| frame.expect("held")).collect::<Vec<DataFrame>>(), parsed.warnings)
        };
        let mut whole = Gather::new(&reading, usize::MAX, None);
        push_some(&mut whole, 0..200);
        let (slices, frames, warnings) = finish(whole);
        assert_eq!((slices.len(), warnings.len()), (4, 1));
        for cuts in [[0, 0], [1, 40], [37, 91], [64, 65], [13, 199], [200, 200]] {
            let mut gather = Gather::new(&reading, usize::MAX, None);
            push_some(&mut gather, 0..cuts[0]);
            for rows in [cuts[0]..cuts[1], cuts[1]..200] {
                let mut part = Gather::new(&reading, usize::MAX, None);
                push_some(&mut part, rows);
                gather.append(part.into_part().expect("no long texts"));
            }
            let found = finish(gather);
            assert_eq!((&found.0, &found.2), (&slices, &warnings), "{cuts:?}");
            let same = found.1.iter().zip(&frames).all(|(found, frame)| found.equals_missing(frame));
            assert!(same, "{cuts:?}");
        }
    }

    #[test]
    fn columns_are_gathered_as_rows_are() {
        let reading = Reading { attributes: vec!["cell_id".into(), "note".into()], ..Reading::default() };
        let name = |name: &str| AssetName::new(name).expect("a name");
        let rows = 700;
        let pick = |of: &[Option<&str>]| -> Vec<Option<String>> {
            (0..rows).map(|row| of[row * row / 7 % of.len()].map(str::to_owned)).collect()
        };
        let floats = [0.0, -0.0, f64::NAN, 7.58e18, 12.5, 0.0];
        let ids: [Column; 3] = [
            Series::new("run_uuid".into(), (0..rows).map(|row| floats[row / 3 % 6]).collect::<Vec<_>>()).into(),
            Series::new("run_uuid".into(), pick(&[Some("a"), Some("b"), None, Some(""), Some("a/../b")])).into(),
            Series::new("run_uuid".into(), (0..rows).map(|row| (row / 350) as i64).collect::<Vec<_>>()).into(),
        ];
        for run in ids {
            let numbers: Vec<Option<f64>> = (0..rows).map(|row| (row % 9 != 4).then_some(row as f64 / 7.0)).collect();
            let long = "long ".repeat(60);
            let mut frame = df!(
                "time" => pick(&[Some("2024-07-01T00:00:00.5Z"), Some("soon"), None, Some("2024-07-01T00:00:01Z")]),
                "value" => numbers,
                "field" => pick(&[Some("x"), Some("y"), None, Some(""), Some("z")]),
                "robot_id" => (0..rows).map(|row| (row % 3) as i64).collect::<Vec<_>>(),
                "sensor_type" => pick(&[Some("encoder"), Some("load_cell")]),
                "cell_id" => (0..rows).map(|row| (row % 11 != 3).then_some((row / 2) as i64)).collect::<Vec<_>>(),
                "note" => pick(&[None, Some("n"), Some(&long)]),
            )
            .expect("a frame");
            frame.with_column(run).expect("a column");
            for most in [usize::MAX, 90] {
                let finish = |gather: Gather<'_>| {
                    let surplus = gather.surplus();
                    let found = gather.finish("a.parquet", &name("raw"), &name("intake_rejects")).expect("rows").parsed;
                    let (slices, frames): (Vec<_>, Vec<_>) = found.slices.into_iter().unzip();
                    (slices, frames, found.warnings, surplus)
                };
                let gather = || Gather::new(&reading, most, None).anywhere(0);
                let (mut by_columns, mut by_rows) = (gather(), gather());
                push_frame(&frame, "a.parquet", &reading, &mut by_columns).expect("gathered");
                let cells = |name: &str| Cells::of(frame.column(name).expect("a column")).expect("cells");
                let texts = |name: &str| Cells::text(frame.column(name).expect("a column")).expect("texts");
                let [time, value, robot, run] = ["time", "value", "robot_id", "run_uuid"].map(cells);
                let [field, sensor, cell, note] = ["field", "sensor_type", "cell_id", "note"].map(texts);
                for at in 0..rows {
                    let (field, sensor) = (field.get_text(at), sensor.get_text(at));
                    let (time, value, robot, run) = (time.get(at), value.get(at), robot.get(at), run.get(at));
                    by_rows.push(
                        Row { time, value, field, robot, run, sensor },
                        [&cell, &note].map(|c| c.get_text(at)).into_iter(),
                    );
                    by_rows.make_room("a.parquet").expect("no long texts");
                }
                let (found, expected) = (finish(by_columns), finish(by_rows));
                assert!(found.0.len() >= 2, "{:?}", found.0);
                assert_eq!((&found.0, &found.2, found.3), (&expected.0, &expected.2, expected.3));
                let same = |(found, expected): (&Option<DataFrame>, &Option<DataFrame>)| match (found, expected) {
                    (Some(found), Some(expected)) => found.equals_missing(expected),
                    (found, expected) => found.is_none() && expected.is_none(),
                };
                assert!(found.1.iter().zip(&expected.1).all(same));
            }
        }
    }

    #[test]
    fn runs_that_come_again_have_the_slices_that_they_have_in_one_piece() {
        let reading = Reading { attributes: vec!["cell_id".into()], ..Reading::default() };
        let read = |most: usize, among: Option<Runs>| {
            let mut gather = Gather::new(&reading, most, None);
            if let Some(runs) = among {
                gather = gather.among(Some(Arc::new(runs))).anywhere(0);
            }
            for row in 0..200 {
                push_some(&mut gather, row..row + 1);
                gather.make_room("a.parquet").expect("no long texts");
            }
            let name = |name: &str| AssetName::new(name).expect("a name");
            let finished = gather.finish("a.parquet", &name("raw"), &name("intake_rejects")).expect("rows");
            let (parsed, again) = (finished.parsed, finished.came_again);
            (parsed.slices.into_iter().map(|(slice, _)| slice).collect::<Vec<_>>(), parsed.warnings, again)
        };
        let (whole, warnings, _) = read(usize::MAX, None);
        assert_eq!(whole.len(), 4);
        // Each run has thirteen rows, and more after others had theirs.
        for (most, all_stay) in
            [(1, false), (5, false), (13, false), (30, false), (64, true), (150, true), (1000, true)]
        {
            let (mut slices, told, again) = read(most, None);
            assert_eq!((&told, again.is_empty()), (&warnings, all_stay), "{most} rows at once");
            slices.extend(if again.is_empty() { Vec::new() } else { read(most, Some(again)).0 });
            slices.sort_by(|a, b| a.partition.cmp(&b.partition));
            assert_eq!(slices, whole, "{most} rows at once");
        }
    }
}
