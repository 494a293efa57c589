//! The words of states and outcomes, with their colors.

use assets_core::freshness::State;
use assets_core::record::Outcome;
use console::Style;
use std::collections::BTreeMap;

/// How a state looks.
pub(crate) fn state_style(state: State) -> Style {
    let style = Style::new();
    match state {
        State::Fresh => style.green(),
        State::Reusable => style.cyan(),
        State::Stale => style.yellow(),
        State::Maybe => style.blue(),
        State::Failed => style.red().bold(),
        State::Blocked => style.magenta(),
    }
}

/// A state's word on stdout.
pub(crate) fn state(state: State) -> String {
    state_style(state).apply_to(state.name()).to_string()
}

/// How many are in which state: `496 fresh, 1 stale`.
pub(crate) fn states(counts: &BTreeMap<State, usize>) -> String {
    let told = counts.iter().map(|(of, n)| format!("{n} {}", state(*of)));
    told.collect::<Vec<_>>().join(", ")
}

/// How an outcome looks.
pub(crate) fn outcome_style(outcome: Outcome) -> Style {
    let style = Style::new();
    match outcome {
        Outcome::Made => style.green(),
        Outcome::Reused => style.cyan(),
        Outcome::Fresh => style.dim(),
        Outcome::Failed => style.red().bold(),
        Outcome::Blocked => style.magenta(),
        Outcome::Cancelled => style.yellow(),
    }
}

/// Less important text on stdout.
pub(crate) fn dim(text: impl std::fmt::Display) -> String {
    Style::new().dim().apply_to(text).to_string()
}

/// A heading on stdout.
pub(crate) fn bold(text: impl std::fmt::Display) -> String {
    Style::new().bold().apply_to(text).to_string()
}

/// Control characters made visible: text of data must not command the terminal.
pub(crate) fn safe(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || matches!(u32::from(c), 0x202A..=0x202E | 0x2066..=0x2069 | 0xE0100..=0xE01EF) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}
