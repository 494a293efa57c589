//! `assets simulate`: realistic data with known truth.

use crate::app::{App, Failure, SimulateOptions, Simulated};
use crate::args::SimulateArgs;
use crate::out::Out;
use crate::render::number;
use serde_json::json;

pub(crate) fn run(app: &dyn App, out: &Out, args: &SimulateArgs) -> Result<u8, Failure> {
    let simulated = app.simulate(&SimulateOptions {
        out: args.out.clone(),
        runs: args.runs as usize,
        seconds: args.seconds,
        defects: args.defects,
        noise: args.noise,
        seed: args.seed,
        demo: false,
    })?;
    if out.json {
        let files: Vec<_> = simulated.files.iter().map(|(path, bytes)| json!({"path": path, "bytes": bytes})).collect();
        out.json(&json!({"files": files, "rows": simulated.rows, "runs": simulated.runs}));
    } else {
        simulated
            .files
            .iter()
            .for_each(|(path, size)| out.line(&format!("{}  {}", path.display(), number::bytes(*size))));
        out.line(&summary(&simulated));
    }
    Ok(0)
}

/// `57 600 rows of 4 runs in 4 files`.
pub(crate) fn summary(simulated: &Simulated) -> String {
    let rows = number::count(simulated.rows);
    let (runs, files) = (number::plural(simulated.runs, "run"), number::plural(simulated.files.len(), "file"));
    format!("{rows} rows of {runs} in {files}")
}
