//! Reasons as sentences: what many columns have in common is said once, with how many they are.

use super::{number, words};
use assets_core::{Fact, Reason};

/// Reasons of one kind about further things than this are counted.
const EACH: usize = 3;

/// The sentences of some reasons, in their order; those alike in code and in what they are about become one.
pub(crate) fn sentences(reasons: &[Reason]) -> Vec<String> {
    let mut groups: Vec<(String, Vec<&Reason>)> = Vec::new();
    for reason in reasons {
        let kind = kind(reason);
        match groups.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, group)) => group.push(reason),
            None => groups.push((kind, vec![reason])),
        }
    }
    groups.iter().flat_map(|(_, group)| told(group)).collect()
}

/// The same as one line.
pub(crate) fn line(reasons: &[Reason]) -> String {
    sentences(reasons).join("; ")
}

fn text<'a>(reason: &'a Reason, name: &str) -> Option<&'a str> {
    match reason.facts.get(name) {
        Some(Fact::Text(text)) => Some(text),
        _ => None,
    }
}

/// What can be told together.
fn kind(reason: &Reason) -> String {
    let about = match reason.code.as_str() {
        "input_changed" => text(reason, "input").unwrap_or_default(),
        "column_stored" if reason.facts.contains_key("generation") => "earlier",
        _ => "",
    };
    format!("{} {about}", reason.code)
}

fn told(group: &[&Reason]) -> Vec<String> {
    let mut messages: Vec<&str> = Vec::new();
    for reason in group {
        if !messages.contains(&reason.message.as_str()) {
            messages.push(&reason.message);
        }
    }
    if let ([first, ..], 2..) = (group, messages.len()) {
        if let Some(together) = together(first, group, messages.len()) {
            return vec![together];
        }
        if messages.len() > EACH + 1 {
            let rest = format!("and {} further reasons of that kind", messages.len() - EACH);
            return messages[..EACH].iter().map(|message| words::safe(message)).chain([rest]).collect();
        }
    }
    messages.into_iter().map(words::safe).collect()
}

/// One sentence for several, where there is one.
fn together(first: &Reason, group: &[&Reason], distinct: usize) -> Option<String> {
    let columns = number::plural(distinct, "column");
    Some(match first.code.as_str() {
        "column_new" => format!("{columns} are new"),
        "column_stored" if first.facts.contains_key("generation") => {
            format!("{columns} are stored already in an earlier version")
        }
        "column_stored" => format!("{columns} are stored already"),
        "code_changed" if group.iter().all(|reason| reason.message.starts_with("the code of ")) => {
            format!("the code of {columns} changed")
        }
        "input_to_be_made" => {
            let inputs: Vec<String> =
                group.iter().filter_map(|reason| text(reason, "input").map(words::safe)).collect();
            let (last, others) = inputs.split_last()?;
            format!("{} and {last} are to be made and may come out equal", others.join(", "))
        }
        "input_changed" => format!("{} changed in {}", text(first, "input")?, listed(&parts(group))),
        _ => return None,
    })
}

fn parts(group: &[&Reason]) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for reason in group {
        if let Some(Fact::Texts(names)) = reason.facts.get("parts") {
            parts.extend(names.iter().filter(|name| !parts.contains(name)).cloned().collect::<Vec<_>>());
        }
    }
    parts
}

fn listed(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| words::safe(name)).collect();
    match names.as_slice() {
        [rest @ .., last] if !rest.is_empty() && names.len() <= EACH => format!("{} and {last}", rest.join(", ")),
        names if names.len() <= EACH => names.join(", "),
        names => format!("{} and {} further parts", names[..EACH].join(", "), names.len() - EACH),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(column: &str) -> Reason {
        Reason::new("column_new", format!("the column {column} is new")).with("column", column)
    }

    fn changed(input: &str, parts: &[&str]) -> Reason {
        let parts: Vec<String> = parts.iter().map(ToString::to_string).collect();
        let reason = Reason::new("input_changed", format!("{input} changed in {}", parts.join(" and ")));
        reason.with("input", input).with("parts", parts)
    }

    #[test]
    fn what_is_alike_is_said_once() {
        let stored = |column: &str| {
            let reason = Reason::new("column_stored", format!("{column} is stored already in an earlier version"));
            reason.with("column", column).with("generation", 2_u64)
        };
        assert_eq!(line(&[new("a")]), "the column a is new");
        assert_eq!(
            line(&[stored("a"), new("c"), stored("b"), new("d"), new("c")]),
            "2 columns are stored already in an earlier version; 2 columns are new"
        );
        assert_eq!(
            line(&[changed("wide", &["x"]), changed("wide", &["y", "x"]), changed("gaps", &["z"])]),
            "wide changed in x and y; gaps changed in z"
        );
        let open = |input: &str| {
            let message = format!("{input} is to be made and may come out equal");
            Reason::new("input_to_be_made", message).with("input", input)
        };
        assert_eq!(line(&[open("a")]), "a is to be made and may come out equal");
        assert_eq!(line(&[open("a"), open("b"), open("c")]), "a, b and c are to be made and may come out equal");
        let parameters: Vec<Reason> =
            (0..6).map(|n| Reason::new("parameter_changed", format!("the parameter p{n} changed: 1 → 2"))).collect();
        assert_eq!(sentences(&parameters[..4]).len(), 4);
        assert_eq!(sentences(&parameters).last().map(String::as_str), Some("and 3 further reasons of that kind"));
    }
}
