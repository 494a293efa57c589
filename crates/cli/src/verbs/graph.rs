//! `assets graph`: the assets and who reads whom; and the drawing of any such graph.

use crate::app::{App, Failure};
use crate::args::{Global, GraphArgs, GraphFormat};
use crate::out::Out;
use crate::render::words;
use crate::session;
use assets_core::graph::Graph;
use assets_core::{AssetDecl, AssetName, Mapping, Reads};
use serde_json::{Value, json};

pub(crate) fn run(app: &dyn App, out: &Out, global: &Global, args: &GraphArgs) -> Result<u8, Failure> {
    let project = app.open(&session::open_options(global))?;
    let graph = project.graph();
    let format = if out.json { GraphFormat::Json } else { args.format };
    match format {
        GraphFormat::Tree => text(out, graph),
        GraphFormat::Json => out.json(&graph_json(graph)),
        GraphFormat::Dot => out.text(&dot(&drawing(graph))),
        GraphFormat::Mermaid => out.text(&mermaid(&drawing(graph))),
    }
    Ok(0)
}

/// Boxes and arrows between them, by index.
#[derive(Debug, Default)]
pub(crate) struct Drawing {
    /// Labels; those of sources apart.
    pub(crate) boxes: Vec<(String, bool)>,
    /// From, to, and whether values flow along it: else it only decides which rows there are.
    pub(crate) arrows: Vec<(usize, usize, bool)>,
}

fn drawing(graph: &Graph) -> Drawing {
    let mut drawing = Drawing::default();
    if graph.assets().any(|asset| asset.reads_sources) {
        drawing.boxes.push(("sources".to_owned(), true));
    }
    let first = drawing.boxes.len();
    drawing.boxes.extend(graph.order().iter().map(|name| (name.to_string(), false)));
    let at = |name: &AssetName| graph.order().iter().position(|n| n == name).map(|i| i + first);
    for asset in graph.assets() {
        let Some(to) = at(&asset.name) else { continue };
        if asset.reads_sources {
            drawing.arrows.push((0, to, true));
        }
        let parents = graph.parents(asset.name.as_str());
        drawing.arrows.extend(parents.iter().filter_map(at).map(|from| (from, to, true)));
    }
    drawing
}

/// Graphviz.
pub(crate) fn dot(drawing: &Drawing) -> String {
    let mut out = String::from("digraph assets {\n  rankdir=LR;\n  node [shape=box];\n");
    for (i, (label, source)) in drawing.boxes.iter().enumerate() {
        let label = label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let shape = if *source { ", shape=note" } else { "" };
        out += &format!("  n{i} [label=\"{label}\"{shape}];\n");
    }
    for (from, to, values) in &drawing.arrows {
        let style = if *values { "" } else { " [style=dashed]" };
        out += &format!("  n{from} -> n{to}{style};\n");
    }
    out + "}\n"
}

/// Mermaid.
pub(crate) fn mermaid(drawing: &Drawing) -> String {
    let mut out = String::from("flowchart LR\n");
    for (i, (label, source)) in drawing.boxes.iter().enumerate() {
        let label = label.replace('"', "#quot;").replace('\n', "<br/>");
        let (open, close) = if *source { ("[(", ")]") } else { ("[", "]") };
        out += &format!("  n{i}{open}\"{label}\"{close}\n");
    }
    for (from, to, values) in &drawing.arrows {
        let arrow = if *values { "-->" } else { "-.->" };
        out += &format!("  n{from} {arrow} n{to}\n");
    }
    out
}

fn text(out: &Out, graph: &Graph) {
    for asset in graph.assets() {
        let about =
            if asset.description.is_empty() { String::new() } else { format!("  {}", words::dim(&asset.description)) };
        out.line(&format!("{}{about}", words::bold(&asset.name)));
        out.line(&format!("  reads   {}", reads(asset)));
        for output in asset.outputs.iter().filter(|output| output.name != asset.name) {
            out.line(&format!("  writes  {} too", output.name));
        }
        if !asset.tags.is_empty() {
            let tags: Vec<&str> = asset.tags.iter().map(String::as_str).collect();
            out.line(&format!("  tags    {}", tags.join(", ")));
        }
        let by: Vec<String> = graph.children(asset.name.as_str()).iter().map(ToString::to_string).collect();
        if !by.is_empty() {
            out.line(&format!("  read by {}", by.join(", ")));
        }
    }
}

fn reads(asset: &AssetDecl) -> String {
    let inputs = asset.inputs.iter().map(|input| {
        let which = if input.mapping == Mapping::All { " of all runs" } else { "" };
        match &input.reads {
            Reads::All => format!("{}{which}", input.output),
            Reads::Columns(columns) => format!("{}{which} ({})", input.output, columns.join(", ")),
        }
    });
    let sources = asset.reads_sources.then(|| "sources".to_owned());
    let all: Vec<String> = sources.into_iter().chain(inputs).collect();
    if all.is_empty() { "nothing".to_owned() } else { all.join(", ") }
}

fn graph_json(graph: &Graph) -> Value {
    let names = |names: Vec<AssetName>| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let assets = graph.assets().map(|asset| {
        let inputs = asset.inputs.iter().map(|input| {
            let columns = if let Reads::Columns(columns) = &input.reads { Some(columns) } else { None };
            json!({"output": input.output.as_str(), "columns": columns, "mapping": input.mapping.name()})
        });
        let outputs = asset.outputs.iter().map(|output| {
            let columns = output
                .columns
                .iter()
                .map(|c| json!({"name": c.name, "kind": c.kind.name(), "unit": c.unit, "description": c.description}));
            json!({"name": output.name.as_str(), "packed": output.packed, "columns": columns.collect::<Vec<_>>()})
        });
        json!({
            "asset": asset.name.as_str(),
            "description": asset.description,
            "tags": asset.tags,
            "dimensions": asset.dimensions,
            "reads_sources": asset.reads_sources,
            "reads": names(graph.parents(asset.name.as_str())),
            "inputs": inputs.collect::<Vec<_>>(),
            "outputs": outputs.collect::<Vec<_>>(),
            "code": asset.code,
            "parameters": asset.params.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        })
    });
    json!({"assets": assets.collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_quoted() {
        let drawing =
            Drawing { boxes: vec![("a \"b\"".into(), true), ("c".into(), false)], arrows: vec![(0, 1, true)] };
        assert!(dot(&drawing).contains("n0 [label=\"a \\\"b\\\"\", shape=note];"));
        assert_eq!(mermaid(&drawing), "flowchart LR\n  n0[(\"a #quot;b#quot;\")]\n  n1[\"c\"]\n  n0 --> n1\n");
    }
}
