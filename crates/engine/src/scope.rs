//! What a person asks for: which assets, which partitions, how. Validated against what exists.

use assets_core::graph::Graph;
use assets_core::select::{self, SelectError};
use assets_core::{AssetName, Partition, suggest};
use std::collections::BTreeSet;

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
            Self::Select(SelectError::Malformed(_)) => "bad_selection",
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
    /// The assets that were named, in topological order.
    pub selected: Vec<AssetName>,
    /// Those and all they are made from, in topological order; only the named ones with `only`.
    pub assets: Vec<AssetName>,
    /// The partitions; `None` for every one. Unpartitioned ancestors are always in.
    pub partitions: Option<BTreeSet<Partition>>,
    /// Take what is published of other assets as it is.
    pub only: bool,
    /// Make the selected assets in any case.
    pub force: bool,
}

impl Scope {
    /// The assets of a selection, for all partitions.
    pub fn new(graph: &Graph, expressions: &[String], only: bool) -> Result<Self, ScopeError> {
        let selected = select::select(graph, expressions)?;
        let mut assets: BTreeSet<AssetName> = selected.iter().cloned().collect();
        if !only {
            assets.extend(selected.iter().flat_map(|name| graph.ancestors(name.as_str(), usize::MAX)));
        }
        let assets = graph.order().iter().filter(|name| assets.contains(*name)).cloned().collect();
        Ok(Self { selected, assets, partitions: None, only, force: false })
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

    /// Whether a step of that asset is asked for by name.
    pub fn is_selected(&self, asset: &AssetName) -> bool {
        self.selected.contains(asset)
    }

    /// Whether a partition is in scope.
    pub fn includes(&self, partition: &Partition) -> bool {
        partition.is_none() || self.partitions.as_ref().is_none_or(|chosen| chosen.contains(partition))
    }
}

/// The partitions that an exact id, a unique prefix, or a glob means.
pub fn resolve_run(known: &BTreeSet<Partition>, asked: &str) -> Result<Vec<Partition>, ScopeError> {
    if asked.trim().is_empty() {
        return Err(ScopeError::EmptyRun);
    }
    let named: Vec<(String, &Partition)> = known.iter().filter_map(|p| p.run().map(|run| (run, p))).collect();
    if let Some((_, partition)) = named.iter().find(|(run, _)| run == asked) {
        return Ok(vec![(*partition).clone()]);
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

fn unknown_run(asked: &str, named: &[(String, &Partition)]) -> ScopeError {
    let names: Vec<&str> = named.iter().map(|(run, _)| run.as_str()).collect();
    let hint = if names.is_empty() {
        "; there is none yet".to_owned()
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
}
