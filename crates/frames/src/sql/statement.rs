//! A query as a tree: refuses what is not one `select` (or `with`) over declared tables, and says where it is wrong.

use super::{names, times, wildcards};
use crate::tree::walk::{self, Flow, Look};
use crate::tree::{self, depth};
use assets_core::graph::Graph;
use assets_core::{ColumnDecl, Reason};
use sqlparser::ast::{Expr, Function, ObjectName, Query, SetExpr, Spanned, Statement, TableFactor, WindowType};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::{Parser, ParserError, ParserOptions};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

/// Functions over windows whose values rest on the order of the rows there.
const BY_ORDER: [&str; 9] =
    ["row_number", "rank", "dense_rank", "lag", "lead", "first_value", "last_value", "nth_value", "ntile"];

/// Operators, names and numbers of one query: polars walks them by recursion.
const NODES_MAX: usize = 5_000;

/// Tables of one query, each as often as it is named: polars takes time with the square of joins.
const TABLES_MAX: usize = 256;

/// A query that may be answered.
pub(super) struct Parsed {
    /// As it was written.
    source: String,
    pub(super) statement: Statement,
    /// As polars is asked it.
    text: String,
}

impl Parsed {
    /// Parses with the dialect and options of polars, so that both mean the same.
    pub(super) fn new(source: &str) -> Result<Self, Reason> {
        let tokens = match Tokenizer::new(&GenericDialect, source).tokenize_with_location() {
            Ok(tokens) => tokens,
            Err(error) => return Err(wrong(source, error.message.clone(), Some(error.location))),
        };
        if let Some(place) = depth::too_deep(&tokens) {
            let message = format!("the query nests calls more than {} deep", depth::CALLS_MAX);
            return Err(wrong(source, message, Some(place)));
        }
        let word = first_word(&tokens);
        let options = ParserOptions { trailing_commas: true, ..ParserOptions::default() };
        let mut parser = Parser::new(&GenericDialect).with_options(options).with_tokens_with_locations(tokens);
        let statements = match parser.parse_statements() {
            Ok(statements) => statements,
            Err(_) if !word.is_empty() && !is_read(&word) => return Err(refused(&word)),
            Err(error) => return Err(syntax_error(source, &error, parser.get_current_token().span.start)),
        };
        let Ok([statement]) = <[Statement; 1]>::try_from(statements) else {
            let message = if word.is_empty() { "the query is empty" } else { "write one query, without `;`" };
            return Err(Reason::new("sql_refused", message));
        };
        let parsed = Self { source: source.to_owned(), statement, text: source.to_owned() };
        let nodes = walk::count(&parsed.statement);
        if nodes > NODES_MAX {
            return Err(parsed.wrong(format!("the query has {nodes} parts, more than the {NODES_MAX} allowed"), None));
        }
        let tables = parsed.named().len();
        if tables > TABLES_MAX {
            let message = format!("the query names tables {tables} times, more than the {TABLES_MAX} allowed");
            return Err(parsed.wrong(message, None));
        }
        match &parsed.statement {
            Statement::Query(_) if is_read(&word) => parsed.within_tables(),
            _ => Err(refused(&word)),
        }
    }

    /// The query with its numbers, signs and times as polars reads them, if its wildcards mean something. Where that leaves it as it is, its text stays.
    pub(super) fn for_polars(mut self, graph: &Graph) -> Result<Self, Reason> {
        wildcards::check(&self, graph)?;
        let respelled = tree::respell(&mut self.statement);
        if times::rewrite(&mut self, graph)? || respelled {
            self.text = self.statement.to_string();
        }
        Ok(self)
    }

    /// What a person wrote.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// What polars is asked.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Refuses whatever writes within it, and functions in the place of a table: they read what is not declared.
    fn within_tables(self) -> Result<Self, Reason> {
        let mut outside = Outside::default();
        let _ = walk::walk(&self.statement, &mut outside);
        match outside.found {
            None => Ok(self),
            Some(Found::Other(word)) => Err(refused(&word)),
            Some(Found::Function(name, place)) => {
                let message =
                    format!("`{name}` in the place of a table is refused: tables are assets and their outputs");
                Err(self.wrong(message, Some(place)))
            }
        }
    }

    /// A `sql_error` that says where.
    pub(super) fn wrong(&self, message: String, place: Option<Location>) -> Reason {
        wrong(&self.source, message, place)
    }

    /// Where the query first names a column.
    pub(super) fn place_of(&self, column: &str) -> Option<Location> {
        walk::find(&self.statement, |expr| {
            let name = match expr {
                Expr::Identifier(name) => Some(name),
                Expr::CompoundIdentifier(parts) => parts.last(),
                _ => None,
            };
            name.filter(|name| name.value == column).map(|name| name.span.start)
        })
    }

    /// The names that stand in the place of tables, without those that the query gives itself.
    pub(super) fn tables(&self) -> Vec<String> {
        let mut read = self.named();
        let own = names::own_names(&self.statement);
        read.retain(|name: &String| !own.iter().any(|(own, _)| own == name));
        read
    }

    /// All names in the place of tables.
    pub(super) fn named(&self) -> Vec<String> {
        let mut relations = Relations(Vec::new());
        let _ = walk::walk(&self.statement, &mut relations);
        relations.0
    }

    /// Refuses names that the query gives to something else than the table of that name: polars would take the table.
    pub(super) fn own_names_are_free(&self, graph: &Graph) -> Result<(), Reason> {
        match names::own_names(&self.statement).into_iter().find(|(name, _)| graph.output(name).is_some()) {
            None => Ok(()),
            Some((name, place)) => {
                Err(self.wrong(format!("`{name}` is a table already: give this another name"), Some(place)))
            }
        }
    }

    /// Refuses `natural` joins: polars takes the shared columns in an order that differs from call to call.
    pub(super) fn without_natural_joins(&self) -> Result<(), Reason> {
        if names::has_natural_join(&self.statement) {
            let message = "a `natural join` is refused: say which columns, with `using (…)`";
            return Err(self.wrong(message.to_owned(), None));
        }
        Ok(())
    }

    /// Refuses functions that go by the order of rows where they are not told which: that of a table's rows is promised to
    /// nobody within a query.
    pub(super) fn without_unordered_windows(&self) -> Result<(), Reason> {
        let unordered = |expr: &Expr| match expr {
            Expr::Function(Function { name, over: Some(WindowType::WindowSpec(window)), .. }) => {
                let name = name.to_string();
                let is_open = window.order_by.is_empty() && BY_ORDER.contains(&name.to_lowercase().as_str());
                is_open.then(|| (name, expr.span().start))
            }
            _ => None,
        };
        let Some((name, place)) = walk::find(&self.statement, unordered) else { return Ok(()) };
        let message = format!("`{name}` goes by the order of rows: say which, with `order by` in its `over (…)`");
        Err(self.wrong(message, Some(place)))
    }

    /// The columns of the declared tables that the query reads.
    pub(super) fn columns<'a>(&self, graph: &'a Graph) -> Vec<&'a ColumnDecl> {
        let read = self.tables();
        let outputs = graph.outputs().filter(|output| read.iter().any(|name| name == output.name.as_str()));
        outputs.flat_map(|output| &output.columns).collect()
    }
}

fn first_word(tokens: &[TokenWithSpan]) -> String {
    let passed = |token: &Token| matches!(token, Token::Whitespace(_) | Token::LParen | Token::SemiColon | Token::EOF);
    let first = tokens.iter().map(|token| &token.token).find(|token| !passed(token));
    first.map(|token| token.to_string().to_lowercase()).unwrap_or_default()
}

fn is_read(word: &str) -> bool {
    matches!(word, "select" | "with")
}

/// The word for what a query does besides reading, if anything. Queries in it are visited by themselves.
fn other(body: &SetExpr) -> Option<String> {
    match body {
        SetExpr::Select(select) => select.into.as_ref().map(|_| "select into".to_owned()),
        SetExpr::Query(_) | SetExpr::Values(_) => None,
        SetExpr::SetOperation { left, right, .. } => other(left).or_else(|| other(right)),
        writes => Some(writes.to_string().split(' ').next().unwrap_or_default().to_lowercase()),
    }
}

fn refused(word: &str) -> Reason {
    let message = format!("`{word}` is refused: a query is one `select` (or `with`); nothing can be written by SQL");
    Reason::new("sql_refused", message).with("statement", word)
}

fn syntax_error(source: &str, error: &ParserError, current: Location) -> Reason {
    let text = error.to_string();
    let text = text.trim_start_matches("sql parser error: ");
    let Some((message, place)) = text.split_once(" at Line: ") else {
        // What was expected behind the last word has no place of its own.
        let lines = source.trim_end().lines();
        let (line, last) = lines.enumerate().last().unwrap_or_default();
        let end = Location { line: line as u64 + 1, column: last.chars().count() as u64 + 1 };
        return wrong(source, text.to_owned(), Some(if text.ends_with("found: EOF") { end } else { current }));
    };
    let mut numbers = place.split(", Column: ").map(|number| number.trim().parse::<u64>().ok());
    let place = match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(line), Some(column)) => Location { line, column },
        _ => current,
    };
    wrong(source, message.to_owned(), Some(place))
}

fn wrong(source: &str, message: String, place: Option<Location>) -> Reason {
    let reason = Reason::new("sql_error", message).with("text", source);
    match place.filter(|place| place.line > 0) {
        Some(place) => reason.with("line", place.line).with("column", place.column),
        None => reason,
    }
}

/// What stands in the place of tables.
struct Relations(Vec<String>);

impl Look for Relations {
    fn relation(&mut self, relation: &ObjectName) -> Flow {
        self.0.push(relation.to_string().trim_matches(['"', '`']).to_owned());
        Flow::Continue(())
    }
}

/// Finds what is not a read of declared tables.
#[derive(Default)]
struct Outside {
    found: Option<Found>,
}

enum Found {
    Function(String, Location),
    Other(String),
}

impl Outside {
    fn note(&mut self, found: Option<Found>) -> Flow {
        self.found = found;
        if self.found.is_some() { Flow::Break(()) } else { Flow::Continue(()) }
    }
}

impl Look for Outside {
    fn factor(&mut self, factor: &TableFactor) -> Flow {
        self.note(match factor {
            TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } => {
                Some(Found::Function(name.to_string(), name.span().start))
            }
            TableFactor::TableFunction { expr, .. } => Some(Found::Function(expr.to_string(), expr.span().start)),
            _ => None,
        })
    }

    fn query(&mut self, query: &Query) -> Flow {
        self.note(other(&query.body).map(Found::Other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assets_core::Fact;

    #[test]
    fn only_one_select_passes() {
        for good in [
            "select 1",
            " WITH a as (select 1) select * from a;",
            "select ';' -- ; drop",
            "( select 1)",
            "select*from wide",
            "select(1)",
            "/* x */ select 'it''s -- no comment'",
        ] {
            assert!(Parsed::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ";",
            "-- nothing",
            "select 1; select 2",
            "drop table wide",
            "create table x as select 1",
            "copy wide to 'x'",
            "attach 'x'",
            "insert into wide values (1)",
            "select 1 into x",
            "explain select 1",
            "values (1)",
            "with a as (select 1) delete from wide",
            "select * from (select 1 into x) a",
        ] {
            let code = Parsed::new(bad).err().map(|reason| reason.code);
            assert_eq!(code.as_deref(), Some("sql_refused"), "{bad}");
        }
    }

    #[test]
    fn tables_are_named_no_more_often_than_polars_can_join() {
        let query = |joins: usize| format!("select * from wide{}", " natural join features".repeat(joins));
        assert!(Parsed::new(&query(TABLES_MAX - 1)).is_ok());
        let refused = Parsed::new(&query(4_000)).err().expect("refused");
        assert_eq!(refused.code, "sql_error");
        assert!(refused.message.contains("4001 times"), "{}", refused.message);
    }

    #[test]
    fn what_is_wrong_has_a_place() {
        for (query, line, column) in [
            ("select 1 from wide order time", 1, 20),
            ("select *\nfrom wide whre x", 2, 16),
            ("select (1 + 2", 1, 14),
            ("select 'open", 1, 8),
            ("select * from read_csv('x')", 1, 15),
        ] {
            let Err(reason) = Parsed::new(query) else { panic!("{query}") };
            assert_eq!(reason.code, "sql_error", "{query}");
            let place = (reason.facts.get("line"), reason.facts.get("column"));
            assert_eq!(place, (Some(&Fact::Count(line)), Some(&Fact::Count(column))), "{query}: {}", reason.message);
        }
    }
}
