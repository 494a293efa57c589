//! What each run is: its id, when it starts, which channels it has and the shape of its motion. No sample is made here.

use std::collections::BTreeSet;
use std::f64::consts::TAU;

use super::{CHANNELS, Options, SENSORS, mix};

/// Start of the first run: 2022-11-23T20:40:00Z, in µs since 1970.
pub const DEMO_START_US: i64 = 1_669_236_000_000_000;

/// Silence between the planned spans of two generated runs, in µs.
const BETWEEN_RUNS_US: i64 = 30_000_000;

/// How a run's tools move. Robot 1 forms; robot 2 supports it from the other side of the sheet.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// Middle of robot 1's path in mm.
    pub centre_mm: [f64; 3],
    /// Mean radius of the spiral in mm.
    pub radius_mm: f64,
    /// Mean speed along the path in mm/s.
    pub speed_mm_s: f64,
    /// Where on the circle the path begins, in radians.
    pub start_rad: f64,
    /// How fast the tool goes deeper, in mm/s.
    pub depth_mm_s: f64,
    /// Factor on all motion: 1 forms, 1e-5 is a tool at rest that only drifts by micrometres.
    pub motion: f64,
    /// Factor on the noise of positions: a tool at rest does not shake.
    pub noise: f64,
    /// Start and length, in seconds since the run's start, of a silence of all channels. The tool is moved meanwhile: from the
    /// end of the pause on, the path is offset by `PAUSE_OFFSET_MM`.
    pub pause: Option<(f64, f64)>,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            centre_mm: [1440.79, 936.925, -222.29],
            radius_mm: 198.6,
            speed_mm_s: 88.0,
            start_rad: 0.0,
            depth_mm_s: 0.06,
            motion: 1.0,
            noise: 1.0,
            pause: None,
        }
    }
}

/// One run before it is sampled.
#[derive(Debug, Clone, PartialEq)]
pub struct RunPlan {
    /// A u64 in decimal text; some exceed i64.
    pub run_uuid: String,
    /// The cell it ran on.
    pub cell_id: i64,
    /// Beginning of the run in µs since 1970; each sensor's first sample is its phase later.
    pub start_us: i64,
    /// Length of the run in µs; samples lie before its end.
    pub span_us: i64,
    /// Phase of each sensor in ms after the start: encoder and load cell of robot 1, then of robot 2.
    pub phases_ms: [i64; SENSORS],
    /// Which of `CHANNELS` are delivered.
    pub channels: [bool; CHANNELS.len()],
    /// How the tools move.
    pub shape: Shape,
}

/// The runs that the options ask for: the demo's four, or `runs` complete ones with ids, phases and shapes drawn from the seed,
/// one after the other.
pub fn plan(options: &Options) -> Vec<RunPlan> {
    let span_us = whole_ms(options.seconds);
    if options.demo { demo(span_us) } else { generated(options, span_us) }
}

/// Seconds as µs, to the millisecond, because real clocks tick in whole ones. Negative or NaN is an empty run; more than a
/// year is a year, so that times never overflow.
fn whole_ms(seconds: f64) -> i64 {
    (seconds.clamp(0.0, 366.0 * 86_400.0) * 1e3).round() as i64 * 1_000
}

/// Four runs with the ids, cells, channels and phases of a real recording.
fn demo(span_us: i64) -> Vec<RunPlan> {
    let run = |run_uuid: &str, cell_id, phases_ms, present: fn(usize) -> bool, shape| RunPlan {
        run_uuid: run_uuid.to_owned(),
        cell_id,
        start_us: DEMO_START_US,
        span_us,
        phases_ms,
        channels: std::array::from_fn(present),
        shape,
    };
    let is = |index: usize, robot_id, field| CHANNELS[index].robot == robot_id && CHANNELS[index].field == field;
    let resting = Shape { motion: 1e-5, noise: 0.1, start_rad: 2.0, ..Shape::default() };
    let elsewhere = Shape { centre_mm: [1012.4, 871.3, -198.6], start_rad: 4.0, radius_mm: 190.0, ..Shape::default() };
    let mut runs = vec![
        run("7582293080991470061", 10, [10, 1, 5, 4], |_| true, Shape::default()),
        run("6176976534744076781", 11, [11, 7, 8, 10], |_| true, resting),
        run("8910095844186657261", 1, [2, 6, 11, 3], |index| CHANNELS[index].sensor == "encoder", elsewhere),
        run("12405186538561671661", 2, [4, 3, 9, 8], |_| false, Shape::default()),
    ];
    for (index, present) in runs[1].channels.iter_mut().enumerate() {
        *present = !is(index, 2, "z");
    }
    for (index, present) in runs[3].channels.iter_mut().enumerate() {
        *present = is(index, 1, "fx");
    }
    // The last one broke off: 77.627 s of 600, and as much of less.
    runs[3].span_us = whole_ms(span_us as f64 / 1e6 * 77.627 / 600.0) + 3_000;
    runs
}

/// Complete runs with small variations of the path.
fn generated(options: &Options, span_us: i64) -> Vec<RunPlan> {
    let mut taken = BTreeSet::new();
    (0..options.runs)
        .map(|index| {
            let mut draws = Draws(mix(options.seed ^ mix(index as u64)));
            let shape = Shape {
                centre_mm: [
                    1440.79 + draws.between(-5.0, 5.0),
                    936.925 + draws.between(-5.0, 5.0),
                    -222.29 + draws.between(-2.0, 2.0),
                ],
                radius_mm: draws.between(190.0, 207.0),
                speed_mm_s: draws.between(86.0, 90.0),
                start_rad: draws.between(0.0, TAU),
                depth_mm_s: draws.between(0.05, 0.07),
                ..Shape::default()
            };
            RunPlan {
                run_uuid: draws.id(index, &mut taken),
                cell_id: index as i64 % 4 + 1,
                start_us: DEMO_START_US + index as i64 * (span_us + BETWEEN_RUNS_US),
                span_us,
                phases_ms: draws.phases(),
                channels: [true; CHANNELS.len()],
                shape,
            }
        })
        .collect()
}

/// A short stream of numbers for the plan of one run.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = mix(self.0);
        self.0
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        // The upper 53 bits: as many as an f64 holds exactly.
        low + (high - low) * ((self.next() >> 11) as f64 / (1_u64 << 53) as f64)
    }

    /// An id not yet taken. Every second run's exceeds i64, so that even two runs show that trap.
    fn id(&mut self, index: usize, taken: &mut BTreeSet<u64>) -> String {
        loop {
            let low = self.next() >> 1;
            let id = if index.is_multiple_of(2) { low } else { low | 1 << 63 };
            if taken.insert(id) {
                return id.to_string();
            }
        }
    }

    /// Phases of 1 to 10 ms. Sensors of one kind never share one: their times would always coincide.
    fn phases(&mut self) -> [i64; SENSORS] {
        let mut pair = || {
            let first = self.next() % 10;
            let second = (first + 1 + self.next() % 9) % 10;
            (first as i64 + 1, second as i64 + 1)
        };
        let (encoders, load_cells) = (pair(), pair());
        [encoders.0, load_cells.0, encoders.1, load_cells.1]
    }
}
