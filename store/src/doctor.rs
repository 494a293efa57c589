//! What a store stands on: its file system and locks, rights, room, the clock, versions, its index. Looks only; the one
//! file it may write, where there is no store yet, is gone again.

use crate::journal;
use crate::lock;
use crate::pins;
use crate::ranges::{self, Mode, Place};
use crate::tips::Tips;
use assets_core::reason::plural;
use nix::sys::statvfs::{Statvfs, statvfs};
use nix::unistd::{AccessFlags, access};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How good or bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Warn,
    /// Something does not work.
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What: a stable word.
    pub check: &'static str,
    /// How it is.
    pub level: Level,
    /// A sentence.
    pub message: String,
    /// What to do about it.
    pub advice: Option<String>,
}

fn ok(check: &'static str, message: impl Into<String>) -> Finding {
    Finding { check, level: Level::Ok, message: message.into(), advice: None }
}

fn warn(check: &'static str, message: impl Into<String>, advice: &str) -> Finding {
    Finding { check, level: Level::Warn, message: message.into(), advice: Some(advice.to_owned()) }
}

fn bad(check: &'static str, message: impl Into<String>, advice: &str) -> Finding {
    Finding { level: Level::Bad, ..warn(check, message, advice) }
}

/// Where a lock is tried: no writer and no reader has it.
const TRIED: Place = Place(2);
const FEW_BYTES: u64 = 64 << 20;
const SOME_BYTES: u64 = 1 << 30;

/// Looks at everything that a store at `root` stands on.
pub fn examine(root: &Path) -> Vec<Finding> {
    let is_there = root.join("format").is_file() || root.join("journal").is_dir();
    // Where there is no store yet, it would be made here.
    let place = root.ancestors().find(|path| path.is_dir()).map(Path::to_owned);
    let place = place.unwrap_or_else(|| PathBuf::from("."));
    let mut findings = vec![store(root, is_there)];
    findings.push(file_system(&place));
    findings.push(locks(root, &place, is_there));
    findings.push(rights(root, &place));
    findings.extend(room(&place));
    findings.push(clock(root));
    if is_there {
        findings.push(index(root));
        findings.push(tips(root));
        findings.push(pinned(root));
        findings.push(at_work(root));
    }
    findings
}

/// The size of a store; 0 where it can't be read.
pub fn bytes(root: &Path) -> u64 {
    crate::gc::bytes_of(root).unwrap_or(0)
}

fn store(root: &Path, is_there: bool) -> Finding {
    let shown = root.display();
    if let Err(error) = crate::check_links(root).and_then(|()| crate::check_format(root)) {
        return bad("store", error.to_string(), "a store that this program can't read is never changed by it");
    }
    if !is_there {
        return ok("store", format!("there is no store at {shown} yet: the first build makes it"));
    }
    match journal::read(&root.join("journal"), &mut |_| ()) {
        Err(error) => bad("store", error.to_string(), "see the message; nothing is changed by reading"),
        Ok((ends, torn)) if torn.is_empty() || lock::writer(root).is_some() => {
            ok("store", format!("{shown}: {}, {} segments of journal, all whole", crate::FORMAT.trim(), ends.len()))
        }
        Ok((_, torn)) => {
            let bytes: u64 = torn.iter().map(|torn| torn.bytes).sum();
            let message = format!("{shown}: the ends of {} segments ({bytes} bytes) can't be read", torn.len());
            warn("store", message, "a killed process leaves this; all before it is read, and the next build goes on")
        }
    }
}

#[cfg(target_os = "linux")]
fn file_system(place: &Path) -> Finding {
    const CHECK: &str = "file_system";
    let advice = "put the store on a local disk: locks and renames can't be relied on over a network";
    let found = match nix::sys::statfs::statfs(place) {
        Ok(found) => found,
        Err(error) => return bad(CHECK, format!("{} can't be asked: {error}", place.display()), advice),
    };
    // The kernel's magic numbers are 32 bits wide, whatever carries them.
    let magic = found.filesystem_type().0 as u32;
    let (name, is_remote) = match magic {
        0xef53 => ("ext", false),
        0x5846_5342 => ("xfs", false),
        0x9123_683e => ("btrfs", false),
        0x2fc1_2fc1 => ("zfs", false),
        0xf2f5_2010 => ("f2fs", false),
        0x0102_1994 => ("tmpfs: it is gone when the machine stops", false),
        0x794c_7630 => ("overlay", false),
        0x6969 => ("nfs", true),
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => ("smb", true),
        0x0102_1997 => ("9p", true),
        0x6573_5546 => ("fuse", true),
        _ => return ok(CHECK, format!("{} is on a file system of type {magic:#x}", place.display())),
    };
    let message = format!("{} is on {name}", place.display());
    if is_remote { warn(CHECK, message, advice) } else { ok(CHECK, message) }
}

#[cfg(not(target_os = "linux"))]
fn file_system(place: &Path) -> Finding {
    ok("file_system", format!("{} can be asked", place.display()))
}

fn locks(root: &Path, place: &Path, is_there: bool) -> Finding {
    const CHECK: &str = "locks";
    let own = place.join(format!(".assets-doctor-{}", std::process::id()));
    let path = if is_there { root.join("journal/lock") } else { own.clone() };
    if !is_there && let Err(error) = File::create(&own) {
        return warn(CHECK, format!("could not be tried in {}: {error}", place.display()), "see `rights`");
    }
    let tried = File::open(&path).and_then(|one| {
        ranges::try_lock(&one, TRIED, Mode::Shared)?;
        ranges::in_the_way(&File::open(&path)?, TRIED, Mode::Alone)
    });
    if !is_there {
        // Nobody needs it.
        let _ = fs::remove_file(&own);
    }
    let advice = "put the store on a local disk: builds refuse to write where two of them can't see each other";
    match tried {
        Ok(Some(_)) => ok(CHECK, "locks of the kernel work here: builds can share the store"),
        Ok(None) if cfg!(target_os = "linux") => bad(CHECK, "a lock was taken and is not seen by others", advice),
        Ok(None) => ok(CHECK, "one build at a time"),
        Err(error) => bad(CHECK, format!("{} can't be locked: {error}", path.display()), advice),
    }
}

fn rights(root: &Path, place: &Path) -> Finding {
    let names = ["journal", "objects", "tables", "tmp", "catalog", "logs"];
    let own = names.iter().map(|name| root.join(name)).filter(|path| path.is_dir());
    let folders: Vec<PathBuf> = std::iter::once(place.to_owned()).chain(own).collect();
    let lacks = |flags: AccessFlags| folders.iter().find(|path| access(path.as_path(), flags).is_err());
    if let Some(path) = lacks(AccessFlags::R_OK | AccessFlags::X_OK) {
        let advice = "ask its owner for the right to read it (chmod a+rX)";
        return bad("rights", format!("{} can't be read by this user", path.display()), advice);
    }
    match lacks(AccessFlags::W_OK) {
        None => ok("rights", "this user can read and write the store"),
        Some(path) => {
            let message =
                format!("{} can't be written by this user: questions are answered, nothing is built", path.display());
            warn("rights", message, "build as its owner, or set `store` to a folder of your own")
        }
    }
}

fn room(place: &Path) -> Vec<Finding> {
    let found = match statvfs(place) {
        Ok(found) => found,
        Err(error) => return vec![warn("space", format!("can't be asked: {error}"), "see `file_system`")],
    };
    vec![space(&found), inodes(&found)]
}

// The kernel's counts differ in width between systems.
#[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
fn space(found: &Statvfs) -> Finding {
    let size = found.fragment_size() as u64;
    let (free, all) = (found.blocks_available() as u64 * size, found.blocks() as u64 * size);
    let message = format!("{} of {} MB are free", free / 1_000_000, all / 1_000_000);
    let advice = "`assets gc` shows what can be removed";
    if free < FEW_BYTES {
        bad("space", message, advice)
    } else if free < SOME_BYTES || free < all / 20 {
        warn("space", message, advice)
    } else {
        ok("space", message)
    }
}

#[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
fn inodes(found: &Statvfs) -> Finding {
    let (free, all) = (found.files_available() as u64, found.files() as u64);
    let advice = "every table is a file: `assets gc` shows what can be removed";
    if all == 0 {
        return ok("inodes", "the number of files is not limited");
    }
    let message = format!("{free} of {all} files can still be made");
    match free {
        0..1000 => bad("inodes", message, advice),
        free if free < all / 20 => warn("inodes", message, advice),
        _ => ok("inodes", message),
    }
}

fn clock(root: &Path) -> Finding {
    let now = SystemTime::now();
    let names = journal::segments(&root.join("journal")).unwrap_or_default();
    let times = names.iter().filter_map(|name| fs::metadata(root.join("journal").join(name)).ok()?.modified().ok());
    match times.filter_map(|time| time.duration_since(now).ok()).max() {
        Some(ahead) if ahead > Duration::from_secs(2) => {
            let message = format!("the journal was written {} s in the future", ahead.as_secs());
            warn("clock", message, "set the clock; until then files look young, and `gc` keeps them")
        }
        _ => ok("clock", "nothing in the store comes from the future"),
    }
}

fn index(root: &Path) -> Finding {
    let state = fs::read_to_string(root.join("catalog/state")).unwrap_or_default();
    let state = state.lines().nth(1).unwrap_or_default();
    match state.split(' ').next() {
        Some("closed") => ok("index", "it was closed in good order"),
        Some("open") if lock::writer(root).is_some() => ok("index", "a build has it open"),
        Some("open") => ok("index", "a killed process had it open: the next build looks after it"),
        _ => ok("index", "there is none: it is made from the journal when a build asks for what was"),
    }
}

fn tips(root: &Path) -> Finding {
    if Tips::open(root).is_some() {
        ok("tips", "the snapshot of what is true now can be used")
    } else if root.join("tips").exists() {
        ok("tips", "the snapshot of what is true now is outdated: the journal is read, and a build replaces it")
    } else {
        ok("tips", "there is no snapshot of what is true now: the journal is read")
    }
}

fn pinned(root: &Path) -> Finding {
    match pins::read(root) {
        Ok(pins) if pins.is_empty() => ok("pins", "nothing is kept by name"),
        Ok(pins) => ok("pins", format!("{} can be read", plural(pins.len() as u64, "pin"))),
        Err(error) => bad("pins", error.to_string(), "until then `assets gc` removes nothing"),
    }
}

fn at_work(root: &Path) -> Finding {
    match lock::writer(root) {
        Some(holder) => ok("builds", format!("{holder} is at work")),
        None => ok("builds", "nobody is at work on the store"),
    }
}
