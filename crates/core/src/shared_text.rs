//! Texts that many records say again: one copy of each is held.

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};
use std::borrow::Borrow;
use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// Different texts that a thread remembers: beyond that, they are none that are said again.
const REMEMBERED_MOST: usize = 4096;

thread_local! {
    static REMEMBERED: RefCell<HashSet<Arc<str>>> = RefCell::default();
}

/// The one copy of a text, as far as this thread has met it.
fn shared(text: &str) -> Arc<str> {
    REMEMBERED.with_borrow_mut(|known| {
        if let Some(text) = known.get(text) {
            return Arc::clone(text);
        }
        if known.len() >= REMEMBERED_MOST {
            known.clear();
        }
        let text: Arc<str> = text.into();
        known.insert(Arc::clone(&text));
        text
    })
}

/// A text of which many records hold the same copy: the name of a column, say.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SharedText(Arc<str>);

impl SharedText {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for SharedText {
    fn from(text: &str) -> Self {
        Self(shared(text))
    }
}

impl From<String> for SharedText {
    fn from(text: String) -> Self {
        Self(shared(&text))
    }
}

impl From<&String> for SharedText {
    fn from(text: &String) -> Self {
        Self(shared(text))
    }
}

impl Deref for SharedText {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for SharedText {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for SharedText {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for SharedText {
    fn eq(&self, other: &str) -> bool {
        *self.0 == *other
    }
}

impl PartialEq<&str> for SharedText {
    fn eq(&self, other: &&str) -> bool {
        *self.0 == **other
    }
}

impl PartialEq<String> for SharedText {
    fn eq(&self, other: &String) -> bool {
        *self.0 == **other
    }
}

impl fmt::Debug for SharedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for SharedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Serialize for SharedText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SharedText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = SharedText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<SharedText, E> {
                Ok(text.into())
            }
        }

        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_said_again_is_the_same_copy() {
        let (one, other): (SharedText, SharedText) = ("vx_1".into(), "vx_1".to_owned().into());
        assert!(Arc::ptr_eq(&one.0, &other.0));
        let text = serde_json::to_string(&one).expect("a text");
        let read: SharedText = serde_json::from_str(&text).expect("a text");
        assert!(text == "\"vx_1\"" && Arc::ptr_eq(&one.0, &read.0));
        (0..2 * REMEMBERED_MOST).for_each(|number| drop(SharedText::from(number.to_string())));
        assert!(REMEMBERED.with_borrow(HashSet::len) <= REMEMBERED_MOST);
    }
}
