//! Expressions that are ready to run: planned and checked once, then evaluated in every step by the thread that makes it. Planning
//! one costs as much as running it over 30,000 rows, and each run would be handed to the threads of polars, beside ours.

use super::{OWN, RESULT};
use crate::columns;
use crate::derive;
use crate::frame_error;
use crate::guard::guarded;
use crate::parquet::ROW_GROUP_ROWS;
use assets_core::{ColumnDecl, Kind, Reason};
use polars::prelude::*;
use polars_expr::prelude::{ExecutionState, PhysicalExpr};
use polars_expr::{ExpressionConversionState, create_physical_expr};
use polars_plan::plans::{IR, IRPlan, is_elementwise_rec};
use std::sync::Arc;

/// An expression over columns of these types.
pub(super) struct Ready {
    pub(super) schema: SchemaRef,
    run: Arc<dyn PhysicalExpr>,
    /// Whether each row is computed from itself alone.
    by_rows: bool,
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
        let ready = guarded(|| Self::of(plan.to_alp_optimized()?, schema));
        ready.map_err(|error| wrong(&decl.name, &error))
    }

    fn of(mut plan: IRPlan, schema: &SchemaRef) -> PolarsResult<Self> {
        let one = match plan.lp_arena.get(plan.lp_top) {
            IR::Select { input, expr, .. } if matches!(plan.lp_arena.get(*input), IR::Scan { .. }) => {
                expr.first().cloned()
            }
            _ => None,
        };
        let one =
            one.ok_or_else(|| polars_err!(ComputeError: "it is more than an expression over the table's columns"))?;
        let by_rows = is_elementwise_rec(one.node(), &plan.expr_arena);
        // One thread a step: as many steps are made at once as there are cores.
        let mut state = ExpressionConversionState::new(false);
        let run = create_physical_expr(&one, &mut plan.expr_arena, schema, &mut state)?;
        Ok(Self { schema: Arc::clone(schema), run, by_rows })
    }

    /// The column over these; one value where it is the same in all rows.
    pub(super) fn run(&self, name: &str, frame: &DataFrame) -> Result<Column, Reason> {
        guarded(|| self.evaluate(frame)).map_err(|error| wrong(name, &error))
    }

    fn evaluate(&self, frame: &DataFrame) -> PolarsResult<Column> {
        let run = |frame: &DataFrame| self.run.evaluate(frame, &ExecutionState::new());
        let rows = frame.height();
        if !self.by_rows || rows <= ROW_GROUP_ROWS {
            return run(frame);
        }
        // Of very many rows what is between is not held for all of them.
        let mut parts = (0..rows).step_by(ROW_GROUP_ROWS).map(|start| {
            let part = frame.slice(start as i64, ROW_GROUP_ROWS);
            let column = run(&part)?;
            Ok(if column.len() == 1 { column.new_from_index(0, part.height()) } else { column })
        });
        let first = parts.next().unwrap_or_else(|| run(frame))?;
        parts.try_fold(first, |mut all, part: PolarsResult<Column>| {
            all.append_owned(part?)?;
            Ok(all)
        })
    }
}

fn wrong(name: &str, error: &PolarsError) -> Reason {
    frame_error(&format!("the column {name}"), error).with("column", name)
}
