//! Reasons: typed data that says why. A stable code for scripts, a sentence for people, the facts as fields.
//!
//! A reason is made where the decision is made and carried along unchanged; how it looks is decided at the edge.

use crate::facts::Facts;
use serde::{Deserialize, Serialize};

/// One fact of a reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Fact {
    /// A name, path, hash or value.
    Text(String),
    /// A count.
    Count(i64),
    /// A measured or configured number.
    Number(f64),
    /// Several names.
    Texts(Vec<String>),
}

impl From<&str> for Fact {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Fact {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<usize> for Fact {
    fn from(count: usize) -> Self {
        Self::Count(i64::try_from(count).unwrap_or(i64::MAX))
    }
}

impl From<u64> for Fact {
    fn from(count: u64) -> Self {
        Self::Count(i64::try_from(count).unwrap_or(i64::MAX))
    }
}

impl From<i64> for Fact {
    fn from(count: i64) -> Self {
        Self::Count(count)
    }
}

impl From<f64> for Fact {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<Vec<String>> for Fact {
    fn from(texts: Vec<String>) -> Self {
        Self::Texts(texts)
    }
}

impl Fact {
    fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Text(text) => text.as_str().into(),
            Self::Count(count) => (*count).into(),
            Self::Number(number) => (*number).into(),
            Self::Texts(texts) => texts.clone().into(),
        }
    }
}

/// A number of things: `1 row`, `2 rows`.
pub fn plural(n: u64, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// Why something is as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// A stable `snake_case` code.
    pub code: String,
    /// A sentence that a person understands without the code.
    pub message: String,
    /// What scripts and pages need to know besides: counts, paths, hashes, old and new values.
    pub facts: Facts,
}

impl Reason {
    /// A reason without facts.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), facts: Facts::default() }
    }

    /// Adds a fact.
    #[must_use]
    pub fn with(mut self, name: &str, fact: impl Into<Fact>) -> Self {
        self.facts.insert(name.to_owned(), fact.into());
        self
    }

    /// This as the reason of a failed blocking check on an output.
    #[must_use]
    pub fn failed_check(self, output: &str, check: &str) -> Self {
        let message = format!("the check `{check}` on {output} failed: {}", self.message);
        let mut failure = Self::new("check_failed", message).with("check", check).with("output", output);
        failure.facts.extend(self.facts);
        failure
    }

    /// `{"code", "message", …facts}`; a fact never hides the first two.
    pub fn to_json(&self) -> serde_json::Value {
        let mut map = serde_json::Map::new();
        map.insert("code".into(), self.code.as_str().into());
        map.insert("message".into(), self.message.as_str().into());
        for (name, fact) in self.facts.iter() {
            map.entry(name.as_str()).or_insert_with(|| fact.to_json());
        }
        map.into()
    }
}
