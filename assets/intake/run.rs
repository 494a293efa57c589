//! The rows of one run on their way from a file into a table.

use super::cells::{Codes, Numbers, Rare};
use super::delivered;
use super::rows::Reading;
use crate::columns::{self as names, RUN};
use assets_core::Reason;
use assets_frames::intake::cell::Delivered;
use assets_frames::{DataFrame, columns};
use std::borrow::Cow;

/// The rows of one run.
#[derive(Default)]
pub(super) struct Run {
    pub(super) time: Numbers<i64>,
    pub(super) time_text: Rare,
    pub(super) value: Numbers<f64>,
    pub(super) value_text: Rare,
    pub(super) field: Codes,
    pub(super) robot: Numbers<i64>,
    pub(super) robot_text: Rare,
    pub(super) sensor: Codes,
    pub(super) attributes: Vec<Codes>,
    /// The ids as delivered, of rows that have no usable one.
    pub(super) ids: Vec<Option<String>>,
}

impl Run {
    pub(super) fn new(reading: &Reading) -> Self {
        Self { attributes: reading.attributes.iter().map(|_| Codes::default()).collect(), ..Self::default() }
    }

    pub(super) fn count(&self) -> usize {
        self.time.count()
    }

    /// How many bytes of text are kept beside the value; so for the others.
    pub(super) fn push_time(&mut self, (time, text): delivered::Typed<'_, i64>) -> usize {
        self.time.push(time);
        self.time_text.push(self.time.count() - 1, text)
    }

    pub(super) fn push_value(&mut self, cell: Delivered<'_>) -> usize {
        let (value, text) = delivered::value(cell);
        self.value.push(value);
        self.value_text.push(self.value.count() - 1, text)
    }

    pub(super) fn push_robot(&mut self, cell: Delivered<'_>) -> usize {
        let (robot, text) = delivered::integer(cell);
        self.robot.push(robot);
        self.robot_text.push(self.robot.count() - 1, text)
    }

    pub(super) fn push_id(&mut self, cell: Delivered<'_>) -> usize {
        self.ids.push(cell.text().map(Cow::into_owned));
        self.ids.last().and_then(Option::as_ref).map_or(0, String::len)
    }

    /// All of these, in their order.
    pub(super) fn joined(parts: Vec<Self>, last: Self) -> Self {
        let rows = parts.iter().map(Self::count).sum::<usize>() + last.count();
        let mut parts = parts.into_iter().chain([last]);
        let Some(mut all) = parts.next() else { return Self::default() };
        all.reserve(rows - all.count());
        parts.for_each(|part| all.append(part));
        all
    }

    /// Makes room for so many rows more.
    pub(super) fn reserve(&mut self, rows: usize) {
        self.time.reserve(rows);
        self.value.reserve(rows);
        self.robot.reserve(rows);
        [&mut self.field, &mut self.sensor]
            .into_iter()
            .chain(&mut self.attributes)
            .for_each(|codes| codes.reserve(rows));
    }

    /// Adds what came later.
    fn append(&mut self, later: Self) {
        let rows = self.count();
        self.time.append(later.time);
        self.time_text.append(rows, later.time_text);
        self.value.append(later.value);
        self.value_text.append(rows, later.value_text);
        self.field.append(later.field);
        self.robot.append(later.robot);
        self.robot_text.append(rows, later.robot_text);
        self.sensor.append(later.sensor);
        self.attributes.iter_mut().zip(later.attributes).for_each(|(all, later)| all.append(later));
        self.ids.extend(later.ids);
    }

    /// The rows as `raw` has them, without the column that names the source.
    pub(super) fn raw_frame(self, id: &str, attributes: &[String]) -> Result<DataFrame, Reason> {
        let rows = self.count();
        let maybe_times = |cells: &mut dyn Iterator<Item = Option<i64>>| columns::maybe_times("time", cells);
        let mut all = vec![
            columns::constant_text(RUN, id, rows),
            self.time.column(|us| columns::times("time", us), maybe_times),
            self.value.column(|v| columns::floats("value", v), |cells| columns::maybe_floats("value", cells)),
            self.field.column("field")?,
            self.robot.column(|n| columns::whole_ints("robot_id", n), |cells| columns::ints("robot_id", cells)),
            self.sensor.column("sensor_type")?,
        ];
        for (name, codes) in attributes.iter().zip(self.attributes) {
            all.push(codes.column(name)?);
        }
        all.push(self.time_text.column("time_text", rows));
        all.push(self.value_text.column("value_text", rows));
        all.push(self.robot_text.column("robot_id_text", rows));
        columns::frame(all)
    }

    /// The rows as `intake_rejects` has them.
    pub(super) fn rejects_frame(mut self) -> Result<DataFrame, Reason> {
        let ids = std::mem::take(&mut self.ids);
        let raw = self.raw_frame("", &[])?;
        let delivered = crate::clean::delivered_texts(&raw)?;
        let mut all = vec![columns::texts(RUN, ids.iter().map(Option::as_deref))];
        all.extend(delivered);
        all.push(columns::constant_text("code", "bad_run_id", ids.len()));
        debug_assert_eq!(all.len(), names::rejects().len(), "the columns of `rejects`");
        columns::frame(all)
    }
}
