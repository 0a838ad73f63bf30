//! Variants of a kernel: other ways to the same result, each the fastest on some adapter.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::plan::Dispatch;
use crate::plan::shader::Imports;

/// One of a kernel's shaders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variant {
    pub name: &'static str,
    /// What its imports stand for.
    pub imports: &'static Imports,
    /// What a workgroup covers of the kernel's grid in x and y.
    pub tile: [usize; 2],
    /// The size that every subgroup of the adapter must have, where the shader depends on it.
    pub subgroup: Option<u32>,
    /// Rows and columns of the cooperative matrices that it multiplies, in f16 with sums in f32: for mixed
    /// precision only.
    pub cooperative: Option<u32>,
}

impl Variant {
    /// Of matrices of `side` rows and columns, four of them in each direction of the tile.
    pub(crate) const fn mixed(
        name: &'static str,
        imports: &'static Imports,
        side: u32,
        subgroup: u32,
    ) -> Self {
        let tile = [4 * side as usize; 2];
        Variant { name, imports, tile, subgroup: Some(subgroup), cooperative: Some(side) }
    }
}

/// The only variant of a kernel that has one.
pub const SINGLE: &[Variant] =
    &[Variant { name: "single", imports: &[], tile: [1, 1], subgroup: None, cooperative: None }];

/// The most variants a kernel has.
pub const MOST: usize = 11;

/// Which variant of a kernel runs at which sizes, by name. Two variants of a kernel may round differently: a
/// run repeats bit for bit with the same choices only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Choices(BTreeMap<String, String>);

impl Choices {
    /// The choice for a dispatch, if it was made and its kernel has that variant.
    pub fn get(&self, dispatch: &Dispatch) -> Option<&'static Variant> {
        let name = self.0.get(&place(dispatch))?;
        dispatch.kernel.variants.iter().find(|variant| variant.name == name)
    }

    pub fn set(&mut self, dispatch: &Dispatch, variant: &Variant) {
        self.0.insert(place(dispatch), variant.name.to_string());
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A kernel and its constants, as in "linear.forward ACTIVATION=1 I=784 O=400 R=128".
pub fn place(dispatch: &Dispatch) -> String {
    let mut place = dispatch.kernel.to_string();
    for (name, value) in dispatch.constants.pairs() {
        place += &format!(" {name}={value}");
    }
    place
}
