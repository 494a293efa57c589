//! Where answers go: stdout for the answer, stderr for everything else. A reader that goes away (`| head`) is no error.

use crate::args::{Color, Global};
use crate::render::words;
use console::Style;
use serde_json::Value;
use std::io::{IsTerminal, Write};

/// Both streams, with what the flags say about them.
#[derive(Clone, Copy)]
pub(crate) struct Out {
    pub(crate) json: bool,
    pub(crate) quiet: bool,
}

impl Out {
    /// Decides on colors, once for the process.
    pub(crate) fn new(global: &Global) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let wanted = |terminal: bool| match global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && !plain,
        };
        console::set_colors_enabled(wanted(std::io::stdout().is_terminal()));
        console::set_colors_enabled_stderr(wanted(std::io::stderr().is_terminal()));
        Self { json: global.json, quiet: global.quiet }
    }

    /// A part of the answer.
    pub(crate) fn text(&self, text: &str) {
        let mut stdout = std::io::stdout().lock();
        if let Err(error) = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
            && error.kind() != std::io::ErrorKind::BrokenPipe
        {
            // An answer cut short must not look like one: say so, and end as what can be tried again.
            self.error(&format!("error[io_error]: the answer can't be written: {error}"));
            std::process::exit(4);
        }
    }

    /// A line of the answer.
    pub(crate) fn line(&self, line: &str) {
        self.text(&format!("{line}\n"));
    }

    /// The answer as one JSON document.
    pub(crate) fn json(&self, value: &Value) {
        self.line(&serde_json::to_string_pretty(value).unwrap_or_default());
    }

    /// One line of JSON.
    pub(crate) fn json_line(&self, value: &Value) {
        self.line(&value.to_string());
    }

    /// Progress or a warning: not shown with `--quiet`.
    pub(crate) fn note(&self, line: &str) {
        if !self.quiet {
            self.error(line);
        }
    }

    /// A hint for a person; scripts that ask for JSON don't get it.
    pub(crate) fn hint(&self, line: &str) {
        if !self.json {
            self.note(&style_stderr().dim().apply_to(line).to_string());
        }
    }

    /// A warning. What it repeats of data must not command the terminal.
    pub(crate) fn warn(&self, message: &str) {
        let message = words::echoed(message);
        self.note(&format!("{} {message}", style_stderr().yellow().apply_to("warning:")));
    }

    /// A line on stderr, whatever the flags.
    pub(crate) fn error(&self, line: &str) {
        // Nobody to tell: stderr is gone.
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }
}

/// A style for stderr.
pub(crate) fn style_stderr() -> Style {
    Style::new().for_stderr()
}
