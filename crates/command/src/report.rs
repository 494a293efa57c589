//! What a command says of a step, and the tables it leaves: read, checked against what is declared, written as the
//! step's outputs.

use crate::asset::CommandAsset;
use crate::manifest::Files;
use assets_core::table::{Table, Values};
use assets_core::{ColumnDecl, Kind, OutputDecl, Reason, suggest};
use assets_frames::foreign::Foreign;
use assets_frames::{Column, DataFrame, Inputs, Outputs, columns, parquet, small};
use chrono::DateTime;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

/// A report: a file that one process a step may write, or a line of one for many.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Report {
    /// Which step: as its manifest calls it.
    pub(crate) step: String,
    /// Tables as rows, instead of Parquet files.
    rows: BTreeMap<String, Vec<Map<String, Value>>>,
    /// Why a column, `column` or `table.column`, is null throughout.
    unavailable: BTreeMap<String, String>,
    /// What a person should know.
    warnings: Vec<String>,
    /// Why there are no tables.
    error: Option<String>,
}

impl Report {
    /// A report from its text.
    pub(crate) fn parse(text: &str) -> Result<Self, Reason> {
        serde_json::from_str(text).map_err(|error| {
            let shown: String = text.chars().take(120).collect();
            let message = format!("what it reports is no report: `{}` ({error})", shown.trim_end());
            Reason::new("bad_report", message).with("line", shown)
        })
    }

    /// The report of a step that one process made; without a file it says nothing.
    pub(crate) fn of_file(path: &Path) -> Result<Self, Reason> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text),
            Err(_) => Ok(Self::default()),
        }
    }

    /// Writes all tables of the step.
    pub(crate) fn land(
        self,
        asset: &CommandAsset,
        files: &Files<'_>,
        inputs: &Inputs<'_>,
        outputs: &mut Outputs<'_>,
    ) -> Result<(), Reason> {
        if let Some(error) = self.error {
            return Err(Reason::new("reported_failure", error));
        }
        let names = || asset.outputs.iter().map(|output| output.name.as_str());
        if let Some(unknown) = self.rows.keys().find(|name| !names().any(|known| known == *name)) {
            let hint = suggest::hint(unknown, names());
            let message = format!("it reports rows of `{unknown}`, which is no table of {}{hint}", asset.name);
            return Err(Reason::new("bad_report", message).with("output", unknown.as_str()));
        }
        self.warnings.into_iter().for_each(|text| outputs.warn(Reason::new("command_warning", text)));
        let mut said = self.unavailable;
        for output in &asset.outputs {
            let frame = match self.rows.get(output.name.as_str()) {
                Some(_) if files.output(output).exists() => {
                    let message =
                        format!("it wrote {} as a file and reported rows of it: which are meant?", output.name);
                    return Err(Reason::new("bad_report", message).with("output", output.name.as_str()));
                }
                Some(rows) => of_rows(asset, output, rows)?,
                None => of_file(asset, output, &files.output(output), inputs)?,
            };
            let name = output.name.as_str();
            for column in frame.columns().iter().filter(|c| !c.is_empty() && c.null_count() == c.len()) {
                let text =
                    said.remove(&format!("{name}.{}", column.name())).or_else(|| said.remove(column.name().as_str()));
                let text =
                    text.unwrap_or_else(|| "the command left it empty in every row and did not say why".to_owned());
                outputs.unavailable(name, column.name(), Reason::new("null_by_command", text))?;
            }
            let keys = asset.keys.iter().map(|key| columns::constant_text(key, inputs.key(key), frame.height()));
            let all = keys.chain(frame.columns().iter().cloned()).collect();
            outputs.write(name, columns::frame(all)?)?;
        }
        match said.into_keys().next() {
            None => Ok(()),
            Some(column) => {
                let message = format!("it says why `{column}` is null throughout, and no column of that name is");
                Err(Reason::new("bad_report", message).with("column", column))
            }
        }
    }
}

fn wrong(output: &OutputDecl, column: &str, what: &str) -> Reason {
    let message = format!("the column `{column}` of {} {what}", output.name);
    Reason::new("wrong_schema", message).with("output", output.name.as_str()).with("column", column)
}

fn unknown(asset: &CommandAsset, output: &OutputDecl, column: &str) -> Reason {
    let hint = suggest::hint(column, asset.own_columns(output).map(|c| c.name.as_str()));
    wrong(output, column, &format!("is not declared{hint}"))
}

/// A table from rows of JSON, whose values have the declared types.
fn of_rows(asset: &CommandAsset, output: &OutputDecl, rows: &[Map<String, Value>]) -> Result<DataFrame, Reason> {
    let declared: Vec<&ColumnDecl> = asset.own_columns(output).collect();
    for row in rows {
        let is_known = |name: &str| declared.iter().any(|c| c.name == name) || asset.keys.iter().any(|key| key == name);
        if let Some(name) = row.keys().find(|name| !is_known(name)) {
            return Err(unknown(asset, output, name));
        }
    }
    let columns = declared.into_iter().map(|column| {
        let cells = rows.iter().enumerate().map(|(at, row)| match row.get(&column.name) {
            None => Err(wrong(output, &column.name, &format!("is missing in row {at}"))),
            Some(Value::Null) => Ok(None),
            Some(value) => Ok(Some(value)),
        });
        let cells: Vec<Option<&Value>> = cells.collect::<Result<_, _>>()?;
        Ok((column.name.clone(), typed(output, column, &cells)?))
    });
    small::from_table(&Table { columns: columns.collect::<Result<_, Reason>>()? })
}

fn typed(output: &OutputDecl, column: &ColumnDecl, cells: &[Option<&Value>]) -> Result<Values, Reason> {
    fn all<T>(
        cells: &[Option<&Value>],
        of: impl Fn(&Value) -> Option<T>,
        bad: impl Fn(&Value) -> Reason,
    ) -> Result<Vec<Option<T>>, Reason> {
        cells.iter().map(|cell| cell.map(|value| of(value).ok_or_else(|| bad(value))).transpose()).collect()
    }
    let bad =
        |value: &Value| wrong(output, &column.name, &format!("holds {value}, which is no {}", column.kind.name()));
    Ok(match column.kind {
        Kind::Float => Values::Float(all(cells, Value::as_f64, bad)?),
        Kind::Int => Values::Int(all(cells, Value::as_i64, bad)?),
        Kind::Text => Values::Text(all(cells, |value| value.as_str().map(str::to_owned), bad)?),
        Kind::Bool => Values::Bool(all(cells, Value::as_bool, bad)?),
        Kind::Time => Values::Time(all(cells, time, bad)?),
    })
}

/// Text with a zone or an offset.
fn time(value: &Value) -> Option<i64> {
    DateTime::parse_from_rfc3339(value.as_str()?).ok().map(|time| time.timestamp_micros())
}

/// A table from a Parquet file. Key columns may be there, if they say what the step's partition is.
fn of_file(asset: &CommandAsset, output: &OutputDecl, path: &Path, inputs: &Inputs<'_>) -> Result<DataFrame, Reason> {
    if !path.is_file() {
        let message = format!("it ended well but neither wrote {} nor reported its rows", output.name);
        return Err(Reason::new("nothing_written", message).with("output", output.name.as_str()));
    }
    let frame = Foreign::open(path).and_then(|file| file.read()).map_err(|error| {
        let message = format!("what it wrote as {} is no Parquet file that can be read: {error}", output.name);
        Reason::new("wrong_schema", message).with("output", output.name.as_str())
    })?;
    for column in frame.columns() {
        let name = column.name().as_str();
        let is_key = asset.keys.iter().any(|key| key == name);
        if is_key && !is_all(column, inputs.key(name)) {
            return Err(wrong(output, name, &format!("is not {:?} in every row", inputs.key(name))));
        }
        if !is_key && !asset.own_columns(output).any(|declared| declared.name == name) {
            return Err(unknown(asset, output, name));
        }
    }
    let mut all = Vec::new();
    for declared in asset.own_columns(output) {
        let name = declared.name.as_str();
        let column = frame.column(name).map_err(|_| wrong(output, name, "is missing"))?;
        let fits = match columns::kind(column.dtype()) {
            Some(kind) => {
                kind == declared.kind && !is_without_zone(column) || (kind, declared.kind) == (Kind::Int, Kind::Float)
            }
            None => column.null_count() == column.len(),
        };
        if !fits {
            let zone = if is_without_zone(column) { ", without a time zone" } else { "" };
            let what = format!("is {}{zone}, and declared as {}", column.dtype(), declared.kind.name());
            return Err(wrong(output, name, &what));
        }
        let conformed = columns::conform(column, declared.kind);
        let conformed = conformed.map_err(|error| wrong(output, name, &format!("can't be taken: {error}")))?;
        if declared.kind == Kind::Int && conformed.null_count() != column.null_count() {
            return Err(wrong(output, name, "holds integers beyond 64 bits with a sign"));
        }
        all.push(conformed);
    }
    columns::frame(all)
}

fn is_all(column: &Column, key: &str) -> bool {
    parquet::as_text(column).is_ok_and(|texts| texts.iter().all(|text| text.as_deref() == Some(key)))
}

/// A time of which nobody knows where it was noon.
fn is_without_zone(column: &Column) -> bool {
    columns::kind(column.dtype()) == Some(Kind::Time) && !columns::has_zone(column.dtype())
}
