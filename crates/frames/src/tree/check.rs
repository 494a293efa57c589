//! What polars makes of an expression, and where in the text stands what it refuses: its errors know no places.

use crate::derive;
use polars::prelude::{self as frame, DataType, SchemaRef};
use sqlparser::ast::{Expr, Spanned, Visit, Visitor, visit_expressions};
use sqlparser::dialect::GenericDialect;
use sqlparser::tokenizer::{Location, Tokenizer};
use std::ops::ControlFlow;

/// Parts of a text that are tried one by one: of a longer one polars would need seconds.
const TRIED_MAX: usize = 200;

/// Why polars refuses an expression.
pub(crate) enum Refused {
    /// It is none, or a call has other arguments than it may.
    NoExpression(String),
    /// Types that don't fit.
    Types(String),
}

/// What polars makes of an expression over columns, and the type of its values.
pub(crate) fn typed(text: &str, schema: &SchemaRef) -> Result<(frame::Expr, DataType), Refused> {
    let first_line = |error: frame::PolarsError| derive::first_line(&error.to_string()).to_owned();
    let expr = polars::sql::sql_expr(text).map_err(|error| Refused::NoExpression(first_line(error)))?;
    let leaf =
        derive::empty_leaf("types", SchemaRef::clone(schema)).map_err(|reason| Refused::Types(reason.message))?;
    // Resolving finds most misfits; a dry run over no rows finds the others.
    let found = leaf.select([expr.clone().alias("value")]).with_check_order(false).collect();
    let dtype = found.and_then(|frame| frame.column("value").map(|column| column.dtype().clone()));
    Ok((expr, dtype.map_err(|error| Refused::Types(first_line(error)))?))
}

/// Where the smallest part stands that is refused by itself, if any is, and if there are few enough to try them all.
pub(crate) fn place_of_refused(
    tree: &impl Visit,
    source: &str,
    is_refused: &dyn Fn(&Expr) -> bool,
) -> Option<Location> {
    let mut count = 0;
    let _ = visit_expressions(tree, |_| {
        count += 1;
        ControlFlow::<()>::Continue(())
    });
    if count > TRIED_MAX {
        return None;
    }
    let part = tree.visit(&mut Smallest { is_refused }).break_value()?;
    Some(place(&part, source)).filter(|place| place.line > 0)
}

/// Tries parts before what they are parts of.
struct Smallest<'a> {
    is_refused: &'a dyn Fn(&Expr) -> bool,
}

impl Visitor for Smallest<'_> {
    type Break = Expr;

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Expr> {
        let is_name = matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
        if !is_name && (self.is_refused)(expr) { ControlFlow::Break(expr.clone()) } else { ControlFlow::Continue(()) }
    }
}

/// Where a part begins; of two sides with an operator between them, where that stands.
fn place(part: &Expr, source: &str) -> Location {
    let begin = part.span().start;
    let Expr::BinaryOp { left, op, right } = part else { return begin };
    let (from, to, op) = (left.span().end, right.span().start, op.to_string());
    let tokens = Tokenizer::new(&GenericDialect, source).tokenize_with_location().unwrap_or_default();
    let between = tokens.iter().filter(|token| (from..to).contains(&token.span.start));
    let found = between.map(|token| (token.token.to_string(), token.span.start));
    found.filter(|(text, _)| text.eq_ignore_ascii_case(&op)).map(|(_, place)| place).next().unwrap_or(begin)
}
