//! A seal: what was fresh when it was left, and in which world. As long as that world is the same, nobody has to work it
//! out again; where only sources have come, only what they deliver is looked at.

use crate::hash::Digest;
use crate::key::AssetName;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// That steps were fresh, published, and had nothing to be told of themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// The program, its settings and what they declare.
    pub given: Digest<16>,
    /// The store, as a look from outside sees it.
    pub store: Digest<16>,
    /// The sources, likewise; `None` where one of them was too young for its stat to be trusted.
    pub sources: Option<Digest<16>>,
    /// How many steps they were of each asset that is cut, without those of the runs in `except`.
    pub steps: BTreeMap<AssetName, u64>,
    /// How many runs these are of, where states are all that is to be told of them.
    pub runs: Option<u64>,
    /// Runs of which nothing is said.
    pub except: BTreeSet<String>,
    /// How many steps there are that nothing cuts, where all of them were fresh.
    pub uncut: Option<u64>,
    /// Whether there was something to be told of sources, which every build tells: rows that were left out, say.
    pub warned: bool,
}

impl Seal {
    /// The number of steps, where that is all that there is to be said.
    pub fn all(&self) -> Option<u64> {
        let uncut = self.uncut.filter(|_| self.except.is_empty() && !self.warned)?;
        Some(self.steps.values().sum::<u64>() + uncut)
    }
}
