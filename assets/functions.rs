//! The functions of time that an expression for a feature can call, besides SQL's: derivative and integral, rolling
//! statistics, filters, a look back. Each works within sessions: nothing is carried across a pause.

use crate::align::Alignment;
use crate::channels::CHANNELS;
use crate::features::{self, Order};
use crate::kernels::derivative::{Method, differentiate};
use crate::kernels::windows::{self, Statistic};
use crate::settings::{Derivative, Wide};
use crate::versions;
use crate::wide::{self, ALIGNING, samples_of};
use assets_core::{AssetName, PartRead, Reason};
use assets_frames::Column;
use assets_frames::aligned::{Kernel, Row};
use assets_frames::columns;
use assets_frames::expression::{Call, Function, MakeKernel, Meaning, sql_functions};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Version of what this file computes around the kernels, raised whenever a result changes.
pub const VERSION: u32 = 1;

/// What functions are laid over.
#[derive(Clone)]
pub struct Around {
    /// The asset that holds samples.
    pub clean: AssetName,
    /// The asset that holds sessions.
    pub sessions: AssetName,
    /// How channels share a time axis.
    pub wide: Wide,
    /// How a channel is differentiated.
    pub derivative: Derivative,
}

/// Everything that an expression can call.
pub fn functions(around: &Around) -> Vec<Function> {
    let mut all = of_time(around);
    all.extend(sql_functions());
    all
}

fn of_time(around: &Around) -> Vec<Function> {
    let rolling = |statistic: Statistic| {
        let sessions = around.sessions.clone();
        move |call: &Call<'_>| {
            let window_us = milliseconds(call.constants[0])?;
            let what = format!("rolling {statistic:?} {window_us}");
            Ok(windowed(&what, call.column, &sessions, move |ts, vs| windows::rolling(ts, vs, window_us, statistic)))
        }
    };
    let [sessions, filtered, shifted] = [(); 3].map(|()| around.sessions.clone());
    let (deriving, integrating) = (around.clone(), around.clone());
    vec![
        function(
            "derivative",
            "derivative(channel) or derivative(x, window_ms)",
            "per second: of a channel of `wide` on its own samples, as [derivative] says; of anything else a local \
             cubic fit over rows at most half a window away",
            "derivative(f1, 250)",
            0..=1,
            move |call| derivative(&deriving, call),
        ),
        function(
            "integral",
            "integral(x)",
            "over time in s from the start of each session, by trapezoids; of a channel of `wide` on its own samples",
            "integral(abs(vx_1))",
            0..=0,
            move |call| Ok(integral(&integrating, call, &sessions)),
        ),
        function(
            "rolling_mean",
            "rolling_mean(x, ms)",
            "mean over the last ms milliseconds, this row included",
            "rolling_mean(fx_1, 100)",
            1..=1,
            rolling(Statistic::Mean),
        ),
        function(
            "rolling_min",
            "rolling_min(x, ms)",
            "smallest of the last ms milliseconds",
            "rolling_min(fx_1, 100)",
            1..=1,
            rolling(Statistic::Min),
        ),
        function(
            "rolling_max",
            "rolling_max(x, ms)",
            "largest of the last ms milliseconds",
            "rolling_max(f1, 100)",
            1..=1,
            rolling(Statistic::Max),
        ),
        function(
            "rolling_std",
            "rolling_std(x, ms)",
            "standard deviation (n - 1) over the last ms milliseconds; null of fewer than 2 values",
            "rolling_std(fx_1, 100)",
            1..=1,
            rolling(Statistic::Std),
        ),
        function(
            "rolling_median",
            "rolling_median(x, ms)",
            "median of the last ms milliseconds",
            "rolling_median(fx_1, 100)",
            1..=1,
            rolling(Statistic::Median),
        ),
        function(
            "lag",
            "lag(x, ms)",
            "the value ms milliseconds earlier (later where negative), linear between rows; null where there is none",
            "fx_1 - lag(fx_1, 50)",
            1..=1,
            move |call| {
                let lag_us = (call.constants[0] * 1000.0).round() as i64;
                let what = format!("lag {lag_us}");
                Ok(windowed(&what, call.column, &shifted, move |ts, vs| windows::lag(ts, vs, lag_us)))
            },
        ),
        function(
            "low_pass",
            "low_pass(x, hz)",
            "first-order low-pass filter, -3 dB at hz; causal",
            "low_pass(fx_1, 5)",
            1..=1,
            move |call| {
                let hz = call.constants[0];
                if !(hz > 0.0 && hz.is_finite()) {
                    return Err(format!("the cut-off frequency {hz} must be above 0 Hz"));
                }
                Ok(windowed(&format!("low_pass {hz}"), call.column, &filtered, move |ts, vs| {
                    windows::low_pass(ts, vs, hz)
                }))
            },
        ),
    ]
}

fn function(
    name: &'static str,
    usage: &'static str,
    about: &'static str,
    example: &'static str,
    constants: RangeInclusive<usize>,
    make: impl Fn(&Call<'_>) -> Result<Kernel, String> + Send + Sync + 'static,
) -> Function {
    let make: Box<MakeKernel> = Box::new(make);
    Function { name, usage, about, example, meaning: Meaning::Kernel { constants, make } }
}

fn milliseconds(ms: f64) -> Result<i64, String> {
    if (0.001..=1e12).contains(&ms) {
        Ok((ms * 1000.0).round() as i64)
    } else {
        Err(format!("a window of {ms} ms makes no sense: 0.001 to 1e12"))
    }
}

fn channel_of(column: &str) -> Option<usize> {
    CHANNELS.iter().position(|channel| channel.column() == column)
}

fn derivative(around: &Around, call: &Call<'_>) -> Result<Kernel, String> {
    match (call.constants.first(), channel_of(call.column)) {
        (None, Some(channel)) => {
            let names = [&around.clean, &around.sessions];
            Ok(features::derived(channel, Order::First, names, around.wide.clone(), around.derivative.kernel()))
        }
        (None, None) => {
            Err(format!("`{}` is no channel of `wide`: say over how many ms, derivative(x, window_ms)", call.column))
        }
        (Some(ms), _) => {
            let method = Method::Savgol { window_us: milliseconds(*ms)?, order: 3 };
            let what = format!("local derivative {method:?} {}", versions::all(&["derivative"]));
            Ok(windowed(&what, call.column, &around.sessions, move |ts, vs| {
                let (known_ts, known_vs) = windows::known(ts, vs);
                let slopes = differentiate(&known_ts, &known_vs, &method).velocity;
                spread(vs, slopes)
            }))
        }
    }
}

/// Results of the known values, at their rows.
fn spread(vs: &[f64], results: Vec<f64>) -> Vec<f64> {
    let mut results = results.into_iter();
    vs.iter().map(|v| if v.is_nan() { f64::NAN } else { results.next().unwrap_or(f64::NAN) }).collect()
}

fn integral(around: &Around, call: &Call<'_>, sessions: &AssetName) -> Kernel {
    let Some(channel) = channel_of(call.column) else {
        return windowed("integral", call.column, sessions, windows::integral);
    };
    let settings = around.wide.clone();
    let versions = format!("{} {} {}", versions::own("functions"), versions::all(&["windows"]), wide::aligning());
    let bounds = ["start_time", "stop_time"].map(|column| PartRead::column(sessions, column));
    let run = move |row: &Row<'_>| {
        let alignment = Alignment::of(row.inputs, &settings)?;
        let recorded = alignment.recorded();
        let samples = &recorded.samples;
        let mut totals = vec![f64::NAN; samples[channel].ts.len()];
        for session in &recorded.sessions {
            let own = windows::integral(session.ts(samples, channel), session.vs(samples, channel));
            totals[session.samples[channel].clone()].copy_from_slice(&own);
        }
        Ok(columns::floats_nan_null("integral", alignment.align(channel, &totals, true)))
    };
    Kernel::new("integral of a channel", &versions, run)
        .params(ALIGNING)
        .reads(samples_of(&around.clean, &CHANNELS[channel]))
        .aligned_by(bounds)
        .along(["time"])
}

/// A kernel over the rows of each session: `what` names it with its constants.
fn windowed(
    what: &str,
    column: &str,
    sessions: &AssetName,
    over: impl Fn(&[i64], &[f64]) -> Vec<f64> + Send + Sync + 'static,
) -> Kernel {
    let over = Arc::new(over);
    let versions = format!("{} {}", versions::own("functions"), versions::all(&["windows"]));
    let name = column.to_owned();
    let run = move |row: &Row<'_>| session_by_session(row, &name, over.as_ref());
    Kernel::new(what, &versions, run)
        .aligned_by([PartRead::column(sessions, "stop_time")])
        .uses([column])
        .along(["time"])
}

fn session_by_session(
    row: &Row<'_>,
    name: &str,
    over: &(impl Fn(&[i64], &[f64]) -> Vec<f64> + ?Sized),
) -> Result<Column, Reason> {
    let frame = columns::frame(vec![row.column("time")?, row.column(name)?.with_name("value".into())])?;
    let times: Vec<i64> = columns::to_times(&frame, "time")?.into_iter().map(|time| time.unwrap_or(i64::MIN)).collect();
    let values = columns::to_floats(&frame, "value")?;
    let stops = columns::to_times(&row.inputs.read("sessions", &["stop_time"])?, "stop_time")?;
    let mut out = Vec::with_capacity(times.len());
    for stop in stops.into_iter().flatten() {
        // A row of a session is not later than its last sample; those of the next session are.
        let rows = out.len()..times.partition_point(|time| *time <= stop);
        out.extend(over(&times[rows.clone()], &values[rows]));
    }
    out.resize(times.len(), f64::NAN);
    Ok(columns::floats_nan_null("value", out))
}
