//! How parameters begin.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::named::named;

named! {
    /// How parameters begin.
    #[derive(Default)]
    pub enum Init {
        /// Weights and biases uniform on ±1/sqrt(inputs), as PyTorch's nn.Linear has them
        Pytorch = "pytorch" (default),
        /// Weights uniform on ±sqrt(6/(inputs + outputs)), biases zero, but for those of the decoder's output,
        /// which begin where the mean of the training images is met
        Glorot = "glorot",
    }
}

impl Init {
    /// Weight and bias of a convolution from and to so many channels, through a window of so many pixels. `fans` are the
    /// channels that count as its inputs and its outputs.
    pub(super) fn of_window(
        self,
        uniform: &mut Uniform,
        [from, to]: [usize; 2],
        window: usize,
        fans: [usize; 2],
    ) -> Vec<Vec<f32>> {
        let n = from * to * window;
        match self {
            Init::Pytorch => {
                let bound = 1.0 / ((fans[0] * window) as f32).sqrt();
                vec![uniform.numbers(n, bound), uniform.numbers(to, bound)]
            }
            Init::Glorot => {
                let units = (fans[0] + fans[1]) * window;
                vec![uniform.numbers(n, (6.0 / units as f32).sqrt()), vec![0.0; to]]
            }
        }
    }
}

/// Uniform numbers, in an order that depends on the seed alone.
pub struct Uniform(Numbers);

enum Numbers {
    Random(Box<ChaCha8Rng>),
    Marks { sign: f32, drawn: Vec<(usize, f32)> },
}

impl Uniform {
    pub fn new(seed: u64) -> Self {
        Uniform(Numbers::Random(Box::new(ChaCha8Rng::seed_from_u64(seed))))
    }

    /// In place of random numbers their mark: of the first that are drawn at once `sign`, of the next twice that, and so
    /// on. To see where parameters that begin at random are.
    pub fn marks(sign: f32) -> Self {
        Uniform(Numbers::Marks { sign, drawn: Vec::new() })
    }

    /// How many were drawn each time, and their bound, where marks were asked for.
    pub fn drawn(&self) -> &[(usize, f32)] {
        match &self.0 {
            Numbers::Random(_) => &[],
            Numbers::Marks { drawn, .. } => drawn,
        }
    }

    /// The next `n` numbers, on ±bound.
    pub fn numbers(&mut self, n: usize, bound: f32) -> Vec<f32> {
        match &mut self.0 {
            Numbers::Random(random) => {
                (0..n).map(|_| (2.0 * random.random::<f32>() - 1.0) * bound).collect()
            }
            Numbers::Marks { sign, drawn } => {
                drawn.push((n, bound));
                vec![*sign * drawn.len() as f32; n]
            }
        }
    }
}
