//! Expressions: the code of an expression is that of its functions, options and literals over the codes of the columns
//! that it reads; names of columns are not in it.

use super::encode::{dtype, hasher, literal, operator, said};
use super::frame::Frame;
use super::{Derivation, kernel, opaque};
use assets_core::Reason;
use assets_core::hash::{Digest, Hasher};
use polars::prelude::*;
use polars_plan::dsl::LazySerde;
use polars_plan::plans::expr_ir::ExprIR;
use polars_plan::plans::{AExpr, IRAggExpr, LiteralValue, is_inherently_nondeterministic_top_level};
use polars_plan::prelude::{Arena, FunctionFlags, FunctionOptions, Node};

/// What an expression gives.
pub(super) struct Value {
    pub(super) what: Derivation,
    pub(super) order: Order,
    /// No value depends on an order that is left open.
    pub(super) settled: bool,
}

/// How far the order of values is fixed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    /// One value, which has no order.
    One,
    /// Equal inputs give an equal order.
    Fixed,
    /// As open as the order of the frame's rows, and the same.
    OfRows,
    /// Left open by the expression.
    Open,
}

impl Value {
    /// Whether the values are determined, and lie on the rows of a frame in their order.
    pub(super) fn lies_on(&self, frame: &Frame) -> bool {
        self.settled && (self.order == Order::One || self.order == frame.order())
    }
}

/// What an expression can refer to.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) frame: &'a Frame,
    pub(super) exprs: &'a Arena<AExpr>,
    /// Within `list.eval` and its like: what `element()` is.
    pub(super) element: Option<&'a Derivation>,
}

/// An expression while its children are added.
struct Composed {
    hasher: Hasher,
    what: Derivation,
    orders: Vec<Order>,
    settled: bool,
}

/// How an expression treats the order of its inputs.
enum Use {
    /// Value by value.
    Elementwise,
    /// The order does not matter, as for a sum; one value comes out.
    Ignored,
    /// The order matters, as for a difference.
    Observed,
    /// The order matters, as for the first; one value comes out.
    ObservedToOne,
    /// The order matters not, and that of the output is left open.
    LeftOpen,
    /// The output is put in order.
    Fixed,
}

impl Composed {
    fn new(kind: &str) -> Self {
        let what = Derivation::constant(Digest::from_bytes([0; 32]));
        Self { hasher: hasher(kind), what, orders: Vec::new(), settled: true }
    }

    fn with(mut self, option: &str) -> Self {
        self.hasher.text(option);
        self
    }

    fn note(&mut self, value: &Value) {
        self.hasher.bytes(value.what.code.as_bytes());
        self.orders.push(value.order);
        self.settled &= value.settled;
    }

    /// Values that become values of this.
    fn of(mut self, value: &Value) -> Self {
        self.note(value);
        self.what.take(&value.what);
        self
    }

    /// Values that decide about rows of this.
    fn by(mut self, value: &Value) -> Self {
        self.note(value);
        self.what.lean_on(&value.what);
        self
    }

    fn done(self, treats: Use) -> Value {
        let orders: Vec<Order> = self.orders.iter().copied().filter(|order| *order > Order::One).collect();
        let order = orders.iter().copied().max().unwrap_or(Order::One);
        // Series in different orders side by side: which value meets which is left open.
        let aligned = orders.iter().all(|own| *own == order) && (order < Order::Open || orders.len() < 2);
        let fixed = order <= Order::Fixed;
        let (order, settled) = match treats {
            Use::Elementwise => (order, aligned),
            Use::Ignored => (Order::One, aligned),
            Use::Observed => (order, fixed),
            Use::ObservedToOne => (Order::One, fixed),
            Use::LeftOpen => (Order::Open, aligned),
            Use::Fixed => (Order::Fixed, aligned),
        };
        let what = Derivation { code: self.hasher.finish(), ..self.what };
        Value { what, order, settled: self.settled && settled }
    }
}

impl<'a> Scope<'a> {
    pub(super) fn of(frame: &'a Frame, exprs: &'a Arena<AExpr>) -> Self {
        Self { frame, exprs, element: None }
    }

    pub(super) fn values(&self, exprs: &[ExprIR]) -> Result<Vec<Value>, Reason> {
        exprs.iter().map(|expr| self.value(expr.node())).collect()
    }

    /// What the expression at a node gives.
    pub(super) fn value(&self, node: Node) -> Result<Value, Reason> {
        let expr = self.exprs.get(node);
        Ok(match expr {
            AExpr::Column(name) => self.column(name)?,
            AExpr::Element => self.element()?,
            AExpr::Len => self.len(),
            AExpr::Literal(value) => {
                let mut composed = Composed::new("literal");
                literal(&mut composed.hasher, value)?;
                // A series in a plan has an order of its own.
                let one = matches!(value, LiteralValue::Dyn(_) | LiteralValue::Scalar(_));
                composed.done(if one { Use::Ignored } else { Use::Fixed })
            }
            AExpr::BinaryExpr { left, op, right } => Composed::new("binary")
                .with(&operator(*op))
                .of(&self.value(*left)?)
                .of(&self.value(*right)?)
                .done(Use::Elementwise),
            AExpr::Cast { expr, dtype: to, options } => Composed::new("cast")
                .with(&dtype(to)?)
                .with(&said(options)?)
                .of(&self.value(*expr)?)
                .done(Use::Elementwise),
            AExpr::Ternary { predicate, truthy, falsy } => Composed::new("ternary")
                .of(&self.value(*predicate)?)
                .of(&self.value(*truthy)?)
                .of(&self.value(*falsy)?)
                .done(Use::Elementwise),
            AExpr::Agg(agg) => self.aggregated(agg)?,
            AExpr::Function { input, function, options } => self.function(expr, input, function, options)?,
            AExpr::AnonymousFunction { input, function, options, .. } => self.kernel(input, function, options)?,
            AExpr::AnonymousAgg { fmt_str, .. } => return Err(opaque(&format!("the aggregation `{fmt_str}`"))),
            _ => self.rearranged(expr)?,
        })
    }

    /// Expressions that change which values there are, or their order.
    fn rearranged(&self, expr: &AExpr) -> Result<Value, Reason> {
        Ok(match expr {
            AExpr::Explode { expr, options } => {
                Composed::new("explode").with(&said(options)?).of(&self.value(*expr)?).done(Use::Observed)
            }
            AExpr::Sort { expr, options } => Composed::new("sort")
                .with(&said(&SortOptions { multithreaded: true, ..*options })?)
                .of(&self.value(*expr)?)
                .done(Use::Fixed),
            AExpr::SortBy { expr, by, sort_options } => {
                let options = SortMultipleOptions { multithreaded: true, ..sort_options.clone() };
                let composed = Composed::new("sort by").with(&said(&options)?).of(&self.value(*expr)?);
                let composed = by.iter().try_fold(composed, |made, by| Ok::<_, Reason>(made.by(&self.value(*by)?)))?;
                composed.done(Use::Observed)
            }
            AExpr::Gather { expr, idx, returns_scalar, null_on_oob } => Composed::new("gather")
                .with(&format!("{returns_scalar} {null_on_oob}"))
                .of(&self.value(*expr)?)
                .by(&self.value(*idx)?)
                .done(Use::Observed),
            AExpr::Filter { input, by } => {
                let mut value =
                    Composed::new("filter").of(&self.value(*input)?).by(&self.value(*by)?).done(Use::Elementwise);
                value.order = if value.order > Order::Fixed { Order::Open } else { Order::Fixed };
                value
            }
            AExpr::Slice { input, offset, length } => Composed::new("slice")
                .of(&self.value(*input)?)
                .by(&self.value(*offset)?)
                .by(&self.value(*length)?)
                .done(Use::Observed),
            AExpr::Over { function, partition_by, order_by, mapping } => {
                let mut composed = Composed::new("over").with(&said(mapping)?).of(&self.value(*function)?);
                for key in partition_by {
                    composed = composed.by(&self.value(*key)?);
                }
                if let Some((by, options)) = order_by {
                    let options = SortOptions { multithreaded: true, ..*options };
                    composed = composed.with(&said(&options)?).by(&self.value(*by)?);
                }
                composed.over(*mapping, self.frame.order())
            }
            AExpr::Eval { expr, evaluation, variant } => {
                let list = self.value(*expr)?;
                let code = hasher("element").bytes(list.what.code.as_bytes()).finish();
                let element = Derivation { code, ..list.what.clone() };
                let within = Scope { element: Some(&element), ..*self };
                let evaluated = within.value(*evaluation)?;
                Composed::new("eval").with(&said(variant)?).of(&list).of(&evaluated).done(Use::Observed)
            }
            // Kinds behind features of polars: their parameters as `Debug` says them, over all children.
            other => {
                let mut children = Vec::new();
                other.children_rev(&mut children);
                let mut composed = Composed::new("other").with(&said(other)?);
                for child in children.into_iter().rev() {
                    composed = composed.of(&self.value(child)?);
                }
                composed.done(Use::Observed)
            }
        })
    }

    fn column(&self, name: &str) -> Result<Value, Reason> {
        if name.is_empty() && self.element.is_some() {
            return self.element();
        }
        Ok(Value { what: self.frame.column(name)?.clone(), order: self.frame.order(), settled: true })
    }

    fn element(&self) -> Result<Value, Reason> {
        let what = self.element.cloned().ok_or_else(|| opaque("`element()` outside of an evaluation"))?;
        Ok(Value { what, order: Order::Fixed, settled: true })
    }

    /// The number of rows, or of an evaluation's elements.
    fn len(&self) -> Value {
        let of = self.element.unwrap_or(&self.frame.rows);
        Composed::new("len").by(&Value { what: of.clone(), order: Order::One, settled: true }).done(Use::Ignored)
    }

    fn aggregated(&self, agg: &IRAggExpr) -> Result<Value, Reason> {
        use IRAggExpr as A;
        let (name, option, input, treats) = match agg {
            A::Min { input, propagate_nans } => ("min", u8::from(*propagate_nans), input, Use::Ignored),
            A::Max { input, propagate_nans } => ("max", u8::from(*propagate_nans), input, Use::Ignored),
            A::Median(input) => ("median", 0, input, Use::Ignored),
            A::NUnique(input) => ("n_unique", 0, input, Use::Ignored),
            A::Item { input, allow_empty } => ("item", u8::from(*allow_empty), input, Use::Ignored),
            A::First(input) => ("first", 0, input, Use::ObservedToOne),
            A::FirstNonNull(input) => ("first_non_null", 0, input, Use::ObservedToOne),
            A::Last(input) => ("last", 0, input, Use::ObservedToOne),
            A::LastNonNull(input) => ("last_non_null", 0, input, Use::ObservedToOne),
            A::Mean(input) => ("mean", 0, input, Use::Ignored),
            A::Implode { input, maintain_order } => ("implode", u8::from(*maintain_order), input, Use::ObservedToOne),
            A::Sum(input) => ("sum", 0, input, Use::Ignored),
            A::Count { input, include_nulls } => ("count", u8::from(*include_nulls), input, Use::Ignored),
            A::Std(input, ddof) => ("std", *ddof, input, Use::Ignored),
            A::Var(input, ddof) => ("var", *ddof, input, Use::Ignored),
            A::AggGroups(input) => ("agg_groups", 0, input, Use::ObservedToOne),
        };
        let composed = Composed::new("agg").with(name).with(&option.to_string());
        Ok(composed.of(&self.value(*input)?).done(treats))
    }

    fn function(
        &self,
        expr: &AExpr,
        input: &[ExprIR],
        function: &polars_plan::plans::IRFunctionExpr,
        options: &FunctionOptions,
    ) -> Result<Value, Reason> {
        let text = said(function)?;
        if text.starts_with("FfiPlugin") {
            return Err(opaque("a plugin"));
        }
        if is_inherently_nondeterministic_top_level(expr) {
            let message = format!("the plan holds `{text}`, which gives other values at every call");
            return Err(Reason::new("nondeterministic_plan", message).with("node", text));
        }
        // Functions that make structs take the names of their inputs into the values.
        let named = ["AsStruct", "StructExpr", "ValueCounts", "CumReduce", "CumFold"];
        let named = named.iter().any(|name| text.starts_with(name));
        let mut composed = Composed::new("function").with(&text).with(&said(options)?);
        for input in input {
            if named {
                composed = composed.with(input.output_name());
            }
            composed = composed.of(&self.value(input.node())?);
        }
        Ok(composed.done(treatment(options)))
    }

    fn kernel(
        &self,
        input: &[ExprIR],
        function: &polars_plan::dsl::OpaqueColumnUdf,
        options: &FunctionOptions,
    ) -> Result<Value, Reason> {
        let description = match function {
            LazySerde::Deserialized(function) => kernel::describe(&***function),
            _ => None,
        };
        let description = description.ok_or_else(|| opaque("a closure"))?;
        let mut composed = Composed::new("kernel").with(&said(options)?);
        composed.hasher.bytes(&description);
        for input in input {
            composed = composed.of(&self.value(input.node())?);
        }
        Ok(composed.done(Use::Observed))
    }
}

impl Composed {
    /// A window's value: group by group, put back into the rows.
    fn over(self, mapping: polars_plan::dsl::WindowMapping, rows: Order) -> Value {
        let mut value = self.done(Use::Elementwise);
        value.settled &= value.order == Order::One || value.order == rows;
        // `Explode` writes group after group.
        let explode = matches!(mapping, polars_plan::dsl::WindowMapping::Explode);
        value.order = if explode { Order::Open } else { rows };
        value
    }
}

fn treatment(options: &FunctionOptions) -> Use {
    let flags = options.flags;
    if flags.is_elementwise() {
        Use::Elementwise
    } else if flags.returns_scalar() {
        if flags.observes_input_order() { Use::ObservedToOne } else { Use::Ignored }
    } else if flags.contains(FunctionFlags::TERMINATES_INPUT_ORDER) {
        Use::LeftOpen
    } else {
        Use::Observed
    }
}
