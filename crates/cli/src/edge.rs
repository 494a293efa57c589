//! The edge: errors of every layer become one shape, and are told once, on stderr or as one JSON object.

use crate::app::Failure;
use crate::out::{Out, style_stderr};
use crate::render::words;
use assets_core::catalog::CatalogError;
use assets_core::select::SelectError;
use assets_core::{Fact, Reason};
use assets_engine::{EngineError, ScopeError};
use clap::error::{ContextKind, ErrorKind};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io::Write;

/// Wrong data or code.
pub(crate) const DATA: u8 = 1;
/// Wrong usage.
pub(crate) const USAGE: u8 = 2;
/// The store can't be used.
pub(crate) const STORE: u8 = 3;
/// Trying again may help.
pub(crate) const TRANSIENT: u8 = 4;

impl From<ScopeError> for Failure {
    fn from(error: ScopeError) -> Self {
        let mut reason = Reason::new(error.code(), error.to_string());
        if let ScopeError::Select(select) = &error
            && let Some(place) = select.place()
        {
            reason = reason.with("selection", place.text.as_str()).with("column", place.column);
        }
        let failure = Self::usage(reason);
        match error {
            ScopeError::UnknownRun { .. } => failure.help("`assets runs` lists them"),
            ScopeError::Select(SelectError::Unknown { .. }) => failure.help("`assets graph` lists them"),
            ScopeError::Select(SelectError::Malformed { .. }) => {
                failure.help("for instance `+wide`, `key:\"f*\" and not stale:`; `assets plan --help` has the grammar")
            }
            _ => failure,
        }
    }
}

impl From<SelectError> for Failure {
    fn from(error: SelectError) -> Self {
        ScopeError::from(error).into()
    }
}

impl From<CatalogError> for Failure {
    fn from(error: CatalogError) -> Self {
        EngineError::from(error).into()
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        let transient = error.is_transient();
        let reason = error.reason();
        let help = match reason.code.as_str() {
            "disk_full" => {
                "make room (`assets gc` shows what can go) and run the command again: what was finished is kept"
            }
            _ if transient => "this may pass: run the command again",
            _ => "`assets doctor` looks at what the store stands on",
        };
        Self { reason, help: Some(help.to_owned()), exit: if transient { TRANSIENT } else { STORE } }
    }
}

/// Sources that can't even be listed.
pub(crate) fn unlisted(reason: Reason) -> Failure {
    let usage = reason.code.contains("pattern") || reason.code.contains("setting");
    Failure { reason, help: None, exit: if usage { USAGE } else { DATA } }
}

/// A file that can't be written or read by the command line itself.
pub(crate) fn file_failure(path: &std::path::Path, error: &std::io::Error) -> Failure {
    let reason = Reason::new("io_error", format!("{}: {error}", path.display()));
    Failure { reason: reason.with("path", path.display().to_string()), help: None, exit: USAGE }
}

/// `{code, message, help, …facts}`.
pub(crate) fn failure_json(failure: &Failure) -> Value {
    let mut object = match failure.reason.to_json() {
        Value::Object(object) => object,
        other => return other,
    };
    object.insert("message".to_owned(), words::echoed(&failure.reason.message).into());
    object.insert("help".to_owned(), json!(failure.help));
    object.into()
}

/// Tells an error.
pub(crate) fn report(out: &Out, failure: &Failure) {
    if out.json {
        out.json_line(&failure_json(failure));
        return;
    }
    let label = format!("error[{}]:", failure.reason.code);
    out.error(&format!("{} {}", style_stderr().red().bold().apply_to(label), words::echoed(&failure.reason.message)));
    let fact = |name: &str| failure.reason.facts.get(name);
    if let (Some(Fact::Text(text)), Some(Fact::Count(column))) = (fact("selection").or(fact("text")), fact("column")) {
        let line = if let Some(Fact::Count(line)) = fact("line") { *line } else { 1 };
        let line = text.lines().nth(usize::try_from(line - 1).unwrap_or(0)).unwrap_or(text);
        out.error(&pointed(line, usize::try_from(*column).unwrap_or(1)));
    }
    if let Some(help) = &failure.help {
        out.error(&format!("{} {}", style_stderr().cyan().apply_to("help:"), words::echoed(help)));
    }
}

/// A text with a mark below the character that `column` counts to, from 1; of a long text what is around it.
fn pointed(text: &str, column: usize) -> String {
    const AROUND: usize = 60;
    let first = column.saturating_sub(AROUND).max(1);
    let shown: String =
        text.chars().skip(first - 1).take(2 * AROUND).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let before: String = shown.chars().take(column - first).collect();
    format!("  {shown}\n  {}^", " ".repeat(console::measure_text_width(&before)))
}

/// Tells what is wrong with the arguments, or prints the help or version that was asked for.
pub(crate) fn refused(error: &clap::Error, args: &[OsString]) -> u8 {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let _ = error.print();
        return 0;
    }
    if !args.iter().any(|arg| arg == "--json") {
        let is_plain = |arg: &OsString| arg.to_str().is_some_and(|arg| arg.len() < 1000 && words::safe(arg) == arg);
        if args.iter().all(is_plain) {
            let _ = error.print();
        } else {
            let text: Vec<String> = error.render().to_string().lines().map(cut).collect();
            let _ = writeln!(std::io::stderr(), "{}", text.join("\n"));
        }
        return USAGE;
    }
    let text = error.render().to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let message = lines.next().unwrap_or("wrong usage").trim_start_matches("error: ").to_owned();
    let help = lines.collect::<Vec<_>>().join("; ");
    let mut reason = Reason::new(usage_code(error.kind()), message);
    if let Some(argument) = error.get(ContextKind::InvalidArg) {
        reason = reason.with("argument", argument.to_string());
    }
    let failure = Failure { reason, help: (!help.is_empty()).then_some(help), exit: USAGE };
    let _ = writeln!(std::io::stdout(), "{}", failure_json(&failure));
    USAGE
}

/// A line that may hold anything that a person has typed.
fn cut(line: &str) -> String {
    const SHOWN: usize = 300;
    let shown: String = line.chars().take(SHOWN).collect();
    words::safe(&if shown.len() < line.len() { shown + "…" } else { shown })
}

fn usage_code(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::UnknownArgument => "unknown_argument",
        ErrorKind::InvalidSubcommand => "unknown_verb",
        ErrorKind::MissingRequiredArgument | ErrorKind::MissingSubcommand => "missing_argument",
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => "invalid_value",
        _ => "wrong_usage",
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_mark_stands_below_its_place() {
        assert_eq!(super::pointed("ä und b", 3), "  ä und b\n    ^");
        let long = "x".repeat(1000);
        assert!(super::pointed(&long, 900).lines().all(|line| line.len() <= 122));
    }
}
