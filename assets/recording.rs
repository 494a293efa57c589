//! Writes simulated runs as files that look like real recordings: long format, times as text with trimmed zeros.

use crate::simulate::{self, CHANNELS, Options, RunData, TextRow};
use assets_core::Reason;
use assets_frames::{DataFrame, columns, parquet};
use std::fs;
use std::path::{Path, PathBuf};

/// What was written.
pub struct Written {
    /// Files with their sizes.
    pub files: Vec<(PathBuf, u64)>,
    /// Rows in all.
    pub rows: u64,
    /// Runs.
    pub runs: usize,
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> Reason + '_ {
    move |error| {
        let code = if error.kind() == std::io::ErrorKind::StorageFull { "disk_full" } else { "io_error" };
        Reason::new(code, format!("{} can't be written: {error}", path.display()))
    }
}

/// Simulates and writes: into a folder (`recording.parquet` and `truth.json`), or one `.csv` or `.parquet` file.
pub fn write(options: &Options, out: &Path) -> Result<Written, Reason> {
    let ending = out.extension().and_then(|ending| ending.to_str());
    let (file, truth) = match ending {
        Some("csv" | "parquet") => (out.to_owned(), None),
        _ => (out.join("recording.parquet"), Some(out.join("truth.json"))),
    };
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(io(folder))?;
    }
    let plans = simulate::plan(options);
    let data: Vec<RunData> = plans.iter().map(|plan| simulate::generate(options, plan)).collect();
    let (defects, _) = simulate::defects(options, &plans);
    let rows = data.iter().map(|run| run.rows.len() as u64).sum::<u64>() + defects.len() as u64;
    if ending == Some("csv") {
        write_csv(&data, &defects, &file)?;
    } else {
        let frame = if defects.is_empty() { frame(&data)? } else { text_frame(&data, &defects)? };
        parquet::write_file(&frame, &file)?;
    }
    let mut files = vec![file];
    if let Some(path) = truth {
        let truths: Vec<_> = data.iter().map(simulate::run_truth).collect();
        let text = serde_json::to_string_pretty(&truths).unwrap_or_default();
        fs::write(&path, text).map_err(io(&path))?;
        files.push(path);
    }
    let sized = files.into_iter().map(|path| {
        let bytes = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        (path, bytes)
    });
    Ok(Written { files: sized.collect(), rows, runs: data.len() })
}

/// Every sample: (run, time, value, channel).
fn samples(data: &[RunData]) -> impl Iterator<Item = (&RunData, i64, f64, usize)> {
    data.iter().flat_map(|run| {
        let rows = &run.rows;
        (0..rows.len()).map(move |at| (run, rows.time_us[at], rows.value[at], usize::from(rows.channel[at])))
    })
}

fn times(data: &[RunData]) -> Vec<String> {
    samples(data).map(|(_, time, ..)| simulate::time_text(time)).collect()
}

fn frame(data: &[RunData]) -> Result<DataFrame, Reason> {
    let times = times(data);
    columns::frame(vec![
        columns::texts("time", times.iter().map(|text| Some(text.as_str()))),
        columns::floats("value", samples(data).map(|(_, _, value, _)| value).collect()),
        columns::texts("field", samples(data).map(|(.., channel)| Some(CHANNELS[channel].field))),
        columns::ints("cell_id", samples(data).map(|(run, ..)| Some(run.plan.cell_id))),
        columns::ints("robot_id", samples(data).map(|(.., channel)| Some(CHANNELS[channel].robot))),
        columns::texts("run_uuid", samples(data).map(|(run, ..)| Some(run.plan.run_uuid.as_str()))),
        columns::texts("sensor_type", samples(data).map(|(.., channel)| Some(CHANNELS[channel].sensor))),
    ])
}

fn text_rows(data: &[RunData], defects: &[TextRow]) -> Vec<TextRow> {
    let good = data.iter().flat_map(|run| (0..run.rows.len()).map(move |at| simulate::text_row(run, at)));
    good.chain(defects.iter().cloned()).collect()
}

fn text_frame(data: &[RunData], defects: &[TextRow]) -> Result<DataFrame, Reason> {
    let rows = text_rows(data, defects);
    let column =
        |name: &str, get: fn(&TextRow) -> &String| columns::texts(name, rows.iter().map(|row| Some(get(row).as_str())));
    columns::frame(vec![
        column("time", |row| &row.time),
        column("value", |row| &row.value),
        column("field", |row| &row.field),
        column("cell_id", |row| &row.cell_id),
        column("robot_id", |row| &row.robot_id),
        column("run_uuid", |row| &row.run_uuid),
        column("sensor_type", |row| &row.sensor_type),
    ])
}

fn write_csv(data: &[RunData], defects: &[TextRow], path: &Path) -> Result<(), Reason> {
    let failed = |error: csv::Error| Reason::new("io_error", format!("{} can't be written: {error}", path.display()));
    let mut writer = csv::Writer::from_path(path).map_err(failed)?;
    writer
        .write_record(["time", "value", "field", "cell_id", "robot_id", "run_uuid", "sensor_type"])
        .map_err(failed)?;
    let mut write = |row: &TextRow| {
        let cells = [&row.time, &row.value, &row.field, &row.cell_id, &row.robot_id, &row.run_uuid, &row.sensor_type];
        writer.write_record(cells).map_err(failed)
    };
    for run in data {
        for at in 0..run.rows.len() {
            write(&simulate::text_row(run, at))?;
        }
    }
    defects.iter().try_for_each(&mut write)?;
    writer.flush().map_err(io(path))
}
