//! A request's way: what is asked for → plan → schedule → execute → commit → publish; and the questions that can be
//! asked about it. One stream of events feeds whoever watches.
//!
//! Not here: what a table looks like, where records lie, how anything is printed. The engine knows records, not rows.

pub mod build;
mod discard;
pub mod event;
pub mod gone;
pub mod inputs;
pub mod inspect;
pub mod memory;
pub mod over_all;
mod parts;
pub mod plan;
pub mod pool;
mod publish;
pub mod repair;
mod request;
pub mod schedule;
pub mod scope;
mod sound;
mod told;
pub mod verify;

pub use build::{After, BuildOptions, BuildSummary, is_all_there, materialize};
pub use event::Event;
pub use plan::{Plan, PlannedStep, World};
pub use scope::{Scope, ScopeError};

use assets_core::Reason;
use assets_core::catalog::{CatalogError, Holder};
use assets_core::table_store::TableStoreError;

/// Why a request could not be carried out at all. A failing step is no such error.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The catalog can't answer or commit.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A table can't be published.
    #[error(transparent)]
    Tables(#[from] TableStoreError),
    /// The sources can't be listed, or a view can't be written.
    #[error("{}", .0.message)]
    Other(Reason),
    /// Another process makes a step, and this build was not to wait for it.
    #[error("{1} makes {0}, and this build was asked not to wait for it")]
    Busy(assets_core::Step, Holder),
}

impl EngineError {
    /// What happened, as data.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Catalog(error) => error.reason.clone(),
            Self::Tables(error) => error.reason.clone(),
            Self::Other(reason) => reason.clone(),
            Self::Busy(step, holder) => Reason::new("store_busy", self.to_string())
                .with("step", step.to_string())
                .with("pid", u64::from(holder.process))
                .with("command", holder.command.as_str()),
        }
    }

    /// Whether trying again may help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Catalog(error) => error.transient,
            Self::Tables(error) => error.transient,
            Self::Other(reason) => told::is_transient(reason),
            Self::Busy(..) => true,
        }
    }
}
