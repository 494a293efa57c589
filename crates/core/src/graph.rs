//! The graph of assets: who reads whom. petgraph lives here alone.

use crate::asset::{AssetDecl, Mapping, OutputDecl};
use crate::key::{AssetName, Step};
use crate::part::{Listed, Listing};
use crate::suggest;
use petgraph::Direction;
use petgraph::algo::toposort;
use petgraph::graph::{DiGraph, NodeIndex};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::OnceLock;

/// What is wrong with a set of declarations.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// Two outputs share a name.
    #[error("the output `{name}` is declared by both `{first}` and `{second}`: names are global, rename one")]
    DuplicateName {
        /// The shared name.
        name: AssetName,
        /// The asset that declared it first.
        first: AssetName,
        /// The asset that declared it again.
        second: AssetName,
    },
    /// An input that nobody writes.
    #[error("`{asset}` reads `{input}`, which no asset writes{hint}")]
    UnknownInput {
        /// The reader.
        asset: AssetName,
        /// The missing output.
        input: AssetName,
        /// A suggestion.
        hint: String,
    },
    /// An input's column that its writer doesn't declare.
    #[error("`{asset}` reads the column `{column}` of `{input}`, which has none of that name{hint}")]
    UnknownColumn {
        /// The reader.
        asset: AssetName,
        /// The output.
        input: AssetName,
        /// The missing column.
        column: String,
        /// A suggestion.
        hint: String,
    },
    /// Assets that depend on themselves.
    #[error("assets depend on each other in a circle: {}", path(.0))]
    Cycle(Vec<AssetName>),
    /// A reader without the dimension that cuts its input.
    #[error(
        "`{asset}` is not cut by `{dimension}`, but reads `{input}`, which is: cut `{asset}` by it too, or let it read \
         `{input}` over all partitions (the mapping `all`)"
    )]
    Dimension {
        /// The reader.
        asset: AssetName,
        /// The input.
        input: AssetName,
        /// The missing dimension.
        dimension: String,
    },
    /// An input over all partitions where that can't be.
    #[error("`{asset}` can't read `{input}` over all partitions: {why}")]
    OverAll {
        /// The reader.
        asset: AssetName,
        /// The input.
        input: AssetName,
        /// What stands against it.
        why: &'static str,
    },
}

fn path(names: &[AssetName]) -> String {
    names.iter().map(AssetName::as_str).collect::<Vec<_>>().join(" → ")
}

/// Assets in topological order, with their edges.
#[derive(Debug, Clone)]
pub struct Graph {
    nodes: DiGraph<AssetDecl, ()>,
    order: Vec<AssetName>,
    by_name: HashMap<AssetName, NodeIndex>,
    producer: BTreeMap<AssetName, AssetName>,
    /// The parts of each asset, once somebody has asked for them.
    listings: HashMap<AssetName, OnceLock<Listing>>,
}

impl Graph {
    /// Checks the declarations and puts them in order.
    pub fn new(assets: Vec<AssetDecl>) -> Result<Self, GraphError> {
        let mut producer: BTreeMap<AssetName, AssetName> = BTreeMap::new();
        for asset in &assets {
            for output in &asset.outputs {
                if let Some(first) = producer.insert(output.name.clone(), asset.name.clone()) {
                    let (name, second) = (output.name.clone(), asset.name.clone());
                    return Err(GraphError::DuplicateName { name, first, second });
                }
            }
        }
        let mut nodes = DiGraph::new();
        let mut by_name = HashMap::new();
        for asset in assets {
            let name = asset.name.clone();
            by_name.insert(name, nodes.add_node(asset));
        }
        let edges = check_inputs(&nodes, &by_name, &producer)?;
        // Each edge once, however many outputs of one asset are read.
        edges.into_iter().for_each(|(from, to)| {
            nodes.update_edge(from, to, ());
        });
        let order = match toposort(&nodes, None) {
            Ok(_) => declared_order(&nodes),
            Err(cycle) => return Err(GraphError::Cycle(cycle_path(&nodes, cycle.node_id()))),
        };
        let listings = order.iter().map(|name| (name.clone(), OnceLock::new())).collect();
        Ok(Self { nodes, order, by_name, producer, listings })
    }

    /// Names in topological order.
    pub fn order(&self) -> &[AssetName] {
        &self.order
    }

    /// Declarations in topological order.
    pub fn assets(&self) -> impl Iterator<Item = &AssetDecl> {
        self.order.iter().filter_map(|name| self.asset(name.as_str()))
    }

    /// The declaration of that name.
    pub fn asset(&self, name: &str) -> Option<&AssetDecl> {
        self.by_name.get(name).map(|node| &self.nodes[*node])
    }

    /// The declaration of that name with its parts.
    pub fn listed(&self, name: &str) -> Option<Listed<'_>> {
        let asset = self.asset(name)?;
        let listing = self.listings.get(&asset.name)?.get_or_init(|| Listing::new(asset));
        Some(Listed { asset, listing })
    }

    /// Whether a step is one of an asset as it is declared now.
    pub fn has_step(&self, step: &Step) -> bool {
        self.asset(step.asset.as_str()).is_some_and(|asset| asset.has_step(step))
    }

    /// The asset that writes an output.
    pub fn producer(&self, output: &str) -> Option<&AssetDecl> {
        self.producer.get(output).and_then(|asset| self.asset(asset.as_str()))
    }

    /// The declaration of an output.
    pub fn output(&self, name: &str) -> Option<&OutputDecl> {
        self.producer(name)?.outputs.iter().find(|output| output.name.as_str() == name)
    }

    /// All outputs, assets in topological order.
    pub fn outputs(&self) -> impl Iterator<Item = &OutputDecl> {
        self.assets().flat_map(|asset| asset.outputs.iter())
    }

    /// Assets that `name` reads directly, in topological order.
    pub fn parents(&self, name: &str) -> Vec<AssetName> {
        self.within(name, Direction::Incoming, 1)
    }

    /// Assets that read `name` directly, in topological order.
    pub fn children(&self, name: &str) -> Vec<AssetName> {
        self.within(name, Direction::Outgoing, 1)
    }

    /// What `name` is made from, at most `distance` edges away, in topological order, without itself.
    pub fn ancestors(&self, name: &str, distance: usize) -> Vec<AssetName> {
        self.within(name, Direction::Incoming, distance)
    }

    /// What is made from `name`, at most `distance` edges away, in topological order, without itself.
    pub fn descendants(&self, name: &str, distance: usize) -> Vec<AssetName> {
        self.within(name, Direction::Outgoing, distance)
    }

    fn within(&self, name: &str, direction: Direction, distance: usize) -> Vec<AssetName> {
        let Some(start) = self.by_name.get(name) else { return Vec::new() };
        let mut seen: BTreeSet<NodeIndex> = BTreeSet::new();
        let mut queue = VecDeque::from([(*start, 0)]);
        while let Some((node, depth)) = queue.pop_front() {
            if depth == distance {
                continue;
            }
            for next in self.nodes.neighbors_directed(node, direction) {
                if seen.insert(next) {
                    queue.push_back((next, depth + 1));
                }
            }
        }
        self.order.iter().filter(|n| seen.contains(&self.by_name[*n])).cloned().collect()
    }
}

fn check_inputs(
    nodes: &DiGraph<AssetDecl, ()>,
    by_name: &HashMap<AssetName, NodeIndex>,
    producer: &BTreeMap<AssetName, AssetName>,
) -> Result<Vec<(NodeIndex, NodeIndex)>, GraphError> {
    let mut edges = Vec::new();
    for node in nodes.node_indices() {
        let asset = &nodes[node];
        for input in &asset.inputs {
            let Some(writer) = producer.get(&input.output) else {
                let hint = suggest::hint(input.output.as_str(), producer.keys().map(AssetName::as_str));
                return Err(GraphError::UnknownInput { asset: asset.name.clone(), input: input.output.clone(), hint });
            };
            let from = by_name[writer];
            let writer = &nodes[from];
            check_mapping(asset, input, writer)?;
            check_columns(asset, input, writer)?;
            edges.push((from, node));
        }
    }
    Ok(edges)
}

fn check_mapping(asset: &AssetDecl, input: &crate::InputDecl, writer: &AssetDecl) -> Result<(), GraphError> {
    let names = || (asset.name.clone(), input.output.clone());
    if input.mapping == Mapping::Identity {
        let Some(dimension) = writer.dimensions.iter().find(|d| !asset.dimensions.contains(d)) else { return Ok(()) };
        let ((asset, input), dimension) = (names(), dimension.clone());
        return Err(GraphError::Dimension { asset, input, dimension });
    }
    let why = if writer.dimensions.is_empty() {
        "nothing cuts it, so there is one table to read: map by `identity`"
    } else if !asset.dimensions.is_empty() {
        // Each of its partitions would rest on each of the input's.
        "the reader is cut itself; let an asset that is not cut read it, and read that one"
    } else if asset.outputs.iter().any(|output| !output.parts.is_empty()) {
        "the reader is made column by column, which goes by one partition at a time; make it as a whole"
    } else {
        return Ok(());
    };
    let (asset, input) = names();
    Err(GraphError::OverAll { asset, input, why })
}

fn check_columns(asset: &AssetDecl, input: &crate::InputDecl, writer: &AssetDecl) -> Result<(), GraphError> {
    let crate::Reads::Columns(wanted) = &input.reads else { return Ok(()) };
    let declared = writer.outputs.iter().filter(|o| o.name == input.output).flat_map(|o| &o.columns);
    let declared: Vec<&str> = declared.map(|c| c.name.as_str()).collect();
    match wanted.iter().find(|w| !declared.contains(&w.as_str())) {
        None => Ok(()),
        Some(column) => Err(GraphError::UnknownColumn {
            asset: asset.name.clone(),
            input: input.output.clone(),
            column: column.clone(),
            hint: suggest::hint(column, declared),
        }),
    }
}

/// Topological, and as declared wherever the edges leave a choice: people read assets in the order they wrote.
fn declared_order(nodes: &DiGraph<AssetDecl, ()>) -> Vec<AssetName> {
    let mut waiting: Vec<usize> =
        nodes.node_indices().map(|node| nodes.neighbors_directed(node, Direction::Incoming).count()).collect();
    let mut ready: BTreeSet<NodeIndex> = nodes.node_indices().filter(|node| waiting[node.index()] == 0).collect();
    let mut order = Vec::with_capacity(nodes.node_count());
    while let Some(node) = ready.pop_first() {
        order.push(nodes[node].name.clone());
        for reader in nodes.neighbors_directed(node, Direction::Outgoing) {
            waiting[reader.index()] -= 1;
            if waiting[reader.index()] == 0 {
                ready.insert(reader);
            }
        }
    }
    order
}

/// The circle through `start`, ending where it began.
fn cycle_path(nodes: &DiGraph<AssetDecl, ()>, start: NodeIndex) -> Vec<AssetName> {
    let mut came_from: HashMap<NodeIndex, NodeIndex> = HashMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for next in nodes.neighbors_directed(node, Direction::Outgoing) {
            if next == start {
                let mut path = vec![start, node];
                let mut at = node;
                while let Some(previous) = came_from.get(&at).filter(|_| at != start) {
                    path.push(*previous);
                    at = *previous;
                }
                path.reverse();
                if path.first() != Some(&start) {
                    path.insert(0, start);
                }
                return path.into_iter().map(|n| nodes[n].name.clone()).collect();
            }
            if let std::collections::hash_map::Entry::Vacant(slot) = came_from.entry(next) {
                slot.insert(node);
                queue.push_back(next);
            }
        }
    }
    vec![nodes[start].name.clone()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::InputDecl;

    fn asset(name: &str, inputs: &[&str]) -> AssetDecl {
        let named = |n: &str| AssetName::new(n).expect("a valid name");
        let decl = AssetDecl::new(OutputDecl::new(named(name), vec![]), "1");
        inputs.iter().fold(decl, |decl, input| decl.reads(InputDecl::all(named(input))))
    }

    #[test]
    fn order_and_neighbourhoods() {
        let assets = vec![asset("c", &["b"]), asset("b", &["a"]), asset("a", &[]), asset("d", &["b"])];
        let graph = Graph::new(assets).expect("a valid graph");
        let names = |v: Vec<AssetName>| v.iter().map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
        assert_eq!(names(graph.ancestors("c", usize::MAX)), "a b");
        assert_eq!(names(graph.ancestors("c", 1)), "b");
        let mut below = graph.descendants("a", usize::MAX);
        below.sort();
        assert_eq!(names(below), "b c d");
    }

    #[test]
    fn errors_name_the_path() {
        let error = |assets| Graph::new(assets).expect_err("an invalid graph").to_string();
        let circle = error(vec![asset("a", &["c"]), asset("b", &["a"]), asset("c", &["b"])]);
        assert!(circle.contains("→") && circle.matches(['a', 'b', 'c']).count() >= 3, "{circle}");
        let ends: Vec<&str> = circle.rsplit(": ").next().unwrap_or_default().split(" → ").collect();
        assert_eq!(ends.first(), ends.last(), "{circle}");
        assert!(error(vec![asset("a", &["a"])]).ends_with("a → a"));
        assert!(error(vec![asset("wide", &[]), asset("b", &["wyde"])]).contains("did you mean `wide`?"));
        assert!(error(vec![asset("a", &[]), asset("a", &[])]).contains("declared by both"));
    }

    #[test]
    fn partitions_map_by_identity_or_over_all() {
        let cut = |name: &str, inputs: &[&str]| asset(name, inputs).partitioned_by(&["run"]);
        let input = |name: &str| InputDecl::all(AssetName::new(name).expect("a valid name"));
        let over_all = |decl: AssetDecl, name: &str| decl.reads(input(name).over_all());
        let error = |assets| Graph::new(assets).expect_err("an invalid graph").to_string();
        assert!(Graph::new(vec![cut("a", &[]), over_all(asset("b", &[]), "a")]).is_ok());
        assert!(error(vec![cut("a", &[]), asset("b", &["a"])]).contains("the mapping `all`"));
        assert!(error(vec![asset("a", &[]), over_all(asset("b", &[]), "a")]).contains("nothing cuts it"));
        assert!(error(vec![cut("a", &[]), over_all(cut("b", &[]), "a")]).contains("the reader is cut itself"));
    }
}
