//! Tables that a person defines by text, each by what it is (a query, a command): declared in an order in which each comes
//! after what it reads.

use crate::worker::FrameAsset;
use assets_core::graph::Graph;
use assets_core::{AssetDecl, AssetName, Reason};
use std::sync::Arc;

/// A declaration with its code.
pub type Declared = (AssetDecl, Arc<dyn FrameAsset>);

/// A table as a person defines it.
pub trait Definition {
    /// Its name.
    fn name(&self) -> &str;

    /// The tables that it names as what it reads.
    fn reads(&self) -> Result<Vec<String>, Reason>;

    /// Its declaration and code over the assets of a graph, in which all that it reads is declared.
    fn declare(&self, name: AssetName, graph: &Graph) -> Result<Declared, Reason>;
}

/// Declares tables over the assets of `known` and each other.
///
/// # Errors
/// `name_taken`, `asset_cycle`, `bad_name`, and what is wrong with one of them. Facts say which `definition`.
pub fn declare(tables: &[Box<dyn Definition>], known: Vec<AssetDecl>) -> Result<Vec<Declared>, Reason> {
    let mut declarer = Declarer { tables, known, done: Vec::new(), path: Vec::new() };
    tables.iter().try_for_each(|table| declarer.resolve(table.as_ref()))?;
    Ok(declarer.done)
}

/// The dimensions that cut a table: those of the table it reads that is cut most finely. Which partitions there are has to be
/// known from one table, so the others are cut by some of its dimensions.
///
/// # Errors
/// `mixed_dimensions`.
pub fn dimensions<'a>(graph: &Graph, read: impl Iterator<Item = &'a str>) -> Result<Vec<String>, Reason> {
    let read: Vec<(&str, &Vec<String>)> =
        read.filter_map(|table| Some((table, &graph.producer(table)?.dimensions))).collect();
    let Some((_, finest)) = read.iter().rev().max_by_key(|(_, dimensions)| dimensions.len()) else {
        return Ok(Vec::new());
    };
    let other = read.iter().find(|(_, dimensions)| dimensions.iter().any(|dimension| !finest.contains(dimension)));
    if other.is_none() {
        return Ok((*finest).clone());
    }
    let cut = |(table, dimensions): &(&str, &Vec<String>)| match dimensions.as_slice() {
        [] => format!("`{table}` not at all"),
        by => format!("`{table}` by {}", by.join(", ")),
    };
    let cuts: Vec<String> = read.iter().map(cut).collect();
    let message = format!(
        "it reads tables that are cut differently, and none of them by all that cuts the others: {}; so it is not known \
         for which combinations of keys there is a table",
        cuts.join("; ")
    );
    Err(Reason::new("mixed_dimensions", message))
}

struct Declarer<'a> {
    tables: &'a [Box<dyn Definition>],
    known: Vec<AssetDecl>,
    done: Vec<Declared>,
    path: Vec<String>,
}

impl<'a> Declarer<'a> {
    fn resolve(&mut self, table: &'a dyn Definition) -> Result<(), Reason> {
        let about = |reason: Reason| {
            if reason.facts.contains_key("definition") {
                return reason;
            }
            let message = format!("{}: {}", table.name(), reason.message);
            Reason { message, ..reason }.with("definition", table.name())
        };
        if self.done.iter().any(|(decl, _)| decl.name.as_str() == table.name()) {
            return Ok(());
        }
        let is_open = self.path.iter().any(|open| open == table.name());
        self.path.push(table.name().to_owned());
        if is_open {
            let message = format!("tables are computed from each other in a circle: {}", self.path.join(" → "));
            return Err(Reason::new("asset_cycle", message).with("definition", table.name()));
        }
        let reads = table.reads().map_err(about)?;
        for used in self.tables.iter().filter(|other| reads.iter().any(|read| read == other.name())) {
            self.resolve(used.as_ref())?;
        }
        self.path.pop();
        let name = AssetName::new(table.name()).map_err(|error| about(Reason::new("bad_name", error.to_string())))?;
        if self.known.iter().flat_map(|asset| &asset.outputs).any(|output| output.name == name) {
            return Err(about(Reason::new("name_taken", "there is a table of that name already: choose another")));
        }
        let graph = Graph::new(self.known.clone()).map_err(|error| Reason::new("bad_pipeline", error.to_string()))?;
        let (decl, code) = table.declare(name, &graph).map_err(about)?;
        self.known.push(decl.clone());
        self.done.push((decl, code));
        Ok(())
    }
}
