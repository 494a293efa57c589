//! What differs between two versions of a table: first by the content hashes of their parts, which are recorded, then
//! value by value for the columns that differ.
//!
//! Not here: which versions there are, and how a column is read.

mod parts;
mod rows;

pub use parts::{Change, ColumnChange, columns};
pub use rows::{AlignedBy, Alignment, Keys, ValueChanges, values};
