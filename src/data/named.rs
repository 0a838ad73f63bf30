//! Which array is what, by its name: training or test, images or classes.

use std::path::Path;

use super::array::Array;
use super::{DataError, Images, Labels, MAX_UNPACKED, Part, Parts};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Train,
    Test,
    Validation,
    /// Of no part: the whole set.
    Whole,
}

impl Role {
    /// The part that a word names, if it names one.
    pub fn of_word(word: &str) -> Option<Role> {
        Some(match word {
            "train" | "training" => Role::Train,
            "test" | "testing" | "t10k" => Role::Test,
            "val" | "valid" | "validation" | "dev" => Role::Validation,
            _ => return None,
        })
    }
}

/// An array, and the one of its classes if there is one.
#[derive(Clone, Copy)]
pub(super) struct Named<'a> {
    pub array: &'a Array,
    pub classes: Option<&'a Array>,
}

/// The training, test and validation arrays of those that belong to `path`, named as in `x_train`, `train_images` or
/// `train.npy` and `y_test` or `test-labels`, or with `val` in their name. Without a name of a part they are the whole
/// set, and are left alone beside training images.
///
/// # Errors
///
/// No training array, or several of a role.
pub(super) fn find<'a>(
    path: &Path,
    arrays: &'a [Array],
) -> Result<(Named<'a>, [Option<Named<'a>>; 2]), DataError> {
    let mut images: Vec<(Role, &Array)> = Vec::new();
    let mut classes: Vec<(Role, &Array)> = Vec::new();
    for array in arrays {
        let (role, is_classes) = role(array);
        // One alone is images, whatever it is called.
        let is_classes = is_classes && !(arrays.len() == 1 && array.has_rows());
        if is_classes || array.is_column_of_integers() {
            classes.push((role, array));
        } else if array.has_rows() {
            images.push((role, array));
        }
    }
    let one = |among: &[(Role, &'a Array)], role: Role| -> Result<Option<usize>, DataError> {
        let mut of_role = among.iter().enumerate().filter(|(_, (r, _))| *r == role);
        match (of_role.next(), of_role.next()) {
            (Some((_, (_, first))), Some((_, (_, second)))) => Err(DataError::Unfit {
                path: path.into(),
                message: format!(
                    "{} and {} could be the same part; {NAMES}",
                    first.shown(),
                    second.shown()
                ),
            }),
            (first, _) => Ok(first.map(|(i, _)| i)),
        }
    };
    let train = match one(&images, Role::Train)? {
        Some(train) => Some(train),
        // A file alone is the whole set, whatever its name says.
        None if images.len() == 1 && images[0].1.name.is_none() => Some(0),
        None => one(&images, Role::Whole)?,
    };
    let Some(train) = train else {
        let there: Vec<String> = arrays.iter().take(8).map(Array::shown).collect();
        let there = match there.is_empty() {
            true => "no arrays".to_string(),
            false => there.join(", "),
        };
        return Err(DataError::Unfit {
            path: path.into(),
            message: format!("there are {there}, but no training images; {NAMES}"),
        });
    };
    let roles = [Some(train), one(&images, Role::Test)?, one(&images, Role::Validation)?];
    let unpacked: Vec<u64> = roles.iter().flatten().map(|&i| images[i].1.unpacked()).collect();
    // One that is too large by itself says it by itself.
    let sum = unpacked.iter().fold(0, |sum: u64, &bytes| sum.saturating_add(bytes));
    if sum > MAX_UNPACKED && unpacked.iter().all(|&bytes| bytes <= MAX_UNPACKED) {
        let message = format!(
            "its arrays unpack to more than {MAX_UNPACKED} bytes; larger ones need .npy files"
        );
        return Err(DataError::Unfit { path: path.into(), message });
    }
    let named = |i: usize| -> Result<Named<'a>, DataError> {
        let (role, array) = images[i];
        let of_role = one(&classes, role)?;
        Ok(Named { array, classes: of_role.map(|i| classes[i].1) })
    };
    let of = |i: Option<usize>| i.filter(|&i| i != train).map(named).transpose();
    Ok((named(train)?, [of(roles[1])?, of(roles[2])?]))
}

/// The images of the arrays that belong to `path`, see [`find`].
///
/// # Errors
///
/// No array or several of a role, an array that does not fit its role.
pub(super) fn assign(
    path: &Path,
    arrays: &[Array],
    size: Option<(usize, usize)>,
) -> Result<Parts, DataError> {
    let part = |named: Named| -> Result<Part, DataError> {
        let (mut found, bytes) = named.array.images(size)?;
        if let Some(classes) = named.classes {
            found.labels = Some(labels(classes, named.array, &found)?);
        }
        Ok(Part { path: named.array.path.clone(), images: found, bytes })
    };
    let (train, [test, valid]) = find(path, arrays)?;
    let [test, valid] = [test.map(part).transpose()?, valid.map(part).transpose()?];
    Ok(Parts { train: part(train)?, test, valid })
}

const NAMES: &str = "images are found by names like x_train and x_test, their classes by y_train and y_test \
                     or train_labels and test_labels";

/// By the words of its name and of its file's. Of a file with names of its own, the file's says which
/// part, too: `train.npz` with an array `images`.
fn role(array: &Array) -> (Role, bool) {
    let file = array.path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    let name = array.name.as_deref().unwrap_or_default().to_lowercase();
    let mut role = Role::Whole;
    let mut is_classes = false;
    // The array's own name is the last to speak.
    for word in file.split(is_between).chain(name.split(is_between)) {
        role = Role::of_word(word).unwrap_or(role);
        is_classes |=
            matches!(word, "y" | "label" | "labels" | "target" | "targets" | "class" | "classes");
    }
    (role, is_classes)
}

fn is_between(c: char) -> bool {
    !c.is_alphanumeric()
}

fn labels(classes: &Array, of: &Array, images: &Images) -> Result<Labels, DataError> {
    let numbers = classes.classes()?;
    match numbers.len() == images.n_images {
        true => Ok(Labels::numbered(numbers)),
        false => Err(classes.unfit(format!(
            "{} classes for the {} images of {}; expected one per image",
            numbers.len(),
            images.n_images,
            of.shown()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::array::Place;
    use super::super::element::Element;
    use super::*;

    /// What several arrays unpack to counts together, and nothing of it is unpacked before.
    #[test]
    fn arrays_share_a_budget() {
        let array = |name: &str| Array {
            path: "a.npz".into(),
            name: Some(name.to_string()),
            element: Element::Bool,
            shape: vec![1 << 20, 64, 24],
            place: Place::Entry(0, 128),
        };
        let arrays = vec![array("x_train"), array("x_test")];
        let Err(error) = assign(Path::new("a.npz"), &arrays, None) else { panic!("it is read") };
        assert!(error.to_string().contains("unpack to more than 2147483648 bytes"), "{error}");
    }
}
