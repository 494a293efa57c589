//! Fixed cases: what must change a code, what is free, what is refused, what depends on what.

use super::data::{frame, leaves, schema};
use super::{derived, refused};
use crate::derive::{Derivation, Kernel, LeafPart, derive, empty_leaf, leaf, reason};
use assets_core::Reason;
use assets_core::hash::Hasher;
use polars::prelude::*;
use polars::sql::SQLContext;
use polars_plan::prelude::TypedLiteral;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

fn a() -> LazyFrame {
    empty_leaf("a", schema()).expect("a leaf")
}

fn b() -> LazyFrame {
    empty_leaf("b", schema()).expect("a leaf")
}

fn sql(query: &str) -> LazyFrame {
    let mut context = SQLContext::new();
    context.register("a", a());
    context.register("b", b());
    context.execute(query).expect("a query")
}

/// Parts as `a.x`, rows as `a.`.
fn parts(parts: &BTreeSet<LeafPart>) -> String {
    let texts = parts.iter().map(|part| format!("{}.{}", part.leaf, part.column.as_deref().unwrap_or_default()));
    texts.collect::<Vec<_>>().join(" ")
}

fn same(one: &LazyFrame, two: &LazyFrame) {
    assert_eq!(derived(one).codes(), derived(two).codes());
}

fn other(one: &LazyFrame, two: &LazyFrame) {
    let (one, two) = (derived(one).codes(), derived(two).codes());
    assert!(one.iter().zip(&two).all(|(one, two)| one != two), "{one:?} {two:?}");
}

#[test]
fn a_filter_reaches_every_column() {
    let plan = derived(&a().filter(col("k").gt(lit(1))).select([col("x"), lit(1).alias("one"), col("n") + lit(1)]));
    assert_eq!(parts(&plan.column("x").direct), "a.x");
    assert_eq!(parts(&plan.column("x").indirect), "a. a.k");
    assert_eq!(parts(&plan.column("one").parts()), "a. a.k");
    assert_eq!(parts(&plan.column("n").parts()), "a. a.k a.n");
    assert_eq!(parts(&plan.rows.parts()), "a. a.k");
    assert!(plan.ordered);
    other(&a().filter(col("k").gt(lit(1))), &a().filter(col("k").gt(lit(2))));
    other(&a().filter(col("k").gt(lit(1))), &a());
}

#[test]
fn a_count_needs_rows_alone() {
    let plan = derived(&sql("select count(*) as c from a"));
    assert_eq!(parts(&plan.column("c").parts()), "a.");
    let plan = derived(&sql("select count(*) as c from a where n > 2"));
    assert_eq!(parts(&plan.column("c").parts()), "a. a.n");
    let plan = derived(&a().group_by([col("t")]).agg([len().alias("c"), col("x").sum()]));
    assert_eq!(parts(&plan.column("c").parts()), "a. a.t");
    assert_eq!(parts(&plan.column("t").direct), "a.t");
    assert!(!plan.ordered);
    assert!(derived(&a().group_by([col("t")]).agg([len()]).sort(["t"], Default::default())).ordered);
    assert!(derived(&a().group_by_stable([col("t")]).agg([len()])).ordered);
}

#[test]
fn sides_of_a_join_differ() {
    let join = |left: LazyFrame, right: LazyFrame, how| left.join(right, [col("k")], [col("k")], JoinArgs::new(how));
    for how in [JoinType::Inner, JoinType::Left, JoinType::Full, JoinType::Right, JoinType::Semi, JoinType::Anti] {
        other(&join(a(), b(), how.clone()), &join(b(), a(), how));
    }
    other(&join(a(), b(), JoinType::Inner), &join(a(), b(), JoinType::Left));
    other(&a(), &b());
    let plan = derived(&join(a(), b(), JoinType::Left));
    assert_eq!(parts(&plan.column("x").direct), "a.x");
    assert_eq!(parts(&plan.column("x_right").direct), "b.x");
    assert_eq!(parts(&plan.column("x").indirect), "a. a.k b. b.k");
}

#[test]
fn spelling_is_free() {
    let query = "select k + 1 as y, x from a where n > 2 and t = 'red'";
    same(&sql(query), &sql("SELECT (k   + (1)) as other, x AS z -- a comment\nFROM a WHERE ((n > 2) AND (t = 'red'))"));
    same(&sql(query), &sql("select q.k + 1 as y, q.x from a as q where q.n > 2 and q.t = 'red'"));
    same(&sql(query), &sql("with q as (select * from a) select k + 1 as y, x from q where n > 2 and t = 'red'"));
    for wrong in ["select k + 2 as y, x", "select k - 1 as y, x"] {
        let changed = derived(&sql(&query.replace("select k + 1 as y, x", wrong)));
        assert_ne!(changed.column("y").code, derived(&sql(query)).column("y").code);
        assert_eq!(changed.column("x").code, derived(&sql(query)).column("x").code);
    }
    other(&sql(query), &sql(&query.replace("> 2", ">= 2")));
    other(&sql(query), &sql(&query.replace("red", "blue")));
    other(&sql(query), &sql(&query.replace(" and ", " or ")));
}

#[test]
fn refactoring_is_free() {
    let square = |name: &str| col(name) * col(name);
    let whole = a().with_columns([(square("x") + col("k") * lit(2)).alias("y")]).select([col("y"), col("t")]);
    let steps = a()
        .with_columns([square("x").alias("h")])
        .with_columns([(col("k") * lit(2)).alias("g"), col("t").alias("u")])
        .with_columns([(col("h") + col("g")).alias("y")]);
    same(&whole, &steps.clone().select([col("y"), col("u")]));
    same(&whole, &steps.select([col("y").alias("z"), col("u").alias("t")]).rename(["z"], ["w"], true));
    let columns = |names: [&str; 2]| derived(&whole.clone().select(names.map(col)));
    assert_eq!(columns(["y", "t"]).column("t").code, columns(["t", "y"]).column("t").code);
}

#[test]
fn queries_with_generated_names_have_one_code() {
    for query in [
        "select k, x from a where k in (select k from b where n > 1)",
        "select k, x from a where k not in (select k from b)",
        "select k, x from a where n in (select n from b) and k not in (select k from b where x < 2)",
    ] {
        let codes: BTreeSet<_> = (0..3).map(|_| derived(&sql(query)).codes()).collect();
        assert_eq!(codes.len(), 1, "{query}");
        assert!(parts(&derived(&sql(query)).column("x").parts()).contains("b. "), "{query}");
    }
}

#[test]
fn options_and_literals_count() {
    let of = |expr: Expr| a().select([expr]);
    let series = |values: &[i64]| lit(Series::new("s".into(), values));
    let long: Vec<i64> = (0..3_000).collect();
    let mut longer = long.clone();
    longer[1_500] = 7;
    for (one, two) in [
        (col("x").cast(DataType::Int64), col("x").cast(DataType::Int32)),
        (col("x").cast(DataType::Int64), col("x").strict_cast(DataType::Int64)),
        (col("x").std(0), col("x").std(1)),
        (col("x").round(1, RoundMode::HalfToEven), col("x").round(2, RoundMode::HalfToEven)),
        (col("x").shift(lit(1)), col("x").shift(lit(2))),
        (col("x").cum_sum(true), col("x").cum_sum(false)),
        (col("n") + 1i64.typed_lit(), col("n") + 2i64.typed_lit()),
        (1i64.typed_lit(), 1i32.typed_lit()),
        (lit("1"), lit(1)),
        (0.1f64.typed_lit(), 0.1f32.typed_lit()),
        (col("n").is_in(series(&long).implode(true), false), col("n").is_in(series(&longer).implode(true), false)),
        (col("x").gt(lit(1)).and(col("x").lt(lit(2))), col("x").gt(lit(1)).logical_and(col("x").lt(lit(2)))),
        (col("x").quantile(lit(0.5), QuantileMethod::Linear), col("x").quantile(lit(0.5), QuantileMethod::Lower)),
        (col("x").sum().over([col("k")]).expect("a window"), col("x").sum().over([col("t")]).expect("a window")),
        (
            col("x").sort_by([col("n")], SortMultipleOptions::default()),
            col("x").sort_by([col("n")], SortMultipleOptions::default().with_order_descending(true)),
        ),
        (col("t").str().to_uppercase(), col("t").str().to_lowercase()),
    ] {
        other(&of(one), &of(two));
    }
    same(&of(series(&long).alias("p")), &of(series(&long).alias("q")));
    let sort = |options| a().sort(["k"], options);
    let stable = SortMultipleOptions::default().with_maintain_order(true);
    other(&sort(stable.clone()), &sort(stable.clone().with_order_descending(true)));
    other(&sort(stable.clone()), &sort(stable.clone().with_nulls_last(true)));
    assert!(derived(&sort(stable)).ordered && !derived(&sort(SortMultipleOptions::default())).ordered);
    other(&a().slice(1, 3), &a().slice(1, 4));
    let subset = |name: &str| Some(cols([name]));
    other(&a().unique(subset("k"), UniqueKeepStrategy::First), &a().unique(subset("k"), UniqueKeepStrategy::Last));
    other(&a().unique(subset("k"), UniqueKeepStrategy::First), &a().unique(subset("n"), UniqueKeepStrategy::First));
    let rows = [(Some(1), 2, None, 0)];
    same(&frame(&rows).lazy(), &frame(&rows).lazy());
    assert_ne!(derived(&frame(&rows).lazy()).codes(), derived(&frame(&[(Some(1), 3, None, 0)]).lazy()).codes());
}

#[test]
fn closures_and_files_are_refused() {
    let closure = |column: Column| Ok(column);
    let field = |_: &Schema, field: &Field| Ok(field.clone());
    assert_eq!(refused(&a().select([col("x").map(closure, field)])), "opaque_plan");
    let whole = a().map(Ok, AllowedOptimizations::default(), None, None);
    assert_eq!(refused(&whole), "opaque_plan");
    let add = polars_plan::prelude::PlanCallback::new(|(one, two): (Series, Series)| &one + &two);
    let fold = fold_exprs(lit(0.0), add, [col("x"), col("n")], false, None);
    assert_eq!(refused(&a().select([fold])), "opaque_plan");
    struct Foreign;
    impl AnonymousScan for Foreign {
        fn as_any(&self) -> &dyn std::any::Any {
            self
        }
        fn scan(&self, _: AnonymousScanArgs) -> PolarsResult<DataFrame> {
            Ok(DataFrame::empty())
        }
    }
    let args = ScanArgsAnonymous { schema: Some(schema()), ..ScanArgsAnonymous::default() };
    let scan = LazyFrame::anonymous_scan(Arc::new(Foreign), args).expect("a scan");
    assert_eq!(refused(&scan), "opaque_plan");
    assert_eq!(refused(&a().select([col("nope")])), "wrong_plan");
}

#[test]
fn a_kernel_is_its_name_version_and_parameters() {
    let kernel = |name: &str, version: u32, scale: f64| {
        let run = move |columns: &[Column]| Ok(&columns[0].cast(&DataType::Float64)? * scale);
        let kernel = Kernel::new(name, version, DataType::Float64, run).with("scale", scale);
        a().select([kernel.over([col("n"), col("k")]), col("t")])
    };
    same(&kernel("scaled", 1, 2.0), &kernel("scaled", 1, 2.0));
    let code = |plan: &LazyFrame| derived(plan).column("n").code;
    let codes = [kernel("scaled", 1, 2.0), kernel("scaled", 2, 2.0), kernel("other", 1, 2.0), kernel("scaled", 1, 3.0)];
    assert_eq!(codes.iter().map(code).collect::<BTreeSet<_>>().len(), 4);
    assert_eq!(parts(&derived(&codes[0]).column("n").direct), "a.k a.n");
    let data = leaves(&[vec![(Some(1), 4, None, 0)], vec![], vec![]]);
    let run = |columns: &[Column]| Ok(&columns[0].cast(&DataType::Float64)? * 2.0);
    let kernel = Kernel::new("scaled", 1, DataType::Float64, run).over([col("n")]);
    let made = data[0].clone().select([kernel]).collect().expect("the kernel runs");
    assert_eq!(made.column("n").and_then(Column::f64).expect("floats").get(0), Some(8.0));
}

#[test]
fn what_is_known_of_a_column_stands_for_it() {
    let code = Hasher::new("elsewhere").finish();
    let part = |column: &str| LeafPart { leaf: "raw".to_owned(), column: Some(column.to_owned()) };
    let known = |leaf: &str, column: &str| {
        (leaf == "a" && column == "x").then(|| Derivation {
            code,
            params: BTreeSet::from(["window_ms".to_owned()]),
            direct: BTreeSet::from([part("p")]),
            indirect: BTreeSet::from([part("q")]),
        })
    };
    let plan = a().filter(col("k").gt(lit(1))).select([(col("x") * lit(2)).alias("y"), col("n")]);
    let with = derive(&plan, &known).expect("derives");
    assert_eq!(parts(&with.column("y").direct), "raw.p");
    assert_eq!(parts(&with.column("y").indirect), "a. a.k raw.q");
    assert_eq!(with.column("y").params.len(), 1);
    assert_eq!(parts(&with.column("n").parts()), "a. a.k a.n");
    assert_ne!(with.column("y").code, derived(&plan).column("y").code);
    assert_eq!(with.column("n").code, derived(&plan).column("n").code);
    assert_eq!(derive(&a().select([col("x")]), &known).expect("derives").column("x").code, code);
}

#[test]
fn a_leaf_reads_what_is_needed_and_says_why_it_could_not() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let read = move |columns: Option<&[&str]>| {
        seen.lock().expect("unpoisoned").push(columns.map(|columns| columns.join(" ")));
        let all = frame(&[(Some(1), 2, Some(0.5), 0), (None, 3, None, 1)]);
        columns.map_or(Ok(all.clone()), |columns| Ok(all.select(columns.iter().copied()).expect("known columns")))
    };
    let plan = leaf("a", schema(), Arc::new(read)).expect("a leaf");
    let made = plan.clone().filter(col("n").gt(lit(2))).select([col("k")]).collect().expect("collects");
    assert_eq!(made.height(), 1);
    let counted = plan.clone().select([len()]).collect().expect("collects");
    assert_eq!(counted.column("len").and_then(Column::u32).expect("a count").get(0), Some(2));
    assert_eq!(plan.clone().limit(1).collect().expect("collects").height(), 1);
    let asked = asked.lock().expect("unpoisoned").clone();
    assert_eq!(asked[0].as_deref().map(|names| names.split(' ').collect::<BTreeSet<_>>().len()), Some(2));
    assert_eq!(asked[1].as_deref(), Some("k"));

    let lost = |_: Option<&[&str]>| Err(Reason::new("lost_object", "gone").with("object", "cafe"));
    let plan = leaf("a", schema(), Arc::new(lost)).expect("a leaf");
    let error = plan.filter(col("n").gt(lit(2))).select([col("x").sum()]).collect().expect_err("nothing to read");
    assert_eq!(reason("a step", &error), Reason::new("lost_object", "gone").with("object", "cafe"));
    let wrong = |_: Option<&[&str]>| Ok(DataFrame::empty());
    let error = leaf("a", schema(), Arc::new(wrong)).expect("a leaf").collect().expect_err("another schema");
    assert_eq!(reason("a step", &error).code, "leaf_schema");
}
