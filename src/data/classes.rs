//! The classes of images, for a model that is told them.

use sha2::{Digest, Sha256};

use super::{Dataset, Images};
use crate::config_error::ConfigError;
use crate::text::listed;

const FIELD: &str = "architecture.classes";

impl Images {
    /// The names of the classes that any of the images has, in the order of their numbers; none without labels.
    pub fn classes(&self) -> Vec<String> {
        let Some(labels) = &self.labels else { return Vec::new() };
        let mut has = vec![false; labels.names.len()];
        for &class in &labels.classes {
            if let Some(has) = has.get_mut(usize::from(class)) {
                *has = true;
            }
        }
        labels.names.iter().zip(has).filter(|(_, has)| *has).map(|(name, _)| name.clone()).collect()
    }

    /// The place of each image's class among `names`, (N); empty where there are no names. Errors call the images `what`.
    ///
    /// # Errors
    /// The images have no labels, too few, or a class that is not among the names.
    pub fn classes_among(&self, names: &[String], what: &str) -> Result<Vec<u16>, ConfigError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let wrong = |problem: String, right: &str| {
            Err(ConfigError::conflict(FIELD, "labels", problem, right))
        };
        let Some(labels) = &self.labels else {
            return wrong(
                format!("is for images with classes, and {what} have none"),
                "give labels with them, as sub-folders by class are, or a labels file beside the images",
            );
        };
        let (n, given) = (self.n_images, labels.classes.len());
        if given != n {
            return wrong(
                format!("is for a class of each image, and {what}, {n}, have {given}"),
                "give one each",
            );
        }
        let places: Vec<Option<u16>> = labels
            .names
            .iter()
            .map(|name| {
                names.iter().position(|known| known == name).and_then(|i| i.try_into().ok())
            })
            .collect();
        let mut classes = Vec::with_capacity(n);
        for (image, &class) in labels.classes.iter().enumerate() {
            match places.get(usize::from(class)) {
                Some(Some(place)) => classes.push(*place),
                unknown => {
                    let name = match unknown {
                        Some(_) => format!("{:?}", labels.names[usize::from(class)]),
                        None => format!("number {class}, which has no name"),
                    };
                    return wrong(
                        format!(
                            "is for the classes {}, and image {image} of {what} is of class {name}",
                            listed(names)
                        ),
                        "give images of those classes",
                    );
                }
            }
        }
        Ok(classes)
    }
}

impl Dataset {
    /// SHA-256 of the classes of all images, as a model that is told these numbers them; `None` of one that is told none.
    ///
    /// # Errors
    /// As [`Images::classes_among`].
    pub fn digest_of_classes(&self, names: &[String]) -> Result<Option<String>, ConfigError> {
        if names.is_empty() {
            return Ok(None);
        }
        let mut hash = Sha256::new();
        for images in
            [Some(&self.train), Some(&self.test), self.valid.as_ref()].into_iter().flatten()
        {
            hash.update(bytes_of(&images.classes_among(names, "the images")?));
        }
        Ok(Some(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// Whether every image has one of these classes, where there are any.
    ///
    /// # Errors
    /// As [`Images::classes_among`].
    pub(crate) fn check_classes(&self, names: &[String]) -> Result<(), ConfigError> {
        let all = [
            ("training", Some(&self.train)),
            ("test", Some(&self.test)),
            ("validation", self.valid.as_ref()),
        ];
        for (part, images) in all {
            let Some(images) = images else { continue };
            images.classes_among(names, &format!("the {part} images of {}", self.name))?;
        }
        Ok(())
    }
}

/// Classes as a device holds them: two bytes each, the low one first.
pub(crate) fn bytes_of(classes: &[u16]) -> Vec<u8> {
    classes.iter().flat_map(|class| class.to_le_bytes()).collect()
}
