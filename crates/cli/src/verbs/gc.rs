//! `assets gc`: what the store can do without. Shows it; removes it when told to.

use crate::app::{App, Failure, GcFound, GcOptions};
use crate::args::{GcArgs, Global};
use crate::out::Out;
use crate::render::{number, words};
use crate::session;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Files that are listed one by one.
const LISTED: usize = 20;

pub(crate) fn run(app: &dyn App, out: &Out, global: &Global, args: &GcArgs) -> Result<u8, Failure> {
    let project = app.open(&session::open_options(global))?;
    let options = GcOptions {
        remove: args.yes,
        versions: args.keep,
        younger_than: args.older_than,
        max_bytes: args.max,
        undeclared: args.undeclared,
        wait: !args.no_wait,
    };
    let found = project.gc(&options, &mut |holder| out.error(&format!("waiting for {holder}")))?;
    if out.json {
        out.json(&answer_json(&found, args.yes));
    } else {
        answer(out, &found, args);
    }
    Ok(0)
}

/// How many files of each kind, and their bytes.
fn counts(found: &GcFound) -> BTreeMap<&'static str, (usize, u64)> {
    let mut counts = BTreeMap::new();
    for garbage in &found.garbage {
        let (files, bytes): &mut (usize, u64) = counts.entry(garbage.kind).or_default();
        *files += 1;
        *bytes += garbage.bytes;
    }
    counts
}

fn answer_json(found: &GcFound, removed: bool) -> Value {
    let garbage = found.garbage.iter().map(|garbage| {
        let step = garbage.step.as_ref();
        json!({
            "kind": garbage.kind,
            "path": garbage.path.display().to_string(),
            "bytes": garbage.bytes,
            "asset": step.map(|step| step.asset.as_str()),
            "run": step.and_then(|step| step.partition.run()),
        })
    });
    let kinds: Map<String, Value> = counts(found)
        .into_iter()
        .map(|(kind, (files, bytes))| (kind.to_owned(), json!({"files": files, "bytes": bytes})))
        .collect();
    json!({
        "removed": removed,
        "garbage": garbage.collect::<Vec<_>>(),
        "kinds": kinds,
        "files": found.garbage.len(),
        "bytes": found.garbage.iter().map(|garbage| garbage.bytes).sum::<u64>(),
        "bytes_left": found.bytes_left,
        "too_large": found.is_too_large,
        "compaction": found.compaction.map(|compaction| json!({
            "entries": compaction.entries,
            "bytes": compaction.bytes,
            "index_bytes": compaction.index_bytes,
        })),
        "store_exists": found.no_store.is_none(),
        "undeclared": found.undeclared.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

/// What a kind is called.
fn told(kind: &str) -> &'static str {
    match kind {
        "old_version" => "an old version",
        "over_size" => "a version there is no room for",
        "orphan" => "an object that no record speaks of",
        "temp" => "what a killed process was writing",
        "log" => "a log of a step that is no more",
        _ => "a table that nothing declares",
    }
}

/// What becomes of the journal and its index.
fn compaction(found: &GcFound, done: bool) -> Option<String> {
    let compaction = found.compaction?;
    let entries = match compaction.entries {
        1 => "1 entry".to_owned(),
        n => format!("{} entries", number::count(n as u64)),
    };
    let (verb, bytes) = (if done { "wrote" } else { "would write" }, number::bytes(compaction.bytes));
    let about = if done { "" } else { "about " };
    let index = number::bytes(compaction.index_bytes);
    Some(format!(
        "{verb} the journal anew without {entries} that nothing needs, {about}{bytes} less; its index of {index} is made \
         anew by the next build"
    ))
}

fn answer(out: &Out, found: &GcFound, args: &GcArgs) {
    if let Some(place) = &found.no_store {
        out.line(&words::safe(&format!("nothing to remove: there is no store at {} yet", place.display())));
        return;
    }
    for (kind, (files, bytes)) in counts(found) {
        let files = number::plural(files, "file");
        out.line(&format!("{kind:<12} {files:>12} {:>10}  each {}", number::bytes(bytes), told(kind)));
    }
    if !args.yes {
        for garbage in found.garbage.iter().take(LISTED) {
            let step = garbage.step.as_ref().map(|step| format!("  {step}")).unwrap_or_default();
            out.hint(&format!("  {}{}", words::safe(&garbage.path.display().to_string()), words::safe(&step)));
        }
        if found.garbage.len() > LISTED {
            out.hint(&format!("  … and {} more (--json lists all)", found.garbage.len() - LISTED));
        }
    }
    let bytes = number::bytes(found.garbage.iter().map(|garbage| garbage.bytes).sum());
    let left = number::bytes(found.bytes_left);
    out.line(&match (found.garbage.len(), args.yes) {
        (0, _) => format!("nothing to remove; the store has {left}"),
        (files, true) => format!("removed {}, {bytes}; {left} are left", number::plural(files, "file")),
        (files, false) => format!("would remove {}, {bytes}; {left} would be left", number::plural(files, "file")),
    });
    // A disk is mostly full of what was made today.
    if found.garbage.is_empty() && (args.keep > 1 || !args.older_than.is_zero()) {
        out.hint("what is young, and a few versions of each table, stay: `assets gc --keep 1 --older-than 0s` shows what else can go");
    }
    if let Some(line) = compaction(found, args.yes) {
        out.line(&line);
    }
    if found.is_too_large {
        out.warn("the store stays above its largest size: what is published needs it");
    }
    if (!found.garbage.is_empty() || found.compaction.is_some()) && !args.yes {
        out.hint("nothing was removed: `assets gc --yes` does it");
    }
    if !found.undeclared.is_empty() && !args.undeclared {
        let names: Vec<String> = found.undeclared.iter().map(ToString::to_string).collect();
        out.hint(&format!("--undeclared would remove the tables of {} too: nothing declares them", names.join(", ")));
    }
}
