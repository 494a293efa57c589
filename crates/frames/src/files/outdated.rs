//! Rows of a file that is not there any more, and settings that have changed since it was read: which of them would give
//! other rows. A column that was not declared then is none: it is null, and the table says so (`make`). Nor is the
//! delimiter: with a wrong one the columns would not have been found.

use super::TableOfFiles;
use crate::intake::reading::{Outdated, Settings, other_zone};
use assets_core::record::SliceRecord;

pub(super) fn outdated(table: &TableOfFiles, slices: &[&SliceRecord], before: &Settings) -> Option<Outdated> {
    let keys = table.setting("partition_by");
    let (cut_by, cut_now) = (before.get(&keys).map_or("", String::as_str), table.keys.join(", "));
    if cut_by != cut_now {
        // Which tables its rows would be in now, nobody knows.
        let name = |keys: &str| if keys.is_empty() { "(none)".to_owned() } else { keys.to_owned() };
        return Some(Outdated { setting: keys, old: name(cut_by), new: name(&cut_now), partitions: None });
    }
    let columns = before.get(&table.setting("columns")).map_or("", String::as_str);
    let kind_before = |name: &str| columns.split(", ").find_map(|column| column.strip_prefix(name)?.strip_prefix(' '));
    for column in &table.columns {
        if let Some(kind) = kind_before(&column.name).filter(|kind| *kind != column.kind.name()) {
            let setting = table.setting(&format!("columns.{}.type", column.name));
            return Some(Outdated::all_of(slices, &setting, kind, column.kind.name()));
        }
    }
    let zone = before.get("timezone").filter(|_| table.has_times());
    zone.filter(|_| other_zone(zone, table.zone())).map(|old| Outdated::all_of(slices, "timezone", old, table.zone()))
}
