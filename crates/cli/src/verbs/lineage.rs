//! `assets lineage`: what a step came from, down to source files, and what depends on it.

use crate::app::{App, Failure};
use crate::args::{Global, GraphFormat, LineageArgs};
use crate::out::Out;
use crate::render::tree::Tree;
use crate::render::{number, words};
use crate::session::Session;
use crate::verbs::column_lineage::{self, ColumnLineage};
use crate::verbs::graph::{self, Drawing};
use assets_core::freshness::State;
use assets_core::record::SliceRef;
use assets_core::{AssetDecl, AssetName, Partition, Step, select};
use assets_engine::Scope;
use assets_engine::plan::{Plan, PlannedStep};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A source file, as a leaf.
pub(crate) fn source(slice: &SliceRef) -> Tree {
    Tree::new(format!("{}  {}", words::safe(&slice.path), number::plural(slice.rows, "row")))
}

/// Source files that are named one by one.
const FILES: usize = 12;

/// The step of an asset that a partition belongs to; `None` where the asset is cut further.
pub(crate) fn step_of(asset: &AssetDecl, partition: &Partition) -> Option<Step> {
    Some(Step::new(&asset.name, &partition.cut(&asset.dimensions)?))
}

/// A step with all around it.
struct Lineage<'a> {
    session: &'a Session,
    plan: Plan,
    asset: AssetName,
    /// `None`: the assets alone, of no run in particular.
    partition: Option<Partition>,
}

pub(crate) fn run(app: &dyn App, out: &Out, global: &Global, args: &LineageArgs) -> Result<u8, Failure> {
    let run: Vec<String> = args.step.run.iter().cloned().collect();
    let name = args.step.asset.split_once('.').map_or(args.step.asset.as_str(), |(output, _)| output);
    let session = Session::open_for(app, global, &[format!("+{name}+")], &run)?;
    let graph = session.project.graph();
    let format = if out.json { GraphFormat::Json } else { args.format };
    if let Some((output, column)) = args.step.asset.split_once('.') {
        let node = column_lineage::node(graph, output, column)?;
        let partition = match &args.step.run {
            None => None,
            run => Some(session.step(output, run.as_deref())?.0.partition),
        };
        ColumnLineage { session: &session, node, partition }.tell(out, format);
        return Ok(0);
    }
    let asset = select::resolve(graph, &args.step.asset)?;
    let unpartitioned = graph.asset(asset.as_str()).is_some_and(|asset| asset.dimensions.is_empty());
    let partition = match &args.step.run {
        None if !unpartitioned => None,
        run => Some(session.step(&args.step.asset, run.as_deref())?.0.partition),
    };
    let mut scope = Scope::new(graph, &[format!("+{asset}+")], false)?;
    // What is not cut rests on every partition of what it reads over all.
    if !unpartitioned {
        scope.partitions = Some(partition.iter().cloned().collect());
    }
    let lineage = Lineage { session: &session, plan: session.plan(&scope), asset, partition };
    match format {
        GraphFormat::Tree => lineage.text(out),
        GraphFormat::Json => out.json(&lineage.json()),
        GraphFormat::Dot => out.text(&graph::dot(&lineage.drawing())),
        GraphFormat::Mermaid => out.text(&graph::mermaid(&lineage.drawing())),
    }
    Ok(0)
}

impl Lineage<'_> {
    /// The step of an asset that belongs to this lineage, where it is one.
    fn step(&self, asset: &AssetName) -> Option<Step> {
        let decl = self.session.project.graph().asset(asset.as_str())?;
        step_of(decl, self.partition.as_ref()?)
    }

    /// The steps of an asset that is cut, where this lineage is that of one that is not: all of them.
    fn all_steps(&self, asset: &AssetName) -> Vec<&PlannedStep> {
        let is_over_all = self.partition.is_some() && self.step(asset).is_none();
        self.plan.steps.iter().filter(|planned| is_over_all && planned.step.asset == *asset).collect()
    }

    fn states(&self, asset: &AssetName) -> BTreeMap<State, usize> {
        let mut states = BTreeMap::new();
        self.all_steps(asset).iter().for_each(|planned| *states.entry(planned.verdict.state).or_default() += 1);
        states
    }

    /// Slices of sources that an asset's tables were made from, by path; those delivered now where it was never made.
    fn slices(&self, asset: &AssetName) -> Vec<SliceRef> {
        match self.step(asset) {
            Some(step) => self.session.slices(&step),
            None => self.all_steps(asset).iter().flat_map(|planned| self.session.slices(&planned.step)).collect(),
        }
    }

    /// The same for people: over all runs a file once, with the rows of all of them.
    fn files(&self, asset: &AssetName) -> Vec<SliceRef> {
        let slices = self.slices(asset);
        if self.all_steps(asset).is_empty() {
            return slices;
        }
        let mut by_path: BTreeMap<String, SliceRef> = BTreeMap::new();
        for slice in slices {
            match by_path.get_mut(&slice.path) {
                Some(known) => known.rows += slice.rows,
                None => drop(by_path.insert(slice.path.clone(), slice)),
            }
        }
        by_path.into_values().collect()
    }

    /// Leaves for them; of many files the first few.
    fn leaves(&self, asset: &AssetName) -> Vec<Tree> {
        let files = self.files(asset);
        let mut leaves: Vec<Tree> = files.iter().take(FILES).map(source).collect();
        if files.len() > FILES {
            leaves.push(Tree::new(format!("and {}", number::plural(files.len() - FILES, "further file"))));
        }
        leaves
    }

    fn parents(&self, asset: &AssetName) -> Vec<AssetName> {
        self.session.project.graph().parents(asset.as_str())
    }

    fn label(&self, asset: &AssetName) -> String {
        let Some(step) = self.step(asset) else {
            let states = self.states(asset);
            return match states.values().sum::<usize>() {
                0 => words::bold(asset),
                runs => format!("{}  {}: {}", words::bold(asset), number::plural(runs, "run"), words::states(&states)),
            };
        };
        let state = self.plan.get(&step).map(|planned| format!("  {}", words::state(planned.verdict.state)));
        let made = self.session.ledger.newest(&step).map(|record| {
            let rows: u64 = record.outputs.first().map_or(0, |output| output.rows);
            let hash: String = record.content_hash().to_string().chars().take(12).collect();
            words::dim(format!("  {}, {hash}", number::plural(rows, "row")))
        });
        format!("{}{}{}", words::bold(&step), state.unwrap_or_default(), made.unwrap_or_default())
    }

    fn up(&self, asset: &AssetName, told: &mut BTreeSet<AssetName>) -> Tree {
        if !told.insert(asset.clone()) {
            return Tree::new(format!("{asset} {}", words::dim("(see above)")));
        }
        let mut tree = Tree::new(self.label(asset));
        tree.children = self.parents(asset).iter().map(|parent| self.up(parent, told)).collect();
        tree.children.extend(self.leaves(asset));
        let reads_sources = self.session.project.graph().asset(asset.as_str()).is_some_and(|a| a.reads_sources);
        if reads_sources && self.partition.is_none() {
            tree.children.push(Tree::new("the sources"));
        }
        tree
    }

    fn down(&self, asset: &AssetName, told: &mut BTreeSet<AssetName>) -> Tree {
        if !told.insert(asset.clone()) {
            return Tree::new(format!("{asset} {}", words::dim("(see above)")));
        }
        let children = self.session.project.graph().children(asset.as_str());
        let children = children.iter().map(|child| self.down(child, told)).collect();
        Tree { text: self.label(asset), children }
    }

    fn text(&self, out: &Out) {
        out.text(&self.up(&self.asset, &mut BTreeSet::new()).render());
        let mut down = self.down(&self.asset, &mut BTreeSet::new());
        if down.children.is_empty() {
            out.line(&format!("nothing depends on {}", self.asset));
        } else {
            down.text = format!("what depends on {}", self.asset);
            out.text(&down.render());
        }
    }

    fn around(&self) -> (Vec<AssetName>, Vec<AssetName>) {
        let graph = self.session.project.graph();
        (graph.ancestors(self.asset.as_str(), usize::MAX), graph.descendants(self.asset.as_str(), usize::MAX))
    }

    fn drawing(&self) -> Drawing {
        let (up, down) = self.around();
        let all: Vec<AssetName> = up.into_iter().chain([self.asset.clone()]).chain(down).collect();
        let label = |asset: &AssetName| match self.step(asset) {
            Some(step) => step.to_string(),
            None => asset.to_string(),
        };
        let mut drawing = Drawing { boxes: all.iter().map(|a| (label(a), false)).collect(), arrows: Vec::new() };
        for (to, asset) in all.iter().enumerate() {
            for parent in self.parents(asset) {
                drawing.arrows.extend(all.iter().position(|a| *a == parent).map(|from| (from, to, true)));
            }
            for slice in self.files(asset) {
                let path = (slice.path, true);
                let from = drawing.boxes.iter().position(|b| *b == path).unwrap_or_else(|| {
                    drawing.boxes.push(path);
                    drawing.boxes.len() - 1
                });
                drawing.arrows.push((from, to, true));
            }
        }
        drawing
    }

    fn node(&self, asset: &AssetName) -> Value {
        let step = self.step(asset);
        let record = step.as_ref().and_then(|step| self.session.ledger.newest(step));
        let state = step.as_ref().and_then(|step| self.plan.get(step)).map(|planned| planned.verdict.state.name());
        let states = self.states(asset);
        let states: BTreeMap<&str, usize> = states.iter().map(|(state, n)| (state.name(), *n)).collect();
        let mut node = json!({
            "asset": asset.as_str(),
            "run": step.as_ref().and_then(|step| step.partition.run()),
            "reads": self.parents(asset).iter().map(AssetName::as_str).collect::<Vec<_>>(),
            "state": state,
            "rows": record.and_then(|record| record.outputs.first()).map(|output| output.rows),
            "content_hash": record.map(|record| record.content_hash().to_string()),
        });
        if !states.is_empty() {
            node["runs"] = json!(states);
        }
        node
    }

    fn json(&self) -> Value {
        let (up, down) = self.around();
        let sources = up.iter().chain([&self.asset]).flat_map(|asset| {
            self.slices(asset).into_iter().map(move |slice| {
                json!({"asset": asset.as_str(), "path": slice.path, "rows": slice.rows, "hash": slice.hash.to_string()})
            })
        });
        let mut object = self.node(&self.asset);
        object["sources"] = sources.collect();
        object["upstream"] = up.iter().map(|asset| self.node(asset)).collect();
        object["downstream"] = down.iter().map(|asset| self.node(asset)).collect();
        object
    }
}
