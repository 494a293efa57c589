//! Looks at the files that are listed: what is known of them where their stat says so, else what they hold now.

use super::limits::width;
use super::listing::{self, Listed, Listing, hash_file, is_old_enough, stat_of};
use super::{Intake, locked, reading, unreadable};
use assets_core::ledger::Ledger;
use assets_core::panics::caught;
use assets_core::record::{FileStat, SliceRecord, SourceRecord};
use assets_core::{ObjectId, Reason};
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::time::Duration;

/// How often a file that changes is read before it is left to the next build.
const READINGS_MOST: usize = 3;
/// Who writes a file may be done with it after that.
const PAUSE: Duration = Duration::from_millis(200);
const CHANGED: &str = "source_changed_while_reading";

/// What was found of a file.
pub(super) struct Found {
    stat: FileStat,
    content: ObjectId,
    /// As it was read, where that holds all of it.
    read: Option<SourceRecord>,
}

/// A file of so many bytes is worth a thread that hashes it.
const READ_BYTES: u64 = 1 << 20;

impl Intake {
    /// The record of a file: the known one where its stat says so, else read; again where it changed meanwhile.
    fn examine(&self, file: &Listed, known: Option<&SourceRecord>, rehash: bool) -> SourceRecord {
        let look = || self.look(file, known, rehash);
        let has_changed = |record: &SourceRecord| record.problem.as_ref().is_some_and(|p| p.code == CHANGED);
        let mut record = look();
        for _ in 1..READINGS_MOST {
            if !has_changed(&record) {
                break;
            }
            std::thread::sleep(PAUSE);
            record = look();
        }
        record
    }

    fn look(&self, file: &Listed, known: Option<&SourceRecord>, rehash: bool) -> SourceRecord {
        let reading = self.readings(file);
        let stat = match fs::metadata(&file.path) {
            Ok(metadata) if metadata.is_file() => stat_of(&metadata),
            // Opening a pipe would wait for whoever writes into it, for ever.
            Ok(_) => return self.unreadable(file, known, no_file(&file.name)),
            Err(error) => return self.unreadable(file, known, unreadable(&file.name, &error)),
        };
        let same_reading = known.filter(|record| record.reading == reading && !self.limits.let_in(record));
        if let Some(record) = same_reading.filter(|record| !rehash && record.stat == Some(stat)) {
            return reading::with_note(&self.readers, &file.readers, record);
        }
        let trusted = is_old_enough(&stat).then_some(stat);
        let found = locked(&self.found).remove(&file.name).filter(|found| found.stat == stat && trusted.is_some());
        // A new file is read while it is hashed, where any write would show in its stat: else the hash could be that of
        // newer bytes than were read, and what was read would stay for good.
        let is_new = known.is_none() && found.is_none() && trusted.is_some() && stat.bytes > READ_BYTES && width() > 1;
        let (content, read) = match &found {
            Some(found) => (Ok(found.content), None),
            None if is_new => std::thread::scope(|scope| {
                let hash = scope.spawn(|| hash_file(&file.path));
                let read = self.read(file, known);
                (hash.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), Some(read))
            }),
            None => (hash_file(&file.path), None),
        };
        let content = match content {
            Ok(content) => content,
            Err(error) => return self.unreadable(file, known, unreadable(&file.name, &error)),
        };
        let find = |read| drop(locked(&self.found).insert(file.name.clone(), Found { stat, content, read }));
        if let Some(record) = same_reading.filter(|r| r.content == Some(content) && r.problem.is_none()) {
            let record = reading::with_note(&self.readers, &file.readers, record);
            find(None);
            return SourceRecord { stat: trusted, ..record };
        }
        if let Some(read) = found.and_then(|found| found.read).filter(|read| read.reading == reading) {
            return SourceRecord { stat: trusted, ..read };
        }
        match read.unwrap_or_else(|| self.read(file, known)) {
            Ok(read) => {
                let after = fs::metadata(&file.path).map(|metadata| stat_of(&metadata));
                if after.ok() != Some(stat) {
                    return self.unreadable(file, known, changed(&file.name));
                }
                let read = SourceRecord { stat: trusted, content: Some(content), reading, ..read };
                let is_ours =
                    |slice: &SliceRecord| self.reader_of(&slice.asset).is_some_and(|at| file.readers.contains(&at));
                find((read.problem.is_none() && read.slices.iter().all(is_ours)).then(|| read.clone()));
                read
            }
            Err(reason) => SourceRecord { stat: trusted, ..self.unreadable(file, known, reason) },
        }
    }

    /// Has every reader of a file read it. Where one can't, its slices stay as they were; where none can, it is an error.
    /// So do the slices of assets whose patterns no longer name the file: they are as good as vanished.
    fn read(&self, file: &Listed, known: Option<&SourceRecord>) -> Result<SourceRecord, Reason> {
        let limits = self.limits.shared_by(width());
        let (mut slices, mut warnings) = (Vec::new(), Vec::new());
        let mut failed: Option<(Reason, Vec<String>)> = None;
        let mut stay: BTreeSet<usize> = (0..self.readers.len()).filter(|at| !file.readers.contains(at)).collect();
        for at in &file.readers {
            let reader = self.readers[*at].reader.as_ref();
            match reader.read(&file.path, &file.name, &limits) {
                Ok(parsed) => {
                    slices.extend(parsed.slices.iter().map(|(slice, _)| slice.clone()));
                    warnings.extend(parsed.warnings);
                    self.note_if_large(*at, &file.name, &parsed.slices);
                    self.keep(&file.name, parsed.slices, parsed.taken.as_ref(), None);
                }
                Err(reason) if file.readers.len() == 1 => return Err(reason),
                Err(reason) => {
                    stay.insert(*at);
                    let (_, assets) = failed.get_or_insert_with(|| (reason, Vec::new()));
                    assets.extend(reader.assets().iter().map(ToString::to_string));
                }
            }
        }
        let before = known.into_iter().flat_map(|record| &record.slices);
        let stays = |slice: &&SliceRecord| self.reader_of(&slice.asset).is_some_and(|at| stay.contains(&at));
        slices.extend(before.filter(stays).cloned());
        let record = SourceRecord {
            path: file.name.clone(),
            stat: None,
            content: None,
            reading: self.readings(file),
            slices,
            problem: failed.map(|(reason, assets)| reason.with("assets", assets)),
            warnings,
            moved_to: None,
        };
        Ok(reading::noted(&self.readers, &file.readers, &stay, known, record))
    }

    /// A file that can't be read keeps the slices it had: their steps fail until it can, and nothing is forgotten.
    fn unreadable(&self, file: &Listed, known: Option<&SourceRecord>, reason: Reason) -> SourceRecord {
        SourceRecord {
            path: file.name.clone(),
            stat: None,
            content: known.and_then(|record| record.content),
            reading: self.readings(file),
            slices: known.map(|record| record.slices.clone()).unwrap_or_default(),
            problem: Some(reason),
            warnings: reading::kept(known),
            moved_to: None,
        }
    }

    /// Lists the sources, and examines what is listed.
    pub(super) fn examine_listed(&self, known: &Ledger, rehash: bool) -> Result<(Listing, Vec<SourceRecord>), Reason> {
        let look = || {
            let listing = listing::list(&self.readers)?;
            let records = self.examine_all(&listing.files, known, rehash);
            Ok((listing, records))
        };
        let (listing, records) = look()?;
        // What was renamed between its listing and its reading is another file by now, and not one that can't be read.
        // A link to nowhere was that before.
        let is_gone =
            |file: &Listed| fs::symlink_metadata(&file.path).is_err_and(|error| error.kind() == ErrorKind::NotFound);
        let mut problems = listing.files.iter().zip(&records).filter(|(_, record)| record.problem.is_some());
        if problems.any(|(file, _)| is_gone(file)) { look() } else { Ok((listing, records)) }
    }

    fn examine_all(&self, files: &[Listed], known: &Ledger, rehash: bool) -> Vec<SourceRecord> {
        let share = files.len().div_ceil(width().min(files.len().max(1))).max(1);
        let one = &|file: &Listed| {
            let known = known.sources().get(&file.name);
            // A file that breaks its reader is one that can't be read; its neighbours are none of its business.
            caught(|| self.examine(file, known, rehash)).unwrap_or_else(|_| {
                let message = format!("{} can't be read: it broke the reader, please report it", file.name);
                let reason = Reason::new("source_unreadable", message).with("path", file.name.as_str());
                self.unreadable(file, known, reason)
            })
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = files
                .chunks(share)
                .map(|chunk| scope.spawn(move || chunk.iter().map(one).collect::<Vec<_>>()))
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
        })
    }
}

pub(super) fn changed(name: &str) -> Reason {
    let message = format!("{name} changed while it was read: run the command again");
    Reason::new(CHANGED, message).with("path", name)
}

fn no_file(name: &str) -> Reason {
    unreadable(name, &"it is a pipe, socket or device and not a file")
}
