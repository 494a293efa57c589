//! What tests of several crates share: twins of the seams in memory, and for each seam one suite of asserts that every
//! implementation passes. Nothing here is part of the program.

pub mod conformance;
pub mod memory_catalog;
pub mod memory_tables;
