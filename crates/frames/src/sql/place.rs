//! Where in a query stands what polars refuses.

use super::statement::Parsed;
use crate::columns;
use crate::tree::check::{place_of_refused, typed};
use crate::tree::walk;
use assets_core::graph::Graph;
use assets_core::{ColumnDecl, Kind};
use polars::prelude::{Schema, SchemaRef};
use sqlparser::ast::{Expr, Spanned};
use sqlparser::tokenizer::Location;
use std::collections::BTreeMap;
use std::convert::Infallible;

/// The smallest part that is refused over the columns of the tables alone; else the first call of a function of which
/// the message speaks.
pub(super) fn of_error(parsed: &Parsed, graph: &Graph, message: &str) -> Option<Location> {
    let schema = known_columns(&parsed.columns(graph));
    let is_refused = |expr: &Expr| over_known(expr, &schema).is_some_and(|text| typed(&text, &schema).is_err());
    place_of_refused(&parsed.statement, parsed.source(), &is_refused).or_else(|| named_function(parsed, message))
}

/// Columns by name, without those whose name has several types.
fn known_columns(columns: &[&ColumnDecl]) -> SchemaRef {
    let mut kinds: BTreeMap<&str, Option<Kind>> = BTreeMap::new();
    for column in columns {
        let kind = kinds.entry(&column.name).or_insert(Some(column.kind));
        *kind = kind.filter(|kind| *kind == column.kind);
    }
    let known = kinds.into_iter().filter_map(|(name, kind)| Some((name.into(), columns::dtype(kind?))));
    SchemaRef::new(known.collect::<Schema>())
}

/// The expression by bare names, where it has no others than known ones and no queries in it.
fn over_known(expr: &Expr, schema: &SchemaRef) -> Option<String> {
    let unknown = walk::find(expr, |part| {
        let known = match part {
            Expr::Identifier(name) => schema.contains(&name.value),
            Expr::CompoundIdentifier(parts) => parts.last().is_some_and(|name| schema.contains(&name.value)),
            Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. } => false,
            _ => true,
        };
        (!known).then_some(())
    });
    if unknown.is_some() {
        return None;
    }
    let mut expr = expr.clone();
    let Ok(()) = walk::change::<Infallible>(&mut expr, |part| {
        if let Expr::CompoundIdentifier(parts) = part
            && let Some(name) = parts.pop()
        {
            *part = Expr::Identifier(name);
        }
        Ok(())
    });
    Some(expr.to_string())
}

fn named_function(parsed: &Parsed, message: &str) -> Option<Location> {
    let message = message.to_lowercase();
    let words: Vec<&str> = message.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    walk::find(&parsed.statement, |expr| match expr {
        Expr::Function(function) if words.contains(&function.name.to_string().to_lowercase().as_str()) => {
            Some(function.name.span().start)
        }
        _ => None,
    })
}
