//! Columns that a query picks by a pattern, `columns('f.*')`, or takes out of `*` by `exclude` and its like. polars passes
//! over names that are none, knows patterns only as a whole column of the answer, and fails at a bad one.

use super::statement::Parsed;
use crate::tree::walk::{self, Flow, Look};
use assets_core::graph::Graph;
use assets_core::{Reason, suggest};
use polars_utils::regex_cache::compile_regex;
use sqlparser::ast::{
    ExcludeSelectItem, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, RenameSelectItem,
    Select, SelectItem, Spanned, TableFactor, TableWithJoins, Value, WildcardAdditionalOptions,
};
use sqlparser::tokenizer::Location;

/// Refuses patterns where they mean nothing, and names of columns that are none.
pub(super) fn check(parsed: &Parsed, graph: &Graph) -> Result<(), Reason> {
    let mut found = Found { graph, whole: Vec::new(), wrong: None };
    let _ = walk::walk(&parsed.statement, &mut found);
    let Found { whole, wrong, .. } = found;
    let wrong = wrong.or_else(|| {
        walk::find(&parsed.statement, |expr| match as_pattern(expr) {
            Some(function) if !whole.contains(&function.name.span().start) => {
                let message =
                    "`columns(…)` stands for several columns: it can only be a column of the answer by itself";
                Some(Wrong { message: message.to_owned(), place: function.name.span().start })
            }
            _ => None,
        })
    });
    wrong.map_or(Ok(()), |Wrong { message, place }| Err(parsed.wrong(message, Some(place))))
}

struct Wrong {
    message: String,
    place: Location,
}

struct Found<'a> {
    graph: &'a Graph,
    /// Where patterns stand that are a column of an answer by themselves.
    whole: Vec<Location>,
    wrong: Option<Wrong>,
}

fn as_pattern(expr: &Expr) -> Option<&Function> {
    match expr {
        Expr::Function(function) if function.name.to_string().eq_ignore_ascii_case("columns") => Some(function),
        _ => None,
    }
}

impl Look for Found<'_> {
    fn select(&mut self, select: &Select) -> Flow {
        let known = known(self.graph, &select.from);
        for item in &select.projection {
            self.wrong = match item {
                SelectItem::UnnamedExpr(expr) => as_pattern(expr).and_then(|function| {
                    self.whole.push(function.name.span().start);
                    pattern(function, known.as_deref())
                }),
                SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) => {
                    known.as_ref().and_then(|known| unknown(options, known))
                }
                _ => None,
            };
            if self.wrong.is_some() {
                return Flow::Break(());
            }
        }
        Flow::Continue(())
    }
}

/// The columns of the tables, where all of them are declared ones.
fn known<'g>(graph: &'g Graph, from: &[TableWithJoins]) -> Option<Vec<&'g str>> {
    let mut known = Vec::new();
    let joined = from.iter().flat_map(|from| from.joins.iter().map(|join| &join.relation));
    for factor in from.iter().map(|from| &from.relation).chain(joined) {
        let TableFactor::Table { name, .. } = factor else { return None };
        let output = graph.output(name.to_string().trim_matches('"'))?;
        known.extend(output.columns.iter().map(|column| column.name.as_str()));
    }
    Some(known)
}

/// What is wrong with a pattern.
fn pattern(function: &Function, known: Option<&[&str]>) -> Option<Wrong> {
    let place = function.name.span().start;
    let wrong = |message: String| Some(Wrong { message, place });
    let arguments = match &function.args {
        FunctionArguments::List(list) => list.args.as_slice(),
        _ => &[],
    };
    let text = match arguments {
        [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] => return None,
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value)))] => match &value.value {
            Value::SingleQuotedString(text) => text,
            _ => return wrong("`columns` takes a pattern as text, such as columns('f.*')".to_owned()),
        },
        _ => return wrong("`columns` takes one pattern as text, such as columns('f.*')".to_owned()),
    };
    // A pattern may match anywhere in a name.
    match compile_regex(text) {
        Err(_) => wrong(format!("`{text}` is no regular expression, such as columns('f.*') takes")),
        Ok(pattern) if known.is_some_and(|known| !known.iter().any(|name| pattern.is_match(name))) => {
            wrong(format!("`{text}` matches no column of the tables that are read"))
        }
        Ok(_) => None,
    }
}

/// The first name that is no column.
fn unknown(options: &WildcardAdditionalOptions, known: &[&str]) -> Option<Wrong> {
    let mut names: Vec<&Ident> = Vec::new();
    match &options.opt_exclude {
        Some(ExcludeSelectItem::Single(name)) => names.extend(name.0.iter().filter_map(|part| part.as_ident())),
        Some(ExcludeSelectItem::Multiple(all)) => {
            names.extend(all.iter().flat_map(|name| &name.0).filter_map(|part| part.as_ident()));
        }
        None => {}
    }
    if let Some(except) = &options.opt_except {
        names.extend(std::iter::once(&except.first_element).chain(&except.additional_elements));
    }
    match &options.opt_rename {
        Some(RenameSelectItem::Single(one)) => names.push(&one.ident),
        Some(RenameSelectItem::Multiple(all)) => names.extend(all.iter().map(|one| &one.ident)),
        None => {}
    }
    names.extend(options.opt_replace.iter().flat_map(|replace| &replace.items).map(|item| &item.column_name));
    let wrong = names.into_iter().find(|name| !known.contains(&name.value.as_str()))?;
    let hint = suggest::hint(&wrong.value, known.iter().copied());
    Some(Wrong { message: format!("there is no column `{}`{hint}", wrong.value), place: wrong.span.start })
}
