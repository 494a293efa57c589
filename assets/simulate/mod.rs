//! Realistic long-format telemetry of a two-robot forming cell whose truth is known analytically: what demos, tests
//! and benchmarks run on instead of a real recording.
//!
//! A run is planned ([`plan`](plan())), then sampled ([`generate`]): the path of each tool is a sum of sinusoids
//! ([`Trajectory`]), each sensor reads it on a clock of its own, with noise and quantization. [`defects`](defects()) adds the
//! rows that a pipeline must refuse.
//!
//! Not here: files, tables and formats. Everything is computed in memory and depends on nothing but its arguments; no clock,
//! no thread and no order of calls changes a value.

mod clock;
mod defects;
mod plan;
mod samples;
mod trajectory;

pub use crate::channels::{CHANNELS, Channel};
pub use assets_frames::intake::iso::{time_text, write_time};
pub use clock::{ENCODER_PERIOD_US, LOAD_CELL_PERIOD_US};
pub use defects::{TextRow, defects, text_row};
pub use plan::{DEMO_START_US, RunPlan, Shape, plan};
pub use samples::{Rows, RunData, RunTruth, generate, run_truth};
pub use trajectory::{PAUSE_OFFSET_MM, Trajectory, Truth, true_path_length, truth};

/// What to simulate.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// How many runs; a demo always has its four.
    pub runs: usize,
    /// Length of a run in seconds, kept to the millisecond.
    pub seconds: f64,
    /// The same seed gives the same rows.
    pub seed: u64,
    /// Standard deviation of the noise of positions in mm.
    pub noise_mm: f64,
    /// Standard deviation of the noise of forces in N.
    pub noise_n: f64,
    /// Resolution of the encoders in mm; 0 leaves positions unrounded, finer than 1e-6 counts as 1e-6.
    pub quantum_mm: f64,
    /// Whether [`defects`](defects()) gives any rows.
    pub defects: bool,
    /// Four runs of the shape of a real recording (incomplete, resting and short ones) instead of `runs` complete ones.
    pub demo: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            runs: 4,
            seconds: 600.0,
            seed: 1,
            noise_mm: 0.002,
            noise_n: 0.05,
            quantum_mm: 0.001,
            defects: false,
            demo: false,
        }
    }
}

/// How many sensors [`CHANNELS`] make: three channels in a row are one.
const SENSORS: usize = CHANNELS.len() / 3;

/// SplitMix64's finalizer, a bijection: turns neighbouring numbers into unrelated ones, so that seeds 1 and 2 have
/// nothing in common.
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
