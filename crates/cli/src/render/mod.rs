//! How values look: numbers, times, tables, words with colors. Pure functions; nothing is printed here.

pub(crate) mod gone;
pub(crate) mod grid;
pub(crate) mod number;
pub(crate) mod reasons;
pub(crate) mod rows;
pub(crate) mod time;
pub(crate) mod tree;
pub(crate) mod words;
