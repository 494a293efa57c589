//! Rows that a pipeline must refuse, and how many it must count under which code. They are extra rows: the samples stay whole,
//! except those that a conflicting row takes with it.

use super::plan::RunPlan;
use super::samples::{RunData, generate};
use super::time_text;
use super::{CHANNELS, Options};

/// A row as text, as a delimited file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextRow {
    /// When, or what stands in its place.
    pub time: String,
    /// In mm or N, or what stands in its place.
    pub value: String,
    /// `x` … `fz`.
    pub field: String,
    /// The cell.
    pub cell_id: String,
    /// `1` or `2`.
    pub robot_id: String,
    /// The run.
    pub run_uuid: String,
    /// `encoder` or `load_cell`.
    pub sensor_type: String,
}

/// A column of a [`TextRow`] to spoil.
#[derive(Clone, Copy)]
enum Column {
    Time,
    Value,
    Field,
    Robot,
    Run,
    Sensor,
}

/// A spoiled row: the code it is refused with, and what differs from a good one.
type Spoiled = (&'static str, &'static [(Column, &'static str)]);

/// In the order in which the codes are tested, each code's rows together.
const SPOILED: [Spoiled; 22] = [
    ("bad_time", &[(Column::Time, "")]),
    ("bad_time", &[(Column::Time, "not a time")]),
    ("bad_time", &[(Column::Time, "2022-13-45T99:00:00Z")]),
    ("unknown_robot", &[(Column::Robot, "7")]),
    ("unknown_robot", &[(Column::Robot, "")]),
    ("unknown_field", &[(Column::Field, "q")]),
    ("unknown_field", &[(Column::Field, "q"), (Column::Value, "abc")]),
    ("field_sensor_mismatch", &[(Column::Field, "x"), (Column::Sensor, "load_cell")]),
    ("field_sensor_mismatch", &[(Column::Field, "fx"), (Column::Sensor, "encoder")]),
    ("field_sensor_mismatch", &[(Column::Field, "x"), (Column::Sensor, "camera")]),
    ("bad_value", &[(Column::Value, "abc")]),
    ("bad_value", &[(Column::Value, "1.2.3")]),
    ("null_value", &[(Column::Value, "")]),
    ("null_value", &[(Column::Field, "fz"), (Column::Sensor, "load_cell"), (Column::Value, "")]),
    ("not_finite", &[(Column::Value, "NaN")]),
    ("not_finite", &[(Column::Value, "inf")]),
    ("not_finite", &[(Column::Value, "-inf")]),
    ("bad_run_id", &[(Column::Run, "")]),
    ("bad_run_id", &[(Column::Run, ".")]),
    ("bad_run_id", &[(Column::Run, "..")]),
    ("bad_run_id", &[(Column::Run, "75822\u{7}93080")]),
    ("bad_run_id", &[(Column::Run, ""), (Column::Time, "")]),
];

/// How many samples are copied, and how many contradicted.
const TOUCHED: usize = 3;

/// Rows to append to a file of the planned runs, and the exact number of rows refused per code once they are there. Empty
/// unless the options ask for defects and some run has enough samples.
///
/// An extra row that contradicts a sample counts twice: neither is to be believed.
pub fn defects(options: &Options, plans: &[RunPlan]) -> (Vec<TextRow>, Vec<(&'static str, usize)>) {
    let mut candidates = plans.iter().filter(|_| options.defects).map(|plan| beginning(options, plan));
    let Some(host) = candidates.find(|data| data.rows.len() >= 4 * TOUCHED) else {
        return (Vec::new(), Vec::new());
    };
    let mut made = Made::default();
    for (code, changes) in SPOILED {
        let mut row = text_row(&host, 0);
        // Between two ticks, so that no row can also be a duplicate.
        row.time = time_text(host.rows.time_us[0] + 333);
        for (column, text) in changes {
            *cell(&mut row, *column) = (*text).to_owned();
        }
        made.push(code, row, 1);
    }
    // From the middle on: were the first sample contradicted, the run would start later than its truth says.
    let middle = host.rows.len() / 2;
    for index in middle..middle + TOUCHED {
        made.push("duplicate", text_row(&host, index), 1);
    }
    for index in middle + TOUCHED..middle + 2 * TOUCHED {
        let mut row = text_row(&host, index);
        row.value = (host.rows.value[index] + 1.0).to_string();
        made.push("conflict", row, 2);
    }
    (made.rows, made.counts)
}

/// A sample of a run as text; numbers are written so that they read back exactly.
///
/// # Panics
/// If there is no such sample.
pub fn text_row(data: &RunData, index: usize) -> TextRow {
    let channel = CHANNELS[usize::from(data.rows.channel[index])];
    TextRow {
        time: time_text(data.rows.time_us[index]),
        value: data.rows.value[index].to_string(),
        field: channel.field.to_owned(),
        cell_id: data.plan.cell_id.to_string(),
        robot_id: channel.robot.to_string(),
        run_uuid: data.plan.run_uuid.clone(),
        sensor_type: channel.sensor.to_owned(),
    }
}

/// A run's first second. Noise is drawn tick after tick, so these are the very samples of the whole run, for far less work.
fn beginning(options: &Options, plan: &RunPlan) -> RunData {
    generate(options, &RunPlan { span_us: plan.span_us.min(1_000_000), ..plan.clone() })
}

fn cell(row: &mut TextRow, column: Column) -> &mut String {
    match column {
        Column::Time => &mut row.time,
        Column::Value => &mut row.value,
        Column::Field => &mut row.field,
        Column::Robot => &mut row.robot_id,
        Column::Run => &mut row.run_uuid,
        Column::Sensor => &mut row.sensor_type,
    }
}

/// Rows so far and how many refusals they cause.
#[derive(Default)]
struct Made {
    rows: Vec<TextRow>,
    counts: Vec<(&'static str, usize)>,
}

impl Made {
    fn push(&mut self, code: &'static str, row: TextRow, refused: usize) {
        self.rows.push(row);
        match self.counts.last_mut() {
            Some((last, count)) if *last == code => *count += refused,
            _ => self.counts.push((code, refused)),
        }
    }
}
