//! Lineage by column: what a column is computed from, one step away, and what is computed from it. A pure function of
//! the declarations.
//!
//! Not here: which files a run's rows came from (that is recorded), and how it is drawn.

use crate::asset::{AssetDecl, OutputDecl, Reads};
use crate::graph::Graph;
use crate::key::AssetName;
use crate::part::{PartCode, PartRead};
use crate::shared_text::SharedText;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A column; or columns of one slice, or of a table that is made as a whole, which come from the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node {
    /// The output.
    pub output: AssetName,
    /// The slice, where the output has slices.
    pub slice: Option<SharedText>,
    /// The columns; none for the number of rows alone.
    pub columns: BTreeSet<SharedText>,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.columns.iter().map(SharedText::as_str).collect::<Vec<_>>().join(", ");
        let columns = if columns.is_empty() { "number of rows".to_owned() } else { columns };
        match &self.slice {
            Some(slice) => write!(f, "{} {slice}: {columns}", self.output),
            None if self.columns.len() == 1 => write!(f, "{}.{columns}", self.output),
            None => write!(f, "{}: {columns}", self.output),
        }
    }
}

/// How one column depends on another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relation {
    /// Its values derive from it.
    Value,
    /// It decides which rows there are, in which order, and what is known in them.
    Rows,
}

impl Relation {
    /// The word used everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Rows => "rows",
        }
    }
}

/// Relation, output, slice, and a column that stands alone.
type Place = (Relation, AssetName, Option<SharedText>, Option<SharedText>);

/// A set of reads as nodes: parts of one slice together, and of a table made as a whole.
#[derive(Default)]
struct Nodes(BTreeMap<Place, BTreeSet<SharedText>>);

impl Nodes {
    fn add(&mut self, graph: &Graph, read: &PartRead, relation: Relation) {
        let Some(output) = graph.output(read.output.as_str()) else { return };
        for slice in slices(output, read) {
            let alone = read.column.clone().filter(|_| slice.is_none() && !output.parts.is_empty());
            let known = self.0.entry((relation, read.output.clone(), slice, alone)).or_default();
            known.extend(read.column.clone());
        }
    }

    fn finish(self) -> Vec<(Node, Relation)> {
        let node = |((relation, output, slice, _), columns)| (Node { output, slice, columns }, relation);
        let all: Vec<(Node, Relation)> = self.0.into_iter().map(node).collect();
        let by_value: BTreeSet<Node> =
            all.iter().filter(|(_, relation)| *relation == Relation::Value).map(|(node, _)| node.clone()).collect();
        all.into_iter().filter(|(node, relation)| *relation == Relation::Value || !by_value.contains(node)).collect()
    }
}

/// The slices that a read means; `None` alone where the output has none, or none is known.
fn slices(output: &OutputDecl, read: &PartRead) -> BTreeSet<Option<SharedText>> {
    let listed = output.parts.iter().filter(|part| read.column.is_none() || read.includes(&part.id));
    let slices: BTreeSet<Option<SharedText>> = match &read.slice {
        Some(slice) => [Some(slice.clone())].into(),
        None if read.column.is_none() => [None].into(),
        None => listed.map(|part| part.id.slice.clone()).collect(),
    };
    if slices.is_empty() { [None].into() } else { slices }
}

fn codes<'a>(output: &'a OutputDecl, node: &'a Node) -> impl Iterator<Item = &'a PartCode> {
    let means = |part: &&PartCode| {
        (node.columns.is_empty() || node.columns.contains(part.id.column.as_str()))
            && (node.slice.is_none() || node.slice == part.id.slice)
    };
    output.parts.iter().filter(means)
}

/// What is read directly: not what another column of the same table that is used reads.
fn own_reads<'a>(output: &OutputDecl, code: &'a PartCode) -> Vec<(&'a PartRead, Relation)> {
    let used: Vec<&PartCode> = output.parts.iter().filter(|part| code.via.contains(part.id.column.as_str())).collect();
    let elsewhere =
        |read: &PartRead| used.iter().any(|part| part.direct.contains(read) || part.indirect.contains(read));
    let direct = code.direct.iter().map(|read| (read, Relation::Value));
    let indirect = code.indirect.difference(&code.direct).map(|read| (read, Relation::Rows));
    direct.chain(indirect).filter(|(read, _)| !elsewhere(read)).collect()
}

/// What a node is computed from, one step away.
pub fn up(graph: &Graph, node: &Node) -> Vec<(Node, Relation)> {
    let (Some(asset), Some(output)) = (graph.producer(node.output.as_str()), graph.output(node.output.as_str())) else {
        return Vec::new();
    };
    let mut nodes = Nodes::default();
    if output.parts.is_empty() {
        whole_reads(asset, graph).iter().for_each(|read| nodes.add(graph, read, Relation::Value));
        return nodes.finish();
    }
    for code in codes(output, node) {
        for used in &code.via {
            nodes.add(graph, &PartRead::column(&output.name, used), Relation::Value);
        }
        own_reads(output, code).into_iter().for_each(|(read, relation)| nodes.add(graph, read, relation));
    }
    nodes.finish()
}

/// What is computed from a node, one step away.
pub fn down(graph: &Graph, node: &Node) -> Vec<(Node, Relation)> {
    let reads = |read: &PartRead| {
        read.output == node.output
            && read.column.as_ref().is_none_or(|column| node.columns.contains(column))
            && (read.slice.is_none() || node.slice.is_none() || read.slice == node.slice)
    };
    let mut nodes = Nodes::default();
    for asset in graph.assets() {
        for output in &asset.outputs {
            if output.parts.is_empty() && whole_reads(asset, graph).iter().any(reads) {
                let columns = output.columns.iter().filter(|column| !asset.dimensions.contains(&column.name));
                for column in columns {
                    nodes.add(graph, &PartRead::column(&output.name, &column.name), Relation::Value);
                }
            }
            for code in &output.parts {
                let used =
                    output.name == node.output && code.via.iter().any(|used| node.columns.contains(used.as_str()));
                let read = own_reads(output, code).into_iter().filter(|(read, _)| reads(read)).map(|(_, r)| r).min();
                if let Some(relation) = if used { Some(Relation::Value) } else { read } {
                    let id = &code.id;
                    let part = PartRead {
                        output: output.name.clone(),
                        slice: id.slice.clone(),
                        column: Some(id.column.clone()),
                    };
                    nodes.add(graph, &part, relation);
                }
            }
        }
    }
    nodes.finish()
}

/// What an asset that is made as a whole reads.
fn whole_reads(asset: &AssetDecl, graph: &Graph) -> Vec<PartRead> {
    let reads = asset.inputs.iter().flat_map(|input| {
        let all = graph.output(input.output.as_str()).into_iter().flat_map(|output| &output.columns);
        let columns: Vec<String> = match &input.reads {
            Reads::All => all.map(|column| column.name.clone()).collect(),
            Reads::Columns(columns) => columns.clone(),
        };
        let rows = columns.is_empty().then(|| PartRead::rows(&input.output));
        columns.into_iter().map(|column| PartRead::column(&input.output, &column)).chain(rows).collect::<Vec<_>>()
    });
    reads.collect()
}
