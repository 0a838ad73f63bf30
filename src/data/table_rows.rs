//! What a file of a table holds, and which of its columns are modelled.

use std::path::PathBuf;

use super::error::{shown, unfit};
use super::{DataError, TableOptions};

/// What a file holds, before it is known what its columns are for.
pub(super) struct Rows {
    pub path: PathBuf,
    /// Whether the names are the file's own rather than numbers.
    pub named: bool,
    /// (D)
    pub names: Vec<String>,
    /// Their places in the file, the first is 1.
    pub numbers: Vec<usize>,
    /// (N, D), NaN where a cell is missing or is text
    pub cells: Vec<f64>,
    /// The line of each row, of a text.
    pub lines: Vec<u64>,
    /// Of each column the first line with text, and that.
    pub texts: Vec<Option<(u64, String)>>,
    /// The column of classes.
    pub label: Option<usize>,
    /// The class of each row.
    pub classes: Option<Vec<String>>,
}

impl Rows {
    /// N
    pub fn count(&self) -> usize {
        self.cells.len() / self.names.len()
    }

    /// A column for a message: its number, and its name.
    pub fn named(&self, column: usize) -> String {
        match self.named {
            true => format!("{} (\"{}\")", self.numbers[column], self.names[column]),
            false => self.numbers[column].to_string(),
        }
    }

    /// Where a cell is, for a message.
    pub fn place(&self, row: usize, column: usize) -> String {
        match self.lines.get(row) {
            Some(line) => format!("line {line}, column {}", self.named(column)),
            None => format!("element [{row}, {column}]"),
        }
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|own| own == name)
    }

    /// Leaves these columns, in this order.
    pub fn choose(mut self, columns: &[usize]) -> Rows {
        let d = self.names.len();
        if columns.iter().copied().ne(0..d) {
            let rows = self.cells.chunks_exact(d);
            self.cells = rows.flat_map(|row| columns.iter().map(|&c| row[c])).collect();
            self.names = columns.iter().map(|&c| self.names[c].clone()).collect();
            self.numbers = columns.iter().map(|&c| self.numbers[c]).collect();
            self.texts = columns.iter().map(|&c| self.texts[c].clone()).collect();
        }
        self.label = None;
        self
    }

    /// Leaves these rows, in this order.
    pub fn take(&self, rows: &[usize]) -> Rows {
        let d = self.names.len();
        Rows {
            path: self.path.clone(),
            named: self.named,
            names: self.names.clone(),
            numbers: self.numbers.clone(),
            cells: rows.iter().flat_map(|&row| &self.cells[row * d..][..d]).copied().collect(),
            lines: match self.lines.is_empty() {
                true => Vec::new(),
                false => rows.iter().map(|&row| self.lines[row]).collect(),
            },
            texts: self.texts.clone(),
            label: self.label,
            classes: (self.classes.as_ref())
                .map(|classes| rows.iter().map(|&row| classes[row].clone()).collect()),
        }
    }
}

/// Takes away a first column without a name that numbers the rows, as pandas writes it, and says so.
pub(super) fn leave_out_index(rows: &mut Rows) -> Option<String> {
    let d = rows.names.len();
    let starts = [0.0, 1.0];
    let numbers = |from: f64| {
        let mut column = rows.cells.iter().step_by(d).enumerate();
        column.all(|(i, &cell)| cell == i as f64 + from)
    };
    if !(rows.named && rows.names[0].is_empty() && d > 1 && starts.into_iter().any(numbers)) {
        return None;
    }
    let mut cells = rows.cells.iter().enumerate();
    rows.cells = cells.by_ref().filter(|(i, _)| i % d != 0).map(|(_, &cell)| cell).collect();
    rows.names.remove(0);
    rows.numbers.remove(0);
    rows.texts.remove(0);
    rows.label = rows.label.map(|label| label - 1);
    let path = shown(&rows.path);
    Some(format!("{path}: the first column has no name and numbers the rows; it is left out"))
}

/// Which columns are modelled.
///
/// # Errors
/// Names that are not there, or are there twice; text.
pub(super) fn modelled(rows: &Rows, asked: &TableOptions) -> Result<Vec<usize>, DataError> {
    if rows.named {
        for (second, name) in rows.names.iter().enumerate() {
            let first = rows.names.iter().position(|other| other == name).unwrap_or(second);
            if first != second && !asked.drop.contains(name) {
                let (first, second) = (rows.numbers[first], rows.numbers[second]);
                let message = match name.is_empty() {
                    true => format!("columns {first} and {second} have no name"),
                    false => {
                        format!(
                            "columns {first} and {second} are both called \"{name}\"; rename one"
                        )
                    }
                };
                return Err(unfit(&rows.path, message));
            }
        }
    }
    let missed = |field: &str, name: &str| {
        let there: Vec<&str> = rows.names.iter().take(20).map(String::as_str).collect();
        let more = if rows.names.len() > there.len() { " and so on" } else { "" };
        let message = format!(
            "`{field}`: there is no column \"{name}\"; there are {}{more}",
            there.join(", ")
        );
        unfit(&rows.path, message)
    };
    if let Some(label) = &asked.label
        && rows.find(label).is_none()
    {
        return Err(missed("label", label));
    }
    let columns: Vec<usize> = match &asked.like {
        Some(like) => {
            let same = rows.names.len() - usize::from(rows.label.is_some()) == like.columns.len();
            let all = (0..rows.names.len()).filter(|&column| rows.label != Some(column));
            let by_name = |name: &str| {
                rows.find(name).ok_or_else(|| {
                    unfit(
                        &rows.path,
                        format!(
                            "there is no column \"{name}\", which the run was trained on; it has {} columns",
                            rows.names.len()
                        ),
                    )
                })
            };
            let by_names = like.columns.iter().map(|column| by_name(&column.name)).collect();
            match by_names {
                // Without a header columns are those of the run in their order.
                Err(_) if !rows.named && same => all.collect(),
                by_names => by_names?,
            }
        }
        None => {
            for name in &asked.drop {
                if rows.find(name).is_none() {
                    return Err(missed("drop", name));
                }
            }
            let is_kept = |column: &usize| {
                rows.label != Some(*column) && !asked.drop.contains(&rows.names[*column])
            };
            (0..rows.names.len()).filter(is_kept).collect()
        }
    };
    let texts: Vec<usize> =
        columns.iter().copied().filter(|&column| rows.texts[column].is_some()).collect();
    if let Some(&first) = texts.first() {
        let (line, text) = rows.texts[first].clone().unwrap_or_default();
        let names: Vec<&str> = texts.iter().map(|&column| &*rows.names[column]).collect();
        let which: Vec<String> = texts.iter().map(|&column| rows.named(column)).collect();
        let (what, hold, them) = match texts.len() {
            1 => ("column", "holds", "it"),
            _ => ("columns", "hold", "them"),
        };
        let message = format!(
            "line {line}: \"{text}\" is no number: {what} {} {hold} text; `drop` {} leaves {them} out, `label` {} \
             takes it as classes",
            which.join(", "),
            names.join(","),
            names[0]
        );
        return Err(unfit(&rows.path, message));
    }
    match columns.is_empty() {
        true => Err(unfit(&rows.path, "no column is left to model")),
        false => Ok(columns),
    }
}
