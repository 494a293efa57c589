//! Codes are equal in every process, whatever the number of threads; how long deriving takes is printed.

use super::data::schema;
use super::derived;
use crate::derive::{Kernel, empty_leaf};
use polars::prelude::*;
use polars::sql::SQLContext;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

const CHILD: &str = "ASSETS_DERIVE_CHILD";

fn plans() -> Vec<LazyFrame> {
    let mut context = SQLContext::new();
    let leaf = |name: &str| empty_leaf(name, schema()).expect("a leaf");
    context.register("a", leaf("a"));
    context.register("b", leaf("b"));
    let queries = [
        "select k, x from a where k in (select k from b where n > 1)",
        "select t, sum(x), count(*) from a where k not in (select n from b) group by t order by t limit 3",
        "select a.k, b.x from a left join b on a.k = b.k where a.n > 1 and b.x < 2.5",
        "select distinct k, sum(n) over (partition by t) from a union all select k, n from b",
    ];
    let mut plans: Vec<_> = queries.iter().map(|query| context.execute(query).expect("a query")).collect();
    let kernel = Kernel::new("same", 1, DataType::Float64, |columns: &[Column]| Ok(columns[0].clone())).with("w", 0.25);
    plans.push(leaf("a").with_columns([
        kernel.over([col("x")]).alias("y"),
        col("t").str().to_uppercase(),
        col("x").rank(RankOptions::default(), None),
        lit(Series::new("s".into(), [1i64, 2])).implode(true).alias("list"),
    ]));
    plans.push(leaf("a").group_by([col("k")]).agg([col("x").std(1), as_struct(vec![col("n"), col("t")]).first()]));
    plans
}

fn codes() -> String {
    plans().iter().flat_map(|plan| derived(plan).codes()).collect::<Vec<_>>().join(" ")
}

#[test]
fn codes_are_equal_in_every_process() {
    if std::env::var_os(CHILD).is_some() {
        println!("codes: {}", codes());
        return;
    }
    let mine = codes();
    for threads in ["1", "2", "5"] {
        let output = Command::new(std::env::current_exe().expect("this test's binary"))
            .args(["--exact", "derive::tests::processes::codes_are_equal_in_every_process", "--nocapture"])
            .env(CHILD, "1")
            .env("POLARS_MAX_THREADS", threads)
            .output()
            .expect("the binary runs again");
        let text = String::from_utf8_lossy(&output.stdout);
        // The harness may have begun the line.
        let found = text.lines().find_map(|line| line.split_once("codes: ").map(|(_, codes)| codes.to_owned()));
        assert_eq!(found.as_deref(), Some(mine.as_str()), "{threads} threads: {text}");
    }
}

#[test]
fn deriving_forty_columns_is_timed() {
    let names: Vec<String> = (0..40).map(|at| format!("c{at}")).collect();
    let fields = names.iter().map(|name| Field::new(name.as_str().into(), DataType::Float64));
    let leaf = |name: &str| empty_leaf(name, Arc::new(fields.clone().collect())).expect("a leaf");
    let norm = |at: usize| (col(&names[at]) * col(&names[(at + 1) % 40]) + lit(0.5)).alias(&names[at]);
    let plan = leaf("a")
        .filter(col("c0").gt(lit(0.0)))
        .with_columns((0..40).map(norm).collect::<Vec<_>>())
        .join(leaf("b"), [col("c1")], [col("c1")], JoinArgs::new(JoinType::Left))
        .sort(["c2"], SortMultipleOptions::default().with_maintain_order(true));
    let start = Instant::now();
    let count = derived(&plan).columns.len();
    println!("derived {count} columns of a plan over two leaves of 40 in {:?}", start.elapsed());
    let start = Instant::now();
    let count = derived(&leaf("a").with_columns((0..40).map(norm).collect::<Vec<_>>())).columns.len();
    println!("derived {count} columns of 40 expressions in {:?}", start.elapsed());
}
