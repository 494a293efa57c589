//! Tables of row-aligned columns, each defined on its own: copied from an input, an expression over other columns of the
//! table, or a kernel. From the definitions follow what each column is computed from, and the code that computes just
//! the columns that are asked for.
//!
//! Not here: how expressions become digests (`derive`), and how a table is put together (`assemble`).

mod ready;
mod row;

pub use row::Row;

use ready::Ready;

use crate::assemble::Piece;
use crate::columns;
use crate::derive::{self, Derivation, LeafPart};
use crate::inputs::Inputs;
use crate::outputs::Outputs;
use crate::worker::FrameAsset;
use assets_core::executor::{PartTask, StepRequest};
use assets_core::hash::{Digest, Hasher};
use assets_core::{AssetDecl, AssetName, ColumnDecl, InputDecl, OutputDecl, PartCode, PartId, PartRead, Reads, Reason};
use polars::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

/// The code of a kernel.
pub type KernelFn = dyn Fn(&Row<'_>) -> Result<Column, Reason> + Send + Sync;

/// A named, versioned computation outside of any plan, with its parameters and declared inputs. What it reads besides is
/// in no fingerprint: everything that its values depend on must be declared.
#[derive(Clone)]
pub struct Kernel {
    name: String,
    versions: String,
    params: BTreeSet<String>,
    direct: BTreeSet<PartRead>,
    indirect: BTreeSet<PartRead>,
    own: BTreeSet<String>,
    axis: BTreeSet<String>,
    run: Arc<KernelFn>,
}

impl Kernel {
    /// A kernel; `versions` (its own, those of what it calls) change whenever its results do.
    pub fn new(
        name: &str,
        versions: &str,
        run: impl Fn(&Row<'_>) -> Result<Column, Reason> + Send + Sync + 'static,
    ) -> Self {
        let (params, direct, indirect, own, axis) = Default::default();
        let (name, versions) = (name.to_owned(), versions.to_owned());
        Self { name, versions, params, direct, indirect, own, axis, run: Arc::new(run) }
    }

    /// Adds parameters of the asset, by name.
    #[must_use]
    pub fn params<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.params.extend(names.into_iter().map(str::to_owned));
        self
    }

    /// Adds parts that its values derive from.
    #[must_use]
    pub fn reads(mut self, parts: impl IntoIterator<Item = PartRead>) -> Self {
        self.direct.extend(parts);
        self
    }

    /// Adds parts that decide which rows there are, and what is known in them.
    #[must_use]
    pub fn aligned_by(mut self, parts: impl IntoIterator<Item = PartRead>) -> Self {
        self.indirect.extend(parts);
        self
    }

    /// Adds columns of the same table that it reads.
    #[must_use]
    pub fn uses<'a>(mut self, columns: impl IntoIterator<Item = &'a str>) -> Self {
        self.own.extend(columns.into_iter().map(str::to_owned));
        self
    }

    /// Adds columns of the same table on whose rows it is laid out.
    #[must_use]
    pub fn along<'a>(mut self, columns: impl IntoIterator<Item = &'a str>) -> Self {
        self.axis.extend(columns.into_iter().map(str::to_owned));
        self
    }
}

/// How a column is made.
#[derive(Clone)]
pub enum Make {
    /// As it is in an input with the same rows.
    Copy(PartRead),
    /// From other columns of the table.
    Expr(Expr),
    /// By a kernel.
    Kernel(Kernel),
}

/// A column with its definition.
#[derive(Clone)]
pub struct Defined {
    decl: ColumnDecl,
    make: Make,
    /// `None`: being null throughout says nothing.
    when_null: Option<Reason>,
    /// Computed for other columns, and not in the table.
    is_hidden: bool,
}

impl Defined {
    /// A column of an input with the same rows, as it is.
    pub fn copy(decl: ColumnDecl, output: &AssetName) -> Self {
        let part = PartRead::column(output, &decl.name);
        Self::new(decl, Make::Copy(part))
    }

    /// An expression over other columns of the table. NaN becomes null.
    pub fn expr(decl: ColumnDecl, expr: Expr) -> Self {
        Self::new(decl, Make::Expr(expr))
    }

    /// A kernel's result.
    pub fn kernel(decl: ColumnDecl, kernel: Kernel) -> Self {
        Self::new(decl, Make::Kernel(kernel))
    }

    fn new(decl: ColumnDecl, make: Make) -> Self {
        let when_null = Reason::new("nothing_known", "what it is computed from is known in no row");
        Self { decl, make, when_null: Some(when_null), is_hidden: false }
    }

    /// Its declaration.
    pub fn decl(&self) -> &ColumnDecl {
        &self.decl
    }

    /// The same as a column that others are computed from, and that is not in the table.
    #[must_use]
    pub fn hidden(mut self) -> Self {
        self.is_hidden = true;
        self
    }

    /// Why it is null throughout, where nothing that it is computed from says so.
    #[must_use]
    pub fn when_null(mut self, reason: Reason) -> Self {
        self.when_null = Some(reason);
        self
    }

    /// A column that may be null throughout without anything missing.
    #[must_use]
    pub fn never_unavailable(mut self) -> Self {
        self.when_null = None;
        self
    }
}

/// A table of row-aligned columns.
pub struct AlignedTable {
    name: AssetName,
    /// The column that stands for the rows themselves.
    axis: Option<String>,
    columns: Vec<Defined>,
    /// What each column is computed from, hidden ones included.
    codes: BTreeMap<String, PartCode>,
    /// The same for the columns of the table, in their order.
    parts: Vec<PartCode>,
    /// What each expression computes, as it was fingerprinted.
    plans: BTreeMap<String, Digest<32>>,
    /// Over which columns the plan of an expression was looked at before it was executed: over the same ones it is the same.
    ready: Mutex<BTreeMap<String, Arc<Ready>>>,
}

const OWN: &str = "own";

impl AlignedTable {
    /// Derives what each column is computed from. `axis` names the column that stands for the rows themselves: what
    /// depends on the number or the order of rows depends on it.
    ///
    /// # Errors
    /// `duplicate_column`, `unknown_column`, `columns_by_pattern`, `column_cycle`, or what [`derive::derive`] refuses.
    pub fn new(name: AssetName, columns: Vec<Defined>, axis: Option<&str>) -> Result<Self, Reason> {
        let own_axis = axis.map(str::to_owned);
        let (codes, plans, ready) = Default::default();
        let mut table = Self { name, axis: own_axis, columns, codes, parts: Vec::new(), plans, ready };
        let schema: Schema = table
            .columns
            .iter()
            .map(|c| Field::new(c.decl.name.as_str().into(), columns::dtype(c.decl.kind)))
            .collect();
        let schema = Arc::new(schema);
        if let Some(twice) = table
            .columns
            .iter()
            .map(|c| &c.decl.name)
            .find(|name| table.columns.iter().filter(|other| other.decl.name == **name).count() > 1)
        {
            let message = format!("{} has two columns of the name `{twice}`: rename one", table.name);
            return Err(Reason::new("duplicate_column", message).with("column", twice.as_str()));
        }
        let mut codes: BTreeMap<String, PartCode> = BTreeMap::new();
        table.columns.iter().try_for_each(|column| table.names_its_columns(column))?;
        for column in &table.columns {
            table.code(&column.decl.name, axis, &schema, &mut codes, &mut Vec::new())?;
        }
        for column in &table.columns {
            if let Make::Expr(expr) = &column.make {
                let derived = table.derived(derive::empty_leaf(OWN, Arc::clone(&schema))?, expr, &codes)?;
                table.plans.insert(column.decl.name.clone(), derived.code);
            }
        }
        table.codes = codes;
        table.parts = table.visible().filter_map(|column| table.shown(&column.decl.name)).collect();
        Ok(table)
    }

    /// Refuses an expression that picks columns by a pattern: a further column of the table would be another computation.
    fn names_its_columns(&self, column: &Defined) -> Result<(), Reason> {
        let Make::Expr(expr) = &column.make else { return Ok(()) };
        let pattern = expr.into_iter().find(|node| matches!(node, Expr::Selector(_)));
        pattern.map_or(Ok(()), |pattern| {
            let name = &column.decl.name;
            let message = format!(
                "the expression of `{name}` in {} picks columns by a pattern, {pattern}: name each of them",
                self.name
            );
            Err(Reason::new("columns_by_pattern", message).with("column", name.as_str()))
        })
    }

    fn visible(&self) -> impl Iterator<Item = &Defined> {
        self.columns.iter().filter(|column| !column.is_hidden)
    }

    fn is_hidden(&self, name: &str) -> bool {
        self.columns.iter().any(|column| column.is_hidden && column.decl.name == name)
    }

    /// The code of a column as people see it: in the place of hidden columns those that they are computed from.
    fn shown(&self, name: &str) -> Option<PartCode> {
        let mut part = self.codes.get(name)?.clone();
        while let Some(hidden) = part.via.iter().find(|name| self.is_hidden(name)).cloned() {
            part.via.remove(&hidden);
            part.via.extend(self.codes.get(&hidden).into_iter().flat_map(|code| code.via.iter().cloned()));
        }
        Some(part)
    }

    fn defined(&self, name: &str) -> Result<&Defined, Reason> {
        self.columns.iter().find(|column| column.decl.name == name).ok_or_else(|| {
            let known = self.visible().map(|column| column.decl.name.as_str());
            let hint = assets_core::suggest::hint(name, known);
            Reason::new("unknown_column", format!("{} has no column `{name}`{hint}", self.name)).with("column", name)
        })
    }

    /// The code of a column, after that of all it uses.
    fn code(
        &self,
        name: &str,
        axis: Option<&str>,
        schema: &SchemaRef,
        codes: &mut BTreeMap<String, PartCode>,
        path: &mut Vec<String>,
    ) -> Result<(), Reason> {
        if codes.contains_key(name) {
            return Ok(());
        }
        if path.iter().any(|open| open == name) {
            path.push(name.to_owned());
            let message =
                format!("columns of {} are computed from each other in a circle: {}", self.name, path.join(" → "));
            return Err(Reason::new("column_cycle", message));
        }
        path.push(name.to_owned());
        let column = self.defined(name)?;
        let mut uses: BTreeSet<String> = match &column.make {
            Make::Copy(_) => BTreeSet::new(),
            Make::Kernel(kernel) => kernel.own.clone(),
            Make::Expr(expr) => names(expr),
        };
        let via = uses.clone();
        match &column.make {
            Make::Copy(_) => {}
            Make::Kernel(kernel) => uses.extend(kernel.axis.iter().cloned()),
            Make::Expr(_) => uses.extend(axis.filter(|axis| *axis != name).map(str::to_owned)),
        }
        for used in &uses {
            self.code(used, axis, schema, codes, path)?;
        }
        path.pop();
        let mut part = PartCode {
            id: PartId::column(name),
            code: self.digest(column, axis, schema, codes)?,
            params: BTreeSet::new(),
            direct: BTreeSet::new(),
            indirect: BTreeSet::new(),
            opens: BTreeSet::new(),
            via,
        };
        match &column.make {
            Make::Copy(read) => drop(part.direct.insert(read.clone())),
            Make::Kernel(kernel) => {
                part.params.clone_from(&kernel.params);
                part.direct.clone_from(&kernel.direct);
                part.indirect.clone_from(&kernel.indirect);
            }
            Make::Expr(_) => {}
        }
        for read in part.direct.iter().chain(&part.indirect) {
            if !part.opens.contains(&read.output) {
                part.opens.insert(read.output.clone());
            }
        }
        for used in uses.iter().filter_map(|used| codes.get(used)) {
            part.params.extend(used.params.iter().cloned());
            if self.is_hidden(&used.id.column) {
                // Never stored, so that it is computed along with this one.
                part.opens.extend(used.opens.iter().cloned());
            }
            let by_value = part.via.contains(used.id.column.as_str());
            let direct = if by_value { &mut part.direct } else { &mut part.indirect };
            direct.extend(used.direct.iter().cloned());
            part.indirect.extend(used.indirect.iter().cloned());
        }
        codes.insert(name.to_owned(), part);
        Ok(())
    }

    fn digest(
        &self,
        column: &Defined,
        axis: Option<&str>,
        schema: &SchemaRef,
        codes: &BTreeMap<String, PartCode>,
    ) -> Result<Digest<32>, Reason> {
        let digest = |name: &str| codes.get(name).map(|code| code.code);
        let mut hasher = Hasher::new("assets.column.1");
        hasher.text(column.decl.kind.name());
        match &column.make {
            Make::Copy(_) => drop(hasher.text("copy")),
            Make::Kernel(kernel) => {
                hasher.text("kernel").text(&kernel.name).text(&kernel.versions);
                for used in kernel.own.iter().chain(&kernel.axis).filter_map(|used| digest(used)) {
                    hasher.bytes(used.as_bytes());
                }
            }
            Make::Expr(expr) => {
                let leaf = derive::empty_leaf(OWN, Arc::clone(schema))?;
                let derived = self.derived(leaf, expr, codes)?;
                hasher.text("expr").bytes(derived.code.as_bytes());
                hasher.bytes(axis.and_then(digest).unwrap_or(Digest::from_bytes([0; 32])).as_bytes());
            }
        }
        Ok(hasher.finish())
    }

    /// What an expression over the table computes, other columns replaced by what they are computed from.
    fn derived(&self, leaf: LazyFrame, expr: &Expr, codes: &BTreeMap<String, PartCode>) -> Result<Derivation, Reason> {
        let known = |_: &str, name: &str| {
            let part = LeafPart { leaf: OWN.to_owned(), column: Some(name.to_owned()) };
            let (params, indirect) = Default::default();
            codes.get(name).map(|code| Derivation { code: code.code, params, direct: [part].into(), indirect })
        };
        let plan = leaf.select([expr.clone().alias(RESULT)]);
        let derived = derive::derive(&plan, &known)?;
        let column = derived.columns.into_iter().next().map(|(_, derivation)| derivation);
        column.ok_or_else(|| Reason::new("opaque_plan", "the expression has no result"))
    }

    /// The expression of a column over columns of these types, ready to run; checked when it is first asked for: the plan that is
    /// executed is the one that was fingerprinted.
    fn ready(&self, decl: &ColumnDecl, expr: &Expr, schema: &SchemaRef) -> Result<Arc<Ready>, Reason> {
        let all = || self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ready) = all().get(&decl.name).filter(|ready| ready.schema == *schema) {
            return Ok(Arc::clone(ready));
        }
        let check = |leaf: &LazyFrame| {
            let executed = self.derived(leaf.clone(), expr, &self.codes)?;
            if self.plans.get(&decl.name) == Some(&executed.code) {
                return Ok(());
            }
            let message = format!("the plan of {} is not the one that was fingerprinted", decl.name);
            Err(Reason::new("plan_differs", message).with("column", decl.name.as_str()))
        };
        let ready = Arc::new(Ready::new(decl, expr, schema, check)?);
        all().insert(decl.name.clone(), Arc::clone(&ready));
        Ok(ready)
    }

    /// The declaration of the output: the partition's `keys`, then the columns.
    pub fn output(&self, keys: Vec<ColumnDecl>) -> OutputDecl {
        let columns = keys.into_iter().chain(self.visible().map(|column| column.decl.clone()));
        OutputDecl::new(self.name.clone(), columns.collect()).parts(self.parts.clone())
    }

    /// What is read of each input.
    pub fn inputs(&self) -> Vec<InputDecl> {
        let mut inputs: BTreeMap<&AssetName, BTreeSet<&str>> = BTreeMap::new();
        for read in self.parts.iter().flat_map(PartCode::reads) {
            inputs.entry(&read.output).or_default().extend(read.column.as_deref());
        }
        let reads = |columns: BTreeSet<&str>| Reads::Columns(columns.into_iter().map(str::to_owned).collect());
        inputs
            .into_iter()
            .map(|(output, columns)| InputDecl { reads: reads(columns), ..InputDecl::all(output.clone()) })
            .collect()
    }

    /// Computes the columns that are asked for.
    fn make(&self, inputs: &Inputs<'_>, outputs: &mut Outputs<'_>) -> Result<(), Reason> {
        let row = Row::new(self, inputs);
        for name in inputs.wanted(&self.name) {
            let column = self.defined(name)?;
            if let Make::Copy(read) = &column.make {
                let record = inputs.output(read.output.as_str())?;
                let from = read.column.as_ref().map(ToString::to_string).unwrap_or_default();
                if let Some(reason) = reason_in(inputs, read) {
                    outputs.unavailable(self.name.as_str(), name, reason)?;
                }
                outputs.column(&self.name, name, Piece::Stored(Arc::new(record.clone()), from));
                continue;
            }
            let values = row.column(name)?;
            if let (Some(own), true) = (&column.when_null, values.null_count() == values.len()) {
                let inherited = self.inherited(inputs, name);
                // Of no rows at all nothing can be said.
                if let Some(reason) = inherited.or((!values.is_empty()).then(|| own.clone())) {
                    outputs.unavailable(self.name.as_str(), name, reason)?;
                }
            }
            if let Some(aside) = outputs.column_aside(inputs.output_decl(&self.name)?, values)? {
                row.put_aside(name, aside);
            }
        }
        Ok(())
    }

    /// The reason of a part that a column's values derive from.
    fn inherited(&self, inputs: &Inputs<'_>, name: &str) -> Option<Reason> {
        let code = self.parts.iter().find(|part| part.id.column == name)?;
        code.direct.iter().find_map(|read| reason_in(inputs, read))
    }
}

/// Why a part of an input is null throughout, if it is.
pub(crate) fn reason_in(inputs: &Inputs<'_>, read: &PartRead) -> Option<Reason> {
    let known = inputs.unavailable(read.output.as_str()).ok()?;
    let part = read.slice.as_ref().or(read.column.as_ref())?;
    known.iter().find(|unavailable| *part == unavailable.column).map(|unavailable| unavailable.reason.clone())
}

const RESULT: &str = "result";

/// Columns that an expression names.
fn names(expr: &Expr) -> BTreeSet<String> {
    expr.into_iter()
        .filter_map(|node| if let Expr::Column(name) = node { Some(name.to_string()) } else { None })
        .collect()
}

/// An asset of one or more tables of row-aligned columns.
pub struct AlignedAsset {
    tables: Vec<Arc<AlignedTable>>,
}

impl AlignedAsset {
    /// The code of an asset with these outputs.
    pub fn new(tables: Vec<Arc<AlignedTable>>) -> Self {
        Self { tables }
    }
}

impl FrameAsset for AlignedAsset {
    fn make(&self, inputs: &Inputs<'_>, outputs: &mut Outputs<'_>) -> Result<(), Reason> {
        self.tables.iter().try_for_each(|table| table.make(inputs, outputs))
    }

    /// Columns are made one after the other: each holds its values unless it is put aside, and one at a time what it is
    /// computed from. Measured with ten million rows.
    fn memory(&self, asset: &AssetDecl, request: &StepRequest, held_rows: u64) -> Option<u64> {
        let is_long = |task: &&PartTask| asset.outputs.iter().any(|decl| decl.name == task.output && !decl.packed);
        let computed = request.parts.iter().filter(|task| task.take.is_none()).filter(is_long).count() as u64;
        let rows = request.inputs.iter().map(|input| input.output.rows).max().unwrap_or_default();
        // Columns are put behind an earlier table all at once.
        let is_grown = request.parts.iter().any(|task| task.take.is_some());
        let held_rows = if is_grown { u64::MAX } else { held_rows };
        Some(rows * 30 + (rows * 3).min(held_rows.saturating_mul(8)) * computed)
    }
}
