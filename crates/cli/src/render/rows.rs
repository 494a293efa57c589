//! Rows of a table: as a grid, as CSV, as JSON.

use crate::render::grid::{Grid, Look};
use crate::render::{number, time};
use assets_core::graph::Graph;
use assets_core::table::{Table, Values};
use serde_json::Value;
use std::fmt::Write;

/// The unit of a column, where all outputs that declare that name agree.
pub(crate) fn unit<'a>(graph: &'a Graph, column: &str) -> Option<&'a str> {
    let mut units = graph.outputs().flat_map(|output| &output.columns).filter(|c| c.name == column).map(|c| &*c.unit);
    let first = units.next().filter(|unit| !unit.is_empty())?;
    units.all(|unit| unit == first).then_some(first)
}

/// The first `limit` rows as a grid, with units in the headers.
pub(crate) fn grid(table: &Table, graph: &Graph, limit: usize) -> Grid {
    let headers: Vec<String> = table.columns.iter().map(|(name, values)| header(graph, name, values)).collect();
    let columns: Vec<Vec<Option<String>>> = table.columns.iter().map(|(_, values)| cells(values, limit)).collect();
    let mut grid = Grid::new(&headers);
    for row in 0..table.rows().min(limit) {
        let cells = columns.iter().map(|column| match column.get(row).cloned().flatten() {
            Some(text) => (text, Look::Plain),
            None => ("null".to_owned(), Look::Dim),
        });
        grid.row(cells.collect());
    }
    grid
}

fn header(graph: &Graph, name: &str, values: &Values) -> String {
    let right = if matches!(values, Values::Float(_) | Values::Int(_)) { ">" } else { "" };
    match unit(graph, name) {
        Some(unit) => format!("{right}{name} [{unit}]"),
        None => format!("{right}{name}"),
    }
}

/// The first `limit` values as people read them; `None` is null.
pub(crate) fn cells(values: &Values, limit: usize) -> Vec<Option<String>> {
    match values {
        Values::Float(v) => v.iter().take(limit).map(|value| value.map(number::float)).collect(),
        Values::Int(v) => v.iter().take(limit).map(|value| value.map(|n| n.to_string())).collect(),
        Values::Text(v) => v.iter().take(limit).cloned().collect(),
        Values::Bool(v) => v.iter().take(limit).map(|value| value.map(|b| b.to_string())).collect(),
        Values::Time(v) => {
            let decimals = time::decimals(v.iter().take(limit).flatten().copied());
            v.iter().take(limit).map(|value| value.map(|t| time::iso(t, decimals))).collect()
        }
    }
}

/// CSV after RFC 4180 with line feeds: numbers that read back as they were, null as nothing, empty text as `""`.
pub(crate) fn csv(table: &Table) -> String {
    let names: Vec<String> = table.columns.iter().map(|(name, _)| quoted(name)).collect();
    let mut out = names.join(",") + "\n";
    for row in 0..table.rows() {
        for (i, (_, values)) in table.columns.iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            csv_field(&mut out, values, row);
        }
        out.push('\n');
    }
    out
}

fn csv_field(out: &mut String, values: &Values, row: usize) {
    // Writing to a string cannot fail.
    let _ = match values {
        Values::Float(v) => v[row].map_or(Ok(()), |value| write!(out, "{value}")),
        Values::Int(v) => v[row].map_or(Ok(()), |value| write!(out, "{value}")),
        Values::Bool(v) => v[row].map_or(Ok(()), |value| write!(out, "{value}")),
        Values::Time(v) => v[row].map_or(Ok(()), |value| write!(out, "{}", time::iso(value, 6))),
        Values::Text(v) => v[row].as_ref().map_or(Ok(()), |text| write!(out, "{}", quoted(text))),
    };
}

fn quoted(text: &str) -> String {
    if text.is_empty() || text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// An array of objects, one a line.
pub(crate) fn json(table: &Table) -> String {
    if table.rows() == 0 {
        return "[]\n".to_owned();
    }
    let mut out = String::from("[");
    for row in 0..table.rows() {
        out.push_str(if row == 0 { "\n" } else { ",\n" });
        let object = table.columns.iter().map(|(name, values)| (name.clone(), json_value(values, row)));
        out.push_str(&Value::Object(object.collect()).to_string());
    }
    out + "\n]\n"
}

/// A value as JSON.
pub(crate) fn json_value(values: &Values, row: usize) -> Value {
    match values {
        // What JSON can't say, NaN and the infinities, becomes null.
        Values::Float(v) => v[row].into(),
        Values::Int(v) => v[row].into(),
        Values::Bool(v) => v[row].into(),
        Values::Text(v) => v[row].clone().into(),
        Values::Time(v) => v[row].map(|value| time::iso(value, 6)).into(),
    }
}

/// Appends the rows of another table that has the same columns.
pub(crate) fn append(table: &mut Table, more: Table) {
    if table.columns.is_empty() {
        *table = more;
        return;
    }
    for (name, values) in more.columns {
        let Some((_, own)) = table.columns.iter_mut().find(|(n, _)| *n == name) else { continue };
        match (own, values) {
            (Values::Float(own), Values::Float(more)) => own.extend(more),
            (Values::Int(own), Values::Int(more)) | (Values::Time(own), Values::Time(more)) => own.extend(more),
            (Values::Text(own), Values::Text(more)) => own.extend(more),
            (Values::Bool(own), Values::Bool(more)) => own.extend(more),
            // An older table with another kind: its rows stay, as unknown.
            (own, more) => pad(own, more.len()),
        }
    }
    let rows = table.columns.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
    table.columns.iter_mut().for_each(|(_, values)| pad(values, rows - values.len()));
}

fn pad(values: &mut Values, more: usize) {
    let rows = values.len() + more;
    match values {
        Values::Float(v) => v.resize(rows, None),
        Values::Int(v) | Values::Time(v) => v.resize(rows, None),
        Values::Text(v) => v.resize(rows, None),
        Values::Bool(v) => v.resize(rows, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table {
            columns: vec![
                ("a,b".into(), Values::Text(vec![Some("say \"x\"".into()), None, Some(String::new())])),
                ("v".into(), Values::Float(vec![Some(0.1), Some(f64::NAN), Some(7.5e18)])),
                ("t".into(), Values::Time(vec![Some(12_000), None, Some(0)])),
            ],
        }
    }

    #[test]
    fn csv_quotes_and_tells_null_from_empty() {
        let expected = "\"a,b\",v,t\n\"say \"\"x\"\"\",0.1,1970-01-01T00:00:00.012000Z\n,NaN,\n\
            \"\",7500000000000000000,1970-01-01T00:00:00.000000Z\n";
        assert_eq!(csv(&table()), expected);
    }

    #[test]
    fn json_has_null_for_what_it_cannot_say() {
        assert!(json(&table()).contains(r#"{"a,b":null,"v":null,"t":null}"#));
        assert_eq!(json(&Table::default()), "[]\n");
    }

    #[test]
    fn tables_stack_even_where_a_column_is_missing() {
        let mut both = table();
        append(&mut both, Table { columns: vec![("v".into(), Values::Float(vec![Some(1.0)]))] });
        assert_eq!((both.rows(), both.column("v").map(Values::len)), (4, Some(4)));
    }
}
