//! Tests of derivations: fixed cases, random plans against what polars computes, and other processes.

mod cases;
mod data;
mod plans;
mod processes;
mod random;

use super::{Derivation, Derived, derive};
use polars::prelude::LazyFrame;

/// Derives a frame over leaves of which nothing is known.
fn derived(frame: &LazyFrame) -> Derived {
    derive(frame, &|_, _| None).expect("a plan that can be derived")
}

/// The code of refusal of a plan that must be refused.
fn refused(frame: &LazyFrame) -> String {
    derive(frame, &|_, _| None).expect_err("a plan that can't be derived").code
}

impl Derived {
    fn column(&self, name: &str) -> &Derivation {
        let found = self.columns.iter().find(|(own, _)| own == name);
        found.map(|(_, column)| column).expect("the column is there")
    }

    fn codes(&self) -> Vec<String> {
        self.columns.iter().map(|(_, column)| column.code.to_string()).collect()
    }
}
