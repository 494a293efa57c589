//! An expression's text as a tree, and back: finds its columns and calls with their places, and puts columns in the
//! place of calls that polars does not know.

use super::function::{Call, Function, Meaning};
use crate::tree::check::{place_of_refused, typed};
use crate::tree::{self, depth, times, walk};
use assets_core::hash::{Digest, Hasher};
use assets_core::{Reason, suggest};
use polars::prelude::SchemaRef;
use sqlparser::ast::{Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Spanned, UnaryOperator, Value};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// Operators, names and numbers of one expression: polars walks them by recursion, and in more than linear time.
const NODES_MAX: usize = 1_000;

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
    fn is_time(&self, name: &str) -> bool;
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
        Self::of(tokens(source)?, source)
    }

    /// An expression in the place of a call: all of it stands where the call does.
    fn generated(&self, text: &str, call: Span) -> Result<Self, Reason> {
        let tokens = tokens(text)?.into_iter().map(|token| TokenWithSpan { span: call, ..token });
        Self::of(tokens.collect(), &self.source)
    }

    fn of(tokens: Vec<TokenWithSpan>, source: &str) -> Result<Self, Reason> {
        let wrong = |message: String, place: Option<Place>| Err(located("syntax_error", message, source, place));
        if let Some(place) = depth::too_deep(&tokens) {
            let message = format!("calls are nested more than {} deep: give what is inside a name", depth::CALLS_MAX);
            return wrong(message, Some(Place::of(place)));
        }
        let mut parser = Parser::new(&GenericDialect).with_tokens_with_locations(tokens);
        let mut tree = match parser.parse_expr() {
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
        let nodes = walk::count(&tree);
        if nodes > NODES_MAX {
            let message = format!(
                "the expression has {nodes} parts, more than the {NODES_MAX} that are allowed: cut it into several"
            );
            return Err(Reason::new("too_long", message).with("parts", nodes));
        }
        tree::respell(&mut tree);
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
        walk::find(&self.tree, |expr| {
            if let Expr::Identifier(name) = expr {
                names.insert(name.value.clone());
            }
            None::<()>
        });
        names
    }

    /// A reason that says where in the text something is wrong.
    pub(super) fn wrong(&self, code: &str, message: String, place: Option<Place>) -> Reason {
        located(code, message, &self.source, place)
    }

    /// Where it begins.
    pub(super) fn place(&self) -> Option<Place> {
        Some(Place::of(self.tree.span().start))
    }

    /// Where polars refuses it over these columns: the smallest part that does not do by itself, else its beginning.
    pub(super) fn place_of_refused(&self, schema: &SchemaRef) -> Option<Place> {
        let is_refused = |part: &Expr| typed(&part.to_string(), schema).is_err();
        place_of_refused(&self.tree, &self.source, &is_refused).map(Place::of).or_else(|| self.place())
    }

    /// Checks every name, and replaces calls by what they mean.
    pub(super) fn rewrite(&mut self, names: &mut dyn Names) -> Result<(), Reason> {
        let mut tree = self.tree.clone();
        walk::change(&mut tree, |expr| {
            if let Err(no_time) = times::replace(expr, &|_, name| names.is_time(name)) {
                return Err(self.wrong("wrong_type", no_time.message(), Some(Place::of(no_time.place))));
            }
            if let Some(other) = self.replaced(expr, names)? {
                *expr = other;
            }
            Ok(())
        })?;
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
        let with_options =
            function.filter.is_some() || function.null_treatment.is_some() || !function.within_group.is_empty();
        let form = match &known.meaning {
            Meaning::Sql => return Ok(None),
            Meaning::Short { arguments, write } => Form::Short(arguments.clone(), *write),
            Meaning::Kernel { constants, .. } => Form::Kernel(constants.clone()),
        };
        let arguments = arguments(&function.args).filter(|_| !with_options);
        let arguments = arguments.ok_or_else(|| bad(format!("`{name}` takes plain arguments and nothing else")))?;
        match form {
            Form::Short(allowed, write) => {
                if !allowed.contains(&arguments.len()) {
                    return Err(bad(format!("`{name}` got {} arguments", arguments.len())));
                }
                // An argument is named several times: what is longer than a name becomes a column.
                let texts: Result<Vec<String>, Reason> = arguments.iter().map(|part| self.named(part, names)).collect();
                let texts = texts?;
                let tree = self.generated(&write(&texts), function.span())?.tree;
                Ok(Some(Expr::Nested(Box::new(tree))))
            }
            Form::Kernel(allowed) => {
                let [over, constants @ ..] = arguments.as_slice() else {
                    return Err(bad(format!("`{name}` needs a column")));
                };
                if !allowed.contains(&constants.len()) {
                    return Err(bad(format!("`{name}` got {} arguments", arguments.len())));
                }
                let numbers: Option<Vec<f64>> = constants.iter().map(|constant| number(constant)).collect();
                let numbers = numbers.ok_or_else(|| bad(format!("`{name}` takes numbers behind the column")))?;
                let column = match bare(over) {
                    Expr::Identifier(column) if names.is_number(&column.value) => column.value.clone(),
                    over => names.hidden_expr(&self.part(over))?,
                };
                let texts: Vec<String> = numbers.iter().map(ToString::to_string).collect();
                let hidden = hidden_name(&format!("{name}({})", [vec![column.clone()], texts].concat().join(", ")));
                names
                    .hidden_kernel(&hidden, &Call { column: &column, constants: &numbers }, &name)
                    .map_err(|what| self.wrong("bad_argument", what, Some(place)))?;
                Ok(Some(Expr::Identifier(Ident::with_quote('"', hidden))))
            }
        }
    }
}

impl Parsed {
    /// A part of the expression, with the whole text to point into.
    fn part(&self, tree: &Expr) -> Self {
        Self { source: self.source.clone(), tree: tree.clone(), text: tree.to_string() }
    }

    /// An argument as a name or a number.
    fn named(&self, argument: &Expr, names: &mut dyn Names) -> Result<String, Reason> {
        match bare(argument) {
            simple @ Expr::Identifier(_) => Ok(simple.to_string()),
            simple if number(simple).is_some() => Ok(simple.to_string()),
            other => Ok(Ident::with_quote('"', names.hidden_expr(&self.part(other))?).to_string()),
        }
    }
}

/// An expression without parentheses around it.
fn bare(expr: &Expr) -> &Expr {
    if let Expr::Nested(inner) = expr { bare(inner) } else { expr }
}

/// The name of the hidden column that stands for a text: short however long that is, and none that a person can give.
pub(super) fn hidden_name(text: &str) -> String {
    let digest: Digest<8> = Hasher::new("assets.hidden.1").text(text).finish();
    format!("#{digest}")
}

/// How a call is replaced.
enum Form {
    /// By what the function writes for so many arguments.
    Short(RangeInclusive<usize>, fn(&[String]) -> String),
    /// By a column, with so many constants.
    Kernel(RangeInclusive<usize>),
}

fn arguments(arguments: &FunctionArguments) -> Option<Vec<&Expr>> {
    match arguments {
        FunctionArguments::None => Some(Vec::new()),
        FunctionArguments::Subquery(_) => None,
        FunctionArguments::List(list) => {
            if list.duplicate_treatment.is_some() || !list.clauses.is_empty() {
                return None;
            }
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

fn tokens(source: &str) -> Result<Vec<TokenWithSpan>, Reason> {
    let tokens = Tokenizer::new(&GenericDialect, source).tokenize_with_location();
    tokens.map_err(|error| located("syntax_error", error.message.clone(), source, Some(Place::of(error.location))))
}

fn located(code: &str, message: String, source: &str, place: Option<Place>) -> Reason {
    let reason = Reason::new(code, message).with("text", source);
    match place.filter(|place| place.line > 0) {
        Some(place) => reason.with("line", place.line).with("column", place.column),
        None => reason,
    }
}
