//! `wide`: one row per timestamp of any sensor, one column per channel; `gaps`: where it is not carried by nearby
//! samples.

use crate::align::Alignment;
use crate::channels::{self, CHANNELS, COUNT, Samples};
use crate::columns::{self as names, RUN};
use crate::kernels::interpolate;
use crate::sessions::{self, Session};
use crate::settings::{OnGap, Sessions, Wide as Settings};
use assets_core::Reason;
use assets_frames::{DataFrame, FrameAsset, Inputs, Outputs, columns};

/// Version of what follows; part of the fingerprint, with those of the kernels it uses.
pub const VERSION: &str = "wide-1";

/// Aligns the channels of a run.
pub struct Wide {
    /// What splits a run.
    pub sessions: Sessions,
    /// How channels share a time axis.
    pub settings: Settings,
}

/// The channel behind a column of `wide`.
pub fn channel_of(column: &str) -> Option<usize> {
    CHANNELS.iter().position(|channel| channel.column() == column)
}

impl FrameAsset for Wide {
    fn make(&self, inputs: &Inputs<'_>, outputs: &mut Outputs<'_>) -> Result<(), Reason> {
        let samples = channels::read(inputs)?;
        let sessions = sessions::split(&samples, &self.sessions);
        let alignment = Alignment::new(&samples, &sessions, &self.settings)?;
        let times = alignment.times();
        let rows = alignment.session_rows();
        check_times(&times, outputs)?;
        let mut all = vec![columns::constant_text(RUN, inputs.key(RUN), times.len()), columns::times("time", times)];
        let mut holes = None;
        for name in names::wide_fields() {
            let Some(channel) = channel_of(&name) else { continue };
            let values = alignment.align(channel, &samples[channel].vs, false);
            let available = sessions.iter().zip(&rows).filter(|(session, _)| !session.samples[channel].is_empty());
            if available.into_iter().any(|(_, rows)| values[rows.clone()].iter().any(|v| v.is_nan())) {
                holes.get_or_insert_with(|| name.clone());
            }
            all.push(columns::floats_nan_null(&name, values));
        }
        let holes = holes.filter(|_| self.settings.on_gap == OnGap::Fill).map(|name| {
            let message = format!("{name} has nulls in a session in which it was measured");
            Reason::new("null_in_wide", message).with("column", name)
        });
        outputs.check("wide", "no_null_where_measured", holes)?;
        outputs.write("wide", columns::frame(all)?)?;
        outputs.write("gaps", gaps(inputs.key(RUN), &samples, &sessions, &alignment)?)?;
        pass_on(inputs, outputs)
    }
}

/// Columns that are null throughout carry the reason of their channel.
fn pass_on(inputs: &Inputs<'_>, outputs: &mut Outputs<'_>) -> Result<(), Reason> {
    for unavailable in inputs.unavailable("clean")? {
        if let Some(channel) = CHANNELS.iter().find(|channel| channel.slice() == unavailable.column) {
            outputs.unavailable("wide", &channel.column(), unavailable.reason.clone())?;
        }
    }
    Ok(())
}

fn check_times(times: &[i64], outputs: &mut Outputs<'_>) -> Result<(), Reason> {
    let at = times.windows(2).position(|pair| pair[0] >= pair[1]);
    let wrong = at.map(|at| {
        Reason::new("time_not_increasing", format!("the time of row {} is not later than the one before", at + 1))
            .with("row", at + 1)
    });
    outputs.check("wide", "time_strictly_increasing", wrong)
}

/// One interval.
struct Gap {
    channel: Option<usize>,
    kind: &'static str,
    start: i64,
    stop: i64,
}

fn gaps(run: &str, samples: &[Samples], sessions: &[Session], alignment: &Alignment<'_>) -> Result<DataFrame, Reason> {
    let mut found = Vec::new();
    for pair in sessions.windows(2) {
        found.push(Gap { channel: None, kind: "pause", start: pair[0].stop, stop: pair[1].start });
    }
    for (session, channel) in sessions.iter().flat_map(|s| (0..COUNT).map(move |c| (s, c))) {
        let gap = |kind, start, stop| Gap { channel: Some(channel), kind, start, stop };
        let ts = session.ts(samples, channel);
        let (Some(first), Some(last)) = (ts.first(), ts.last()) else {
            found.push(gap("absent", session.start, session.stop));
            continue;
        };
        if *first > session.start {
            found.push(gap("held", session.start, *first));
        }
        let bridged = interpolate::long_gaps(ts, alignment.max_gap_us(channel));
        found.extend(bridged.into_iter().map(|(start, stop)| gap("bridged", start, stop)));
        if *last < session.stop {
            found.push(gap("held", *last, session.stop));
        }
    }
    found.sort_by_key(|gap| (gap.start, gap.channel, gap.stop));
    let about = |gap: &Gap| gap.channel.map(|channel| CHANNELS[channel]);
    columns::frame(vec![
        columns::constant_text(RUN, run, found.len()),
        columns::ints("robot_id", found.iter().map(|gap| about(gap).map(|c| c.robot))),
        columns::texts("sensor_type", found.iter().map(|gap| about(gap).map(|c| c.sensor))),
        columns::texts("field", found.iter().map(|gap| about(gap).map(|c| c.field))),
        columns::texts("kind", found.iter().map(|gap| Some(gap.kind))),
        columns::times("start_time", found.iter().map(|gap| gap.start).collect()),
        columns::times("stop_time", found.iter().map(|gap| gap.stop).collect()),
        columns::floats("duration_s", found.iter().map(|gap| (gap.stop - gap.start) as f64 / 1e6).collect()),
    ])
}
