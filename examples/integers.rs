//! The smallest pipeline: integers in memory, built three times. Shows what is made, what is found fresh, and why.
//!
//! Run it with `cargo run --release --example integers`.

use assets_core::{AssetDecl, AssetName, InputDecl};
use assets_testkit::integers::{IntCode, output};
use assets_testkit::workbench::Workbench;
use std::sync::Arc;

/// numbers → sorted → sum, per run; the sum is taken times a factor.
fn assets(factor: i64) -> Result<Vec<(AssetDecl, IntCode)>, Box<dyn std::error::Error>> {
    let numbers = AssetDecl::new(output("numbers"), "1").partitioned_by(&["run"]).reads_sources();
    let sorted = AssetDecl::new(output("sorted"), "1").partitioned_by(&["run"]);
    let sorted = sorted.reads(InputDecl::all(AssetName::new("numbers")?));
    let sum = AssetDecl::new(output("sum"), "1").partitioned_by(&["run"]).param("factor", factor);
    let sum = sum.reads(InputDecl::all(AssetName::new("sorted")?));
    let sort: IntCode = Arc::new(|inputs| {
        let mut values = inputs[0].clone();
        values.sort_unstable();
        Ok(values)
    });
    Ok(vec![
        (numbers, Arc::new(|inputs: &[Vec<i64>]| Ok(inputs.concat()))),
        (sorted, sort),
        (sum, Arc::new(move |inputs: &[Vec<i64>]| Ok(vec![factor * inputs[0].iter().sum::<i64>()]))),
    ])
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let numbers = AssetName::new("numbers")?;
    let mut bench = Workbench::new(assets(1)?)?;
    bench.deliver(&numbers, "monday", &[3, 1, 2]);
    bench.deliver(&numbers, "tuesday", &[5, 4]);
    let all = bench.scope(&[], &[]);
    let build = |bench: &mut Workbench, what: &str| {
        println!("{what}");
        let log = bench.build(&all, 1);
        log.steps.iter().for_each(|line| println!("  {line}"));
        println!("  fresh: {}", log.fresh);
    };
    build(&mut bench, "the first build makes everything:");
    bench.deliver(&numbers, "monday", &[1, 2, 3]);
    build(&mut bench, "the same numbers in another order: `sorted` comes out equal, so `sum` stays fresh:");
    bench.redeclare(assets(10)?)?;
    build(&mut bench, "another factor: only the sums:");
    Ok(())
}
