//! Random plans. Every step keeps the columns `k n x t` with their types, so that any step can follow any other, and may
//! add a float `e`.

use super::data::{COLUMNS, LEAVES};
use polars::prelude::*;
use polars::sql::SQLContext;
use proptest::prelude::*;

/// An expression that gives a float, from two columns and a constant.
#[derive(Debug, Clone)]
pub(super) struct Make {
    op: u8,
    left: u8,
    right: u8,
    c: i8,
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Computes a column: `k`, `n`, `x` or `e`, by `select` or by `with_columns`.
    Compute {
        target: u8,
        make: Make,
        select: bool,
    },
    Filter {
        make: Make,
        above: bool,
    },
    Sort {
        by: u8,
        descending: bool,
        stable: bool,
    },
    Group {
        key: u8,
        aggs: [u8; 3],
        in_order: bool,
    },
    Distinct {
        subset: Option<u8>,
        in_order: bool,
    },
    Slice {
        offset: i8,
        rows: u8,
    },
    Index,
    /// Aggregates of the whole frame, alone or beside columns.
    Whole {
        aggs: [u8; 4],
        beside: bool,
    },
    /// Lists, of groups or of the whole frame, taken apart again: by the frame, or by an expression.
    Explode {
        key: Option<u8>,
        in_order: bool,
        some: bool,
        by_expr: bool,
    },
    /// A struct, and its fields again: by the frame, or by an expression.
    Fields {
        make: Make,
        unnest: bool,
    },
    Join {
        other: Box<Plan>,
        how: u8,
        on: u8,
        swapped: bool,
        in_order: bool,
    },
    Union {
        other: Box<Plan>,
        swapped: bool,
    },
    Sql {
        other: u8,
        query: u8,
        c: i8,
    },
}

#[derive(Debug, Clone)]
pub(super) struct Plan {
    leaf: u8,
    steps: Vec<Step>,
}

/// How a plan is changed into another.
#[derive(Debug, Clone)]
pub(super) enum Mutation {
    /// A constant, an operator, a direction, a side, a key of one step.
    Tweak {
        at: usize,
        what: u8,
    },
    Replace {
        at: usize,
        with: Step,
    },
    Remove {
        at: usize,
    },
    Insert {
        at: usize,
        step: Step,
    },
    Leaf,
}

fn make() -> impl Strategy<Value = Make> {
    (0..24u8, 0..4u8, 0..4u8, -2..4i8).prop_map(|(op, left, right, c)| Make { op, left, right, c })
}

/// Steps on one frame.
fn simple() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4u8, make(), any::<bool>()).prop_map(|(target, make, select)| Step::Compute { target, make, select }),
        2 => (make(), any::<bool>()).prop_map(|(make, above)| Step::Filter { make, above }),
        2 => (0..4u8, any::<bool>(), any::<bool>())
            .prop_map(|(by, descending, stable)| Step::Sort { by, descending, stable }),
        1 => (0..3u8, any::<[u8; 3]>(), any::<bool>())
            .prop_map(|(key, aggs, in_order)| Step::Group { key, aggs, in_order }),
        1 => (proptest::option::of(0..4u8), any::<bool>())
            .prop_map(|(subset, in_order)| Step::Distinct { subset, in_order }),
        1 => (-4..3i8, 0..6u8).prop_map(|(offset, rows)| Step::Slice { offset, rows }),
        1 => Just(Step::Index),
        2 => (any::<[u8; 4]>(), any::<bool>()).prop_map(|(aggs, beside)| Step::Whole { aggs, beside }),
        1 => (proptest::option::of(0..3u8), any::<[bool; 3]>())
            .prop_map(|(key, [in_order, some, by_expr])| Step::Explode { key, in_order, some, by_expr }),
        1 => (make(), any::<bool>()).prop_map(|(make, unnest)| Step::Fields { make, unnest }),
        2 => (0..3u8, 0..12u8, -1..4i8).prop_map(|(other, query, c)| Step::Sql { other, query, c }),
    ]
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let other =
        || (0..3u8, prop::collection::vec(simple(), 0..3)).prop_map(|(leaf, steps)| Box::new(Plan { leaf, steps }));
    prop_oneof![
        5 => simple(),
        2 => (other(), 0..7u8, 0..3u8, any::<bool>(), any::<bool>())
            .prop_map(|(other, how, on, swapped, in_order)| Step::Join { other, how, on, swapped, in_order }),
        1 => (other(), any::<bool>()).prop_map(|(other, swapped)| Step::Union { other, swapped }),
    ]
}

pub(super) fn plan() -> impl Strategy<Value = Plan> {
    (0..3u8, prop::collection::vec(step(), 0..5)).prop_map(|(leaf, steps)| Plan { leaf, steps })
}

pub(super) fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        4 => (0..8usize, 0..4u8).prop_map(|(at, what)| Mutation::Tweak { at, what }),
        1 => (0..8usize, step()).prop_map(|(at, with)| Mutation::Replace { at, with }),
        1 => (0..8usize).prop_map(|at| Mutation::Remove { at }),
        1 => (0..8usize, step()).prop_map(|(at, step)| Mutation::Insert { at, step }),
        1 => Just(Mutation::Leaf),
    ]
}

impl Make {
    fn expr(&self, extra: bool) -> Expr {
        let column = |at: u8| match at {
            3 if extra => col("e"),
            3 => col("t").str().len_chars().cast(DataType::Float64),
            at => col(COLUMNS[usize::from(at)]).cast(DataType::Float64),
        };
        let (left, right, c) = (column(self.left), column(self.right), lit(f64::from(self.c)));
        match self.op {
            0 => left + c,
            1 => left * c,
            2 => left + right,
            3 => left - right,
            4 => when(left.gt(c.clone())).then(right).otherwise(c),
            5 => left.shift(lit(i64::from(self.c))),
            6 => left.cum_sum(self.c > 0),
            7 => left.clone() - left.mean(),
            8 => left.sum() + right,
            9 => len().cast(DataType::Float64) + c,
            10 => left.sum().over([col("t")]).expect("a window"),
            11 => left.max().over([col("k")]).expect("a window"),
            12 => left.cum_sum(false).over([col("t")]).expect("a window"),
            13 => left.sort(SortOptions::default().with_order_descending(self.c > 0)),
            14 => left.reverse(),
            15 => left.fill_null(c),
            16 => left.first() - right,
            17 => left.filter(right.gt(c)).sum(),
            18 => left.n_unique().cast(DataType::Float64) + c,
            19 => left.sort_by([right], SortMultipleOptions::default().with_maintain_order(true)),
            20 => left.is_null().cast(DataType::Float64) + right,
            21 => left
                .rank(RankOptions { method: RankMethod::Dense, descending: self.c > 0 }, None)
                .cast(DataType::Float64),
            22 => left.is_between(lit(0.0), right, ClosedInterval::Both).cast(DataType::Float64),
            _ => c,
        }
    }
}

fn aggregate(name: &str, how: u8) -> Expr {
    let column = col(name);
    match (how % 8, name == "t") {
        (0, _) => column.max(),
        (1, _) => column.min(),
        (2, _) => column.first(),
        (3, _) => column.last(),
        (4, false) => column.sum(),
        (5, false) => column.filter(col("n").gt(lit(1))).sum(),
        (6, false) => column.count().cast(if name == "x" { DataType::Float64 } else { DataType::Int64 }),
        (7, false) => len().cast(if name == "x" { DataType::Float64 } else { DataType::Int64 }).alias(name),
        _ => column.max(),
    }
}

fn base() -> [Expr; 4] {
    COLUMNS.map(col)
}

fn has_extra(frame: &mut LazyFrame) -> PolarsResult<bool> {
    Ok(frame.collect_schema()?.contains("e"))
}

impl Step {
    fn on(&self, mut frame: LazyFrame, leaves: &[LazyFrame]) -> PolarsResult<LazyFrame> {
        let extra = has_extra(&mut frame)?;
        Ok(match self {
            Self::Compute { target, make, select } => {
                let (name, dtype) = [
                    ("k", DataType::Int64),
                    ("n", DataType::Int64),
                    ("x", DataType::Float64),
                    ("e", DataType::Float64),
                ][usize::from(*target)]
                .clone();
                let made = make.expr(extra).cast(dtype).alias(name);
                if *select {
                    let others = base().into_iter().zip(COLUMNS).filter(|(_, own)| *own != name).map(|(own, _)| own);
                    frame.select(std::iter::once(made).chain(others).collect::<Vec<_>>())
                } else {
                    frame.with_columns([made])
                }
            }
            Self::Filter { make, above } => {
                let made = make.expr(extra);
                frame.filter(if *above { made.gt(lit(0.5)) } else { made.lt_eq(lit(1.5)) })
            }
            Self::Sort { by, descending, stable } => {
                let options = SortMultipleOptions::default().with_order_descending(*descending);
                frame.sort([COLUMNS[usize::from(*by)]], options.with_maintain_order(*stable))
            }
            Self::Group { key, aggs, in_order } => {
                let key = ["k", "n", "t"][usize::from(*key)];
                let names = COLUMNS.iter().filter(|name| **name != key);
                let aggs: Vec<Expr> = names.zip(aggs).map(|(name, how)| aggregate(name, *how)).collect();
                let grouped = if *in_order { frame.group_by_stable([col(key)]) } else { frame.group_by([col(key)]) };
                grouped.agg(aggs)
            }
            Self::Distinct { subset, in_order } => {
                let subset = subset.map(|at| cols([COLUMNS[usize::from(at)]]));
                if *in_order {
                    frame.unique_stable(subset, UniqueKeepStrategy::First)
                } else {
                    frame.unique(subset, UniqueKeepStrategy::Any)
                }
            }
            Self::Slice { offset, rows } => frame.slice(i64::from(*offset), u32::from(*rows)),
            Self::Index => frame
                .with_row_index("i", Some(3))
                .with_columns([col("i").cast(DataType::Float64).alias("e")])
                .drop(cols(["i"])),
            Self::Whole { aggs, beside } => {
                let made = COLUMNS.iter().zip(aggs).enumerate();
                frame.select(
                    made.map(
                        |(at, (name, how))| if *beside && at % 2 == 1 { col(*name) } else { aggregate(name, *how) },
                    )
                    .collect::<Vec<_>>(),
                )
            }
            Self::Explode { key, in_order, some, by_expr } => exploded(frame, *key, *in_order, (*some, *by_expr)),
            Self::Fields { make, unnest } => {
                let made = make.expr(extra);
                if *unnest {
                    let fields = vec![col("n"), made.cast(DataType::Float64).alias("x"), col("t")];
                    frame.select([col("k"), as_struct(fields).alias("s")]).unnest(cols(["s"]), None)
                } else {
                    let fields = as_struct(vec![made.cast(DataType::Float64).alias("f"), col("n").alias("g")]);
                    frame.with_columns([fields.struct_().field_by_name("f").alias("e")])
                }
            }
            Self::Join { other, how, on, swapped, in_order } => {
                let other = other.on(leaves)?;
                let (left, right) = if *swapped { (other, frame) } else { (frame, other) };
                joined(left, right, *how, ["k", "n", "t"][usize::from(*on)], *in_order)
            }
            Self::Union { other, swapped } => {
                let (frame, other) = (frame.select(base()), other.on(leaves)?.select(base()));
                let both = if *swapped { [other, frame] } else { [frame, other] };
                concat(both, UnionArgs::default())?
            }
            Self::Sql { other, query, c } => sql(frame, leaves[usize::from(*other)].clone(), *query, *c)?,
        })
    }
}

fn exploded(frame: LazyFrame, key: Option<u8>, in_order: bool, (some, by_expr): (bool, bool)) -> LazyFrame {
    let options = ExplodeOptions { empty_as_null: some, keep_nulls: true };
    let Some(key) = key.map(|key| ["k", "n", "t"][usize::from(key)]) else {
        let lists = base().map(|column| column.implode(true));
        return if by_expr {
            frame.select(lists.map(|list| list.explode(options)))
        } else {
            frame.select(lists).explode(cols(COLUMNS), options)
        };
    };
    let names: Vec<&str> = COLUMNS.into_iter().filter(|name| *name != key).collect();
    let lists = if some { &names[..1] } else { &names[..] };
    let aggs = names.iter().map(|name| if lists.contains(name) { col(*name) } else { aggregate(name, 0) });
    let aggs: Vec<Expr> = aggs.collect();
    let grouped = if in_order { frame.group_by_stable([col(key)]) } else { frame.group_by([col(key)]) };
    grouped.agg(aggs).explode(cols(lists.iter().copied()), options)
}

fn joined(left: LazyFrame, right: LazyFrame, how: u8, on: &str, in_order: bool) -> LazyFrame {
    let how = [
        JoinType::Inner,
        JoinType::Left,
        JoinType::Cross,
        JoinType::Semi,
        JoinType::Anti,
        JoinType::Full,
        JoinType::Right,
    ][usize::from(how)]
    .clone();
    let args = JoinArgs::new(how.clone());
    let order = if in_order { MaintainOrderJoin::LeftRight } else { MaintainOrderJoin::None };
    let builder = left.select(base()).join_builder().with(right.select(base())).how(how.clone()).maintain_order(order);
    let keys = if matches!(how, JoinType::Cross) { vec![] } else { vec![col(on)] };
    let builder = builder.left_on(keys.clone()).right_on(keys).suffix("_other");
    match how {
        JoinType::Semi | JoinType::Anti => builder.finish(),
        // Both sides' columns are read where both are there.
        JoinType::Cross => builder.finish().select([
            col("k"),
            col("n_other").alias("n"),
            col("x"),
            col("t"),
            (col("x") + col("x_other")).alias("e"),
        ]),
        _ => {
            let x =
                if args.should_coalesce() { col("x_other") } else { col("x") + col("k_other").cast(DataType::Float64) };
            builder.finish().select([col("k"), col("n"), col("x"), col("t"), x.alias("e")])
        }
    }
}

fn sql(frame: LazyFrame, other: LazyFrame, query: u8, c: i8) -> PolarsResult<LazyFrame> {
    let query = match query {
        0 => format!("select k, n, x, t from p where k in (select k from q where n > {c})"),
        1 => format!("select k, n, x, t from p where n not in (select n from q where x > {c})"),
        2 => "select k, count(*) as n, sum(x) as x, min(t) as t from p group by k order by k".to_owned(),
        3 => "select p.k, p.n, q.x, p.t from p left join q on p.k = q.k".to_owned(),
        4 => format!("select p.k, q.n, p.x + {c} as x, q.t from p join q on p.t = q.t where q.n >= {c}"),
        5 => "select distinct k, n, x, t from p".to_owned(),
        6 => "select k, n, x, t from p union all select k, n, x, t from q".to_owned(),
        7 => format!(
            "with r as (select k, n + {c} as n, x, t from p) select r.k, r.n, r.x, r.t from r order by n, k, x, t"
        ),
        8 => "select k, sum(n) over (partition by t) as n, x, t from p".to_owned(),
        9 => format!("select case when k > {c} then k else n end as k, n, x, upper(t) as t from p limit 4"),
        10 => "select t, max(k) as k, avg(x) as x, count(distinct n) as n from p group by t having count(*) > 1"
            .to_owned(),
        _ => format!(
            "select p.k, p.n, p.x, p.t from p cross join (select min(x) as m from q) as r where p.x > r.m and p.n < {c} + 3"
        ),
    };
    let mut context = SQLContext::new();
    context.register("p", frame.select(base()));
    context.register("q", other);
    let ints =
        [col("k").cast(DataType::Int64), col("n").cast(DataType::Int64), col("x").cast(DataType::Float64), col("t")];
    Ok(context.execute(&query)?.select(ints))
}

impl Plan {
    /// The plan over leaves.
    pub(super) fn on(&self, leaves: &[LazyFrame]) -> PolarsResult<LazyFrame> {
        self.steps.iter().try_fold(leaves[usize::from(self.leaf)].clone(), |frame, step| step.on(frame, leaves))
    }

    pub(super) fn mutated(&self, mutation: &Mutation) -> Self {
        let mut plan = self.clone();
        let count = plan.steps.len();
        match mutation {
            Mutation::Tweak { at, what } if count > 0 => plan.steps[at % count].tweak(*what),
            Mutation::Replace { at, with } if count > 0 => plan.steps[at % count] = with.clone(),
            Mutation::Remove { at } if count > 0 => drop(plan.steps.remove(at % count)),
            Mutation::Insert { at, step } => plan.steps.insert(at % (count + 1), step.clone()),
            _ => plan.leaf = (plan.leaf + 1) % LEAVES.len() as u8,
        }
        plan
    }
}

impl Step {
    fn tweak(&mut self, what: u8) {
        match self {
            Self::Compute { make, target, select } => match what {
                0 => make.c += 1,
                1 => make.op = (make.op + 1) % 24,
                2 => *select = !*select,
                _ => *target = (*target + 1) % 4,
            },
            Self::Filter { make, above } => match what {
                0 => make.c += 1,
                1 => make.left = (make.left + 1) % 4,
                _ => *above = !*above,
            },
            Self::Sort { by, descending, stable } => match what {
                0 => *by = (*by + 1) % 4,
                1 => *stable = !*stable,
                _ => *descending = !*descending,
            },
            Self::Group { key, aggs, in_order } => match what {
                0 => *key = (*key + 1) % 3,
                1 => *in_order = !*in_order,
                _ => aggs[usize::from(what) % 3] = aggs[usize::from(what) % 3].wrapping_add(1),
            },
            Self::Distinct { subset, in_order } => match what {
                0 => *in_order = !*in_order,
                _ => *subset = subset.map_or(Some(0), |at| (at < 3).then_some(at + 1)),
            },
            Self::Whole { aggs, beside } => match what {
                0 => *beside = !*beside,
                _ => aggs[usize::from(what)] = aggs[usize::from(what)].wrapping_add(1),
            },
            Self::Explode { key, in_order, some, by_expr } => match what {
                0 => *key = key.map_or(Some(0), |key| (key < 2).then_some(key + 1)),
                1 => *in_order = !*in_order,
                2 => *some = !*some,
                _ => *by_expr = !*by_expr,
            },
            Self::Fields { make, unnest } => match what {
                0 => make.c += 1,
                1 => make.op = (make.op + 1) % 24,
                _ => *unnest = !*unnest,
            },
            Self::Slice { offset, rows } => match what {
                0 => *offset += 1,
                _ => *rows += 1,
            },
            Self::Join { how, on, swapped, in_order, other } => match what {
                0 => *how = (*how + 1) % 7,
                1 => *on = (*on + 1) % 3,
                2 => *swapped = !*swapped,
                _ if *in_order => *in_order = false,
                _ => other.leaf = (other.leaf + 1) % LEAVES.len() as u8,
            },
            Self::Union { other, swapped } => match what {
                0 => other.leaf = (other.leaf + 1) % LEAVES.len() as u8,
                _ => *swapped = !*swapped,
            },
            Self::Sql { other, query, c } => match what {
                0 => *other = (*other + 1) % LEAVES.len() as u8,
                1 => *query = (*query + 1) % 12,
                _ => *c += 1,
            },
            Self::Index => {}
        }
    }
}
