//! What `assets.toml` defines: features by expressions, tables by queries and by commands. How they are written there, and
//! what they are for the framework.
//!
//! Not here: what an expression or a query means (`assets_frames`), how a command is run (`assets_command`), and
//! parameters (`settings`).

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

/// `[assets.NAME]`: a table by a query or by a command, per run or over all.
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
    /// One line for people. Metadata.
    pub description: String,
    /// Whether there is a table a run, or one over all.
    pub partition: Cut,
    /// Whether it has a row or a few per run: many runs then share a file.
    pub packed: bool,
    /// Columns: of a query what people should know of them, of a command what it writes.
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
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "a column is its type, as in \"float\", or a table of `type`, `unit` and `description`")]
pub enum Column {
    /// Its type.
    Kind(String),
    /// All about it.
    Described(Description),
}

impl Column {
    fn described(&self) -> Description {
        match self {
            Self::Kind(kind) => Description { kind: Some(kind.clone()), ..Description::default() },
            Self::Described(all) => all.clone(),
        }
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

/// The tables that are defined by text.
///
/// # Errors
/// `bad_setting` where a definition contradicts itself, or names a file that can't be read.
pub fn tables(assets: &InOrder<Asset>, places: &Places) -> Result<Vec<Box<dyn Definition>>, Reason> {
    let table = |(name, asset): &(String, Asset)| -> Result<Box<dyn Definition>, Reason> {
        asset.check(name)?;
        Ok(match &asset.command {
            Some(command) => Box::new(by_command(name, asset, command, places)?),
            None => Box::new(by_query(name, asset, &places.base)?),
        })
    };
    assets.0.iter().map(table).collect()
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
        let place = |key: &str| if key.is_empty() { format!("assets.{name}") } else { format!("assets.{name}.{key}") };
        let ways = [self.sql.is_some(), self.sql_file.is_some(), self.command.is_some()];
        if ways.iter().filter(|is| **is).count() != 1 {
            let what =
                "say one of `sql`, a query; `sql_file`, a file that holds it; `command`, a program that makes it";
            return Err(bad(place(""), what));
        }
        if self.command.is_none() {
            let of_commands = [
                ("code", !self.code.is_empty()),
                ("inputs", !self.inputs.is_empty()),
                ("parameters", !self.parameters.is_empty()),
                ("batch", self.batch),
                ("timeout_s", self.timeout_s.is_some()),
                ("outputs", !self.outputs.0.is_empty()),
            ];
            if let Some((key, _)) = of_commands.iter().find(|(_, said)| *said) {
                return Err(bad(place(key), "that is for a `command`; a query says what it reads and gives"));
            }
        }
        if self.timeout_s.is_some_and(|seconds| !(0.001..=1e9).contains(&seconds)) {
            return Err(bad(place("timeout_s"), "not a time in seconds that makes sense (0.001 to 1e9)"));
        }
        Ok(())
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
        let Description { kind, unit, description } = about.described();
        match kind {
            None => Ok((column.clone(), (unit, description))),
            Some(_) => Err(bad(format!("assets.{name}.columns.{column}"), "the query says what type it has")),
        }
    });
    Ok(TableByQuery {
        name: name.to_owned(),
        sql,
        description: asset.description.clone(),
        packed: asset.packed,
        over_all: asset.partition == Cut::All,
        notes: notes.collect::<Result<_, _>>()?,
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

fn columns(place: &str, columns: &InOrder<Column>) -> Result<Vec<ColumnDecl>, Reason> {
    let kinds = || Kind::ALL.into_iter().map(Kind::name);
    let column = |(name, column): &(String, Column)| {
        let Description { kind, unit, description } = column.described();
        let text = kind.unwrap_or_default();
        let kind = Kind::named(&text).ok_or_else(|| {
            let hint = suggest::hint(&text, kinds());
            let given = if text.is_empty() {
                "no `type` is said".to_owned()
            } else {
                format!("no type is called `{text}`{hint}")
            };
            let all: Vec<&str> = kinds().collect();
            bad(format!("{place}.columns.{name}"), &format!("{given}; there are {}", all.join(", ")))
        })?;
        Ok(ColumnDecl::new(name, kind, &unit, &description))
    };
    columns.0.iter().map(column).collect()
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
