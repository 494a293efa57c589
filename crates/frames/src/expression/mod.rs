//! Columns defined by text: SQL expressions over the columns of one table, with functions that a pipeline adds. A call
//! of such a function becomes a hidden column that its kernel computes; all else is polars' own SQL.
//!
//! Not here: how columns are fingerprinted and computed (`aligned`), and what a pipeline's functions do.

mod function;
mod parse;

pub use function::{Call, Function, MakeKernel, Meaning, sql_functions};

use crate::aligned::Defined;
use crate::columns;
use crate::tree::check::{Refused, typed};
use assets_core::{ColumnDecl, Kind, Reason, suggest};
use parse::{Parsed, Place};
use polars::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A column as a person defines it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Definition {
    /// Its name.
    pub name: String,
    /// What it is, in SQL.
    pub expr: String,
    /// Physical unit, empty where there is none. Metadata.
    pub unit: String,
    /// One line for people. Metadata.
    pub description: String,
}

/// The columns that some definitions give for a table with `known` columns, in their order; behind them the hidden
/// columns that calls became. `keys` are the table's further columns, which can't be used and whose names are taken.
///
/// # Errors
/// `bad_name`, `name_taken`, `syntax_error`, `unknown_column`, `unknown_function`, `bad_argument`, `not_an_expression`,
/// `wrong_type`, `column_cycle`. Facts say which `definition`, and where they can the `text`, `line` and `column`.
pub fn define(
    definitions: &[Definition],
    known: &[ColumnDecl],
    keys: &[&str],
    functions: &[Function],
) -> Result<Vec<Defined>, Reason> {
    let kinds = known.iter().map(|column| (column.name.clone(), column.kind)).collect();
    let hidden = BTreeSet::new();
    let mut definer = Definer { definitions, functions, kinds, hidden, made: BTreeMap::new(), path: Vec::new() };
    for (at, definition) in definitions.iter().enumerate() {
        let taken = definer.kinds.contains_key(&definition.name)
            || keys.contains(&definition.name.as_str())
            || definitions[..at].iter().any(|other| other.name == definition.name);
        check_name(&definition.name, taken)?;
    }
    for definition in definitions {
        definer.resolve(definition)?;
    }
    let Definer { mut made, hidden, .. } = definer;
    let named = definitions.iter().map(|definition| &definition.name).chain(&hidden);
    let named: Vec<String> = named.cloned().collect();
    Ok(named.iter().filter_map(|name| made.remove(name)).collect())
}

fn check_name(name: &str, taken: bool) -> Result<(), Reason> {
    let mut chars = name.chars();
    let good = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.len() <= 80;
    let refused = |code: &str, message: String| Err(Reason::new(code, message).with("definition", name));
    if !good {
        let message = format!("`{name}` can't be a column's name: letters, digits and `_`, at most 80, no digit first");
        return refused("bad_name", message);
    }
    if taken {
        return refused("name_taken", format!("there is a column `{name}` already: choose another name"));
    }
    Ok(())
}

struct Definer<'a> {
    definitions: &'a [Definition],
    functions: &'a [Function],
    /// Every column that can be used by now.
    kinds: BTreeMap<String, Kind>,
    hidden: BTreeSet<String>,
    made: BTreeMap<String, Defined>,
    path: Vec<String>,
}

impl Definer<'_> {
    /// Makes a definition's column, after those that it uses.
    fn resolve(&mut self, definition: &Definition) -> Result<(), Reason> {
        if self.made.contains_key(&definition.name) {
            return Ok(());
        }
        self.path.push(definition.name.clone());
        if self.path.iter().filter(|open| **open == definition.name).count() > 1 {
            let message = format!("features are computed from each other in a circle: {}", self.path.join(" → "));
            return Err(Reason::new("column_cycle", message).with("definition", definition.name.as_str()));
        }
        let about = |reason: Reason| {
            if reason.facts.contains_key("definition") {
                return reason;
            }
            let message = format!("{}: {}", definition.name, reason.message);
            Reason { message, ..reason }.with("definition", definition.name.as_str())
        };
        let mut parsed = Parsed::new(&definition.expr).map_err(about)?;
        for name in parsed.names() {
            if let Some(used) = self.definitions.iter().find(|other| other.name == name) {
                self.resolve(used)?;
            }
        }
        parsed.rewrite(self).map_err(about)?;
        let (expr, kind) = self.typed(&parsed).map_err(about)?;
        let decl = ColumnDecl::new(&definition.name, kind, &definition.unit, &definition.description);
        self.kinds.insert(definition.name.clone(), kind);
        self.made.insert(definition.name.clone(), Defined::expr(decl, expr));
        self.path.pop();
        Ok(())
    }

    /// The expression and the kind of its values.
    fn typed(&self, parsed: &Parsed) -> Result<(Expr, Kind), Reason> {
        let schema: Schema =
            self.kinds.iter().map(|(name, kind)| Field::new(name.as_str().into(), columns::dtype(*kind))).collect();
        let schema = Arc::new(schema);
        let (expr, dtype) = typed(parsed.text(), &schema).map_err(|refused| {
            let (code, what) = match refused {
                Refused::NoExpression(what) => ("not_an_expression", what),
                Refused::Types(what) => ("wrong_type", what),
            };
            parsed.wrong(code, what, parsed.place_of_refused(&schema))
        })?;
        let wrong = |what: String| Err(parsed.wrong("wrong_type", what, parsed.place()));
        match columns::kind(&dtype) {
            Some(kind) => Ok((expr, kind)),
            None if dtype == DataType::Null => wrong("it is null in every row".to_owned()),
            None => wrong(format!("its values are {dtype}, which no column holds: cast them")),
        }
    }
}

impl parse::Names for Definer<'_> {
    fn column(&self, name: &str, place: Place, parsed: &Parsed) -> Result<(), Reason> {
        if self.kinds.contains_key(name) && !self.hidden.contains(name) {
            return Ok(());
        }
        let hint = suggest::hint(name, self.kinds.keys().filter(|known| !self.hidden.contains(*known)).map(|k| &**k));
        Err(parsed.wrong("unknown_column", format!("there is no column `{name}`{hint}"), Some(place)))
    }

    fn function(&self, name: &str) -> Option<&Function> {
        self.functions.iter().find(|function| function.name == name)
    }

    fn function_names(&self) -> Vec<&str> {
        self.functions.iter().map(|function| function.name).collect()
    }

    fn hidden_expr(&mut self, parsed: &Parsed) -> Result<String, Reason> {
        let name = parse::hidden_name(parsed.text());
        if !self.made.contains_key(&name) {
            let (expr, kind) = self.typed(parsed)?;
            if !matches!(kind, Kind::Float | Kind::Int) {
                let what = format!("`{}` is {} where a number is needed", parsed.text(), kind.name());
                return Err(parsed.wrong("wrong_type", what, parsed.place()));
            }
            self.hide(&name, Defined::expr(ColumnDecl::new(&name, Kind::Float, "", ""), expr));
        }
        Ok(name)
    }

    fn hidden_kernel(&mut self, name: &str, call: &Call<'_>, function: &str) -> Result<(), String> {
        if self.made.contains_key(name) {
            return Ok(());
        }
        let kernel = match self.function(function).map(|function| &function.meaning) {
            Some(Meaning::Kernel { make, .. }) => make(call)?,
            _ => return Err(format!("`{function}` has no kernel")),
        };
        self.hide(name, Defined::kernel(ColumnDecl::new(name, Kind::Float, "", ""), kernel));
        Ok(())
    }

    fn is_number(&self, name: &str) -> bool {
        self.kinds.get(name).is_some_and(|kind| *kind == Kind::Float)
    }

    fn is_time(&self, name: &str) -> bool {
        self.kinds.get(name).is_some_and(|kind| *kind == Kind::Time)
    }
}

impl Definer<'_> {
    fn hide(&mut self, name: &str, column: Defined) {
        self.kinds.insert(name.to_owned(), Kind::Float);
        self.hidden.insert(name.to_owned());
        self.made.insert(name.to_owned(), column.hidden());
    }
}
