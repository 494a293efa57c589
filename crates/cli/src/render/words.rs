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

/// Names in a sentence are shown up to so many characters.
const ECHO: usize = 120;

/// A sentence that repeats what a person or a file said, for the edge: control characters made visible in each of its
/// lines, and what stands in backticks there shortened where it is too long to be read.
pub(crate) fn echoed(message: &str) -> String {
    let shortened = |(at, text): (usize, &str)| {
        let length = text.chars().count();
        if at % 2 == 0 || length <= ECHO {
            return text.to_owned();
        }
        let first: String = text.chars().take(ECHO / 2).collect();
        format!("{first}… ({} characters)", super::number::count(length as u64))
    };
    let text = message.split('`').enumerate().map(shortened).collect::<Vec<_>>().join("`");
    text.lines().map(safe).collect::<Vec<_>>().join("\n")
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

#[cfg(test)]
mod tests {
    use super::echoed;

    #[test]
    fn what_is_repeated_neither_commands_a_terminal_nor_fills_it() {
        let long = format!("there is no run `{}`; did you mean `a`?", "x\u{1b}".repeat(5000));
        let told = echoed(&long);
        assert!(told.len() < 400 && !told.contains('\u{1b}'), "{told}");
        assert!(told.ends_with("… (10 000 characters)`; did you mean `a`?"), "{told}");
        assert_eq!(echoed("one\ntwo `short`"), "one\ntwo `short`");
    }
}
