//! Who measures what: two robots, each with an encoder (position, mm) and a load cell (force, N), three fields each.
//! And the samples of a run, channel by channel, as every later step reads them from `clean`.

use crate::kernels::interpolate;
use assets_core::Reason;
use assets_frames::{Inputs, columns};

/// Raised whenever what this file reads of a run can differ.
pub const VERSION: u32 = 1;

/// A channel: one field of one sensor of one robot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channel {
    /// 1 or 2.
    pub robot: i64,
    /// `encoder` or `load_cell`.
    pub sensor: &'static str,
    /// `x`, `y`, `z` or `fx`, `fy`, `fz`.
    pub field: &'static str,
}

const fn channel(robot: i64, sensor: &'static str, field: &'static str) -> Channel {
    Channel { robot, sensor, field }
}

/// Number of channels.
pub const COUNT: usize = 12;

/// All channels, in the order of `clean`: by robot, sensor, field. Three in a row make a sensor, so that channel `c`
/// belongs to sensor `c / 3`; six make a robot.
pub const CHANNELS: [Channel; COUNT] = [
    channel(1, "encoder", "x"),
    channel(1, "encoder", "y"),
    channel(1, "encoder", "z"),
    channel(1, "load_cell", "fx"),
    channel(1, "load_cell", "fy"),
    channel(1, "load_cell", "fz"),
    channel(2, "encoder", "x"),
    channel(2, "encoder", "y"),
    channel(2, "encoder", "z"),
    channel(2, "load_cell", "fx"),
    channel(2, "load_cell", "fy"),
    channel(2, "load_cell", "fz"),
];

impl Channel {
    /// Its column in `wide`, such as `fx_1`.
    pub fn column(&self) -> String {
        format!("{}_{}", self.field, self.robot)
    }

    /// Its slice in `clean`, such as `1/load_cell/fx`.
    pub fn slice(&self) -> String {
        format!("{}/{}/{}", self.robot, self.sensor, self.field)
    }

    /// What people call its sensor.
    pub fn sensor_name(&self) -> String {
        format!("{} {}", self.sensor.replace('_', " "), self.robot)
    }
}

/// The channels of a robot's encoder (x, y, z), as indices.
pub fn encoder(robot: usize) -> [usize; 3] {
    let first = (robot - 1) * 6;
    [first, first + 1, first + 2]
}

/// The channels of a robot's load cell (fx, fy, fz), as indices.
pub fn load_cell(robot: usize) -> [usize; 3] {
    encoder(robot).map(|channel| channel + 3)
}

/// The index of a channel, if robot, sensor and field name one.
pub fn index(robot: i64, sensor: &str, field: &str) -> Option<usize> {
    CHANNELS.iter().position(|c| c.robot == robot && c.sensor == sensor && c.field == field)
}

/// The sensor that a field belongs to.
pub fn sensor_of(field: &str) -> Option<&'static str> {
    CHANNELS.iter().find(|c| c.field == field).map(|c| c.sensor)
}

/// Samples of one channel: times in µs, strictly increasing, and their values.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Samples {
    /// Times, µs.
    pub ts: Vec<i64>,
    /// Values, mm or N.
    pub vs: Vec<f64>,
}

/// The columns of `clean` that make samples.
pub const SAMPLE_COLUMNS: [&str; 5] = ["time", "robot_id", "sensor_type", "field", "value"];

/// Reads a run's samples from `clean`.
pub fn read(inputs: &Inputs<'_>) -> Result<Vec<Samples>, Reason> {
    let frame = inputs.read("clean", &SAMPLE_COLUMNS)?;
    let times = columns::to_times(&frame, "time")?;
    let robots = columns::to_ints(&frame, "robot_id")?;
    let sensors = columns::to_texts(&frame, "sensor_type")?;
    let fields = columns::to_texts(&frame, "field")?;
    let values = columns::to_floats(&frame, "value")?;
    let mut samples = vec![Samples::default(); COUNT];
    for row in 0..frame.height() {
        let (Some(time), Some(robot)) = (times[row], robots[row]) else { continue };
        let (sensor, field) = (sensors[row].unwrap_or_default(), fields[row].unwrap_or_default());
        if let Some(channel) = index(robot, sensor, field) {
            samples[channel].ts.push(time);
            samples[channel].vs.push(values[row]);
        }
    }
    Ok(samples)
}

/// The median period of each channel, µs.
pub fn periods(samples: &[Samples]) -> Vec<Option<i64>> {
    samples.iter().map(|samples| interpolate::median_period(&samples.ts)).collect()
}
