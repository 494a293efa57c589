//! When each sensor of a run ticks. What it reads then is in `samples`.

use super::plan::RunPlan;

/// Time between two samples of an encoder in µs.
pub const ENCODER_PERIOD_US: i64 = 12_000;

/// Time between two samples of a load cell in µs.
pub const LOAD_CELL_PERIOD_US: i64 = 10_000;

/// Sensors 0 and 2 of a run are encoders, 1 and 3 load cells (the order of `CHANNELS`).
pub(super) fn is_encoder(sensor: usize) -> bool {
    sensor.is_multiple_of(2)
}

/// The period of a sensor in µs.
pub(super) fn period_us(sensor: usize) -> i64 {
    if is_encoder(sensor) { ENCODER_PERIOD_US } else { LOAD_CELL_PERIOD_US }
}

/// The ticks of a sensor in µs since the run's start, ascending, without those in a pause.
pub(super) fn ticks(plan: &RunPlan, sensor: usize) -> impl Iterator<Item = i64> {
    let period = period_us(sensor);
    let phase = plan.phases_ms[sensor] * 1_000;
    let pause = pause_us(plan);
    (phase..plan.span_us)
        .step_by(period as usize)
        .filter(move |tick| !pause.is_some_and(|(from, to)| (from..to).contains(tick)))
}

/// The pause as the half-open interval of µs since the run's start.
pub(super) fn pause_us(plan: &RunPlan) -> Option<(i64, i64)> {
    let (start_s, length_s) = plan.shape.pause?;
    let from = (start_s * 1e6).round() as i64;
    Some((from, from + (length_s * 1e6).round() as i64))
}

/// First and last tick (µs since the run's start) of each uninterrupted stretch of a sensor.
pub(super) fn stretches(plan: &RunPlan, sensor: usize) -> Vec<(i64, i64)> {
    let resumed = pause_us(plan).map_or(i64::MAX, |(_, to)| to);
    let mut found: Vec<(i64, i64)> = Vec::new();
    for tick in ticks(plan, sensor) {
        match found.last_mut() {
            // A stretch goes on unless the pause ended between its last tick and this one.
            Some((_, last)) if *last >= resumed || tick < resumed => *last = tick,
            _ => found.push((tick, tick)),
        }
    }
    found
}
