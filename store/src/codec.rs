//! How entries are written: a version byte, then postcard. Not the frame around them (`journal`).
//!
//! The in-memory types of core are encoded directly, so a change to one of them is a change of format: the golden
//! digest below fails then, `VERSION` goes up, and `decode` keeps a copy of the old types to read old entries with.

use assets_core::key::Step;
use assets_core::record::Entry;

/// The version that is written.
pub(crate) const VERSION: u8 = 1;

/// Why bytes are no entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CodecError {
    /// Written by a newer program.
    #[error("its version is {0}, and this program knows versions up to {VERSION}")]
    Version(u8),
    /// Not what an entry looks like.
    #[error("{0}")]
    Malformed(String),
}

/// An entry's bytes.
pub(crate) fn encode(entry: &Entry) -> Vec<u8> {
    postcard::to_extend(entry, vec![VERSION]).expect("plain data of known lengths always encodes")
}

/// The entry of these bytes, all of them.
pub(crate) fn decode(bytes: &[u8]) -> Result<Entry, CodecError> {
    let malformed = |problem: &str| CodecError::Malformed(problem.to_owned());
    match bytes.split_first() {
        None => Err(malformed("it is empty")),
        Some((&VERSION, body)) => match postcard::take_from_bytes(body) {
            Ok((entry, [])) => Ok(entry),
            Ok((_, rest)) => Err(CodecError::Malformed(format!("{} bytes are left over", rest.len()))),
            Err(error) => Err(CodecError::Malformed(error.to_string())),
        },
        Some((&version, _)) => Err(CodecError::Version(version)),
    }
}

/// What an entry is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    /// It is a record of a step, or of a failure of one.
    Step(Step),
    /// A build, or a source.
    Other,
}

/// Whether entries about something are wanted.
pub(crate) type Wants<'a> = &'a dyn Fn(&Subject) -> bool;

/// The entry of these bytes if it is wanted: of others most is not read.
pub(crate) fn decode_wanted(bytes: &[u8], wants: Wants<'_>) -> Result<Option<Entry>, CodecError> {
    if may_be_wanted(bytes, wants) { decode(bytes).map(Some) } else { Ok(None) }
}

fn may_be_wanted(bytes: &[u8], wants: Wants<'_>) -> bool {
    let subject = match bytes {
        // The variants `Step` and `Attempt`, which begin with their step.
        [VERSION, 1 | 2, body @ ..] => match postcard::take_from_bytes(body) {
            Ok((step, _)) => Subject::Step(step),
            Err(_) => return true,
        },
        [VERSION, ..] => Subject::Other,
        _ => return true,
    };
    wants(&subject)
}

#[cfg(test)]
mod tests {
    use super::*;
    use assets_core::hash::ByteHasher;
    use assets_testkit::conformance::examples;

    #[test]
    fn every_kind_of_entry_round_trips() {
        for entry in examples() {
            assert_eq!(decode(&encode(&entry)), Ok(entry));
        }
    }

    #[test]
    fn what_an_entry_is_about_is_told_from_its_beginning() {
        for entry in examples() {
            let expected = match &entry {
                Entry::Step(record) => Subject::Step(record.step.clone()),
                Entry::Attempt(attempt) => Subject::Step(attempt.step.clone()),
                Entry::Begin(_) | Entry::Source(_) | Entry::End(_) => Subject::Other,
            };
            let bytes = encode(&entry);
            assert!(may_be_wanted(&bytes, &|subject| *subject == expected), "{entry:?}");
            assert!(!may_be_wanted(&bytes, &|subject| *subject != expected), "{entry:?}");
        }
        assert!([&[][..], &[VERSION + 1, 1], &[VERSION, 1]].iter().all(|bad| may_be_wanted(bad, &|_| false)));
    }

    /// If this fails, the format on disk has changed: read the module's comment.
    #[test]
    fn golden_digests_pin_the_format() {
        let mut found = Vec::new();
        for entry in examples() {
            let mut hasher = ByteHasher::default();
            hasher.update(&encode(&entry));
            found.push(hasher.finish().0.short());
        }
        assert_eq!(found, ["41024b84", "9d8d1ecd", "c7f91f5a", "ddc01d16", "ef14069d"]);
    }

    #[test]
    fn what_is_no_entry_says_why() {
        let mut bytes = encode(&examples()[0]);
        assert_eq!(decode(&[]), Err(CodecError::Malformed("it is empty".into())));
        assert!(matches!(decode(&bytes[..bytes.len() - 1]), Err(CodecError::Malformed(_))));
        bytes.push(0);
        assert!(matches!(decode(&bytes), Err(CodecError::Malformed(_))));
        bytes[0] = VERSION + 1;
        assert_eq!(decode(&bytes), Err(CodecError::Version(VERSION + 1)));
    }
}
