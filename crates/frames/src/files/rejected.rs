//! What people are told of rows that are left out: once a table, however many files have such rows.

use super::TableOfFiles;
use assets_core::reason::plural;
use assets_core::{Fact, Reason};
use std::collections::BTreeMap;

const CODE: &str = "rows_rejected";

/// That rows of a file are left out; `first` says where the first is, and what is wrong with it.
pub(super) fn warning(table: &TableOfFiles, path: &str, rows: u64, first: &str) -> Reason {
    told(table.name.as_str(), table.rejects.as_str(), 1, rows, path, first)
}

fn told(asset: &str, rejects: &str, files: u64, rows: u64, path: &str, first: &str) -> Reason {
    let of = if files == 1 { path.to_owned() } else { plural(files, "file") };
    let place = if files == 1 { first.to_owned() } else { format!("in {path}, {first}") };
    let are = if rows == 1 { "is" } else { "are" };
    let message =
        format!("{} of {of} {are} left out of {asset} and kept in {rejects}; the first: {place}", plural(rows, "row"));
    Reason::new(CODE, message)
        .with("asset", asset)
        .with("rejects", rejects)
        .with("files", files)
        .with("rows", rows)
        .with("path", path)
        .with("first", first)
}

/// Warnings with those of rows left out told once a table.
pub(crate) fn told_once(warnings: Vec<Reason>) -> Vec<Reason> {
    let mut tables: BTreeMap<String, (Reason, u64, u64)> = BTreeMap::new();
    let mut others = Vec::new();
    for warning in warnings {
        let count = |name: &str| match warning.facts.get(name) {
            Some(Fact::Count(count)) => u64::try_from(*count).unwrap_or(0),
            _ => 0,
        };
        if warning.code != CODE {
            others.push(warning);
            continue;
        }
        let (files, rows) = (count("files"), count("rows"));
        let (_, all_files, all_rows) = tables.entry(text(&warning, "asset").to_owned()).or_insert((warning, 0, 0));
        *all_files += files;
        *all_rows += rows;
    }
    let all = tables.into_iter().map(|(asset, (first, files, rows))| {
        told(&asset, text(&first, "rejects"), files, rows, text(&first, "path"), text(&first, "first"))
    });
    others.extend(all);
    others
}

fn text<'a>(reason: &'a Reason, name: &str) -> &'a str {
    match reason.facts.get(name) {
        Some(Fact::Text(text)) => text,
        _ => "",
    }
}
