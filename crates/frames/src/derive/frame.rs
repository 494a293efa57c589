//! What is known of a frame at one node of a plan: the derivations of its rows and columns, and how far the order of
//! its rows is fixed.

use super::encode::{compose, hasher};
use super::expr::Order;
use super::{Derivation, LeafPart};
use assets_core::Reason;
use assets_core::hash::Digest;
use polars::prelude::PlSmallStr;
use std::collections::BTreeSet;

/// A frame at one node. Every column has the parts of `rows` among its own, and a code that fixes its whole series.
pub(super) struct Frame {
    pub(super) rows: Derivation,
    pub(super) columns: Vec<(PlSmallStr, Derivation)>,
    /// Equal inputs give an equal order of rows.
    pub(super) ordered: bool,
    /// No value depends on an order that is left open: once lost, no sort brings it back.
    pub(super) settled: bool,
    /// Codes of columns that together are different in every row.
    pub(super) unique: Option<BTreeSet<Digest<32>>>,
}

impl Frame {
    /// Rows and columns of a leaf.
    pub(super) fn of_leaf(leaf: &str, columns: Vec<(PlSmallStr, Derivation)>) -> Self {
        let part = LeafPart { leaf: leaf.to_owned(), column: None };
        let mut rows = Derivation::constant(hasher("leaf rows").text(leaf).finish());
        rows.direct.insert(part);
        let mut frame = Self { rows, columns, ordered: true, settled: true, unique: None };
        for (_, column) in &mut frame.columns {
            column.lean_on(&frame.rows);
        }
        frame
    }

    /// The order of every column.
    pub(super) fn order(&self) -> Order {
        if self.ordered { Order::Fixed } else { Order::OfRows }
    }

    pub(super) fn column(&self, name: &str) -> Result<&Derivation, Reason> {
        let found = self.columns.iter().find(|(own, _)| own == name).map(|(_, column)| column);
        found.ok_or_else(|| Reason::new("wrong_plan", format!("the plan has no column `{name}` here")))
    }

    /// The same columns on other rows, which were made from these.
    pub(super) fn onto(&self, rows: Derivation) -> Self {
        let columns = self.columns.iter().map(|(name, column)| (name.clone(), placed(column, &rows))).collect();
        let unique = self.unique.as_ref().map(|codes| codes.iter().map(|code| at(*code, &rows)).collect());
        Self { rows, columns, ordered: self.ordered, settled: self.settled, unique }
    }

    /// New rows of one kind over the rows of this frame and what the node reads.
    pub(super) fn rows(&self, kind: &str, options: &[&str], read: &[&Derivation]) -> Derivation {
        let mut hasher = hasher(kind);
        hasher.number(options.len() as u64);
        for option in options {
            hasher.text(option);
        }
        hasher.bytes(self.rows.code.as_bytes()).number(read.len() as u64);
        for read in read {
            hasher.bytes(read.code.as_bytes());
        }
        let mut rows = Derivation { code: hasher.finish(), ..self.rows.clone() };
        read.iter().for_each(|read| rows.lean_on(read));
        rows
    }

    /// Whether these columns tell any two rows apart, but for rows that are equal.
    pub(super) fn told_apart_by(&self, codes: &BTreeSet<Digest<32>>) -> bool {
        let known = self.unique.as_ref().is_some_and(|unique| unique.is_subset(codes));
        known || self.columns.iter().all(|(_, column)| codes.contains(&column.code))
    }
}

/// The code of a series moved onto rows.
pub(super) fn at(code: Digest<32>, rows: &Derivation) -> Digest<32> {
    compose("at", &[code, rows.code])
}

/// A column moved onto rows.
pub(super) fn placed(column: &Derivation, rows: &Derivation) -> Derivation {
    let mut placed = Derivation { code: at(column.code, rows), ..column.clone() };
    placed.lean_on(rows);
    placed
}

/// Codes in an order of their own, where the order in a plan does not count.
pub(super) fn sorted(mut read: Vec<&Derivation>) -> Vec<&Derivation> {
    read.sort_by_key(|read| read.code);
    read
}
