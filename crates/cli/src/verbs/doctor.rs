//! `assets doctor`: whether the surroundings are as they should be.

use crate::app::{App, Diagnosis, Failure, Level};
use crate::args::Global;
use crate::out::Out;
use crate::render::words;
use crate::session;
use console::Style;
use serde_json::{Value, json};

pub(crate) fn run(app: &dyn App, out: &Out, global: &Global) -> Result<u8, Failure> {
    let project = app.open(&session::open_options(global))?;
    let program = Diagnosis {
        check: "program".to_owned(),
        level: Level::Ok,
        message: format!("assets {}", env!("CARGO_PKG_VERSION")),
        advice: None,
    };
    let findings: Vec<Diagnosis> = std::iter::once(program).chain(project.doctor()).collect();
    let is_well = findings.iter().all(|finding| finding.level != Level::Bad);
    if out.json {
        let checks: Vec<Value> = findings.iter().map(finding_json).collect();
        out.json(&json!({"ok": is_well, "checks": checks}));
    } else {
        findings.iter().for_each(|finding| tell(out, finding));
    }
    Ok(u8::from(!is_well))
}

fn finding_json(finding: &Diagnosis) -> Value {
    let (check, level) = (&finding.check, finding.level.name());
    json!({"check": check, "level": level, "message": finding.message, "advice": finding.advice})
}

fn tell(out: &Out, finding: &Diagnosis) {
    let style = match finding.level {
        Level::Ok => Style::new().green(),
        Level::Warn => Style::new().yellow(),
        Level::Bad => Style::new().red().bold(),
    };
    let level = style.apply_to(format!("{:<4}", finding.level.name()));
    out.line(&format!("{level}  {:<12} {}", finding.check, words::safe(&finding.message)));
    if let Some(advice) = &finding.advice {
        out.line(&format!("{:<18} {}", "", words::dim(words::safe(advice))));
    }
}
