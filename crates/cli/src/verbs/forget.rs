//! `assets forget`: lets go of files that are not there any more, with all that only they brought. Shows what that is; does
//! it when told to.

use crate::app::{App, Failure};
use crate::args::{ForgetArgs, Global};
use crate::edge;
use crate::out::Out;
use crate::render::{number, words};
use crate::session;
use crate::verbs::materialize::{build_id, trigger};
use assets_core::catalog::Records;
use assets_core::ledger::Ledger;
use assets_core::record::{BuildEnd, BuildRecord, Counts, Entry};
use assets_core::source::{Identified, Vanished};
use assets_core::table_store::TableStore;
use assets_core::{Partition, Reason, suggest};
use assets_engine::plan::all_partitions;
use assets_engine::pool::now_us;
use assets_engine::{EngineError, World};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Runs that are named one by one.
const NAMED: usize = 12;

/// What forgetting some files comes to.
struct Outcome<'a> {
    files: Vec<&'a Vanished>,
    /// Runs that no other file delivers.
    gone: Vec<String>,
    /// Runs that others deliver too.
    remade: Vec<String>,
}

pub(crate) fn run(
    app: &dyn App,
    out: &Out,
    global: &Global,
    args: &ForgetArgs,
    argv: &[OsString],
) -> Result<u8, Failure> {
    let project = app.open(&session::open_options(global))?;
    let identify = |ledger: &Ledger| project.source().identify(ledger, global.rehash).map_err(edge::unlisted);
    let base = project.config_path().and_then(Path::parent).unwrap_or_else(|| Path::new(""));
    let look = |records: &dyn Records, tables: &dyn TableStore| -> Result<Vec<Entry>, Failure> {
        let ledger = records.ledger()?;
        let sources = identify(&ledger)?;
        let known: Vec<&str> = ledger.sources().keys().map(String::as_str).collect();
        let there = |path: &str| project.source().bytes(path).is_some();
        let files = chosen(&args.files, &sources.vanished, &known, base, &there)?;
        let mut after = ledger.clone();
        files.iter().for_each(|file| after.apply(Entry::Source(file.forgotten.clone())));
        let partitions = |ledger: &Ledger, sources: &Identified| {
            all_partitions(&World { graph: project.graph(), ledger, sources, records, tables })
        };
        let then = partitions(&after, &identify(&after)?);
        let outcome = outcome(files, &partitions(&ledger, &sources), &then);
        if out.json {
            out.json(&answer_json(&outcome, args.yes));
        } else {
            answer(out, &outcome, args.yes);
        }
        Ok(outcome.files.into_iter().map(|file| Entry::Source(file.forgotten.clone())).collect())
    };
    if !args.yes {
        let reader = project.reader()?;
        look(reader.records(), reader.tables().as_ref())?;
        return Ok(0);
    }
    let store = project.writer(true, &mut |holder| out.error(&format!("waiting for {holder}")))?;
    let sources = look(store.catalog(), store.tables().as_ref())?;
    let committed = store.catalog().commit(journaled(sources, trigger(argv)));
    committed.map_err(EngineError::from)?;
    Ok(0)
}

/// The vanished files that are meant: by the names that warnings tell, by paths from here, or by patterns.
fn chosen<'a>(
    asked: &[String],
    vanished: &'a [Vanished],
    known: &[&str],
    base: &Path,
    there: &dyn Fn(&str) -> bool,
) -> Result<Vec<&'a Vanished>, Failure> {
    let mut chosen: Vec<&Vanished> = Vec::new();
    for ask in asked {
        let here = place(Path::new(ask));
        let is_meant = |path: &str| path == ask || place(&base.join(path)) == here;
        let pattern = glob::Pattern::new(ask).ok().filter(|_| ask.contains(['*', '?', '[']));
        let fits = |file: &&Vanished| {
            is_meant(&file.path) || pattern.as_ref().is_some_and(|pattern| pattern.matches(&file.path))
        };
        let found: Vec<&Vanished> = vanished.iter().filter(fits).collect();
        if found.is_empty() {
            let known = known.iter().find(|path| is_meant(path));
            return Err(match known.filter(|path| there(path)).copied().or_else(|| there(ask).then_some(ask)) {
                Some(path) => still_there(path),
                None => unknown(ask, vanished),
            });
        }
        chosen.extend(
            found.into_iter().filter(|file| !chosen.iter().any(|known| known.path == file.path)).collect::<Vec<_>>(),
        );
    }
    Ok(chosen)
}

/// Where a file would be that is not there: its folder may be.
fn place(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let folder = absolute.parent().and_then(|folder| folder.canonicalize().ok());
    match (folder, absolute.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => absolute,
    }
}

fn still_there(path: &str) -> Failure {
    let message = format!("{} is still there: only a file that is not can be forgotten", path);
    Failure::usage(Reason::new("source_still_there", message).with("path", path))
        .help("remove the file, or take it out of the patterns of the settings, first")
}

fn unknown(asked: &str, vanished: &[Vanished]) -> Failure {
    let names = || vanished.iter().map(|file| file.path.as_str());
    let hint = suggest::hint(asked, names());
    let message = format!("no file that is not there any more is called `{}`{hint}", asked);
    let help = match vanished.len() {
        0 => "every file that was read is still there".to_owned(),
        n => {
            let named: Vec<&str> = names().take(NAMED).collect();
            let more = if n > NAMED { format!(" and {} more", n - NAMED) } else { String::new() };
            format!("not there any more: {}{more}", words::safe(&named.join(", ")))
        }
    };
    Failure::usage(Reason::new("unknown_source", message).with("asked", asked)).help(help)
}

fn outcome<'a>(files: Vec<&'a Vanished>, now: &BTreeSet<Partition>, then: &BTreeSet<Partition>) -> Outcome<'a> {
    let named = |partitions: BTreeSet<&Partition>| partitions.iter().filter_map(|partition| partition.run()).collect();
    let own = files.iter().flat_map(|file| &file.steps).map(|step| &step.partition);
    let remade = named(own.filter(|partition| then.contains(*partition)).collect());
    Outcome { files, gone: named(now.difference(then).collect()), remade }
}

/// What is recorded: as of a build that makes nothing.
fn journaled(sources: Vec<Entry>, trigger: String) -> Vec<Entry> {
    let (id, at_us) = (build_id(), now_us());
    let begin = BuildRecord {
        id: id.clone(),
        trigger,
        process: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        start_us: at_us,
        planned: (0, 0),
    };
    let end = BuildEnd { id, end_us: at_us, counts: Counts::default(), interrupted: false };
    std::iter::once(Entry::Begin(begin)).chain(sources).chain([Entry::End(end)]).collect()
}

fn runs_of(file: &Vanished) -> BTreeSet<String> {
    file.steps.iter().filter_map(|step| step.partition.run()).collect()
}

fn answer_json(outcome: &Outcome<'_>, done: bool) -> Value {
    let file = |file: &&Vanished| json!({"path": file.path, "rows": file.rows, "runs": runs_of(file)});
    json!({
        "forgotten": done,
        "files": outcome.files.iter().map(file).collect::<Vec<_>>(),
        "gone": outcome.gone,
        "remade": outcome.remade,
    })
}

fn answer(out: &Out, outcome: &Outcome<'_>, done: bool) {
    for file in &outcome.files {
        let runs = number::plural(runs_of(file).len(), "run");
        let rows = number::plural(usize::try_from(file.rows).unwrap_or(usize::MAX), "row");
        out.line(&format!("{}: {rows} of {runs}", words::safe(&file.path)));
    }
    let named = |runs: &[String]| {
        let more = if runs.len() > NAMED { format!(" and {} more", runs.len() - NAMED) } else { String::new() };
        words::safe(&format!("{}{more}", runs[..runs.len().min(NAMED)].join(", ")))
    };
    let are = |runs: &[String]| {
        let verb = match (done, runs.len()) {
            (false, _) => "would be",
            (true, 1) => "is",
            (true, _) => "are",
        };
        format!("{} {verb}", number::plural(runs.len(), "run"))
    };
    if !outcome.gone.is_empty() {
        let them = if outcome.gone.len() == 1 { "it" } else { "them" };
        let (are, named) = (are(&outcome.gone), named(&outcome.gone));
        out.line(&format!("{are} gone, as no other file delivers {them}: {named}"));
    }
    if !outcome.remade.is_empty() {
        out.line(&format!("{} without these rows: {}", are(&outcome.remade), named(&outcome.remade)));
    }
    if done {
        let files = number::plural(outcome.files.len(), "file");
        out.line(&format!("forgot {files}; `assets materialize` brings the tables up to that"));
    } else {
        out.hint("nothing was forgotten: the same with --yes does it; a file that comes back is read anew");
    }
}
