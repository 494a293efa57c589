//! An expression's text as a tree, and back: finds its columns and calls with their places, and puts columns in the
//! place of calls that polars does not know.

use super::function::{Call, Function, Meaning};
use assets_core::{Reason, suggest};
use sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Spanned, UnaryOperator, Value, visit_expressions,
    visit_expressions_mut,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Location, Token, Tokenizer};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// A place in a text: line and column from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    line: u64,
    column: u64,
}

impl Place {
    fn of(location: Location) -> Self {
        Self { line: location.line, column: location.column }
    }
}

/// What names in an expression stand for.
pub(super) trait Names {
    fn column(&self, name: &str, place: Place, parsed: &Parsed) -> Result<(), Reason>;
    fn function(&self, name: &str) -> Option<&Function>;
    fn function_names(&self) -> Vec<&str>;
    fn is_number(&self, name: &str) -> bool;
    /// A hidden column for an argument that is an expression; its name.
    fn hidden_expr(&mut self, parsed: &Parsed) -> Result<String, Reason>;
    /// A hidden column for a call.
    fn hidden_kernel(&mut self, name: &str, call: &Call<'_>, function: &str) -> Result<(), String>;
}

/// A parsed expression.
pub(super) struct Parsed {
    /// As it was written.
    source: String,
    tree: Expr,
    /// The tree as text.
    text: String,
}

impl Parsed {
    pub(super) fn new(source: &str) -> Result<Self, Reason> {
        let wrong = |message: String, place: Option<Place>| Err(located("syntax_error", message, source, place));
        let tokens = match Tokenizer::new(&GenericDialect, source).tokenize_with_location() {
            Ok(tokens) => tokens,
            Err(error) => return wrong(error.message.clone(), Some(Place::of(error.location))),
        };
        let mut parser = Parser::new(&GenericDialect).with_tokens_with_locations(tokens);
        let tree = match parser.parse_expr() {
            Ok(tree) => tree,
            Err(error) => {
                let found = parser.get_current_token();
                let text = error.to_string();
                let text = text.split(" at Line:").next().unwrap_or_default();
                let text = text.trim_start_matches("sql parser error: ");
                return wrong(text.to_owned(), Some(Place::of(found.span.start)).filter(|place| place.line > 0));
            }
        };
        let rest = parser.peek_token();
        if rest.token != Token::EOF {
            let message = format!("`{}` is left over behind the expression", rest.token);
            return wrong(message, Some(Place::of(rest.span.start)));
        }
        let text = tree.to_string();
        Ok(Self { source: source.to_owned(), tree, text })
    }

    /// The expression as it is now.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Columns that it names.
    pub(super) fn names(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        let _ = visit_expressions(&self.tree, |expr| {
            if let Expr::Identifier(name) = expr {
                names.insert(name.value.clone());
            }
            ControlFlow::<()>::Continue(())
        });
        names
    }

    /// A reason that says where in the text something is wrong.
    pub(super) fn wrong(&self, code: &str, message: String, place: Option<Place>) -> Reason {
        located(code, message, &self.source, place)
    }

    /// Checks every name, and replaces calls by what they mean.
    pub(super) fn rewrite(&mut self, names: &mut dyn Names) -> Result<(), Reason> {
        let mut tree = self.tree.clone();
        let visited = visit_expressions_mut(&mut tree, |expr| match self.replaced(expr, names) {
            Ok(None) => ControlFlow::Continue(()),
            Ok(Some(other)) => {
                *expr = other;
                ControlFlow::Continue(())
            }
            Err(reason) => ControlFlow::Break(Box::new(reason)),
        });
        if let ControlFlow::Break(reason) = visited {
            return Err(*reason);
        }
        self.text = tree.to_string();
        self.tree = tree;
        Ok(())
    }

    fn replaced(&self, expr: &Expr, names: &mut dyn Names) -> Result<Option<Expr>, Reason> {
        let place = Place::of(expr.span().start);
        match expr {
            Expr::Identifier(name) => {
                names.column(&name.value, Place::of(name.span.start), self)?;
                Ok(None)
            }
            Expr::CompoundIdentifier(parts) => {
                let name = parts.last().map_or("", |part| part.value.as_str());
                let message = format!("`{expr}` names a table: an expression has one, write `{name}`");
                Err(self.wrong("not_an_expression", message, Some(place)))
            }
            Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. } | Expr::Wildcard(_) => {
                let message = "an expression has no queries in it: write a table with `sql` instead".to_owned();
                Err(self.wrong("not_an_expression", message, Some(place)))
            }
            Expr::Function(function) => self.call(function, place, names),
            _ => Ok(None),
        }
    }

    fn call(
        &self,
        function: &sqlparser::ast::Function,
        place: Place,
        names: &mut dyn Names,
    ) -> Result<Option<Expr>, Reason> {
        let name = function.name.to_string().to_lowercase();
        // With `over` it is SQL's window function, whatever else has its name.
        if function.over.is_some() {
            return Ok(None);
        }
        let Some(known) = names.function(&name) else {
            let hint = suggest::hint(&name, names.function_names());
            let hint = if hint.is_empty() { "; `assets functions` lists them".to_owned() } else { hint };
            return Err(self.wrong("unknown_function", format!("there is no function `{name}`{hint}"), Some(place)));
        };
        let usage = known.usage;
        let bad = |what: String| self.wrong("bad_argument", format!("{what}: {usage}"), Some(place));
        let arguments = arguments(&function.args);
        let arguments = arguments.ok_or_else(|| bad(format!("`{name}` takes plain arguments")))?;
        match &known.meaning {
            Meaning::Sql => Ok(None),
            Meaning::Short { arguments: allowed, write } => {
                if !allowed.contains(&arguments.len()) {
                    return Err(bad(format!("`{name}` got {} arguments", arguments.len())));
                }
                let texts: Vec<String> = arguments.iter().map(ToString::to_string).collect();
                Ok(Some(Expr::Nested(Box::new(Self::new(&write(&texts))?.tree))))
            }
            Meaning::Kernel { constants: allowed, .. } => {
                let [over, constants @ ..] = arguments.as_slice() else {
                    return Err(bad(format!("`{name}` needs a column")));
                };
                if !allowed.contains(&constants.len()) {
                    return Err(bad(format!("`{name}` got {} arguments", arguments.len())));
                }
                let numbers: Option<Vec<f64>> = constants.iter().map(|constant| number(constant)).collect();
                let numbers = numbers.ok_or_else(|| bad(format!("`{name}` takes numbers behind the column")))?;
                let column = match over {
                    Expr::Identifier(column) if names.is_number(&column.value) => column.value.clone(),
                    over => {
                        let text = over.to_string();
                        let inner = Self { source: self.source.clone(), tree: (*over).clone(), text };
                        names.hidden_expr(&inner)?
                    }
                };
                let texts: Vec<String> = numbers.iter().map(ToString::to_string).collect();
                let hidden = format!("{name}({})", [vec![column.clone()], texts].concat().join(", "));
                names
                    .hidden_kernel(&hidden, &Call { column: &column, constants: &numbers }, &name)
                    .map_err(|what| self.wrong("bad_argument", what, Some(place)))?;
                Ok(Some(Expr::Identifier(Ident::with_quote('"', hidden))))
            }
        }
    }
}

fn arguments(arguments: &FunctionArguments) -> Option<Vec<&Expr>> {
    match arguments {
        FunctionArguments::None => Some(Vec::new()),
        FunctionArguments::Subquery(_) => None,
        FunctionArguments::List(list) => {
            let plain = list.args.iter().map(|argument| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
                _ => None,
            });
            plain.collect()
        }
    }
}

fn number(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(text, _) => text.to_string().parse().ok(),
            _ => None,
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => number(expr).map(|value| -value),
        Expr::Nested(expr) => number(expr),
        _ => None,
    }
}

fn located(code: &str, message: String, source: &str, place: Option<Place>) -> Reason {
    let reason = Reason::new(code, message).with("text", source);
    match place.filter(|place| place.line > 0) {
        Some(place) => reason.with("line", place.line).with("column", place.column),
        None => reason,
    }
}
