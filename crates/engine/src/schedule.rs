//! Which step may start next: a pure state machine over steps and their inputs. It knows neither verdicts nor time.

use crate::inputs;
use crate::over_all;
use assets_core::graph::Graph;
use assets_core::{Mapping, Step};
use std::collections::{BTreeSet, HashMap};

/// A step's place in the schedule.
pub type Index = usize;

/// Steps waiting for their inputs.
#[derive(Debug)]
pub struct Schedule {
    steps: Vec<Step>,
    readers: Vec<Vec<Index>>,
    waiting: Vec<usize>,
    /// Late assets first, so that a run is finished before the next one is begun and few inputs are held.
    ready: BTreeSet<(std::cmp::Reverse<usize>, Index)>,
    rank: Vec<usize>,
    open: usize,
}

impl Schedule {
    /// Steps in topological order of their assets.
    pub fn new(graph: &Graph, steps: Vec<Step>) -> Self {
        let index: HashMap<&Step, Index> = steps.iter().enumerate().map(|(i, step)| (step, i)).collect();
        let ranks: HashMap<_, _> = graph.order().iter().enumerate().map(|(rank, name)| (name, rank)).collect();
        let mut waiting = vec![0; steps.len()];
        let mut readers = vec![Vec::new(); steps.len()];
        for (at, step) in steps.iter().enumerate() {
            let Some(decl) = graph.asset(step.asset.as_str()) else { continue };
            let own = decl.inputs.iter().filter(|input| input.mapping == Mapping::Identity);
            let own = own.filter_map(|input| inputs::input_step(graph, input, &step.partition));
            let mut from: BTreeSet<Index> = own.filter_map(|from| index.get(&from).copied()).collect();
            let over_all = over_all::reads_over_all(graph, decl);
            if !over_all.is_empty() {
                from.extend((0..at).filter(|at| over_all.contains(&steps[*at].asset)));
            }
            waiting[at] = from.len();
            from.into_iter().for_each(|from| readers[from].push(at));
        }
        let rank: Vec<usize> = steps.iter().map(|s| ranks.get(&s.asset).copied().unwrap_or(0)).collect();
        let ready = (0..steps.len()).filter(|i| waiting[*i] == 0).map(|i| (std::cmp::Reverse(rank[i]), i)).collect();
        let open = steps.len();
        Self { steps, readers, waiting, ready, rank, open }
    }

    /// The step at a place.
    pub fn step(&self, at: Index) -> &Step {
        &self.steps[at]
    }

    /// Takes a step whose inputs are all settled.
    pub fn take(&mut self) -> Option<Index> {
        self.ready.pop_first().map(|(_, at)| at)
    }

    /// The step that would be taken.
    pub fn next(&self) -> Option<&Step> {
        self.ready.first().map(|(_, at)| &self.steps[*at])
    }

    /// Whether there is a step to take.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Says that a step has ended, however it did: its readers may become ready.
    pub fn settle(&mut self, at: Index) {
        self.open -= 1;
        for reader in std::mem::take(&mut self.readers[at]) {
            self.waiting[reader] -= 1;
            if self.waiting[reader] == 0 {
                self.ready.insert((std::cmp::Reverse(self.rank[reader]), reader));
            }
        }
    }

    /// True once every step has ended.
    pub fn is_done(&self) -> bool {
        self.open == 0
    }
}
