//! What the sensors of a planned run deliver: the truth at their ticks, with noise and rounding, in the order of time. Rows that
//! are wrong on purpose are in `defects`.

use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64Mcg;
use serde::Serialize;

use super::plan::RunPlan;
use super::trajectory::{Trajectory, true_path_length};
use super::{CHANNELS, Options, SENSORS, clock, mix};

/// A run and its samples.
#[derive(Debug, Clone, PartialEq)]
pub struct RunData {
    /// What was sampled.
    pub plan: RunPlan,
    /// The samples.
    pub rows: Rows,
}

/// Samples in the order of delivery: by time, then by channel. The columns have the same length.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    /// In µs since 1970.
    pub time_us: Vec<i64>,
    /// In mm or N.
    pub value: Vec<f64>,
    /// Index into `CHANNELS`.
    pub channel: Vec<u8>,
}

/// What a run's statistics should come to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunTruth {
    /// The run.
    pub run_uuid: String,
    /// The cell it ran on.
    pub cell_id: i64,
    /// First sample in µs since 1970; the planned start when there is none.
    pub start_time_us: i64,
    /// Last sample in µs since 1970; the planned start when there is none.
    pub stop_time_us: i64,
    /// Length in mm of the true path of robots 1 and 2, also where their positions are not delivered.
    pub path_length_mm: [f64; 2],
    /// How many channels are delivered.
    pub channels: usize,
    /// How many samples, defects not counted.
    pub rows: usize,
}

/// The samples of a run. They depend on the seed, the noise and the plan alone: not on other runs, and a channel's not on which
/// others are delivered.
pub fn generate(options: &Options, plan: &RunPlan) -> RunData {
    let mut sensors: Vec<Sensor> = (0..SENSORS)
        .filter(|sensor| (0..3).any(|axis| plan.channels[sensor * 3 + axis]))
        .map(|sensor| Sensor::new(options, plan, sensor))
        .collect();
    let mut ticks: Vec<_> = sensors.iter().map(|sensor| clock::ticks(plan, sensor.index)).collect();
    let mut next: Vec<Option<i64>> = ticks.iter_mut().map(Iterator::next).collect();
    let mut rows = Rows::with_capacity(expected_rows(plan));
    // Four streams in order: the earliest tick first, the lower sensor (hence channel) first of equal ones.
    while let Some((tick, which)) = next.iter().enumerate().filter_map(|(i, t)| t.map(|t| (t, i))).min() {
        sensors[which].read(plan.start_us + tick, &mut rows);
        next[which] = ticks[which].next();
    }
    RunData { plan: plan.clone(), rows }
}

/// What is true of a run that was generated.
pub fn run_truth(data: &RunData) -> RunTruth {
    let plan = &data.plan;
    let times = &data.rows.time_us;
    RunTruth {
        run_uuid: plan.run_uuid.clone(),
        cell_id: plan.cell_id,
        start_time_us: times.first().copied().unwrap_or(plan.start_us),
        stop_time_us: times.last().copied().unwrap_or(plan.start_us),
        path_length_mm: [true_path_length(plan, 1), true_path_length(plan, 2)],
        channels: plan.channels.iter().filter(|present| **present).count(),
        rows: times.len(),
    }
}

impl Rows {
    fn with_capacity(rows: usize) -> Self {
        Self { time_us: Vec::with_capacity(rows), value: Vec::with_capacity(rows), channel: Vec::with_capacity(rows) }
    }

    /// How many samples.
    pub fn len(&self) -> usize {
        self.time_us.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.time_us.is_empty()
    }
}

/// At most one row per channel and period; a pause leaves some of it unused.
fn expected_rows(plan: &RunPlan) -> usize {
    (0..CHANNELS.len())
        .filter(|channel| plan.channels[*channel])
        .map(|channel| (plan.span_us / clock::period_us(channel / 3)) as usize + 1)
        .sum()
}

/// A sensor at work: three channels that tick together.
struct Sensor {
    index: usize,
    trajectory: Trajectory,
    present: [bool; 3],
    /// One stream of noise per channel, so that leaving one out changes no other.
    noise: [Pcg64Mcg; 3],
    sigma: f64,
    quantum_mm: f64,
}

impl Sensor {
    fn new(options: &Options, plan: &RunPlan, index: usize) -> Self {
        let sigma = if clock::is_encoder(index) { options.noise_mm * plan.shape.noise } else { options.noise_n };
        Self {
            index,
            trajectory: Trajectory::new(plan, CHANNELS[index * 3].robot),
            present: std::array::from_fn(|axis| plan.channels[index * 3 + axis]),
            noise: std::array::from_fn(|axis| generator(options.seed, &plan.run_uuid, index * 3 + axis)),
            sigma,
            quantum_mm: options.quantum_mm,
        }
    }

    fn read(&mut self, time_us: i64, rows: &mut Rows) {
        let encoder = clock::is_encoder(self.index);
        let exact = if encoder { self.trajectory.position(time_us) } else { self.trajectory.force(time_us) };
        for (axis, value) in exact.into_iter().enumerate() {
            if !self.present[axis] {
                continue;
            }
            let draw: f64 = StandardNormal.sample(&mut self.noise[axis]);
            let noisy = value + self.sigma * draw;
            rows.time_us.push(time_us);
            rows.value.push(if encoder { quantized(noisy, self.quantum_mm) } else { decimals(noisy, 1e7) });
            rows.channel.push((self.index * 3 + axis) as u8);
        }
    }
}

/// To a multiple of the quantum, as the double nearest to a short decimal, so that it prints as one.
fn quantized(value: f64, quantum: f64) -> f64 {
    if quantum > 0.0 { decimals((value / quantum).round() * quantum, 1e6) } else { value }
}

/// Rounded to as many decimals as the power of ten has zeros; never -0.
fn decimals(value: f64, power: f64) -> f64 {
    (value * power).round() / power + 0.0
}

/// The noise of one channel of one run.
fn generator(seed: u64, run_uuid: &str, channel: usize) -> Pcg64Mcg {
    let run = run_uuid.bytes().fold(mix(seed), |state, byte| mix(state ^ u64::from(byte)));
    let high = mix(run ^ channel as u64);
    Pcg64Mcg::new(u128::from(high) << 64 | u128::from(mix(high)))
}
