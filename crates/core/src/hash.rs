//! Hashing, in one module: BLAKE3, domain-tagged and length-prefixed, so that neither two fields nor two purposes can
//! run into each other. Golden digests in the tests pin every rule: changing one is a change of format.
//!
//! Not here: how a column's values are laid out for hashing (`content`).

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// A hash of `N` bytes; hexadecimal where people read it, bytes where programs do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest<const N: usize>([u8; N]);

impl<const N: usize> Digest<N> {
    /// Wraps bytes that came out of a hash.
    pub const fn from_bytes(bytes: [u8; N]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; N] {
        &self.0
    }

    /// The first eight hexadecimal digits, for people.
    pub fn short(&self) -> String {
        self.to_string()[..8].to_owned()
    }
}

impl<const N: usize> fmt::Display for Digest<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl<const N: usize> fmt::Debug for Digest<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The text is not a digest of the expected length in hexadecimal.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a hash of {1} hexadecimal digits")]
pub struct BadDigest(String, usize);

impl<const N: usize> FromStr for Digest<N> {
    type Err = BadDigest;

    fn from_str(text: &str) -> Result<Self, BadDigest> {
        let bad = || BadDigest(text.to_owned(), 2 * N);
        if text.len() != 2 * N || !text.is_ascii() {
            return Err(bad());
        }
        let mut bytes = [0; N];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| bad())?;
        }
        Ok(Self(bytes))
    }
}

impl<const N: usize> Serialize for Digest<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_bytes(&self.0) }
    }
}

impl<'de, const N: usize> Deserialize<'de> for Digest<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            text.parse().map_err(D::Error::custom)
        } else {
            let bytes = <&[u8]>::deserialize(deserializer)?;
            let bytes = bytes.try_into().map_err(|_| D::Error::custom("a hash of another length"))?;
            Ok(Self(bytes))
        }
    }
}

macro_rules! digest {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Digest<$bytes>);

        impl $name {
            /// The first eight hexadecimal digits, for people.
            pub fn short(&self) -> String {
                self.0.short()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = BadDigest;
            fn from_str(text: &str) -> Result<Self, BadDigest> {
                text.parse().map(Self)
            }
        }
    };
}

digest!(
    /// Of all that goes into a step or a column: what it computes, parameters, content hashes of the parts it reads.
    Fingerprint, 16
);
digest!(
    /// Of what came out, per part: logical values, whatever the file looks like.
    ContentHash, 16
);
digest!(
    /// Names one record by its content.
    RecordId, 16
);
digest!(
    /// Names an object by the hash of its bytes.
    ObjectId, 32
);

/// Fields are written with their lengths, so that no two sequences of them look alike.
macro_rules! fields {
    () => {
        /// Adds bytes with their length.
        pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
            self.add(&(bytes.len() as u64).to_le_bytes());
            self.add(bytes);
            self
        }

        /// Adds text with its length.
        pub fn text(&mut self, text: &str) -> &mut Self {
            self.bytes(text.as_bytes())
        }

        /// Adds a number.
        pub fn number(&mut self, number: u64) -> &mut Self {
            self.add(&number.to_le_bytes());
            self
        }

        /// Adds an optional text; absent differs from empty.
        pub fn optional(&mut self, text: Option<&str>) -> &mut Self {
            match text {
                Some(text) => self.number(1).text(text),
                None => self.number(0),
            }
        }
    };
}

/// Fields that go into several hashes, as each of them sees them.
#[derive(Debug, Clone, Default)]
pub struct Fields(Vec<u8>);

impl Fields {
    fields!();

    fn add(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

/// A hasher for one purpose.
pub struct Hasher {
    /// `None` until there are many bytes: of few, which is mostly all there are, the hash is taken at once.
    hasher: Option<Box<blake3::Hasher>>,
    /// Fields that are not hashed yet: many short ones at once cost a tenth of one by one.
    waiting: Vec<u8>,
}

/// Waiting bytes that are hashed.
const WAITING: usize = 8 * 1024;

impl Hasher {
    fields!();

    /// `domain` names the purpose and its version, such as `assets.fingerprint.1`.
    pub fn new(domain: &str) -> Self {
        let mut hasher = Self { hasher: None, waiting: Vec::with_capacity(1024) };
        hasher.text(domain);
        hasher
    }

    /// As a new one, in the memory that this one has.
    pub fn restart(&mut self, domain: &str) -> &mut Self {
        self.hasher = None;
        self.waiting.clear();
        self.text(domain)
    }

    fn add(&mut self, bytes: &[u8]) {
        if bytes.len() >= WAITING {
            // Many at once need not wait, nor be copied for it.
            self.hash_waiting().update(bytes);
            return;
        }
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= WAITING {
            self.hash_waiting();
        }
    }

    fn hash_waiting(&mut self) -> &mut blake3::Hasher {
        let hasher = self.hasher.get_or_insert_with(Box::default);
        hasher.update(&self.waiting);
        self.waiting.clear();
        hasher
    }

    /// Adds fields that were put together before.
    pub fn fields(&mut self, fields: &Fields) -> &mut Self {
        self.add(&fields.0);
        self
    }

    /// The hash of everything added, cut to `N` bytes (at most 32).
    pub fn finish<const N: usize>(&self) -> Digest<N> {
        let full = match &self.hasher {
            None => blake3::hash(&self.waiting),
            Some(hasher) => hasher.as_ref().clone().update(&self.waiting).finalize(),
        };
        let mut bytes = [0; N];
        bytes.copy_from_slice(&full.as_bytes()[..N]);
        Digest(bytes)
    }
}

/// Hashes a stream of bytes, such as a file's: plain BLAKE3, so that `b3sum` gives the same.
#[derive(Clone, Default)]
pub struct ByteHasher(blake3::Hasher);

impl ByteHasher {
    /// Adds bytes; how they are cut into calls does not matter.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of all bytes so far.
    pub fn finish(&self) -> ObjectId {
        ObjectId(Digest(*self.0.finalize().as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_do_not_run_into_each_other() {
        let one: Digest<16> = Hasher::new("t").text("v1").text("2abc").finish();
        let two: Digest<16> = Hasher::new("t").text("v12").text("abc").finish();
        assert_ne!(one, two);
        assert_ne!(Hasher::new("t").optional(None).finish::<16>(), Hasher::new("t").optional(Some("")).finish::<16>());
    }

    #[test]
    fn how_fields_are_cut_into_calls_does_not_matter() {
        for length in [0, 10, WAITING - 30, WAITING, 3 * WAITING] {
            let long = vec![7; length];
            let mut fields = Fields::default();
            fields.text("a").bytes(&long).optional(Some("b")).number(9);
            let (mut whole, mut parts) = (Hasher::new("t"), Hasher::new("t"));
            whole.number(1).text("a").bytes(&long).optional(Some("b")).number(9).text("end");
            parts.number(1).fields(&fields).text("end");
            assert_eq!(whole.finish::<16>(), parts.finish::<16>(), "{length}");
            parts.restart("t").number(1).fields(&fields).text("end");
            assert_eq!(whole.finish::<16>(), parts.finish::<16>(), "{length}");
            let mut plain = blake3::Hasher::new();
            for field in [&b"t"[..], b"a", &long] {
                plain.update(&(field.len() as u64).to_le_bytes()).update(field);
            }
            assert_eq!(
                Hasher::new("t").text("a").bytes(&long).finish::<32>().0,
                *plain.finalize().as_bytes(),
                "{length}"
            );
        }
    }

    #[test]
    fn golden_digests_pin_the_rules() {
        let digest: Digest<16> = Hasher::new("assets.test.1").text("a").number(7).bytes(&[1, 2]).finish();
        assert_eq!(digest.to_string(), "e491c6254853cbdda887ffb758701b72");
        let mut bytes = ByteHasher::default();
        bytes.update(b"abc");
        // The published BLAKE3 digest of "abc".
        assert_eq!(bytes.finish().to_string(), "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85");
    }

    #[test]
    fn text_form_round_trips() {
        let digest: Digest<16> = Hasher::new("t").finish();
        assert_eq!(digest.to_string().parse::<Digest<16>>().ok(), Some(digest));
        assert!("xyz".parse::<Digest<16>>().is_err());
    }
}
