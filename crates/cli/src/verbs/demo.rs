//! `assets demo`: the newcomer's first minute, from nothing to tables.

use crate::app::{App, Failure, OpenOptions, Project, SimulateOptions};
use crate::args::{DemoArgs, Global, MaterializeArgs};
use crate::edge;
use crate::out::Out;
use crate::render::{number, words};
use crate::verbs::{materialize, show, simulate};
use assets_core::{AssetName, Reason};
use assets_engine::Scope;
use std::path::Path;
use std::time::Instant;

pub(crate) fn run(app: &dyn App, out: &Out, global: &Global, args: &DemoArgs) -> Result<u8, Failure> {
    let config = args.dir.join("assets.toml");
    prepare(app, out, args, &config)?;
    let options = OpenOptions { config: Some(config.clone()), store: global.store.clone(), sources: Vec::new() };
    let project = app.open(&options)?;
    out.hint("making every asset of every run");
    let trigger = format!("assets demo {}", args.dir.display());
    let asked = MaterializeArgs::default();
    let request = materialize::Request { args: &asked, saved: None, trigger: &trigger, anew: None };
    let summary = materialize::make(out, project.as_ref(), global.rehash, &request)?;
    if !out.json && !summary.interrupted {
        headline(out, project.as_ref())?;
        places(out, project.as_ref())?;
        next(out, project.as_ref(), &args.dir, &config);
    }
    Ok(materialize::exit_code(&summary))
}

/// Settings and data, where they are not there yet.
fn prepare(app: &dyn App, out: &Out, args: &DemoArgs, config: &Path) -> Result<(), Failure> {
    let data = args.dir.join("data");
    if !config.exists() {
        if !is_empty(&args.dir)? {
            let message = format!("{} holds something else already", args.dir.display());
            let reason = Reason::new("folder_not_empty", message).with("path", args.dir.display().to_string());
            return Err(Failure::usage(reason).help("name a new folder: assets demo DIR"));
        }
        app.init(&args.dir, &["data/*.parquet".to_owned()])?;
        out.hint(&format!("wrote {}", config.display()));
    } else if !is_empty(&data)? {
        out.hint(&format!("{} is there already: taking its data as they are", args.dir.display()));
        return Ok(());
    }
    let begun = Instant::now();
    let simulated = app.simulate(&SimulateOptions {
        out: data.clone(),
        runs: 4,
        seconds: args.seconds,
        defects: false,
        noise: None,
        seed: 1,
        demo: true,
    })?;
    let (what, took) = (simulate::summary(&simulated), number::seconds(begun.elapsed().as_secs_f64()));
    out.hint(&format!("simulated {what} into {} ({took})", data.display()));
    Ok(())
}

fn is_empty(folder: &Path) -> Result<bool, Failure> {
    match std::fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(edge::file_failure(folder, &error)),
    }
}

fn headline(out: &Out, project: &dyn Project) -> Result<(), Failure> {
    let Some((output, columns)) = project.headline() else { return Ok(()) };
    let reader = project.reader()?;
    let ledger = reader.records().ledger()?;
    let graph = project.graph();
    let scope = Scope::new(graph, &[output.to_string()], false)?;
    let records = show::records(&ledger, graph, &output, &scope);
    let table = show::stack(project, reader.tables().as_ref(), &records, &columns, None)?;
    out.line(&format!("\n{}", words::bold(&output)));
    show::print(out, &table, graph, 200);
    Ok(())
}

fn places(out: &Out, project: &dyn Project) -> Result<(), Failure> {
    let reader = project.reader()?;
    let outputs: Vec<&AssetName> = project.graph().outputs().map(|output| &output.name).collect();
    let width = outputs.iter().map(|name| name.as_str().len()).max().unwrap_or(0);
    out.line(&format!("\n{}", words::bold("where the tables are")));
    for name in outputs {
        if let Some(folder) = reader.tables().folder(name).filter(|folder| folder.exists()) {
            out.line(&format!("{:<width$}  {}", name.as_str(), folder.join("*.parquet").display()));
        }
    }
    Ok(())
}

fn next(out: &Out, project: &dyn Project, dir: &Path, config: &Path) {
    let table = project.headline().map(|(output, _)| output).or_else(|| project.graph().order().last().cloned());
    let table = table.map(|name| name.to_string()).unwrap_or_default();
    let with = format!("{} --config {}", program(), quoted(config));
    out.hint(&format!("\nnext (or leave --config out after: cd {}):", quoted(dir)));
    let sql = format!("sql \"select * from {table}\"");
    let lineage = format!("lineage {table} --format mermaid");
    for command in [sql.as_str(), "status", "errors", lineage.as_str()] {
        out.hint(&format!("  {with} {command}"));
    }
    out.hint("change a value in assets.toml, then: plan, materialize");
}

/// How to call this program: by its name where the shell finds it, else by its path (as after `cargo run`).
fn program() -> String {
    let Ok(own) = std::env::current_exe() else { return "assets".to_owned() };
    let name = own.file_name().unwrap_or_default();
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders).any(|folder| folder.join(name).is_file());
    if found { name.to_string_lossy().into_owned() } else { quoted(&own) }
}

fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    if text.contains([' ', '\'', '"', '$', '&', '(']) { format!("'{}'", text.replace('\'', "'\\''")) } else { text }
}
