//! Random plans over random data, against what polars computes: a change that is not foreseen never shows, and equal
//! codes never hide different values.

use super::data::{Change, Data, Row, leaves};
use super::plans::{Mutation, Plan, mutation, plan};
use crate::derive::Derived;
use crate::derive::frame::Frame;
use crate::derive::plan::Walker;
use polars::prelude::*;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::cell::Cell;
use std::sync::Arc;

const CASES: u32 = 10_000;

fn row() -> impl Strategy<Value = Row> {
    let halves = (-3..6i64).prop_map(|value| value as f64 / 2.0);
    (proptest::option::weighted(0.9, 0..3i64), 0..4i64, proptest::option::weighted(0.9, halves), 0..3u8)
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    prop::collection::vec(row(), 0..7)
}

fn data() -> impl Strategy<Value = Data> {
    [rows(), rows(), rows()]
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (0..3usize, 0..4usize, 1..5i64).prop_map(|(leaf, column, by)| Change::Column { leaf, column, by }),
        1 => (0..3usize, row()).prop_map(|(leaf, row)| Change::Row { leaf, row }),
        1 => (0..3usize).prop_map(|leaf| Change::Less { leaf }),
        1 => (0..3usize).prop_map(|leaf| Change::Order { leaf }),
    ]
}

/// What polars computes. Its check of orders takes the order from a stable group-by beneath a slice and an unordered
/// join (0.55.2): the slice then picks any group, so the check is off.
fn collected(frame: LazyFrame) -> PolarsResult<DataFrame> {
    frame.with_check_order(false).collect()
}

/// The same of a plan as it was written. Of a select of aggregates of which nothing but the number of rows is read,
/// polars drops the select (0.55.2): `len()` counts what is below. (Queries count rows otherwise.)
fn collected_as_written(frame: LazyFrame) -> PolarsResult<DataFrame> {
    collected(frame.with_projection_pushdown(false))
}

/// Whether a property holds of what polars computes, in either way: where it differs from itself, that is none of ours.
fn holds(
    property: impl Fn(fn(LazyFrame) -> PolarsResult<DataFrame>) -> Result<bool, TestCaseError>,
) -> Result<bool, TestCaseError> {
    match property(collected) {
        Err(TestCaseError::Fail(_)) => property(collected_as_written),
        done => done,
    }
}

/// A plan's frame with what is known of its order.
fn walked(frame: &LazyFrame) -> Arc<Frame> {
    let plan = frame.clone().to_alp().expect("a plan that resolves");
    Walker::new(&plan, &|_, _| None).frame(plan.lp_top).expect("a plan that can be derived")
}

fn close(a: &AnyValue<'_>, b: &AnyValue<'_>) -> bool {
    match (a, b) {
        (AnyValue::Float64(a), AnyValue::Float64(b)) => {
            a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
        }
        (a, b) => a == b,
    }
}

/// Whether two columns are equal: in their order, or as a bag of values.
fn equal(a: &Column, b: &Column, ordered: bool) -> bool {
    let values = |column: &Column| {
        let options = SortOptions::default();
        if ordered { column.clone() } else { column.sort_with(options).expect("a column that can be sorted") }
    };
    let (a, b) = (values(a).rechunk(), values(b).rechunk());
    let (a, b) = (a.as_materialized_series(), b.as_materialized_series());
    a.len() == b.len() && a.dtype() == b.dtype() && a.iter().zip(b.iter()).all(|(a, b)| close(&a, &b))
}

/// Runs a property and tells how many cases had anything to assert.
fn run<S: Strategy>(strategy: S, property: impl Fn(S::Value) -> Result<bool, TestCaseError>) -> u32 {
    let asserted = Cell::new(0);
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&strategy, |case| {
        asserted.set(asserted.get() + u32::from(property(case)?));
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    asserted.get()
}

#[test]
fn a_change_shows_only_in_columns_that_name_its_part() {
    let property = |(plan, before, change): (Plan, Data, Change)| {
        holds(|collect| {
            let after = change.of(&before);
            let (Ok(one), Ok(two)) = (plan.on(&leaves(&before)), plan.on(&leaves(&after))) else {
                return Err(TestCaseError::reject("polars refuses the plan"));
            };
            let frame = walked(&one);
            let untouched: Vec<_> = frame
                .columns
                .iter()
                .filter(|(_, column)| !column.parts().iter().any(|part| change.touches(part)))
                .collect();
            if untouched.is_empty() || !frame.settled {
                return Ok(false);
            }
            let (Ok(old), Ok(new)) = (collect(one), collect(two)) else {
                return Err(TestCaseError::reject("polars refuses the data"));
            };
            for (name, _) in untouched {
                let (old, new) = (old.column(name).expect("derived"), new.column(name).expect("derived"));
                prop_assert!(equal(old, new, frame.ordered), "{name} changed unforeseen:\n{old:?}\n{new:?}");
            }
            Ok(true)
        })
    };
    let asserted = run((plan(), data(), change()), property);
    assert!(asserted > CASES / 4, "only {asserted} cases had an untouched column");
}

#[test]
fn equal_codes_mean_equal_values() {
    let property = |(plan, mutation, data): (Plan, Mutation, Data)| {
        holds(|collect| {
            let (one, two) = (plan.on(&leaves(&data)), plan.mutated(&mutation).on(&leaves(&data)));
            let (Ok(one), Ok(two)) = (one, two) else { return Err(TestCaseError::reject("polars refuses the plan")) };
            let (first, second) = (walked(&one), walked(&two));
            if !first.settled || !second.settled {
                return Ok(false);
            }
            let (Ok(a), Ok(b)) = (collect(one), collect(two)) else {
                return Err(TestCaseError::reject("polars refuses the data"));
            };
            let sides = [(&first, &a), (&second, &b)];
            let all: Vec<_> = sides
                .iter()
                .flat_map(|(frame, data)| frame.columns.iter().map(move |(name, column)| (frame, name, column, *data)))
                .collect();
            let mut asserted = false;
            for (at, (frame, name, column, data)) in all.iter().enumerate() {
                for (other_frame, other_name, other, other_data) in &all[at + 1..] {
                    if column.code == other.code {
                        asserted = true;
                        let (old, new) =
                            (data.column(name).expect("derived"), other_data.column(other_name).expect("derived"));
                        let ordered = frame.ordered && other_frame.ordered;
                        prop_assert!(equal(old, new, ordered), "{name} and {other_name} look alike:\n{old:?}\n{new:?}");
                    }
                }
            }
            Ok(asserted)
        })
    };
    let asserted = run((plan(), mutation(), data()), property);
    assert!(asserted > CASES / 10, "only {asserted} cases had equal codes");
}

#[test]
fn what_is_derived_does_not_depend_on_the_data() {
    let property = |(plan, data, other): (Plan, Data, Data)| {
        let (Ok(one), Ok(two)) = (plan.on(&leaves(&data)), plan.on(&leaves(&other))) else {
            return Err(TestCaseError::reject("polars refuses the plan"));
        };
        let (one, two): (Derived, Derived) = (super::derived(&one), super::derived(&two));
        prop_assert_eq!(one.columns, two.columns);
        Ok(true)
    };
    run((plan(), data(), data()), property);
}
