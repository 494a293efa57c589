//! SQL over the outputs: every declared output is a table with its declared columns, empty where nothing is recorded.
//! One `select` (or `with`), no table functions, no writes. Only the columns that a query needs are read.

mod asset;
mod names;
mod place;
mod statement;
mod ties;
mod times;
mod wildcards;

pub use asset::TableByQuery;

use crate::guard::guarded;
use crate::{columns, small, view};
use assets_core::graph::Graph;
use assets_core::ledger::Ledger;
use assets_core::record::OutputRecord;
use assets_core::table::Table;
use assets_core::table_store::TableStore;
use assets_core::{OutputDecl, Reason, suggest};
use polars::prelude::*;
use polars::sql::SQLContext;
use statement::Parsed;
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
        view::stack_as_declared(self.tables.as_ref(), &self.decl, &outputs, wanted.as_deref(), args.n_rows).map_err(
            |reason| {
                let error = PolarsError::ComputeError(reason.message.clone().into());
                *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
                error
            },
        )
    }

    fn schema(&self, _: Option<usize>) -> PolarsResult<SchemaRef> {
        Ok(Arc::new(columns::schema(&self.decl.columns)))
    }

    fn allows_projection_pushdown(&self) -> bool {
        true
    }
}

/// What a query names in the place of tables; nothing where it can't be understood.
pub fn names(query: &str) -> Vec<String> {
    Parsed::new(query).map(|parsed| parsed.named()).unwrap_or_default()
}

/// Answers a query from what the ledger says is true.
pub fn query(graph: &Graph, ledger: &Ledger, tables: &Arc<dyn TableStore>, query: &str) -> Result<Table, Reason> {
    let parsed = Parsed::new(query)?;
    parsed.own_names_are_free(graph)?;
    let parsed = parsed.for_polars(graph)?;
    // What polars will do differently one day is nothing that the author of a query can act on.
    polars::error::set_warning_function(|_, _| {});
    let wrong = |error: &PolarsError| wrong(graph, &parsed, error);
    let mut context = SQLContext::new();
    let failed = Arc::new(Mutex::new(None));
    // No others: of those nobody has to know what is recorded.
    let named = parsed.named();
    if let Some(name) = named.iter().find(|name| name.contains('.')) {
        return Err(parsed.wrong(format!("`{name}`: tables have no schema, and stand by their name alone"), None));
    }
    for decl in graph.outputs().filter(|decl| named.iter().any(|name| *name == decl.name.as_str())) {
        let scan = OutputScan {
            decl: decl.clone(),
            outputs: recorded(graph, ledger, decl),
            tables: Arc::clone(tables),
            failed: Arc::clone(&failed),
        };
        let schema = Some(Arc::new(columns::schema(&decl.columns)));
        let args = ScanArgsAnonymous { schema, name: "output", ..ScanArgsAnonymous::default() };
        let frame = LazyFrame::anonymous_scan(Arc::new(scan), args).map_err(|error| wrong(&error))?;
        context.register(decl.name.as_str(), frame);
    }
    let answer = guarded(|| context.execute(parsed.text())?.collect()).map_err(|error| {
        let unread = failed.lock().unwrap_or_else(PoisonError::into_inner).take();
        unread.unwrap_or_else(|| wrong(&error))
    });
    small::to_table(&answer?)
}

/// The recorded tables of an output, in order of their partitions.
fn recorded(graph: &Graph, ledger: &Ledger, decl: &OutputDecl) -> Vec<OutputRecord> {
    let Some(asset) = graph.producer(decl.name.as_str()) else { return Vec::new() };
    let mut found: Vec<_> = ledger
        .steps()
        .filter(|(step, _)| asset.has_step(step))
        .filter_map(|(step, tip)| tip.record().map(|record| (step, record)))
        .collect();
    found.sort_by_key(|(step, _)| (*step).clone());
    found.into_iter().filter_map(|(_, record)| record.output(&decl.name).cloned()).collect()
}

/// What polars says of a query, with the nearest name where one is unknown.
fn wrong(graph: &Graph, parsed: &Parsed, error: &PolarsError) -> Reason {
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
        let columns = parsed.columns(graph);
        let hint = suggest::hint(&name, columns.iter().map(|column| column.name.as_str()));
        return parsed.wrong(format!("there is no column `{name}`{hint}"), parsed.place_of(&name));
    }
    if let Some(name) = unknown("relation").filter(|_| text.contains("was not found")) {
        let tables: Vec<&str> = graph.outputs().map(|output| output.name.as_str()).collect();
        let hint = suggest::hint(&name, tables.iter().copied());
        let hint = if hint.is_empty() { format!("; there are {}", tables.join(", ")) } else { hint };
        return Reason::new("sql_error", format!("there is no table `{name}`{hint}"));
    }
    parsed.wrong(format!("the query can't be answered: {first_line}"), place::of_error(parsed, graph, first_line))
}
