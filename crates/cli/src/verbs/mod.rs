//! One file a verb.

pub(crate) mod check;
pub(crate) mod column_lineage;
pub(crate) mod demo;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod errors;
pub(crate) mod files;
pub(crate) mod forget;
pub(crate) mod functions;
pub(crate) mod gc;
pub(crate) mod graph;
pub(crate) mod history;
pub(crate) mod init;
pub(crate) mod lineage;
pub(crate) mod logs;
pub(crate) mod materialize;
pub(crate) mod pin;
pub(crate) mod plan;
pub(crate) mod repair;
pub(crate) mod runs;
pub(crate) mod show;
pub(crate) mod simulate;
pub(crate) mod sql;
pub(crate) mod status;
pub(crate) mod verify;
pub(crate) mod why;
