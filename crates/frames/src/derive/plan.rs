//! The walk over a plan's nodes, from the leaves up. A node that changes which rows there are, or their order, gives new
//! rows; every column is then moved onto them and has their parts.

use super::encode::{self, compose, hasher, said};
use super::expr::Scope;
use super::frame::{Frame, at, placed, sorted};
use super::join::{Side, join};
use super::leaf::Leaf;
use super::{Derivation, Known, LeafPart, opaque, project};
use assets_core::Reason;
use polars::prelude::*;
use polars_plan::dsl::{FileScanIR, GroupbyOptions, SinkTypeIR, UnionOptions};
use polars_plan::plans::expr_ir::ExprIR;

use polars_plan::plans::{AExpr, FunctionIR, HintIR, IR, IRPlan};
use polars_plan::prelude::{Arena, DistinctOptionsIR, Node};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

pub(super) struct Walker<'a> {
    nodes: &'a Arena<IR>,
    exprs: &'a Arena<AExpr>,
    known: Known<'a>,
    /// A cached part of a plan is walked once.
    seen: HashMap<Node, Arc<Frame>>,
}

impl<'a> Walker<'a> {
    pub(super) fn new(plan: &'a IRPlan, known: Known<'a>) -> Self {
        Self { nodes: &plan.lp_arena, exprs: &plan.expr_arena, known, seen: HashMap::new() }
    }

    /// What is known of the frame that a node gives.
    pub(super) fn frame(&mut self, node: Node) -> Result<Arc<Frame>, Reason> {
        if let Some(frame) = self.seen.get(&node) {
            return Ok(Arc::clone(frame));
        }
        let frame = self.made(self.nodes.get(node))?;
        self.seen.insert(node, Arc::clone(&frame));
        Ok(frame)
    }

    fn made(&mut self, ir: &IR) -> Result<Arc<Frame>, Reason> {
        let frame = match ir {
            IR::Cache { input, .. } | IR::Sink { input, payload: SinkTypeIR::Memory } => return self.frame(*input),
            IR::Scan { scan_type, .. } => self.scan(scan_type, ir)?,
            IR::DataFrameScan { df, .. } => literal(df)?,
            IR::SimpleProjection { input, columns } => simple(&*self.frame(*input)?, columns)?,
            IR::Select { input, expr, .. } => project::select(&*self.frame(*input)?, expr, self.exprs)?,
            IR::HStack { input, exprs, .. } => project::with_columns(&*self.frame(*input)?, exprs, self.exprs)?,
            IR::Filter { input, predicate } => self.filter(*input, predicate)?,
            IR::Slice { input, offset, len } => {
                let input = self.frame(*input)?;
                let mut frame = input.onto(input.rows("slice", &[&format!("{offset} {len}")], &[]));
                frame.settled &= input.ordered;
                frame
            }
            IR::Sort { input, by_column, slice, sort_options } => {
                let slice = said(slice)?;
                sort(&*self.frame(*input)?, by_column, (&slice, sort_options), self.exprs)?
            }
            IR::GroupBy { input, keys, aggs, maintain_order, options, apply, .. } => {
                if apply.is_some() {
                    return Err(opaque("a closure over groups"));
                }
                // Groups by time windows are behind a feature of polars: were it on, this would not compile.
                let GroupbyOptions { slice } = &**options;
                project::group(&*self.frame(*input)?, (keys, aggs), (*maintain_order, *slice), self.exprs)?
            }
            IR::Join { input_left, input_right, schema, left_on, right_on, options } => {
                let (left, right) = (self.frame(*input_left)?, self.frame(*input_right)?);
                let left = Side::of(&left, left_on, self.exprs)?;
                join(&left, &Side::of(&right, right_on, self.exprs)?, options, schema)?
            }
            IR::Distinct { input, options } => distinct(&*self.frame(*input)?, options)?,
            IR::Union { inputs, options } => union(&self.frames(inputs)?, options)?,
            IR::HConcat { inputs, options, .. } => {
                let options = format!("{} {}", options.strict, options.broadcast_unit_length);
                beside(&self.frames(inputs)?, &options)
            }
            IR::Gather { input, idxs, null_on_oob } => {
                let (input, picks) = (self.frame(*input)?, self.frame(*idxs)?);
                let read: Vec<&Derivation> = picks.columns.iter().map(|(_, column)| column).collect();
                let mut frame = input.onto(input.rows("gather", &[&null_on_oob.to_string()], &read));
                (frame.ordered, frame.unique) = (picks.ordered, None);
                frame.settled &= picks.settled && input.ordered;
                frame
            }
            IR::MapFunction { input, function } => self.mapped(ir, *input, function)?,
            IR::Invalid => return Err(opaque("a node without meaning")),
            other => self.everything(other)?,
        };
        Ok(Arc::new(frame))
    }

    fn frames(&mut self, nodes: &[Node]) -> Result<Vec<Arc<Frame>>, Reason> {
        nodes.iter().map(|node| self.frame(*node)).collect()
    }

    fn scan(&self, kind: &FileScanIR, ir: &IR) -> Result<Frame, Reason> {
        let IR::Scan { predicate: None, unified_scan_args: args, .. } = ir else {
            return Err(opaque("a scan with a predicate"));
        };
        let leaf = match kind {
            FileScanIR::Anonymous { function, .. } => function.as_any().downcast_ref::<Leaf>(),
            _ => None,
        };
        let whole = args.pre_slice.is_none() && args.row_index.is_none() && args.projection.is_none();
        let Some(leaf) = leaf.filter(|_| whole) else {
            let message = "the plan reads a file or a source by itself: read it through a leaf, which has a name";
            return Err(Reason::new("opaque_plan", message).with("node", "scan"));
        };
        let columns = leaf.schema.iter().map(|(name, dtype)| {
            let known = (self.known)(&leaf.name, name);
            let column = known.map_or_else(|| of_leaf(&leaf.name, name, dtype), Ok)?;
            Ok((name.clone(), column))
        });
        Ok(Frame::of_leaf(&leaf.name, columns.collect::<Result<_, Reason>>()?))
    }

    fn filter(&mut self, input: Node, predicate: &ExprIR) -> Result<Frame, Reason> {
        let input = self.frame(input)?;
        let value = Scope::of(&input, self.exprs).value(predicate.node())?;
        let mut frame = input.onto(input.rows("filter", &[], &[&value.what]));
        frame.settled &= value.lies_on(&input);
        Ok(frame)
    }

    fn mapped(&mut self, ir: &IR, input: Node, function: &FunctionIR) -> Result<Frame, Reason> {
        let schema = self.nodes.get(input).schema(self.nodes).into_owned();
        let frame = self.frame(input)?;
        Ok(match function {
            FunctionIR::Rechunk => simple(&frame, &schema)?,
            FunctionIR::RowIndex { name, offset, .. } => row_index(&frame, name, offset.unwrap_or(0).into()),
            FunctionIR::Explode { columns, options, .. } => {
                let read = columns.iter().map(|name| frame.column(name)).collect::<Result<Vec<_>, _>>()?;
                let mut made = frame.onto(frame.rows("explode", &[&said(options)?], &sorted(read)));
                made.unique = None;
                for (name, column) in &mut made.columns {
                    if columns.contains(name) {
                        column.code = compose("exploded", &[column.code]);
                    }
                }
                made
            }
            FunctionIR::Unnest { columns, separator } => {
                unnest(&frame, &schema, columns, separator.as_ref().map(|separator| separator.as_str()))
            }
            FunctionIR::Hint(HintIR::Sorted(hints)) => {
                let read = hints.iter().map(|hint| frame.column(&hint.column)).collect::<Result<Vec<_>, _>>()?;
                let options: Vec<_> =
                    hints.iter().map(|hint| format!("{:?} {:?}", hint.descending, hint.nulls_last)).collect();
                let options: Vec<&str> = options.iter().map(String::as_str).collect();
                frame.onto(frame.rows("sorted hint", &options, &read))
            }
            FunctionIR::Opaque { fmt_str, .. } => return Err(opaque(&format!("the closure `{fmt_str}` over frames"))),
            FunctionIR::FastCount { .. } => return Err(opaque("a count of rows in files")),
            #[allow(unreachable_patterns)]
            _ => self.everything(ir)?,
        })
    }

    /// A node of no known kind: each of its columns depends on all that is beneath, and on all that it says.
    fn everything(&mut self, ir: &IR) -> Result<Frame, Reason> {
        let inputs: Vec<Node> = ir.inputs().collect();
        let inputs = self.frames(&inputs)?;
        let mut hasher = hasher("everything");
        hasher.text(&said(ir)?);
        let mut rows = Derivation::constant(hasher.finish());
        let mut below = beside(&inputs, "everything");
        for (name, column) in &below.columns {
            hasher.text(name).bytes(column.code.as_bytes());
            rows.lean_on(column);
        }
        hasher.bytes(below.rows.code.as_bytes());
        rows.lean_on(&below.rows);
        below.settled = false;
        let scope = Scope::of(&below, self.exprs);
        for expr in ir.exprs() {
            hasher.bytes(scope.value(expr.node())?.what.code.as_bytes());
        }
        rows.code = hasher.finish();
        let schema = ir.schema(self.nodes);
        let columns = schema.iter_names().map(|name| {
            let mut column = Derivation { code: encode::hasher("of everything").text(name).finish(), ..rows.clone() };
            column.code = at(column.code, &rows);
            (name.clone(), column)
        });
        Ok(Frame { columns: columns.collect(), rows, ordered: false, settled: false, unique: None })
    }
}

fn of_leaf(leaf: &str, name: &str, dtype: &DataType) -> Result<Derivation, Reason> {
    let code = hasher("leaf").text(leaf).text(name).text(&encode::dtype(dtype)?).finish();
    let mut column = Derivation::constant(code);
    column.direct.insert(LeafPart { leaf: leaf.to_owned(), column: Some(name.to_owned()) });
    Ok(column)
}

/// Data that is written in the plan itself: by its values.
fn literal(data: &DataFrame) -> Result<Frame, Reason> {
    let rows = Derivation::constant(hasher("literal rows").number(data.height() as u64).finish());
    let columns = data.columns().iter().map(|column| {
        let mut hasher = hasher("literal column");
        encode::series(&mut hasher, column.as_materialized_series())?;
        Ok((column.name().clone(), Derivation::constant(hasher.finish())))
    });
    let columns = columns.collect::<Result<_, Reason>>()?;
    Ok(Frame { rows, columns, ordered: true, settled: true, unique: None })
}

fn simple(input: &Frame, schema: &Schema) -> Result<Frame, Reason> {
    let columns = schema.iter_names().map(|name| Ok((name.clone(), input.column(name)?.clone())));
    let columns = columns.collect::<Result<_, Reason>>()?;
    let (rows, unique) = (input.rows.clone(), input.unique.clone());
    Ok(Frame { rows, columns, ordered: input.ordered, settled: input.settled, unique })
}

fn sort(
    input: &Frame,
    by: &[ExprIR],
    (slice, options): (&str, &SortMultipleOptions),
    arena: &Arena<AExpr>,
) -> Result<Frame, Reason> {
    let values = Scope::of(input, arena).values(by)?;
    let options = SortMultipleOptions { multithreaded: true, ..options.clone() };
    let read: Vec<&Derivation> = values.iter().map(|value| &value.what).collect();
    let mut frame = input.onto(input.rows("sort", &[&said(&options)?, slice], &read));
    let told_apart = input.told_apart_by(&values.iter().map(|value| value.what.code).collect());
    frame.ordered = told_apart || (input.ordered && options.maintain_order);
    let cut = slice != "None" || options.limit.is_some();
    frame.settled &= frame.ordered || !cut;
    frame.settled &= values.iter().all(|value| value.lies_on(input));
    Ok(frame)
}

fn distinct(input: &Frame, options: &DistinctOptionsIR) -> Result<Frame, Reason> {
    let DistinctOptionsIR { subset, maintain_order, keep_strategy, slice } = options;
    let read = match subset {
        Some(subset) => subset.iter().map(|name| input.column(name)).collect::<Result<Vec<_>, _>>()?,
        None => input.columns.iter().map(|(_, column)| column).collect(),
    };
    let options = format!("{maintain_order} {keep_strategy:?} {slice:?}");
    let rows = input.rows("distinct", &[&options], &sorted(read.clone()));
    let unique: BTreeSet<_> = read.iter().map(|column| at(column.code, &rows)).collect();
    let mut frame = input.onto(rows);
    frame.ordered &= *maintain_order;
    frame.settled &= slice.is_none() || frame.ordered;
    // Which of the rows with equal keys stays may depend on their order; equal rows are all the same.
    frame.settled &= match keep_strategy {
        UniqueKeepStrategy::None => true,
        UniqueKeepStrategy::First | UniqueKeepStrategy::Last => input.ordered || subset.is_none(),
        UniqueKeepStrategy::Any => subset.is_none(),
    };
    frame.unique = Some(unique);
    Ok(frame)
}

/// One below the other, column by column in their order.
fn union(inputs: &[Arc<Frame>], options: &UnionOptions) -> Result<Frame, Reason> {
    let Some(first) = inputs.first() else { return Err(opaque("a union of nothing")) };
    let mut rows = Derivation::constant(hasher("nothing").finish());
    inputs.iter().for_each(|input| rows.take(&input.rows));
    let codes: Vec<_> = inputs.iter().map(|input| input.rows.code).collect();
    let said = hasher("union").text(&format!("{:?} {}", options.slice, options.maintain_order)).finish();
    rows.code = compose("union", &[vec![said], codes].concat());
    let columns = first.columns.iter().enumerate().map(|(at, (name, _))| {
        let mut stacked = Derivation::constant(rows.code);
        let mut codes = vec![rows.code];
        for input in inputs {
            let (_, column) = input.columns.get(at).ok_or_else(|| opaque("a union of different widths"))?;
            stacked.take(column);
            codes.push(column.code);
        }
        stacked.lean_on(&rows);
        stacked.code = compose("stacked", &codes);
        Ok((name.clone(), stacked))
    });
    let columns = columns.collect::<Result<_, Reason>>()?;
    let ordered = options.maintain_order && inputs.iter().all(|input| input.ordered);
    let settled = inputs.iter().all(|input| input.settled) && (ordered || options.slice.is_none());
    Ok(Frame { rows, columns, ordered, settled, unique: None })
}

/// One beside the other: the longest decides how many rows there are.
fn beside(inputs: &[Arc<Frame>], options: &str) -> Frame {
    let mut rows = Derivation::constant(hasher("beside").text(options).finish());
    inputs.iter().for_each(|input| rows.take(&input.rows));
    let codes = inputs.iter().map(|input| input.rows.code);
    rows.code = compose("beside", &std::iter::once(rows.code).chain(codes).collect::<Vec<_>>());
    let columns = inputs.iter().flat_map(|input| &input.columns);
    let columns = columns.map(|(name, column)| (name.clone(), placed(column, &rows))).collect();
    let ordered = inputs.iter().all(|input| input.ordered);
    let settled = ordered && inputs.iter().all(|input| input.settled);
    Frame { rows, columns, ordered, settled, unique: None }
}

fn row_index(input: &Frame, name: &PlSmallStr, offset: u64) -> Frame {
    let mut index = Derivation::constant(input.rows.code);
    index.lean_on(&input.rows);
    index.code = at(hasher("row index").number(offset).finish(), &input.rows);
    let columns = std::iter::once((name.clone(), index)).chain(input.columns.iter().cloned()).collect();
    let (rows, unique) = (input.rows.clone(), input.unique.clone());
    Frame { rows, columns, ordered: input.ordered, settled: input.settled && input.ordered, unique }
}

/// The fields of structs as columns, in the place of the struct.
fn unnest(input: &Frame, schema: &Schema, names: &[PlSmallStr], separator: Option<&str>) -> Frame {
    let mut columns = Vec::new();
    for (name, column) in &input.columns {
        match schema.get(name) {
            Some(DataType::Struct(fields)) if names.contains(name) => columns.extend(fields.iter().map(|field| {
                let mut own = column.clone();
                own.code = hasher("field").text(&field.name).bytes(column.code.as_bytes()).finish();
                let full = separator.map(|separator| format!("{name}{separator}{}", field.name).into());
                (full.unwrap_or_else(|| field.name.clone()), own)
            })),
            _ => columns.push((name.clone(), column.clone())),
        }
    }
    let (rows, unique) = (input.rows.clone(), input.unique.clone());
    Frame { rows, columns, ordered: input.ordered, settled: input.settled, unique }
}
