//! `clean`: valid rows, sorted by time, one per channel and time; `rejects`: every other row, with its reason's code;
//! `sessions`: the stretches without a long silence.
//!
//! Rejection does not depend on the order of rows: of equal duplicates one is kept, and where values of one channel
//! differ at one time all of them are left out.

use crate::channels::{CHANNELS, COUNT, Channel, Places, Samples};
use crate::columns::{self as names, RUN};
use crate::kernels::hampel;
use crate::sessions;
use crate::settings::{Clean as Settings, Sessions, Tare};
use crate::simulate::time_text;
use crate::versions;
use assets_core::executor::StepRequest;
use assets_core::hash::Hasher;
use assets_core::shared_text::SharedText;
use assets_core::{AssetDecl, AssetName, ColumnDecl, Fact, PartCode, PartId, PartRead, Reason};
use assets_frames::polars::prelude::{SortMultipleOptions, StringChunked};
use assets_frames::{Column, DataFrame, FrameAsset, Inputs, Outputs, columns, frame_error};
use std::collections::{BTreeMap, BTreeSet};

/// Version of what follows; part of the fingerprint, with those of the kernels it uses.
pub const VERSION: u32 = 1;

/// The columns of `raw` that are read.
pub const READS: [&str; 8] =
    ["time", "value", "field", "robot_id", "sensor_type", "time_text", "value_text", "robot_id_text"];

/// Sorts rows into valid and rejected ones.
pub struct Clean {
    /// Outliers.
    pub settings: Settings,
    /// Allowed ranges.
    pub limits: BTreeMap<String, [f64; 2]>,
    /// Offsets of forces.
    pub tare: Tare,
    /// What splits a run.
    pub sessions: Sessions,
}

/// What each part of `clean` and its further outputs is computed from. A channel's rows are judged without the others':
/// who changes the filter of one changes its slice alone.
pub fn parts(output: &AssetName, raw: &AssetName, clean: &Clean, params: &[(SharedText, SharedText)]) -> Vec<PartCode> {
    let all: BTreeSet<String> = params.iter().map(|(name, _)| name.to_string()).collect();
    let raw: BTreeSet<PartRead> = READS.iter().map(|column| PartRead::column(raw, column)).collect();
    let opens: BTreeSet<AssetName> = raw.iter().map(|read| read.output.clone()).collect();
    let part = |id: PartId, what: &str, params: &BTreeSet<String>| {
        let mut hasher = Hasher::new("assets.clean.1");
        let code = hasher.text(&versions::all(&["clean"])).text(what).text(&id.column).finish();
        let (indirect, via) = Default::default();
        PartCode { id, code, params: params.clone(), direct: raw.clone(), indirect, opens: opens.clone(), via }
    };
    let whole = |columns: Vec<ColumnDecl>, params: &BTreeSet<String>| -> Vec<PartCode> {
        let columns = columns.into_iter().filter(|column| column.name != RUN);
        columns.map(|column| part(PartId::column(&column.name), output.as_str(), params)).collect()
    };
    match output.as_str() {
        "rejects" => {
            whole(names::rejects(), &all.iter().filter(|name| !name.starts_with("sessions.")).cloned().collect())
        }
        "sessions" => whole(names::sessions(), &all),
        _ => {
            let slice = |channel: &Channel| {
                let params = clean.params_of(channel, &all);
                let id = |column: &str| PartId { slice: Some(channel.slice().into()), column: column.into() };
                ["time", "value"].map(|column| part(id(column), &channel.slice(), &params))
            };
            CHANNELS.iter().flat_map(slice).collect()
        }
    }
}

/// Codes in the order in which the first that holds is given.
const CODES: [&str; 11] = [
    "bad_time",
    "unknown_robot",
    "unknown_field",
    "field_sensor_mismatch",
    "bad_value",
    "null_value",
    "not_finite",
    "duplicate",
    "conflict",
    "out_of_range",
    "outlier",
];

struct Row {
    time: i64,
    value: f64,
    at: usize,
}

impl FrameAsset for Clean {
    fn make(&self, inputs: &Inputs<'_>, outputs: &mut Outputs<'_>) -> Result<(), Reason> {
        let places = Places::new(inputs.codes("raw", "sensor_type")?, inputs.codes("raw", "field")?);
        let others: Vec<&str> = READS.into_iter().filter(|name| !matches!(*name, "sensor_type" | "field")).collect();
        let raw = inputs.read("raw", &others)?;
        let (mut rows, delivered, mut codes) = classify(&raw, &places)?;
        for (channel, rows) in rows.iter_mut().enumerate() {
            self.reject_within(channel, rows, &raw, &mut codes)?;
        }
        let run = inputs.key(RUN);
        let (rejects, expected) = (rejects_frame(run, &raw, &places, &codes)?, raw.height());
        // A long run need not be in memory twice.
        drop((raw, places, codes));
        rows.iter_mut().for_each(Vec::shrink_to_fit);
        self.subtract_tare(&mut rows);
        let clean = clean_frame(run, &rows)?;
        check(&rows, expected, &clean, &rejects, outputs)?;
        for (channel, reason) in unavailable(&rows, &delivered) {
            outputs.unavailable("clean", &CHANNELS[channel].slice(), reason)?;
        }
        outputs.write("clean", clean)?;
        outputs.write("rejects", rejects)?;
        let samples: Vec<Samples> = rows.iter().map(|rows| samples(rows)).collect();
        drop(rows);
        let sessions = sessions::split(&samples, &self.sessions);
        outputs.write("sessions", sessions::table(run, &sessions)?)?;
        sessions::keep(outputs, samples, sessions);
        Ok(())
    }

    fn memory(&self, _: &AssetDecl, request: &StepRequest) -> Option<u64> {
        // Measured with ten million rows.
        Some(request.inputs.iter().map(|input| input.output.rows).sum::<u64>() * 150)
    }
}

fn samples(rows: &[Row]) -> Samples {
    Samples { ts: rows.iter().map(|row| row.time).collect(), vs: rows.iter().map(|row| row.value).collect() }
}

/// Rows of each channel, how many were delivered for each, and the code of each row that no channel takes.
type Classified = ([Vec<Row>; COUNT], [u64; COUNT], Vec<Option<u8>>);

fn code(name: &str) -> u8 {
    u8::try_from(CODES.iter().position(|code| *code == name).unwrap_or(0)).unwrap_or(0)
}

fn classify(raw: &DataFrame, places: &Places) -> Result<Classified, Reason> {
    let times = columns::iter_times(raw, "time")?;
    let robots = columns::iter_ints(raw, "robot_id")?;
    let values = columns::iter_floats(raw, "value")?;
    let value_texts = kept(raw, "value_text")?;
    let mut rows: [Vec<Row>; COUNT] = Default::default();
    let mut delivered = [0; COUNT];
    let mut codes = vec![None; raw.height()];
    for (at, ((time, robot), value)) in times.zip(robots).zip(values).enumerate() {
        let robot = robot.filter(|robot| matches!(robot, 1 | 2));
        let channel = robot.and_then(|robot| places.channel(robot, at));
        if let Some(channel) = channel {
            delivered[channel] += 1;
        }
        codes[at] = Some(match (time, robot, channel, value) {
            (None, ..) => code("bad_time"),
            (_, None, ..) => code("unknown_robot"),
            (_, _, None, _) if !places.is_field(at) => code("unknown_field"),
            (_, _, None, _) => code("field_sensor_mismatch"),
            (.., None) if value_texts.is_some_and(|texts| texts.get(at).is_some()) => code("bad_value"),
            (.., None) => code("null_value"),
            (.., Some(value)) if !value.is_finite() => code("not_finite"),
            (Some(time), _, Some(channel), Some(value)) => {
                rows[channel].push(Row { time, value, at });
                codes[at] = None;
                continue;
            }
        });
    }
    Ok((rows, delivered, codes))
}

/// The texts that were kept of cells of a column; `None` where none was.
fn kept<'a>(raw: &'a DataFrame, name: &str) -> Result<Option<&'a StringChunked>, Reason> {
    let column = raw.column(name).map_err(|error| frame_error(name, &error))?;
    // Nearly always: no memory is taken for what is not there.
    let is_any = column.null_count() < column.len();
    is_any.then(|| column.str()).transpose().map_err(|error| frame_error(name, &error))
}

impl Clean {
    /// The parameters that decide a channel's rows.
    fn params_of(&self, channel: &Channel, all: &BTreeSet<String>) -> BTreeSet<String> {
        let column = channel.column();
        let is_force = channel.sensor == "load_cell";
        let own = |name: &&String| match name.split('.').collect::<Vec<_>>()[..] {
            // The first seconds of a run begin with its first valid sample, whichever channel's that is.
            _ if is_force && self.tare.first_s.is_some() => !name.starts_with("sessions."),
            ["clean", "channels", about, ..] | ["limits", about] => about == column,
            ["clean", _] => self.settings.hampel(&column).is_some(),
            ["tare", "offsets_n", about] => about == column,
            _ => false,
        };
        all.iter().filter(own).cloned().collect()
    }

    /// Sorts a channel's rows and takes out duplicates, conflicts, values out of range and outliers.
    fn reject_within(
        &self,
        channel: usize,
        rows: &mut Vec<Row>,
        raw: &DataFrame,
        codes: &mut [Option<u8>],
    ) -> Result<(), Reason> {
        let conflicts = if rows.is_sorted_by(|a, b| a.time < b.time) {
            Vec::new()
        } else {
            let kept = |name: &str| kept(raw, name);
            take_out_duplicates(rows, &[kept("time_text")?, kept("value_text")?, kept("robot_id_text")?], codes)
        };
        let [low, high] = self.limits.get(&CHANNELS[channel].column()).copied().unwrap_or([f64::MIN, f64::MAX]);
        rows.retain(|row| {
            if conflicts.binary_search(&row.time).is_ok() {
                codes[row.at] = Some(code("conflict"));
            } else if row.value < low || row.value > high {
                codes[row.at] = Some(code("out_of_range"));
            }
            codes[row.at].is_none()
        });
        if let Some((window_ms, k)) = self.settings.hampel(&CHANNELS[channel].column()) {
            self.reject_outliers(channel, (window_ms, k), rows, codes);
        }
        Ok(())
    }

    fn reject_outliers(
        &self,
        channel: usize,
        (window_ms, k): (f64, f64),
        rows: &mut Vec<Row>,
        codes: &mut [Option<u8>],
    ) {
        let ts: Vec<i64> = rows.iter().map(|row| row.time).collect();
        let vs: Vec<f64> = rows.iter().map(|row| row.value).collect();
        let is_position = CHANNELS[channel].sensor == "encoder";
        let floor = if is_position { self.settings.resolution_mm } else { self.settings.resolution_n };
        let outliers = hampel::outliers(&ts, &vs, (window_ms * 1000.0) as i64, k, floor);
        let mut outliers = outliers.into_iter();
        rows.retain(|row| {
            let is_outlier = outliers.next().unwrap_or(false);
            if is_outlier {
                codes[row.at] = Some(code("outlier"));
            }
            !is_outlier
        });
    }

    fn subtract_tare(&self, rows: &mut [Vec<Row>; COUNT]) {
        let start = rows.iter().filter_map(|rows| rows.first()).map(|row| row.time).min().unwrap_or(0);
        for (channel, rows) in rows.iter_mut().enumerate().filter(|(i, _)| CHANNELS[*i].sensor == "load_cell") {
            let offset = match (self.tare.offsets_n.get(&CHANNELS[channel].column()), self.tare.first_s) {
                (Some(offset), _) => *offset,
                (None, Some(seconds)) => {
                    let end = start + (seconds * 1e6) as i64;
                    let first: Vec<f64> = rows.iter().take_while(|row| row.time <= end).map(|row| row.value).collect();
                    if first.is_empty() { 0.0 } else { first.iter().sum::<f64>() / first.len() as f64 }
                }
                (None, None) => continue,
            };
            rows.iter_mut().for_each(|row| row.value -= offset);
        }
    }
}

fn check(
    rows: &[Vec<Row>; COUNT],
    expected: usize,
    clean: &DataFrame,
    rejects: &DataFrame,
    outputs: &mut Outputs<'_>,
) -> Result<(), Reason> {
    let sum = clean.height() + rejects.height();
    let lost = (sum != expected).then(|| {
        let message = format!("{sum} valid and rejected rows came of {expected} delivered ones");
        Reason::new("rows_lost", message).with("rows", sum).with("expected", expected)
    });
    outputs.check("clean", "rows_accounted_for", lost)?;
    let unordered = rows.iter().position(|rows| rows.windows(2).any(|pair| pair[0].time >= pair[1].time));
    let unordered = unordered.map(|channel| {
        let slice = CHANNELS[channel].slice();
        Reason::new("time_not_increasing", format!("times of {slice} do not increase")).with("slice", slice)
    });
    outputs.check("clean", "time_strictly_increasing_per_channel", unordered)
}

/// Sorts a channel's rows and takes out all but one of equal ones; the times at which values differ.
fn take_out_duplicates(rows: &mut Vec<Row>, texts: &[Option<&StringChunked>; 3], codes: &mut [Option<u8>]) -> Vec<i64> {
    // Which of equal duplicates is kept must not depend on which came first: zeros of either sign are equal, and so are
    // two spellings of a number.
    let spelling = |row: &Row| texts.map(|texts| texts.and_then(|texts| texts.get(row.at)));
    rows.sort_by(|a, b| {
        let order = a.time.cmp(&b.time).then(a.value.total_cmp(&b.value));
        order.then_with(|| spelling(a).cmp(&spelling(b))).then(a.at.cmp(&b.at))
    });
    let mut kept: Vec<Row> = Vec::with_capacity(rows.len());
    let mut conflicts = Vec::new();
    for row in rows.drain(..) {
        match kept.last() {
            Some(last) if last.time == row.time && last.value == row.value => codes[row.at] = Some(code("duplicate")),
            Some(last) if last.time == row.time => {
                conflicts.push(row.time);
                kept.push(row);
            }
            _ => kept.push(row),
        }
    }
    *rows = kept;
    conflicts
}

/// Channels without a valid row, and why.
fn unavailable(rows: &[Vec<Row>; COUNT], delivered: &[u64; COUNT]) -> Vec<(usize, Reason)> {
    let absent = |channel: usize| delivered[channel] == 0;
    let mut reasons = Vec::new();
    for channel in (0..COUNT).filter(|channel| rows[*channel].is_empty()) {
        let about = CHANNELS[channel];
        let sensor = about.sensor_name();
        let whole_sensor = (0..COUNT).filter(|c| CHANNELS[*c].sensor_name() == sensor).all(absent);
        let reason = if whole_sensor {
            Reason::new("sensor_not_delivered", format!("no row of {sensor} was delivered"))
        } else if absent(channel) {
            Reason::new("field_not_delivered", format!("no row of {} of {sensor} was delivered", about.field))
                .with("field", about.field)
        } else {
            let message = format!("all {} rows of {} of {sensor} were rejected", delivered[channel], about.field);
            Reason::new("all_rejected", message).with("field", about.field).with("rows", delivered[channel])
        };
        reasons.push((channel, reason.with("sensor", sensor).with("robot_id", Fact::Count(about.robot))));
    }
    reasons
}

fn clean_frame(run: &str, rows: &[Vec<Row>; COUNT]) -> Result<DataFrame, Reason> {
    let mut order: Vec<(i64, u8, u32)> = Vec::with_capacity(rows.iter().map(Vec::len).sum());
    for (channel, rows) in (0..).zip(rows) {
        order.extend((0..).zip(rows).map(|(i, row)| (row.time, channel, i)));
    }
    // Channels are numbered by robot, sensor, field: the declared order within one time. A sort that keeps equal ones in
    // place finds that each channel is sorted already.
    order.sort();
    let codes = || order.iter().map(|(_, channel, _)| u32::from(*channel)).collect();
    let sensors = CHANNELS.map(|channel| Some(channel.sensor));
    let fields = CHANNELS.map(|channel| Some(channel.field));
    columns::frame(vec![
        columns::constant_text(RUN, run, order.len()),
        columns::times("time", order.iter().map(|(time, ..)| *time).collect()),
        columns::whole_ints("robot_id", order.iter().map(|(_, c, _)| CHANNELS[usize::from(*c)].robot).collect()),
        columns::coded_texts("sensor_type", &sensors, codes())?,
        columns::coded_texts("field", &fields, codes())?,
        columns::floats("value", order.iter().map(|(_, c, i)| rows[usize::from(*c)][*i as usize].value).collect()),
    ])
}

/// `time, value, field, robot_id, sensor_type` of raw rows as the text that was delivered.
pub fn delivered_texts(raw: &DataFrame) -> Result<Vec<Column>, Reason> {
    let texts = |name: &str| columns::to_texts(raw, name);
    let or = |kept: &Option<&str>, usual: Option<String>| kept.map(str::to_owned).or(usual);
    let times = columns::to_times(raw, "time")?;
    let times = texts("time_text")?.iter().zip(times).map(|(t, us)| or(t, us.map(time_text))).collect::<Vec<_>>();
    let values = raw.column("value").and_then(|c| c.f64()).map_err(|error| frame_error("value", &error))?;
    let values = texts("value_text")?
        .iter()
        .zip(values.iter())
        .map(|(t, v)| or(t, v.map(|v| v.to_string())))
        .collect::<Vec<_>>();
    let robots = columns::to_ints(raw, "robot_id")?;
    let robots =
        texts("robot_id_text")?.iter().zip(robots).map(|(t, r)| or(t, r.map(|r| r.to_string()))).collect::<Vec<_>>();
    let column = |name: &str, cells: &[Option<String>]| columns::texts(name, cells.iter().map(Option::as_deref));
    Ok(vec![
        column("time", &times),
        column("value", &values),
        columns::texts("field", texts("field")?.into_iter()),
        column("robot_id", &robots),
        columns::texts("sensor_type", texts("sensor_type")?.into_iter()),
    ])
}

fn rejects_frame(run: &str, raw: &DataFrame, places: &Places, codes: &[Option<u8>]) -> Result<DataFrame, Reason> {
    use assets_frames::polars::prelude::{IdxCa, IdxSize, NewChunkedArray};
    let wrong = |error| frame_error("rejects", &error);
    let rejected: Vec<IdxSize> = (0..).zip(codes).filter(|(_, code)| code.is_some()).map(|(at, _)| at).collect();
    let mut picked = raw.take(&IdxCa::from_slice("at".into(), &rejected)).map_err(wrong)?;
    let at = || rejected.iter().map(|at| *at as usize);
    picked.with_column(columns::texts("field", at().map(|at| places.field_text(at)))).map_err(wrong)?;
    picked.with_column(columns::texts("sensor_type", at().map(|at| places.sensor_text(at)))).map_err(wrong)?;
    let mut all = vec![columns::constant_text(RUN, run, rejected.len())];
    all.extend(delivered_texts(&picked)?);
    all.push(columns::texts("code", codes.iter().flatten().map(|code| Some(CODES[usize::from(*code)]))));
    sort_rejects(columns::frame(all)?)
}

/// Rejected rows in an order of their own: which file a row came in, and where in it, does not count.
pub fn sort_rejects(frame: DataFrame) -> Result<DataFrame, Reason> {
    let by: Vec<String> = names::rejects().into_iter().map(|column| column.name).collect();
    // Time first, then as in `clean`.
    let by = [&by[0], &by[1], &by[4], &by[5], &by[3], &by[2], &by[6]].map(String::as_str);
    let options = SortMultipleOptions::default().with_maintain_order(true);
    frame.sort(by, options).map_err(|error| frame_error("rejects", &error))
}
