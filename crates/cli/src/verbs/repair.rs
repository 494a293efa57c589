//! `assets repair`: says what it does about what `verify` finds, and does it. What only a build can mend is told.

use crate::app::{App, Failure};
use crate::args::{Global, RepairArgs};
use crate::out::Out;
use crate::render::words;
use crate::verbs::verify::{self, finding_json, line, reasons_json};
use assets_core::catalog::{Claim, Work};
use assets_core::finding::Finding;
use assets_engine::EngineError;
use assets_engine::repair;
use serde_json::json;
use std::time::Duration;

pub(crate) fn run(app: &dyn App, out: &Out, global: &Global, args: &RepairArgs) -> Result<u8, Failure> {
    let project = app.open(&crate::session::open_options(global))?;
    if args.dry_run {
        return dry_run(out, &verify::look(project.as_ref())?.findings);
    }
    let mut done = project.repair(!args.no_wait, &mut |holder| {
        out.error(&format!("waiting for {holder}"));
    })?;
    let store = project.writer(!args.no_wait, &mut |_| ())?;
    let (catalog, tables) = (store.catalog(), store.tables());
    let ledger = catalog.ledger()?;
    let packer = project.packer(store.tables());
    // A build that publishes just now is done with it soon.
    let held = loop {
        match catalog.claim(&Work::Views)? {
            Claim::Ours(held) => break held,
            Claim::Theirs(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    let published = repair::publish(project.graph(), &ledger, catalog, tables.as_ref(), packer.as_ref())?;
    if !published.left.iter().any(|reason| reason.code == "not_published") {
        store.mark_published().map_err(EngineError::Tables)?;
    }
    drop(held);
    // Asked for anything that was, the index is folded again now, and not when a build waits for it.
    catalog.of_build("")?;
    drop(store);
    done.extend(published.done);
    let after = verify::look(project.as_ref())?;
    let left: Vec<&Finding> =
        after.findings.iter().filter(|finding| finding.repair.is_some() || finding.build).collect();
    if out.json {
        let left: Vec<_> = left.into_iter().map(finding_json).collect();
        out.json(&json!({"dry_run": false, "done": reasons_json(&done), "left": left}));
        return Ok(after.exit());
    }
    done.iter().for_each(|reason| out.line(&words::safe(&reason.message)));
    out.line("what is recorded and stored is published");
    for finding in left {
        out.line(&line(finding));
        out.line(&format!("  mended by: {}", finding.mend()));
    }
    Ok(after.exit())
}

fn dry_run(out: &Out, findings: &[Finding]) -> Result<u8, Failure> {
    let (repaired, others): (Vec<_>, Vec<_>) = findings.iter().partition(|finding| finding.repair.is_some());
    if out.json {
        let json = |findings: Vec<&Finding>| findings.into_iter().map(finding_json).collect::<Vec<_>>();
        out.json(&json!({"dry_run": true, "would": json(repaired), "left": json(others)}));
        return Ok(0);
    }
    if repaired.is_empty() {
        out.line("there is nothing to repair; it would fold the journal again, and publish what is recorded");
    }
    for finding in repaired {
        out.line(&line(finding));
        out.line(&format!("  it {}", finding.repair.as_deref().unwrap_or_default()));
    }
    for finding in others.iter().filter(|finding| finding.build) {
        out.line(&line(finding));
        out.line(&format!("  mended by: {}", finding.mend()));
    }
    Ok(0)
}
