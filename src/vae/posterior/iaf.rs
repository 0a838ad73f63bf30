//! q(z|x) by inverse autoregressive flows (Kingma et al. 2016, arXiv 1606.04934): a Gaussian of independent units, of which T
//! steps s z + (1 - s) m, s = sigmoid(g), are taken. The encoder's heads are [mu | l | c]. What a step does to a unit depends on
//! the units before it and on the context c, by a masked network of three layers (Germain et al. 2015, arXiv 1502.03509), whose
//! weights all images share; every other step has the units in the reversed order.
//!
//! A masked weight is a product of the weight and a constant: what is computed with is made anew before each pass, by the kernel
//! that masks the gradient too. So the products are those of any fully connected layer.
//!
//! log q(z|x) is known at the samples alone. So the KL is sampled, and estimators that take the gradient of log q at z are refused.

use super::{
    Arriving, Backward, Draw, Flow, Kept, OwnParameter, Posterior, flow_kl, moments_of_draws,
    over_samples,
};
use crate::kernels::activation::Activation;
use crate::kernels::posterior::iaf as kernels;
use crate::kernels::{add, linear};
use crate::nn::{Init, Uniform};
use crate::numeric::parallel;
use crate::plan::{PlanError, Recorder, TensorId};
use crate::vae::minibatch::{Source, Streams};
use crate::vae::objective::Objective;

/// Inverse autoregressive flows of `latent` units.
pub struct Iaf {
    pub latent: usize,
    /// T
    pub steps: usize,
    /// Units of the two hidden layers of a step's network.
    pub hidden: usize,
    /// [`parameters`], as they are in the program.
    pub own: Vec<TensorId>,
}

/// Of the hidden layers.
const ACTIVATION: Activation = Activation::Relu;
/// Where the bias of g begins: s is near one, and a step does little.
const GATE: f32 = 2.0;
/// Parameters of a step: a weight and a bias of each layer.
const OF_STEP: usize = 2 * kernels::LAYERS;

/// [outputs, inputs] of the layers of a step's network: [z | c] to hidden units, to hidden units, to [m | g].
fn shapes(latent: usize, hidden: usize) -> [[usize; 2]; kernels::LAYERS] {
    [[hidden, 2 * latent], [hidden, hidden], [2 * latent, hidden]]
}

/// The weights and biases of all steps.
pub fn parameters(latent: usize, steps: usize, hidden: usize) -> Vec<OwnParameter> {
    let of_layer = |t: usize, i: usize, [outputs, inputs]: [usize; 2]| {
        let own = |kind: &str, dims: &[usize]| OwnParameter {
            name: format!("flow_{t}_{i}.{kind}"),
            dims: dims.to_vec(),
        };
        [own("weight", &[outputs, inputs]), own("bias", &[outputs])]
    };
    let layers =
        move |t: usize| shapes(latent, hidden).into_iter().enumerate().map(move |l| (t, l));
    (0..steps).flat_map(layers).flat_map(|(t, (i, shape))| of_layer(t, i, shape)).collect()
}

/// First values of [`parameters`]: those of any layer, but the biases of the gates, which begin higher by [`GATE`]. A last layer
/// without weights, so that q would begin as a Gaussian of independent units, learns more slowly.
pub fn initial_values(
    latent: usize,
    steps: usize,
    hidden: usize,
    init: Init,
    uniform: &mut Uniform,
) -> Vec<Vec<f32>> {
    let mut values = Vec::new();
    for _ in 0..steps {
        for (i, [outputs, inputs]) in shapes(latent, hidden).into_iter().enumerate() {
            let bound = match init {
                Init::Pytorch => 1.0 / (inputs as f32).sqrt(),
                Init::Glorot => (6.0 / (inputs + outputs) as f32).sqrt(),
            };
            values.push(uniform.numbers(outputs * inputs, bound));
            let mut bias = match init {
                Init::Pytorch => uniform.numbers(outputs, bound),
                Init::Glorot => vec![0.0; outputs],
            };
            if i == kernels::LAYERS - 1 {
                bias[latent..].iter_mut().for_each(|b| *b += GATE);
            }
            values.push(bias);
        }
    }
    values
}

/// What a step keeps for its way back.
#[derive(Debug, Clone)]
pub(super) struct Step {
    /// (R, 2*Z) [z | c] before it
    state: TensorId,
    /// The masked weights.
    masked: [TensorId; kernels::LAYERS],
    /// (R, hidden) what each hidden layer gives
    layers: [TensorId; kernels::LAYERS - 1],
    /// (R, 2*Z) [m | g]
    gates: TensorId,
}

impl Iaf {
    /// Records a weight of a layer, or its gradient, with zeros where an output may not see an input.
    fn masked(
        &self,
        r: &mut Recorder,
        t: usize,
        layer: usize,
        whole: TensorId,
    ) -> Result<TensorId, PlanError> {
        let name = r.program.get(whole).name.clone();
        let name = name.rsplit_once('/').map_or(&*name, |(_, name)| name);
        let masked = r.tensor(&format!("masked {name}"), &r.dims(whole));
        r.dispatch(
            &kernels::MASK,
            &[("whole", whole), ("masked", masked)],
            &[("Z", self.latent as f64), ("LAYER", layer as f64), ("REVERSED", (t % 2) as f64)],
        )?;
        Ok(masked)
    }

    /// Records [m | g] of a state.
    fn network(&self, r: &mut Recorder, t: usize, state: TensorId) -> Result<Step, PlanError> {
        let rows = r.dims(state)[0];
        let own = &self.own[t * OF_STEP..][..OF_STEP];
        let (mut masked, mut layers) = (Vec::new(), vec![state]);
        for (i, [outputs, _]) in shapes(self.latent, self.hidden).into_iter().enumerate() {
            let weight = self.masked(r, t, i, own[2 * i])?;
            let y = r.tensor(&format!("flow {t}, layer {i}"), &[rows, outputs]);
            let activation =
                if i + 1 < kernels::LAYERS { ACTIVATION } else { Activation::Identity };
            r.dispatch(
                &linear::FORWARD,
                &[("x", layers[i]), ("weight", weight), ("bias", own[2 * i + 1]), ("y", y)],
                &[("ACTIVATION", activation.number())],
            )?;
            masked.push(weight);
            layers.push(y);
        }
        let masked = masked.try_into().expect("as many as there are layers");
        Ok(Step { state, masked, layers: [layers[1], layers[2]], gates: layers[3] })
    }

    /// Records the gradient at the state before a step by way of its network, and of the network's weights and biases, from the
    /// gradient at [m | g].
    fn network_backward(
        &self,
        r: &mut Recorder,
        t: usize,
        step: &Step,
        d_gates: TensorId,
    ) -> Result<(TensorId, Vec<(TensorId, TensorId)>), PlanError> {
        let own = &self.own[t * OF_STEP..][..OF_STEP];
        let inputs = [step.state, step.layers[0], step.layers[1]];
        let (mut d_y, mut gradients) = (d_gates, Vec::new());
        for i in (0..kernels::LAYERS).rev() {
            let (x, weight) = (inputs[i], step.masked[i]);
            let d_whole = r.tensor(&format!("d_flow {t}, layer {i}"), &r.dims(weight));
            let d_bias = r.tensor(&format!("d_flow {t}, bias {i}"), &r.dims(own[2 * i + 1]));
            let to = [("d_weight", d_whole), ("d_bias", d_bias)];
            let tensors = [&[("x", x), ("d_y", d_y)], &to[..]].concat();
            r.dispatch(&linear::BACKWARD_PARAMETERS, &tensors, &[])?;
            gradients.push((own[2 * i], self.masked(r, t, i, d_whole)?));
            gradients.push((own[2 * i + 1], d_bias));
            let made_by = if i > 0 { ACTIVATION } else { Activation::Identity };
            let d_x = r.tensor(&format!("d_input of flow {t}, layer {i}"), &r.dims(x));
            r.dispatch(
                &linear::BACKWARD_INPUT,
                &[("x", x), ("weight", weight), ("d_y", d_y), ("d_x", d_x)],
                &[("ACTIVATION", made_by.number())],
            )?;
            d_y = d_x;
        }
        Ok((d_y, gradients))
    }
}

impl Posterior for Iaf {
    fn sample(
        &self,
        r: &mut Recorder,
        heads: TensorId,
        clock: TensorId,
        source: Source,
        streams: &Streams,
        noise: f64,
    ) -> Result<Draw, PlanError> {
        let (rows, z) = (source.batch * source.samples, self.latent);
        let eps = r.tensor("eps", &[rows, z]);
        let mut state = r.tensor("z and context", &[rows, 2 * z]);
        r.dispatch(
            &kernels::BEGIN,
            &[("heads", heads), ("clock", clock), ("eps", eps), ("state", state)],
            &[("STREAM", streams.noise.number()), ("NOISE", noise), ("N", source.images as f64)],
        )?;
        let mut log_det = r.filled("log_det of none", rows, 0.0);
        let mut steps = Vec::with_capacity(self.steps);
        for t in 0..self.steps {
            let last = t + 1 == self.steps;
            let step = self.network(r, t, state)?;
            let after = match last {
                true => r.tensor("z", &[rows, z]),
                false => r.tensor(&format!("z and context after step {t}"), &[rows, 2 * z]),
            };
            let name = if last { "log_det".to_string() } else { format!("log_det to {t}") };
            let sum = r.tensor(&name, &[rows]);
            let of = [("before", state), ("gates", step.gates), ("earlier", log_det)];
            r.dispatch(
                &kernels::STEP,
                &[&of[..], &[("after", after), ("log_det", sum)]].concat(),
                &[("Z", z as f64)],
            )?;
            (state, log_det) = (after, sum);
            steps.push(step);
        }
        let flow = Flow { kept: Kept::Steps(steps), log_det };
        Ok(Draw { heads, eps, z: state, flow: Some(flow) })
    }

    fn kl(&self, r: &mut Recorder, draw: &Draw) -> Result<TensorId, PlanError> {
        flow_kl(r, draw)
    }

    fn backward(
        &self,
        r: &mut Recorder,
        draw: &Draw,
        Arriving { d_z, weight, rates }: Arriving,
        _: &Objective,
    ) -> Result<Backward, PlanError> {
        let [images, heads] = r.dims(draw.heads)[..] else { unreachable!("a matrix") };
        let rows = r.dims(draw.z)[0];
        let (mut arriving, mut parameters) = (d_z, Vec::new());
        let Kept::Steps(steps) = &draw.flow().kept else { unreachable!("it was drawn by steps") };
        for (t, step) in steps.iter().enumerate().rev() {
            let d_gates = r.tensor(&format!("d_gates {t}"), &r.dims(step.gates));
            let d_before = r.tensor(&format!("d_state {t} by its gates"), &r.dims(step.state));
            let of = [("before", step.state), ("gates", step.gates), ("d_after", arriving)];
            let by = [("weight", weight), ("rates", rates)];
            let last = f64::from(u8::from(t + 1 == self.steps));
            r.dispatch(
                &kernels::STEP_BACKWARD,
                &[&of[..], &by, &[("d_gates", d_gates), ("d_before", d_before)]].concat(),
                &[("Z", self.latent as f64), ("LAST", last)],
            )?;
            let (by_network, gradients) = self.network_backward(r, t, step, d_gates)?;
            arriving = r.tensor(&format!("d_state {t}"), &r.dims(step.state));
            let tensors = [("a", d_before), ("b", by_network), ("sum", arriving)];
            r.dispatch(&add::ADD, &tensors, &[])?;
            parameters.extend(gradients);
        }
        let d_rows = r.tensor("d_heads by rows", &[rows, heads]);
        let of = [("heads", draw.heads), ("noise", draw.eps), ("d_state", arriving)];
        r.dispatch(
            &kernels::BACKWARD,
            &[&of[..], &[("row_weight", weight), ("rates", rates), ("d_rows", d_rows)]].concat(),
            &[("K", (rows / images) as f64)],
        )?;
        Ok(Backward { d_heads: over_samples(r, d_rows, images)?, parameters })
    }

    fn marginals(
        &self,
        r: &mut Recorder,
        heads: TensorId,
        clock: TensorId,
    ) -> Result<TensorId, PlanError> {
        moments_of_draws(self, r, heads, clock)
    }
}

/// The networks of all steps on the host, in double precision.
#[derive(Debug, PartialEq)]
pub struct Networks {
    latent: usize,
    hidden: usize,
    /// [`parameters`], step by step
    own: Vec<Vec<f64>>,
}

impl Networks {
    /// Of [`parameters`].
    pub fn of(latent: usize, hidden: usize, own: &[Vec<f32>]) -> Self {
        let double = |values: &Vec<f32>| values.iter().map(|&v| f64::from(v)).collect();
        Networks { latent, hidden, own: own.iter().map(double).collect() }
    }

    /// T
    pub fn steps(&self) -> usize {
        self.own.len() / OF_STEP
    }

    /// Products of a step.
    pub fn products(&self) -> usize {
        self.own[..OF_STEP].iter().map(Vec::len).sum()
    }

    /// Takes z one step further; returns the logarithm of the Jacobian's determinant.
    pub fn forward(&self, t: usize, context: &[f64], z: &mut [f64]) -> f64 {
        self.walk(t, context, z, |z, m, s, rest| (z, s * z + rest * m))
    }

    /// Takes z back to before a step; returns the logarithm of the determinant of the way forward.
    pub fn undo(&self, t: usize, context: &[f64], z: &mut [f64]) -> f64 {
        self.walk(t, context, z, |z, m, s, rest| {
            let before = (z - rest * m) / s;
            (before, before)
        })
    }

    /// Unit by unit in the order of a step, `of` a unit of z, its m, s and 1 - s, which depend on what the units before it were
    /// before the step: what the unit was then, and what becomes of it in z.
    fn walk(
        &self,
        t: usize,
        context: &[f64],
        z: &mut [f64],
        of: impl Fn(f64, f64, f64, f64) -> (f64, f64),
    ) -> f64 {
        parallel::vectorized(
            #[inline(always)]
            || self.unit_by_unit(t, context, z, of),
        )
    }

    #[inline(always)]
    fn unit_by_unit(
        &self,
        t: usize,
        context: &[f64],
        z: &mut [f64],
        of: impl Fn(f64, f64, f64, f64) -> (f64, f64),
    ) -> f64 {
        let (n, hidden) = (self.latent, self.hidden);
        let [w0, b0, w1, b1, w2, b2] = &self.own[t * OF_STEP..][..OF_STEP] else {
            unreachable!("three layers")
        };
        let place = |unit: usize| if t % 2 == 1 { n - 1 - unit } else { unit };
        let (mut first, mut second) = (vec![0.0; hidden], vec![0.0; hidden]);
        let mut known: Vec<f64> = vec![0.0; n];
        let mut log_det = 0.0;
        for degree in 0..n {
            let units = [degree, degree + 1].map(|d| kernels::first_of_degree(d, n, hidden));
            // What is not known yet is zero.
            for j in units[0]..units[1] {
                let row = &w0[j * 2 * n..][..2 * n];
                first[j] = (b0[j] + dot(&row[..n], &known) + dot(&row[n..], context)).max(0.0);
            }
            for j in units[0]..units[1] {
                let row = &w1[j * hidden..][..units[1]];
                second[j] = (b1[j] + dot(row, &first[..units[1]])).max(0.0);
            }
            let unit = place(degree);
            let output = |o: usize| b2[o] + dot(&w2[o * hidden..][..units[1]], &second[..units[1]]);
            let (m, g) = (output(unit), output(n + unit));
            let (s, rest) = (1.0 / (1.0 + (-g).exp()), 1.0 / (1.0 + g.exp()));
            (known[unit], z[unit]) = of(z[unit], m, s, rest);
            log_det -= (-g).max(0.0) + (-g.abs()).exp().ln_1p();
        }
        log_det
    }
}

/// In partial sums, so that it vectorizes.
#[inline(always)]
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let b = &b[..a.len()];
    parallel::sum(
        a.len(),
        #[inline(always)]
        |i| a[i] * b[i],
    )
}
