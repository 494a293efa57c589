//! Expressions that are ready to run: planned and checked once, then evaluated in every step by the thread that makes it. Planning
//! one costs as much as running it over 30,000 rows, and each run would be handed to the threads of polars, beside ours.

use super::{OWN, RESULT};
use crate::columns;
use crate::derive;
use crate::frame_error;
use crate::guard::guarded;
use assets_core::{ColumnDecl, Kind, Reason};
use polars::prelude::*;
use polars_expr::prelude::{ExecutionState, PhysicalExpr};
use polars_expr::{ExpressionConversionState, create_physical_expr};
use polars_plan::plans::{IR, IRPlan};
use std::sync::Arc;

/// An expression over columns of these types.
pub(super) struct Ready {
    pub(super) schema: SchemaRef,
    run: Arc<dyn PhysicalExpr>,
}

impl Ready {
    /// Plans the values of a column. `check` is given the leaf that is planned over.
    pub(super) fn new(
        decl: &ColumnDecl,
        expr: &Expr,
        schema: &SchemaRef,
        check: impl FnOnce(&LazyFrame) -> Result<(), Reason>,
    ) -> Result<Self, Reason> {
        let leaf = derive::empty_leaf(OWN, Arc::clone(schema))?;
        check(&leaf)?;
        let expr = match decl.kind {
            Kind::Float => expr.clone().cast(DataType::Float64).fill_nan(lit(NULL)),
            kind => expr.clone().cast(columns::dtype(kind)),
        };
        // With the check, polars 0.55 may drop the order that a plan asks for.
        let plan = leaf.select([expr.alias(RESULT)]).with_check_order(false);
        let run = guarded(|| run_of(plan.to_alp_optimized()?, schema)).map_err(|error| wrong(&decl.name, &error))?;
        Ok(Self { schema: Arc::clone(schema), run })
    }

    /// The column over these.
    pub(super) fn run(&self, name: &str, frame: &DataFrame) -> Result<Column, Reason> {
        guarded(|| self.run.evaluate(frame, &ExecutionState::new())).map_err(|error| wrong(name, &error))
    }
}

fn run_of(mut plan: IRPlan, schema: &SchemaRef) -> PolarsResult<Arc<dyn PhysicalExpr>> {
    let one = match plan.lp_arena.get(plan.lp_top) {
        IR::Select { input, expr, .. } if matches!(plan.lp_arena.get(*input), IR::Scan { .. }) => expr.first().cloned(),
        _ => None,
    };
    let one = one.ok_or_else(|| polars_err!(ComputeError: "it is more than an expression over the table's columns"))?;
    // One thread a step: as many steps are made at once as there are cores.
    create_physical_expr(&one, &mut plan.expr_arena, schema, &mut ExpressionConversionState::new(false))
}

fn wrong(name: &str, error: &PolarsError) -> Reason {
    frame_error(&format!("the column {name}"), error).with("column", name)
}
