//! Rows of a table as CSV, in the columns' own units.

use std::fmt::Write;

use crate::data::Table;

/// A header, and a line for each row of standardised values (D).
pub fn csv_of_rows(table: &Table, rows: &[Vec<f32>]) -> String {
    let mut text = header(table);
    add_rows(&mut text, table, rows.iter().map(Vec::as_slice));
    text
}

/// The names of the columns.
pub fn header(table: &Table) -> String {
    let names: Vec<String> = table.columns.iter().map(|column| quoted(&column.name)).collect();
    names.join(",") + "\n"
}

/// Adds a line for each row of standardised values (D).
pub fn add_rows<'a>(text: &mut String, table: &Table, rows: impl Iterator<Item = &'a [f32]>) {
    for row in rows {
        for (i, v) in table.restore(row).into_iter().enumerate() {
            if i > 0 {
                text.push(',');
            }
            if v.is_finite() {
                // Writing to a string cannot fail. What f32 does not hold is left out.
                let _ = write!(text, "{}", v as f32);
            }
        }
        text.push('\n');
    }
}

/// A cell, in quotes if it has to be.
pub(super) fn quoted(cell: &str) -> String {
    match cell.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Column, MISSING};

    #[test]
    fn rows_are_in_their_own_units() {
        let column = |name: &str, mean, deviation| Column { name: name.into(), mean, deviation };
        let columns = vec![column("a, b", 10.0, 2.0), column("c", -1.0, 0.5)];
        let table = Table { columns, ..Table::default() };
        let text = csv_of_rows(&table, &[vec![1.5, -2.0], vec![0.0, MISSING]]);
        assert_eq!(text, "\"a, b\",c\n13,-2\n10,\n");
    }
}
