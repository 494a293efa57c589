//! `assets diff`: what differs between two versions of one table, and why. Columns with equal content hashes are not
//! read; the others one by one, so that no more than two columns and the rows' keys are in memory.

mod version;
mod view;

use crate::app::{App, Failure};
use crate::args::{DiffArgs, Global};
use crate::out::Out;
use crate::session::Session;
use crate::verbs::history::{declared, never_made, records};
use assets_core::compare::{self, Alignment, Change, ColumnChange, Keys, ValueChanges};
use assets_core::freshness;
use assets_core::record::{OutputRecord, Stored};
use assets_core::table::Values;
use assets_core::{Kind, OutputDecl, Reason, RecordId, Step, StepRecord};
use std::sync::Arc;

/// A version of the table.
struct Version<'a> {
    id: &'a RecordId,
    record: &'a Arc<StepRecord>,
    output: &'a OutputRecord,
}

/// All that differs.
struct Diff<'a> {
    step: &'a Step,
    from: Version<'a>,
    to: Version<'a>,
    /// What went in differently.
    reasons: Vec<Reason>,
    columns: Vec<Column>,
    /// Which row is which; a reason where that can't be known.
    alignment: Result<Alignment, Reason>,
    /// Other outputs of the step that differ, too.
    also: Vec<String>,
}

/// A column, with its values where it was read.
struct Column {
    change: ColumnChange,
    values: Option<Result<Compared, Reason>>,
}

/// The values of a column in both versions.
struct Compared {
    changes: ValueChanges,
    first: Option<First>,
}

/// The first row that differs.
struct First {
    /// From 0.
    rows: (usize, usize),
    time_us: Option<i64>,
    slice: Option<String>,
    /// The two values, a column of one row each.
    was: Values,
    is: Values,
}

pub(crate) fn run(app: &dyn App, out: &Out, global: &Global, args: &DiffArgs) -> Result<u8, Failure> {
    let session = Session::recorded(app, global)?;
    let step = session.recorded_step(&args.step.asset, args.step.run.as_deref())?;
    let past = session.reader.records().history(&step)?;
    let graph = session.project.graph();
    let Some(decl) = graph.output(&args.step.asset) else { return Err(never_made(&step)) };
    let versions: Vec<Version<'_>> = records(&past)
        .filter_map(|(id, record)| Some(Version { id, record, output: record.output(&decl.name)? }))
        .collect();
    if versions.is_empty() {
        return Err(never_made(&step));
    }
    let (from, to) = version::choose(&step, &versions, args.from.as_deref(), args.to.as_deref())?;
    let diff = diff(&session, &step, decl, version(&versions, from), version(&versions, to));
    if out.json {
        out.json(&view::json(&diff));
    } else {
        view::text(out, graph, &diff);
    }
    Ok(0)
}

fn version<'a>(versions: &[Version<'a>], at: usize) -> Version<'a> {
    let Version { id, record, output } = &versions[at];
    Version { id, record, output }
}

fn diff<'a>(session: &Session, step: &'a Step, decl: &OutputDecl, from: Version<'a>, to: Version<'a>) -> Diff<'a> {
    let order = declared(session.project.graph(), &decl.name);
    let changes = compare::columns(from.output, to.output, &order);
    let reader = Reader { session, decl, from: &from, to: &to };
    let differs = changes.iter().any(|column| column.change == Change::Changed);
    let keys = if differs { reader.keys(&changes) } else { Ok(None) };
    let alignment = keys.as_ref().map_err(Clone::clone).map(|keys| match keys {
        Some((before, after)) => Alignment::by_keys(before, after),
        None => Alignment::by_number(rows(from.output), rows(to.output)),
    });
    let columns = changes.into_iter().map(|change| {
        let values = (change.change == Change::Changed).then(|| {
            let alignment = alignment.as_ref().map_err(Clone::clone)?;
            let keys = keys.as_ref().ok().and_then(Option::as_ref);
            reader.column(&change.column, alignment, keys)
        });
        Column { change, values }
    });
    let columns = columns.collect();
    let reasons = freshness::differences(&from.record.recipe, &to.record.recipe);
    let also = to.record.outputs.iter().filter(|output| {
        let was = from.record.output(&output.name);
        output.name != decl.name && was.is_none_or(|was| was.parts != output.parts || was.rows != output.rows)
    });
    let also = also.map(|output| output.name.to_string()).collect();
    Diff { step, reasons, columns, alignment, also, from, to }
}

fn rows(output: &OutputRecord) -> usize {
    usize::try_from(output.rows).unwrap_or(usize::MAX)
}

/// Reads columns of both versions.
struct Reader<'a> {
    session: &'a Session,
    decl: &'a OutputDecl,
    from: &'a Version<'a>,
    to: &'a Version<'a>,
}

impl Reader<'_> {
    /// What identifies rows in both versions; `None` where every row has kept its number.
    fn keys(&self, changes: &[ColumnChange]) -> Result<Option<(Keys, Keys)>, Reason> {
        self.both_are_there()?;
        // Times of a few rows a partition are values as others are, not what its rows are known by.
        let time = self.decl.columns.iter().find(|column| column.kind == Kind::Time && !self.decl.packed);
        let time = time.map(|column| column.name.as_str());
        let both = |change: &Change| matches!(change, Change::Equal | Change::Changed);
        let in_both = time.filter(|name| changes.iter().any(|c| c.column == *name && both(&c.change)));
        if self.decl.slice_key.is_empty() && in_both.is_none() {
            return Ok(None);
        }
        let read = |version: &Version<'_>| -> Result<Keys, Reason> {
            let slices = self.decl.slice_key.iter().map(|column| self.read(version, column));
            let slices = slices.collect::<Result<_, _>>()?;
            let time = in_both.map(|name| self.read(version, name)).transpose()?;
            Ok(Keys { slices, time, rows: rows(version.output) })
        };
        Ok(Some((read(self.from)?, read(self.to)?)))
    }

    fn both_are_there(&self) -> Result<(), Reason> {
        for version in [self.from, self.to] {
            let Stored::Object(object) = &version.output.stored else { continue };
            if !self.session.reader.tables().contains(object) {
                let generation = version.record.generation;
                let message = format!(
                    "the table of generation {generation} is not in the store any more: its values can't be compared"
                );
                let reason = Reason::new("lost_object", message).with("generation", generation);
                return Err(reason.with("object", object.to_string()));
            }
        }
        Ok(())
    }

    fn read(&self, version: &Version<'_>, column: &str) -> Result<Values, Reason> {
        let tables = self.session.reader.tables().as_ref();
        let table = self.session.project.read(tables, version.output, &[column.to_owned()], None);
        let table = table.map_err(|failure| failure.reason)?;
        table.columns.into_iter().next().map(|(_, values)| values).ok_or_else(|| {
            let message = format!("generation {} has no column {column}", version.record.generation);
            Reason::new("unknown_column", message).with("column", column)
        })
    }

    fn column(&self, name: &str, alignment: &Alignment, keys: Option<&(Keys, Keys)>) -> Result<Compared, Reason> {
        let (before, after) = (self.read(self.from, name)?, self.read(self.to, name)?);
        let Some(changes) = compare::values(&before, &after, alignment) else {
            let message = format!("the kind of {name} changed: its values can't be compared");
            return Err(Reason::new("kind_changed", message).with("column", name));
        };
        let first = changes.first.map(|(b, a)| First {
            rows: (b, a),
            time_us: keys.and_then(|(_, keys)| keys.time(a)),
            slice: keys.filter(|(_, keys)| !keys.slices.is_empty()).map(|(_, keys)| keys.slice(a)),
            was: before.row(b),
            is: after.row(a),
        });
        Ok(Compared { changes, first })
    }
}
