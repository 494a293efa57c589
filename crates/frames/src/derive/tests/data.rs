//! Leaves with data of a few columns, and what a perturbation of them touches.

use crate::derive::{LeafPart, leaf};
use polars::prelude::*;
use std::sync::Arc;

/// `a` and `b` with equal schemas, so that only their names tell them apart, and `c`.
pub(super) const LEAVES: [&str; 3] = ["a", "b", "c"];

/// The columns of a leaf: a key, numbers, a float, a text.
pub(super) const COLUMNS: [&str; 4] = ["k", "n", "x", "t"];

/// A row of small values, so that rows meet in joins and groups.
pub(super) type Row = (Option<i64>, i64, Option<f64>, u8);

/// The rows of each leaf.
pub(super) type Data = [Vec<Row>; 3];

pub(super) fn schema() -> SchemaRef {
    let dtypes = [DataType::Int64, DataType::Int64, DataType::Float64, DataType::String];
    Arc::new(COLUMNS.iter().zip(dtypes).map(|(name, dtype)| Field::new((*name).into(), dtype)).collect())
}

pub(super) fn frame(rows: &[Row]) -> DataFrame {
    let columns = vec![
        Column::new("k".into(), rows.iter().map(|row| row.0).collect::<Vec<_>>()),
        Column::new("n".into(), rows.iter().map(|row| row.1).collect::<Vec<_>>()),
        Column::new("x".into(), rows.iter().map(|row| row.2).collect::<Vec<_>>()),
        Column::new(
            "t".into(),
            rows.iter().map(|row| ["red", "green", "blue"][usize::from(row.3) % 3]).collect::<Vec<_>>(),
        ),
    ];
    DataFrame::new(rows.len(), columns).expect("columns of equal length")
}

pub(super) fn leaves(data: &Data) -> Vec<LazyFrame> {
    let leaves = LEAVES.iter().zip(data).map(|(name, rows)| {
        let data = frame(rows);
        let read = move |columns: Option<&[&str]>| match columns {
            None => Ok(data.clone()),
            Some(columns) => Ok(data.select(columns.iter().copied()).expect("known columns")),
        };
        leaf(name, schema(), Arc::new(read)).expect("a leaf")
    });
    leaves.collect()
}

/// A change of one leaf.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// Other values in one column.
    Column { leaf: usize, column: usize, by: i64 },
    /// A row more.
    Row { leaf: usize, row: Row },
    /// A row less.
    Less { leaf: usize },
    /// The rows in reverse.
    Order { leaf: usize },
}

impl Change {
    /// The data after the change.
    pub(super) fn of(&self, data: &Data) -> Data {
        let mut data = data.clone();
        match self {
            Self::Column { leaf, column, by } => {
                for (at, row) in data[*leaf].iter_mut().enumerate() {
                    if *by < 3 || at % 2 == 0 {
                        match *column {
                            0 => row.0 = row.0.map_or(Some(*by), |key| (key != 1).then_some(key + by)),
                            1 => row.1 += by,
                            2 => row.2 = row.2.map_or(Some(0.5), |value| (value < 1.0).then_some(value - *by as f64)),
                            _ => row.3 += 1 + (*by as u8 % 2),
                        }
                    }
                }
            }
            Self::Row { leaf, row } => data[*leaf].insert(data[*leaf].len() / 2, *row),
            Self::Less { leaf } => drop(data[*leaf].pop()),
            Self::Order { leaf } => data[*leaf].reverse(),
        }
        data
    }

    /// Whether it touches a part.
    pub(super) fn touches(&self, part: &LeafPart) -> bool {
        match self {
            Self::Column { leaf, column, .. } => {
                part.leaf == LEAVES[*leaf] && part.column.as_deref() == Some(COLUMNS[*column])
            }
            Self::Row { leaf, .. } | Self::Less { leaf } | Self::Order { leaf } => part.leaf == LEAVES[*leaf],
        }
    }
}
