//! What was made of tables alone, for the next step that reads the same ones: the steps of a run follow each other, and most
//! begin with the same samples.

use assets_core::ObjectId;
use assets_core::hash::ByteHasher;
use assets_core::record::{OutputRecord, Stored};
use std::any::Any;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The tables, and what was made of them.
type Key = (Vec<ObjectId>, &'static str);

/// What is made of tables, by what is stored of them.
pub(crate) fn key<'a>(tables: impl IntoIterator<Item = &'a OutputRecord>, what: &'static str) -> Key {
    let stored = |output: &OutputRecord| match &output.stored {
        Stored::Object(object) => *object,
        Stored::Inline(rows) => {
            let mut hasher = ByteHasher::default();
            hasher.update(rows);
            hasher.finish()
        }
    };
    (tables.into_iter().map(stored).collect(), what)
}

struct Entry {
    key: Key,
    value: Arc<dyn Any + Send + Sync>,
    bytes: u64,
}

/// What is kept, the latest used last.
#[derive(Default)]
pub(crate) struct Kept {
    bytes_most: u64,
    entries: Mutex<VecDeque<Entry>>,
}

impl Kept {
    /// Keeps up to so many bytes.
    pub(crate) fn up_to(bytes_most: u64) -> Self {
        Self { bytes_most, entries: Mutex::default() }
    }

    fn entries(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get<T: Any + Send + Sync>(&self, key: &Key) -> Option<Arc<T>> {
        let mut entries = self.entries();
        let at = entries.iter().position(|entry| entry.key == *key)?;
        let entry = entries.remove(at)?;
        let value = Arc::clone(&entry.value);
        entries.push_back(entry);
        value.downcast().ok()
    }

    /// Keeps something, and lets go of what was used longest ago.
    pub(crate) fn put(&self, key: Key, value: Arc<dyn Any + Send + Sync>, bytes: u64) {
        if bytes > self.bytes_most {
            return;
        }
        let mut entries = self.entries();
        entries.retain(|entry| entry.key != key);
        entries.push_back(Entry { key, value, bytes });
        while entries.iter().map(|entry| entry.bytes).sum::<u64>() > self.bytes_most {
            entries.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, what: &'static str) -> Key {
        let mut hasher = ByteHasher::default();
        hasher.update(name.as_bytes());
        (vec![hasher.finish()], what)
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let kept = Kept::up_to(100);
        let has = |name: &str, what| kept.get::<u64>(&key(name, what)).map(|value| *value);
        for (value, name) in (0_u64..).zip(["a", "b", "c"]) {
            kept.put(key(name, "samples"), Arc::new(value), 30);
        }
        assert_eq!((has("a", "samples"), has("a", "axis"), has("d", "samples")), (Some(0), None, None));
        assert!(kept.get::<String>(&key("a", "samples")).is_none(), "it is of another type");
        kept.put(key("d", "samples"), Arc::new(3_u64), 40);
        assert_eq!(["a", "b", "c", "d"].map(|name| has(name, "samples")), [Some(0), None, Some(2), Some(3)]);
        kept.put(key("e", "samples"), Arc::new(4_u64), 101);
        assert_eq!((has("e", "samples"), has("d", "samples")), (None, Some(3)));
        let none = Kept::default();
        none.put(key("a", "samples"), Arc::new(0_u64), 1);
        assert!(none.get::<u64>(&key("a", "samples")).is_none());
    }
}
