//! Tables in text: `.csv` and `.tsv` files.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use csv::{ByteRecord, ReaderBuilder};
use flate2::bufread::MultiGzDecoder;

use super::error::unfit;
use super::idx::GZIP;
use super::table_rows::Rows;
use super::{DataError, MAX_IMAGES, MAX_PIXELS, MAX_UNPACKED, Table};
use crate::text::one_line;

/// What separates cells.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];
/// Bytes in which the first line ends, or it is not looked at whole.
const PEEKED: usize = 1 << 20;

/// Whether the name is that of such a file.
pub(super) fn is_csv(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    name.ends_with(".csv") || name.ends_with(".tsv")
}

/// What a cell says.
#[derive(Debug, PartialEq)]
enum Cell {
    Number(f64),
    Missing,
    Text,
}

/// The header of a file, if it has one, and its records.
pub(super) struct CsvFile {
    /// Names of the columns; their numbers from 1 on without a header.
    pub names: Vec<String>,
    /// Whether these are the file's own.
    pub has_header: bool,
    pub delimiter: u8,
    /// The records that were read to tell whether there is a header, and are none.
    ahead: Vec<(ByteRecord, u64)>,
    reader: csv::Reader<Box<dyn BufRead>>,
    /// Cells of a record.
    width: usize,
}

impl CsvFile {
    /// Opens a file, and reads its header.
    ///
    /// # Errors
    /// It cannot be read, or is empty.
    pub fn open(path: &Path) -> Result<CsvFile, DataError> {
        let failed = |cause| DataError::Read { path: path.into(), cause };
        let mut file = BufReader::with_capacity(PEEKED, File::open(path).map_err(failed)?);
        let is_gzip = file.fill_buf().map_err(failed)?.starts_with(GZIP);
        let mut text: Box<dyn BufRead> = match is_gzip {
            true => {
                let unpacked = MultiGzDecoder::new(file).take(MAX_UNPACKED);
                Box::new(BufReader::with_capacity(PEEKED, unpacked))
            }
            false => Box::new(file),
        };
        let start = text.fill_buf().map_err(|cause| match is_gzip {
            true => DataError::Gzip { path: path.into(), cause },
            false => failed(cause),
        })?;
        if start.starts_with(&[0xff, 0xfe]) || start.starts_with(&[0xfe, 0xff]) {
            return Err(unfit(path, "it is text in UTF-16; save it in UTF-8"));
        }
        if start.starts_with(b"\xef\xbb\xbf") {
            text.consume(3);
        }
        let delimiter = delimiter_of(text.fill_buf().map_err(failed)?);
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .from_reader(text);
        let mut ahead = Vec::new();
        for _ in 0..2 {
            ahead.extend(read_record(&mut reader, path)?);
        }
        let Some((first, _)) = ahead.first() else {
            return Err(unfit(path, "the file is empty; expected rows of numbers"));
        };
        let width = first.len();
        if width as u64 > MAX_PIXELS {
            return Err(unfit(
                path,
                format!("it has {width} columns; at most {MAX_PIXELS} can be"),
            ));
        }
        let has_header = is_header(first, ahead.get(1).map(|(second, _)| second), delimiter);
        let names = match has_header {
            true => {
                let names = first.iter().map(text_of);
                let names: Vec<String> = names.collect();
                ahead.remove(0);
                names
            }
            false => (1..=width).map(|number| number.to_string()).collect(),
        };
        ahead.reverse();
        Ok(CsvFile { names, has_header, delimiter, ahead, reader, width })
    }

    /// Where the columns of a table are: by their names, or without a header in their order beside what else there is.
    pub fn places(&self, table: &Table) -> Option<Vec<usize>> {
        let names = table.columns.iter().map(|column| &column.name);
        let place = |name: &String| self.names.iter().position(|own| own == name);
        let by_names: Option<Vec<usize>> = names.map(place).collect();
        match by_names {
            None if !self.has_header && self.width >= table.columns.len() => {
                let label = table.label.as_ref().and_then(place);
                let all = (0..self.width).filter(|&column| Some(column) != label);
                Some(all.take(table.columns.len()).collect())
            }
            by_names => by_names,
        }
    }

    /// Whether a cell has no number.
    pub fn is_missing(&self, cell: &[u8]) -> bool {
        parse(cell, self.delimiter) == Cell::Missing
    }

    /// The next record, and its line.
    ///
    /// # Errors
    /// It cannot be read, or has more or fewer cells than the first.
    pub fn next(&mut self, path: &Path) -> Result<Option<(ByteRecord, u64)>, DataError> {
        let next = match self.ahead.pop() {
            Some(ahead) => Some(ahead),
            None => read_record(&mut self.reader, path)?,
        };
        let Some((record, line)) = next else { return Ok(None) };
        match record.len() == self.width {
            true => Ok(Some((record, line))),
            false => {
                let message =
                    format!("{} cells, but the first line has {}", record.len(), self.width);
                Err(DataError::Text { path: path.into(), line: line as usize, message })
            }
        }
    }
}

/// The next record, and the line that it begins in.
fn read_record(
    reader: &mut csv::Reader<Box<dyn BufRead>>,
    path: &Path,
) -> Result<Option<(ByteRecord, u64)>, DataError> {
    let mut record = ByteRecord::new();
    if !reader.read_byte_record(&mut record).map_err(|error| read_error(path, error))? {
        return Ok(None);
    }
    // Where it begins by its own account is before the empty lines that were passed over.
    let before = record.position().map_or(0, csv::Position::line);
    let within = record.as_slice().iter().filter(|&&byte| byte == b'\n').count() as u64;
    let lines = reader.position().line().saturating_sub(before + within);
    Ok(Some((record, before + lines.saturating_sub(1))))
}

/// Reads a table. Cells of text are kept out, and said of their columns.
///
/// # Errors
/// It cannot be read, it is empty, a line has another number of cells, or a number is infinite.
pub(super) fn read(path: &Path, label: &dyn Fn(&str) -> bool) -> Result<Rows, DataError> {
    let mut file = CsvFile::open(path)?;
    let d = file.width;
    let is_label: Vec<bool> =
        file.names.iter().map(|name| file.has_header && label(name)).collect();
    let labelled = is_label.iter().position(|&is| is);
    let mut rows = Rows {
        path: path.into(),
        named: file.has_header,
        names: std::mem::take(&mut file.names),
        numbers: (1..=d).collect(),
        cells: Vec::new(),
        lines: Vec::new(),
        texts: vec![None; d],
        label: labelled,
        classes: labelled.map(|_| Vec::new()),
    };
    while let Some((record, line)) = file.next(path)? {
        for (column, cell) in record.iter().enumerate() {
            if labelled == Some(column) {
                rows.classes.as_mut().expect("it is labelled").push(text_of(cell));
                rows.cells.push(f64::NAN);
                continue;
            }
            rows.cells.push(match parse(cell, file.delimiter) {
                Cell::Number(v) if v.is_finite() => v,
                Cell::Number(_) => {
                    let message = format!(
                        "column {} is \"{}\", which is no finite number in double precision; a missing \
                         cell is empty",
                        rows.named(column),
                        text_of(cell)
                    );
                    return Err(DataError::Text { path: path.into(), line: line as usize, message });
                }
                Cell::Missing => f64::NAN,
                Cell::Text => {
                    rows.texts[column].get_or_insert_with(|| (line, text_of(cell)));
                    f64::NAN
                }
            });
        }
        rows.lines.push(line);
        if rows.lines.len() as u64 > MAX_IMAGES {
            return Err(unfit(path, format!("it has more than {MAX_IMAGES} rows")));
        }
    }
    match rows.lines.is_empty() {
        true => Err(unfit(path, "it has a header and no rows")),
        false => Ok(rows),
    }
}

fn read_error(path: &Path, error: csv::Error) -> DataError {
    match error.into_kind() {
        csv::ErrorKind::Io(cause)
            if matches!(
                cause.kind(),
                io::ErrorKind::InvalidInput
                    | io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::InvalidData
            ) =>
        {
            DataError::Gzip { path: path.into(), cause }
        }
        csv::ErrorKind::Io(cause) => DataError::Read { path: path.into(), cause },
        other => unfit(path, format!("{other:?}")),
    }
}

/// Which delimiter the first line has most of, outside quotes.
fn delimiter_of(start: &[u8]) -> u8 {
    let mut counts = [0_usize; DELIMITERS.len()];
    let (mut quoted, mut begun) = (false, false);
    for &byte in start {
        begun |= !byte.is_ascii_whitespace();
        match byte {
            b'"' => quoted = !quoted,
            b'\n' | b'\r' if !quoted && begun => break,
            _ if quoted => {}
            byte => {
                if let Some(i) = DELIMITERS.iter().position(|&d| d == byte) {
                    counts[i] += 1;
                }
            }
        }
    }
    // Of cells like 1,5 between semicolons there are more commas.
    let semicolons = counts[1] > 0 && counts[0] <= counts[1] + 1;
    match (semicolons, counts[2] > counts[0]) {
        (true, _) => b';',
        (false, true) => b'\t',
        (false, false) => b',',
    }
}

/// Whether a first line names the columns: where it has text, the next line has a number; or there is nothing else in it;
/// or they are numbered.
fn is_header(first: &ByteRecord, second: Option<&ByteRecord>, delimiter: u8) -> bool {
    let is_text = |cell: &[u8]| parse(cell, delimiter) == Cell::Text;
    let is_number = |cell: &[u8]| matches!(parse(cell, delimiter), Cell::Number(_));
    let mut cells = first.iter().zip(second.into_iter().flatten());
    if cells.any(|(above, below)| is_text(above) && !is_text(below)) {
        return true;
    }
    let counts = |from: usize| {
        let mut numbers = first.iter().enumerate();
        first.len() >= 3 && numbers.all(|(i, cell)| text_of(cell) == (i + from).to_string())
    };
    (first.iter().any(is_text) && !first.iter().any(is_number)) || counts(0) || counts(1)
}

/// A cell's number, if it is one; between semicolons or tabs also with a decimal comma.
fn parse(cell: &[u8], delimiter: u8) -> Cell {
    let Ok(text) = std::str::from_utf8(cell) else { return Cell::Text };
    let text = text.trim();
    let missing = ["na", "n/a", "#n/a", "nan", "-nan", "null", "none", "?"];
    if text.is_empty() || missing.iter().any(|name| text.eq_ignore_ascii_case(name)) {
        return Cell::Missing;
    }
    if let Ok(v) = text.parse() {
        return Cell::Number(v);
    }
    match delimiter != b',' && text.matches(',').count() == 1 && !text.contains('.') {
        true => text.replace(',', ".").parse().map_or(Cell::Text, Cell::Number),
        false => Cell::Text,
    }
}

/// A cell as text of one line.
fn text_of(cell: &[u8]) -> String {
    one_line(String::from_utf8_lossy(cell).trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_told() {
        let cell = |text: &str, delimiter| parse(text.as_bytes(), delimiter);
        for text in ["", "  ", "NA", "nan", "NaN", "n/a", "null", "None", "?"] {
            assert_eq!(cell(text, b','), Cell::Missing, "{text:?}");
        }
        for (text, v) in [("1.5", 1.5), (" -2e3 ", -2000.0), ("+7", 7.0), (".5", 0.5)] {
            assert_eq!(cell(text, b','), Cell::Number(v), "{text:?}");
        }
        assert_eq!(cell("1,5", b';'), Cell::Number(1.5));
        for text in ["Paris", "1.2.3", "5%", "1,5", "0x1f", "12 m"] {
            assert_eq!(cell(text, b','), Cell::Text, "{text:?}");
        }
        assert_eq!(cell("1,234.5", b';'), Cell::Text);
    }

    #[test]
    fn headers_and_delimiters_are_told() {
        for (text, delimiter, header) in [
            ("a,b\n1,2\n", b',', true),
            ("1,2\n3,4\n", b',', false),
            ("5.1,3.5,setosa\n4.9,3.0,setosa\n", b',', false),
            ("0,1,2,label\n1,2,3,4\n", b',', true),
            ("0,1,2\n5,6,7\n", b',', true),
            ("1,2,3\n5,6,7\n", b',', true),
            ("a;b;c\n1,5;2,5;3,5\n", b';', true),
            ("1,5;2,5;3,5\n1,5;2,5;3,5\n", b';', false),
            ("\"a,b,c\"\tb\n1\t2\n", b'\t', true),
            ("name,city\nx,y\n", b',', true),
            ("a\n1\n", b',', true),
            ("7\n1\n", b',', false),
            ("a,b\nNA,\n", b',', true),
        ] {
            assert_eq!(delimiter_of(text.as_bytes()), delimiter, "{text:?}");
            let mut reader = ReaderBuilder::new()
                .has_headers(false)
                .delimiter(delimiter)
                .from_reader(text.as_bytes());
            let records: Vec<ByteRecord> = reader.byte_records().map(|r| r.expect("CSV")).collect();
            assert_eq!(is_header(&records[0], records.get(1), delimiter), header, "{text:?}");
        }
    }
}
