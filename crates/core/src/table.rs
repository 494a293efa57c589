//! A small table in memory: what travels inside a record when an asset has a row or a few per partition, and what the
//! in-memory twins compute on. Large tables are frames in objects and never pass through here.

use serde::{Deserialize, Serialize};

/// A column's values; `None` is null.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Values {
    /// Measured values.
    Float(Vec<Option<f64>>),
    /// Counts and small identifiers.
    Int(Vec<Option<i64>>),
    /// Text.
    Text(Vec<Option<String>>),
    /// Microseconds since 1970-01-01T00:00:00Z.
    Time(Vec<Option<i64>>),
    /// True or false.
    Bool(Vec<Option<bool>>),
}

impl Values {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Float(v) => v.len(),
            Self::Int(v) | Self::Time(v) => v.len(),
            Self::Text(v) => v.len(),
            Self::Bool(v) => v.len(),
        }
    }

    /// One value, as a column of one row; null where there is no such row.
    #[must_use]
    pub fn row(&self, row: usize) -> Self {
        match self {
            Self::Float(v) => Self::Float(vec![v.get(row).copied().flatten()]),
            Self::Int(v) => Self::Int(vec![v.get(row).copied().flatten()]),
            Self::Time(v) => Self::Time(vec![v.get(row).copied().flatten()]),
            Self::Text(v) => Self::Text(vec![v.get(row).cloned().flatten()]),
            Self::Bool(v) => Self::Bool(vec![v.get(row).copied().flatten()]),
        }
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn append(&mut self, other: Self) {
        match (self, other) {
            (Self::Float(all), Self::Float(more)) => all.extend(more),
            (Self::Int(all), Self::Int(more)) | (Self::Time(all), Self::Time(more)) => all.extend(more),
            (Self::Text(all), Self::Text(more)) => all.extend(more),
            (Self::Bool(all), Self::Bool(more)) => all.extend(more),
            _ => {}
        }
    }
}

/// Named columns of equal length.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// (name, values) in order.
    pub columns: Vec<(String, Values)>,
}

impl Table {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, |(_, values)| values.len())
    }

    /// Puts the rows of another table of the same columns below its own; gives back one of other columns.
    pub fn append(&mut self, other: Self) -> Option<Self> {
        let is_same = |((name, values), (other, more)): (&(String, Values), &(String, Values))| {
            name == other && std::mem::discriminant(values) == std::mem::discriminant(more)
        };
        if self.columns.len() != other.columns.len() || !self.columns.iter().zip(&other.columns).all(is_same) {
            return Some(other);
        }
        for ((_, values), (_, more)) in self.columns.iter_mut().zip(other.columns) {
            values.append(more);
        }
        None
    }

    /// The values of a column.
    pub fn column(&self, name: &str) -> Option<&Values> {
        self.columns.iter().find(|(n, _)| n == name).map(|(_, values)| values)
    }
}
