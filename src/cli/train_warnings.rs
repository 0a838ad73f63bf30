//! What of a run's settings and figures is not to be taken at its face value: a line each.

use super::train::Job;
use crate::report::console::note;
use crate::train::{Figures, Settings, State};
use crate::vae::Binarization;
use crate::vae::likelihood::LikelihoodKind;

/// Share of grey pixels from which on images are taken for photos: MNIST has 0.09, Fashion-MNIST 0.40.
const MOSTLY: f64 = 0.5;

/// Nats of KL below which codes tell nothing.
const COLLAPSED: f64 = 0.01;

impl Job {
    /// A weight of the KL that rises for longer than the run lasts never is what was asked for.
    pub(super) fn warn_of_warm_up(&self) {
        let Settings { objective, .. } = &self.settings;
        let n = self.dataset.train.n_images as u64;
        let last = self.settings.steps_total(n);
        let rises = self.settings.steps_until(objective.warm_up, n);
        if objective.warm_up > 0 && last < rises {
            note(format_args!(
                "warning: the weight of the KL rises over {} epochs (--warm-up), {rises} steps, and the run ends \
                 after {last}: it comes to {:.3}, not to {}",
                objective.warm_up,
                objective.beta * last as f64 / rises as f64,
                objective.beta
            ));
        }
    }

    /// What of the figures is not as it should be.
    pub(super) fn warn_of_figures(&self, state: &State) {
        let (Some(first), Some(last)) = (state.reports.first(), state.reports.last()) else {
            return;
        };
        if last.test.kl < COLLAPSED && last.train.kl < COLLAPSED {
            note(format_args!(
                "warning: the KL is {:.4} nats: the posterior has collapsed onto the prior, and the codes tell \
                 nothing of the images; --warm-up, --free-bits or a smaller --beta may help",
                last.test.kl
            ));
        }
        let rate = self.settings.learning_rate;
        // What is ascended, with the last step's weight of the KL in both: while that rises, or where it is not 1, the ELBO
        // may fall and all be well.
        let beta = self.last_beta(state.step());
        let ascended = |f: &Figures| f.bound.unwrap_or(f.reconstruction - beta * f.kl);
        let (before, now) = (ascended(&first.train), ascended(&last.train));
        let least = self.least();
        if now < before && self.settings.objective.free_bits == 0.0 {
            note(format_args!(
                "warning: what is ascended has fallen, on the training images, from {before:.2} in epoch {} to {now:.2}: a \
                 smaller --lr than {rate} may help",
                first.epoch
            ));
        } else if last.train.elbo < 2.0 * least {
            note(format_args!(
                "warning: the ELBO of the training images is {:.2}, far below that of a model that knows nothing ({least:.2}): a \
                 smaller --lr than {rate} may help",
                last.train.elbo
            ));
        }
    }

    /// The weight of the KL in the last of so many steps.
    pub(super) fn last_beta(&self, steps: u64) -> f64 {
        self.settings.beta_of(steps.max(1), self.dataset.train.n_images as u64)
    }

    /// Nats per image that any model worth the name has: of a coin for each bit, of equal levels, and of densities and counts
    /// a figure that none falls below in earnest.
    fn least(&self) -> f64 {
        let architecture = &self.settings.architecture;
        let of_value = match architecture.likelihood.kind() {
            LikelihoodKind::Bernoulli => 2.0_f64.ln(),
            LikelihoodKind::DiscretizedLogistic => 256.0_f64.ln(),
            _ => 1e4,
        };
        -of_value * architecture.pixels() as f64
    }

    /// Of pixels like those of photos, dynamic binarization leaves little.
    pub(super) fn warn_of_grey(&self) {
        let share = self.dataset.train.grey_share();
        if self.settings.binarization == Binarization::Dynamic && share > MOSTLY {
            let is_colour = self.dataset.train.channels > 1;
            let (pixels, black) = match is_colour {
                true => ("values of red, green and blue", "0 or 1"),
                false => ("pixels", "black or white"),
            };
            note(format_args!(
                "{:.0}% of the {pixels} are between 0.1 and 0.9, and dynamic binarization draws each as {black} anew; \
                 --likelihood gaussian models them as they are",
                100.0 * share
            ));
        }
    }
}
