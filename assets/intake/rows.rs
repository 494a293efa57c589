//! Rows of one file, gathered run by run into columns, and cut into slices with their hashes.

use super::run::Run;
use super::{delivered, run_id, run_partition};
use crate::columns::RUN;
use assets_core::{AssetName, Partition, Reason, cores, key};
use assets_frames::DataFrame;
use assets_frames::intake::cell::{Cells, Delivered};
use assets_frames::intake::time::{self, Parser};
use assets_frames::intake::{Parsed, ROW_BYTES, Slicing, TakeRows};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// What decides how a file is read.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// For times without a zone.
    pub timezone: Option<chrono_tz::Tz>,
    /// Further columns that are kept.
    pub attributes: Vec<String>,
    /// Spellings of run ids that mean another.
    pub aliases: BTreeMap<String, String>,
}

/// One delivered row.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) time: Delivered<'a>,
    pub(super) value: Delivered<'a>,
    pub(super) field: &'a str,
    pub(super) robot: Delivered<'a>,
    pub(super) run: Delivered<'a>,
    pub(super) sensor: &'a str,
}

/// Delivered rows as columns of cells.
pub(super) struct Columns<'a> {
    pub(super) time: Cells<'a>,
    pub(super) value: Cells<'a>,
    pub(super) field: Cells<'a>,
    pub(super) robot: Cells<'a>,
    pub(super) run: Cells<'a>,
    pub(super) sensor: Cells<'a>,
    /// `None`: the file has no such column.
    pub(super) attributes: Vec<Option<Cells<'a>>>,
}

/// Rows of a run that are gathered as a piece.
const PIECE_ROWS: usize = 1 << 10;

/// Rows whose texts are worth being found by their codes.
const PLACES_ROWS: usize = 64;

/// Bytes of texts that are kept of some rows beside their values.
struct TextBytes {
    /// Of each row, once there are any.
    of_rows: Vec<usize>,
    rows: usize,
    all: usize,
    most: usize,
}

impl TextBytes {
    fn of(rows: usize) -> Self {
        Self { of_rows: Vec::new(), rows, all: 0, most: SURPLUS_MOST + rows * ROW_BYTES as usize }
    }

    /// False where it is more than any file may hold.
    fn add(&mut self, row: usize, bytes: usize) -> bool {
        if bytes > 0 {
            self.of_rows.resize(self.rows, 0);
            self.of_rows[row] += bytes;
            self.all += bytes;
        }
        self.all <= self.most
    }
}

/// Bytes of texts, beyond what a row takes, that a file may hold.
const SURPLUS_MOST: usize = 32 << 20;

/// The rows of one run that are gathered, and what is known of those before them.
struct Own {
    /// `None`: rows without a usable id.
    id: Option<String>,
    /// Those before `rows`, as they were gathered.
    before: Vec<Run>,
    rows: Run,
    slicing: Slicing<'static>,
    /// All of it, where it was cut at once.
    whole: Option<DataFrame>,
    /// Whether its rows are wanted.
    wanted: bool,
    /// Whether it had rows again after it seemed to be over.
    came_again: bool,
}

/// Who wants the rows of one run, batch by batch.
pub(super) struct Only<'a> {
    /// The run; `None`: rows without a usable id.
    pub(super) run: Option<String>,
    pub(super) each: &'a mut TakeRows<'a>,
}

/// Runs of which the rows are wanted; `None` among them: rows without a usable id.
pub(super) type Runs = BTreeSet<Option<String>>;

/// What became of a file's rows.
pub(super) struct Gathered {
    pub(super) parsed: Parsed,
    /// Runs that had rows again after they seemed to be over.
    pub(super) came_again: Runs,
    /// Bytes of texts that were kept beyond what a row takes.
    pub(super) surplus: usize,
}

/// What was gathered of some rows.
pub(super) struct Part {
    rows: u64,
    gathered: usize,
    no_zone: bool,
    imprecise: BTreeMap<String, u64>,
    runs: Vec<Own>,
}

/// Gathers rows.
pub(super) struct Gather<'a> {
    reading: &'a Reading,
    /// Rows that are gathered at once, at most: with more, none are held.
    most: usize,
    only: Option<Only<'a>>,
    among: Option<Arc<Runs>>,
    /// Whether a run is over when it has no rows in a batch: then nothing but its hashes is held of it.
    closes: bool,
    /// Rows that are gathered and not cut; one with long texts counts as several.
    gathered: usize,
    /// Bytes of texts that are kept beyond what a row takes.
    surplus: usize,
    /// Whether there were more than could be held.
    spilled: bool,
    runs: Vec<Own>,
    by_id: HashMap<String, usize>,
    last: Option<(String, usize)>,
    parser: Parser,
    /// The text of the last usual time, and that time: a sensor's fields share theirs.
    last_time: (String, i64),
    no_zone: bool,
    imprecise: BTreeMap<String, u64>,
    rows: u64,
}

impl<'a> Gather<'a> {
    pub(super) fn new(reading: &'a Reading, most: usize, only: Option<Only<'a>>) -> Self {
        Self {
            reading,
            most: most.max(1),
            closes: only.is_none(),
            only,
            among: None,
            gathered: 0,
            surplus: 0,
            spilled: false,
            runs: Vec::new(),
            by_id: HashMap::new(),
            last: None,
            parser: Parser::default(),
            last_time: Default::default(),
            no_zone: false,
            imprecise: BTreeMap::new(),
            rows: 0,
        }
    }

    /// The same for the rows of some runs alone.
    pub(super) fn among(self, runs: Option<Arc<Runs>>) -> Self {
        Self { among: runs, ..self }
    }

    /// The same where runs may have rows anywhere in the file, of whose long texts so many bytes were met before.
    pub(super) fn anywhere(self, surplus: usize) -> Self {
        Self { closes: false, surplus, ..self }
    }

    #[cfg(test)]
    pub(super) fn surplus(&self) -> usize {
        self.surplus
    }

    /// The runs whose rows are gathered, where not all are.
    pub(super) fn runs(&self) -> Option<Arc<Runs>> {
        self.among.clone()
    }

    /// Whether so many rows more can be held, so that they may be gathered elsewhere and added.
    pub(super) fn has_room(&self, rows: usize) -> bool {
        self.only.is_none() && !self.spilled && self.gathered + rows < self.most
    }

    /// What was gathered, to be added to the rows before; `None` where any took more than is foreseen.
    pub(super) fn into_part(self) -> Option<Part> {
        let Self { rows, gathered, surplus, no_zone, imprecise, runs, .. } = self;
        (surplus == 0).then_some(Part { rows, gathered, no_zone, imprecise, runs })
    }

    /// Adds what was gathered elsewhere of the rows that come next.
    pub(super) fn append(&mut self, later: Part) {
        self.rows += later.rows;
        self.gathered += later.gathered;
        self.no_zone |= later.no_zone;
        later.imprecise.into_iter().for_each(|(id, rows)| *self.imprecise.entry(id).or_default() += rows);
        for own in later.runs {
            let next = self.runs.len();
            let at = *self.by_id.entry(own.id.clone().unwrap_or_default()).or_insert(next);
            match self.runs.get_mut(at) {
                Some(known) => known.append(own, self.reading),
                None => self.runs.push(own),
            }
        }
    }

    /// The run of some rows, by their id as delivered.
    fn run_of(&mut self, cell: Delivered<'_>, rows: usize) -> usize {
        if let (Delivered::Text(text), Some((last, at))) = (cell, &self.last)
            && last == text
        {
            return *at;
        }
        let id = run_id::of_cell(cell);
        let (id, imprecise) = id.as_ref().map_or(("", false), |id| (id.id.as_ref(), id.imprecise));
        let id = self.reading.named(id).to_owned();
        if imprecise {
            *self.imprecise.entry(id.clone()).or_default() += rows as u64;
        }
        // Rows without a usable id share one place, whatever stands in it.
        let usable = key::usable_key(&id).is_ok();
        let place = if usable { id } else { String::new() };
        let next = self.runs.len();
        let at = *self.by_id.entry(place.clone()).or_insert(next);
        if at == next {
            let id = usable.then_some(place);
            let wanted = self.only.as_ref().is_none_or(|only| only.run == id)
                && self.among.as_ref().is_none_or(|runs| runs.contains(&id));
            let without: &[&str] = if usable { &[RUN] } else { &[] };
            let (rows, slicing) = (Run::new(self.reading), Slicing::new(without));
            let (before, whole) = Default::default();
            self.runs.push(Own { id, before, rows, slicing, whole, wanted, came_again: false });
        }
        if let (Delivered::Text(text), true, false) = (cell, usable, imprecise) {
            self.last = Some((text.to_owned(), at));
        }
        at
    }

    pub(super) fn push<'r>(&mut self, row: Row<'r>, attributes: impl Iterator<Item = &'r str>) {
        let Some(at) = self.wanted(row.run, 1) else { return };
        let time = self.time(row.time);
        let Own { id, rows: run, .. } = &mut self.runs[at];
        let mut text_bytes = run.push_time(time) + run.push_value(row.value) + run.push_robot(row.robot);
        text_bytes += run.field.push(row.field) + run.sensor.push(row.sensor);
        for (codes, text) in run.attributes.iter_mut().zip(attributes) {
            text_bytes += codes.push(text);
        }
        if id.is_none() {
            text_bytes += run.push_id(row.run);
        }
        self.gathered += 1;
        self.kept(text_bytes);
    }

    /// Adds rows, of each run a column after the other: most files have many of a run together. Where texts are long it may
    /// be some rows more than are gathered at once.
    pub(super) fn push_columns(&mut self, cells: &Columns<'_>, name: &str) -> Result<(), Reason> {
        let (rows, mut start) = (cells.run.len(), 0);
        while start < rows {
            let room = self.most.saturating_sub(self.gathered).max(1);
            let most = rows.min(start.saturating_add(room));
            let end = (start + 1..most).find(|at| !cells.run.is_same(*at, start)).unwrap_or(most);
            self.push_same(cells, start..end).ok_or_else(|| too_long(name))?;
            self.make_room(name)?;
            start = end;
        }
        Ok(())
    }

    /// Adds rows of one run; `None` where their texts are more than any file may hold.
    fn push_same(&mut self, cells: &Columns<'_>, rows: Range<usize>) -> Option<()> {
        let Some(at) = self.wanted(cells.run.get(rows.start), rows.len()) else { return Some(()) };
        let is_told = self.runs[at].id.is_none();
        self.runs[at].expect(rows.len(), self.reading);
        let mut run = std::mem::take(&mut self.runs[at].rows);
        let kept = self.push_cells(&mut run, cells, rows.clone(), is_told);
        self.runs[at].rows = run;
        self.gathered += rows.len();
        kept?.of_rows.into_iter().for_each(|bytes| self.kept(bytes));
        Some(())
    }

    /// What is kept of their texts.
    fn push_cells(
        &mut self,
        run: &mut Run,
        cells: &Columns<'_>,
        rows: Range<usize>,
        is_told: bool,
    ) -> Option<TextBytes> {
        let mut kept = TextBytes::of(rows.len());
        let mut each = |push: &mut dyn FnMut(usize) -> usize| {
            let mut all = rows.clone().enumerate();
            all.all(|(row, at)| kept.add(row, push(at))).then_some(())
        };
        each(&mut |at| run.push_time(self.time(cells.time.get(at))))?;
        each(&mut |at| run.push_value(cells.value.get(at)))?;
        each(&mut |at| run.push_robot(cells.robot.get(at)))?;
        let texts = [(&mut run.field, Some(&cells.field)), (&mut run.sensor, Some(&cells.sensor))];
        let attributes = run.attributes.iter_mut().zip(cells.attributes.iter().map(Option::as_ref));
        for (codes, cells) in texts.into_iter().chain(attributes) {
            // Of few rows the texts themselves are found as quickly.
            let mut places = (rows.len() >= PLACES_ROWS).then(Vec::new);
            each(&mut |at| match cells {
                Some(cells) => codes.push_cell(cells, at, places.as_mut()),
                None => codes.push(""),
            })?;
        }
        if is_told {
            each(&mut |at| run.push_id(cells.run.get(at)))?;
        }
        Some(kept)
    }

    /// The run of some rows, if they are to be gathered.
    fn wanted(&mut self, id: Delivered<'_>, rows: usize) -> Option<usize> {
        self.rows += rows as u64;
        let at = self.run_of(id, rows);
        let own = &mut self.runs[at];
        own.came_again |= own.slicing.is_closed();
        (own.wanted && !own.came_again).then_some(at)
    }

    /// Notes what was kept of a row's texts.
    fn kept(&mut self, text_bytes: usize) {
        // Hardly ever: what a row takes has room for the usual texts.
        if text_bytes > ROW_BYTES as usize {
            let surplus = text_bytes - ROW_BYTES as usize;
            self.surplus += surplus;
            self.gathered += surplus / ROW_BYTES as usize;
        }
    }

    fn time<'r>(&mut self, cell: Delivered<'r>) -> delivered::Typed<'r, i64> {
        let zone = self.reading.timezone.as_ref();
        let parsed = match cell {
            Delivered::Time(us) if time::in_calendar(us) => return (Some(us), None),
            Delivered::Local(us) if time::in_calendar(us) => time::in_zone(us, zone).unwrap_or(time::Parsed::Bad),
            Delivered::Text("") | Delivered::Null => return (None, None),
            Delivered::Text(text) if text == self.last_time.0 => return (Some(self.last_time.1), None),
            Delivered::Text(text) => self.parser.parse(text, zone),
            _ => time::Parsed::Bad,
        };
        match parsed {
            time::Parsed::Time { us, usual: true } => {
                if let Delivered::Text(text) = cell {
                    self.last_time.0.clear();
                    self.last_time.0.push_str(text);
                    self.last_time.1 = us;
                }
                (Some(us), None)
            }
            time::Parsed::Time { us, .. } if time::in_calendar(us) => (Some(us), cell.text()),
            time::Parsed::Time { .. } | time::Parsed::Bad => (None, cell.text()),
            time::Parsed::NoZone => {
                self.no_zone = true;
                (None, cell.text())
            }
        }
    }

    /// Cuts what was gathered into slices. Of runs that had rows again after they seemed to be over there are none: they are
    /// to be read anywhere in the file.
    pub(super) fn finish(mut self, name: &str, raw: &AssetName, rejects: &AssetName) -> Result<Gathered, Reason> {
        if self.no_zone {
            let message = format!("{name} holds times without a zone: set `timezone` in assets.toml, such as \"UTC\"");
            return Err(Reason::new("timezone_needed", message).with("path", name));
        }
        if self.rows == 0 && self.only.is_none() && self.among.is_none() {
            return Err(Reason::new("no_rows", format!("{name} has a header but no rows")).with("path", name));
        }
        let warnings = self.imprecise.iter().map(|(id, rows)| {
            let message = format!(
                "{name}: the run id {id} was delivered as a float beyond 2^53: different runs may have become one"
            );
            Reason::new("imprecise_run_id", message).with("path", name).with("run", id.as_str()).with("rows", *rows)
        });
        let warnings = warnings.collect();
        self.cut(true)?;
        let came_again = self.runs.iter().filter(|own| own.came_again).map(|own| own.id.clone()).collect();
        let slices = self.runs.into_iter().filter(|own| own.wanted && !own.came_again).map(|own| match own.id {
            Some(id) => (own.slicing.finish(raw, run_partition(&id)), own.whole),
            None => (own.slicing.finish(rejects, Partition::none()), own.whole),
        });
        let mut slices: Vec<_> = slices.collect();
        slices.sort_by(|(a, _), (b, _)| a.partition.cmp(&b.partition));
        Ok(Gathered { parsed: Parsed { slices, warnings, taken: None }, came_again, surplus: self.surplus })
    }
}

impl Gather<'_> {
    /// Cuts what is gathered where it is as much as is wanted at once.
    ///
    /// Refuses a file of long texts: they stay in the tables of its rows, whose memory is foreseen by the row, and a few
    /// kilobytes of Parquet can hold any number of them.
    pub(super) fn make_room(&mut self, name: &str) -> Result<(), Reason> {
        if self.surplus > SURPLUS_MOST {
            return Err(too_long(name));
        }
        if self.gathered < self.most {
            return Ok(());
        }
        self.spilled = true;
        self.cut(false)
    }

    /// Hashes what is gathered, several runs at a time, and holds it if that is all there is; else gives it to who wants
    /// it.
    fn cut(&mut self, is_last: bool) -> Result<(), Reason> {
        self.gathered = 0;
        if self.closes && self.spilled {
            let is_over = |own: &&mut Own| own.wanted && own.id.is_some() && own.count() == 0;
            self.runs.iter_mut().filter(is_over).for_each(|own| own.slicing.close());
        }
        let (reading, hold) = (self.reading, !self.spilled && self.only.is_none());
        let runs = self.runs.iter_mut().filter(|own| own.wanted && own.count() > 0);
        if let Some(only) = &mut self.only {
            for own in runs {
                (only.each)(own.cut(reading)?)?;
            }
            return Ok(());
        }
        let mut left: Vec<&mut Own> = runs.collect();
        // The long ones first: none is left to be cut alone.
        left.sort_by_key(|own| std::cmp::Reverse(own.count()));
        let width = cores::at_once().min(left.len());
        let left = Mutex::new(left.into_iter());
        let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
        let all = || {
            while let Some(own) = next() {
                let frame = own.cut(reading)?;
                own.whole = hold.then_some(frame);
                if is_last {
                    own.slicing.close();
                }
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..width).map(|_| scope.spawn(all)).collect();
            // A panic goes on where it would have without threads.
            let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            threads.into_iter().try_for_each(join)
        })
    }
}

fn too_long(name: &str) -> Reason {
    let message = format!(
        "{name} has more than {} MiB of texts too long for cells of telemetry; is it another kind of file?",
        SURPLUS_MOST >> 20
    );
    Reason::new("texts_too_long", message).with("path", name)
}

impl Own {
    fn count(&self) -> usize {
        self.before.iter().map(Run::count).sum::<usize>() + self.rows.count()
    }

    /// Makes room for rows that come next: many are a piece of their own, as columns that grow are copied again and again.
    fn expect(&mut self, rows: usize, reading: &Reading) {
        if rows >= PIECE_ROWS {
            let now = std::mem::replace(&mut self.rows, Run::new(reading));
            self.before.extend(Some(now).filter(|rows| rows.count() > 0));
            self.rows.reserve(rows);
        }
    }

    /// Adds what was gathered elsewhere of the rows that come next. They are put together where they are cut, several runs
    /// at a time.
    fn append(&mut self, later: Self, reading: &Reading) {
        let now = std::mem::replace(&mut self.rows, Run::new(reading));
        let all = std::iter::once(now).chain(later.before).chain([later.rows]);
        self.before.extend(all.filter(|rows| rows.count() > 0));
    }

    /// What is gathered as rows of its table; nothing is gathered any more.
    fn cut(&mut self, reading: &Reading) -> Result<DataFrame, Reason> {
        let last = std::mem::replace(&mut self.rows, Run::new(reading));
        let rows = Run::joined(std::mem::take(&mut self.before), last);
        let frame = match &self.id {
            Some(id) => rows.raw_frame(id, &reading.attributes)?,
            None => rows.rejects_frame()?,
        };
        self.slicing.add(&frame)?;
        Ok(frame)
    }
}
