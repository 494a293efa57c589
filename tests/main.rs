//! One test binary: linking is what tests cost.
#![allow(clippy::unwrap_used, missing_docs)]

mod cli;
mod columns;
mod commands;
mod engine;
mod features;
mod fields;
mod fleet;
mod harness;
mod kernels;
mod numbers;
mod over_all;
mod pipeline;
mod plan;
mod selection;
mod sharing;
mod simulate;
mod sql;
mod tables;
mod tidy;
mod upkeep;
