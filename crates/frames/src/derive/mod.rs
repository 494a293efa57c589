//! What every column of a lazy frame is computed from: a canonical hash of the computation, and the parts of named
//! inputs that it needs. Read from the plan that polars makes, before it is optimized; nothing is executed.
//!
//! Two columns with one hash have equal values over equal inputs. Names of outputs and of intermediate columns, the
//! spelling of a query, helpers, and splitting one `with_columns` in two leave a hash as it is; whatever changes which
//! rows there are, or their order, changes the hash of every column. Where a choice had to be made, hashes differ
//! rather than agree. What can't be said canonically is refused, never guessed: see [`derive()`].
//!
//! A hash speaks of the plan as written. polars 0.55.2 drops the order of a stable `group_by` beneath a slice when the
//! node above ignores order, and the slice then picks any group: run derived plans `with_check_order(false)`.
//!
//! Not here: hashes of data, and what is stale.

mod encode;
mod expr;
mod frame;
mod join;
mod kernel;
mod leaf;
mod plan;
mod project;
#[cfg(test)]
mod tests;

pub(crate) use encode::first_line;
pub use kernel::Kernel;
pub use leaf::{Read, empty_leaf, leaf, reason};

use assets_core::Reason;
use assets_core::hash::Digest;
use polars::prelude::LazyFrame;
use std::collections::BTreeSet;

/// A column of a leaf, or (`None`) its rows: how many, and in which order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeafPart {
    /// The leaf's name.
    pub leaf: String,
    /// The column; `None` for the rows.
    pub column: Option<String>,
}

/// What a column, or the rows of a frame, are computed from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derivation {
    /// The canonical hash of what is computed, the names of the leaves in it and the version of polars included.
    pub code: Digest<32>,
    /// Names of declared parameters that count: none from a plan itself, those of substituted columns.
    pub params: BTreeSet<String>,
    /// Parts that values derive from.
    pub direct: BTreeSet<LeafPart>,
    /// Parts that decide which rows there are, or their order: filters, sorts, joins, windows, group keys, counts.
    pub indirect: BTreeSet<LeafPart>,
}

impl Derivation {
    fn constant(code: Digest<32>) -> Self {
        Self { code, params: BTreeSet::new(), direct: BTreeSet::new(), indirect: BTreeSet::new() }
    }

    /// The values of `other` become values of this.
    fn take(&mut self, other: &Self) {
        self.params.extend(other.params.iter().cloned());
        self.direct.extend(other.direct.iter().cloned());
        self.indirect.extend(other.indirect.iter().cloned());
    }

    /// The values of `other` decide about rows of this.
    fn lean_on(&mut self, other: &Self) {
        self.params.extend(other.params.iter().cloned());
        self.indirect.extend(other.direct.iter().chain(&other.indirect).cloned());
    }

    /// Every part that a change can come from.
    pub fn parts(&self) -> BTreeSet<LeafPart> {
        self.direct.union(&self.indirect).cloned().collect()
    }
}

/// What a frame is computed from.
#[derive(Debug, Clone)]
pub struct Derived {
    /// Which rows there are, and in which order.
    pub rows: Derivation,
    /// The columns in the order of output. Each has the parts of `rows` among its own.
    pub columns: Vec<(String, Derivation)>,
    /// Whether equal inputs promise an equal order of rows, and values that do not depend on an order left open.
    pub ordered: bool,
    /// Whether no value, and not which rows there are, depends on an order left open.
    pub settled: bool,
}

/// The derivation of a leaf's column that was computed by other means, by the names of the leaf and the column.
pub type Known<'a> = &'a dyn Fn(&str, &str) -> Option<Derivation>;

/// Derives a frame. Where `known` has the derivation of a leaf's column, it stands for the column; the rows stay the
/// leaf's own.
///
/// # Errors
///
/// `opaque_plan`: closures (say what they do by a [`Kernel`]), files read inside the plan (read them through a
/// [`leaf`]), nodes whose parameters can't be said completely. `nondeterministic_plan`: samples, shuffles.
/// `wrong_plan`: polars can't resolve the plan, such as an unknown column.
pub fn derive(frame: &LazyFrame, known: Known<'_>) -> Result<Derived, Reason> {
    let plan = frame.clone().to_alp().map_err(|error| {
        Reason::new("wrong_plan", format!("the plan can't be resolved: {}", encode::first_line(&error.to_string())))
    })?;
    let frame = plan::Walker::new(&plan, known).frame(plan.lp_top)?;
    Ok(Derived {
        rows: frame.rows.clone(),
        columns: frame.columns.iter().map(|(name, column)| (name.to_string(), column.clone())).collect(),
        ordered: frame.ordered && frame.settled,
        settled: frame.settled,
    })
}

/// What can't be hashed canonically, and what to do about it.
fn opaque(what: &str) -> Reason {
    let help = "state a version by making it a kernel";
    Reason::new("opaque_plan", format!("the plan holds {what}, which can't be compared: {help}")).with("node", what)
}
