//! How a Gaussian likelihood has its variance.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The variance s of a Gaussian likelihood.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum Variance {
    /// One for all, which each minibatch is given at its optimum, the mean squared error (Rybkin, Daniilidis and
    /// Levine 2021). What is kept for evaluation is a running mean of it.
    #[default]
    Optimal,
    /// One for all, which the optimizer moves: ln s is a parameter.
    Learned,
    /// One for each channel: of each, as [`Variance::Optimal`].
    Channel,
    /// One for each pixel, or each of its channels: as [`Variance::Optimal`], but that a minibatch is computed with the
    /// running mean, since it has too few values of each for an optimum of its own.
    Pixel,
    /// One for each column of a table: as [`Variance::Pixel`], but bounded below at 1e-3, as columns are standardised.
    Column,
    /// One for each pixel of each image: the decoder's output has its logarithm beside the mean.
    Decoder,
    /// One for all, which stays.
    Given(f64),
}

/// The names of what is no number, in their order.
const NAMES: [(&str, Variance); 6] = [
    ("optimal", Variance::Optimal),
    ("learned", Variance::Learned),
    ("channel", Variance::Channel),
    ("pixel", Variance::Pixel),
    ("column", Variance::Column),
    ("decoder", Variance::Decoder),
];

impl fmt::Display for Variance {
    /// Its name, or the number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, NAMES.iter().find(|(_, variance)| variance == self)) {
            (_, Some((name, _))) => f.write_str(name),
            (Variance::Given(s), None) => write!(f, "{s}"),
            (_, None) => unreachable!("every other one has a name"),
        }
    }
}

impl FromStr for Variance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = NAMES.iter().find(|(name, _)| *name == text).map(|&(_, variance)| variance);
        let given = || text.parse().ok().map(Variance::Given);
        named.or_else(given).ok_or_else(|| {
            let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
            format!("expected {} or a number", names.join(", "))
        })
    }
}

/// In a file: a name, or a number. The first versions wrote nothing for a variance that is learned.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Nothing(()),
    Number(f64),
    Name(String),
}

impl TryFrom<Written> for Variance {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Nothing(()) => Ok(Variance::Learned),
            Written::Number(s) => Ok(Variance::Given(s)),
            Written::Name(name) => name.parse().map_err(|e| format!("a variance {name:?}: {e}")),
        }
    }
}

impl From<Variance> for Written {
    fn from(variance: Variance) -> Self {
        match variance {
            Variance::Given(s) => Written::Number(s),
            named => Written::Name(named.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Variance;
    use crate::vae::Likelihood;

    #[test]
    fn a_variance_is_read_as_it_is_written() {
        let read = |json: &str| serde_json::from_str::<Likelihood>(json);
        for (text, variance) in [
            ("optimal", Variance::Optimal),
            ("learned", Variance::Learned),
            ("channel", Variance::Channel),
            ("pixel", Variance::Pixel),
            ("column", Variance::Column),
            ("decoder", Variance::Decoder),
            ("0.25", Variance::Given(0.25)),
        ] {
            assert_eq!((text.parse(), variance.to_string()), (Ok(variance), text.to_string()));
            let likelihood = Likelihood::Gaussian { variance };
            let json = serde_json::to_string(&likelihood).expect("JSON");
            assert_eq!(read(&json).expect("a likelihood"), likelihood, "{json}");
        }
        let refused = "best".parse::<Variance>().expect_err("no variance");
        assert_eq!(
            refused,
            "expected optimal, learned, channel, pixel, column, decoder or a number"
        );
        assert!(read(r#"{"gaussian":{"variance":"best"}}"#).is_err());
    }

    /// Files of the first versions mean what they meant.
    #[test]
    fn nothing_is_a_learned_variance() {
        for json in [r#"{"gaussian":{"variance":null}}"#, r#"{"gaussian":{}}"#] {
            let read: Likelihood = serde_json::from_str(json).expect("a likelihood");
            assert_eq!(read, Likelihood::Gaussian { variance: Variance::Learned }, "{json}");
        }
        let read: Likelihood =
            serde_json::from_str(r#"{"gaussian":{"variance":0.3}}"#).expect("a likelihood");
        assert_eq!(read, Likelihood::Gaussian { variance: Variance::Given(0.3) });
    }
}
