//! Who measures what: two robots, each with an encoder (position, mm) and a load cell (force, N), three fields each.
//! And the samples of a run, channel by channel, as every later step reads them from `clean`.

use crate::kernels::interpolate;
use assets_core::Reason;
use assets_frames::codes::OwnedCodes;
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

/// Which channel each row of a table belongs to: its texts are looked at once each, and not in every row.
pub struct Places {
    sensors: OwnedCodes,
    fields: OwnedCodes,
    /// By code: the sensor among a robot's two.
    sensor: Vec<Option<usize>>,
    /// By code: the field among a robot's six.
    field: Vec<Option<usize>>,
}

impl Places {
    /// The columns that they go by.
    pub const COLUMNS: [&'static str; 2] = ["sensor_type", "field"];

    /// Of the codes of those columns.
    pub fn new(codes: Vec<OwnedCodes>) -> Self {
        let mut codes = codes.into_iter();
        let (sensors, fields) = (codes.next().unwrap_or_default(), codes.next().unwrap_or_default());
        let of_robot = &CHANNELS[..COUNT / 2];
        let place = |text: &Option<String>, get: fn(&Channel) -> &'static str| {
            of_robot.iter().position(|channel| Some(get(channel)) == text.as_deref())
        };
        let sensor = sensors.texts.iter().map(|text| place(text, |c| c.sensor).map(|first| first / 3)).collect();
        let field = fields.texts.iter().map(|text| place(text, |c| c.field)).collect();
        Self { sensors, fields, sensor, field }
    }

    /// The sensor of a row as it was delivered.
    pub fn sensor_text(&self, row: usize) -> Option<&str> {
        self.sensors.get(row)
    }

    /// The field of a row as it was delivered.
    pub fn field_text(&self, row: usize) -> Option<&str> {
        self.fields.get(row)
    }

    /// Whether a row's field is one of a sensor.
    pub fn is_field(&self, row: usize) -> bool {
        self.field[self.fields.codes[row] as usize].is_some()
    }

    /// The channel of a row, if robot, sensor and field name one.
    pub fn channel(&self, robot: i64, row: usize) -> Option<usize> {
        let field = self.field[self.fields.codes[row] as usize]?;
        let sensor = self.sensor[self.sensors.codes[row] as usize]?;
        let first = match robot {
            1 => 0,
            2 => COUNT / 2,
            _ => return None,
        };
        (field / 3 == sensor).then_some(first + field)
    }
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
    let mut samples = vec![Samples::default(); COUNT];
    inputs.batches("clean", &["time", "robot_id", "value"], &Places::COLUMNS, &mut |frame, codes| {
        let places = Places::new(codes);
        let times = columns::iter_times(&frame, "time")?;
        let robots = columns::iter_ints(&frame, "robot_id")?;
        let values = columns::iter_floats(&frame, "value")?;
        for (row, ((time, robot), value)) in times.zip(robots).zip(values).enumerate() {
            let (Some(time), Some(robot)) = (time, robot) else { continue };
            if let Some(channel) = places.channel(robot, row) {
                samples[channel].ts.push(time);
                samples[channel].vs.push(value.unwrap_or(f64::NAN));
            }
        }
        Ok(())
    })?;
    Ok(samples)
}

/// The median period of each channel, µs.
pub fn periods(samples: &[Samples]) -> Vec<Option<i64>> {
    samples.iter().map(|samples| interpolate::median_period(&samples.ts)).collect()
}
