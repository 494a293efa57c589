//! What a person asks for: which assets, which partitions, how. Validated against what exists.

use crate::inputs;
use crate::plan::{self, World};
use assets_core::graph::Graph;
use assets_core::record::StepRecord;
use assets_core::select::{Nodes, SelectError, Selection};
use assets_core::{AssetName, Partition, Step, suggest};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// What is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// An unknown or malformed asset.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// No partition fits.
    #[error("there is no run `{asked}`{hint}")]
    UnknownRun {
        /// What was asked for.
        asked: String,
        /// A suggestion, or what there is.
        hint: String,
    },
    /// Several partitions fit a prefix.
    #[error("`{asked}` fits {} runs: {}; write more of it, or `{asked}*` for all of them", .fits.len(), shown(.fits))]
    AmbiguousRun {
        /// What was asked for.
        asked: String,
        /// All that fit.
        fits: Vec<String>,
    },
    /// `--run ""`.
    #[error("`--run` is empty: give an id, the beginning of one, or a pattern such as `75*`")]
    EmptyRun,
    /// A glob that can't be read.
    #[error("`{0}` is not a pattern")]
    BadPattern(String),
}

impl ScopeError {
    /// A stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Select(SelectError::Unknown { .. }) => "unknown_asset",
            Self::Select(SelectError::Malformed { .. }) => "bad_selection",
            Self::UnknownRun { .. } => "unknown_run",
            Self::AmbiguousRun { .. } => "ambiguous_run",
            Self::EmptyRun => "empty_run",
            Self::BadPattern(_) => "bad_pattern",
        }
    }
}

fn shown(names: &[String]) -> String {
    match names.get(..8) {
        Some(first) if names.len() > 8 => format!("{}, … and {} more", first.join(", "), names.len() - 8),
        _ => names.join(", "),
    }
}

/// Which steps a request is about.
#[derive(Debug, Clone, PartialEq)]
pub struct Scope {
    /// The assets that were named, in topological order. Where the selection asks for states: those of which a step is
    /// selected, once that is settled.
    pub selected: Vec<AssetName>,
    /// Those and all they are made from, in topological order; only the named ones with `only`.
    pub assets: Vec<AssetName>,
    /// The partitions; `None` for every one. Unpartitioned ancestors are always in.
    pub partitions: Option<BTreeSet<Partition>>,
    /// Take what is published of other assets as it is.
    pub only: bool,
    /// Make the selected assets in any case.
    pub force: bool,
    /// Builds whose steps are not forced again: the beginnings of this one before.
    pub done_by: Vec<String>,
    selection: Selection,
    steps: Steps,
}

/// Which steps of the assets.
#[derive(Debug, Clone, PartialEq)]
enum Steps {
    /// Every one.
    All,
    /// Not known before the states are: none, until then.
    Unsettled,
    /// These.
    Of { selected: HashSet<Step>, with_ancestors: HashSet<Step> },
}

impl Scope {
    /// The assets of a selection, for all partitions.
    pub fn new(graph: &Graph, expressions: &[String], only: bool) -> Result<Self, ScopeError> {
        Ok(Self::of(graph, Selection::new(graph, expressions)?, only))
    }

    fn of(graph: &Graph, selection: Selection, only: bool) -> Self {
        let selected = selection.assets(graph);
        let mut assets: BTreeSet<AssetName> = selected.iter().cloned().collect();
        if !only {
            assets.extend(selected.iter().flat_map(|name| graph.ancestors(name.as_str(), usize::MAX)));
        }
        let assets = graph.order().iter().filter(|name| assets.contains(*name)).cloned().collect();
        let steps = if selection.needs_states() { Steps::Unsettled } else { Steps::All };
        Self { selected, assets, partitions: None, only, force: false, done_by: Vec::new(), selection, steps }
    }

    /// Restricts it to partitions, each given as an exact id, a unique prefix or a glob.
    pub fn restrict(&mut self, known: &BTreeSet<Partition>, asked: &[String]) -> Result<(), ScopeError> {
        if !asked.is_empty() {
            let mut chosen = BTreeSet::new();
            for ask in asked {
                chosen.extend(resolve_run(known, ask)?);
            }
            self.partitions = Some(chosen);
        }
        Ok(())
    }

    /// Whether states have to be known before it says which steps are meant (`settle`).
    pub fn needs_states(&self) -> bool {
        self.steps == Steps::Unsettled
    }

    /// Looks at the states of all steps, where the selection asks for them: which steps are meant, and what those are
    /// made from. States are those before the request: what is asked for does not change while it is carried out.
    pub fn settle(&mut self, world: &World<'_>) {
        if !self.needs_states() {
            return;
        }
        let everything = Self { partitions: self.partitions.clone(), ..Self::of(world.graph, Selection::all(), false) };
        let plan = plan::plan(world, &everything);
        let mut nodes = Nodes::default();
        let mut at: HashMap<&Step, usize> = HashMap::new();
        for planned in &plan.steps {
            let step = &planned.step;
            let inputs = world.graph.asset(step.asset.as_str()).into_iter().flat_map(|asset| &asset.inputs);
            let inputs =
                inputs.flat_map(|input| inputs::input_steps(world.graph, &plan.partitions, input, &step.partition));
            let parents: BTreeSet<usize> = inputs.filter_map(|input| at.get(&input).copied()).collect();
            let state = Some(planned.verdict.state);
            at.insert(step, nodes.add(&step.asset, state, parents.into_iter().collect()));
        }
        let chosen = self.selection.steps(&nodes);
        let of = |set: &[bool]| -> HashSet<Step> {
            plan.steps.iter().zip(set).filter(|(_, is)| **is).map(|(planned, _)| planned.step.clone()).collect()
        };
        let (selected, with_ancestors) = (of(&chosen), of(&nodes.with_ancestors(&chosen)));
        let assets = |steps: &HashSet<Step>| -> Vec<AssetName> {
            let names: BTreeSet<&AssetName> = steps.iter().map(|step| &step.asset).collect();
            world.graph.order().iter().filter(|name| names.contains(name)).cloned().collect()
        };
        self.selected = assets(&selected);
        self.assets = if self.only { self.selected.clone() } else { assets(&with_ancestors) };
        self.steps = Steps::Of { selected, with_ancestors };
    }

    /// Whether a step is made in any case.
    pub(crate) fn forces(&self, step: &Step, newest: Option<&Arc<StepRecord>>) -> bool {
        self.force && self.selects(step) && !newest.is_some_and(|record| self.done_by.contains(&record.build))
    }

    /// Whether a step is asked for itself, not only as what another is made from.
    pub fn selects(&self, step: &Step) -> bool {
        self.selected.contains(&step.asset)
            && self.includes(&step.partition)
            && match &self.steps {
                Steps::All => true,
                Steps::Unsettled => false,
                Steps::Of { selected, .. } => selected.contains(step),
            }
    }

    /// Whether a step of one of its assets is looked at: it is asked for, or one that is asked for is made from it.
    pub fn covers(&self, step: &Step) -> bool {
        self.includes(&step.partition)
            && match &self.steps {
                Steps::All => true,
                Steps::Unsettled => false,
                Steps::Of { selected, .. } if self.only => selected.contains(step),
                Steps::Of { with_ancestors, .. } => with_ancestors.contains(step),
            }
    }

    /// Whether a step that is gone is taken down: its asset has to be looked at as a whole.
    pub fn takes_down(&self, step: &Step) -> bool {
        self.partitions.is_none() && self.steps == Steps::All && self.assets.contains(&step.asset)
    }

    /// Whether a partition is in scope.
    pub fn includes(&self, partition: &Partition) -> bool {
        // What is cut less finely is part of what a chosen partition is made from.
        let coarser = |chosen: &Partition| chosen.keys().len() > partition.keys().len() && chosen.lies_in(partition);
        partition.is_none()
            || self.partitions.as_ref().is_none_or(|all| all.contains(partition) || all.iter().any(coarser))
    }
}

/// The partitions that an exact id, a unique prefix, or a glob means.
pub fn resolve_run(known: &BTreeSet<Partition>, asked: &str) -> Result<Vec<Partition>, ScopeError> {
    if asked.trim().is_empty() {
        return Err(ScopeError::EmptyRun);
    }
    let named: Vec<(String, &Partition)> = known.iter().filter_map(|p| p.run().map(|run| (run, p))).collect();
    // Keys that hold the comma between them can make two partitions look alike: their files' names never do.
    let exact: Vec<&Partition> = named.iter().filter(|(run, _)| run == asked).map(|(_, p)| *p).collect();
    let by_file = named.iter().map(|(_, p)| *p).find(|p| p.file_stem() == asked);
    match (exact.as_slice(), by_file) {
        ([], None) => {}
        ([], Some(one)) => return Ok(vec![one.clone()]),
        (several, None) if are_alike(several) => {
            let fits = several.iter().map(|partition| partition.file_stem()).collect();
            return Err(ScopeError::AmbiguousRun { asked: asked.to_owned(), fits });
        }
        (several, Some(one)) if are_alike(several) => return Ok(vec![one.clone()]),
        (several, _) => return Ok(several.iter().map(|p| (*p).clone()).collect()),
    }
    if asked.contains(['*', '?', '[']) {
        let pattern = glob::Pattern::new(asked).map_err(|_| ScopeError::BadPattern(asked.to_owned()))?;
        let fits: Vec<Partition> =
            named.iter().filter(|(run, _)| pattern.matches(run)).map(|(_, p)| (*p).clone()).collect();
        return if fits.is_empty() { Err(unknown_run(asked, &named)) } else { Ok(fits) };
    }
    let fits: Vec<&(String, &Partition)> = named.iter().filter(|(run, _)| run.starts_with(asked)).collect();
    match fits.as_slice() {
        [] => Err(unknown_run(asked, &named)),
        [(_, partition)] => Ok(vec![(*partition).clone()]),
        _ => Err(ScopeError::AmbiguousRun {
            asked: asked.to_owned(),
            fits: fits.iter().map(|(run, _)| run.clone()).collect(),
        }),
    }
}

/// Whether some of these are cut by the same dimensions: then one name of theirs does not say which is meant.
fn are_alike(partitions: &[&Partition]) -> bool {
    let dimensions: BTreeSet<Vec<&str>> = partitions.iter().map(|p| p.keys().map(|(d, _)| d).collect()).collect();
    dimensions.len() < partitions.len()
}

fn unknown_run(asked: &str, named: &[(String, &Partition)]) -> ScopeError {
    let names: Vec<&str> = named.iter().map(|(run, _)| run.as_str()).collect();
    let hint = if names.is_empty() {
        "; there is none yet".to_owned()
    } else if let Some(pattern) = by_one_key(asked, named) {
        format!("; all with that key are `{pattern}`")
    } else {
        match suggest::hint(asked, names.iter().copied()) {
            hint if hint.is_empty() => {
                let all: Vec<String> = names.iter().map(ToString::to_string).collect();
                format!("; there are {}", shown(&all))
            }
            hint => hint,
        }
    };
    ScopeError::UnknownRun { asked: asked.to_owned(), hint }
}

/// The pattern of all partitions that have that key, where others cut them too.
fn by_one_key(asked: &str, named: &[(String, &Partition)]) -> Option<String> {
    named.iter().find_map(|(_, partition)| {
        let at = partition.keys().position(|(_, key)| key == asked)?;
        let pattern: Vec<&str> =
            (0..partition.keys().len()).map(|place| if place == at { asked } else { "*" }).collect();
        Some(pattern.join(","))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_by_id_prefix_and_glob() {
        let known: BTreeSet<Partition> = ["75", "7582", "7683", "89"].map(|id| Partition::one("run", id)).into();
        let found = |asked| {
            resolve_run(&known, asked).map(|v| v.iter().filter_map(Partition::run).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(found("75"), Ok("75".to_owned()), "an exact id wins over a prefix");
        assert_eq!(found("758"), Ok("7582".to_owned()));
        assert_eq!(found("7*"), Ok("75 7582 7683".to_owned()));
        assert!(matches!(found("7"), Err(ScopeError::AmbiguousRun { fits, .. }) if fits.len() == 3));
        assert!(found("7583").is_err_and(|e| e.to_string().contains("did you mean `7582`?")));
        assert_eq!(found(" "), Err(ScopeError::EmptyRun));
    }

    #[test]
    fn keys_that_hold_a_comma_are_told_apart() {
        let of = |day, station| Partition::many([("day", day), ("station", station)]);
        let known = BTreeSet::from([of("1,2", "x"), of("1", "2,x"), of("1", "y")]);
        assert_eq!(resolve_run(&known, "1,y"), Ok(vec![of("1", "y")]));
        assert!(
            matches!(resolve_run(&known, "1,2,x"), Err(ScopeError::AmbiguousRun { fits, .. }) if fits == ["1,2%2Cx", "1%2C2,x"])
        );
        assert_eq!(resolve_run(&known, "1%2C2,x"), Ok(vec![of("1,2", "x")]));
    }

    #[test]
    fn what_is_cut_less_finely_is_in_scope() {
        let graph = Graph::new(Vec::new()).expect("no assets");
        let mut scope = Scope::new(&graph, &[], false).expect("everything");
        scope.partitions = Some(BTreeSet::from([Partition::many([("day", "1"), ("station", "x")])]));
        assert!(scope.includes(&Partition::one("station", "x")) && scope.includes(&Partition::none()));
        assert!(!scope.includes(&Partition::one("station", "y")));
        assert!(!scope.includes(&Partition::many([("day", "1"), ("station", "y")])));
    }
}
