//! `fleet`: what runs have in common, per run attribute; and `unusual`: which runs are far from it. Both over all runs.
//!
//! Not here: what a run's own numbers are (`stats`).

use crate::columns::{self as names, FLEET_METRICS, RUN};
use crate::kernels::quantile::{Usual, quantile};
use assets_core::{ColumnDecl, Reason};
use assets_frames::{Column, DataFrame, FrameAsset, Inputs, Outputs, columns};
use std::collections::BTreeMap;

/// Version of what this file computes, raised whenever a result changes.
pub const VERSION: u32 = 1;

/// What stands for all runs where an attribute or its value is named.
pub const ALL: &str = "all";
/// A modified z-score beyond this is unusual: Iglewicz and Hoaglin (1993).
pub const UNUSUAL_Z: f64 = 3.5;
/// Quantiles that are told, in the order of the columns.
const QUANTILES: [f64; 5] = [0.05, 0.25, 0.5, 0.75, 0.95];

/// Summarizes all runs.
pub struct Fleet {
    /// The attributes of a run by which others are alike.
    pub attributes: Vec<String>,
}

/// What is read of `stats`: whose row it is, its attributes, its metrics.
pub fn reads(attributes: &[String]) -> Vec<&str> {
    let attributes = attributes.iter().map(String::as_str);
    [RUN].into_iter().chain(attributes).chain(FLEET_METRICS).collect()
}

/// One column of a table, row by row.
type Texts = Vec<Option<String>>;

/// Rows of `stats`, column by column.
struct Runs {
    ids: Texts,
    attributes: Vec<(String, Texts)>,
    /// A value for each run, NaN where it has none; in the order of `FLEET_METRICS`.
    metrics: Vec<Vec<f64>>,
}

impl Runs {
    fn read(inputs: &Inputs<'_>, attributes: &[String]) -> Result<Self, Reason> {
        let frame = inputs.read("stats", &reads(attributes))?;
        let texts = |name: &str| -> Result<Texts, Reason> {
            Ok(columns::to_texts(&frame, name)?.into_iter().map(|text| text.map(str::to_owned)).collect())
        };
        let metrics = FLEET_METRICS.iter().map(|metric| columns::to_floats(&frame, metric));
        let attributes = attributes.iter().map(|name| Ok((name.clone(), texts(name)?)));
        let attributes = attributes.collect::<Result<_, Reason>>()?;
        Ok(Self { ids: texts(RUN)?, attributes, metrics: metrics.collect::<Result<_, _>>()? })
    }

    /// (attribute, value, its runs): all runs first, then each attribute's values, those without one last.
    fn groups(&self) -> Vec<(&str, Option<&str>, Vec<usize>)> {
        let mut groups = vec![(ALL, Some(ALL), (0..self.ids.len()).collect())];
        for (name, values) in &self.attributes {
            let mut by_value: BTreeMap<(bool, Option<&str>), Vec<usize>> = BTreeMap::new();
            for (run, value) in values.iter().enumerate() {
                by_value.entry((value.is_none(), value.as_deref())).or_default().push(run);
            }
            groups.extend(by_value.into_iter().map(|((_, value), runs)| (name.as_str(), value, runs)));
        }
        groups
    }
}

/// A row of `fleet`.
struct Summary<'a> {
    attribute: &'a str,
    value: Option<&'a str>,
    metric: usize,
    runs: usize,
    quantiles: [f64; QUANTILES.len()],
    mean: f64,
}

fn summaries(runs: &Runs) -> Vec<Summary<'_>> {
    let mut rows = Vec::new();
    for (attribute, value, of) in runs.groups() {
        for (metric, values) in runs.metrics.iter().enumerate() {
            let mut sorted: Vec<f64> = of.iter().map(|run| values[*run]).filter(|value| value.is_finite()).collect();
            sorted.sort_by(f64::total_cmp);
            let mean = sorted.iter().sum::<f64>() / sorted.len() as f64;
            let quantiles = QUANTILES.map(|q| quantile(&sorted, q));
            rows.push(Summary { attribute, value, metric, runs: sorted.len(), quantiles, mean });
        }
    }
    rows
}

/// A row of `unusual`.
struct Outlier {
    run: usize,
    metric: usize,
    value: f64,
    usual: Usual,
    z: f64,
}

/// Runs far from all others in some metric, the farthest first.
fn outliers(runs: &Runs) -> Vec<Outlier> {
    let mut found = Vec::new();
    for (metric, values) in runs.metrics.iter().enumerate() {
        let known: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
        let Some(usual) = Usual::of(&known) else { continue };
        for (run, value) in values.iter().copied().enumerate().filter(|(_, value)| value.is_finite()) {
            let z = usual.z(value);
            if z.abs() > UNUSUAL_Z {
                found.push(Outlier { run, metric, value, usual, z });
            }
        }
    }
    found.sort_by(|a, b| b.z.abs().total_cmp(&a.z.abs()).then((a.run, a.metric).cmp(&(b.run, b.metric))));
    found
}

fn metric(decls: &[ColumnDecl], metric: usize) -> (&'static str, &str) {
    let name = FLEET_METRICS[metric];
    (name, decls.iter().find(|decl| decl.name == name).map_or("", |decl| decl.unit.as_str()))
}

/// The columns `metric` and `unit` of some rows.
fn metric_columns(decls: &[ColumnDecl], metrics: impl Iterator<Item = usize> + Clone) -> [Column; 2] {
    let units = metrics.clone().map(|at| Some(metric(decls, at).1));
    [columns::texts("metric", metrics.map(|at| Some(FLEET_METRICS[at]))), columns::texts("unit", units)]
}

fn floats(name: &str, values: impl Iterator<Item = f64>) -> Column {
    columns::floats_nan_null(name, values.collect())
}

fn fleet(runs: &Runs, decls: &[ColumnDecl]) -> Result<DataFrame, Reason> {
    let rows = summaries(runs);
    let mut all = vec![
        columns::texts("attribute", rows.iter().map(|row| Some(row.attribute))),
        columns::texts("value", rows.iter().map(|row| row.value)),
    ];
    all.extend(metric_columns(decls, rows.iter().map(|row| row.metric)));
    all.push(columns::ints("runs", rows.iter().map(|row| i64::try_from(row.runs).ok())));
    for (at, name) in names::FLEET_QUANTILES.iter().enumerate() {
        all.push(floats(name, rows.iter().map(|row| row.quantiles[at])));
    }
    all.push(floats("mean", rows.iter().map(|row| row.mean)));
    columns::frame(all)
}

fn unusual(runs: &Runs, decls: &[ColumnDecl]) -> Result<DataFrame, Reason> {
    let rows = outliers(runs);
    let mut all = vec![columns::texts(RUN, rows.iter().map(|row| runs.ids[row.run].as_deref()))];
    all.extend(metric_columns(decls, rows.iter().map(|row| row.metric)));
    all.push(floats("value", rows.iter().map(|row| row.value)));
    all.push(floats("median", rows.iter().map(|row| row.usual.median)));
    all.push(floats("robust_sigma", rows.iter().map(|row| row.usual.sigma)));
    all.push(floats("robust_z", rows.iter().map(|row| row.z)));
    for (name, values) in &runs.attributes {
        all.push(columns::texts(name, rows.iter().map(|row| values[row.run].as_deref())));
    }
    columns::frame(all)
}

impl FrameAsset for Fleet {
    fn make(&self, inputs: &Inputs<'_>, outputs: &mut Outputs<'_>) -> Result<(), Reason> {
        let runs = Runs::read(inputs, &self.attributes)?;
        let decls = names::stats(&[]);
        outputs.write("fleet", fleet(&runs, &decls)?)?;
        outputs.write("unusual", unusual(&runs, &decls)?)
    }
}
