//! Names: of assets, of partitions, of steps; and how a partition becomes a file name that can't leave its folder.

use crate::shared_text::SharedText;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// The name of an asset or of a further output: a lower-case identifier.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AssetName(SharedText);

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a name: use lower-case letters, digits and `_`, starting with a letter")]
pub struct BadName(String);

impl AssetName {
    /// Checks and wraps a name: it becomes a folder and a table of SQL, so it has to be an identifier.
    pub fn new(name: &str) -> Result<Self, BadName> {
        let mut chars = name.chars();
        let first = chars.next().is_some_and(|c| c.is_ascii_lowercase());
        let rest = chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if first && rest && name.len() <= 80 { Ok(Self(name.into())) } else { Err(BadName(name.to_owned())) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for AssetName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AssetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for AssetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What cuts an asset: nothing, or an ordered list of (dimension, key).
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Partition(Arc<[(Arc<str>, Arc<str>)]>);

/// Why a text can't be a partition key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnusableKey {
    /// Nothing but white space.
    #[error("it is blank")]
    Blank,
    /// More than 80 bytes.
    #[error("it has {0} bytes, more than 80")]
    TooLong(usize),
    /// `.` or `..`.
    #[error("it is `.` or `..`")]
    Dots,
    /// A control or format character.
    #[error("it holds the control or format character U+{0:04X}")]
    Invisible(u32),
}

/// Whether a text can be the name of a file as it is, and is nothing that a shell or a person would mistake: 1 to 80 letters,
/// digits, `.`, `_` or `-`, not beginning with `.` or `-`.
pub fn is_plain_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    (1..=80).contains(&text.len()) && !text.starts_with(['.', '-']) && text.chars().all(fits)
}

/// Checks a partition key: 1 to 80 bytes, no control or format characters, not blank, `.` or `..`.
pub fn usable_key(key: &str) -> Result<(), UnusableKey> {
    if key.trim().is_empty() {
        return Err(UnusableKey::Blank);
    }
    if key.len() > 80 {
        return Err(UnusableKey::TooLong(key.len()));
    }
    if key == "." || key == ".." {
        return Err(UnusableKey::Dots);
    }
    match key.chars().find(|c| c.is_control() || is_format(*c)) {
        Some(c) => Err(UnusableKey::Invisible(c.into())),
        None => Ok(()),
    }
}

/// Unicode's general category Cf, which std does not know: invisible characters that make two ids look alike.
fn is_format(c: char) -> bool {
    matches!(u32::from(c),
        0xAD | 0x600..=0x605 | 0x61C | 0x6DD | 0x70F | 0x890..=0x891 | 0x8E2 | 0x180E | 0x200B..=0x200F
        | 0x2028..=0x202E | 0x2060..=0x2064 | 0x2066..=0x206F | 0xFEFF | 0xFFF9..=0xFFFB | 0x110BD | 0x110CD
        | 0x13430..=0x1343F | 0x1BCA0..=0x1BCA3 | 0x1D173..=0x1D17A | 0xE0001 | 0xE0020..=0xE007F)
}

impl Partition {
    /// No partition.
    pub fn none() -> Self {
        Self::default()
    }

    /// One dimension with its key.
    pub fn one(dimension: &str, key: &str) -> Self {
        Self::many([(dimension, key)])
    }

    /// An ordered list of (dimension, key).
    pub fn many<'a>(keys: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self(keys.into_iter().map(|(d, k)| (d.into(), k.into())).collect())
    }

    /// True where nothing cuts the asset.
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// (dimension, key) in order.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(d, k)| (&**d, &**k))
    }

    /// The same keys in those dimensions and their order; `None` where it has no key for one of them.
    pub fn cut(&self, dimensions: &[String]) -> Option<Self> {
        let key = |dimension: &String| self.0.iter().find(|(own, _)| **own == **dimension).cloned();
        dimensions.iter().map(key).collect::<Option<Arc<[_]>>>().map(Self)
    }

    /// Whether it has all keys of another: the other is this one cut less finely.
    pub fn lies_in(&self, other: &Self) -> bool {
        other.0.iter().all(|key| self.0.contains(key))
    }

    /// What the command line calls it: the keys joined by `,`; `None` without a partition.
    pub fn run(&self) -> Option<String> {
        (!self.is_none()).then(|| self.keys().map(|(_, k)| k).collect::<Vec<_>>().join(","))
    }

    /// The published file's name without its ending: keys with anything but `[A-Za-z0-9._-]`, and a leading `.`,
    /// percent-encoded, joined by `,`; `all` without a partition.
    pub fn file_stem(&self) -> String {
        if self.is_none() {
            return "all".to_owned();
        }
        self.keys().map(|(_, key)| encode(key)).collect::<Vec<_>>().join(",")
    }
}

fn encode(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    for (i, byte) in key.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') || (byte == b'.' && i > 0);
        if plain {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.run().unwrap_or_else(|| "-".to_owned()))
    }
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// One (asset, partition): the unit of making.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Step {
    /// The asset.
    pub asset: AssetName,
    /// Its partition.
    pub partition: Partition,
}

impl Step {
    /// Puts the two together.
    pub fn new(asset: &AssetName, partition: &Partition) -> Self {
        Self { asset: asset.clone(), partition: partition.clone() }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.partition.run() {
            Some(run) => write!(f, "{} of {run}", self.asset),
            None => write!(f, "{}", self.asset),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_stay_in_their_folder() {
        let stem = |key| Partition::one("run", key).file_stem();
        assert_eq!(stem("007"), "007");
        assert_eq!(stem("../../x"), "%2E.%2F..%2Fx");
        assert_eq!(stem("a/b"), "a%2Fb");
        assert_eq!(stem("-rf"), "-rf");
        assert_eq!(stem("ä"), "%C3%A4");
        assert_eq!(Partition::many([("day", "1,2"), ("station", "x")]).file_stem(), "1%2C2,x");
        assert_eq!(Partition::none().file_stem(), "all");
    }

    #[test]
    fn keys_that_cannot_be_used_say_why() {
        assert_eq!(usable_key("007"), Ok(()));
        assert_eq!(usable_key("a/b"), Ok(()));
        assert_eq!(usable_key(" "), Err(UnusableKey::Blank));
        assert_eq!(usable_key(".."), Err(UnusableKey::Dots));
        assert_eq!(usable_key("a\0"), Err(UnusableKey::Invisible(0)));
        assert_eq!(usable_key("a\u{202e}b"), Err(UnusableKey::Invisible(0x202e)));
        assert_eq!(usable_key(&"x".repeat(81)), Err(UnusableKey::TooLong(81)));
    }

    #[test]
    fn partitions_are_cut_along_dimensions() {
        let fine = Partition::many([("day", "1"), ("station", "x")]);
        let dimensions = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(fine.cut(&dimensions(&["station"])), Some(Partition::one("station", "x")));
        assert_eq!(fine.cut(&dimensions(&["station", "day"])), Some(Partition::many([("station", "x"), ("day", "1")])));
        assert_eq!(fine.cut(&[]), Some(Partition::none()));
        assert_eq!(fine.cut(&dimensions(&["hour"])), None);
        assert!(fine.lies_in(&Partition::one("day", "1")) && !fine.lies_in(&Partition::one("day", "2")));
    }

    #[test]
    fn names_are_identifiers() {
        assert!(AssetName::new("wide_2").is_ok());
        for bad in ["", "Wide", "2x", "a/b", "..", "a b"] {
            assert!(AssetName::new(bad).is_err(), "{bad}");
        }
    }
}
