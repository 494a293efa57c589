//! Which step may start next: a pure state machine over steps and their inputs. It knows neither verdicts nor time.

use assets_core::Step;
use assets_core::graph::Graph;
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
        let mut inputs = vec![Vec::new(); steps.len()];
        let mut readers = vec![Vec::new(); steps.len()];
        for (at, step) in steps.iter().enumerate() {
            let Some(decl) = graph.asset(step.asset.as_str()) else { continue };
            for input in &decl.inputs {
                let from = crate::plan::input_step(graph, input, &step.partition);
                if let Some(from) = from.and_then(|from| index.get(&from).copied())
                    && !inputs[at].contains(&from)
                {
                    inputs[at].push(from);
                    readers[from].push(at);
                }
            }
        }
        let rank: Vec<usize> = steps.iter().map(|s| ranks.get(&s.asset).copied().unwrap_or(0)).collect();
        let waiting: Vec<usize> = inputs.iter().map(Vec::len).collect();
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
