//! `assets functions`: what an expression of a feature can call.

use crate::app::{App, Failure};
use crate::args::FunctionsArgs;
use crate::out::Out;
use crate::render::words;
use assets_core::{Reason, suggest};
use serde_json::{Value, json};

pub(crate) fn run(app: &dyn App, out: &Out, args: &FunctionsArgs) -> Result<u8, Failure> {
    let all = app.functions();
    let wanted = args.name.as_deref().unwrap_or_default().to_lowercase();
    let found: Vec<_> = all.iter().filter(|function| function.name.contains(&wanted)).collect();
    if found.is_empty() {
        let hint = suggest::hint(&wanted, all.iter().map(|function| function.name.as_str()));
        let reason = Reason::new("unknown_function", format!("there is no function `{wanted}`{hint}"));
        return Err(Failure::usage(reason).help("`assets functions` lists all of them"));
    }
    if out.json {
        let rows: Vec<Value> = found
            .iter()
            .map(|f| json!({"name": f.name, "usage": f.usage, "about": f.about, "example": f.example}))
            .collect();
        out.json(&json!({"functions": rows}));
        return Ok(0);
    }
    for function in found {
        out.line(&function.usage);
        out.line(&format!("    {}", function.about));
        out.line(&words::dim(format!("    {}", function.example)).to_string());
    }
    Ok(0)
}
