//! Which files were seen to hold the bytes that their name speaks of: each is read through once, then known by its
//! device, inode, size and time of change, for as long as the process lives.

use assets_core::hash::{ByteHasher, ObjectId};
use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, PoisonError};

const BUFFER_BYTES: usize = 256 << 10;

/// Device, inode, size, and time of the last change of its bytes (not of its names: publishing links it).
type Stamp = (u64, u64, u64, i64, i64);

/// The files that passed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Checked(Arc<Mutex<HashMap<ObjectId, Stamp>>>);

fn stamp(metadata: &Metadata) -> Stamp {
    (metadata.dev(), metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}

impl Checked {
    /// This process has just written it.
    pub(crate) fn note(&self, object: &ObjectId, metadata: &Metadata) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(*object, stamp(metadata));
    }

    /// Whether a file holds an object's bytes. Leaves it at its beginning.
    pub(crate) fn holds(&self, mut file: &File, object: &ObjectId) -> io::Result<bool> {
        let found = stamp(&file.metadata()?);
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).get(object) == Some(&found) {
            return Ok(true);
        }
        let (mut hasher, mut buffer) = (ByteHasher::default(), vec![0; BUFFER_BYTES]);
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => hasher.update(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        file.rewind()?;
        if hasher.finish() != *object {
            return Ok(false);
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(*object, found);
        Ok(true)
    }
}
