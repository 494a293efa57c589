//! Which assets a person means: `x`, `+x` with ancestors, `x+` with descendants, numbers for distance (`2+x+1`).

use crate::graph::Graph;
use crate::key::AssetName;
use crate::suggest;
use std::collections::BTreeSet;

/// What is wrong with a selection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// No asset or output of that name.
    #[error("there is no asset `{name}`{hint}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// A suggestion.
        hint: String,
    },
    /// Not of the form `[N]+x+[N]`.
    #[error("`{0}` is not a selection: write `x`, `+x` (with ancestors), `x+` (with descendants) or `2+x+1`")]
    Malformed(String),
}

/// The selected assets in topological order; every asset where nothing is named.
pub fn select(graph: &Graph, expressions: &[String]) -> Result<Vec<AssetName>, SelectError> {
    if expressions.is_empty() {
        return Ok(graph.order().to_vec());
    }
    let mut chosen = BTreeSet::new();
    for expression in expressions {
        let (up, name, down) = parse(expression)?;
        let asset = resolve(graph, name)?;
        chosen.extend(graph.ancestors(asset.as_str(), up));
        chosen.extend(graph.descendants(asset.as_str(), down));
        chosen.insert(asset);
    }
    Ok(graph.order().iter().filter(|name| chosen.contains(*name)).cloned().collect())
}

/// The asset of that name, or the one that writes the output of that name.
pub fn resolve(graph: &Graph, name: &str) -> Result<AssetName, SelectError> {
    match graph.producer(name) {
        Some(asset) => Ok(asset.name.clone()),
        None => {
            let hint = suggest::hint(name, graph.outputs().map(|o| o.name.as_str()));
            let all = graph.order().iter().map(AssetName::as_str).collect::<Vec<_>>().join(", ");
            let hint = if hint.is_empty() { format!("; there are {all}") } else { hint };
            Err(SelectError::Unknown { name: name.to_owned(), hint })
        }
    }
}

fn parse(expression: &str) -> Result<(usize, &str, usize), SelectError> {
    let malformed = || SelectError::Malformed(expression.to_owned());
    let distance = |text: &str| match text {
        "" => Ok(usize::MAX),
        number => number.parse().map_err(|_| malformed()),
    };
    let mut rest = expression;
    let mut up = 0;
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    if rest[digits..].starts_with('+') {
        up = distance(&rest[..digits])?;
        rest = &rest[digits + 1..];
    }
    let mut down = 0;
    if let Some((name, number)) = rest.split_once('+') {
        down = distance(number)?;
        rest = name;
    }
    if rest.is_empty() { Err(malformed()) } else { Ok((up, rest, down)) }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn grammar() {
        let all = usize::MAX;
        assert_eq!(parse("x"), Ok((0, "x", 0)));
        assert_eq!(parse("+x"), Ok((all, "x", 0)));
        assert_eq!(parse("x+"), Ok((0, "x", all)));
        assert_eq!(parse("2+x+1"), Ok((2, "x", 1)));
        assert!(parse("+").is_err());
        assert!(parse("x+y").is_err());
    }
}
