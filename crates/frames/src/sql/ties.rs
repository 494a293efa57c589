//! Rows that tie in an ordering: where a `limit` behind it cuts through them, which of them come out must not be left to
//! chance. A plan that leaves it open is run with orderings that do not.

use crate::derive::{self, Derived};
use assets_core::Reason;
use polars::prelude::*;
use polars_plan::dsl::DslPlan;
use std::sync::Arc;

/// What decides between rows that tie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ties {
    /// Nothing, as the query is written.
    Open,
    /// The order in which they come, which that of tables is.
    InOrder,
    /// All columns of the sorted rows, one after the other.
    ByColumns,
}

/// The frame under the first rule that leaves nothing open, and what it is derived from; `None` where there is none. The
/// earlier rules read less.
pub(super) fn settled(frame: &LazyFrame) -> Result<Option<(Ties, LazyFrame, Derived)>, Reason> {
    for ties in [Ties::Open, Ties::InOrder, Ties::ByColumns] {
        let frame = ties.decide(frame).map_err(|error| derive::reason("the orderings of the query", &error))?;
        let derived = derive::derive(&frame, &|_, _| None)?;
        if derived.settled {
            return Ok(Some((ties, frame, derived)));
        }
    }
    Ok(None)
}

impl Ties {
    /// The frame with every ordering in it under this rule.
    pub(super) fn decide(self, frame: &LazyFrame) -> PolarsResult<LazyFrame> {
        if self == Self::Open {
            return Ok(frame.clone());
        }
        let mut plan = frame.logical_plan.clone();
        self.walk(&mut plan)?;
        Ok(LazyFrame::from(plan).with_optimizations(frame.get_current_optimizations()))
    }

    fn walk(self, plan: &mut DslPlan) -> PolarsResult<()> {
        for input in inputs(plan) {
            self.walk(input)?;
        }
        let DslPlan::Sort { input, by_column, sort_options, .. } = plan else { return Ok(()) };
        sort_options.maintain_order = true;
        if self == Self::ByColumns {
            by_all_columns(input, by_column, sort_options)?;
        }
        Ok(())
    }
}

/// The plans that a plan is over. Those of rarer kinds stay as they are, and so may stay open.
fn inputs(plan: &mut DslPlan) -> Vec<&mut DslPlan> {
    match plan {
        DslPlan::Filter { input, .. }
        | DslPlan::Cache { input, .. }
        | DslPlan::Select { input, .. }
        | DslPlan::GroupBy { input, .. }
        | DslPlan::HStack { input, .. }
        | DslPlan::Distinct { input, .. }
        | DslPlan::Sort { input, .. }
        | DslPlan::Slice { input, .. }
        | DslPlan::MapFunction { input, .. } => vec![Arc::make_mut(input)],
        DslPlan::Join { input_left, input_right, .. } => {
            vec![Arc::make_mut(input_left), Arc::make_mut(input_right)]
        }
        DslPlan::Gather { input, idxs, .. } => vec![Arc::make_mut(input), Arc::make_mut(idxs)],
        DslPlan::Union { inputs, .. } | DslPlan::HConcat { inputs, .. } => inputs.iter_mut().collect(),
        _ => Vec::new(),
    }
}

/// Adds the columns that an ordering does not name behind those that it does.
fn by_all_columns(input: &DslPlan, by: &mut Vec<Expr>, options: &mut SortMultipleOptions) -> PolarsResult<()> {
    let count = by.len();
    let several = by.iter().any(|by| by.into_iter().any(|node| matches!(node, Expr::Selector(_))));
    if several {
        return Ok(());
    }
    let schema = LazyFrame::from(input.clone()).collect_schema()?;
    let named = |name: &PlSmallStr| by.iter().any(|by| matches!(by, Expr::Column(own) if own == name));
    let comparable = |dtype: &DataType| !dtype.is_nested() && *dtype != DataType::Null;
    let others = schema.iter().filter(|(name, dtype)| comparable(dtype) && !named(name));
    let others: Vec<Expr> = others.map(|(name, _)| col(name.clone())).collect();
    by.extend(others);
    for flags in [&mut options.descending, &mut options.nulls_last] {
        if let [one] = flags.as_slice() {
            *flags = vec![*one; count];
        }
        flags.resize(by.len(), false);
    }
    Ok(())
}
