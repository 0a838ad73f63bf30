//! A step of training, and one of evaluation, as the textbook has them. What follows upon them, the fusion
//! pass, makes fewer and fatter kernels of them: see [`crate::plan::fuse`] and [`crate::kernels::fusions`].

use super::architecture::Architecture;
use super::bound;
use super::likelihood::{Fitted, Observed};
use super::minibatch::{self, Streams};
pub use super::minibatch::{Content, Flips, Pass, Source};
use super::network::Network;
use super::objective::{Bound, Objective};
use super::posterior::Arriving;
use super::prior;
use crate::kernels::fusions;
use crate::nn::{self, Tape};
use crate::optim::{TrainedParameter, Update, average};
use crate::plan::fuse::{Fused, Fusions};
use crate::plan::{PlanError, PlanId, Program, Recorder, TensorId};

/// Everything a training run does on the device.
pub struct TrainProgram {
    pub program: Program,
    pub network: Network,
    pub trained: Vec<TrainedParameter>,
    /// The average of each of them, where averages are kept, and the plan by which the two change places.
    pub averages: Vec<TensorId>,
    pub swap: Option<PlanId>,
    pub train: Pass,
    pub test: Pass,
    /// How often each fusion was applied to the training step, and to that of the evaluation.
    pub fused: [Fused; 2],
}

impl TrainProgram {
    /// Records the plans for ascending `objective` on `train` by `update`, and for the ELBO of `test`, with
    /// iwae's bound beside it where that is the objective.
    ///
    /// # Errors
    /// Sizes beyond what a kernel's grid can cover.
    pub fn record(
        architecture: &Architecture,
        train: Source,
        test: Source,
        objective: &Objective,
        update: &Update,
    ) -> Result<Self, PlanError> {
        TrainProgram::record_with(&fusions(), architecture, train, test, objective, update)
    }

    /// The same, fused by these alone.
    ///
    /// # Errors
    /// As [`TrainProgram::record`].
    pub fn record_with(
        fusions: &Fusions,
        architecture: &Architecture,
        train: Source,
        test: Source,
        objective: &Objective,
        update: &Update,
    ) -> Result<Self, PlanError> {
        let mut program = Program::new();
        let network = Network::declare(&mut program, architecture);
        let trained = network.declare_training(&mut program, &update.optimizer);

        let averages = match update.average {
            Some(_) => average::declare(&mut program, &trained),
            None => Vec::new(),
        };

        let mut r = Recorder::new(&mut program, "train");
        let moved = (&trained[..], &averages[..]);
        let train = training_step(&mut r, &network, moved, train, objective, update)?;
        let (plan, fused_train) = r.finish_fused(fusions)?;
        let train = Pass { plan, ..train };

        let mut r = Recorder::new(&mut program, "evaluate");
        let test = evaluation_step(&mut r, &network, test, objective.bound)?;
        let (plan, fused_test) = r.finish_fused(fusions)?;
        let fused = [fused_train, fused_test];
        let test = Pass { plan, ..test };
        let swap = match averages[..] {
            [] => None,
            _ => {
                let mut r = Recorder::new(&mut program, "swap");
                average::swap(&mut r, &trained, &averages)?;
                Some(r.finish())
            }
        };
        Ok(TrainProgram { program, network, trained, averages, swap, train, test, fused })
    }
}

/// A minibatch forward and backward, after which every parameter has moved.
fn training_step(
    r: &mut Recorder,
    network: &Network,
    (trained, averages): (&[TrainedParameter], &[TensorId]),
    source: Source,
    objective: &Objective,
    update: &Update,
) -> Result<Pass, PlanError> {
    let (q, likelihood) = (network.posterior(), network.architecture.likelihood.module());
    let (mut encoder, mut decoder) = (Tape::default(), Tape::default());
    let mut pass = Pass::declare(r, source, &network.architecture);

    let images = minibatch::draw(r, source, [pass.data, pass.clock], pass.labels, &Streams::TRAIN)?;
    let heads = encoder.forward(r, &network.encoder(images.classes), images.seen)?;
    let prior = network.prior(r, &mut encoder)?;
    let drawn = q.sample(r, heads, pass.clock, source, &Streams::TRAIN, 1.0)?;
    let ratio = prior.ratio(r, drawn.z)?;
    let to_normal = q.kl(r, &drawn)?;
    let kl = ratio.divergence(r, to_normal, source.samples)?;
    let eta = decoder.forward(r, &network.decoder(images.classes, source.samples), drawn.z)?;
    let known_weight = bound::known_weight(r, objective.bound, source);
    let kept = network.observed(images, eta, source.samples);
    let own = match (likelihood.fitted(), known_weight) {
        (Fitted::First, Some(weight)) => likelihood.fit(r, kept, weight, pass.clock)?,
        _ => kept.parameters.to_vec(),
    };
    let observed = Observed { parameters: &own, ..kept };
    let log_px = likelihood.log_px(r, observed)?;
    let (weight, value) = bound::weigh(r, known_weight, source, &*q, &drawn, log_px, ratio)?;
    pass.bound = value;

    let of_likelihood = likelihood.backward(r, observed, weight)?;
    let first = known_weight.is_some() && likelihood.fitted() == Fitted::First;
    if !first && likelihood.fitted() != Fitted::Never {
        likelihood.fit(r, kept, weight, pass.clock)?;
    }
    let of_decoder = decoder.backward(r, &[(eta, of_likelihood.d_eta)], &[drawn.z])?;
    let d_z = of_decoder.at(drawn.z).expect("it was asked for");
    let rates = pass.rates;
    let of_prior = prior.backward(r, ratio, prior::Arriving { d_z, weight, rates })?;
    let arriving = Arriving { d_z: of_prior.d_z, weight, rates };
    let of_q = q.backward(r, &drawn, arriving, objective)?;
    let outputs = [&[(heads, of_q.d_heads)], &of_prior.outputs[..]].concat();
    let of_encoder = encoder.backward(r, &outputs, &[])?;

    let gradients =
        [of_encoder.parameters, of_decoder.parameters, of_q.parameters, of_likelihood.parameters]
            .concat();
    let steps = pass.history_steps;
    let norms = update.record(r, [pass.rates, pass.clock], steps, trained, &gradients)?;
    pass.norms = norms.zip(update.clip_norm.map(|most| most as f32));
    if let Some(decay) = update.average {
        average::follow(r, decay, pass.clock, trained, averages)?;
    }
    pass.end_step(r, log_px, kl, true, &next_rates(objective, update, source))?;
    Ok(pass)
}

/// A minibatch of a pass over a data set in its order, for the ELBO with z sampled from q, and L_K on demand.
fn evaluation_step(
    r: &mut Recorder,
    network: &Network,
    source: Source,
    bound: Bound,
) -> Result<Pass, PlanError> {
    let (q, likelihood) = (network.posterior(), network.architecture.likelihood.module());
    let mut pass = Pass::declare(r, source, &network.architecture);

    let images = minibatch::draw(r, source, [pass.data, pass.clock], pass.labels, &Streams::TEST)?;
    let heads = nn::forward(r, &network.encoder(images.classes), images.seen)?;
    let prior = network.prior(r, &mut Tape::default())?;
    let drawn = q.sample(r, heads, pass.clock, source, &Streams::TEST, 1.0)?;
    let ratio = prior.ratio(r, drawn.z)?;
    let to_normal = q.kl(r, &drawn)?;
    let kl = ratio.divergence(r, to_normal, source.samples)?;
    let eta = nn::forward(r, &network.decoder(images.classes, source.samples), drawn.z)?;
    let log_px = likelihood.log_px(r, network.observed(images, eta, source.samples))?;
    pass.bound = bound::value(r, bound, source, &*q, &drawn, log_px, ratio)?;

    pass.end_step(r, log_px, kl, false, &[])?;
    Ok(pass)
}

/// What the rates of the next step depend on, see shaders/end_step.wgsl.
fn next_rates(objective: &Objective, update: &Update, source: Source) -> Vec<(&'static str, f64)> {
    let steps = |epochs: f64| epochs * source.images as f64 / source.batch as f64;
    let warm_up = steps(f64::from(objective.warm_up));
    let mut constants = vec![("BETA", objective.beta), ("WARM_UP", warm_up)];
    constants.extend([("RATE", update.learning_rate), ("RATE_WARM_UP", steps(update.warm_up))]);
    if let Some([first, second]) = update.optimizer.rule().corrected() {
        constants.extend([("LN_BETA1", first.ln()), ("LN_BETA2", second.ln())]);
    }
    constants
}
