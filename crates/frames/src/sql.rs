//! SQL over the outputs: every declared output is a table with its declared columns, empty where nothing is recorded.
//! One `select` (or `with`), no table functions, no writes. Only the columns that a query needs are read.

use crate::worker;
use crate::{columns, small};
use assets_core::graph::Graph;
use assets_core::ledger::Ledger;
use assets_core::record::OutputRecord;
use assets_core::table::Table;
use assets_core::table_store::TableStore;
use assets_core::{OutputDecl, Reason, suggest};
use polars::prelude::*;
use polars::sql::SQLContext;
use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};

struct OutputScan {
    decl: OutputDecl,
    outputs: Vec<OutputRecord>,
    tables: Arc<dyn TableStore>,
    /// Why a table could not be read, for the answer: polars carries only text.
    failed: Arc<Mutex<Option<Reason>>>,
}

impl AnonymousScan for OutputScan {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn scan(&self, args: AnonymousScanArgs) -> PolarsResult<DataFrame> {
        let wanted: Option<Vec<&str>> =
            args.with_columns.as_ref().map(|columns| columns.iter().map(|name| name.as_str()).collect());
        let outputs: Vec<&OutputRecord> = self.outputs.iter().collect();
        // `select count(*)` asks for no column at all, and still for the number of rows.
        let wanted = wanted.filter(|wanted| !wanted.is_empty());
        worker::stack(self.tables.as_ref(), &self.decl, &outputs, wanted.as_deref(), args.n_rows).map_err(|reason| {
            let error = PolarsError::ComputeError(reason.message.clone().into());
            *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
            error
        })
    }

    fn schema(&self, _: Option<usize>) -> PolarsResult<SchemaRef> {
        Ok(Arc::new(columns::schema(&self.decl.columns)))
    }

    fn allows_projection_pushdown(&self) -> bool {
        true
    }
}

/// Answers a query from what the ledger says is true.
pub fn query(graph: &Graph, ledger: &Ledger, tables: &Arc<dyn TableStore>, query: &str) -> Result<Table, Reason> {
    refuse(query)?;
    let mut context = SQLContext::new();
    let failed = Arc::new(Mutex::new(None));
    for decl in graph.outputs() {
        let scan = OutputScan {
            decl: decl.clone(),
            outputs: recorded(graph, ledger, decl),
            tables: Arc::clone(tables),
            failed: Arc::clone(&failed),
        };
        let schema = Some(Arc::new(columns::schema(&decl.columns)));
        let args = ScanArgsAnonymous { schema, name: "output", ..ScanArgsAnonymous::default() };
        let frame = LazyFrame::anonymous_scan(Arc::new(scan), args).map_err(|error| wrong(graph, &error))?;
        context.register(decl.name.as_str(), frame);
    }
    let frame = context.execute(query).map_err(|error| wrong(graph, &error))?;
    let answer = frame.collect().map_err(|error| {
        let unread = failed.lock().unwrap_or_else(PoisonError::into_inner).take();
        unread.unwrap_or_else(|| wrong(graph, &error))
    });
    small::to_table(&answer?)
}

/// The recorded tables of an output that have its declared columns, in order of their partitions.
fn recorded(graph: &Graph, ledger: &Ledger, decl: &OutputDecl) -> Vec<OutputRecord> {
    let Some(asset) = graph.producer(decl.name.as_str()) else { return Vec::new() };
    let shape = asset.shape();
    let mut found: Vec<_> = ledger
        .steps()
        .filter(|(step, _)| step.asset == asset.name)
        .filter_map(|(step, tip)| tip.record().map(|record| (step, record)))
        .filter(|(_, record)| record.recipe.shape == shape)
        .collect();
    found.sort_by_key(|(step, _)| (*step).clone());
    found.into_iter().filter_map(|(_, record)| record.output(&decl.name).cloned()).collect()
}

/// Refuses everything but one `select` or `with`: the tables follow from their inputs alone.
fn refuse(query: &str) -> Result<(), Reason> {
    let text = without_comments(query);
    let statements: Vec<&str> = text.split(';').map(str::trim).filter(|s| !s.is_empty()).collect();
    let [statement] = statements.as_slice() else {
        let message = if statements.is_empty() { "the query is empty" } else { "write one query, without `;`" };
        return Err(Reason::new("sql_refused", message));
    };
    let start = statement.trim_start_matches(|c: char| c == '(' || c.is_whitespace());
    let word = start.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_lowercase();
    if word == "select" || word == "with" {
        return Ok(());
    }
    let message = format!("`{word}` is refused: a query is one `select` (or `with`); nothing can be written by SQL");
    Err(Reason::new("sql_refused", message).with("statement", word))
}

/// The query with string literals and comments blanked, so that a `;` or a word in them does not count.
fn without_comments(query: &str) -> String {
    let mut out = String::with_capacity(query.len());
    let mut chars = query.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\'' | '"' => {
                out.push('x');
                chars.by_ref().find(|next| *next == c);
            }
            '-' if chars.peek() == Some(&'-') => {
                chars.by_ref().find(|next| *next == '\n');
                out.push(' ');
            }
            '/' if chars.peek() == Some(&'*') => {
                let mut last = ' ';
                chars.by_ref().skip(1).find(|next| std::mem::replace(&mut last, *next) == '*' && *next == '/');
                out.push(' ');
            }
            c => out.push(c),
        }
    }
    out
}

/// What polars says of a query, with the nearest name where one is unknown.
fn wrong(graph: &Graph, error: &PolarsError) -> Reason {
    let text = error.to_string();
    let unknown = |marker: &str| {
        let rest = text.split(marker).nth(1)?;
        Some(
            rest.trim_matches(|c: char| !c.is_alphanumeric() && c != '_')
                .split(|c: char| !c.is_alphanumeric() && c != '_')
                .next()?
                .to_owned(),
        )
    };
    let first_line = text.lines().next().unwrap_or_default();
    if let PolarsError::ColumnNotFound(text) = error {
        let text = text.to_string();
        // `unable to find column "nope"; valid columns: […]`, or the bare name.
        let name = text.split('"').nth(1).unwrap_or(&text).to_owned();
        let columns = graph.outputs().flat_map(|o| &o.columns).map(|c| c.name.as_str());
        return Reason::new("sql_error", format!("there is no column `{name}`{}", suggest::hint(&name, columns)));
    }
    if let Some(name) = unknown("relation").filter(|_| text.contains("was not found")) {
        let tables: Vec<&str> = graph.outputs().map(|output| output.name.as_str()).collect();
        let hint = suggest::hint(&name, tables.iter().copied());
        let hint = if hint.is_empty() { format!("; there are {}", tables.join(", ")) } else { hint };
        return Reason::new("sql_error", format!("there is no table `{name}`{hint}"));
    }
    Reason::new("sql_error", format!("the query can't be answered: {first_line}"))
}

#[cfg(test)]
mod tests {
    use super::refuse;

    #[test]
    fn only_one_select_passes() {
        for good in [
            "select 1",
            " WITH a as (select 1) select * from a;",
            "select ';' -- ; drop",
            "( select 1)",
            "select*from wide",
            "select(1)",
        ] {
            assert!(refuse(good).is_ok(), "{good}");
        }
        for bad in ["", ";", "select 1; select 2", "drop table wide", "create table x as select 1", "copy wide to 'x'"]
        {
            assert!(refuse(bad).is_err_and(|reason| reason.code == "sql_refused"), "{bad}");
        }
    }
}
