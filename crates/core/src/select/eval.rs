//! What a selection means over nodes with edges: assets of which no state is known, or steps of which all are.

use super::Expr;
use crate::freshness::State;
use crate::key::AssetName;
use std::collections::BTreeSet;

/// What a filter means once its names are resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Leaf {
    /// Any of these assets.
    Assets(BTreeSet<AssetName>),
    /// Any of these states.
    States(BTreeSet<State>),
}

/// Nodes with their edges; parents are added before their children.
#[derive(Debug, Clone, Default)]
pub struct Nodes {
    assets: Vec<AssetName>,
    states: Vec<Option<State>>,
    parents: Vec<Vec<usize>>,
    children: Vec<Vec<usize>>,
}

impl Nodes {
    /// Adds a node of an asset, with its state where that is known, and says its index.
    pub fn add(&mut self, asset: &AssetName, state: Option<State>, parents: Vec<usize>) -> usize {
        let at = self.assets.len();
        parents.iter().for_each(|parent| self.children[*parent].push(at));
        self.assets.push(asset.clone());
        self.states.push(state);
        self.parents.push(parents);
        self.children.push(Vec::new());
        at
    }

    /// The nodes of a set and all above them.
    pub fn with_ancestors(&self, set: &[bool]) -> Vec<bool> {
        spread(&self.parents, set, usize::MAX)
    }

    fn len(&self) -> usize {
        self.assets.len()
    }
}

/// The nodes that are chosen for certain, and those that may be, for what states are unknown.
struct Bounds {
    sure: Vec<bool>,
    possible: Vec<bool>,
}

impl Bounds {
    fn exactly(set: Vec<bool>) -> Self {
        Self { possible: set.clone(), sure: set }
    }

    fn map(self, change: impl Fn(Vec<bool>) -> Vec<bool>) -> Self {
        Self { sure: change(self.sure), possible: change(self.possible) }
    }
}

/// The nodes that an expression may choose; exactly the chosen ones where all states are known.
pub(super) fn possible(expr: &Expr<Leaf>, nodes: &Nodes) -> Vec<bool> {
    evaluate(expr, nodes).possible
}

fn evaluate(expr: &Expr<Leaf>, nodes: &Nodes) -> Bounds {
    match expr {
        Expr::All => Bounds::exactly(vec![true; nodes.len()]),
        Expr::Leaf(Leaf::Assets(names)) => {
            Bounds::exactly(nodes.assets.iter().map(|asset| names.contains(asset)).collect())
        }
        Expr::Leaf(Leaf::States(states)) => Bounds {
            sure: nodes.states.iter().map(|state| state.is_some_and(|state| states.contains(&state))).collect(),
            possible: nodes.states.iter().map(|state| state.is_none_or(|state| states.contains(&state))).collect(),
        },
        Expr::Not(inner) => {
            let inner = evaluate(inner, nodes);
            let turned = |set: Vec<bool>| set.into_iter().map(|chosen| !chosen).collect();
            Bounds { sure: turned(inner.possible), possible: turned(inner.sure) }
        }
        Expr::And(all) => joined(all, nodes, |a, b| a && b),
        Expr::Or(all) => joined(all, nodes, |a, b| a || b),
        Expr::Around { up, of, down } => evaluate(of, nodes).map(|set| {
            let below = spread(&nodes.children, &set, *down);
            let above = spread(&nodes.parents, &set, *up);
            above.into_iter().zip(below).map(|(a, b)| a || b).collect()
        }),
        Expr::Sinks(inner) => ends(evaluate(inner, nodes), &nodes.parents),
        Expr::Roots(inner) => ends(evaluate(inner, nodes), &nodes.children),
    }
}

fn joined(all: &[Expr<Leaf>], nodes: &Nodes, join: impl Fn(bool, bool) -> bool) -> Bounds {
    let both = |a: Vec<bool>, b: Vec<bool>| a.into_iter().zip(b).map(|(a, b)| join(a, b)).collect();
    let mut bounds: Option<Bounds> = None;
    for expr in all {
        let next = evaluate(expr, nodes);
        bounds = Some(match bounds {
            None => next,
            Some(last) => Bounds { sure: both(last.sure, next.sure), possible: both(last.possible, next.possible) },
        });
    }
    bounds.unwrap_or_else(|| Bounds::exactly(vec![false; nodes.len()]))
}

/// Nodes of a set from which no other node of it can be reached against `edges`: with the parents, those that nothing
/// in the set is made from.
fn ends(of: Bounds, edges: &[Vec<usize>]) -> Bounds {
    let known = of.sure == of.possible;
    let reached = strictly_reached(edges, &of.possible);
    let exact: Vec<bool> = of.possible.iter().zip(reached).map(|(chosen, reached)| *chosen && !reached).collect();
    if known { Bounds::exactly(exact) } else { Bounds { sure: vec![false; of.sure.len()], possible: of.possible } }
}

fn strictly_reached(edges: &[Vec<usize>], set: &[bool]) -> Vec<bool> {
    let mut first = vec![false; set.len()];
    for (at, _) in set.iter().enumerate().filter(|(_, chosen)| **chosen) {
        edges[at].iter().for_each(|next| first[*next] = true);
    }
    spread(edges, &first, usize::MAX)
}

/// A set and what is at most `distance` edges away.
fn spread(edges: &[Vec<usize>], set: &[bool], distance: usize) -> Vec<bool> {
    let mut reached = set.to_vec();
    let mut border: Vec<usize> = (0..set.len()).filter(|at| set[*at]).collect();
    for _ in 0..distance.min(set.len()) {
        let mut next = Vec::new();
        for to in border.iter().flat_map(|at| &edges[*at]) {
            if !std::mem::replace(&mut reached[*to], true) {
                next.push(*to);
            }
        }
        if next.is_empty() {
            break;
        }
        border = next;
    }
    reached
}
