//! polars as compute: tables in objects, content hashes of frames, the worker that runs assets written over frames,
//! and SQL. polars and its file formats live here; a pipeline takes them from here.
//!
//! Not here: which assets there are, and when they are made.

pub mod aligned;
mod assemble;
pub mod codes;
pub mod columns;
mod decode;
pub mod defined;
pub mod derive;
mod encode;
pub mod examine;
pub mod expression;
pub mod files;
pub mod foreign;
mod grow;
mod guard;
mod inputs;
pub mod intake;
mod kept;
mod outputs;
mod pages;
pub mod parquet;
pub mod parts;
pub mod sink;
pub mod small;
pub mod splice;
pub mod sql;
mod tree;
pub mod view;
pub mod worker;

pub use inputs::{Inputs, TakeBatch, read_output};
pub use outputs::Outputs;
pub use polars;
pub use polars::prelude::{Column, DataFrame, IntoLazy, NamedFrom, Series};
pub use worker::{FrameAsset, FrameWorker};

use assets_core::Reason;

/// An error of polars as a reason.
pub fn frame_error(what: &str, error: &polars::error::PolarsError) -> Reason {
    Reason::new("frame_error", format!("{what}: {error}"))
}
