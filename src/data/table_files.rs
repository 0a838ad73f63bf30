//! Tables from files: which files they are, which of their columns are modelled, and the parts that are held out.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::array::Array;
use super::error::{shown, unfit};
use super::named::{self, Named};
use super::split::{TESTS_ROWS, VALIDATES_ROWS, held_by, percent};
use super::table::LARGEST_COUNT;
use super::table_rows::{Rows, leave_out_index, modelled};
use super::{
    DataError, Dataset, Images, Labels, MAX_IMAGES, MAX_PIXELS, Options, Table, TableOptions,
    array_files, files, table_csv,
};
use crate::config_error::ConfigError;
use crate::numeric::philox::permute;

/// The table at a path: a `.csv` or `.tsv` file, a folder with `train.csv`, or arrays that are a table; `None` of what is
/// none.
pub(super) fn load(
    path: &Path,
    options: &Options,
    note: &mut dyn FnMut(String),
) -> Result<Option<Dataset>, DataError> {
    let asked = options.table.as_deref().cloned().unwrap_or_default();
    let Some(mut found) = parts(path, options, &asked)? else { return Ok(None) };
    if options.size.is_some() {
        let (height, width) = options.size.unwrap_or_default();
        let right = "leave `size` out";
        let size = format!("{height}x{width}");
        return Err(ConfigError::conflict("size", size, "is for images", right).into());
    }
    if let Some(line) = found.iter_mut().flatten().find_map(leave_out_index) {
        note(line);
    }
    dataset(path, found, &asked, options.valid, note).map(Some)
}

/// The rows of arrays that [`load`] takes whole, with all of their columns, and which of these the run's are.
pub(super) fn scored(path: &Path, options: &Options) -> Result<(Rows, Vec<usize>), DataError> {
    let asked = options.table.as_deref().cloned().unwrap_or_default();
    let asked = TableOptions { whole: true, ..asked };
    let [train, test, _] = parts(path, options, &asked)?.unwrap_or_default();
    let rows = test.or(train).ok_or_else(|| unfit(path, "this is no table"))?;
    let columns = modelled(&rows, &asked)?;
    Ok((rows, columns))
}

/// Training, test and validation rows.
type Found = [Option<Rows>; 3];

fn parts(path: &Path, options: &Options, asked: &TableOptions) -> Result<Option<Found>, DataError> {
    let label = |name: &str| match (&asked.label, &asked.like) {
        (Some(label), _) => name == label,
        (None, Some(like)) => like.label.as_deref() == Some(name),
        (None, None) => {
            !asked.drop.iter().any(|dropped| dropped == name)
                && ["label", "class"].iter().any(|known| name.eq_ignore_ascii_case(known))
        }
    };
    let read = |path: PathBuf| table_csv::read(&path, &label);
    let is_folder = path.is_dir();
    if !is_folder && table_csv::is_csv(path) {
        path.metadata().map_err(|cause| match cause.kind() {
            io::ErrorKind::NotFound => DataError::NotFound { path: path.into() },
            _ => DataError::Read { path: path.into(), cause },
        })?;
        let beside = |part: &str| match asked.whole {
            true => Ok(None),
            false => files::find_sibling(path, |name| name.replace("train", part)),
        };
        let [test, valid] = [beside("test")?, beside("val")?];
        let [test, valid] = [test.map(read).transpose()?, valid.map(read).transpose()?];
        return Ok(Some([Some(read(path.to_path_buf())?), test, valid]));
    }
    if is_folder {
        let find = |part: &str| {
            let names = ["csv", "tsv", "csv.gz", "tsv.gz"].map(|end| format!("{part}.{end}"));
            names.iter().map(|name| path.join(name)).find(|file| file.is_file())
        };
        if let Some(train) = find("train") {
            let part = |name| find(name).map(read).transpose();
            return Ok(Some([Some(read(train)?), part("test")?, part("val")?]));
        }
    }
    let arrays = match (is_folder, array_files::is_array_file(path)) {
        (true, _) => array_files::list_folder(path)?,
        (false, true) if path.exists() => {
            let mut arrays = array_files::list(path)?;
            for part in ["test", "val"] {
                let sibling = files::find_sibling(path, |name| name.replace("train", part))?;
                if let Some(sibling) = sibling.filter(|_| !asked.whole) {
                    arrays.extend(array_files::list(&sibling)?);
                }
            }
            arrays
        }
        _ => return Ok(None),
    };
    if arrays.is_empty() {
        return Ok(None);
    }
    let is_asked = asked.table || asked.like.is_some();
    // What is wrong with the arrays is said where they are read as images.
    let (train, [test, valid]) = match (named::find(path, &arrays), is_asked) {
        (Ok(found), _) => found,
        (Err(error), true) => return Err(error),
        (Err(_), false) => return Ok(None),
    };
    let could_be_images = options.size.is_some() || options.channels.is_some();
    if !is_asked && (could_be_images || !looks_like_table(train.array)?) {
        return Ok(None);
    }
    let rows = |named: Option<Named>| named.map(|named| rows_of(named, asked)).transpose();
    Ok(Some([rows(Some(train))?, rows(test)?, rows(valid)?]))
}

/// Whether an array can be no images: two dimensions, of rows that are no squares, with numbers that are no levels.
fn looks_like_table(array: &Array) -> Result<bool, DataError> {
    let &[n, d] = &array.shape[..] else { return Ok(false) };
    if !array.can_be_table() || n == 0 || d.isqrt().pow(2) == d {
        return Ok(false);
    }
    let numbers = array.numbers_or_infinite()?;
    Ok(!numbers.iter().all(|v| (0.0..=1.0).contains(v)))
}

fn rows_of(named: Named, asked: &TableOptions) -> Result<Rows, DataError> {
    let Named { array, classes } = named;
    let [n, d] = array.shape[..] else {
        return Err(array.unfit(format!("its shape is {}; a table is (N, D)", array.size())));
    };
    if [n, d].contains(&0) || n > MAX_IMAGES || d > MAX_PIXELS {
        return Err(array.unfit(format!(
            "its shape is {}; a table has from 1 to {MAX_IMAGES} rows and {MAX_PIXELS} columns",
            array.size()
        )));
    }
    let names: Vec<String> = (1..=d).map(|number| number.to_string()).collect();
    let mut cells = array.numbers()?;
    let mut labels = match classes {
        Some(classes) => {
            Some(classes.classes()?.iter().map(u16::to_string).collect::<Vec<String>>())
        }
        None => None,
    };
    if let Some(labels) = &labels
        && labels.len() as u64 != n
    {
        return Err(unfit(
            &array.path,
            format!("{} classes for the {n} rows of {}", labels.len(), array.shown()),
        ));
    }
    let name = asked.label.as_ref().or(asked.like.as_ref().and_then(|like| like.label.as_ref()));
    let label = name.and_then(|name| names.iter().position(|own| own == name));
    if let Some(label) = label {
        let of_row = cells.iter_mut().skip(label).step_by(d as usize);
        labels = Some(of_row.map(|cell| std::mem::replace(cell, f64::NAN).to_string()).collect());
    }
    Ok(Rows {
        path: array.path.clone(),
        named: false,
        texts: vec![None; names.len()],
        numbers: (1..=names.len()).collect(),
        names,
        cells,
        lines: Vec::new(),
        label,
        classes: labels,
    })
}

fn dataset(
    path: &Path,
    found: Found,
    asked: &TableOptions,
    share: Option<f64>,
    note: &mut dyn FnMut(String),
) -> Result<Dataset, DataError> {
    let [train, mut test, mut valid] = found;
    let train = train.expect("there are training rows");
    let label = train.label.map(|label| train.names[label].clone());
    let columns = modelled(&train, asked)?;
    // Other parts have the columns of the training rows, by name.
    let columns_of = |rows: Rows| -> Result<Rows, DataError> {
        let like =
            Table::unscaled(&columns.iter().map(|&c| train.names[c].clone()).collect::<Vec<_>>());
        let asked = TableOptions { like: Some(like), ..TableOptions::default() };
        let own = modelled(&rows, &asked)?;
        Ok(rows.choose(&own))
    };
    [test, valid] = [test.map(columns_of).transpose()?, valid.map(columns_of).transpose()?];
    let mut train = train.choose(&columns);
    let mut name = shown(path);
    if asked.whole {
        train = test.take().unwrap_or(train);
        valid = None;
    } else if test.is_none()
        && let Some(rows) = valid.take()
    {
        name += &format!(
            " ({}{TESTS_ROWS}",
            shown(Path::new(rows.path.file_name().unwrap_or_default()))
        );
        test = Some(rows);
    }
    let n = train.count();
    let shuffled: Vec<usize> = (0..n).map(|i| permute(i, n, [0, 0], 0)).collect();
    let hold_out = |held: usize| -> Result<(Rows, Rows), DataError> {
        match n {
            1 => {
                Err(unfit(&train.path, "it has 1 row; at least 2 are needed to hold out test rows"))
            }
            n => Ok((train.take(&shuffled[..n - held]), train.take(&shuffled[n - held..]))),
        }
    };
    if asked.whole {
    } else if test.is_none() {
        let held = match share {
            Some(share) => held_by(share, n, &train.path)?,
            None => ((n as f64 / 6.0).round() as usize).max(1),
        };
        let (rest, held) = hold_out(held)?;
        let which = share.map_or("a sixth".to_string(), percent);
        name += &format!(" ({which} of the rows, drawn at random, held out{TESTS_ROWS}");
        (train, test) = (rest, Some(held));
    } else if let Some(share) = share {
        if valid.is_some() {
            return Err(ConfigError::conflict(
                "valid",
                share,
                format!("is for data without validation rows, and {name} has some"),
                "leave `valid` out",
            )
            .into());
        }
        let (rest, held) = hold_out(held_by(share, n, &train.path)?)?;
        name += &format!(" ({}{VALIDATES_ROWS}", percent(share));
        (train, valid) = (rest, Some(held));
    }

    let all = [Some(&mut train), test.as_mut(), valid.as_mut()];
    let mut all: Vec<&mut Rows> = all.into_iter().flatten().collect();
    let (scaled, constant) = scaled(&all, asked)?;
    if !constant.is_empty() {
        note(format!("{}: {}", shown(path), said_of_constants(&constant, all[0])));
        let columns: Vec<usize> = (0..all[0].names.len())
            .filter(|column| !constant.iter().any(|(of, _)| of == column))
            .collect();
        if columns.is_empty() {
            return Err(unfit(path, "every column is constant: there is nothing to model"));
        }
        for rows in &mut all {
            let taken = rows.take(&(0..rows.count()).collect::<Vec<_>>());
            **rows = taken.choose(&columns);
        }
    }
    let classes = classes_of(&all, asked)?;
    let table = Arc::new(Table { label, classes: classes.clone(), ..scaled });
    let classes: Arc<[String]> = classes.into();
    let images = |rows: &Rows| images_of(rows, &table, &classes);
    let train_images = images(&train)?;
    let test = match &test {
        Some(test) => images(test)?,
        None => train_images.clone(),
    };
    Ok(Dataset { name, train: train_images, test, valid: valid.as_ref().map(images).transpose()? })
}

/// How the columns are scaled, of the training rows, which are the first; and those that have one value in them, with
/// that, or none.
type Scaled = (Table, Vec<(usize, Option<f64>)>);

fn scaled(all: &[&mut Rows], asked: &TableOptions) -> Result<Scaled, DataError> {
    let train = &all[0];
    if asked.counts {
        for rows in all {
            check_counts(rows)?;
        }
    }
    match &asked.like {
        // Columns are in the run's order by now.
        Some(like) => return Ok((like.clone(), Vec::new())),
        None if asked.counts => return Ok((Table::unscaled(&train.names), Vec::new())),
        None => {}
    }
    let table = Table::of(&train.names, &train.cells)?;
    let d = train.names.len();
    let value = |column: usize| {
        let mut observed = train.cells.iter().skip(column).step_by(d).filter(|v| !v.is_nan());
        let first = observed.next().copied();
        observed.all(|&v| Some(v) == first).then_some((column, first))
    };
    let constant: Vec<(usize, Option<f64>)> = (0..d).filter_map(value).collect();
    let is_kept = |(column, _): &(usize, _)| !constant.iter().any(|(of, _)| of == column);
    let columns = table.columns.into_iter().enumerate().filter(is_kept);
    Ok((Table { columns: columns.map(|(_, c)| c).collect(), ..Table::default() }, constant))
}

fn said_of_constants(constant: &[(usize, Option<f64>)], rows: &Rows) -> String {
    const MOST: usize = 8;
    let one = |&(column, value): &(usize, Option<f64>)| match value {
        Some(value) => format!("column {} is {value} in every training row", rows.named(column)),
        None => format!("column {} has no cell that is observed", rows.named(column)),
    };
    let said: Vec<String> = constant.iter().take(MOST).map(one).collect();
    let more = match constant.len().saturating_sub(MOST) {
        0 => String::new(),
        more => format!(", and {more} more are constant"),
    };
    let them = if constant.len() == 1 { "it is" } else { "they are" };
    format!("{}{more}; {them} left out", said.join(", "))
}

fn check_counts(rows: &Rows) -> Result<(), DataError> {
    let d = rows.names.len();
    let is_count = |v: f64| (0.0..=LARGEST_COUNT).contains(&v) && v.fract() == 0.0;
    match rows.cells.iter().position(|&v| !is_count(v)) {
        None => Ok(()),
        Some(i) => {
            let place = rows.place(i / d, i % d);
            let cell = rows.cells[i];
            let message = match cell.is_nan() {
                true => format!("{place}: the cell is missing; counts must be there"),
                false => format!(
                    "{place}: {cell} is no count: counts are whole numbers from 0 to {LARGEST_COUNT}"
                ),
            };
            Err(unfit(&rows.path, message))
        }
    }
}

/// The names of all classes: numbers in their order, others in that of the alphabet; those of a run come first.
fn classes_of(all: &[&mut Rows], asked: &TableOptions) -> Result<Vec<String>, DataError> {
    let there: BTreeSet<&String> =
        all.iter().filter_map(|rows| rows.classes.as_ref()).flatten().collect();
    let mut names: Vec<String> = there.into_iter().cloned().collect();
    let number = |name: &String| name.parse::<f64>().ok().filter(|v| v.is_finite());
    if names.iter().all(|name| number(name).is_some()) {
        names.sort_by(|a, b| number(a).partial_cmp(&number(b)).expect("they are finite"));
    }
    if let Some(like) = &asked.like {
        names.retain(|name| !like.classes.contains(name));
        names.splice(0..0, like.classes.iter().cloned());
    }
    match names.len() > usize::from(u16::MAX) {
        true => Err(unfit(&all[0].path, format!("`label`: {} classes are too many", names.len()))),
        false => Ok(names),
    }
}

fn images_of(rows: &Rows, table: &Arc<Table>, names: &Arc<[String]>) -> Result<Images, DataError> {
    let d = table.columns.len();
    let far = |(i, &cell): (usize, &f64)| table.columns[i % d].standardise(cell).is_none();
    if let Some(i) = rows.cells.iter().enumerate().position(far) {
        let (place, column) = (rows.place(i / d, i % d), &table.columns[i % d]);
        let message = format!(
            "{place}: {} is too far from the mean {} of the training rows, whose standard deviation is {}",
            rows.cells[i], column.mean, column.deviation
        );
        return Err(unfit(&rows.path, message));
    }
    let mut images = Images::of_table(table.clone(), &rows.cells)?;
    if let Some(classes) = &rows.classes {
        let number = |name: &String| names.iter().position(|own| own == name).unwrap_or(0) as u16;
        let classes = classes.iter().map(number).collect();
        images.labels = Some(Labels { classes, names: names.clone() });
    }
    Ok(images)
}
