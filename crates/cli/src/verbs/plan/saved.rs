//! A plan in a file: written by `plan --output`, applied by `materialize --plan`, which plans again under the lock and
//! refuses where anything differs.
//!
//! The file is the answer of `plan --json` with an object `plan` (what was asked for, and one digest of all) and a
//! `mark` for each step: its digest, and what tells later why that differs.

use crate::app::Failure;
use crate::args::{MaterializeArgs, ScopeArgs};
use crate::edge;
use assets_core::hash::{Digest, Hasher};
use assets_core::{Reason, Step};
use assets_engine::World;
use assets_engine::plan::{Plan, PlannedStep};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;

/// The format of the file that this program writes and reads.
const FORMAT: u64 = 1;
/// Steps that a refusal names.
const NAMED: usize = 5;

/// A step's digest, and what went into it.
#[derive(Debug, Clone, PartialEq)]
struct Mark {
    digest: String,
    /// Of the asset's code, parameters, columns.
    settings: String,
    /// Of what the sources deliver for it.
    sources: String,
    /// How often it was recorded, and how often it failed since.
    made: u64,
}

/// A plan that was saved.
#[derive(Debug)]
pub(crate) struct Saved {
    path: String,
    digest: String,
    /// (asset, run), mark; in the order of the plan.
    steps: Vec<(Name, Mark)>,
    /// Those to take down.
    gone: Vec<Name>,
}

/// Asset and run.
type Name = (String, Option<String>);

/// The document with what `materialize --plan` needs.
pub(crate) fn document(mut answer: Value, world: &World<'_>, plan: &Plan, asked: &MaterializeArgs) -> Value {
    let marks = marks(world, plan);
    for (step, mark) in answer["steps"].as_array_mut().into_iter().flatten().zip(&marks) {
        step["mark"] = json!({
            "digest": mark.digest, "settings": mark.settings, "sources": mark.sources, "made": mark.made,
        });
    }
    answer["plan"] = json!({
        "format": FORMAT,
        "program": env!("CARGO_PKG_VERSION"),
        "select": asked.scope.select,
        "runs": asked.scope.runs,
        "only": asked.only,
        "force": asked.force,
        "digest": digest_of_all(marks.iter(), &gone(plan)),
    });
    answer
}

/// Writes a saved plan; a reader sees the old file or all of the new one.
pub(crate) fn write(path: &Path, document: &Value) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(document).unwrap_or_default() + "\n";
    let mut temp = path.as_os_str().to_owned();
    temp.push(format!(".{}.tmp", std::process::id()));
    let written = std::fs::write(&temp, text).and_then(|()| std::fs::rename(&temp, path));
    written.map_err(|error| {
        // What is left of it is worth nothing; that it can't be removed either says nothing new.
        let _ = std::fs::remove_file(&temp);
        edge::file_failure(path, &error)
    })
}

/// A saved plan, with what was asked for then.
pub(crate) fn read(path: &Path, flags: &MaterializeArgs) -> Result<(Saved, MaterializeArgs), Failure> {
    let bad = |why: String| {
        let reason = Reason::new("bad_plan", format!("{} is no saved plan: {why}", path.display()));
        Failure::usage(reason.with("path", path.display().to_string())).help("`assets plan --output FILE` writes one")
    };
    let text = std::fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
    let value: Value = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
    let plan = &value["plan"];
    match plan["format"].as_u64() {
        Some(FORMAT) => {}
        Some(other) => return Err(bad(format!("it has format {other}, and this program reads format {FORMAT}"))),
        None => return Err(bad("it has no `plan` with a `format`".to_owned())),
    }
    let missing = |what: &str| bad(format!("`{what}` is missing or is something else"));
    let texts = |name: &str| -> Result<Vec<String>, Failure> {
        let all = plan[name].as_array().ok_or_else(|| missing(name))?;
        all.iter().map(|text| text.as_str().map(str::to_owned).ok_or_else(|| missing(name))).collect()
    };
    let flag = |name: &str| plan[name].as_bool().ok_or_else(|| missing(name));
    let steps = value["steps"].as_array().ok_or_else(|| missing("steps"))?;
    let steps: Option<Vec<_>> = steps.iter().map(marked).collect();
    let steps = steps.ok_or_else(|| missing("steps"))?;
    let gone = value["gone"].as_array().map_or(Some(Vec::new()), |gone| gone.iter().map(named).collect());
    let gone = gone.ok_or_else(|| missing("gone"))?;
    let digest = plan["digest"].as_str().ok_or_else(|| missing("digest"))?.to_owned();
    if digest != digest_of_all(steps.iter().map(|(_, mark)| mark), &gone) {
        return Err(bad("its digest is not that of its steps; was it edited?".to_owned()));
    }
    let asked = MaterializeArgs {
        scope: ScopeArgs { select: texts("select")?, runs: texts("runs")? },
        only: flag("only")?,
        force: flag("force")?,
        ..flags.clone()
    };
    Ok((Saved { path: path.display().to_string(), digest, steps, gone }, asked))
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn named(step: &Value) -> Option<Name> {
    Some((text(&step["asset"])?, text(&step["run"])))
}

fn marked(step: &Value) -> Option<(Name, Mark)> {
    let mark = &step["mark"];
    let mark = Mark {
        digest: text(&mark["digest"])?,
        settings: text(&mark["settings"])?,
        sources: text(&mark["sources"])?,
        made: mark["made"].as_u64()?,
    };
    Some((named(step)?, mark))
}

impl Saved {
    /// Refuses where the plan is another one now: naming the first steps that differ, and why.
    pub(crate) fn check(&self, world: &World<'_>, plan: &Plan) -> Result<(), Failure> {
        let now = marks(world, plan);
        let to_take_down = gone(plan);
        if self.digest == digest_of_all(now.iter(), &to_take_down) {
            return Ok(());
        }
        let names = plan.steps.iter().map(|planned| name(&planned.step));
        let now: HashMap<_, _> = names.clone().zip(now).collect();
        let before: HashMap<_, _> = self.steps.iter().cloned().collect();
        let mut differ: Vec<String> = Vec::new();
        for name in names {
            match (before.get(&name), now.get(&name)) {
                (Some(before), Some(now)) if before.digest != now.digest => {
                    differ.push(format!("{}: {}", told(&name), why(before, now)));
                }
                (None, _) => differ.push(format!("{}: it was not in the plan", told(&name))),
                _ => {}
            }
        }
        let missing = self.steps.iter().filter(|(name, _)| !now.contains_key(name));
        differ.extend(missing.map(|(name, _)| {
            let what = if to_take_down.contains(name) { "it is gone now" } else { "it is not in the plan any more" };
            format!("{}: {what}", told(name))
        }));
        let news = to_take_down.iter().filter(|name| !self.gone.contains(name) && !before.contains_key(name));
        differ.extend(news.map(|name| format!("{}: it is gone now", told(name))));
        let not_gone = self.gone.iter().filter(|name| !to_take_down.contains(name));
        differ.extend(not_gone.map(|name| format!("{}: it is not to be taken down any more", told(name))));
        Err(self.moved(&differ))
    }

    fn moved(&self, differ: &[String]) -> Failure {
        let (few, rest) = differ.split_at(differ.len().min(NAMED));
        let more = if rest.is_empty() { String::new() } else { format!("; and {} more", rest.len()) };
        let what = match (differ.len(), few) {
            (0, _) => "its steps come in another order".to_owned(),
            (1, _) => format!("1 step differs now: {}", few.join("; ")),
            (n, _) => format!("{n} steps differ now: {}{more}", few.join("; ")),
        };
        let reason = Reason::new("plan_moved", format!("{} does not hold any more: {what}", self.path));
        let reason = reason.with("path", self.path.as_str()).with("steps", differ.len()).with("first", few.to_vec());
        Failure::usage(reason).help("nothing was made; `assets plan --output FILE` plans anew")
    }
}

fn why(before: &Mark, now: &Mark) -> &'static str {
    if before.settings != now.settings {
        "its settings or its code changed"
    } else if before.sources != now.sources {
        "its sources changed"
    } else if before.made != now.made {
        "it was made or tried meanwhile"
    } else {
        "what it is made from or what is stored of it changed"
    }
}

/// The steps that the plan takes down.
fn gone(plan: &Plan) -> Vec<Name> {
    plan.to_take_down().map(|gone| name(&gone.step)).collect()
}

fn name(step: &Step) -> Name {
    (step.asset.to_string(), step.partition.run())
}

fn told((asset, run): &Name) -> String {
    run.as_ref().map_or_else(|| asset.clone(), |run| format!("{asset} of {run}"))
}

fn digest_of_all<'a>(marks: impl Iterator<Item = &'a Mark>, gone: &[Name]) -> String {
    let mut hasher = Hasher::new("assets.plan.1");
    marks.for_each(|mark| {
        hasher.text(&mark.digest);
    });
    for (asset, run) in gone {
        hasher.text("gone").text(asset).optional(run.as_deref());
    }
    let digest: Digest<16> = hasher.finish();
    digest.to_string()
}

fn marks(world: &World<'_>, plan: &Plan) -> Vec<Mark> {
    let mut settings: HashMap<&str, String> = HashMap::new();
    let all = plan.steps.iter().map(|planned| {
        let name = planned.step.asset.as_str();
        let settings = settings.entry(name).or_insert_with(|| settings_of(world, name));
        mark(world, planned, settings)
    });
    all.collect()
}

fn settings_of(world: &World<'_>, name: &str) -> String {
    let mut hasher = Hasher::new("assets.plan.settings.1");
    if let Some(asset) = world.graph.asset(name) {
        hasher.text(&asset.code).text(&asset.shape()).number(asset.params.len() as u64);
        asset.params.iter().for_each(|(name, text)| {
            hasher.text(name).text(text);
        });
    }
    let digest: Digest<16> = hasher.finish();
    digest.to_string()
}

fn sources_of(world: &World<'_>, step: &Step) -> String {
    let mut hasher = Hasher::new("assets.plan.sources.1");
    if let Some(delivery) = world.sources.deliveries.get(step) {
        // In which order and from which files is not told apart: the same rows are the same.
        let mut slices: Vec<_> = delivery.slices.iter().map(|slice| slice.hash).collect();
        slices.sort_unstable();
        hasher.number(slices.len() as u64);
        slices.iter().for_each(|hash| {
            hasher.bytes(hash.0.as_bytes());
        });
        reasons(&mut hasher, delivery.failure.as_slice());
    }
    let digest: Digest<16> = hasher.finish();
    digest.to_string()
}

fn mark(world: &World<'_>, planned: &PlannedStep, settings: &str) -> Mark {
    let step = &planned.step;
    let sources = sources_of(world, step);
    let mut hasher = Hasher::new("assets.plan.step.1");
    hasher.text(step.asset.as_str());
    for (dimension, key) in step.partition.keys() {
        hasher.text(dimension).text(key);
    }
    hasher.text(planned.verdict.state.name());
    match &planned.ready {
        Some(ready) => {
            hasher.number(1).bytes(ready.fingerprint.0.as_bytes());
        }
        // Not known yet what goes in: all that is known of it.
        None => {
            hasher.number(0).text(settings).text(&sources);
            reasons(&mut hasher, &planned.verdict.reasons);
        }
    }
    hasher.number(planned.parts.len() as u64);
    for part in &planned.parts {
        hasher.text(part.output.as_str()).text(&part.id.to_string()).text(part.state.name());
        match &part.fingerprint {
            Some(fingerprint) => {
                hasher.number(1).bytes(fingerprint.0.as_bytes());
            }
            None => {
                hasher.number(0);
                reasons(&mut hasher, &part.reasons);
            }
        }
    }
    let digest: Digest<16> = hasher.finish();
    let tip = world.ledger.tip(step);
    let made = tip.map_or(0, |tip| 2 * tip.generation() + u64::from(tip.attempt().is_some()));
    Mark { digest: digest.to_string(), settings: settings.to_owned(), sources, made }
}

/// Codes and facts; a sentence may be worded anew.
fn reasons(hasher: &mut Hasher, reasons: &[Reason]) {
    hasher.number(reasons.len() as u64);
    for reason in reasons {
        let mut facts = reason.to_json();
        if let Some(map) = facts.as_object_mut() {
            map.remove("message");
        }
        hasher.text(&facts.to_string());
    }
}
