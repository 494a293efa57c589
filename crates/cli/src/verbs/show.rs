//! `assets show`: rows of an asset or output, of one run or of all.

use crate::app::{App, Failure, Project};
use crate::args::{Global, ScopeArgs, ShowArgs};
use crate::edge;
use crate::out::Out;
use crate::render::{number, rows, words};
use crate::session::Session;
use assets_core::graph::Graph;
use assets_core::ledger::Ledger;
use assets_core::record::OutputRecord;
use assets_core::table::Table;
use assets_core::table_store::TableStore;
use assets_core::{AssetName, Partition, Reason, Step, select, suggest};
use assets_engine::Scope;
use console::Term;
use std::io::IsTerminal;

pub(crate) fn run(app: &dyn App, out: &Out, global: &Global, args: &ShowArgs) -> Result<u8, Failure> {
    let session = Session::recorded_for(app, global, std::slice::from_ref(&args.asset), &args.runs)?;
    let graph = session.project.graph();
    let select = vec![select::resolve(graph, &args.asset)?.to_string()];
    let scope = session.scope(&ScopeArgs { select, runs: args.runs.clone() })?;
    let Some(output) = graph.output(&args.asset).map(|output| output.name.clone()) else {
        let message = format!("`{}` is not the name of one table", args.asset);
        return Err(Failure::usage(Reason::new("bad_selection", message)).help("name one asset or output"));
    };
    check_columns(graph, &output, &args.columns)?;
    let records = records(&session.ledger, graph, &output, &scope);
    if records.is_empty() {
        let message = format!("{output} was never made{}", if args.runs.is_empty() { "" } else { " for that run" });
        let help = Some(format!("assets materialize {output}"));
        return Err(Failure { reason: Reason::new("never_made", message), help, exit: edge::DATA });
    }
    for warning in left_out(&session.ledger, graph, &output) {
        out.warn(&words::safe(&warning.message));
    }
    let tables = session.reader.tables().as_ref();
    let table = stack(session.project.as_ref(), tables, &records, &args.columns, Some(args.head))?;
    let all: u64 = records.iter().map(|record| record.rows).sum();
    if out.json {
        out.text(&rows::json(&table));
        return Ok(0);
    }
    print(out, &table, graph, usize::MAX);
    if all > table.rows() as u64 {
        out.hint(&format!(
            "{} of {} rows; --head N shows more",
            number::count(table.rows() as u64),
            number::count(all)
        ));
    }
    Ok(0)
}

/// What an output over all runs was made without, as its record tells it.
fn left_out(ledger: &Ledger, graph: &Graph, output: &AssetName) -> Vec<Reason> {
    let uncut = graph.producer(output.as_str()).filter(|asset| asset.dimensions.is_empty());
    let record = uncut.and_then(|asset| ledger.newest(&Step::new(&asset.name, &Partition::none())));
    let because = record.into_iter().flat_map(|record| &record.because);
    because.filter(|reason| reason.code == "runs_left_out").cloned().collect()
}

fn check_columns(graph: &Graph, output: &AssetName, columns: &[String]) -> Result<(), Failure> {
    let declared: Vec<&str> =
        graph.output(output.as_str()).into_iter().flat_map(|o| &o.columns).map(|c| c.name.as_str()).collect();
    // An output that declares no columns has those that its code writes.
    match columns.iter().find(|column| !declared.is_empty() && !declared.contains(&column.as_str())) {
        None => Ok(()),
        Some(column) => {
            let hint = suggest::hint(column, declared.iter().copied());
            let reason = Reason::new("unknown_column", format!("{output} has no column `{column}`{hint}"));
            Err(Failure::usage(reason).help(format!("it has {}", declared.join(", "))))
        }
    }
}

/// The newest tables of an output, by partition.
pub(crate) fn records<'a>(
    ledger: &'a Ledger,
    graph: &Graph,
    output: &AssetName,
    scope: &Scope,
) -> Vec<&'a OutputRecord> {
    let Some(asset) = graph.producer(output.as_str()) else { return Vec::new() };
    let own = ledger.partitions(&asset.name).filter(|p| asset.has_step(&Step::new(&asset.name, p)));
    let mut partitions: Vec<&Partition> = own.filter(|p| scope.includes(p)).collect();
    partitions.sort();
    let newest = partitions.into_iter().filter_map(|p| ledger.newest(&Step::new(&asset.name, p)));
    newest.filter_map(|record| record.output(output)).collect()
}

/// Rows of several tables of one output, one after the other.
pub(crate) fn stack(
    project: &dyn Project,
    tables: &dyn TableStore,
    records: &[&OutputRecord],
    columns: &[String],
    head: Option<usize>,
) -> Result<Table, Failure> {
    let mut all = Table::default();
    for record in records {
        let left = head.map(|head| head.saturating_sub(all.rows()));
        if left == Some(0) && !all.columns.is_empty() {
            break;
        }
        rows::append(&mut all, project.read(tables, record, columns, left)?);
    }
    Ok(all)
}

/// A table for a person: at most `limit` rows, and as many columns as the terminal is wide.
pub(crate) fn print(out: &Out, table: &Table, graph: &Graph, limit: usize) {
    let mut grid = rows::grid(table, graph, limit);
    let term = Term::stdout();
    let dropped = if std::io::stdout().is_terminal() { grid.fit(usize::from(term.size().1)) } else { 0 };
    out.text(&grid.render());
    if dropped > 0 {
        out.hint(&format!("{} more than this terminal is wide for", number::plural(dropped, "column")));
    }
    if table.rows() > limit {
        let rows = number::count(table.rows() as u64);
        out.hint(&format!("the first {limit} of {rows} rows; --format csv prints all of them"));
    }
    if table.rows() == 0 {
        out.hint("no rows");
    }
}
