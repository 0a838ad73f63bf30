//! Small networks, for documents and the browser.

use elbo::data::{Dataset, Images, Labels};
use elbo::kernels::activation::Activation;
use elbo::nn::{Layers, Shape};
use elbo::train::Settings;
use elbo::vae::likelihood::SizeFactor;
use elbo::vae::objective::{Bound, Estimator, Kl};
use elbo::vae::prior::PseudoValues;
use elbo::vae::{Architecture, Binarization, Family, Init, Likelihood, Objective, Prior, Variance};

/// Images with a pattern to learn, of three classes.
pub fn images(n: usize, height: usize, width: usize, channels: usize) -> Images {
    let d = height * width * channels;
    let pixel = |i: usize, p: usize| {
        let noise = ((i * d + p) * 2_654_435_761) >> 9;
        if (p / channels + i % 3 * 2) % 7 < 3 {
            250 - (noise % 60) as u8
        } else {
            (noise % 50) as u8
        }
    };
    let pixels: Vec<u8> = (0..n).flat_map(|i| (0..d).map(move |p| pixel(i, p))).collect();
    let labels = Some(Labels::numbered((0..n).map(|i| (i % 3) as u16).collect()));
    Images { n_images: n, height, width, channels, pixels: pixels.into(), labels }
}

pub fn dataset() -> Dataset {
    let (train, test) = (images(200, 6, 5, 1), images(50, 6, 5, 1));
    Dataset { name: "bytes".to_string(), train, test, valid: None }
}

/// A small VAE of images of 6x5 grey pixels.
pub fn small() -> Settings {
    Settings {
        architecture: Architecture {
            image: (6, 5),
            channels: 1,
            hidden: vec![17].into(),
            decoder_hidden: vec![17].into(),
            latent: 3,
            activation: Activation::Relu,
            posterior: Family::Diagonal,
            likelihood: Likelihood::Bernoulli,
            classes: Vec::new(),
            prior: Prior::Normal,
        },
        batch: 16,
        seed: 5,
        ..Settings::default()
    }
}

pub fn with(change: impl FnOnce(&mut Settings)) -> Settings {
    let mut settings = small();
    change(&mut settings);
    settings
}

fn likelihoods() -> Vec<Likelihood> {
    let variances = [
        Variance::Optimal,
        Variance::Channel,
        Variance::Pixel,
        Variance::Column,
        Variance::Learned,
        Variance::Decoder,
        Variance::Given(0.3),
    ];
    let gaussian = variances.map(|variance| Likelihood::Gaussian { variance });
    let counts = [SizeFactor::Total, SizeFactor::None].map(|size_factor| {
        [Likelihood::Poisson { size_factor }, Likelihood::NegativeBinomial { size_factor }]
    });
    let grey = [Likelihood::ContinuousBernoulli, Likelihood::DiscretizedLogistic];
    [&[Likelihood::Bernoulli], &gaussian[..], &grey, &counts.concat()].concat()
}

fn objectives() -> Vec<(Objective, usize)> {
    let iwae = |estimator| Objective {
        bound: Bound::Iwae,
        kl: Kl::Sampled,
        estimator,
        ..Objective::default()
    };
    vec![
        (Objective::default(), 1),
        (Objective { free_bits: 0.1, warm_up: 2, ..Objective::default() }, 2),
        (Objective { kl: Kl::Sampled, ..Objective::default() }, 2),
        (
            Objective {
                kl: Kl::Sampled,
                estimator: Estimator::StickingTheLanding,
                ..Objective::default()
            },
            1,
        ),
        (iwae(Estimator::Reparameterized), 3),
        (iwae(Estimator::DoublyReparameterized), 3),
    ]
}

/// Every likelihood with every posterior, prior and objective, as far as they go together.
pub fn combinations() -> Vec<Settings> {
    let mut all = Vec::new();
    for likelihood in likelihoods() {
        for posterior in [Family::Diagonal, Family::Full, Family::Planar { steps: 3 }] {
            for (objective, samples) in objectives() {
                // The mixture of a VampPrior is of Gaussians with independent units.
                for pseudo_inputs in [0, 3] {
                    if pseudo_inputs > 0 && posterior != Family::Diagonal {
                        continue;
                    }
                    all.push(with(|s| {
                        s.architecture.likelihood = likelihood;
                        s.architecture.posterior = posterior;
                        s.objective = objective.clone();
                        s.samples = samples;
                        if likelihood != Likelihood::Bernoulli {
                            s.binarization = Binarization::None;
                        }
                        if pseudo_inputs > 0 {
                            let values = PseudoValues::Pixels;
                            s.architecture.prior = Prior::Vamp { pseudo_inputs, values };
                        }
                    }));
                }
            }
        }
    }
    all
}

/// Networks and ways of training that have kernels of their own.
pub fn networks() -> Vec<(&'static str, Settings)> {
    let layers = |text: &str| -> Layers { text.parse().expect("layers") };
    let blocks = layers("conv 8 3/2 norm 4, res 8 norm, gated 20");
    let back = blocks.mirrored(Shape::Map([6, 5, 1])).expect("a way back");
    let conv = layers("conv 8 4/2, 20");
    let conv_back = conv.mirrored(Shape::Map([6, 5, 1])).expect("a way back");
    let classes = || ["0", "1", "2"].map(String::from).to_vec();
    vec![
        (
            "no hidden layer",
            with(|s| {
                s.architecture.hidden = Vec::<usize>::new().into();
                s.architecture.decoder_hidden = Vec::<usize>::new().into();
            }),
        ),
        (
            "two hidden layers",
            with(|s| {
                s.architecture.hidden = vec![17, 9].into();
                s.architecture.decoder_hidden = vec![9, 17].into();
                s.init = Init::Glorot;
            }),
        ),
        (
            "convolutions",
            with(|s| {
                s.architecture.hidden = conv.clone();
                s.architecture.decoder_hidden = conv_back.clone();
                s.architecture.activation = Activation::Silu;
            }),
        ),
        (
            "blocks",
            with(|s| {
                s.architecture.hidden = blocks.clone();
                s.architecture.decoder_hidden = back.clone();
            }),
        ),
        ("told classes", with(|s| s.architecture.classes = classes())),
        (
            "clipped, decayed, averaged",
            with(|s| {
                s.clip_norm = Some(0.5);
                s.weight_decay = 0.1;
                s.average = Some(0.99);
            }),
        ),
        ("decayed", with(|s| s.weight_decay = 0.1)),
        ("RMSProp", with(|s| s.optimizer = elbo::Optimizer::RmsProp(Default::default()))),
        ("Adamax", with(|s| s.optimizer = elbo::Optimizer::Adamax(Default::default()))),
        (
            "many samples",
            with(|s| {
                s.samples = 4;
                s.objective.bound = Bound::Iwae;
                s.objective.kl = Kl::Sampled;
            }),
        ),
    ]
}
