//! The simulator: reproducible, of the shape of the real recording, and true to its own formulas.

use std::collections::{BTreeMap, BTreeSet};

use assets::simulate::{
    CHANNELS, DEMO_START_US, ENCODER_PERIOD_US, LOAD_CELL_PERIOD_US, Options, PAUSE_OFFSET_MM, RunData, TextRow,
    Trajectory, defects, generate, plan, run_truth, text_row, time_text, true_path_length, truth,
};

fn short() -> Options {
    Options { seconds: 2.0, ..Options::default() }
}

fn demo(seconds: f64) -> Options {
    Options { demo: true, seconds, ..Options::default() }
}

/// The times of one channel, in order.
fn times(data: &RunData, channel: usize) -> Vec<i64> {
    let rows = &data.rows;
    let of_channel = rows.channel.iter().zip(&rows.time_us).filter(|(c, _)| usize::from(**c) == channel);
    of_channel.map(|(_, time)| *time).collect()
}

fn norm(vector: [f64; 3]) -> f64 {
    vector.iter().map(|v| v * v).sum::<f64>().sqrt()
}

#[test]
fn same_seed_same_rows_in_any_order_of_calls() {
    let options = short();
    let plans = plan(&options);
    assert_eq!(plans, plan(&options));
    let forward: Vec<_> = plans.iter().map(|p| generate(&options, p)).collect();
    let mut backward: Vec<_> = plans.iter().rev().map(|p| generate(&options, p)).collect();
    backward.reverse();
    assert_eq!(forward, backward);
    assert_ne!(plans, plan(&Options { seed: 2, ..options.clone() }));
    let other = generate(&Options { seed: 2, ..options.clone() }, &plans[0]);
    assert_ne!(forward[0].rows.value, other.rows.value);
    assert_eq!(forward[0].rows.time_us, other.rows.time_us);
}

#[test]
fn an_absent_channel_or_a_shorter_run_changes_no_other_sample() {
    let options = short();
    let mut part = plan(&options).remove(0);
    let whole = generate(&options, &part);
    part.channels[1] = false;
    part.span_us /= 2;
    let end = part.start_us + part.span_us;
    let less = generate(&options, &part);
    let kept = |data: &RunData| -> Vec<TextRow> {
        (0..data.rows.len())
            .filter(|i| data.rows.channel[*i] != 1 && data.rows.time_us[*i] < end)
            .map(|i| text_row(data, i))
            .collect()
    };
    assert_eq!(kept(&whole), kept(&less));
    assert_eq!(less.rows.len(), kept(&less).len());
}

#[test]
fn demo_has_the_shape_of_the_real_recording() {
    let options = demo(600.0);
    let plans = plan(&options);
    let truths: Vec<_> = plans.iter().map(|p| run_truth(&generate(&options, p))).collect();
    let ids: Vec<_> = truths.iter().map(|t| (t.run_uuid.as_str(), t.cell_id, t.channels, t.rows)).collect();
    assert_eq!(
        ids,
        [
            ("7582293080991470061", 10, 12, 660_000),
            ("6176976534744076781", 11, 11, 609_997),
            ("8910095844186657261", 1, 6, 300_000),
            ("12405186538561671661", 2, 1, 7_763),
        ]
    );
    let total: usize = truths.iter().map(|t| t.rows).sum();
    assert!((1_550_000..1_600_000).contains(&total), "{total}");
    assert_eq!(time_text(truths[0].start_time_us), "2022-11-23T20:40:00.001Z");
    assert_eq!(truths[0].stop_time_us - truths[0].start_time_us, 599_997_000);
    assert_eq!(time_text(truths[1].stop_time_us), "2022-11-23T20:49:59.999Z");
    assert_eq!(CHANNELS.iter().position(|c| c.robot == 2 && c.field == "z"), Some(8));
    assert!(!plans[1].channels[8]);
    assert!(plans[3].channels[3]);
    assert!((truths[0].path_length_mm[0] - 88.0 * 600.0).abs() < 1_000.0, "{truths:?}");
    assert!(truths[1].path_length_mm[0] < 1.0, "at rest");
}

#[test]
fn a_resting_tool_moves_by_micrometres() {
    let options = demo(30.0);
    let data = generate(&options, &plan(&options)[1]);
    for channel in [0, 1, 2, 6, 7] {
        let of = |i: &usize| usize::from(data.rows.channel[*i]) == channel;
        let values: Vec<f64> = (0..data.rows.len()).filter(of).map(|i| data.rows.value[i]).collect();
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        assert!(high - low < 0.01, "{channel}: {low} to {high}");
    }
}

#[test]
fn a_shorter_demo_scales_its_broken_run() {
    let plans = plan(&demo(60.0));
    assert_eq!(plans[0].span_us, 60_000_000);
    assert_eq!(plans[3].span_us, 7_766_000);
}

#[test]
fn sensors_tick_on_their_own_clocks() {
    let options = short();
    for run in plan(&options) {
        let data = generate(&options, &run);
        let rows = &data.rows;
        let keys: Vec<_> = rows.time_us.iter().zip(&rows.channel).collect();
        assert!(keys.is_sorted_by(|a, b| a < b), "by time, then channel, each once");
        for sensor in 0..4 {
            let ticks = times(&data, sensor * 3);
            let period = if sensor % 2 == 0 { ENCODER_PERIOD_US } else { LOAD_CELL_PERIOD_US };
            assert!(ticks.windows(2).all(|pair| pair[1] - pair[0] == period));
            assert_eq!(ticks[0], run.start_us + run.phases_ms[sensor] * 1_000);
            assert!(run.start_us + run.span_us - ticks[ticks.len() - 1] <= period);
            assert_eq!(ticks, times(&data, sensor * 3 + 1));
            assert_eq!(ticks, times(&data, sensor * 3 + 2));
        }
        let distinct: BTreeSet<_> = rows.time_us.iter().collect();
        assert!(distinct.len() * 3 > rows.len() * 3 / 4, "sensors rarely tick together");
    }
}

#[test]
fn velocity_and_acceleration_are_the_slopes_of_position_and_velocity() {
    let mut run = plan(&demo(600.0)).remove(0);
    run.shape.pause = Some((20.0, 5.0));
    for robot in [1, 2] {
        let path = Trajectory::new(&run, robot);
        for step in 0..500 {
            let (at, h) = (run.start_us + 1_000_000 + step * 1_190_011, 1_000);
            let (before, here, after) = (path.at(at - h), path.at(at), path.at(at + h));
            let seconds = 2.0 * h as f64 / 1e6;
            for axis in 0..3 {
                let slope = (after.position[axis] - before.position[axis]) / seconds;
                let bend = (after.velocity[axis] - before.velocity[axis]) / seconds;
                assert!((slope - here.velocity[axis]).abs() < 1e-4, "{slope} {here:?}");
                assert!((bend - here.acceleration[axis]).abs() < 1e-4, "{bend} {here:?}");
            }
            assert!((75.0..100.0).contains(&norm(here.velocity)), "{here:?}");
            assert!((28.0..52.0).contains(&norm(here.acceleration)), "{here:?}");
            assert!(here.force[2] < -200.0 && norm(here.force) < 500.0, "{here:?}");
            assert_eq!(here, truth(&run, robot, at));
        }
    }
}

#[test]
fn samples_are_the_truth_with_noise_of_the_given_size_on_the_grid() {
    let options = Options { noise_mm: 0.01, noise_n: 0.3, ..short() };
    let run = plan(&options).remove(0);
    let data = generate(&options, &run);
    let mut squares = [(0.0, 0.0); 2];
    for (i, channel) in data.rows.channel.iter().map(|c| usize::from(*c)).enumerate() {
        let exact = truth(&run, CHANNELS[channel].robot, data.rows.time_us[i]);
        let force = CHANNELS[channel].sensor == "load_cell";
        let exact = if force { exact.force } else { exact.position }[channel % 3];
        let text = text_row(&data, i).value;
        let decimals = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        assert!(decimals <= if force { 7 } else { 3 }, "{text}");
        let (sum, count) = &mut squares[usize::from(force)];
        *sum += (data.rows.value[i] - exact).powi(2);
        *count += 1.0;
    }
    let [mm, n] = squares.map(|(sum, count): (f64, f64)| (sum / count).sqrt());
    assert!((mm / 0.01 - 1.0).abs() < 0.1, "{mm}");
    assert!((n / 0.3 - 1.0).abs() < 0.1, "{n}");
}

#[test]
fn without_noise_and_quantum_samples_are_exact() {
    let options = Options { noise_mm: 0.0, noise_n: 0.0, quantum_mm: 0.0, ..short() };
    let run = plan(&options).remove(0);
    let data = generate(&options, &run);
    let first = data.rows.channel.iter().position(|c| *c == 0).expect("an encoder sample");
    assert_eq!(data.rows.value[first], truth(&run, 1, data.rows.time_us[first]).position[0]);
}

#[test]
fn path_length_is_the_sum_of_small_steps() {
    let options = Options { runs: 1, seconds: 20.0, ..Options::default() };
    let mut run = plan(&options).remove(0);
    for pause in [None, Some((5.0, 11.0))] {
        run.shape.pause = pause;
        let ticks = times(&generate(&options, &run), 6);
        let path = Trajectory::new(&run, 2);
        let mut length = 0.0;
        for pair in ticks.windows(2).filter(|pair| pair[1] - pair[0] == ENCODER_PERIOD_US) {
            for step in 0..12 {
                let from = path.position(pair[0] + step * 1_000);
                let to = path.position(pair[0] + (step + 1) * 1_000);
                length += norm(std::array::from_fn(|axis| to[axis] - from[axis]));
            }
        }
        // Chords of 1 ms fall short of the arc by about 1e-8 of it.
        let exact = true_path_length(&run, 2);
        assert!((exact / length - 1.0).abs() < 1e-7, "{exact} {length}");
    }
}

#[test]
fn a_pause_silences_every_channel_and_moves_the_tool() {
    let options = Options { runs: 1, seconds: 40.0, ..Options::default() };
    let mut run = plan(&options).remove(0);
    let without = run.clone();
    run.shape.pause = Some((10.0, 12.5));
    let data = generate(&options, &run);
    let (from, to) = (run.start_us + 10_000_000, run.start_us + 22_500_000);
    assert!(data.rows.time_us.iter().all(|time| !(from..to).contains(time)));
    for channel in 0..CHANNELS.len() {
        let ticks = times(&data, channel);
        assert!(ticks[0] < from && ticks[ticks.len() - 1] >= to);
    }
    for (time, share) in [(from - 1, 0.0), (to, 1.0), (to + 5_000_000, 1.0)] {
        let (moved, still) = (truth(&run, 1, time).position, truth(&without, 1, time).position);
        for axis in 0..3 {
            assert!((moved[axis] - still[axis] - share * PAUSE_OFFSET_MM[axis]).abs() < 1e-9);
        }
    }
}

#[test]
fn generated_ids_are_distinct_and_some_exceed_i64() {
    let options = Options { runs: 300, ..short() };
    let plans = plan(&options);
    let ids: BTreeSet<u64> = plans.iter().map(|p| p.run_uuid.parse().expect("a u64")).collect();
    assert_eq!(ids.len(), 300);
    assert_eq!(ids.iter().filter(|id| i64::try_from(**id).is_err()).count(), 150);
    assert!(plans.windows(2).all(|pair| pair[0].start_us + pair[0].span_us < pair[1].start_us));
    assert!(plans.iter().all(|p| p.channels == [true; 12]));
    for p in &plans {
        assert!(p.phases_ms[0] != p.phases_ms[2] && p.phases_ms[1] != p.phases_ms[3], "{p:?}");
        assert!(p.phases_ms.iter().all(|phase| (1..=10).contains(phase)), "{p:?}");
    }
}

#[test]
fn nonsense_lengths_are_empty_runs() {
    for seconds in [0.0, -3.0, f64::NAN] {
        for options in [demo(seconds), Options { seconds, defects: true, ..Options::default() }] {
            let plans = plan(&options);
            assert!(plans.iter().all(|p| generate(&options, p).rows.is_empty()));
            assert!(defects(&options, &plans).0.is_empty());
        }
    }
}

#[test]
fn time_text_trims_the_fraction() {
    let cases = [
        (0, "2022-11-23T20:40:00Z"),
        (10_000, "2022-11-23T20:40:00.01Z"),
        (17_000, "2022-11-23T20:40:00.017Z"),
        (100_000, "2022-11-23T20:40:00.1Z"),
        (7, "2022-11-23T20:40:00.000007Z"),
        (599_998_000, "2022-11-23T20:49:59.998Z"),
    ];
    for (offset_us, text) in cases {
        assert_eq!(time_text(DEMO_START_US + offset_us), text);
    }
    assert!(cases[1].1 > cases[2].1, "text order is not time order");
}

#[test]
fn time_text_reads_back() {
    // 1600 to 2400 in steps of some weeks, leap days and times before 1970 among them.
    let span_us = 400 * 365 * 86_400_000_000_i64;
    for time_us in (-span_us..span_us).step_by(1_234_567_891_003) {
        let text = time_text(time_us);
        let read = chrono::DateTime::parse_from_rfc3339(&text).expect("a time");
        assert_eq!(read.timestamp_micros(), time_us, "{text}");
    }
}

/// The first reason to refuse a row on its own, in the order of the codes.
fn refusal(row: &TextRow) -> Option<&'static str> {
    let fields: &[&str] = match row.sensor_type.as_str() {
        "encoder" => &["x", "y", "z"],
        "load_cell" => &["fx", "fy", "fz"],
        _ => &[],
    };
    let run = row.run_uuid.as_str();
    if ["", ".", ".."].contains(&run) || run.chars().any(char::is_control) {
        return Some("bad_run_id");
    }
    if chrono::DateTime::parse_from_rfc3339(&row.time).is_err() {
        return Some("bad_time");
    }
    if !["1", "2"].contains(&row.robot_id.as_str()) {
        return Some("unknown_robot");
    }
    if CHANNELS.iter().all(|channel| channel.field != row.field) {
        return Some("unknown_field");
    }
    if !fields.contains(&row.field.as_str()) {
        return Some("field_sensor_mismatch");
    }
    match row.value.parse::<f64>() {
        _ if row.value.is_empty() => Some("null_value"),
        Err(_) => Some("bad_value"),
        Ok(value) if !value.is_finite() => Some("not_finite"),
        Ok(_) => None,
    }
}

#[test]
fn defects_are_refused_as_often_as_they_say() {
    let options = Options { defects: true, ..short() };
    let plans = plan(&options);
    let (extra, said) = defects(&options, &plans);
    let delivered: Vec<TextRow> = plans
        .iter()
        .map(|p| generate(&options, p))
        .flat_map(|data| (0..data.rows.len()).map(|i| text_row(&data, i)).collect::<Vec<_>>())
        .collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut values: BTreeMap<_, Vec<&str>> = BTreeMap::new();
    for row in delivered.iter().chain(&extra) {
        match refusal(row) {
            Some(code) => *counts.entry(code).or_default() += 1,
            None => {
                let key = (&row.run_uuid, &row.robot_id, &row.field, &row.time);
                values.entry(key).or_default().push(&row.value);
            }
        }
    }
    for alike in values.values().filter(|alike| alike.len() > 1) {
        let equal = alike.iter().all(|value| value == &alike[0]);
        let (code, refused) = if equal { ("duplicate", alike.len() - 1) } else { ("conflict", alike.len()) };
        *counts.entry(code).or_default() += refused;
    }
    assert_eq!(counts, said.into_iter().collect());
    assert_eq!(counts.len(), 10);
    assert!(counts.values().all(|count| *count >= 2), "{counts:?}");
}

#[test]
fn without_the_option_there_are_no_defects() {
    let options = short();
    assert_eq!(defects(&options, &plan(&options)), (Vec::new(), Vec::new()));
}
