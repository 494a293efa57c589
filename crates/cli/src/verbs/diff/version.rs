//! Which two versions are compared.

use super::Version;
use crate::app::Failure;
use assets_core::{Reason, Step};

/// Indices of the earlier and the later version among all, newest first.
pub(super) fn choose(
    step: &Step,
    versions: &[Version<'_>],
    from: Option<&str>,
    to: Option<&str>,
) -> Result<(usize, usize), Failure> {
    let to = match to {
        None => 0,
        Some("previous") => match from.filter(|from| *from != "previous") {
            Some(from) => before(step, versions, find(step, versions, from)?)?,
            None => before(step, versions, 0)?,
        },
        Some(to) => find(step, versions, to)?,
    };
    let from = match from {
        Some("previous") => before(step, versions, to)?,
        Some(from) => find(step, versions, from)?,
        None => {
            let nearest = before(step, versions, to)?;
            let differs = |at: &usize| differ(&versions[*at], &versions[to]);
            // Where none differs, that is the answer: compared with the one before.
            (nearest..versions.len()).find(differs).unwrap_or(nearest)
        }
    };
    Ok((from, to))
}

fn differ(a: &Version<'_>, b: &Version<'_>) -> bool {
    let content = |version: &Version<'_>| -> Vec<_> {
        version.output.parts.iter().map(|part| (part.id.clone(), part.hash)).collect()
    };
    a.output.rows != b.output.rows || content(a) != content(b)
}

fn before(step: &Step, versions: &[Version<'_>], at: usize) -> Result<usize, Failure> {
    if at + 1 < versions.len() {
        return Ok(at + 1);
    }
    let generation = versions[at].record.generation;
    let message = format!("{step} has no version before generation {generation}: there is nothing to compare it with");
    let reason = Reason::new("no_earlier_version", message).with("generation", generation);
    Err(Failure::usage(reason).help(history(step)))
}

/// The version with that generation, or with a record's id that begins so.
fn find(step: &Step, versions: &[Version<'_>], asked: &str) -> Result<usize, Failure> {
    let generation = asked.strip_prefix('#').unwrap_or(asked).parse::<u64>().ok();
    if let Some(at) = versions.iter().position(|version| Some(version.record.generation) == generation) {
        return Ok(at);
    }
    if asked.trim_start_matches('#') == "0" {
        let last = versions.first().map_or(1, |version| version.record.generation);
        let message = format!("{step} has no generation 0: versions begin at 1, and the newest is {last}");
        let reason = Reason::new("unknown_version", message).with("asked", asked);
        return Err(Failure::usage(reason).help(history(step)));
    }
    let wanted = asked.to_ascii_lowercase();
    let fits = |version: &Version<'_>| !wanted.is_empty() && version.id.to_string().starts_with(&wanted);
    let mut found = (0..versions.len()).filter(|at| fits(&versions[*at]));
    match (found.next(), found.next()) {
        (Some(at), None) => Ok(at),
        (Some(_), Some(_)) => {
            let message = format!("several records of {step} begin with `{asked}`: write more of it");
            Err(Failure::usage(Reason::new("ambiguous_version", message)).help(history(step)))
        }
        (None, _) => {
            let known = versions.iter().map(|version| version.record.generation.to_string());
            let known: Vec<String> = known.take(12).collect();
            let message = format!("{step} has no generation or record `{asked}`; there are {}", known.join(", "));
            let reason = Reason::new("unknown_version", message).with("asked", asked).with("generations", known);
            Err(Failure::usage(reason).help(history(step)))
        }
    }
}

fn history(step: &Step) -> String {
    let run = step.partition.run().map(|run| format!(" --run {run}")).unwrap_or_default();
    format!("`assets history {}{run}` lists them", step.asset)
}
