//! `assets lineage ASSET.COLUMN`: what a column is computed from, down to source files, and what is computed from it.

use crate::app::Failure;
use crate::args::GraphFormat;
use crate::out::Out;
use crate::render::tree::Tree;
use crate::render::{number, words};
use crate::session::Session;
use crate::verbs::graph::{self, Drawing};
use assets_core::graph::Graph;
use assets_core::lineage::{self, Node, Relation};
use assets_core::record::SliceRef;
use assets_core::{PartId, Partition, Reason, Step, suggest};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The node that `output.column` means.
pub(crate) fn node(graph: &Graph, output: &str, column: &str) -> Result<Node, Failure> {
    let Some(decl) = graph.output(output) else {
        let hint = suggest::hint(output, graph.outputs().map(|output| output.name.as_str()));
        return Err(Failure::usage(Reason::new("unknown_asset", format!("there is no asset `{output}`{hint}"))));
    };
    if !decl.columns.iter().any(|known| known.name == column) {
        let hint = suggest::hint(column, decl.columns.iter().map(|column| column.name.as_str()));
        let reason = Reason::new("unknown_column", format!("{output} has no column `{column}`{hint}"));
        return Err(Failure::usage(reason));
    }
    Ok(Node { output: decl.name.clone(), slice: None, columns: BTreeSet::from([column.into()]) })
}

/// A column with all around it, of one run or of none in particular.
pub(crate) struct ColumnLineage<'a> {
    pub(crate) session: &'a Session,
    pub(crate) node: Node,
    pub(crate) partition: Option<Partition>,
}

type Arrow = (Node, Node, Relation);

impl ColumnLineage<'_> {
    pub(crate) fn tell(&self, out: &Out, format: GraphFormat) {
        match format {
            GraphFormat::Tree => self.text(out),
            GraphFormat::Json => out.json(&self.json()),
            GraphFormat::Dot => out.text(&graph::dot(&self.drawing())),
            GraphFormat::Mermaid => out.text(&graph::mermaid(&self.drawing())),
        }
    }

    fn graph(&self) -> &Graph {
        self.session.project.graph()
    }

    fn step(&self, node: &Node) -> Option<Step> {
        let decl = self.graph().producer(node.output.as_str())?;
        super::lineage::step_of(decl, self.partition.as_ref()?)
    }

    /// Slices of sources that a node's table was made from; those delivered now where it was never made.
    fn slices(&self, node: &Node) -> Vec<SliceRef> {
        let Some(step) = self.step(node) else { return Vec::new() };
        match self.session.ledger.newest(&step) {
            Some(record) => record.recipe.slices.clone(),
            None => self.session.sources.deliveries.get(&step).map(|d| d.slices.clone()).unwrap_or_default(),
        }
    }

    /// All arrows from where `next` leads, each node once, nearest first.
    fn reach(&self, next: impl Fn(&Graph, &Node) -> Vec<(Node, Relation)>) -> (Vec<(Node, Relation)>, Vec<Arrow>) {
        let mut found: Vec<(Node, Relation)> = Vec::new();
        let mut arrows = Vec::new();
        let mut seen = BTreeSet::from([self.node.clone()]);
        let mut open = std::collections::VecDeque::from([self.node.clone()]);
        while let Some(node) = open.pop_front() {
            for (other, relation) in next(self.graph(), &node) {
                arrows.push((node.clone(), other.clone(), relation));
                if seen.insert(other.clone()) {
                    found.push((other.clone(), relation));
                    open.push_back(other);
                }
            }
        }
        (found, arrows)
    }

    fn label(&self, node: &Node, relation: Relation) -> String {
        let hash = self.hashes(node);
        let hash = match hash.as_slice() {
            [one] => words::dim(format!("  {}", &one[..12.min(one.len())])),
            _ => String::new(),
        };
        let rows = if relation == Relation::Rows { words::dim("  (rows)") } else { String::new() };
        format!("{}{rows}{hash}", words::bold(node))
    }

    fn hashes(&self, node: &Node) -> Vec<String> {
        let record = self.step(node).and_then(|step| self.session.ledger.newest(&step).cloned());
        let Some(output) = record.as_ref().and_then(|record| record.output(&node.output)) else { return Vec::new() };
        let parts = node.columns.iter().filter_map(|column| {
            let id = PartId { slice: node.slice.clone(), column: column.clone() };
            output.parts.iter().find(|part| part.id == id)
        });
        parts.map(|part| part.hash.to_string()).collect()
    }

    fn up(&self, node: &Node, relation: Relation, told: &mut BTreeSet<Node>) -> Tree {
        let mut tree = Tree::new(self.label(node, relation));
        let above = lineage::up(self.graph(), node);
        let slices = self.slices(node);
        if !told.insert(node.clone()) {
            if !above.is_empty() || !slices.is_empty() {
                tree.text += &words::dim(" (see above)");
            }
            return tree;
        }
        tree.children = above.iter().map(|(other, relation)| self.up(other, *relation, told)).collect();
        for slice in &slices {
            let rows = number::plural(slice.rows, "row");
            tree.children.push(Tree::new(format!("{}  {rows}", words::safe(&slice.path))));
        }
        let reads_sources = self.graph().producer(node.output.as_str()).is_some_and(|asset| asset.reads_sources);
        if reads_sources && self.partition.is_none() {
            tree.children.push(Tree::new("the sources"));
        }
        tree
    }

    fn down(&self, node: &Node, relation: Relation, told: &mut BTreeSet<Node>) -> Tree {
        let mut tree = Tree::new(self.label(node, relation));
        let below = lineage::down(self.graph(), node);
        if !told.insert(node.clone()) {
            if !below.is_empty() {
                tree.text += &words::dim(" (see above)");
            }
            return tree;
        }
        tree.children = below.iter().map(|(other, relation)| self.down(other, *relation, told)).collect();
        tree
    }

    fn text(&self, out: &Out) {
        out.text(&self.up(&self.node, Relation::Value, &mut BTreeSet::new()).render());
        let mut down = self.down(&self.node, Relation::Value, &mut BTreeSet::new());
        if down.children.is_empty() {
            out.line(&format!("nothing depends on {}", self.node));
        } else {
            down.text = format!("what depends on {}", self.node);
            out.text(&down.render());
        }
    }

    fn drawing(&self) -> Drawing {
        let (_, up) = self.reach(lineage::up);
        let (_, down) = self.reach(lineage::down);
        let mut drawing = Drawing { boxes: vec![(self.node.to_string(), false)], arrows: Vec::new() };
        let place = |drawing: &mut Drawing, label: String, is_source: bool| {
            let label = (label, is_source);
            drawing.boxes.iter().position(|known| *known == label).unwrap_or_else(|| {
                drawing.boxes.push(label);
                drawing.boxes.len() - 1
            })
        };
        let up_and_down = up.iter().map(|(to, from, how)| (from, to, how));
        for (from, to, how) in up_and_down.chain(down.iter().map(|(from, to, how)| (from, to, how))) {
            let from = place(&mut drawing, from.to_string(), false);
            let to = place(&mut drawing, to.to_string(), false);
            let arrow = (from, to, *how == Relation::Value);
            if !drawing.arrows.contains(&arrow) {
                drawing.arrows.push(arrow);
            }
        }
        let nodes: BTreeSet<&Node> = up.iter().map(|(_, from, _)| from).chain([&self.node]).collect();
        for node in nodes {
            for slice in self.slices(node) {
                let to = place(&mut drawing, node.to_string(), false);
                let from = place(&mut drawing, slice.path, true);
                drawing.arrows.push((from, to, true));
            }
        }
        drawing
    }

    fn node_json(&self, node: &Node, relation: Relation) -> Value {
        let step = self.step(node);
        json!({
            "output": node.output.as_str(),
            "asset": self.graph().producer(node.output.as_str()).map(|asset| asset.name.as_str()),
            "run": step.as_ref().and_then(|step| step.partition.run()),
            "slice": node.slice,
            "columns": node.columns,
            "relation": relation.name(),
            "content_hashes": self.hashes(node),
        })
    }

    fn json(&self) -> Value {
        let (up, up_arrows) = self.reach(lineage::up);
        let (down, down_arrows) = self.reach(lineage::down);
        let nodes: BTreeSet<&Node> = up.iter().map(|(node, _)| node).chain([&self.node]).collect();
        let sources = nodes.into_iter().flat_map(|node| {
            self.slices(node).into_iter().map(|slice| {
                json!({"output": node.output.as_str(), "path": slice.path, "rows": slice.rows, "hash": slice.hash.to_string()})
            })
        });
        let arrow = |from: &Node, to: &Node, relation: Relation| json!({"from": from.to_string(), "to": to.to_string(), "relation": relation.name()});
        let arrows = up_arrows.iter().map(|(to, from, relation)| arrow(from, to, *relation));
        let arrows = arrows.chain(down_arrows.iter().map(|(from, to, relation)| arrow(from, to, *relation)));
        let mut object = self.node_json(&self.node, Relation::Value);
        object["sources"] = sources.collect();
        object["upstream"] = up.iter().map(|(node, relation)| self.node_json(node, *relation)).collect();
        object["downstream"] = down.iter().map(|(node, relation)| self.node_json(node, *relation)).collect();
        object["edges"] = arrows.collect();
        object
    }
}
