//! `assets init`: a commented settings file.

use crate::app::{App, Failure};
use crate::args::{Global, InitArgs};
use crate::out::Out;
use serde_json::json;

pub(crate) fn run(app: &dyn App, out: &Out, global: &Global, args: &InitArgs) -> Result<u8, Failure> {
    let path = app.init(&args.dir, &global.source)?;
    if out.json {
        out.json(&json!({"config": path}));
    } else {
        out.line(&format!("wrote {}", path.display()));
        out.hint("name your files under `sources` there, then: assets materialize");
    }
    Ok(0)
}
