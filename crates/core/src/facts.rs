//! Facts of a reason by name: one to five of them, and as many reasons as there are columns and runs. A tree has room for
//! eleven in its smallest node; this takes what is there. (Maps of this kind on crates.io make room for as many as bytes
//! from a damaged file say that there are.)

use crate::reason::Fact;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::ops::Index;

/// Facts by name, in the order of their names. Serialized as a map.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts(Vec<(String, Fact)>);

impl Facts {
    fn place(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.as_str().cmp(name))
    }

    /// The fact of that name.
    pub fn get(&self, name: &str) -> Option<&Fact> {
        self.place(name).ok().map(|at| &self.0[at].1)
    }

    /// Whether there is a fact of that name.
    pub fn contains_key(&self, name: &str) -> bool {
        self.place(name).is_ok()
    }

    /// Adds a fact, in place of the one of that name.
    pub fn insert(&mut self, name: String, fact: Fact) {
        match self.place(&name) {
            Ok(at) => self.0[at].1 = fact,
            Err(at) => {
                self.0.reserve_exact(1);
                self.0.insert(at, (name, fact));
            }
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of them with its name, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Fact)> {
        self.0.iter().map(|(name, fact)| (name, fact))
    }
}

impl Index<&str> for Facts {
    type Output = Fact;

    fn index(&self, name: &str) -> &Fact {
        self.get(name).expect("a fact of that name")
    }
}

impl Extend<(String, Fact)> for Facts {
    fn extend<T: IntoIterator<Item = (String, Fact)>>(&mut self, facts: T) {
        facts.into_iter().for_each(|(name, fact)| self.insert(name, fact));
    }
}

impl IntoIterator for Facts {
    type Item = (String, Fact);
    type IntoIter = std::vec::IntoIter<(String, Fact)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Serialize for Facts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Facts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(BTreeMap::deserialize(deserializer)?.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_as_a_tree_holds_them() {
        let names = ["b", "a", "", "c", "a", "bb", "b"];
        for first in 0..names.len() {
            let (mut facts, mut tree) = (Facts::default(), BTreeMap::new());
            for at in 0..names.len() {
                let (name, count) = (names[(first + at) % names.len()].to_owned(), Fact::Count(at as i64));
                facts.insert(name.clone(), count.clone());
                tree.insert(name, count);
                assert!(facts.iter().eq(tree.iter()), "{facts:?}");
                assert!(names.iter().all(|name| facts.get(name) == tree.get(*name)));
                let json = serde_json::to_string(&tree).expect("encodes");
                assert_eq!(serde_json::to_string(&facts).expect("encodes"), json);
                assert_eq!(serde_json::from_str::<Facts>(&json).expect("decodes"), facts);
            }
            assert!(!facts.contains_key("d") && facts.contains_key(""));
        }
        assert_eq!(serde_json::to_string(&Facts::default()).expect("encodes"), "{}");
    }
}
