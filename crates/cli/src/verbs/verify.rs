//! `assets verify`: whether every file of the store still is what was written, and what mends those that are not.

use crate::app::{App, Failure, Project};
use crate::args::{Global, VerifyArgs};
use crate::edge;
use crate::memory;
use crate::out::Out;
use crate::render::{number, words};
use crate::session::Session;
use assets_core::finding::{Finding, Harm};
use assets_core::{Fact, Reason};
use assets_engine::pool::now_us;
use assets_engine::verify::{self, Verification, Verified};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Findings of one code that are told one by one to a person.
const LISTED: usize = 20;

/// How often what is published is looked at again where something seems wrong with it, and how much later.
const LOOKS_MORE: usize = 3;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// What was looked at and found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) findings: Vec<Finding>,
    frames: usize,
    objects: usize,
    tables: usize,
    published: usize,
    recomputed: usize,
}

impl Report {
    fn problems(&self) -> usize {
        self.findings.iter().filter(|finding| finding.harm == Harm::Problem).count()
    }

    /// 0 where nothing is wrong.
    pub(crate) fn exit(&self) -> u8 {
        if self.problems() > 0 { edge::DATA } else { 0 }
    }
}

pub(crate) fn run(app: &dyn App, out: &Out, global: &Global, args: &VerifyArgs) -> Result<u8, Failure> {
    let project = app.open(&crate::session::open_options(global))?;
    let mut report = look(project.as_ref())?;
    if let Some(count) = args.recompute.filter(|_| readable(&report)) {
        recompute(app, out, global, count, &mut report)?;
    }
    report.findings.sort_by_key(|finding| finding.harm);
    if out.json {
        out.json(&json(&report));
    } else {
        text(out, &report);
    }
    Ok(report.exit())
}

/// Looks at the files of a store, then at what its records say about them.
pub(crate) fn look(project: &dyn Project) -> Result<Report, Failure> {
    let examined = project.examine()?;
    let mut report =
        Report { findings: examined.findings, frames: examined.frames, objects: examined.objects, ..Report::default() };
    if !readable(&report) {
        return Ok(report);
    }
    let mut verified = against_records(project)?;
    for _ in 0..LOOKS_MORE {
        if !verified.findings.iter().any(is_of_publishing) {
            break;
        }
        std::thread::sleep(BETWEEN_LOOKS);
        let again = against_records(project)?.findings;
        let stays = |finding: &Finding| !is_of_publishing(finding) || again.iter().any(|other| is_same(finding, other));
        verified.findings.retain(stays);
    }
    report.findings.extend(verified.findings);
    report.tables = verified.tables;
    report.published = verified.published;
    Ok(report)
}

/// A build beside this may commit and publish between reading the records and looking at a table: what is wrong with
/// what is published is wrong at a second look as well.
fn is_of_publishing(finding: &Finding) -> bool {
    matches!(&*finding.reason.code, "table_damaged" | "table_missing" | "table_outdated")
}

fn is_same(one: &Finding, other: &Finding) -> bool {
    let path = |finding: &Finding| finding.reason.facts.get("path").cloned();
    is_of_publishing(other) && path(one) == path(other)
}

fn against_records(project: &dyn Project) -> Result<Verified, Failure> {
    let reader = project.reader()?;
    let ledger = reader.records().ledger()?;
    let examiner = project.examiner(Arc::clone(reader.tables()));
    let packer = project.packer(Arc::clone(reader.tables()));
    let verification = Verification {
        graph: project.graph(),
        ledger: &ledger,
        records: reader.records(),
        tables: reader.tables().as_ref(),
        examiner: examiner.as_ref(),
        packer: packer.as_ref(),
        all_published: reader.all_published(),
    };
    Ok(verification.run())
}

/// Whether the records can be read at all.
fn readable(report: &Report) -> bool {
    !report.findings.iter().any(|finding| matches!(&*finding.reason.code, "store_format" | "journal_malformed"))
}

fn recompute(app: &dyn App, out: &Out, global: &Global, count: usize, report: &mut Report) -> Result<(), Failure> {
    let session = Session::open(app, global)?;
    let scope = session.scope(&crate::args::ScopeArgs::default())?;
    let plan = session.plan(&scope);
    let seed = usize::try_from(now_us().unsigned_abs() / 1000).unwrap_or_default();
    let worker = |tables| session.project.worker(tables);
    let tables = session.reader.tables();
    let _limit = memory::limit(*out, session.project.memory());
    let (made, findings) = verify::recompute(&session.world(), &plan, count, seed, &worker, tables);
    report.recomputed = made;
    report.findings.extend(findings);
    Ok(())
}

/// A finding for scripts.
pub(crate) fn finding_json(finding: &Finding) -> Value {
    let mut object = Map::new();
    object.insert("kind".into(), finding.harm.name().into());
    if let Value::Object(facts) = finding.reason.to_json() {
        object.extend(facts);
    }
    if let Some(step) = &finding.step {
        object.insert("asset".into(), step.asset.as_str().into());
        object.insert("run".into(), step.partition.run().into());
    }
    object.insert("mend".into(), finding.mend().into());
    object.insert("repair".into(), finding.repair.clone().into());
    object.into()
}

fn json(report: &Report) -> Value {
    json!({
        "findings": report.findings.iter().map(finding_json).collect::<Vec<_>>(),
        "looked_at": {
            "frames": report.frames,
            "objects": report.objects,
            "tables": report.tables,
            "published": report.published,
            "recomputed": report.recomputed,
        },
        "problems": report.problems(),
        "notes": report.findings.len() - report.problems(),
    })
}

/// A finding for a person, with what mends it.
pub(crate) fn line(finding: &Finding) -> String {
    let step = match &finding.step {
        Some(step) if !finding.reason.message.contains(&step.to_string()) => format!("{step}: "),
        _ => String::new(),
    };
    let path = match finding.reason.facts.get("path") {
        Some(Fact::Text(path)) if !finding.reason.message.contains(path.as_str()) => format!(" ({path})"),
        _ => String::new(),
    };
    let message = words::safe(&finding.reason.message);
    format!("{} {step}{message}{path} {}", finding.harm.name(), words::dim(format!("({})", finding.reason.code)))
}

fn text(out: &Out, report: &Report) {
    let mut told: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
    for finding in &report.findings {
        let count = told.entry(&finding.reason.code).or_default();
        *count += 1;
        if *count <= LISTED {
            out.line(&line(finding));
            if finding.harm == Harm::Problem {
                out.line(&format!("  mended by: {}", finding.mend()));
            }
        }
    }
    for (code, count) in told.iter().filter(|(_, count)| **count > LISTED) {
        out.line(&format!("… and {} more of {code}", count - LISTED));
    }
    let looked = format!(
        "looked at {}, {}, {} and {}",
        number::plural(report.frames, "frame"),
        number::plural(report.objects, "object"),
        number::plural(report.tables, "table"),
        number::plural(report.published, "published file"),
    );
    let again = match report.recomputed {
        0 => String::new(),
        n => format!("; made {} again", number::plural(n, "step")),
    };
    let verdict = match report.problems() {
        0 => words::bold("all is as it was written"),
        n => words::bold(number::plural(n, "problem")),
    };
    out.line(&format!("{verdict}: {looked}{again}"));
}

/// What was done, for scripts.
pub(crate) fn reasons_json(reasons: &[Reason]) -> Value {
    reasons.iter().map(Reason::to_json).collect()
}
