//! Options of `elbo train` that say how parameters move.

use clap::ValueEnum;

use crate::optim::{Adam, Adamax, Optimizer, RmsProp};
use crate::train::Schedule;

#[derive(clap::Args, Clone, Default)]
#[command(next_help_heading = "Optimizer")]
pub struct OptimizerOptions {
    /// Passes over the training images; more where there are few, so that they make 1500 steps or 50 passes, else
    /// [default: 10]
    #[arg(long)]
    pub epochs: Option<u32>,
    /// End after this many steps, for a quick try [default: no limit]
    #[arg(long)]
    pub steps: Option<u64>,
    /// End after this many epochs without a better ELBO of the images that --valid holds out; best.safetensors
    /// has the best, and --resume with a larger number goes on [default: never]
    #[arg(long, value_name = "EPOCHS")]
    pub early_stop: Option<u32>,
    /// Images per minibatch [default: 128]
    #[arg(long, value_name = "B")]
    pub batch: Option<usize>,
    /// Learning rate, in the first epoch or at the end of --lr-warm-up [default: 0.001]
    #[arg(long, value_name = "RATE", allow_negative_numbers = true)]
    pub lr: Option<f64>,
    /// Let the learning rate rise in equal steps from zero to --lr over this many epochs, 0.5 for half of one
    /// [default: 0]
    #[arg(long, value_name = "EPOCHS", allow_negative_numbers = true)]
    pub lr_warm_up: Option<f64>,
    /// constant, cosine (down to 0 over the epochs after --lr-warm-up), step:10=3e-4,20=1e-4 (from epoch 10
    /// on 3e-4, and so on), or iwae (stages i = 0, 1, ... of 3^i epochs at 10^(-i/7) times --lr)
    /// [default: constant]
    #[arg(long, value_name = "SCHEDULE")]
    pub lr_schedule: Option<Schedule>,
    /// Stages of the iwae schedule: (3^N - 1) / 2 epochs, 3280 of the paper's 8 [default: 8]
    #[arg(long, value_name = "N", conflicts_with = "epochs", value_parser = clap::value_parser!(u32).range(1..=20))]
    pub schedule_stages: Option<u32>,
    /// What moves the parameters [default: adam]
    #[arg(long, value_enum, value_name = "NAME")]
    optimizer: Option<OptimizerName>,
    /// What weights lose of themselves in a step, times the learning rate: decoupled weight decay, with Adam
    /// AdamW; biases and the likelihood's own parameters lose nothing [default: 0]
    #[arg(long, value_name = "DECAY", allow_negative_numbers = true)]
    pub weight_decay: Option<f64>,
    /// Shorten the gradient (of the mean over the minibatch's images, of all parameters together) to this
    /// length where it is longer; metrics.jsonl has the share of steps in which it was [default: never]
    #[arg(long, value_name = "NORM", allow_negative_numbers = true)]
    pub clip_norm: Option<f64>,
    /// Keep an exponential moving average of the parameters, in which a step counts this many times as much as
    /// the next: the figures of each epoch, the model and the best one are the average's, the checkpoint has
    /// both [default: none]
    #[arg(long, value_name = "DECAY", allow_negative_numbers = true)]
    pub ema: Option<f64>,
    /// Decay of Adam's mean gradient [default: 0.9]
    #[arg(long, value_name = "BETA1", allow_negative_numbers = true)]
    adam_beta1: Option<f64>,
    /// Decay of Adam's mean squared gradient [default: 0.999]
    #[arg(long, value_name = "BETA2", allow_negative_numbers = true)]
    adam_beta2: Option<f64>,
    /// What Adam adds to the root of the mean squared gradient [default: 1e-8]
    #[arg(long, value_name = "EPSILON", allow_negative_numbers = true)]
    adam_epsilon: Option<f64>,
    /// Decay of RMSprop's mean squared gradient, PyTorch's alpha [default: 0.99]
    #[arg(long, value_name = "DECAY", allow_negative_numbers = true)]
    rmsprop_decay: Option<f64>,
    /// What RMSprop adds to the root of the mean squared gradient [default: 1e-8]
    #[arg(long, value_name = "EPSILON", allow_negative_numbers = true)]
    rmsprop_epsilon: Option<f64>,
    /// Decay of Adamax's mean gradient [default: 0.9]
    #[arg(long, value_name = "BETA1", allow_negative_numbers = true)]
    adamax_beta1: Option<f64>,
    /// Decay of Adamax's largest gradient [default: 0.999]
    #[arg(long, value_name = "BETA2", allow_negative_numbers = true)]
    adamax_beta2: Option<f64>,
    /// What Adamax adds to the size of each gradient [default: 1e-8]
    #[arg(long, value_name = "EPSILON", allow_negative_numbers = true)]
    adamax_epsilon: Option<f64>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OptimizerName {
    /// Adam (Kingma and Ba 2015)
    Adam,
    /// RMSprop (Hinton 2012)
    #[value(name = "rmsprop")]
    RmsProp,
    /// Adamax (Kingma and Ba 2015): steps over the largest gradient of late
    Adamax,
}

impl OptimizerOptions {
    /// The optimizer that is named, or that of `base`, with what is given in the place of its constants.
    pub fn chosen(&self, base: Optimizer) -> Result<Optimizer, String> {
        let base = match (self.optimizer, base) {
            (None, base) => base,
            (Some(OptimizerName::Adam), Optimizer::Adam(base)) => Optimizer::Adam(base),
            (Some(OptimizerName::RmsProp), Optimizer::RmsProp(base)) => Optimizer::RmsProp(base),
            (Some(OptimizerName::Adamax), Optimizer::Adamax(base)) => Optimizer::Adamax(base),
            (Some(OptimizerName::Adam), _) => Optimizer::Adam(Adam::default()),
            (Some(OptimizerName::RmsProp), _) => Optimizer::RmsProp(RmsProp::default()),
            (Some(OptimizerName::Adamax), _) => Optimizer::Adamax(Adamax::default()),
        };
        // Constants of another optimizer.
        let name = match base {
            Optimizer::Adam(_) => OptimizerName::Adam,
            Optimizer::RmsProp(_) => OptimizerName::RmsProp,
            Optimizer::Adamax(_) => OptimizerName::Adamax,
        };
        let given = |options: &[Option<f64>]| options.iter().any(Option::is_some);
        let adam = [self.adam_beta1, self.adam_beta2, self.adam_epsilon];
        if name != OptimizerName::Adam && given(&adam) {
            return Err(
                "--adam-beta1, --adam-beta2 and --adam-epsilon need --optimizer adam".into()
            );
        }
        if name != OptimizerName::RmsProp && given(&[self.rmsprop_decay, self.rmsprop_epsilon]) {
            return Err("--rmsprop-decay and --rmsprop-epsilon need --optimizer rmsprop".into());
        }
        let adamax = [self.adamax_beta1, self.adamax_beta2, self.adamax_epsilon];
        if name != OptimizerName::Adamax && given(&adamax) {
            let options = "--adamax-beta1, --adamax-beta2 and --adamax-epsilon";
            return Err(format!("{options} need --optimizer adamax"));
        }
        Ok(match base {
            Optimizer::Adam(base) => Optimizer::Adam(Adam {
                beta1: self.adam_beta1.unwrap_or(base.beta1),
                beta2: self.adam_beta2.unwrap_or(base.beta2),
                epsilon: self.adam_epsilon.unwrap_or(base.epsilon),
            }),
            Optimizer::RmsProp(base) => Optimizer::RmsProp(RmsProp {
                decay: self.rmsprop_decay.unwrap_or(base.decay),
                epsilon: self.rmsprop_epsilon.unwrap_or(base.epsilon),
            }),
            Optimizer::Adamax(base) => Optimizer::Adamax(Adamax {
                beta1: self.adamax_beta1.unwrap_or(base.beta1),
                beta2: self.adamax_beta2.unwrap_or(base.beta2),
                epsilon: self.adamax_epsilon.unwrap_or(base.epsilon),
            }),
        })
    }
}
