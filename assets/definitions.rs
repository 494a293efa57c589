//! What `assets.toml` defines: features by expressions, tables by queries, by commands and of files. How they are written
//! there, and what they are for the framework.
//!
//! Not here: what an expression or a query means (`assets_frames`), how a command is run (`assets_command`), tables of files
//! (`files`), and parameters (`settings`).

use assets_command::{Input, Output, Places, TableByCommand};
use assets_core::{ColumnDecl, Kind, Reason, suggest};
use assets_frames::defined::Definition;
use assets_frames::expression;
use assets_frames::sql::TableByQuery;
use serde::Deserialize;
use std::path::Path;
use std::time::Duration;

/// A table of definitions, in the order of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct InOrder<T>(pub Vec<(String, T)>);

impl<T> Default for InOrder<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for InOrder<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for Visitor<T> {
            type Value = InOrder<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a table of definitions")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    all.push(entry);
                }
                Ok(InOrder(all))
            }
        }
        deserializer.deserialize_map(Visitor(std::marker::PhantomData))
    }
}

/// `[features.NAME]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    /// What it is, in SQL over columns of `features`.
    pub expr: String,
    /// Its physical unit. Metadata.
    #[serde(default)]
    pub unit: String,
    /// One line for people. Metadata.
    #[serde(default)]
    pub description: String,
}

/// What a table is cut by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cut {
    /// One table a run, from that run's rows.
    #[default]
    Run,
    /// One table, from the rows of all runs.
    All,
}

/// `[assets.NAME]`: a table by a query or by a command, per run or over all; or one of files.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Asset {
    /// One `select` over tables of other assets.
    pub sql: Option<String>,
    /// A file that holds it, relative to the settings.
    pub sql_file: Option<String>,
    /// A program with its arguments, run in the settings' folder.
    pub command: Option<Vec<String>>,
    /// Files besides those that the command names: what is in them is part of its code.
    pub code: Vec<String>,
    /// What the command reads: tables, or columns of them as `table.column`.
    pub inputs: Vec<String>,
    /// What the command is told besides.
    pub parameters: serde_json::Map<String, serde_json::Value>,
    /// One process for many runs.
    pub batch: bool,
    /// How long a run may take, in seconds.
    pub timeout_s: Option<f64>,
    /// Further tables that the command writes.
    pub outputs: InOrder<Table>,
    /// Patterns of source files, relative to the settings, whose rows it holds.
    pub files: Option<Vec<String>>,
    /// The columns of the files that cut it.
    pub partition_by: Option<Vec<String>>,
    /// What separates the cells of its files.
    pub delimiter: Option<String>,
    /// One line for people. Metadata.
    pub description: String,
    /// Whether there is a table a run, or one over all.
    pub partition: Cut,
    /// Whether it has a row or a few per run: many runs then share a file.
    pub packed: bool,
    /// Columns: of a query what people should know of them, of a command or of files what the table holds.
    pub columns: InOrder<Column>,
}

/// `[assets.NAME.outputs.TABLE]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Table {
    /// Whether it has a row or a few per run.
    pub packed: bool,
    /// What it holds.
    pub columns: InOrder<Column>,
}

/// `[assets.NAME.columns.COLUMN]`, or its type alone.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Description {
    /// `float`, `integer`, `text`, `time` or `boolean`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Physical unit.
    pub unit: String,
    /// One line for people.
    pub description: String,
}

/// A column as it is written: its type, or all about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Column(Description);

impl<'de> Deserialize<'de> for Column {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Column;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a type such as \"float\", or a table such as { type = \"float\", unit = \"mm\" }")
            }

            fn visit_str<E>(self, kind: &str) -> Result<Self::Value, E> {
                Ok(Column(Description { kind: Some(kind.to_owned()), ..Description::default() }))
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                Description::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(Column)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl Column {
    fn declared(&self, place: &str, name: &str) -> Result<ColumnDecl, Reason> {
        let Description { kind, unit, description } = &self.0;
        let all: Vec<&str> = Kind::ALL.into_iter().map(Kind::name).collect();
        let place = format!("{place}.type");
        let Some(asked) = kind else {
            return Err(bad(place, &format!("say what the column holds: {}", all.join(", "))));
        };
        let kind = Kind::named(asked).ok_or_else(|| {
            let hint = match suggest::hint(asked, all.iter().copied()) {
                hint if hint.is_empty() => format!("; there are {}", all.join(", ")),
                hint => hint,
            };
            bad(place, &format!("`{asked}` is no type{hint}"))
        })?;
        Ok(ColumnDecl::new(name, kind, unit, description))
    }
}

/// The features that are defined by text.
pub fn features(features: &InOrder<Feature>) -> Vec<expression::Definition> {
    let definition = |(name, feature): &(String, Feature)| expression::Definition {
        name: name.clone(),
        expr: feature.expr.clone(),
        unit: feature.unit.clone(),
        description: feature.description.clone(),
    };
    features.0.iter().map(definition).collect()
}

/// The tables that are defined by queries and commands.
///
/// # Errors
/// `bad_setting` where a definition contradicts itself, or names a file that can't be read.
pub fn tables(assets: &InOrder<Asset>, places: &Places) -> Result<Vec<Box<dyn Definition>>, Reason> {
    let table = |(name, asset): &(String, Asset)| -> Result<Box<dyn Definition>, Reason> {
        Ok(match &asset.command {
            Some(command) => Box::new(by_command(name, asset, command, places)?),
            None => Box::new(by_query(name, asset, &places.base)?),
        })
    };
    assets.0.iter().filter(|(_, asset)| asset.files.is_none()).map(table).collect()
}

fn bad(setting: String, what: &str) -> Reason {
    Reason::new("bad_setting", format!("{setting}: {what}")).with("setting", setting)
}

impl Asset {
    /// What can be said without looking at anything else.
    ///
    /// # Errors
    /// `bad_setting`.
    pub fn check(&self, name: &str) -> Result<(), Reason> {
        let place = |key: &str| format!("assets.{name}.{key}");
        let ways = [self.sql.is_some(), self.sql_file.is_some(), self.command.is_some(), self.files.is_some()];
        match ways.iter().filter(|is| **is).count() {
            1 => {}
            0 => {
                let what = "say one of `sql`, a query; `sql_file`, a file that holds it; `command`, a program that makes it; \
                            `files`, whose rows it holds";
                return Err(bad(format!("assets.{name}"), what));
            }
            _ => {
                let what =
                    "a table comes from one of `sql`, `sql_file`, `command` and `files`, not both: make two of it";
                return Err(bad(format!("assets.{name}"), what));
            }
        }
        let of_commands = [
            ("code", !self.code.is_empty()),
            ("inputs", !self.inputs.is_empty()),
            ("parameters", !self.parameters.is_empty()),
            ("batch", self.batch),
            ("timeout_s", self.timeout_s.is_some()),
            ("outputs", !self.outputs.0.is_empty()),
        ];
        let of_files = [("partition_by", self.partition_by.is_some()), ("delimiter", self.delimiter.is_some())];
        let said = |keys: &[(&'static str, bool)]| keys.iter().find(|(_, said)| *said).map(|(key, _)| *key);
        if let (None, Some(key)) = (&self.command, said(&of_commands)) {
            return Err(bad(place(key), "only a table by a `command` has it"));
        }
        if let (None, Some(key)) = (&self.files, said(&of_files)) {
            return Err(bad(place(key), "only a table of `files` has it; others are cut as what they read is"));
        }
        if self.files.is_some() && self.partition == Cut::All {
            return Err(bad(place("partition"), "`partition_by` says what cuts a table of `files`"));
        }
        if self.timeout_s.is_some_and(|seconds| !(0.001..=1e9).contains(&seconds)) {
            return Err(bad(place("timeout_s"), "not a time in seconds that makes sense (0.001 to 1e9)"));
        }
        let typed = self.columns.0.iter().find(|(_, column)| column.0.kind.is_some());
        match typed.filter(|_| self.sql.is_some() || self.sql_file.is_some()) {
            None => Ok(()),
            Some((column, _)) => {
                let what = "the types of a query's columns are what it computes: cast there";
                Err(bad(place(&format!("columns.{column}.type")), what))
            }
        }
    }
}

fn by_query(name: &str, asset: &Asset, base: &Path) -> Result<TableByQuery, Reason> {
    let sql = match (&asset.sql, &asset.sql_file) {
        (Some(sql), _) => sql.clone(),
        (None, file) => {
            let path = base.join(file.as_deref().unwrap_or_default());
            std::fs::read_to_string(&path).map_err(|error| {
                let message = format!("assets.{name}.sql_file: {} can't be read: {error}", path.display());
                Reason::new("bad_setting", message).with("path", path.display().to_string())
            })?
        }
    };
    let notes = asset.columns.0.iter().map(|(column, about)| {
        let Description { unit, description, .. } = &about.0;
        (column.clone(), (unit.clone(), description.clone()))
    });
    Ok(TableByQuery {
        name: name.to_owned(),
        sql,
        description: asset.description.clone(),
        packed: asset.packed,
        over_all: asset.partition == Cut::All,
        notes: notes.collect(),
    })
}

fn by_command(name: &str, asset: &Asset, command: &[String], places: &Places) -> Result<TableByCommand, Reason> {
    let own = Output {
        name: name.to_owned(),
        columns: columns(&format!("assets.{name}"), &asset.columns)?,
        packed: asset.packed,
    };
    let further = asset.outputs.0.iter().map(|(table, output)| {
        let place = format!("assets.{name}.outputs.{table}");
        Ok(Output { name: table.clone(), columns: columns(&place, &output.columns)?, packed: output.packed })
    });
    let outputs = std::iter::once(Ok(own)).chain(further).collect::<Result<_, Reason>>()?;
    Ok(TableByCommand {
        name: name.to_owned(),
        description: asset.description.clone(),
        command: command.to_vec(),
        code: asset.code.clone(),
        inputs: inputs(&asset.inputs),
        outputs,
        over_all: asset.partition == Cut::All,
        parameters: asset.parameters.clone(),
        batch: asset.batch,
        timeout: asset.timeout_s.map(Duration::from_secs_f64),
        places: places.clone(),
    })
}

/// The columns that a table is said to hold.
///
/// # Errors
/// `bad_setting`, at `place`.
pub fn columns(place: &str, columns: &InOrder<Column>) -> Result<Vec<ColumnDecl>, Reason> {
    columns.0.iter().map(|(name, column)| column.declared(&format!("{place}.columns.{name}"), name)).collect()
}

/// Tables and columns by table, in the order in which tables are named first. Who names a table, reads all of it.
fn inputs(named: &[String]) -> Vec<Input> {
    let mut inputs: Vec<Input> = Vec::new();
    for name in named {
        let (table, column) =
            name.split_once('.').map_or((name.as_str(), None), |(table, column)| (table, Some(column)));
        let at = inputs.iter().position(|input| input.table == table).unwrap_or_else(|| {
            inputs.push(Input { table: table.to_owned(), columns: Some(Vec::new()) });
            inputs.len() - 1
        });
        match (&mut inputs[at].columns, column) {
            (Some(columns), Some(column)) => columns.push(column.to_owned()),
            (all, None) => *all = None,
            (None, Some(_)) => {}
        }
    }
    inputs
}
