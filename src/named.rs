//! Enums whose values have names: one list for files, options and messages.

/// A value with a name and a line that says what it means.
pub struct NamedValue<T: 'static> {
    /// The value.
    pub value: T,
    /// In lower case, words joined by hyphens.
    pub name: &'static str,
    /// Its documentation, on one line.
    pub meaning: &'static str,
}

/// An enum that the macro `named` declares.
pub trait Named: Copy + PartialEq + 'static {
    /// All values, in the order in which people see them.
    const VALUES: &'static [NamedValue<Self>];

    /// The value's name.
    fn name(self) -> &'static str {
        let found = Self::VALUES.iter().find(|v| v.value == self);
        found.expect("every value is in the list").name
    }

    /// The value of this name; an error lists the names that there are.
    ///
    /// # Errors
    /// No value has that name.
    fn named(name: &str) -> Result<Self, String> {
        let found = Self::VALUES.iter().find(|v| v.name == name);
        found.map(|v| v.value).ok_or_else(|| {
            let names: Vec<&str> = Self::VALUES.iter().map(|v| v.name).collect();
            format!("there is no {name:?}; there are {}", names.join(", "))
        })
    }
}

/// Declares an enum whose values have names: each is documented, then `Value = "name"`, with `(default)` behind
/// the default one. It implements [`Named`], `Display` and `FromStr`, and stands by its names in files.
macro_rules! named {
    (
        $(#[$attribute:meta])*
        pub enum $Enum:ident {
            $( $(#[doc = $doc:literal])+ $Value:ident = $name:literal $(($default:ident))?, )+
        }
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub enum $Enum {
            $( $(#[doc = $doc])+ $(#[$default])? #[serde(rename = $name)] $Value, )+
        }

        impl $crate::named::Named for $Enum {
            const VALUES: &'static [$crate::named::NamedValue<Self>] = &[
                $( $crate::named::NamedValue {
                    value: $Enum::$Value,
                    name: $name,
                    meaning: concat!($($doc),+),
                }, )+
            ];
        }

        impl std::fmt::Display for $Enum {
            /// The value's name.
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str($crate::named::Named::name(*self))
            }
        }

        impl std::str::FromStr for $Enum {
            type Err = String;

            fn from_str(name: &str) -> Result<Self, String> {
                $crate::named::Named::named(name)
            }
        }
    };
}

pub(crate) use named;

#[cfg(test)]
mod tests {
    use super::Named;
    use crate::numeric::Precision;
    use crate::vae::objective::{Bound, Estimator, Kl};
    use crate::vae::posterior::FamilyKind;
    use crate::{Activation, Binarization, Init, Part};

    fn check<T: Named + serde::Serialize + serde::de::DeserializeOwned + std::fmt::Debug>() {
        for v in T::VALUES {
            assert_eq!(serde_json::to_value(v.value).expect("a value"), v.name);
            assert_eq!(serde_json::from_value::<T>(v.name.into()).expect("a name"), v.value);
            assert_eq!(T::named(v.name), Ok(v.value));
            assert!(!v.meaning.trim().is_empty());
        }
        let refused = T::named("nonsense").expect_err("no name");
        assert!(T::VALUES.iter().all(|v| refused.contains(v.name)), "{refused}");
    }

    #[test]
    fn names_are_the_same_in_files_and_in_text() {
        check::<Activation>();
        check::<Binarization>();
        check::<Bound>();
        check::<Estimator>();
        check::<FamilyKind>();
        check::<Init>();
        check::<Kl>();
        check::<Part>();
        check::<Precision>();
        assert_eq!(Estimator::StickingTheLanding.to_string(), "sticking-the-landing");
        assert_eq!("iwae".parse(), Ok(Bound::Iwae));
    }
}
