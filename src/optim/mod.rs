//! Optimizers: what each keeps of a parameter, and its step. All ascend the objective.

mod adam;
mod adamax;
pub mod average;
mod rmsprop;

use serde::{Deserialize, Serialize};

use crate::config_error::ConfigError;
use crate::kernels::{clip, optimizer};
use crate::plan::{DType, PlanError, Program, Recorder, TensorId};
pub use adam::Adam;
pub use adamax::Adamax;
pub use rmsprop::RmsProp;

/// A parameter and what the optimizer keeps of it.
#[derive(Debug, Clone, Copy)]
pub struct TrainedParameter {
    pub parameter: TensorId,
    /// (S, ..) of the parameter's shape: its planes, see [`Rule::planes`].
    pub state: TensorId,
    /// Given rather than learned: it has no gradient and stays as it is.
    pub frozen: bool,
}

/// How a step moves the parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Update {
    pub optimizer: Optimizer,
    /// At the end of its warm-up.
    pub learning_rate: f64,
    /// Epochs in which the learning rate rises to that, 0 for none.
    pub warm_up: f64,
    /// What a weight loses of itself in a step, times the learning rate: decoupled weight decay (Loshchilov and
    /// Hutter 2019). Biases, and what a likelihood has of its own, keep all: they are tensors of rank 1.
    pub weight_decay: f64,
    /// The longest gradient, over all parameters together, that a step takes as it is: of a longer one it takes
    /// the share that makes it as long (Pascanu et al. 2013). The gradient is that of the mean over images.
    pub clip_norm: Option<f64>,
    /// What a step counts beside the next in the average of the parameters, where one is kept.
    pub average: Option<f64>,
}

impl Update {
    /// Records a step of every parameter that has a gradient and is not frozen. `rates` (4), see
    /// [`crate::kernels::rates`]; `clock` (8) and `steps`, those that a history holds. Returns the norms (steps) of
    /// the gradients over all parameters, where they are clipped.
    ///
    /// # Errors
    /// Sizes beyond what a kernel's grid can cover.
    pub fn record(
        &self,
        r: &mut Recorder,
        [rates, clock]: [TensorId; 2],
        steps: usize,
        trained: &[TrainedParameter],
        gradients: &[(TensorId, TensorId)],
    ) -> Result<Option<TensorId>, PlanError> {
        let moved: Vec<(&TrainedParameter, TensorId)> = trained
            .iter()
            .filter(|t| !t.frozen)
            .filter_map(|t| {
                let found = gradients.iter().find(|(parameter, _)| *parameter == t.parameter);
                found.map(|&(_, gradient)| (t, gradient))
            })
            .collect();
        let clipped = match self.clip_norm {
            Some(most) => {
                let gradients: Vec<TensorId> =
                    moved.iter().map(|(_, gradient)| *gradient).collect();
                Some(clip(r, &gradients, most, clock, steps)?)
            }
            None => None,
        };
        for (t, gradient) in moved {
            let decays = self.weight_decay > 0.0 && r.dims(t.parameter).len() > 1;
            let decay = if decays { self.weight_decay } else { 0.0 };
            let mut constants = self.optimizer.rule().constants();
            let mut tensors = vec![
                ("gradient", gradient),
                ("rates", rates),
                ("parameter", t.parameter),
                ("state", t.state),
            ];
            let kernel = match clipped {
                Some(Clipped { share, .. }) => {
                    tensors.push(("share", share));
                    constants.push(("DECAY", decay));
                    &optimizer::STEP_CLIPPED
                }
                None if decays => {
                    constants.push(("DECAY", decay));
                    &optimizer::STEP_DECAYED
                }
                None => &optimizer::STEP,
            };
            r.dispatch(kernel, &tensors, &constants)?;
        }
        Ok(clipped.map(|clipped| clipped.norms))
    }
}

/// What clipping has computed.
#[derive(Clone, Copy)]
struct Clipped {
    /// (1): the share of the gradient that a step takes.
    share: TensorId,
    /// (S): the norms of the last steps' gradients.
    norms: TensorId,
}

/// Records the norm of all gradients together, and what is kept of them where it is above `most`.
fn clip(
    r: &mut Recorder,
    gradients: &[TensorId],
    most: f64,
    clock: TensorId,
    steps: usize,
) -> Result<Clipped, PlanError> {
    let squares = r.tensor("squares", &[clip::PARTS]);
    let (share, norms) = (r.tensor("share", &[1]), r.tensor("norms", &[steps]));
    for &gradient in gradients {
        r.dispatch(&clip::ADD_SQUARES, &[("gradient", gradient), ("squares", squares)], &[])?;
    }
    let tensors = [("sums", squares), ("clock", clock), ("kept", share), ("norms", norms)];
    r.dispatch(&clip::SCALE, &tensors, &[("MOST", most)])?;
    Ok(Clipped { share, norms })
}

/// Which optimizer, with its constants besides the learning rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Fields", into = "Fields")]
pub enum Optimizer {
    /// Kingma and Ba 2015
    Adam(Adam),
    /// Hinton 2012
    RmsProp(RmsProp),
    /// Kingma and Ba 2015, section 7.1
    Adamax(Adamax),
}

impl Default for Optimizer {
    fn default() -> Self {
        Optimizer::Adam(Adam::default())
    }
}

impl Optimizer {
    /// What computes it: the one place that tells the kinds apart.
    pub fn rule(&self) -> &dyn Rule {
        match self {
            Optimizer::Adam(adam) => adam,
            Optimizer::RmsProp(rmsprop) => rmsprop,
            Optimizer::Adamax(adamax) => adamax,
        }
    }

    /// Declares the state of a parameter.
    pub fn declare(
        &self,
        program: &mut Program,
        parameter: TensorId,
        frozen: bool,
    ) -> TrainedParameter {
        let declared = program.get(parameter).clone();
        let dims = [&[self.rule().planes().len()], &declared.dims[..]].concat();
        let state = program.tensor(format!("{}.state", declared.name), &dims, DType::F32);
        TrainedParameter { parameter, state, frozen }
    }
}

/// In a file: the optimizer's name with its constants, Adam if there is none.
#[derive(Default, Serialize, Deserialize)]
struct Fields {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    adam: Option<Adam>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rmsprop: Option<RmsProp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    adamax: Option<Adamax>,
}

impl TryFrom<Fields> for Optimizer {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        let Fields { adam, rmsprop, adamax } = fields;
        let given = [
            adam.map(Optimizer::Adam),
            rmsprop.map(Optimizer::RmsProp),
            adamax.map(Optimizer::Adamax),
        ];
        let mut given = given.into_iter().flatten();
        match (given.next(), given.next()) {
            (first, None) => Ok(first.unwrap_or_default()),
            (_, Some(_)) => Err("there are the constants of two optimizers".to_string()),
        }
    }
}

impl From<Optimizer> for Fields {
    fn from(optimizer: Optimizer) -> Self {
        match optimizer {
            Optimizer::Adam(adam) => Fields { adam: Some(adam), ..Fields::default() },
            Optimizer::RmsProp(rmsprop) => Fields { rmsprop: Some(rmsprop), ..Fields::default() },
            Optimizer::Adamax(adamax) => Fields { adamax: Some(adamax), ..Fields::default() },
        }
    }
}

/// What a running mean keeps of itself in a step: the kernels compute with its logarithm, in single precision.
fn check_decay(field: &'static str, decay: f64) -> Result<(), ConfigError> {
    match decay > 0.0 && decay <= 0.999999 {
        true => Ok(()),
        false => Err(ConfigError::range(field, "must be above 0 and at most 0.999999", decay)),
    }
}

/// What is added to a divisor: in single precision neither zero nor infinite, and not so large that nothing moves.
fn check_epsilon(field: &'static str, epsilon: f64) -> Result<(), ConfigError> {
    match (1e-30..=1000.0).contains(&epsilon) {
        true => Ok(()),
        false => Err(ConfigError::range(field, "must be from 1e-30 to 1000", epsilon)),
    }
}

/// An optimizer's step.
pub trait Rule {
    /// Names of the planes that it keeps of each parameter, each of the parameter's shape and zero at first.
    fn planes(&self) -> &'static [&'static str];

    /// # Errors
    /// A constant out of its range.
    fn check(&self) -> Result<(), ConfigError>;

    /// The overrides of `optimizer.step` that make it this optimizer.
    fn constants(&self) -> Vec<(&'static str, f64)>;

    /// The decays b of the corrections 1 - b^t by which the step divides, t the number of the step; `None` if it
    /// does not.
    fn corrected(&self) -> Option<[f64; 2]> {
        None
    }
}
