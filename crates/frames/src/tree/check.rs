//! What polars makes of an expression, and where in the text stands what it refuses: its errors know no places.

use super::walk::{self, Flow, Look};
use crate::derive;
use crate::guard::guarded;
use polars::prelude::{self as frame, DataType, SchemaRef};
use sqlparser::ast::{Expr, Spanned, Visit};
use sqlparser::dialect::GenericDialect;
use sqlparser::tokenizer::{Location, Tokenizer};

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
    let expr = guarded(|| polars::sql::sql_expr(text)).map_err(|error| Refused::NoExpression(first_line(error)))?;
    let leaf =
        derive::empty_leaf("types", SchemaRef::clone(schema)).map_err(|reason| Refused::Types(reason.message))?;
    // Resolving finds most misfits; a dry run over no rows finds the others.
    let found = guarded(|| leaf.select([expr.clone().alias("value")]).with_check_order(false).collect());
    let dtype = found.and_then(|frame| frame.column("value").map(|column| column.dtype().clone()));
    Ok((expr, dtype.map_err(|error| Refused::Types(first_line(error)))?))
}

/// Where the smallest part stands that is refused by itself, if any is, and if there are few enough to try them all.
pub(crate) fn place_of_refused(
    tree: &impl Visit,
    source: &str,
    is_refused: &dyn Fn(&Expr) -> bool,
) -> Option<Location> {
    if walk::count(tree) > TRIED_MAX {
        return None;
    }
    let mut smallest = Smallest { is_refused, found: None };
    let _ = walk::walk(tree, &mut smallest);
    smallest.found.map(|part| place(&part, source)).filter(|place| place.line > 0)
}

/// Tries parts before what they are parts of.
struct Smallest<'a> {
    is_refused: &'a dyn Fn(&Expr) -> bool,
    found: Option<Expr>,
}

impl Look for Smallest<'_> {
    fn expr_left(&mut self, expr: &Expr) -> Flow {
        let is_name = matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
        if is_name || !(self.is_refused)(expr) {
            return Flow::Continue(());
        }
        self.found = Some(expr.clone());
        Flow::Break(())
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
