//! Which row of one version is which of the other, and how the values of a column differ between them.

use crate::table::Values;
use std::collections::BTreeMap;

/// By what rows were matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlignedBy {
    /// The first with the first, and so on.
    Number,
    /// Equal times.
    Time,
    /// The first of a slice with the first of that slice, and so on.
    SliceAndNumber,
    /// Equal times within a slice.
    SliceAndTime,
}

impl AlignedBy {
    /// What people read.
    pub fn name(self) -> &'static str {
        match self {
            Self::Number => "row number",
            Self::Time => "time",
            Self::SliceAndNumber => "slice and row number",
            Self::SliceAndTime => "slice and time",
        }
    }
}

/// What identifies the rows of one version.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Keys {
    /// The columns of the slice key, if the output has one.
    pub slices: Vec<Values>,
    /// Its time column, if it has one.
    pub time: Option<Values>,
    /// Number of rows.
    pub rows: usize,
}

impl Keys {
    fn times(&self) -> Option<&[Option<i64>]> {
        match &self.time {
            Some(Values::Time(times)) => Some(times),
            _ => None,
        }
    }

    /// The rows of each slice, in order.
    fn groups(&self) -> BTreeMap<String, Vec<usize>> {
        if self.slices.is_empty() {
            return BTreeMap::from([(String::new(), (0..self.rows).collect())]);
        }
        let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for row in 0..self.rows {
            groups.entry(self.slice(row)).or_default().push(row);
        }
        groups
    }

    /// The slice of a row: its key's values joined by `/`.
    pub fn slice(&self, row: usize) -> String {
        let text = |values: &Values| match values {
            Values::Int(v) | Values::Time(v) => v.get(row).copied().flatten().map(|value| value.to_string()),
            Values::Text(v) => v.get(row).cloned().flatten(),
            Values::Float(v) => v.get(row).copied().flatten().map(|value| value.to_string()),
            Values::Bool(v) => v.get(row).copied().flatten().map(|value| value.to_string()),
        };
        self.slices.iter().map(|values| text(values).unwrap_or_default()).collect::<Vec<_>>().join("/")
    }

    /// The time of a row, microseconds.
    pub fn time(&self, row: usize) -> Option<i64> {
        self.times()?.get(row).copied().flatten()
    }
}

/// Which row is which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alignment {
    /// By what.
    pub by: AlignedBy,
    /// (row before, row after), in the order of the first; `None` where every row keeps its number.
    pairs: Option<Vec<(usize, usize)>>,
    rows: (usize, usize),
}

impl Alignment {
    /// The first with the first, and so on.
    pub fn by_number(before: usize, after: usize) -> Self {
        Self { by: AlignedBy::Number, pairs: None, rows: (before, after) }
    }

    /// By number where all keys are equal; else by slice, and by time where times increase strictly in every slice of
    /// both versions.
    pub fn by_keys(before: &Keys, after: &Keys) -> Self {
        if before == after {
            return Self::by_number(before.rows, after.rows);
        }
        let sliced = !before.slices.is_empty();
        let (old, new) = (before.groups(), after.groups());
        let times = before.times().zip(after.times());
        let times =
            times.filter(|(b, a)| old.values().all(|g| increases(b, g)) && new.values().all(|g| increases(a, g)));
        let by = match (sliced, times.is_some()) {
            (true, true) => AlignedBy::SliceAndTime,
            (true, false) => AlignedBy::SliceAndNumber,
            (false, true) => AlignedBy::Time,
            (false, false) => return Self::by_number(before.rows, after.rows),
        };
        let mut pairs = Vec::new();
        for (slice, was) in &old {
            let Some(now) = new.get(slice) else { continue };
            match times {
                Some((b, a)) => pairs.extend(merged(was, b, now, a)),
                None => pairs.extend(was.iter().copied().zip(now.iter().copied())),
            }
        }
        pairs.sort_unstable();
        Self { by, pairs: Some(pairs), rows: (before.rows, after.rows) }
    }

    /// Rows that both versions have.
    pub fn matched(&self) -> usize {
        self.pairs.as_ref().map_or(self.rows.0.min(self.rows.1), Vec::len)
    }

    /// Rows that only the earlier, and only the later version has.
    pub fn unmatched(&self) -> (usize, usize) {
        (self.rows.0 - self.matched(), self.rows.1 - self.matched())
    }

    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> {
        let listed = self.pairs.iter().flatten().copied();
        let counted = if self.pairs.is_none() { self.matched() } else { 0 };
        listed.chain((0..counted).map(|row| (row, row)))
    }
}

fn increases(times: &[Option<i64>], rows: &[usize]) -> bool {
    let mut last = None;
    rows.iter().all(|row| {
        let time = times.get(*row).copied().flatten();
        let more = time.is_some() && time > last;
        last = time;
        more
    })
}

/// Rows with equal times; both are in the order of their times.
fn merged(was: &[usize], before: &[Option<i64>], now: &[usize], after: &[Option<i64>]) -> Vec<(usize, usize)> {
    let (mut i, mut j) = (0, 0);
    let mut pairs = Vec::new();
    while let (Some(old), Some(new)) = (was.get(i), now.get(j)) {
        let order = before[*old].cmp(&after[*new]);
        if order.is_eq() {
            pairs.push((*old, *new));
        }
        i += usize::from(order.is_le());
        j += usize::from(order.is_ge());
    }
    pairs
}

/// How the values of a column differ over the rows that both versions have.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ValueChanges {
    /// Rows that differ: other values, or null in one of the two.
    pub differ: u64,
    /// Nulls among all rows of the earlier and of the later version.
    pub nulls: (u64, u64),
    /// The largest absolute difference, where both hold finite numbers.
    pub largest: Option<f64>,
    /// The mean absolute difference over all rows where both hold finite numbers, equal ones included.
    pub mean: Option<f64>,
    /// The first row that differs: its number before and after, from 0.
    pub first: Option<(usize, usize)>,
}

/// Compares two versions of a column; `None` where they hold other kinds of values.
pub fn values(before: &Values, after: &Values, alignment: &Alignment) -> Option<ValueChanges> {
    Some(match (before, after) {
        (Values::Float(b), Values::Float(a)) => {
            let same = |b: &f64, a: &f64| b.to_bits() == a.to_bits() || b.is_nan() && a.is_nan();
            compared(b, a, alignment, same, |b, a| Some((b - a).abs()).filter(|size| size.is_finite()))
        }
        (Values::Int(b), Values::Int(a)) => {
            compared(b, a, alignment, |b, a| b == a, |b, a| Some(b.abs_diff(*a) as f64))
        }
        (Values::Time(b), Values::Time(a)) => compared(b, a, alignment, |b, a| b == a, |_, _| None),
        (Values::Text(b), Values::Text(a)) => compared(b, a, alignment, |b, a| b == a, |_, _| None),
        (Values::Bool(b), Values::Bool(a)) => compared(b, a, alignment, |b, a| b == a, |_, _| None),
        _ => return None,
    })
}

fn compared<T>(
    before: &[Option<T>],
    after: &[Option<T>],
    alignment: &Alignment,
    same: impl Fn(&T, &T) -> bool,
    size: impl Fn(&T, &T) -> Option<f64>,
) -> ValueChanges {
    let nulls = |values: &[Option<T>]| values.iter().filter(|value| value.is_none()).count() as u64;
    let mut changes = ValueChanges { nulls: (nulls(before), nulls(after)), ..ValueChanges::default() };
    let (mut sum, mut count) = (0.0, 0_u64);
    for (b, a) in alignment.pairs() {
        let (was, is) = (before.get(b).and_then(Option::as_ref), after.get(a).and_then(Option::as_ref));
        let equal = match (was, is) {
            (Some(was), Some(is)) => {
                if let Some(size) = size(was, is) {
                    (sum, count) = (sum + size, count + 1);
                    changes.largest = Some(changes.largest.map_or(size, |largest: f64| largest.max(size)));
                }
                same(was, is)
            }
            (None, None) => true,
            _ => false,
        };
        if !equal {
            changes.differ += 1;
            changes.first.get_or_insert((b, a));
        }
    }
    changes.mean = (count > 0).then(|| sum / count as f64);
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timed(times: &[i64]) -> Keys {
        let rows = times.len();
        Keys { slices: vec![], time: Some(Values::Time(times.iter().copied().map(Some).collect())), rows }
    }

    fn floats(values: &[f64]) -> Values {
        Values::Float(values.iter().copied().map(Some).collect())
    }

    #[test]
    fn rows_are_matched_by_time_where_times_increase() {
        let aligned = Alignment::by_keys(&timed(&[1, 3, 5, 7]), &timed(&[0, 3, 4, 5]));
        assert_eq!((aligned.by, aligned.matched(), aligned.unmatched()), (AlignedBy::Time, 2, (2, 2)));
        assert_eq!(aligned.pairs().collect::<Vec<_>>(), [(1, 1), (2, 3)]);
        let twice = Alignment::by_keys(&timed(&[1, 1, 5]), &timed(&[1, 5]));
        assert_eq!((twice.by, twice.matched(), twice.unmatched()), (AlignedBy::Number, 2, (1, 0)));
        let null = Keys { time: Some(Values::Time(vec![None])), rows: 1, ..Keys::default() };
        assert_eq!(Alignment::by_keys(&null, &timed(&[1])).by, AlignedBy::Number);
        assert_eq!(Alignment::by_keys(&timed(&[]), &timed(&[1])).unmatched(), (0, 1));
        assert_eq!(Alignment::by_keys(&timed(&[1, 2]), &timed(&[1, 2])), Alignment::by_number(2, 2));
    }

    #[test]
    fn rows_of_slices_are_matched_within_them() {
        let sliced = |rows: &[(&str, i64)]| Keys {
            slices: vec![Values::Text(rows.iter().map(|(slice, _)| Some((*slice).to_owned())).collect())],
            ..timed(&rows.iter().map(|(_, time)| *time).collect::<Vec<_>>())
        };
        let before = sliced(&[("x", 1), ("y", 1), ("x", 2), ("y", 2)]);
        let after = sliced(&[("y", 1), ("x", 2), ("y", 2), ("z", 2)]);
        let aligned = Alignment::by_keys(&before, &after);
        assert_eq!((aligned.by, aligned.unmatched()), (AlignedBy::SliceAndTime, (1, 1)));
        assert_eq!(aligned.pairs().collect::<Vec<_>>(), [(1, 0), (2, 1), (3, 2)]);
        let still = sliced(&[("x", 1), ("x", 1)]);
        assert_eq!(Alignment::by_keys(&still, &before).by, AlignedBy::SliceAndNumber);
    }

    #[test]
    fn values_that_differ_are_counted_and_measured() {
        let aligned = Alignment::by_number(4, 4);
        let changes = values(&floats(&[1.0, f64::NAN, 3.0, 0.0]), &floats(&[1.5, f64::NAN, 1.0, 0.0]), &aligned);
        let expected =
            ValueChanges { differ: 2, nulls: (0, 0), largest: Some(2.0), mean: Some(2.5 / 3.0), first: Some((0, 0)) };
        assert_eq!(changes, Some(expected));
        let nulls = Values::Int(vec![None, None, Some(i64::MIN), Some(1)]);
        let ints = Values::Int(vec![None, Some(1), Some(i64::MAX), Some(1)]);
        let changes = values(&nulls, &ints, &aligned).expect("the same kind");
        assert_eq!((changes.differ, changes.nulls, changes.first), (2, (2, 1), Some((1, 1))));
        assert_eq!(changes.largest, Some(u64::MAX as f64));
        assert_eq!(values(&floats(&[]), &Values::Bool(vec![]), &aligned), None);
    }
}
