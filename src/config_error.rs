//! Values that cannot be: what settings and arguments are refused with.

use std::fmt::Display;

/// A value that cannot be, by the field that holds it. The message has fields in backticks.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}", self.message())]
pub struct ConfigError {
    /// The field as code writes it, from [`crate::Settings`] on, such as `objective.beta`; or the argument of
    /// the function that refuses it.
    pub field: &'static str,
    /// The value that it has.
    pub value: String,
    /// Why the value cannot be, as what follows it in a sentence; `None` where `right` says it.
    pub problem: Option<String>,
    /// What would be right.
    pub right: String,
}

impl ConfigError {
    /// A value out of its range: "`batch` must be at least 1, got 0".
    pub(crate) fn range(field: &'static str, right: impl Into<String>, got: impl Display) -> Self {
        ConfigError { field, value: got.to_string(), problem: None, right: right.into() }
    }

    /// A value that something else rules out: "`batch` 60 is more than the 50 training images: give ...".
    pub(crate) fn conflict(
        field: &'static str,
        value: impl Display,
        problem: impl Into<String>,
        right: impl Into<String>,
    ) -> Self {
        let (problem, right) = (Some(problem.into()), right.into());
        ConfigError { field, value: value.to_string(), problem, right }
    }

    fn message(&self) -> String {
        let ConfigError { field, value, problem, right } = self;
        match problem {
            None => format!("`{field}` {right}, got {value}"),
            Some(problem) => format!("`{field}` {value} {problem}: {right}"),
        }
    }
}
