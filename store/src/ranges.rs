//! Locks of the kernel on ranges of a file: they vanish with their process, however that ends, and need no byte to be
//! written. Where a range begins says what is locked; how long it is says which process has it, for whoever is refused.
//!
//! Linux has them per open file. Elsewhere one process at a time opens a store for writing, and nothing else is locked.

use std::fs::File;
use std::io;

/// What is locked: the file is cut into places, each as long as the largest process id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Place(pub(crate) u64);

/// Places are counted up to this.
pub(crate) const PLACES: u64 = 1 << 40;

/// Who may have it besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Others in this mode.
    Shared,
    /// Nobody.
    Alone,
}

#[cfg(target_os = "linux")]
mod system {
    use super::{Mode, PLACES, Place};
    use nix::fcntl::{FcntlArg, fcntl};
    use nix::libc;
    use std::fs::File;
    use std::io;

    const LENGTH: u64 = 1 << 22;

    fn range(kind: libc::c_int, place: Place, length: u64) -> libc::flock {
        let start = i64::try_from((place.0 % PLACES) * LENGTH).expect("62 bits");
        let length = i64::try_from(length.clamp(1, LENGTH)).expect("22 bits");
        // The kernel refuses ranges per open file that name a process.
        let kind = i16::try_from(kind).expect("one of three");
        libc::flock { l_type: kind, l_whence: 0, l_start: start, l_len: length, l_pid: 0 }
    }

    /// Takes a place, or changes the mode in which this file has it. The process that is in the way, if there is one.
    pub(crate) fn try_lock(file: &File, place: Place, mode: Mode) -> io::Result<Option<u32>> {
        let kind = if mode == Mode::Shared { libc::F_RDLCK } else { libc::F_WRLCK };
        let wanted = range(kind, place, u64::from(std::process::id()));
        for _ in 0..100 {
            match fcntl(file, FcntlArg::F_OFD_SETLK(&wanted)) {
                Ok(_) => return Ok(None),
                Err(nix::Error::EAGAIN | nix::Error::EACCES) => {}
                Err(error) => return Err(error.into()),
            }
            if let Some(process) = in_the_way(file, place, mode)? {
                return Ok(Some(process));
            }
        }
        Ok(Some(0))
    }

    /// The process that would be in the way. Asks only.
    pub(crate) fn in_the_way(file: &File, place: Place, mode: Mode) -> io::Result<Option<u32>> {
        let kind = if mode == Mode::Shared { libc::F_RDLCK } else { libc::F_WRLCK };
        let mut found = range(kind, place, 1);
        fcntl(file, FcntlArg::F_OFD_GETLK(&mut found))?;
        let is_free = i32::from(found.l_type) == libc::F_UNLCK;
        Ok((!is_free).then(|| u32::try_from(found.l_len).unwrap_or(0)))
    }

    /// Gives a place back.
    pub(crate) fn unlock(file: &File, place: Place) -> io::Result<()> {
        fcntl(file, FcntlArg::F_OFD_SETLK(&range(libc::F_UNLCK, place, LENGTH)))?;
        Ok(())
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::{Mode, Place};
    use std::fs::{File, TryLockError};
    use std::io;

    pub(crate) fn try_lock(file: &File, place: Place, _: Mode) -> io::Result<Option<u32>> {
        match if place.0 == 0 { file.try_lock() } else { Ok(()) } {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => Ok(Some(0)),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    pub(crate) fn in_the_way(_: &File, _: Place, _: Mode) -> io::Result<Option<u32>> {
        Ok(None)
    }

    pub(crate) fn unlock(file: &File, place: Place) -> io::Result<()> {
        if place.0 == 0 { file.unlock() } else { Ok(()) }
    }
}

/// Takes a place without waiting, or changes the mode in which this open file has it. The process that is in the way, if
/// there is one; 0 where it isn't known.
pub(crate) fn try_lock(file: &File, place: Place, mode: Mode) -> io::Result<Option<u32>> {
    system::try_lock(file, place, mode)
}

/// The process that would be in the way of taking a place.
pub(crate) fn in_the_way(file: &File, place: Place, mode: Mode) -> io::Result<Option<u32>> {
    system::in_the_way(file, place, mode)
}

/// Gives a place back. It goes with the open file as well.
pub(crate) fn unlock(file: &File, place: Place) -> io::Result<()> {
    system::unlock(file, place)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_had_by_one_or_shared_and_says_by_whom() {
        let folder = tempfile::tempdir().unwrap();
        let open = || {
            let mut options = File::options();
            options.read(true).write(true).create(true).truncate(false).open(folder.path().join("x")).unwrap()
        };
        let (one, two, this) = (open(), open(), Some(std::process::id()));
        let last = Place(PLACES - 1);
        assert_eq!(try_lock(&one, last, Mode::Alone).unwrap(), None);
        assert_eq!(try_lock(&two, last, Mode::Shared).unwrap(), this);
        assert_eq!(try_lock(&two, Place(PLACES - 2), Mode::Alone).unwrap(), None, "its neighbour is free");
        assert_eq!(try_lock(&one, last, Mode::Shared).unwrap(), None, "down");
        assert_eq!(try_lock(&two, last, Mode::Shared).unwrap(), None);
        assert_eq!(in_the_way(&two, last, Mode::Alone).unwrap(), this);
        unlock(&one, last).unwrap();
        assert_eq!(in_the_way(&two, last, Mode::Alone).unwrap(), None, "it is not in its own way");
        drop(two);
        assert_eq!(try_lock(&one, last, Mode::Alone).unwrap(), None);
    }
}
