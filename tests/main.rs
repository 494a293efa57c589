//! One test binary: linking is what tests cost.
#![allow(clippy::unwrap_used, missing_docs)]

mod cli;
mod columns;
mod commands;
mod damage;
mod engine;
mod faults;
mod features;
mod fields;
mod fleet;
mod harness;
mod inside;
mod kernels;
mod kills;
mod numbers;
mod over_all;
mod pipeline;
mod plan;
mod power;
mod selection;
mod simulate;
mod sql;
mod tables;
mod tidy;
mod verify;
