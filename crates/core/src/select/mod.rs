//! Which assets and steps a person means: Dagster's asset selection syntax (`x`, `+x`, `2+x+1`, `key:"f*"`, `tag:a=b`,
//! `and`, `or`, `not`, parentheses, `sinks(…)`, `roots(…)`, `*`), and filters that only this program can answer:
//! `stale:` and `failed:` by state, `column:` by name.
//!
//! Grammar: <https://docs.dagster.io/guides/build/assets/asset-selection-syntax/reference>. Not here: partitions, and
//! how the states of steps become known.

mod eval;
mod names;
mod parse;
#[cfg(test)]
mod tests;
mod token;

use crate::freshness::State;
use crate::graph::Graph;
use crate::key::AssetName;
use eval::Leaf;
use std::collections::HashMap;

pub use eval::Nodes;
pub use names::resolve;

/// A selection with filters of type `L`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Expr<L> {
    All,
    Leaf(L),
    Not(Box<Expr<L>>),
    And(Vec<Expr<L>>),
    Or(Vec<Expr<L>>),
    /// What is at most `up` edges above or `down` edges below, and the operand itself.
    Around {
        up: usize,
        of: Box<Expr<L>>,
        down: usize,
    },
    Sinks(Box<Expr<L>>),
    Roots(Box<Expr<L>>),
}

impl<L> Expr<L> {
    fn try_map<M, E>(self, leaf: &impl Fn(L) -> Result<M, E>) -> Result<Expr<M>, E> {
        let one = |expr: Box<Self>| Ok(Box::new(expr.try_map(leaf)?));
        let all = |exprs: Vec<Self>| exprs.into_iter().map(|expr| expr.try_map(leaf)).collect::<Result<Vec<_>, E>>();
        Ok(match self {
            Self::All => Expr::All,
            Self::Leaf(written) => Expr::Leaf(leaf(written)?),
            Self::Not(inner) => Expr::Not(one(inner)?),
            Self::And(exprs) => Expr::And(all(exprs)?),
            Self::Or(exprs) => Expr::Or(all(exprs)?),
            Self::Around { up, of, down } => Expr::Around { up, of: one(of)?, down },
            Self::Sinks(inner) => Expr::Sinks(one(inner)?),
            Self::Roots(inner) => Expr::Roots(one(inner)?),
        })
    }

    fn any(&self, leaf: &impl Fn(&L) -> bool) -> bool {
        match self {
            Self::All => false,
            Self::Leaf(own) => leaf(own),
            Self::And(exprs) | Self::Or(exprs) => exprs.iter().any(|expr| expr.any(leaf)),
            Self::Not(of) | Self::Around { of, .. } | Self::Sinks(of) | Self::Roots(of) => of.any(leaf),
        }
    }
}

/// What is wrong with the text of a selection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // the sentences say it
pub enum Problem {
    #[error("the selection is empty")]
    Empty,
    #[error("a quote is opened here and never closed")]
    UnclosedQuote,
    #[error("a parenthesis is opened here and never closed")]
    UnclosedParenthesis,
    #[error("this parenthesis closes nothing")]
    UnopenedParenthesis,
    #[error("an asset, a filter or a parenthesis should stand here")]
    NameExpected,
    #[error("`and` or `or` should stand here")]
    OperatorExpected,
    #[error("`{filter}:` needs a value here")]
    ValueExpected { filter: String },
    #[error("`{0}` has no meaning in a selection; put odd names into quotes")]
    Character(char),
    #[error("more than {depth_max} parentheses, functions or `not` within each other")]
    TooDeep { depth_max: usize },
    #[error("there is no function `{name}`: `sinks(…)` and `roots(…)` are known")]
    UnknownFunction { name: String },
    #[error("there is no filter `{name}:`{hint}")]
    UnknownFilter { name: String, hint: String },
    #[error("no asset has the tag `{tag}`{hint}")]
    UnknownTag { tag: String, hint: String },
    #[error("no output has a column `{column}`{hint}")]
    UnknownColumn { column: String, hint: String },
    #[error("`{state}` is no state that `{filter}:` selects{hint}")]
    UnknownState { filter: &'static str, state: String, hint: String },
}

/// A place in a selection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The whole text.
    pub text: String,
    /// Counted in characters from 1.
    pub column: usize,
}

/// Why a selection selects nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// No asset or output of that name.
    #[error("there is no asset `{name}`{hint}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// A suggestion.
        hint: String,
        /// Where it stands, if it is part of a selection.
        place: Option<Place>,
    },
    /// It can't be read.
    #[error("{problem} (column {} of `{}`)", .place.column, .place.text)]
    Malformed {
        /// What is wrong.
        problem: Problem,
        /// Where.
        place: Place,
    },
}

impl SelectError {
    /// Where, in a text that says more than one name.
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::Unknown { place, .. } => place.as_ref(),
            Self::Malformed { place, .. } => Some(place),
        }
    }
}

/// What a person asked for, with every name resolved: a predicate over steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    expr: Expr<Leaf>,
}

impl Selection {
    /// Every step.
    pub fn all() -> Self {
        Self { expr: Expr::All }
    }

    /// Reads several selections, any of which may hold; every step where there is none.
    pub fn new<S: AsRef<str>>(graph: &Graph, texts: &[S]) -> Result<Self, SelectError> {
        if texts.is_empty() {
            return Ok(Self::all());
        }
        let read = |text: &S| {
            let text = text.as_ref();
            let placed = |(problem, at): (Problem, usize)| names::error(text, problem, at);
            parse::parse(text).map_err(placed)?.try_map(&|written| names::leaf(graph, text, &written))
        };
        let exprs = texts.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { expr: Expr::Or(exprs) })
    }

    /// Whether it asks for states: then it selects steps, and not every step of an asset.
    pub fn needs_states(&self) -> bool {
        self.expr.any(&|leaf| matches!(leaf, Leaf::States(_)))
    }

    /// The assets of which a step may be selected, in topological order.
    pub fn assets(&self, graph: &Graph) -> Vec<AssetName> {
        let mut nodes = Nodes::default();
        let mut at: HashMap<AssetName, usize> = HashMap::new();
        for asset in graph.order() {
            let parents = graph.parents(asset.as_str()).iter().filter_map(|parent| at.get(parent).copied()).collect();
            at.insert(asset.clone(), nodes.add(asset, None, parents));
        }
        let chosen = eval::possible(&self.expr, &nodes);
        graph.order().iter().zip(chosen).filter(|(_, chosen)| *chosen).map(|(name, _)| name.clone()).collect()
    }

    /// Which of these steps are selected; a step without a state counts as one that may be in any.
    pub fn steps(&self, nodes: &Nodes) -> Vec<bool> {
        eval::possible(&self.expr, nodes)
    }
}

/// The selected assets in topological order; every asset where nothing is named. States are not looked at.
pub fn select(graph: &Graph, expressions: &[String]) -> Result<Vec<AssetName>, SelectError> {
    Ok(Selection::new(graph, expressions)?.assets(graph))
}

/// States that `stale:` selects: by itself the first two, `stale:*` all of them.
const STALE: [State; 3] = [State::Stale, State::Maybe, State::Reusable];
/// States that `failed:` selects.
const FAILED: [State; 2] = [State::Failed, State::Blocked];
