//! The parts of a data set, as commands take them.

use super::{Dataset, Images, Pixels};
use crate::named::named;

named! {
    /// Which images of a data set, or rows of a table.
    #[derive(Default)]
    pub enum Records {
        /// All: those to train on, then validation and test ones where they come apart from them
        All = "all" (default),
        /// Those that a run learns from
        Train = "train",
        /// Those that it is watched by, where there are any beside test ones
        Valid = "valid",
        /// Those that it is tested on
        Test = "test",
    }
}

impl Dataset {
    /// The sets that are asked for, in their order; none where there are no such ones. One set that stands for two comes once.
    pub fn records(&self, which: Records) -> Vec<(Records, &Images)> {
        let all = [
            (Records::Train, Some(&self.train)),
            (Records::Valid, self.valid.as_ref()),
            (Records::Test, Some(&self.test).filter(|test| !test.pixels.are(&self.train.pixels))),
        ];
        match which {
            Records::All => all.into_iter().filter_map(|(part, set)| Some((part, set?))).collect(),
            Records::Train => vec![(which, &self.train)],
            Records::Test => vec![(which, &self.test)],
            Records::Valid => self.valid.iter().map(|set| (which, set)).collect(),
        }
    }
}

impl Pixels {
    /// Whether they are the same ones, rather than equal.
    fn are(&self, other: &Pixels) -> bool {
        std::ptr::eq(self.as_ptr(), other.as_ptr()) && self.len() == other.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_that_stands_for_two_comes_once() {
        let images = |levels: [u8; 4]| Images::new(2, 2, levels.to_vec()).unwrap();
        let (a, b) = (images([1, 2, 3, 4]), images([1, 2, 3, 4]));
        let parts = |dataset: &Dataset, which| -> Vec<Records> {
            dataset.records(which).into_iter().map(|(part, _)| part).collect()
        };
        let twice = Dataset::new("one", a.clone(), a.clone()).unwrap();
        assert_eq!(parts(&twice, Records::All), [Records::Train]);
        assert_eq!(parts(&twice, Records::Test), [Records::Test]);
        let mut two = Dataset::new("two", a, b.clone()).unwrap();
        assert_eq!(parts(&two, Records::All), [Records::Train, Records::Test]);
        assert!(parts(&two, Records::Valid).is_empty());
        two.valid = Some(b);
        let all = [Records::Train, Records::Valid, Records::Test];
        assert_eq!(parts(&two, Records::All), all);
        assert_eq!(parts(&two, Records::Valid), [Records::Valid]);
    }
}
