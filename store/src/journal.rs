//! The truth: append-only segments `journal/<sequence>-<pid>.log`, one per writing process. A segment is a header of
//! eight bytes, then frames: length (u32 LE), CRC-32 of the payload (u32 LE), payload. One frame holds one batch, so that a
//! batch is there as a whole or not at all; in it each entry stands with its length (u32 LE).
//!
//! A bad frame is no error: at the end of a segment it is what a killed process or a power cut leaves, and nothing is
//! ever appended behind it, because every process writes a segment of its own. With good frames behind it, it is damage:
//! reading goes on at the next good one (`search`), so that a bad frame costs no more than itself.

use crate::codec::{self, CodecError, Wants};
use crate::compact;
use crate::error::{StoreError, reading, writing};
use crate::files::{Output, remove_if_there, sync_folder};
use crate::lock::failed;
use crate::ranges::{self, Mode};
use crate::search;
use crate::tail::ALIVE;
use assets_core::record::Entry;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

pub(crate) const MAGIC: &[u8; 8] = b"ASSETSJ1";
/// What every whole segment begins with.
pub(crate) const HEADER_BYTES: u64 = MAGIC.len() as u64;
pub(crate) const FRAME_HEADER_BYTES: u64 = 8;
pub(crate) const MAX_FRAME_BYTES: u64 = 256 << 20;

/// What a stretch of a segment that can't be read looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stretch {
    /// Its end, written only in part: what a killed process leaves. Nothing that was acknowledged is in it.
    Unfinished,
    /// Its end, and not what it was when it was written, or never whole after a power cut.
    BadEnd,
    /// Something damaged before good frames.
    Hole,
}

/// A stretch of a segment that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Torn {
    /// The segment's file name.
    pub segment: String,
    /// Where it begins.
    pub offset: u64,
    /// How many bytes are not read.
    pub bytes: u64,
    /// What it looks like.
    pub stretch: Stretch,
}

/// How far a segment is read: where its last good frame ends, and a checksum over those of all its good frames (0
/// before the first).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    pub(crate) offset: u64,
    pub(crate) crc: u32,
}

/// The segments of a journal by name (their names sort as their sequence), and how far each is whole.
pub(crate) type Ends = BTreeMap<String, End>;

/// Names a journal that is read up to `ends`: another one after every commit, and after every damage.
pub(crate) fn position(ends: &Ends) -> String {
    let bytes: u64 = ends.values().map(|end| end.offset).sum();
    let mut all = crc32fast::Hasher::new();
    ends.values().for_each(|end| all.update(&end.crc.to_le_bytes()));
    let (name, end) = ends.last_key_value().map(|(name, end)| (name.as_str(), *end)).unwrap_or_default();
    format!("{} segments, {bytes} bytes, {:08x}, {name} {}", ends.len(), all.finalize(), end.offset)
}

/// Names of the segments, in order, without those that a newer one has replaced. A journal that does not exist is empty.
pub(crate) fn segments(folder: &Path) -> Result<Vec<String>, StoreError> {
    let mut names = all_segments(folder)?;
    let replaced = compact::replaced(folder, &names)?;
    names.retain(|name| !replaced.contains(name));
    Ok(names)
}

/// All that are there, in order.
pub(crate) fn all_segments(folder: &Path) -> Result<Vec<String>, StoreError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(reading(folder)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(reading(folder))?;
        names.extend(entry.file_name().to_str().filter(|name| sequence(name).is_some()).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

/// The number in a segment's name; `None` for other files.
fn sequence(name: &str) -> Option<u64> {
    let (number, pid) = name.strip_suffix(".log")?.split_once('-')?;
    (number.len() == 20 && pid.parse::<u32>().is_ok()).then(|| number.parse().ok())?
}

/// The name of a segment of nobody's, behind all of these.
pub(crate) fn next_name(ends: &Ends) -> String {
    let last = ends.keys().next_back().and_then(|name| sequence(name)).unwrap_or(0);
    format!("{:020}-0.log", last + 1)
}

/// Reads every whole frame of every segment in order.
pub(crate) fn read(folder: &Path, each: &mut dyn FnMut(Entry)) -> Result<(Ends, Vec<Torn>), StoreError> {
    let (mut ends, mut torn) = (Ends::new(), Vec::new());
    for name in segments(folder)? {
        let mut frame = |entries: Vec<Entry>, _| {
            entries.into_iter().for_each(&mut *each);
            true
        };
        let (end, tail) = read_segment(folder, &name, &mut frame)?;
        torn.extend(tail);
        ends.insert(name, end);
    }
    Ok((ends, torn))
}

/// Reads the frames of one segment, giving each with where it ends, until `each` says false.
pub(crate) fn read_segment(
    folder: &Path,
    name: &str,
    each: &mut dyn FnMut(Vec<Entry>, End) -> bool,
) -> Result<(End, Vec<Torn>), StoreError> {
    read_from(folder, name, End::default(), &|_| true, each)
}

/// The same of what lies behind the end of a good frame, and of entries that are wanted.
pub(crate) fn read_from(
    folder: &Path,
    name: &str,
    from: End,
    wants: Wants<'_>,
    each: &mut dyn FnMut(Vec<Entry>, End) -> bool,
) -> Result<(End, Vec<Torn>), StoreError> {
    let path = folder.join(name);
    let file = File::open(&path).map_err(reading(&path))?;
    let length = file.metadata().map_err(reading(&path))?.len();
    let mut input = BufReader::with_capacity(1 << 16, file);
    let stretch = |offset, end, stretch| Torn { segment: name.to_owned(), offset, bytes: end - offset, stretch };
    let (mut torn, mut end) = (Vec::new(), from);
    if end.offset > 0 {
        input.seek(SeekFrom::Start(end.offset)).map_err(reading(&path))?;
    } else {
        end.offset = HEADER_BYTES;
        match check_header(&mut input, &path)? {
            Header::Good => {}
            Header::Unfinished => return Ok((End::default(), vec![stretch(0, length, Stretch::Unfinished)])),
            // With a frame behind it that is one of this version, the header is damaged; else it may be another version's.
            Header::Bad(error) => match (search::frame(&path, HEADER_BYTES)?, error) {
                (Some(next), _) => {
                    torn.push(stretch(0, next, Stretch::Hole));
                    end.offset = next;
                    input.seek(SeekFrom::Start(next)).map_err(reading(&path))?;
                }
                (None, Some(error)) => return Err(error),
                (None, None) => return Ok((End::default(), vec![stretch(0, length, Stretch::BadEnd)])),
            },
        }
    }
    while end.offset < length {
        let (payload, crc) = match read_frame(&mut input, length - end.offset, &path)? {
            Frame::Good(payload, crc) => (payload, crc),
            Frame::Bad(kind) => {
                // What was appended meanwhile is none of what is read here.
                let Some(next) = search::frame(&path, end.offset + 1)?.filter(|next| *next < length) else {
                    torn.push(stretch(end.offset, length, kind));
                    break;
                };
                torn.push(stretch(end.offset, next, Stretch::Hole));
                end.offset = next;
                input.seek(SeekFrom::Start(next)).map_err(reading(&path))?;
                continue;
            }
        };
        let entries = unpack(&payload, &path, end.offset, wants)?;
        end = end.after(payload.len() as u64, crc);
        if !each(entries, end) {
            break;
        }
    }
    Ok((end, torn))
}

impl End {
    /// The end of a frame that begins here.
    fn after(self, payload_bytes: u64, crc: u32) -> Self {
        let mut all = crc32fast::Hasher::new();
        all.update(&self.crc.to_le_bytes());
        all.update(&crc.to_le_bytes());
        // 0 says that there was no frame.
        Self { offset: self.offset + FRAME_HEADER_BYTES + payload_bytes, crc: all.finalize().max(1) }
    }
}

enum Header {
    Good,
    /// None, or the beginning of one: a process was killed right away.
    Unfinished,
    /// Another one: damaged, or, with the error, of another version.
    Bad(Option<StoreError>),
}

fn check_header(input: &mut impl Read, path: &Path) -> Result<Header, StoreError> {
    let mut header = [0; MAGIC.len()];
    if !fill(input, &mut header, path)? {
        return Ok(Header::Unfinished);
    }
    if header == *MAGIC {
        return Ok(Header::Good);
    }
    // A power cut may leave the length and not the bytes: zeros are no version.
    let (name, version) = (&header[..MAGIC.len() - 1], header[MAGIC.len() - 1]);
    if !MAGIC.starts_with(name) || !version.is_ascii_alphanumeric() {
        return Ok(Header::Bad(None));
    }
    let found = String::from_utf8_lossy(&header).into_owned();
    let expected = String::from_utf8_lossy(MAGIC).into_owned();
    Ok(Header::Bad(Some(StoreError::Format { path: path.to_owned(), found, expected })))
}

enum Frame {
    Good(Vec<u8>, u32),
    Bad(Stretch),
}

/// The next payload and its checksum, or what is there instead.
fn read_frame(input: &mut impl Read, remaining: u64, path: &Path) -> Result<Frame, StoreError> {
    let (mut length, mut crc) = ([0; 4], [0; 4]);
    if remaining < FRAME_HEADER_BYTES || !fill(input, &mut length, path)? || !fill(input, &mut crc, path)? {
        return Ok(Frame::Bad(Stretch::Unfinished));
    }
    let (length, crc) = (u64::from(u32::from_le_bytes(length)), u32::from_le_bytes(crc));
    // An empty payload has the checksum 0: a tail of zeros, which a power cut can leave, would look like frames.
    if length == 0 || length > MAX_FRAME_BYTES {
        return Ok(Frame::Bad(Stretch::BadEnd));
    }
    if length > remaining - FRAME_HEADER_BYTES {
        return Ok(Frame::Bad(Stretch::Unfinished));
    }
    let mut payload = vec![0; usize::try_from(length).expect("at most MAX_FRAME_BYTES")];
    let whole = fill(input, &mut payload, path)? && crc32fast::hash(&payload) == crc;
    Ok(if whole { Frame::Good(payload, crc) } else { Frame::Bad(Stretch::BadEnd) })
}

/// False where the file ends before.
fn fill(input: &mut impl Read, buffer: &mut [u8], path: &Path) -> Result<bool, StoreError> {
    match input.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(reading(path)(error)),
    }
}

fn unpack(payload: &[u8], path: &Path, offset: u64, wants: Wants<'_>) -> Result<Vec<Entry>, StoreError> {
    let malformed = |problem: String| StoreError::Malformed { path: path.to_owned(), offset, problem };
    let mut entries = Vec::new();
    let mut rest = payload;
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk().ok_or_else(|| malformed("half a length".into()))?;
        let length = u32::from_le_bytes(*length) as usize;
        let (entry, after) = after.split_at_checked(length).ok_or_else(|| malformed("half an entry".into()))?;
        rest = after;
        entries.extend(codec::decode_wanted(entry, wants).map_err(|error| match error {
            CodecError::Version(version) => StoreError::Format {
                path: path.to_owned(),
                found: format!("entry version {version}"),
                expected: format!("entry version {}", codec::VERSION),
            },
            error @ CodecError::Malformed(_) => malformed(error.to_string()),
        })?);
    }
    Ok(entries)
}

/// A batch as a frame with its checksum; the batch's size if it is too large for one.
fn frame(batch: &[Entry]) -> Result<(Vec<u8>, u32), usize> {
    let mut frame = vec![0; FRAME_HEADER_BYTES as usize];
    for entry in batch {
        let bytes = codec::encode(entry);
        let length = u32::try_from(bytes.len()).map_err(|_| bytes.len())?;
        frame.extend_from_slice(&length.to_le_bytes());
        frame.extend_from_slice(&bytes);
    }
    let payload = &frame[FRAME_HEADER_BYTES as usize..];
    let (length, crc) = (payload.len(), crc32fast::hash(payload));
    if length as u64 > MAX_FRAME_BYTES {
        return Err(length);
    }
    frame[..4].copy_from_slice(&u32::try_from(length).expect("at most MAX_FRAME_BYTES").to_le_bytes());
    frame[4..8].copy_from_slice(&crc.to_le_bytes());
    Ok((frame, crc))
}

/// Writes a batch behind what a new segment holds. Syncs nothing.
pub(crate) fn put(file: &mut Output, path: &Path, batch: &[Entry]) -> Result<(), StoreError> {
    if batch.is_empty() {
        return Ok(());
    }
    let (bytes, _) = frame(batch).map_err(|bytes| StoreError::TooLarge { path: path.to_owned(), bytes })?;
    file.write_all(&bytes).map_err(writing(path))
}

/// Appends to segments of its own.
pub(crate) struct Appender {
    folder: PathBuf,
    ends: Ends,
    own: BTreeSet<String>,
    next: u64,
    open: Option<(String, Output)>,
    broken: Option<PathBuf>,
}

impl Appender {
    /// Continues a journal that was read up to `ends`. Creates nothing yet.
    pub(crate) fn new(folder: &Path, ends: Ends) -> Self {
        let next = ends.keys().next_back().and_then(|name| sequence(name)).map_or(1, |last| last + 1);
        Self { folder: folder.to_owned(), ends, own: BTreeSet::new(), next, open: None, broken: None }
    }

    /// Whether this one made that segment.
    pub(crate) fn is_own(&self, name: &str) -> bool {
        self.own.contains(name)
    }

    /// Another process' segment was read that far.
    pub(crate) fn note(&mut self, name: &str, end: End) {
        self.ends.insert(name.to_owned(), end);
    }

    /// How far each segment is whole.
    pub(crate) fn ends(&self) -> &Ends {
        &self.ends
    }

    /// Writes no more to its segment: it is final from now on.
    pub(crate) fn close(&mut self) {
        self.open = None;
    }

    /// Appends a batch; when this returns, it is on disk. On failure nothing of it is read ever again.
    pub(crate) fn append(&mut self, batch: &[Entry]) -> Result<(String, End), StoreError> {
        if let Some(path) = &self.broken {
            return Err(StoreError::Broken { path: path.clone() });
        }
        let (bytes, crc) = frame(batch).map_err(|bytes| StoreError::TooLarge { path: self.folder.clone(), bytes })?;
        let (name, mut file) = match self.open.take() {
            Some(open) => open,
            None => self.create()?,
        };
        let path = self.folder.join(&name);
        let before = self.ends.get(&name).map_or(HEADER_BYTES, |end| end.offset);
        if let Err(error) = file.write_all(&bytes).and_then(|()| file.sync_data()) {
            // After a failed sync nobody knows what the disk has. The segment stays closed either way.
            if undo(&file, before).is_err() {
                self.broken = Some(path.clone());
            }
            return Err(writing(&path)(error));
        }
        let before = self.ends.get(&name).copied().unwrap_or(End { offset: MAGIC.len() as u64, crc: 0 });
        let end = before.after(bytes.len() as u64 - FRAME_HEADER_BYTES, crc);
        self.ends.insert(name.clone(), end);
        self.open = Some((name.clone(), file));
        Ok((name, end))
    }

    fn create(&mut self) -> Result<(String, Output), StoreError> {
        // Segments stand in the order of their first records, whoever writes them.
        let last = segments(&self.folder)?.last().and_then(|name| sequence(name)).unwrap_or(0);
        self.next = self.next.max(last + 1);
        let name = format!("{:020}-{}.log", self.next, std::process::id());
        let path = self.folder.join(&name);
        self.next += 1;
        let mut file = Output::new_log(&path).map_err(writing(&path))?;
        // Others go on reading it for as long as it is locked: before there is anything in it.
        let locked = ranges::try_lock(file.file(), ALIVE, Mode::Alone).map_err(|error| failed(&path, error));
        let header = |_| file.write_all(MAGIC).and_then(|()| file.sync_all()).map_err(writing(&path));
        let written = locked.and_then(header);
        if let Err(error) = written.and_then(|()| sync_folder(&self.folder)) {
            // An empty segment does no harm if it can't be removed.
            let _ = remove_if_there(&path);
            return Err(error);
        }
        self.own.insert(name.clone());
        Ok((name, file))
    }
}

fn undo(file: &Output, length: u64) -> io::Result<()> {
    file.set_len(length)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::{Fault, Probe};
    use assets_testkit::conformance::examples;

    fn all(folder: &Path) -> (Vec<Entry>, Vec<Torn>) {
        let mut entries = Vec::new();
        let (_, torn) = read(folder, &mut |entry| entries.push(entry)).unwrap();
        (entries, torn)
    }

    fn filled(folder: &Path, batches: &[&[Entry]]) -> (String, End) {
        let (ends, _) = read(folder, &mut |_| ()).unwrap();
        let mut appender = Appender::new(folder, ends);
        batches.iter().map(|batch| appender.append(batch).unwrap()).last().unwrap()
    }

    #[test]
    fn reading_stops_at_the_first_bad_frame_wherever_it_was_cut() {
        let entries = examples();
        let made = tempfile::tempdir().unwrap();
        let (name, _) = filled(made.path(), &[&entries[..2], &entries[2..]]);
        let bytes = fs::read(made.path().join(&name)).unwrap();
        let first = 8 + frame(&entries[..2]).unwrap().0.len();
        for cut in first..bytes.len() {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(&name), &bytes[..cut]).unwrap();
            let (found, torn) = all(folder.path());
            assert_eq!(found, entries[..2], "cut at {cut}");
            let bytes = (cut - first) as u64;
            let stretch = Stretch::Unfinished;
            let expected = Torn { segment: name.clone(), offset: first as u64, bytes, stretch };
            assert_eq!(torn, if cut == first { vec![] } else { vec![expected] });
            // The next process goes on in a segment of its own.
            filled(folder.path(), &[&entries[2..]]);
            assert_eq!(all(folder.path()).0, entries);
        }
    }

    #[test]
    fn a_flipped_bit_zeros_and_absurd_lengths_are_bad_frames() {
        let entries = examples();
        let folder = tempfile::tempdir().unwrap();
        let (name, end) = filled(folder.path(), &[&entries[..1], &entries[1..]]);
        let path = folder.path().join(&name);
        let good = fs::read(&path).unwrap();
        let mut flipped = good.clone();
        *flipped.last_mut().unwrap() ^= 1;
        fs::write(&path, flipped).unwrap();
        assert_eq!(all(folder.path()).0, entries[..1]);
        for tail in [&[0; 64][..], &[0xff; 64]] {
            fs::write(&path, [&good, tail].concat()).unwrap();
            let torn = Torn { segment: name.clone(), offset: end.offset, bytes: 64, stretch: Stretch::BadEnd };
            assert_eq!(all(folder.path()), (entries.clone(), vec![torn]));
        }
    }

    #[test]
    fn a_segment_of_another_version_is_refused_and_half_a_header_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("00000000000000000007-1.log");
        for torn in [b"ASSE".as_slice(), b"ASSETSJ\0", b"ASSETS\0\0\0\0\0\0"] {
            fs::write(&path, torn).unwrap();
            assert_eq!(all(folder.path()).1.len(), 1, "what a power cut may leave: {torn:?}");
        }
        assert!(filled(folder.path(), &[&examples()]).0.starts_with("00000000000000000008-"));
        fs::write(&path, b"ASSETSJ2").unwrap();
        let error = read(folder.path(), &mut |_| ()).unwrap_err();
        assert_eq!(error.code(), "store_format");
        assert!(error.to_string().contains("ASSETSJ2"), "{error}");
    }

    #[test]
    fn a_failed_append_leaves_nothing_and_says_so_for_good_if_it_could_not_be_undone() {
        let entries = examples();
        let folder = tempfile::tempdir().unwrap();
        let mut appender = Appender::new(folder.path(), Ends::new());
        let (name, end) = appender.append(&entries[..1]).unwrap();
        let path = folder.path().join(&name);
        // Part of a frame, then cut back.
        let probe = Probe::fail(folder.path(), Fault { at: 0, errno: 28, bytes: 3, lasting: false });
        assert_eq!(appender.append(&entries[1..]).unwrap_err().code(), "disk_full");
        drop(probe);
        assert_eq!(fs::metadata(&path).unwrap().len(), end.offset);
        assert_eq!(all(folder.path()), (entries[..1].to_vec(), vec![]));
        // A file that can be neither written nor cut.
        appender.append(&entries[1..2]).unwrap();
        let probe = Probe::fail(folder.path(), Fault { at: 0, errno: 5, bytes: 7, lasting: true });
        assert!(appender.append(&entries[2..]).is_err());
        drop(probe);
        assert_eq!(appender.append(&entries[1..]).unwrap_err().code(), "journal_broken");
        assert_eq!(all(folder.path()).0, entries[..2]);
    }

    #[test]
    fn a_damaged_frame_costs_itself_and_a_damaged_header_nothing() {
        let entries = examples();
        let folder = tempfile::tempdir().unwrap();
        let batches = [&entries[..1], &entries[1..3], &entries[3..]];
        let (name, _) = filled(folder.path(), &batches);
        let path = folder.path().join(&name);
        let good = fs::read(&path).unwrap();
        let starts = [8, 8 + frame(batches[0]).unwrap().0.len(), good.len() - frame(batches[2]).unwrap().0.len()];
        let mut all_ends = std::collections::HashSet::new();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x40;
            fs::write(&path, &bad).unwrap();
            let hit = starts.iter().rposition(|start| at >= *start);
            let left = batches.iter().enumerate().filter(|(i, _)| Some(*i) != hit).flat_map(|(_, b)| b.iter().cloned());
            let mut found = Vec::new();
            let (ends, torn) = read(folder.path(), &mut |entry| found.push(entry)).unwrap();
            assert_eq!(found, left.collect::<Vec<_>>(), "byte {at}");
            assert_eq!(torn.len(), 1, "byte {at}");
            all_ends.insert((hit, ends[&name].crc));
        }
        assert_eq!(all_ends.len(), 4, "what was folded with a frame is told from what is read without it");
    }
}
