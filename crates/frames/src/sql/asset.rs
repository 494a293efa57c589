//! Assets that are a query over others: one table a partition or one over all, its inputs found in the query. Its fingerprint is the
//! canonical plan, so spelling costs nothing; of its inputs the columns count that the plan reads.
//!
//! Not here: where queries come from, and queries that a person asks (`sql`).

use super::statement::Parsed;
use super::ties::{self, Ties};
use super::wrong;
use crate::aligned::reason_in;
use crate::defined::{Declared, Definition, dimensions};
use crate::derive::{self, Derived, LeafPart};
use crate::guard::guarded;
use crate::inputs::Inputs;
use crate::outputs::Outputs;
use crate::worker::FrameAsset;
use crate::{columns, frame_error};
use assets_core::graph::Graph;
use assets_core::hash::{Digest, Hasher};
use assets_core::{
    AssetDecl, AssetName, ColumnDecl, InputDecl, Kind, Mapping, OutputDecl, PartCode, PartId, PartRead, Reads, Reason,
};
use polars::prelude::*;
use polars::sql::SQLContext;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A table as a person defines it by a query.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TableByQuery {
    /// Its name.
    pub name: String,
    /// One `select` (or `with`).
    pub sql: String,
    /// One line for people. Metadata.
    pub description: String,
    /// Whether it has a row or a few per partition.
    pub packed: bool,
    /// Whether it is one table, made from all partitions of what it reads; else one a partition.
    pub over_all: bool,
    /// Unit and line for people of columns, by name. Metadata.
    pub notes: BTreeMap<String, (String, String)>,
}

impl Definition for TableByQuery {
    fn name(&self) -> &str {
        &self.name
    }

    fn reads(&self) -> Result<Vec<String>, Reason> {
        Ok(Parsed::new(&self.sql)?.tables())
    }

    fn declare(&self, name: AssetName, graph: &Graph) -> Result<Declared, Reason> {
        let (decl, code) = one(self, name, Parsed::new(&self.sql)?, graph)?;
        Ok((decl, Arc::new(code)))
    }
}

/// The code of a table that is a query.
struct QueryAsset {
    name: AssetName,
    sql: String,
    /// Leaves of the plan, with the schema that it was fingerprinted over and the columns that it reads.
    leaves: BTreeMap<String, (SchemaRef, Vec<String>)>,
    columns: Vec<ColumnDecl>,
    keys: Vec<String>,
    parts: Vec<PartCode>,
    code: Digest<32>,
    ties: Ties,
    ordered: bool,
    /// Plans that no step runs just now. Making one costs several times what running it over a few rows does.
    idle: Mutex<Vec<Prepared>>,
}

/// The plan, checked against the one that was fingerprinted. Its leaves read what a step puts into their places.
struct Prepared {
    frame: LazyFrame,
    places: Vec<Place>,
}

type Place = Arc<Mutex<Option<DataFrame>>>;

fn locked<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A leaf that reads from a place.
fn placed(name: &str, schema: &SchemaRef, place: Place) -> Result<LazyFrame, Reason> {
    let empty = || Reason::new("opaque_plan", "the query asks for rows before it is run");
    let read = move |wanted: Option<&[&str]>| {
        let frame = locked(&place).clone().ok_or_else(empty)?;
        match wanted {
            Some(wanted) => {
                frame.select(wanted.iter().copied()).map_err(|error| frame_error("columns of an input", &error))
            }
            None => Ok(frame),
        }
    };
    derive::leaf(name, Arc::clone(schema), Arc::new(read))
}

fn plan(sql: &str, leaves: Vec<(String, LazyFrame)>) -> PolarsResult<LazyFrame> {
    let mut context = SQLContext::new();
    for (name, leaf) in leaves {
        context.register(&name, leaf);
    }
    guarded(|| context.execute(sql))
}

/// What all columns compute together.
fn code_of(derived: &Derived) -> Digest<32> {
    let mut hasher = Hasher::new("assets.query.1");
    hasher.bytes(derived.rows.code.as_bytes()).number(derived.columns.len() as u64);
    derived.columns.iter().for_each(|(_, column)| {
        hasher.bytes(column.code.as_bytes());
    });
    hasher.finish()
}

fn one(
    table: &TableByQuery,
    name: AssetName,
    parsed: Parsed,
    graph: &Graph,
) -> Result<(AssetDecl, QueryAsset), Reason> {
    parsed.own_names_are_free(graph)?;
    parsed.without_natural_joins()?;
    parsed.without_unordered_windows()?;
    let parsed = &parsed.for_polars(graph)?;
    let sql = parsed.text().to_owned();
    let schema_of = |output: &OutputDecl| Arc::new(columns::schema(&output.columns));
    let empty = graph
        .outputs()
        .map(|output| Ok((output.name.to_string(), derive::empty_leaf(output.name.as_str(), schema_of(output))?)));
    let empty = empty.collect::<Result<Vec<_>, Reason>>()?;
    let frame = plan(&sql, empty).map_err(|error| wrong(graph, parsed, &error))?;
    let settled = ties::settled(&frame).map_err(|reason| {
        // polars resolves names late: what it misses then is the query's fault as well.
        guarded(|| frame.clone().collect_schema()).err().map_or(reason, |error| wrong(graph, parsed, &error))
    })?;
    let Some((ties, frame, derived)) = settled else {
        let message = "which rows or values come out depends on an order that the query leaves open: add `order by`";
        return Err(Reason::new("unsettled_query", message));
    };
    let answer = guarded(|| frame.with_check_order(false).collect()).map_err(|error| wrong(graph, parsed, &error))?;
    let leaves = leaves(&derived, graph);
    if leaves.is_empty() {
        return Err(Reason::new("bad_definition", "the query reads no table: it would be the same for every run"));
    }
    let keys = if table.over_all { Vec::new() } else { dimensions(graph, leaves.keys().map(String::as_str))? };
    let decls = declared(table, &answer, &keys)?;
    let parts = decls.iter().filter(|decl| !keys.contains(&decl.name)).filter_map(|decl| {
        let (_, column) = derived.columns.iter().find(|(name, _)| *name == decl.name)?;
        let (direct, indirect) = (reads(&column.direct, graph, &keys), reads(&column.indirect, graph, &keys));
        Some(PartCode {
            id: PartId::column(&decl.name),
            code: column.code,
            params: BTreeSet::new(),
            opens: direct.union(&indirect).map(|read| read.output.clone()).collect(),
            direct,
            indirect,
            via: BTreeSet::new(),
        })
    });
    let parts: Vec<PartCode> = parts.collect();
    // Parts go by one partition: a table over all is made as a whole.
    let listed = if table.over_all { Vec::new() } else { parts.clone() };
    let mut output = OutputDecl::new(name.clone(), decls.clone()).parts(listed);
    output.packed = table.packed;
    let code = code_of(&derived);
    let mut decl = AssetDecl::new(output, &format!("sql {}", &code.to_string()[..32]));
    decl.dimensions.clone_from(&keys);
    decl = decl.described(&table.description).tagged(&["sql"]);
    for (leaf, (_, read)) in &leaves {
        let output = AssetName::new(leaf).map_err(|error| Reason::new("bad_name", error.to_string()))?;
        let is_cut = graph.producer(leaf).is_some_and(|writer| !writer.dimensions.is_empty());
        let mapping = if table.over_all && is_cut { Mapping::All } else { Mapping::Identity };
        decl = decl.reads(InputDecl { output, reads: Reads::Columns(read.clone()), mapping });
    }
    let ordered = derived.ordered;
    Ok((
        decl,
        QueryAsset { name, sql, leaves, columns: decls, keys, parts, code, ties, ordered, idle: Mutex::default() },
    ))
}

/// What the plan reads of each table. Of a table cut into slices every column counts: the order in which rows of
/// different slices follow each other is in none of them alone. Keys come along: they count rows.
fn leaves(derived: &Derived, graph: &Graph) -> BTreeMap<String, (SchemaRef, Vec<String>)> {
    let mut read: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let columns = derived.columns.iter().flat_map(|(_, column)| column.parts());
    for LeafPart { leaf, column } in columns.chain(derived.rows.parts()) {
        read.entry(leaf).or_default().extend(column);
    }
    let found = read.into_iter().filter_map(|(leaf, mut columns)| {
        let output = graph.output(&leaf)?;
        let dimensions = graph.producer(&leaf).map(|asset| asset.dimensions.clone()).unwrap_or_default();
        columns.extend(dimensions);
        if !output.slice_key.is_empty() {
            columns.extend(output.columns.iter().map(|column| column.name.clone()));
        }
        let first = output.columns.first().map(|column| column.name.clone());
        if columns.is_empty() {
            columns.extend(first);
        }
        Some((leaf, (Arc::new(columns::schema(&output.columns)), columns.into_iter().collect())))
    });
    found.collect()
}

/// The columns of the table: the keys, then those of the answer.
fn declared(table: &TableByQuery, answer: &DataFrame, keys: &[String]) -> Result<Vec<ColumnDecl>, Reason> {
    let key = |name: &String| ColumnDecl::new(name, Kind::Text, "", "what cuts the table");
    let mut decls: Vec<ColumnDecl> = keys.iter().map(key).collect();
    for column in answer.columns().iter().filter(|column| !keys.iter().any(|key| key == column.name().as_str())) {
        let name = column.name().as_str();
        let kind = columns::kind(column.dtype()).ok_or_else(|| {
            let message = format!("the column `{name}` is {}, which no table holds: cast it", column.dtype());
            Reason::new("wrong_type", message).with("column", name)
        })?;
        let (unit, about) = table.notes.get(name).cloned().unwrap_or_default();
        decls.push(ColumnDecl::new(name, kind, &unit, &about));
    }
    if let Some(unknown) = table.notes.keys().find(|name| !decls.iter().any(|decl| decl.name == **name)) {
        let hint = assets_core::suggest::hint(unknown, decls.iter().map(|decl| decl.name.as_str()));
        let message = format!("the query gives no column `{unknown}`{hint}");
        return Err(Reason::new("unknown_column", message).with("column", unknown.as_str()));
    }
    if decls.len() == keys.len() {
        return Err(Reason::new("bad_definition", "the query gives no column besides the keys"));
    }
    Ok(decls)
}

fn reads(parts: &BTreeSet<LeafPart>, graph: &Graph, keys: &[String]) -> BTreeSet<PartRead> {
    let mut found = BTreeSet::new();
    for part in parts {
        let Some(output) = graph.output(&part.leaf) else { continue };
        match &part.column {
            _ if !output.slice_key.is_empty() => {
                let columns = output.columns.iter().filter(|column| !keys.contains(&column.name));
                found.extend(columns.map(|column| PartRead::column(&output.name, &column.name)));
            }
            // A key is the same in every row, and in the step's own name.
            Some(column) if keys.contains(column) => drop(found.insert(PartRead::rows(&output.name))),
            Some(column) => drop(found.insert(PartRead::column(&output.name, column))),
            None => drop(found.insert(PartRead::rows(&output.name))),
        }
    }
    found
}

impl FrameAsset for QueryAsset {
    fn make(&self, inputs: &Inputs<'_>, outputs: &mut Outputs<'_>) -> Result<(), Reason> {
        let read = self.leaves.iter().map(|(name, (_, columns))| {
            let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
            inputs.read(name, &columns)
        });
        let mut answer = self.run(read.collect::<Result<_, Reason>>()?)?;
        if !self.ordered && answer.width() > 0 {
            // Where the query leaves the order open, it is that of the columns.
            let by: Vec<String> = answer.get_column_names().iter().map(ToString::to_string).collect();
            answer = answer.sort(by, SortMultipleOptions::default()).map_err(|error| self.failed(&error))?;
        }
        let mut all = Vec::new();
        for decl in &self.columns {
            let column = if self.keys.contains(&decl.name) {
                columns::constant_text(&decl.name, inputs.key(&decl.name), answer.height())
            } else {
                let column = answer.column(&decl.name).and_then(|column| columns::conform(column, decl.kind));
                column.map_err(|error| self.failed(&error))?
            };
            if answer.height() > 0 && column.null_count() == column.len() {
                self.unavailable(inputs, outputs, &decl.name)?;
            }
            all.push(column);
        }
        outputs.write(self.name.as_str(), columns::frame(all)?)
    }
}

impl QueryAsset {
    fn failed(&self, error: &PolarsError) -> Reason {
        derive::reason(&format!("the query of {}", self.name), error)
    }

    /// The answer over the rows of the leaves.
    fn run(&self, rows: Vec<DataFrame>) -> Result<DataFrame, Reason> {
        let idle = locked(&self.idle).pop();
        let prepared = idle.map_or_else(|| self.prepare(), Ok)?;
        let put = |rows: Option<DataFrame>, place: &Place| *locked(place) = rows;
        rows.into_iter().zip(&prepared.places).for_each(|(rows, place)| put(Some(rows), place));
        let answer = prepared.frame.clone().collect();
        prepared.places.iter().for_each(|place| put(None, place));
        locked(&self.idle).push(prepared);
        answer.map_err(|error| self.failed(&error))
    }

    fn prepare(&self) -> Result<Prepared, Reason> {
        let (mut leaves, mut places) = (Vec::new(), Vec::new());
        for (name, (schema, _)) in &self.leaves {
            let place = Place::default();
            leaves.push((name.clone(), placed(name, schema, Arc::clone(&place))?));
            places.push(place);
        }
        let frame = plan(&self.sql, leaves).and_then(|frame| self.ties.decide(&frame));
        let frame = frame.map_err(|error| self.failed(&error))?;
        if code_of(&derive::derive(&frame, &|_, _| None)?) != self.code {
            let message = format!("the plan of {} is not the one that was fingerprinted", self.name);
            return Err(Reason::new("plan_differs", message));
        }
        Ok(Prepared { frame: frame.with_check_order(false), places })
    }

    /// A column that is null throughout because what it derives from is.
    fn unavailable(&self, inputs: &Inputs<'_>, outputs: &mut Outputs<'_>, column: &str) -> Result<(), Reason> {
        let code = self.parts.iter().find(|part| part.id.column == column);
        let reason = code.into_iter().flat_map(|code| &code.direct).find_map(|read| reason_in(inputs, read));
        reason.map_or(Ok(()), |reason| outputs.unavailable(self.name.as_str(), column, reason))
    }
}
