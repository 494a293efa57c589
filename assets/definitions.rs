//! What `assets.toml` defines: features by expressions, tables by queries and of files. How they are written there, and what they are
//! for the framework.
//!
//! Not here: what an expression or a query means (`assets_frames`), tables of files (`files`), and parameters (`settings`).

use assets_core::Reason;
use assets_frames::expression::Definition;
use assets_frames::sql::TableByQuery;
use serde::Deserialize;
use std::path::Path;

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

/// `[assets.NAME]`: a table by a query, per run; or one of files.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asset {
    /// One `select` over tables of other assets.
    pub sql: Option<String>,
    /// A file that holds it, relative to the settings.
    pub sql_file: Option<String>,
    /// Patterns of source files, relative to the settings, whose rows it holds.
    pub files: Option<Vec<String>>,
    /// The columns of the files that cut it.
    pub partition_by: Option<Vec<String>>,
    /// What separates the cells of its files.
    pub delimiter: Option<String>,
    /// One line for people. Metadata.
    #[serde(default)]
    pub description: String,
    /// Whether it has a row or a few per run: many runs then share a file.
    #[serde(default)]
    pub packed: bool,
    /// What people should know of its columns: metadata. Of a table of files: which columns it has.
    #[serde(default)]
    pub columns: InOrder<Note>,
}

/// `[assets.NAME.columns.COLUMN]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table such as { type = \"float\", unit = \"mm\" }")]
pub struct Note {
    /// What it holds, in a table of files.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Physical unit.
    pub unit: String,
    /// One line for people.
    pub description: String,
}

/// The features that are defined by text.
pub fn features(features: &InOrder<Feature>) -> Vec<Definition> {
    let definition = |(name, feature): &(String, Feature)| Definition {
        name: name.clone(),
        expr: feature.expr.clone(),
        unit: feature.unit.clone(),
        description: feature.description.clone(),
    };
    features.0.iter().map(definition).collect()
}

/// The tables that are defined by queries; those in files are read from `base`.
pub fn tables(assets: &InOrder<Asset>, base: &Path) -> Result<Vec<TableByQuery>, Reason> {
    let tables = assets.0.iter().filter(|(_, asset)| asset.files.is_none()).map(|(name, asset)| {
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
        let notes = asset.columns.0.iter();
        let notes = notes.map(|(name, note)| (name.clone(), (note.unit.clone(), note.description.clone())));
        let (description, packed) = (asset.description.clone(), asset.packed);
        Ok(TableByQuery { name: name.clone(), sql, description, packed, notes: notes.collect() })
    });
    tables.collect()
}
