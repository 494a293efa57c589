//! Nodes that make columns by expressions: projections, added columns, groups.

use super::Derivation;
use super::encode::{compose, hasher};
use super::expr::{Order, Scope, Value};
use super::frame::{Frame, placed, sorted};
use assets_core::Reason;
use polars_plan::plans::AExpr;
use polars_plan::plans::expr_ir::ExprIR;
use polars_plan::prelude::Arena;
use std::collections::BTreeSet;

/// A projection: its rows are those of the input, one row, or as many as its expressions give.
pub(super) fn select(input: &Frame, exprs: &[ExprIR], arena: &Arena<AExpr>) -> Result<Frame, Reason> {
    let values = Scope::of(input, arena).values(exprs)?;
    let scalar: Vec<bool> = exprs.iter().map(|expr| expr.is_scalar(arena)).collect();
    let preserved: Vec<bool> = exprs.iter().map(|expr| expr.is_length_preserving(arena)).collect();
    let settled = input.settled && values.iter().all(|value| value.settled);
    let names = exprs.iter().map(|expr| expr.output_name().clone());
    if scalar.iter().all(|scalar| *scalar) {
        let rows = Derivation::constant(hasher("one row").finish());
        let columns = names.zip(values.into_iter().map(|value| value.what)).collect();
        return Ok(Frame { rows, columns, ordered: true, settled, unique: Some(BTreeSet::new()) });
    }
    if scalar.iter().zip(&preserved).all(|(scalar, preserved)| *scalar || *preserved) {
        let settled = settled && values.iter().all(|value| value.lies_on(input));
        let columns = values.iter().zip(&preserved).map(|(value, preserved)| on_rows(value, *preserved, input));
        let columns = names.zip(columns).collect();
        let (rows, unique) = (input.rows.clone(), input.unique.clone());
        return Ok(Frame { rows, columns, ordered: input.ordered, settled, unique });
    }
    let read: Vec<&Derivation> = values.iter().map(|value| &value.what).collect();
    let rows = input.rows("select", &[], &sorted(read));
    let open = values.iter().filter(|value| value.order > Order::Fixed).count();
    let settled = settled && (open == 0 || values.len() == 1);
    let columns = names.zip(values.iter().map(|value| placed(&value.what, &rows))).collect();
    Ok(Frame { rows, columns, ordered: open == 0, settled, unique: None })
}

/// Added or replaced columns: every expression sees the input.
pub(super) fn with_columns(input: &Frame, exprs: &[ExprIR], arena: &Arena<AExpr>) -> Result<Frame, Reason> {
    if input.columns.is_empty() {
        return select(input, exprs, arena);
    }
    let values = Scope::of(input, arena).values(exprs)?;
    let mut columns = input.columns.clone();
    let mut settled = input.settled;
    for (expr, value) in exprs.iter().zip(&values) {
        settled &= value.lies_on(input);
        let column = on_rows(value, expr.is_length_preserving(arena), input);
        match columns.iter_mut().find(|(name, _)| name == expr.output_name()) {
            Some((_, own)) => *own = column,
            None => columns.push((expr.output_name().clone(), column)),
        }
    }
    let (rows, unique) = (input.rows.clone(), input.unique.clone());
    Ok(Frame { rows, columns, ordered: input.ordered, settled, unique })
}

/// A value as a column on the rows of the input: broadcast unless it has their length by itself.
fn on_rows(value: &Value, preserved: bool, input: &Frame) -> Derivation {
    let mut column = value.what.clone();
    if !preserved {
        column.code = compose("broadcast", &[column.code, input.rows.code]);
    }
    column.lean_on(&input.rows);
    column
}

/// Groups: the keys decide about every row.
pub(super) fn group(
    input: &Frame,
    (keys, aggs): (&[ExprIR], &[ExprIR]),
    (maintain_order, slice): (bool, Option<(i64, usize)>),
    arena: &Arena<AExpr>,
) -> Result<Frame, Reason> {
    let scope = Scope::of(input, arena);
    let (keyed, aggregated) = (scope.values(keys)?, scope.values(aggs)?);
    let read = sorted(keyed.iter().map(|value| &value.what).collect());
    let rows = input.rows("group", &[&format!("{maintain_order} {slice:?}")], &read);
    let columns = keys.iter().zip(&keyed).map(|(key, value)| {
        let mut column = placed(&value.what, &rows);
        column.code = compose("key", &[value.what.code, rows.code]);
        (key.output_name().clone(), column)
    });
    let columns: Vec<_> = columns
        .chain(aggs.iter().zip(&aggregated).map(|(agg, value)| {
            let mut column = placed(&value.what, &rows);
            column.code = compose("aggregated", &[value.what.code, rows.code]);
            (agg.output_name().clone(), column)
        }))
        .collect();
    let unique = columns.iter().take(keys.len()).map(|(_, column)| column.code).collect();
    // A group as a list has the order of the rows.
    let fixed = |value: &Value| value.settled && value.order <= Order::Fixed;
    let settled = input.settled && keyed.iter().all(|value| value.lies_on(input)) && aggregated.iter().all(fixed);
    let ordered = maintain_order && input.ordered;
    let settled = settled && (ordered || slice.is_none());
    Ok(Frame { rows, columns, ordered, settled, unique: Some(unique) })
}
