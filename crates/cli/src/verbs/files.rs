//! `assets files`: where published tables and sources are.

use crate::app::{App, Failure};
use crate::args::{Global, ScopeArgs};
use crate::out::Out;
use crate::render::grid::Grid;
use crate::render::{number, words};
use crate::session::Session;
use assets_core::record::{SliceRecord, SourceRecord};
use assets_core::table_store::{TableFile, TableStore};
use assets_core::{OutputDecl, Partition};
use assets_engine::Scope;
use serde_json::{Value, json};
use std::path::PathBuf;

/// More files of one output than this are told as one folder.
const LISTED: usize = 12;

struct Published {
    output: String,
    partition: Partition,
    path: PathBuf,
    rows: u64,
    bytes: u64,
}

pub(crate) fn run(app: &dyn App, out: &Out, global: &Global, args: &ScopeArgs) -> Result<u8, Failure> {
    let (session, scope) = Session::recorded_scope(app, global, args)?;
    let files = published(&session, &scope);
    let sources: Vec<&SourceRecord> = session.ledger.sources().values().collect();
    if out.json {
        let files = files.iter().map(|file| {
            let (path, run) = (&file.path, file.partition.run());
            json!({"asset": file.output, "run": run, "path": path, "rows": file.rows, "bytes": file.bytes})
        });
        let sources = sources.iter().map(|source| source_json(&session, source));
        out.json(&json!({"files": files.collect::<Vec<_>>(), "sources": sources.collect::<Vec<_>>()}));
        return Ok(0);
    }
    text(out, &session, &files, &sources, args.runs.is_empty());
    Ok(0)
}

fn published(session: &Session, scope: &Scope) -> Vec<Published> {
    let graph = session.project.graph();
    let mut steps: Vec<_> =
        session.ledger.steps().filter(|(step, _)| scope.selects(step) && graph.has_step(step)).collect();
    steps.sort_by_key(|(step, _)| &step.partition);
    let ordinals = session.ledger.ordinals(|_| true);
    let mut files = Vec::new();
    for asset in graph.assets() {
        for output in &asset.outputs {
            for (step, tip) in steps.iter().filter(|(step, _)| step.asset == asset.name) {
                let Some(record) = tip.record().and_then(|record| record.output(&output.name)) else { continue };
                let ordinal = ordinals.get(step).copied().unwrap_or(0);
                if let Some(path) = place(session.reader.tables().as_ref(), output, &step.partition, ordinal) {
                    let (partition, rows, bytes) = (step.partition.clone(), record.rows, record.bytes);
                    files.push(Published { output: output.name.to_string(), partition, path, rows, bytes });
                }
            }
        }
    }
    files
}

/// The file that holds a step's rows of an output, if it is published.
fn place(tables: &dyn TableStore, output: &OutputDecl, partition: &Partition, ordinal: u64) -> Option<PathBuf> {
    let file = TableFile::published(output, partition, ordinal);
    let folder = tables.folder(&output.name).filter(|_| tables.is_published(&file))?;
    Some(folder.join(format!("{}.parquet", file.stem)))
}

fn rows_of(slices: &[SliceRecord]) -> u64 {
    slices.iter().map(|slice| slice.rows).sum()
}

/// A file that was too young to trust its stat is looked at again.
fn bytes_of(session: &Session, source: &SourceRecord) -> Option<u64> {
    source.stat.map(|stat| stat.bytes).or_else(|| session.project.source().bytes(&source.path))
}

fn source_json(session: &Session, source: &SourceRecord) -> Value {
    let runs: std::collections::BTreeSet<String> = source.slices.iter().filter_map(|s| s.partition.run()).collect();
    json!({
        "path": source.path,
        "rows": rows_of(&source.slices),
        "bytes": bytes_of(session, source),
        "runs": runs,
        "problem": source.problem.as_ref().map(assets_core::Reason::to_json),
    })
}

fn text(out: &Out, session: &Session, files: &[Published], sources: &[&SourceRecord], summarize: bool) {
    let mut grid = Grid::new(&["output", ">files", ">rows", ">bytes", "path"]);
    for group in files.chunk_by(|a, b| a.output == b.output) {
        let paths: std::collections::BTreeSet<&PathBuf> = group.iter().map(|file| &file.path).collect();
        let row = |n: usize, files: &[&Published], path: String| {
            let (rows, bytes) = files.iter().fold((0, 0), |(rows, bytes), file| (rows + file.rows, bytes + file.bytes));
            let output = files.first().map_or_else(String::new, |file| file.output.clone());
            [output, number::count(n as u64), number::count(rows), number::bytes(bytes), path]
        };
        if summarize && paths.len() > LISTED {
            let folder = paths.first().and_then(|path| path.parent()).map(|folder| folder.join("*.parquet"));
            let all: Vec<&Published> = group.iter().collect();
            grid.plain(row(paths.len(), &all, folder.unwrap_or_default().display().to_string()));
            continue;
        }
        for path in paths {
            let within: Vec<&Published> = group.iter().filter(|file| file.path == *path).collect();
            grid.plain(row(1, &within, path.display().to_string()));
        }
    }
    if files.is_empty() {
        out.line("no tables are published yet");
    } else {
        out.text(&grid.render());
    }
    if sources.is_empty() {
        return;
    }
    out.line(&format!("\n{}", words::bold("sources, as read last")));
    let mut grid = Grid::new(&["path", ">rows", ">bytes", "problem"]);
    for source in sources {
        let bytes = bytes_of(session, source).map_or_else(|| "?".to_owned(), number::bytes);
        let problem = source.problem.as_ref().map(|reason| reason.message.clone()).unwrap_or_default();
        grid.plain([source.path.clone(), number::count(rows_of(&source.slices)), bytes, problem]);
    }
    out.text(&grid.render());
}
