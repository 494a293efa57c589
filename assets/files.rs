//! Tables of files as `assets.toml` declares them: what is wrong with a declaration, and what it is for the framework.
//!
//! Not here: how files are read (`assets_frames::files`).

use crate::definitions::{self, Asset};
use crate::settings::{Settings, Shipped};
use assets_core::{AssetName, Reason, key};
use assets_frames::files::{REJECT_COLUMNS, TableOfFiles};
use std::collections::{BTreeMap, BTreeSet};

/// Settings that only the shipped pipeline has.
const OF_TELEMETRY: [&str; 11] = [
    "sources",
    "run_attributes",
    "clean",
    "sessions",
    "wide",
    "derivative",
    "tare",
    "stats",
    "limits",
    "run_alias",
    "features",
];

fn bad(setting: String, message: &str) -> Reason {
    Reason::new("bad_setting", format!("{setting}: {message}")).with("setting", setting)
}

/// What is wrong with `[assets.*]`, as far as that can be said without looking at a query.
///
/// # Errors
/// `bad_setting`; the fact `setting` says where.
pub fn check(settings: &Settings) -> Result<(), Reason> {
    settings.assets.0.iter().try_for_each(|(name, asset)| asset.check(name))?;
    tables(settings).map(drop)
}

/// The tables of files, each with its patterns.
///
/// # Errors
/// `bad_setting`; the fact `setting` says where.
pub fn tables(settings: &Settings) -> Result<Vec<(Vec<String>, TableOfFiles)>, Reason> {
    let of_files = settings.assets.0.iter().filter_map(|(name, asset)| Some((name, asset, asset.files.clone()?)));
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut all = Vec::new();
    for (name, asset, patterns) in of_files {
        let place = format!("assets.{name}");
        let table = table(settings, &place, name, asset)?;
        if patterns.is_empty() || patterns.iter().any(|pattern| pattern.trim().is_empty()) {
            return Err(bad(format!("{place}.files"), "name at least one file or pattern, and no empty one"));
        }
        for output in [&table.name, &table.rejects] {
            let taken = settings.assets.0.iter().any(|(other, _)| other == output.as_str() && other != name);
            let first = names.insert(output.to_string(), place.clone());
            if taken || first.is_some() {
                let message = format!("it writes `{output}`, which is the name of another table: choose another name");
                return Err(bad(place, &message));
            }
        }
        all.push((patterns, table));
    }
    Ok(all)
}

fn table(settings: &Settings, place: &str, name: &str, asset: &Asset) -> Result<TableOfFiles, Reason> {
    let named = |name: &str| AssetName::new(name).map_err(|error| bad(place.to_owned(), &error.to_string()));
    let (own, rejects) = (named(name)?, named(&format!("{name}_rejects"))?);
    let keys = asset.partition_by.clone().unwrap_or_default();
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for key in &keys {
        let place = format!("{place}.partition_by");
        column_name(&place, key)?;
        if REJECT_COLUMNS.contains(&key.as_str()) {
            let message = format!("`{key}` can't cut a table: it is a column of `{rejects}`");
            return Err(bad(place, &message));
        }
        if !taken.insert(key.to_lowercase()) {
            return Err(bad(place, &format!("`{key}` is there twice")));
        }
    }
    let columns = definitions::columns(place, &asset.columns)?;
    for column in &columns {
        let place = format!("{place}.columns.{}", column.name);
        column_name(&place, &column.name)?;
        if !taken.insert(column.name.to_lowercase()) {
            let message = "a column of that name is there already (`partition_by` names columns by itself, and case does not \
                           tell names apart)";
            return Err(bad(place, message));
        }
    }
    if columns.is_empty() {
        let message = "say which columns are read, such as `columns.temperature = { type = \"float\" }`";
        return Err(bad(format!("{place}.columns"), message));
    }
    Ok(TableOfFiles {
        name: own,
        rejects,
        description: asset.description.clone(),
        packed: asset.packed,
        keys,
        columns,
        timezone: settings.timezone.as_deref().and_then(|zone| zone.parse().ok()),
        delimiter: delimiter(place, asset.delimiter.as_deref())?,
    })
}

fn column_name(place: &str, name: &str) -> Result<(), Reason> {
    key::usable_key(name).map_err(|problem| bad(place.to_owned(), &format!("`{name}` can't be a column: {problem}")))
}

fn delimiter(place: &str, asked: Option<&str>) -> Result<u8, Reason> {
    match asked.map(str::as_bytes) {
        None => Ok(b','),
        Some([one]) if one.is_ascii() && !one.is_ascii_alphanumeric() && !b"\"\r\n".contains(one) => Ok(*one),
        _ => Err(bad(format!("{place}.delimiter"), "it is one character, such as \";\" or \"\\t\"")),
    }
}

impl Settings {
    /// Refuses settings that nothing reads where the shipped pipeline is off. An empty table says nothing.
    pub(crate) fn only_what_counts(&self, text: &str) -> Result<(), Reason> {
        if self.pipeline == Shipped::Telemetry {
            return Ok(());
        }
        let there: toml::Table = toml::from_str(text).unwrap_or_default();
        let says = |name: &&str| match there.get(*name) {
            Some(toml::Value::Table(table)) => !table.is_empty(),
            other => other.is_some(),
        };
        let unread: Vec<String> = OF_TELEMETRY.into_iter().filter(says).map(str::to_owned).collect();
        if let Some(first) = unread.first() {
            let names = unread.join("`, `");
            let hint = if first == "sources" { "; source files are named under `files` of a table" } else { "" };
            let message = format!(
                "`{names}`: only the telemetry pipeline reads that, and `pipeline = \"none\"` turns it off: remove it{hint}"
            );
            return Err(Reason::new("setting_not_read", message)
                .with("setting", first.as_str())
                .with("unread", unread));
        }
        if self.assets.0.is_empty() {
            let message = "`pipeline = \"none\"` leaves only the tables that this file defines, and it defines none: add an \
                           `[assets.NAME]` with `files`";
            return Err(Reason::new("no_assets", message).with("setting", "pipeline"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn error(text: &str) -> Reason {
        Settings::parse(text, Path::new("assets.toml")).expect_err("wrong settings")
    }

    #[test]
    fn wrong_declarations_say_where() {
        let place = |text: &str, place: &str, says: &str| {
            let reason = error(&format!("[assets.t]\n{text}"));
            assert_eq!(reason.code, "bad_setting", "{text}: {reason:?}");
            assert!(reason.message.starts_with(&format!("assets.toml: {place}: ")), "{text}: {}", reason.message);
            assert!(reason.message.contains(says), "{text}: {}", reason.message);
        };
        let file = "files = ['x.csv']\n";
        let columns = "columns.a = { type = 'float' }\n";
        place(&format!("{file}{columns}sql = 'select 1'"), "assets.t", "not both");
        place(&format!("{file}{columns}sql_file = 'x.sql'"), "assets.t", "not both");
        place("description = 'nothing'", "assets.t", "`files`");
        place(&format!("{file}partition_by = ['k']"), "assets.t.columns", "which columns");
        place(&format!("files = []\n{columns}"), "assets.t.files", "at least one");
        place(&format!("{file}{columns}partition_by = ['a']"), "assets.t.columns.a", "already");
        place(&format!("{file}{columns}partition_by = ['k', 'k']"), "assets.t.partition_by", "twice");
        place(&format!("{file}{columns}partition_by = ['line']"), "assets.t.partition_by", "t_rejects");
        place(&format!("{file}{columns}partition_by = [' ']"), "assets.t.partition_by", "blank");
        place(
            &format!("{file}columns.a = {{ type = 'intger' }}"),
            "assets.t.columns.a.type",
            "did you mean `integer`?",
        );
        place(&format!("{file}columns.a = {{ type = 'x' }}"), "assets.t.columns.a.type", "there are float, integer");
        place(&format!("{file}columns.a = {{ unit = 'm' }}"), "assets.t.columns.a.type", "what the column holds");
        place(&format!("{file}{columns}columns.A = {{ type = 'text' }}"), "assets.t.columns.A", "case");
        place(&format!("{file}{columns}delimiter = ';;'"), "assets.t.delimiter", "one character");
        place("sql = 'select 1'\npartition_by = ['k']", "assets.t.partition_by", "cut as what they read");
        place("sql = 'select 1'\ncolumns.a = { type = 'text' }", "assets.t.columns.a.type", "cast");
        let bad_name = error(&format!("[assets.T]\n{file}{columns}"));
        assert!(bad_name.message.contains("assets.T: `T` is not a name"), "{}", bad_name.message);
        let taken = error(&format!("[assets.t]\n{file}{columns}[assets.t_rejects]\nsql = 'select a from t'"));
        assert!(taken.message.contains("`t_rejects`"), "{}", taken.message);
        assert_eq!(error(&format!("[assets.t]\n{file}{columns}partiton_by = ['k']")).code, "unknown_setting");
        assert_eq!(error(&format!("[assets.t]\n{file}columns.a = {{ typ = 'text' }}")).code, "unknown_setting");
    }

    #[test]
    fn settings_that_nothing_reads_are_refused() {
        let table = "[assets.t]\nfiles = ['x.csv']\ncolumns.a = { type = 'float' }\n";
        let none = error(&format!("pipeline = 'none'\nsources = ['x']\n{table}[clean]\noutliers = 'off'\n[wide]\n"));
        assert_eq!(none.code, "setting_not_read");
        assert!(none.message.contains("`sources`, `clean`:"), "an empty table says nothing: {}", none.message);
        assert_eq!(error("pipeline = 'none'").code, "no_assets");
        assert_eq!(error("pipeline = 'mine'").code, "bad_setting");
        let parse = |text: &str| Settings::parse(text, Path::new("assets.toml")).is_ok();
        assert!(parse(&format!("pipeline = 'none'\ntimezone = 'UTC'\n{table}")));
        assert!(parse(&format!("sources = ['x']\n{table}")));
    }
}
