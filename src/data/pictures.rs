//! Folders of PNG and JPEG images, sub-folders as their classes.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::colour::has_colour;
use super::error::{shown, unfit};
use super::fit::resize;
use super::picture::{decode, has_colour_by_header, size_of};
use super::split::check_memory;
use super::{Channels, DataError, Images, Labels, MAX_IMAGES, MAX_PIXELS, Options};
use crate::numeric::philox::permute;

/// Longest side of the size that is suggested for pictures of many, in pixels.
const SUGGESTED_SIDE: usize = 64;

/// Pictures that are found and not yet read.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// File and class of each, in the order of their paths.
    files: Vec<(PathBuf, usize)>,
    /// Names of the sub-folders, if that is where the files are.
    classes: Vec<String>,
    /// Files that are no pictures, but for those that people do not see.
    others: Vec<PathBuf>,
}

/// What a file is by its name.
enum Kind {
    Picture,
    /// A picture that is not read, or something else.
    Other,
    /// What a desktop keeps in every folder.
    Unseen,
}

fn extension(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

fn kind(path: &Path) -> Kind {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    match (name.as_str(), extension(path).as_str()) {
        ("thumbs.db" | "ehthumbs.db" | "desktop.ini" | "icon\r", _) => Kind::Unseen,
        (_, "png" | "jpg" | "jpeg" | "jpe" | "jfif") => Kind::Picture,
        _ => Kind::Other,
    }
}

/// Whether the name is that of a picture that is not read.
fn is_unread_picture(path: &Path) -> bool {
    matches!(
        extension(path).as_str(),
        "webp" | "gif" | "bmp" | "tif" | "tiff" | "heic" | "heif" | "avif" | "jxl" | "svg"
    )
}

/// The entries of a folder by name, without the hidden ones.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let failed = |cause: io::Error| DataError::Read { path: folder.into(), cause };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// Looks for pictures in a folder, or else in its sub-folders, which are their classes then.
pub(super) fn find(folder: &Path) -> Result<Found, DataError> {
    let mut found = Found::default();
    let mut direct = Vec::new();
    for path in entries(folder)? {
        if path.is_dir() {
            let before = found.files.len();
            descend(&path, found.classes.len(), &mut found)?;
            if found.files.len() > before {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                found.classes.push(name.escape_debug().to_string());
            }
        } else {
            match kind(&path) {
                Kind::Picture => direct.push((path, 0)),
                Kind::Other => found.others.push(path),
                Kind::Unseen => {}
            }
        }
    }
    match (direct.is_empty(), found.files.is_empty()) {
        (true, _) => Ok(found),
        (false, true) => Ok(Found { files: direct, classes: Vec::new(), others: found.others }),
        (false, false) => Err(unfit(
            folder,
            format!(
                "there are pictures both in this folder and in its sub-folder {}; \
                 put all of them in sub-folders, which are their classes, or none",
                found.classes[0]
            ),
        )),
    }
}

/// The pictures at a path: itself, or those below it.
pub(super) fn below(path: &Path) -> Result<Found, DataError> {
    let mut found = Found::default();
    match (path.is_dir(), kind(path)) {
        (true, _) => descend(path, 0, &mut found)?,
        (false, Kind::Picture) => found.files.push((path.into(), 0)),
        (false, Kind::Other) => found.others.push(path.into()),
        (false, Kind::Unseen) => {}
    }
    Ok(found)
}

/// Finds the pictures of a class. Links to folders are not followed here: they may lead in circles.
fn descend(folder: &Path, class: usize, found: &mut Found) -> Result<(), DataError> {
    for path in entries(folder)? {
        if path.is_dir() {
            if !path.is_symlink() {
                descend(&path, class, found)?;
            }
            continue;
        }
        match kind(&path) {
            Kind::Picture => found.files.push((path, class)),
            Kind::Other => found.others.push(path),
            Kind::Unseen => {}
        }
    }
    Ok(())
}

/// What of a folder is not read, if there is anything: pictures beside its parts; and files that are no
/// pictures that are read: how many, the first, and of pictures of other formats how many of each.
pub(super) fn left_out<'a>(
    folder: &Path,
    parts: impl Iterator<Item = &'a Found>,
    beside: &'a [Found],
) -> Option<String> {
    let shown = |path: &Path| shown(path.strip_prefix(folder).unwrap_or(path));
    let mut lines = Vec::new();
    let mut outside = beside.iter().flat_map(|found| &found.files).map(|(path, _)| path);
    if let Some(first) = outside.next() {
        let first = shown(first);
        lines.push(match 1 + outside.count() {
            1 => format!("1 picture beside the parts: {first}"),
            n => format!("{n} pictures beside the parts, {first} the first"),
        });
    }
    let others: Vec<&PathBuf> = parts.chain(beside).flat_map(|found| &found.others).collect();
    if let Some(first) = others.first() {
        let first = shown(first);
        let mut line = match others.len() {
            1 => format!("1 file that is neither PNG nor JPEG: {first}"),
            n => format!("{n} files that are neither PNG nor JPEG, {first} the first"),
        };
        let mut formats: BTreeMap<String, usize> = BTreeMap::new();
        for path in others.iter().filter(|path| is_unread_picture(path)) {
            *formats.entry(extension(path)).or_default() += 1;
        }
        if !formats.is_empty() {
            let counted: Vec<String> = formats.iter().map(|(e, n)| format!("{n} .{e}")).collect();
            line += &format!("; convert pictures ({}) to PNG or JPEG", counted.join(", "));
        }
        lines.push(line);
    }
    (!lines.is_empty()).then(|| lines.join("; and "))
}

impl Found {
    /// Whether there are several.
    pub fn has_classes(&self) -> bool {
        self.classes.len() > 1
    }

    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Puts the files in an order that has nothing to do with their names, the same each time.
    pub fn shuffle(&mut self) {
        let n = self.files.len();
        self.files = (0..n).map(|i| self.files[permute(i, n, [0, 0], 0)].clone()).collect();
    }

    /// Reads the pictures, in the size that is asked for, grey or in colour. Beside them, how many of
    /// them are grey. `classes` are the names of all, if other pictures have classes too.
    ///
    /// # Errors
    ///
    /// A picture that cannot be read, or of another size than the others with no size for all.
    fn read(
        &self,
        options: &Options,
        channels: Channels,
        classes: &[String],
    ) -> Result<(Images, usize), DataError> {
        let (first, _) = &self.files[0];
        if self.files.len() as u64 > MAX_IMAGES {
            return Err(unfit(first, format!("this is one of more than {MAX_IMAGES} images")));
        }
        let size = options.size;
        let target = match size {
            Some(size) => size,
            None => {
                let picture = decode(first, channels)?;
                (picture.height() as usize, picture.width() as usize)
            }
        };
        let (height, width) = target;
        let (of_pixel, n) = (channels.count(), self.files.len());
        let d = height * width * of_pixel;
        if d as u64 > MAX_PIXELS {
            return Err(unfit(
                first,
                format!(
                    "{height}x{width} are more than {} pixels; `size` HEIGHTxWIDTH shrinks them",
                    MAX_PIXELS / of_pixel as u64
                ),
            ));
        }
        check_memory(first, n, (height, width), of_pixel)?;
        let needed = n * d;
        let mut pixels = Vec::new();
        pixels.try_reserve_exact(needed).map_err(|_| {
            unfit(
                first,
                format!(
                    "{n} pictures of {height}x{width} need {needed} bytes of memory; \
                     `size` HEIGHTxWIDTH shrinks them"
                ),
            )
        })?;
        pixels.resize(needed, 0);
        let greys = AtomicUsize::new(0);
        pixels.par_chunks_exact_mut(d).zip(&self.files).try_for_each(|(pixels, (path, _))| {
            let mut picture = decode(path, channels)?;
            let (rows, columns) = (picture.height() as usize, picture.width() as usize);
            if (rows, columns) != target {
                if size.is_none() {
                    return Err(self.mixed(path, (rows, columns), target));
                }
                picture = resize(&picture, target, options.fit);
            }
            pixels.copy_from_slice(picture.as_bytes());
            if channels == Channels::Colour && !has_colour(pixels) {
                greys.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        })?;
        let labels = (!self.classes.is_empty()).then(|| {
            let number = |name: &String| {
                classes.iter().position(|class| class == name).unwrap_or_default() as u16
            };
            let numbers: Vec<u16> = self.classes.iter().map(number).collect();
            Labels {
                classes: self.files.iter().map(|&(_, class)| numbers[class]).collect(),
                names: classes.into(),
            }
        });
        let pixels = pixels.into();
        let images = Images { n_images: n, height, width, channels: of_pixel, pixels, labels };
        Ok((images, greys.into_inner()))
    }
}

/// Reads the pictures of each, as [`Options`] say. Without a word about channels, all are in colour if one picture
/// is. Beside them, what is to be said where grey ones are among those in colour.
///
/// # Errors
///
/// As [`Found::read`].
pub(super) fn read(
    all: &[&Found],
    options: &Options,
    classes: &[String],
) -> Result<(Vec<Images>, Option<String>), DataError> {
    // Files of colours may hold greys alone, files of greys no colour.
    let may_have_colour = || {
        all.iter().any(|found| found.files.par_iter().any(|(path, _)| has_colour_by_header(path)))
    };
    let channels = options.channels.unwrap_or_else(|| match may_have_colour() {
        true => Channels::Colour,
        false => Channels::Grey,
    });
    let (mut read, mut greys) = (Vec::new(), 0);
    for found in all {
        let (images, grey) = found.read(options, channels, classes)?;
        greys += grey;
        read.push(images);
    }
    let n: usize = read.iter().map(|images| images.n_images).sum();
    if options.channels.is_some() || greys == 0 {
        return Ok((read, None));
    }
    if greys == n {
        read.iter_mut().for_each(|images| images.become_channels(Channels::Grey));
        return Ok((read, None));
    }
    let are = if greys == 1 { "is" } else { "are" };
    let line = format!(
        "{greys} of the {n} pictures {are} grey, the others are in colour, and so all are read; `channels` grey \
         reads all as grey"
    );
    Ok((read, Some(line)))
}

impl Found {
    /// That a picture is of another size than the first, with a size that would suit all.
    fn mixed(
        &self,
        path: &Path,
        (rows, columns): (usize, usize),
        first: (usize, usize),
    ) -> DataError {
        let mut counts: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        let sizes = self.files.par_iter().filter_map(|(path, _)| size_of(path).ok());
        for size in sizes.collect::<Vec<_>>() {
            *counts.entry(size).or_default() += 1;
        }
        // The commonest; of equally common ones, the smallest, and the lower of two.
        let area = |(height, width): (usize, usize)| height * width;
        let common =
            counts.into_iter().max_by_key(|&(size, count)| (count, Reverse((area(size), size))));
        let common = common.map_or(first, |(size, _)| size);
        let longest = common.0.max(common.1);
        let side = |side: usize| match longest > SUGGESTED_SIDE {
            true => ((side * SUGGESTED_SIDE + longest / 2) / longest).max(1),
            false => side,
        };
        let (height, width) = (side(common.0), side(common.1));
        unfit(
            path,
            format!(
                "this picture is {rows}x{columns} (height x width), {} is {}x{}; \
                 `size` HEIGHTxWIDTH brings all to one size, for example `size` {height}x{width}",
                shown(&self.files[0].0),
                first.0,
                first.1
            ),
        )
    }
}

/// The class names of all parts, sorted.
pub(super) fn all_classes<'a>(
    folder: &Path,
    parts: impl Iterator<Item = &'a Found>,
) -> Result<Vec<String>, DataError> {
    let mut names: Vec<String> = parts.flat_map(|found| found.classes.iter().cloned()).collect();
    names.sort();
    names.dedup();
    match names.len() <= usize::from(u16::MAX) {
        true => Ok(names),
        false => Err(unfit(folder, "there are more than 65535 sub-folders with pictures")),
    }
}
