//! A table's file with its missing cells filled in.

use std::path::Path;

use super::error::unfit;
use super::table_csv::{self, CsvFile};
use super::{DataError, Options, Table, table_files};

/// The file at `path` as CSV, its missing cells replaced by what is `expected`, (N, D) standardised, and all others as they
/// are.
///
/// # Errors
/// It cannot be read, or is no longer what it was.
pub fn filled(
    path: &Path,
    options: &Options,
    table: &Table,
    expected: &[f32],
) -> Result<Vec<u8>, DataError> {
    let d = table.columns.len();
    let changed = || unfit(path, "it has changed since it was read");
    let mut rows = expected.chunks_exact(d).map(|row| table.restore(row));
    if !table_csv::is_csv(path) || path.is_dir() {
        let (all, of) = table_files::scored(path, options)?;
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(&all.names).expect("memory can be written to");
        for row in all.cells.chunks_exact(all.names.len()) {
            let expected = rows.next().ok_or_else(changed)?;
            let text = |v: &f64| if v.is_nan() { String::new() } else { v.to_string() };
            let mut cells: Vec<String> = row.iter().map(text).collect();
            for (&place, v) in of.iter().zip(expected) {
                if row[place].is_nan() {
                    cells[place] = (v as f32).to_string();
                }
            }
            writer.write_record(&cells).expect("memory can be written to");
        }
        return Ok(writer.into_inner().expect("memory can be written to"));
    }
    let mut file = CsvFile::open(path)?;
    let of = file.places(table).ok_or_else(changed)?;
    let mut writer = csv::WriterBuilder::new().delimiter(file.delimiter).from_writer(Vec::new());
    if file.has_header {
        writer.write_record(&file.names).expect("memory can be written to");
    }
    while let Some((record, _)) = file.next(path)? {
        let expected = rows.next().ok_or_else(changed)?;
        let mut cells: Vec<Vec<u8>> = record.iter().map(<[u8]>::to_vec).collect();
        for (&place, v) in of.iter().zip(expected) {
            if file.is_missing(&cells[place]) {
                cells[place] = (v as f32).to_string().into_bytes();
            }
        }
        writer.write_record(&cells).expect("memory can be written to");
    }
    Ok(writer.into_inner().expect("memory can be written to"))
}
