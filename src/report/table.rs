//! Tables of text.

/// A column of a table: words begin below each other, numbers end so.
pub struct Column {
    pub title: &'static str,
    pub is_number: bool,
    /// One a row.
    pub cells: Vec<String>,
}

impl Column {
    fn padded(&self) -> Vec<String> {
        let all = || std::iter::once(self.title).chain(self.cells.iter().map(String::as_str));
        let width = all().map(|cell| cell.chars().count()).max().unwrap_or(0);
        let pad = |cell: &str| match self.is_number {
            true => format!("{cell:>width$}"),
            false => format!("{cell:<width$}"),
        };
        all().map(pad).collect()
    }
}

/// The titles, then a line for each row of columns of one length.
pub fn lines(columns: &[Column]) -> Vec<String> {
    let padded: Vec<Vec<String>> = columns.iter().map(Column::padded).collect();
    let rows = padded.iter().map(Vec::len).min().unwrap_or(0);
    let line = |row: usize| -> String {
        let cells: Vec<&str> = padded.iter().map(|column| column[row].as_str()).collect();
        cells.join("  ").trim_end().to_string()
    };
    (0..rows).map(line).collect()
}
