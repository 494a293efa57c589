//! The telemetry pipeline of a robotic forming cell: raw → clean → wide → features → stats, per run; fleet over all.
//!
//! A row's way is one file an asset, in this order: `intake`, `raw`, `clean`, `wide`, `features`, `stats`, `fleet`. What they
//! share: `channels` (who measures what), `sessions` and `align` (time), `kernels` (numbers), `columns` (names and
//! units, once), `settings` (every parameter). `pipeline` only wires them; `project` names the concrete backends.

pub mod align;
pub mod channels;
pub mod clean;
pub mod columns;
pub mod definitions;
pub mod delivered;
pub mod features;
pub mod files;
pub mod fleet;
pub mod functions;
pub mod intake;
pub mod kernels;
pub mod pipeline;
pub mod project;
pub mod raw;
pub mod recording;
pub mod sessions;
pub mod settings;
pub mod simulate;
pub mod stats;
mod upkeep;
pub mod versions;
pub mod wide;
