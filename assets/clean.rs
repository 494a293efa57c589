//! `clean`: valid rows, sorted by time, one per channel and time; `rejects`: every other row, with its reason's code;
//! `sessions`: the stretches without a long silence.
//!
//! Rejection does not depend on the order of rows: of equal duplicates one is kept, and where values of one channel
//! differ at one time all of them are left out.

use crate::channels::{CHANNELS, COUNT, Channel, Samples};
use crate::columns::{self as names, RUN};
use crate::delivered::{HELD_ROWS, Raw};
use crate::kernels::hampel;
use crate::sessions;
use crate::settings::{Clean as Settings, Sessions, Tare};
use crate::simulate::time_text;
use crate::versions;
use assets_core::executor::StepRequest;
use assets_core::hash::Hasher;
use assets_core::shared_text::SharedText;
use assets_core::{AssetDecl, AssetName, ColumnDecl, Fact, PartCode, PartId, PartRead, Reason};
use assets_frames::parquet::ROW_GROUP_ROWS;
use assets_frames::polars::prelude::SortMultipleOptions;
use assets_frames::{Column, DataFrame, FrameAsset, Inputs, Outputs, columns, frame_error};
use std::collections::{BTreeMap, BTreeSet, HashMap};

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

/// A channel's rows: what they say, and where in `raw` each is.
#[derive(Default)]
struct Rows {
    samples: Samples,
    at: Vec<u32>,
}

impl Rows {
    fn with_capacity(rows: usize) -> Self {
        Self {
            samples: Samples { ts: Vec::with_capacity(rows), vs: Vec::with_capacity(rows) },
            at: Vec::with_capacity(rows),
        }
    }

    fn push(&mut self, time: i64, value: f64, at: u32) {
        self.samples.ts.push(time);
        self.samples.vs.push(value);
        self.at.push(at);
    }

    fn len(&self) -> usize {
        self.at.len()
    }

    /// Keeps those of which time, value and place say so.
    fn retain(&mut self, mut is_kept: impl FnMut(i64, f64, usize) -> bool) {
        let mut kept = 0;
        for row in 0..self.len() {
            let (time, value, at) = (self.samples.ts[row], self.samples.vs[row], self.at[row]);
            if is_kept(time, value, at as usize) {
                (self.samples.ts[kept], self.samples.vs[kept], self.at[kept]) = (time, value, at);
                kept += 1;
            }
        }
        self.samples.ts.truncate(kept);
        self.samples.vs.truncate(kept);
        self.at.truncate(kept);
    }

    /// Those rows, in that order.
    fn pick(&self, rows: &[usize]) -> Self {
        let mut picked = Self::with_capacity(rows.len());
        rows.iter().for_each(|row| picked.push(self.samples.ts[*row], self.samples.vs[*row], self.at[*row]));
        picked
    }
}

impl FrameAsset for Clean {
    fn make(&self, inputs: &Inputs<'_>, outputs: &mut Outputs<'_>) -> Result<(), Reason> {
        let raw = Raw::open(inputs)?;
        let (mut rows, delivered, mut codes) = classify(&raw)?;
        for (channel, rows) in rows.iter_mut().enumerate() {
            self.reject_within(channel, rows, &raw, &mut codes)?;
        }
        let run = inputs.key(RUN);
        let (rejects, expected) = (rejects_frame(run, &raw, &codes)?, raw.rows);
        // A long run need not be in memory twice.
        drop((raw, codes));
        let mut samples: Vec<Samples> = rows.into_iter().map(|rows| rows.samples).collect();
        self.subtract_tare(&mut samples);
        check(&samples, expected, rejects.height(), outputs)?;
        for (channel, reason) in unavailable(&samples, &delivered) {
            outputs.unavailable("clean", &CHANNELS[channel].slice(), reason)?;
        }
        merge(&samples, ROW_GROUP_ROWS, &mut |merged| outputs.write("clean", clean_frame(run, merged)?))?;
        outputs.write("rejects", rejects)?;
        let sessions = sessions::split(&samples, &self.sessions);
        outputs.write("sessions", sessions::table(run, &sessions)?)?;
        sessions::keep(outputs, samples, sessions);
        Ok(())
    }

    fn memory(&self, _: &AssetDecl, request: &StepRequest, _: u64) -> Option<u64> {
        // Measured with ten million rows.
        let rows: u64 = request.inputs.iter().map(|input| input.output.rows).sum();
        Some(rows * 30 + rows.min(HELD_ROWS as u64) * 40)
    }
}

/// Rows of each channel, how many were delivered for each, and the code of each row that no channel takes.
type Classified = ([Rows; COUNT], [u64; COUNT], Vec<Option<u8>>);

fn code(name: &str) -> u8 {
    u8::try_from(CODES.iter().position(|code| *code == name).unwrap_or(0)).unwrap_or(0)
}

fn classify(raw: &Raw<'_>) -> Result<Classified, Reason> {
    // Most runs deliver all channels at about one rate; what is not used of it costs nothing.
    let mut rows: [Rows; COUNT] = std::array::from_fn(|_| Rows::with_capacity(raw.rows.div_ceil(COUNT)));
    let mut delivered = [0; COUNT];
    let mut codes = Vec::with_capacity(raw.rows);
    raw.each(&mut |batch| {
        let times = columns::iter_times(&batch.frame, "time")?;
        let robots = columns::iter_ints(&batch.frame, "robot_id")?;
        let values = columns::iter_floats(&batch.frame, "value")?;
        let value_texts = batch.kept("value_text")?;
        for (row, ((time, robot), value)) in times.zip(robots).zip(values).enumerate() {
            let robot = robot.filter(|robot| matches!(robot, 1 | 2));
            let channel = robot.and_then(|robot| batch.places.channel(robot, row));
            if let Some(channel) = channel {
                delivered[channel] += 1;
            }
            codes.push(Some(match (time, robot, channel, value) {
                (None, ..) => code("bad_time"),
                (_, None, ..) => code("unknown_robot"),
                (_, _, None, _) if !batch.places.is_field(row) => code("unknown_field"),
                (_, _, None, _) => code("field_sensor_mismatch"),
                (.., None) if value_texts.is_some_and(|texts| texts.get(row).is_some()) => code("bad_value"),
                (.., None) => code("null_value"),
                (.., Some(value)) if !value.is_finite() => code("not_finite"),
                (Some(time), _, Some(channel), Some(value)) => {
                    // polars counts rows in 32 bits.
                    rows[channel].push(time, value, (batch.first + row) as u32);
                    codes.push(None);
                    continue;
                }
            }));
        }
        Ok(())
    })?;
    Ok((rows, delivered, codes))
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
        rows: &mut Rows,
        raw: &Raw<'_>,
        codes: &mut [Option<u8>],
    ) -> Result<(), Reason> {
        let conflicts = if rows.samples.ts.is_sorted_by(|a, b| a < b) {
            Vec::new()
        } else {
            take_out_duplicates(rows, raw, codes)?
        };
        let limits = self.limits.get(&CHANNELS[channel].column()).copied();
        if limits.is_some() || !conflicts.is_empty() {
            let [low, high] = limits.unwrap_or([f64::MIN, f64::MAX]);
            rows.retain(|time, value, at| {
                if conflicts.binary_search(&time).is_ok() {
                    codes[at] = Some(code("conflict"));
                } else if value < low || value > high {
                    codes[at] = Some(code("out_of_range"));
                }
                codes[at].is_none()
            });
        }
        if let Some((window_ms, k)) = self.settings.hampel(&CHANNELS[channel].column()) {
            self.reject_outliers(channel, (window_ms, k), rows, codes);
        }
        Ok(())
    }

    fn reject_outliers(&self, channel: usize, (window_ms, k): (f64, f64), rows: &mut Rows, codes: &mut [Option<u8>]) {
        let is_position = CHANNELS[channel].sensor == "encoder";
        let floor = if is_position { self.settings.resolution_mm } else { self.settings.resolution_n };
        let outliers = hampel::outliers(&rows.samples.ts, &rows.samples.vs, (window_ms * 1000.0) as i64, k, floor);
        if !outliers.contains(&true) {
            return;
        }
        let mut outliers = outliers.into_iter();
        rows.retain(|_, _, at| {
            let is_outlier = outliers.next().unwrap_or(false);
            if is_outlier {
                codes[at] = Some(code("outlier"));
            }
            !is_outlier
        });
    }

    fn subtract_tare(&self, samples: &mut [Samples]) {
        let start = samples.iter().filter_map(|samples| samples.ts.first()).min().copied().unwrap_or(0);
        for (channel, samples) in samples.iter_mut().enumerate().filter(|(i, _)| CHANNELS[*i].sensor == "load_cell") {
            let offset = match (self.tare.offsets_n.get(&CHANNELS[channel].column()), self.tare.first_s) {
                (Some(offset), _) => *offset,
                (None, Some(seconds)) => {
                    let end = start + (seconds * 1e6) as i64;
                    let first = &samples.vs[..samples.ts.partition_point(|time| *time <= end)];
                    if first.is_empty() { 0.0 } else { first.iter().sum::<f64>() / first.len() as f64 }
                }
                (None, None) => continue,
            };
            samples.vs.iter_mut().for_each(|value| *value -= offset);
        }
    }
}

fn check(samples: &[Samples], expected: usize, rejects: usize, outputs: &mut Outputs<'_>) -> Result<(), Reason> {
    let sum = samples.iter().map(|samples| samples.ts.len()).sum::<usize>() + rejects;
    let lost = (sum != expected).then(|| {
        let message = format!("{sum} valid and rejected rows came of {expected} delivered ones");
        Reason::new("rows_lost", message).with("rows", sum).with("expected", expected)
    });
    outputs.check("clean", "rows_accounted_for", lost)?;
    let unordered = samples.iter().position(|samples| samples.ts.windows(2).any(|pair| pair[0] >= pair[1]));
    let unordered = unordered.map(|channel| {
        let slice = CHANNELS[channel].slice();
        Reason::new("time_not_increasing", format!("times of {slice} do not increase")).with("slice", slice)
    });
    outputs.check("clean", "time_strictly_increasing_per_channel", unordered)
}

/// Sorts a channel's rows and takes out all but one of equal ones; the times at which values differ.
fn take_out_duplicates(rows: &mut Rows, raw: &Raw<'_>, codes: &mut [Option<u8>]) -> Result<Vec<i64>, Reason> {
    // Which of equal duplicates is kept must not depend on which came first: zeros of either sign are equal, and so are
    // two spellings of a number.
    let (ts, vs) = (&rows.samples.ts, &rows.samples.vs);
    let compare = |a: usize, b: usize| ts[a].cmp(&ts[b]).then(vs[a].total_cmp(&vs[b]));
    let at = |row: usize| rows.at[row] as usize;
    let mut order: Vec<usize> = (0..rows.len()).collect();
    // Rows are in the order of `raw`, in which a stable sort leaves those that are equal in all.
    order.sort_by(|a, b| compare(*a, *b));
    let equal = order.chunk_by(|a, b| compare(*a, *b).is_eq()).filter(|equal| equal.len() > 1);
    let equal: BTreeSet<usize> = equal.flatten().map(|row| at(*row)).collect();
    let spellings = if equal.is_empty() { HashMap::new() } else { raw.spellings(&equal)? };
    if !spellings.is_empty() {
        let spelling = |row: usize| spellings.get(&at(row));
        order.sort_by(|a, b| compare(*a, *b).then_with(|| spelling(*a).cmp(&spelling(*b))));
    }
    let mut conflicts = Vec::new();
    let mut last: Option<usize> = None;
    order.retain(|row| match last {
        Some(last) if ts[last] == ts[*row] && vs[last] == vs[*row] => {
            codes[rows.at[*row] as usize] = Some(code("duplicate"));
            false
        }
        _ => {
            conflicts.extend(last.filter(|last| ts[*last] == ts[*row]).map(|_| ts[*row]));
            last = Some(*row);
            true
        }
    });
    *rows = rows.pick(&order);
    Ok(conflicts)
}

/// Channels without a valid row, and why.
fn unavailable(samples: &[Samples], delivered: &[u64; COUNT]) -> Vec<(usize, Reason)> {
    let absent = |channel: usize| delivered[channel] == 0;
    let mut reasons = Vec::new();
    for channel in (0..COUNT).filter(|channel| samples[*channel].ts.is_empty()) {
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

/// Samples of all channels, one below the other.
#[derive(Default)]
struct Merged {
    times: Vec<i64>,
    channels: Vec<u8>,
    values: Vec<f64>,
}

/// Merges the channels by time, so many rows at once. Channels are numbered by robot, sensor, field: the declared order
/// within one time.
fn merge(
    samples: &[Samples],
    rows_most: usize,
    each: &mut dyn FnMut(Merged) -> Result<(), Reason>,
) -> Result<(), Reason> {
    let mut next = [0; COUNT];
    let time = |channel: usize, at: usize| samples[channel].ts.get(at).copied();
    let mut heads: [Option<i64>; COUNT] = std::array::from_fn(|channel| time(channel, 0));
    let mut merged = Merged::default();
    while let Some(now) = heads.iter().flatten().min().copied() {
        for channel in 0..COUNT {
            if heads[channel] != Some(now) {
                continue;
            }
            merged.times.push(now);
            merged.channels.push(channel as u8);
            merged.values.push(samples[channel].vs[next[channel]]);
            next[channel] += 1;
            heads[channel] = time(channel, next[channel]);
            if merged.times.len() == rows_most {
                each(std::mem::take(&mut merged))?;
            }
        }
    }
    each(merged)
}

fn clean_frame(run: &str, merged: Merged) -> Result<DataFrame, Reason> {
    let Merged { times, channels, values } = merged;
    let codes = || channels.iter().map(|channel| u32::from(*channel)).collect();
    let sensors = CHANNELS.map(|channel| Some(channel.sensor));
    let fields = CHANNELS.map(|channel| Some(channel.field));
    columns::frame(vec![
        columns::constant_text(RUN, run, times.len()),
        columns::times("time", times),
        columns::whole_ints("robot_id", channels.iter().map(|channel| CHANNELS[usize::from(*channel)].robot).collect()),
        columns::coded_texts("sensor_type", &sensors, codes())?,
        columns::coded_texts("field", &fields, codes())?,
        columns::floats("value", values),
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

fn rejects_frame(run: &str, raw: &Raw<'_>, codes: &[Option<u8>]) -> Result<DataFrame, Reason> {
    use assets_frames::polars::prelude::{IdxCa, IdxSize, NewChunkedArray};
    let wrong = |error| frame_error("rejects", &error);
    let mut rejects = columns::empty(&names::rejects());
    if codes.iter().all(Option::is_none) {
        return Ok(rejects);
    }
    raw.each(&mut |batch| {
        let codes = &codes[batch.rows()];
        let rejected: Vec<IdxSize> = (0..).zip(codes).filter(|(_, code)| code.is_some()).map(|(at, _)| at).collect();
        if rejected.is_empty() {
            return Ok(());
        }
        let mut picked = batch.frame.take(&IdxCa::from_slice("at".into(), &rejected)).map_err(wrong)?;
        let at = || rejected.iter().map(|at| *at as usize);
        picked.with_column(columns::texts("field", at().map(|at| batch.places.field_text(at)))).map_err(wrong)?;
        picked
            .with_column(columns::texts("sensor_type", at().map(|at| batch.places.sensor_text(at))))
            .map_err(wrong)?;
        let mut all = vec![columns::constant_text(RUN, run, rejected.len())];
        all.extend(delivered_texts(&picked)?);
        all.push(columns::texts("code", codes.iter().flatten().map(|code| Some(CODES[usize::from(*code)]))));
        rejects.vstack_mut(&columns::frame(all)?).map(drop).map_err(wrong)
    })?;
    rejects.rechunk_mut();
    sort_rejects(rejects)
}

/// Rejected rows in an order of their own: which file a row came in, and where in it, does not count.
pub fn sort_rejects(frame: DataFrame) -> Result<DataFrame, Reason> {
    let by: Vec<String> = names::rejects().into_iter().map(|column| column.name).collect();
    // Time first, then as in `clean`.
    let by = [&by[0], &by[1], &by[4], &by[5], &by[3], &by[2], &by[6]].map(String::as_str);
    let options = SortMultipleOptions::default().with_maintain_order(true);
    frame.sort(by, options).map_err(|error| frame_error("rejects", &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_merged_by_time_and_in_their_order_however_many_rows_at_once() {
        let mut samples = vec![Samples::default(); COUNT];
        let mut expected = Vec::new();
        for time in 0..50_i64 {
            for channel in (0..COUNT).filter(|channel| time as usize % (channel + 2) == 1) {
                let value = (time * 100) as f64 + channel as f64;
                samples[channel].ts.push(time);
                samples[channel].vs.push(value);
                expected.push((time, channel as u8, value));
            }
        }
        for rows_most in [1, 7, expected.len(), expected.len() + 1] {
            let mut found = Vec::new();
            let mut each = |merged: Merged| {
                assert!(merged.times.len() <= rows_most);
                let rows = merged.times.into_iter().zip(merged.channels).zip(merged.values);
                found.extend(rows.map(|((time, channel), value)| (time, channel, value)));
                Ok(())
            };
            merge(&samples, rows_most, &mut each).expect("merged");
            assert_eq!(found, expected, "{rows_most} rows at once");
        }
        let mut frames = 0;
        let mut each = |merged: Merged| {
            frames += 1;
            clean_frame("r", merged).map(|frame| assert_eq!(frame.shape(), (0, 6)))
        };
        merge(&vec![Samples::default(); COUNT], 9, &mut each).expect("merged");
        assert_eq!(frames, 1, "a table without rows is one");
    }
}
