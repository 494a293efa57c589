//! What tests of several crates share: twins of the seams in memory, and for each seam one suite of asserts that every
//! implementation passes. Nothing here is part of the program.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod conformance;
pub mod integers;
pub mod memory_catalog;
pub mod memory_tables;
pub mod shuffled;
pub mod workbench;
