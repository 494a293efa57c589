//! Assets that another program makes, in whatever language: it is handed paths and parameters in a manifest, and writes
//! tables or reports rows. One process a step, or one for many.
//!
//! Not here: what commands there are (`assets.toml` says), and when a step is made.

mod asset;
mod batch;
mod capped;
mod code;
mod guard;
mod manifest;
mod process;
mod report;

pub use asset::{Input, Output, TableByCommand};
pub use process::end_all;

use assets_core::logs::Logs;
use std::path::PathBuf;
use std::sync::Arc;

/// The environment's variable that names the manifest.
pub const MANIFEST: &str = "ASSETS_MANIFEST";

/// Where commands run, and where they leave things.
#[derive(Clone)]
pub struct Places {
    /// The folder of the settings: commands run there, and name their files from there.
    pub base: PathBuf,
    /// For files between this program and another, gone when the step ends.
    pub scratch: PathBuf,
    /// What they print.
    pub logs: Arc<dyn Logs>,
}
