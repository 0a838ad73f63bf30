//! Where drawn and reconstructed images go, or rows of a table: into one picture, an array, a picture each, or a CSV.

use std::path::{MAIN_SEPARATOR, Path, PathBuf};

use super::Failure;
use crate::checkpoint::{NewFolder, RunFolder, SAMPLES, check_writable, write_whole};
use crate::data::Table;
use crate::device::available_memory;
use crate::image_shape::ImageShape;
use crate::interchange::arrays::{Elements, npy};
use crate::report::figures::{Layout, grid, level, picture};
use crate::report::movie::gif;
use crate::report::rows::{add_rows, header};

/// Most images of one picture.
const IN_A_PICTURE: usize = 10_000;
/// Most images or rows of anything else.
const MOST: usize = 10_000_000;
/// Digits of the number in a picture's name, at least.
const DIGITS: usize = 4;

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One PNG of all images.
    Grid,
    /// A folder with a PNG of each image.
    Pictures,
    /// NumPy's array: levels (N, height, width) or (N, height, width, 3), or the rows of a table (N, D).
    Array,
    /// The rows of a table as CSV.
    Rows,
    /// An animated GIF that shows so many images a second.
    Movie(u32),
}

/// Where it is written to.
pub struct Output {
    pub path: PathBuf,
    pub form: Form,
}

impl Output {
    /// The given file or folder, or else the run's `own` picture or CSV.
    ///
    /// # Errors
    /// A name that tells nothing that images, or rows, are written as; or nothing can be written there.
    pub fn of(given: Option<PathBuf>, folder: &RunFolder, own: &str) -> Result<Self, Failure> {
        let is_table = own.ends_with(".csv");
        let usual = if is_table { Form::Rows } else { Form::Grid };
        let Some(path) = given else {
            folder.check_own_files().map_err(Failure::input)?;
            let path = folder.file(own);
            check_writable(&path).map_err(Failure::input)?;
            return Ok(Output { path, form: usual });
        };
        let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        let form = match (extension.as_deref(), is_table) {
            (_, false) if is_folder(&path) => Form::Pictures,
            (Some("npy"), _) => Form::Array,
            (Some("csv"), true) => Form::Rows,
            (Some("png"), false) => Form::Grid,
            // A pipe or a device has no extension.
            (None, _) if !is_folder(&path) => usual,
            (_, true) => {
                return Err(Failure::input(format!(
                    "--out {}: the table is a CSV, name it FILE.csv, or an array, FILE.npy",
                    path.display()
                )));
            }
            (_, false) => {
                return Err(Failure::input(format!(
                    "--out {}: the picture is a PNG, name it FILE.png; an array is FILE.npy, a picture each FOLDER/",
                    path.display()
                )));
            }
        };
        match form {
            Form::Pictures => NewFolder::check(&path).map_err(Failure::input)?,
            Form::Grid | Form::Array | Form::Rows | Form::Movie(_) => {
                check_writable(&path).map_err(Failure::input)?;
            }
        }
        Ok(Output { path, form })
    }

    /// The same of images that follow each other, `rate` a second: FILE.gif, too.
    ///
    /// # Errors
    /// As [`Output::of`].
    pub fn of_movie(path: PathBuf, folder: &RunFolder, rate: u32) -> Result<Self, Failure> {
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gif")) {
            check_writable(&path).map_err(Failure::input)?;
            return Ok(Output { path, form: Form::Movie(rate) });
        }
        Output::of(Some(path), folder, SAMPLES)
    }

    /// # Errors
    /// None, more than can be shown, or more than there is memory for, of `values` each.
    pub fn check_count(&self, count: usize, values: usize) -> Result<(), Failure> {
        let (most, bytes) = match self.form {
            Form::Grid | Form::Movie(_) => (IN_A_PICTURE, 2 * size_of::<f32>()),
            Form::Pictures => (MOST, 0),
            Form::Array => (MOST, 2 * size_of::<f32>()),
            Form::Rows => (MOST, 2 * 12), // about twelve characters a cell
        };
        if !(1..=most).contains(&count) {
            let more = match (self.form, count > most) {
                (Form::Grid, true) => "; --out FILE.npy and --out FOLDER/ take more",
                _ => "",
            };
            return Err(Failure::input(format!(
                "--count must be from 1 to {most}, got {count}{more}"
            )));
        }
        let needed = count.saturating_mul(values).saturating_mul(bytes);
        match available_memory() {
            Some(free) if needed > free => Err(Failure::input(format!(
                "--count {count}: they need {needed} bytes of memory, more than is free ({free})"
            ))),
            _ => Ok(()),
        }
    }
}

/// Whether a path names a folder: by its end, or because one is there.
fn is_folder(path: &Path) -> bool {
    path.to_string_lossy().ends_with(['/', MAIN_SEPARATOR]) || path.is_dir()
}

/// What is on its way to an [`Output`], image by image.
pub struct Sink<'a> {
    output: &'a Output,
    /// Of an image.
    shape: ImageShape,
    /// The columns, of a table.
    table: Option<&'a Table>,
    /// How many there are to be.
    count: usize,
    /// How many there are.
    done: usize,
    kept: Kept,
}

/// What there is so far.
enum Kept {
    Images(Vec<Vec<f32>>),
    Levels(Vec<u8>),
    Reals(Vec<f32>),
    Text(String),
    Folder(NewFolder),
}

impl<'a> Sink<'a> {
    /// For `count` images of this shape, or rows of a table.
    ///
    /// # Errors
    /// The disk.
    pub fn new(
        output: &'a Output,
        shape: ImageShape,
        table: Option<&'a Table>,
        count: usize,
    ) -> Result<Self, Failure> {
        let kept = match (output.form, table) {
            (Form::Grid | Form::Movie(_), _) => Kept::Images(Vec::new()),
            (Form::Pictures, _) => {
                Kept::Folder(NewFolder::begin(&output.path).map_err(Failure::input)?)
            }
            (Form::Array, None) => Kept::Levels(Vec::new()),
            (Form::Array, Some(_)) => Kept::Reals(Vec::new()),
            (Form::Rows, table) => Kept::Text(table.map_or(String::new(), header)),
        };
        Ok(Sink { output, shape, table, count, done: 0, kept })
    }

    /// Takes the next images or rows, (R, D).
    ///
    /// # Errors
    /// The disk, or a number that is none.
    pub fn add(&mut self, values: &[f32]) -> Result<(), Failure> {
        let d = self.shape.values();
        if let Some(at) = values.iter().position(|v| !v.is_finite()) {
            let number = self.done + at / d + 1;
            return Err(Failure::run(format!("number {number}: the decoder's numbers overflow")));
        }
        let rows = values.chunks_exact(d);
        let before = self.done;
        self.done += rows.len();
        match (&mut self.kept, self.table) {
            (Kept::Images(images), _) => images.extend(rows.map(<[f32]>::to_vec)),
            (Kept::Levels(levels), _) => levels.extend(values.iter().map(|&v| level(v))),
            (Kept::Reals(reals), Some(table)) => {
                reals.extend(rows.flat_map(|row| table.restore(row)).map(|v| v as f32));
            }
            (Kept::Text(text), Some(table)) => add_rows(text, table, rows),
            (Kept::Reals(_) | Kept::Text(_), None) => unreachable!("rows are a table's"),
            (Kept::Folder(folder), _) => {
                let digits = DIGITS.max(self.count.to_string().len());
                for (i, image) in rows.enumerate() {
                    let png = picture(image, self.shape).map_err(Failure::run)?;
                    let name = format!("{:0digits$}.png", before + i + 1);
                    folder.write(&name, &png).map_err(Failure::run)?;
                }
            }
        }
        Ok(())
    }

    /// How many images or rows these values are.
    pub fn rows_of(&self, values: &[f32]) -> usize {
        values.len() / self.shape.values()
    }

    /// Writes what is not yet written; `layout` is that of one picture.
    ///
    /// # Errors
    /// The disk.
    pub fn finish(self, layout: Layout) -> Result<(), Failure> {
        let ImageShape { height, width, channels } = self.shape;
        let bytes = match self.kept {
            Kept::Images(images) => match self.output.form {
                Form::Movie(rate) => gif(&images, self.shape, rate),
                _ => grid(&images, self.shape, layout),
            }
            .map_err(Failure::run)?,
            Kept::Levels(levels) => {
                let shape = [self.done, height, width, channels];
                let dimensions = if channels == 1 { 3 } else { 4 };
                npy(&shape[..dimensions], Elements::U8(&levels))
            }
            Kept::Reals(reals) => npy(&[self.done, self.shape.values()], Elements::F32(&reals)),
            Kept::Text(text) => text.into_bytes(),
            Kept::Folder(folder) => return folder.finish().map_err(Failure::run),
        };
        write_whole(&self.output.path, &bytes).map_err(Failure::run)
    }
}
