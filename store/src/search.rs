//! Where the next good frame of a damaged segment begins. A place is believed only if its length fits, the entries in it
//! follow each other to its end, each with a version, and its checksum is right: text in a record never looks like that.

use crate::codec;
use crate::error::{StoreError, reading};
use crate::journal::{FRAME_HEADER_BYTES, MAX_FRAME_BYTES};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// The first place from `from` on where a good frame begins.
pub(crate) fn frame(path: &Path, from: u64) -> Result<Option<u64>, StoreError> {
    let mut file = File::open(path).map_err(reading(path))?;
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(from)).and_then(|_| file.read_to_end(&mut bytes)).map_err(reading(path))?;
    Ok((0..bytes.len()).find(|at| is_frame(&bytes[*at..])).map(|at| from + at as u64))
}

fn is_frame(bytes: &[u8]) -> bool {
    let header = FRAME_HEADER_BYTES as usize;
    let (Some(length), Some(crc)) = (number(bytes), bytes.get(4..).and_then(number)) else { return false };
    if length == 0 || u64::from(length) > MAX_FRAME_BYTES {
        return false;
    }
    let payload = bytes.get(header..).and_then(|rest| rest.get(..length as usize));
    payload.is_some_and(|payload| holds_entries(payload) && crc32fast::hash(payload) == crc)
}

fn holds_entries(payload: &[u8]) -> bool {
    let mut rest = payload;
    while let Some(length) = number(rest) {
        let Some((entry, after)) = rest[4..].split_at_checked(length as usize) else { return false };
        if entry.first() != Some(&codec::VERSION) {
            return false;
        }
        rest = after;
    }
    rest.is_empty()
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}
