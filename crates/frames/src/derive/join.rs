//! Joins: the keys of both sides decide about every row, and the sides are never mistaken for each other.

use super::encode::{compose, hasher, said};
use super::expr::{Scope, Value};
use super::frame::Frame;
use super::{Derivation, opaque};
use assets_core::Reason;
use polars::prelude::*;
use polars_plan::dsl::JoinOptionsIR;
use polars_plan::plans::AExpr;
use polars_plan::plans::expr_ir::ExprIR;
use polars_plan::prelude::Arena;

/// One side of a join: its frame, its keys, and their values.
pub(super) struct Side<'a> {
    frame: &'a Frame,
    on: &'a [ExprIR],
    keys: Vec<Value>,
}

impl<'a> Side<'a> {
    pub(super) fn of(frame: &'a Frame, on: &'a [ExprIR], arena: &Arena<AExpr>) -> Result<Self, Reason> {
        Ok(Self { frame, on, keys: Scope::of(frame, arena).values(on)? })
    }

    /// The place of a column among the keys.
    fn key(&self, name: &str) -> Option<usize> {
        self.on.iter().position(|on| on.output_name() == name)
    }

    fn has(&self, name: &str) -> bool {
        self.frame.columns.iter().any(|(own, _)| own == name)
    }
}

/// A join whose columns have the names of `schema`.
pub(super) fn join(
    left: &Side<'_>,
    right: &Side<'_>,
    options: &JoinOptionsIR,
    schema: &Schema,
) -> Result<Frame, Reason> {
    let JoinOptionsIR { args, options: inner, allow_parallel: _, force_parallel: _ } = options;
    let how = match &args.how {
        JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full | JoinType::Cross => &args.how,
        JoinType::Semi | JoinType::Anti => &args.how,
        // The text of the others does not say their options.
        other => return Err(opaque(&format!("a join of kind {other}"))),
    };
    if inner.is_some() {
        return Err(opaque("a join with a predicate of the optimizer"));
    }
    let rows = rows(left, right, args)?;
    let columns = columns(left, right, args, &rows);
    if !columns.iter().map(|(name, _)| name).eq(schema.iter_names()) {
        return Err(opaque(&format!("a join of kind {how} whose columns are not as expected")));
    }
    let fixed = match args.maintain_order {
        MaintainOrderJoin::LeftRight | MaintainOrderJoin::RightLeft => true,
        MaintainOrderJoin::Left => matches!(how, JoinType::Semi | JoinType::Anti),
        MaintainOrderJoin::None | MaintainOrderJoin::Right => false,
    };
    let settled = |side: &Side<'_>| side.frame.settled && side.keys.iter().all(|key| key.lies_on(side.frame));
    Ok(Frame {
        rows,
        columns,
        ordered: fixed && left.frame.ordered && right.frame.ordered,
        settled: settled(left) && settled(right) && (args.slice.is_none() || fixed),
        unique: None,
    })
}

fn rows(left: &Side<'_>, right: &Side<'_>, args: &JoinArgs) -> Result<Derivation, Reason> {
    // The suffix is a matter of names, which are free; the side to build from is a matter of speed, but of order too.
    let JoinArgs { how, validation, suffix: _, slice, nulls_equal, coalesce, maintain_order, build_side } = args;
    let coalesced = coalesce.coalesce(how);
    let mut hasher = hasher("join");
    hasher.text(&how.to_string()).text(&said(validation)?).text(&said(slice)?);
    hasher.text(&format!("{nulls_equal} {coalesced}")).text(&said(maintain_order)?).text(&said(build_side)?);
    for side in [left, right] {
        hasher.bytes(side.frame.rows.code.as_bytes()).number(side.keys.len() as u64);
        for key in &side.keys {
            hasher.bytes(key.what.code.as_bytes());
        }
    }
    let mut rows = Derivation::constant(hasher.finish());
    for side in [left, right] {
        rows.take(&side.frame.rows);
        side.keys.iter().for_each(|key| rows.lean_on(&key.what));
    }
    Ok(rows)
}

/// The columns as polars names them: the right side's get a suffix where the left has the name, and coalesced keys
/// appear once.
fn columns(left: &Side<'_>, right: &Side<'_>, args: &JoinArgs, rows: &Derivation) -> Vec<(PlSmallStr, Derivation)> {
    let coalesced = args.coalesce.coalesce(&args.how);
    let of = |side: &str, column: &Derivation| {
        let mut joined = column.clone();
        joined.code = compose(side, &[column.code, rows.code]);
        joined.lean_on(rows);
        joined
    };
    let suffixed = |name: &PlSmallStr| format!("{name}{}", args.suffix()).into();
    let kept = |(name, column): &(PlSmallStr, Derivation)| (name.clone(), of("left", column));
    if matches!(args.how, JoinType::Semi | JoinType::Anti) {
        return left.frame.columns.iter().map(kept).collect();
    }
    if matches!(args.how, JoinType::Right) && coalesced {
        let lefts = left.frame.columns.iter().filter(|(name, _)| left.key(name).is_none()).map(kept);
        let rights = right.frame.columns.iter().map(|(name, column)| {
            let clash = left.has(name) && left.key(name).is_none();
            (if clash { suffixed(name) } else { name.clone() }, of("right", column))
        });
        return lefts.chain(rights).collect();
    }
    let lefts = left.frame.columns.iter().map(|(name, column)| {
        let other = left.key(name).filter(|_| coalesced && matches!(args.how, JoinType::Full));
        let mut joined = of("left", column);
        if let Some(other) = other.map(|key| &right.keys[key].what) {
            joined.code = compose("coalesced", &[column.code, other.code, rows.code]);
            joined.take(other);
        }
        (name.clone(), joined)
    });
    let rights = right.frame.columns.iter().filter(|(name, _)| !(coalesced && right.key(name).is_some()));
    let rights =
        rights.map(|(name, column)| (if left.has(name) { suffixed(name) } else { name.clone() }, of("right", column)));
    lefts.chain(rights).collect()
}
