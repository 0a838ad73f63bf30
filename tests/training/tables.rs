//! Tables: rows with missing cells, against a linear-Gaussian model whose answers are known, and bit for bit.

use std::ops::ControlFlow;
use std::sync::Arc;

use elbo::data::{Dataset, Images, Table};
use elbo::device::Device;
use elbo::evaluate::{Model, Request, evaluate};
use elbo::generate::{self, Draws, Shown};
use elbo::kernels::activation::Activation;
use elbo::train::{Settings, Trainer};
use elbo::vae::{Architecture, Binarization, Likelihood, Prior, Variance};
use nalgebra::{Cholesky, DMatrix, DVector};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::harness;

const D: usize = 6;
const Z: usize = 2;
const VARIANCES: [f64; D] = [0.3, 0.5, 0.2, 0.4, 0.3, 0.6];

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let [u, v]: [f64; 2] = [rng.random_range(1e-12..1.0), rng.random_range(0.0..1.0)];
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// x = W z + b + N(0, diag s), and rows of it of which a third of the cells are missing.
struct Known {
    weight: DMatrix<f64>,
    mean: DVector<f64>,
    rows: Vec<DVector<f64>>,
    cells: Vec<f64>,
}

fn known(n: usize) -> Known {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let round = |v: f64| f64::from(v as f32);
    let weight = DMatrix::from_fn(D, Z, |_, _| round(0.8 * normal(&mut rng)));
    let mean = DVector::from_fn(D, |_, _| round(0.5 * normal(&mut rng)));
    let mut cells = Vec::new();
    let mut rows = Vec::new();
    for _ in 0..n {
        let z = DVector::from_fn(Z, |_, _| normal(&mut rng));
        let noise = DVector::from_fn(D, |i, _| VARIANCES[i].sqrt() * normal(&mut rng));
        let row = (&weight * z + &mean + noise).map(round);
        cells.extend(row.iter().map(|&v| if rng.random_range(0..3) == 0 { f64::NAN } else { v }));
        rows.push(row);
    }
    Known { weight, mean, rows, cells }
}

impl Known {
    fn architecture(&self, variance: Variance) -> Architecture {
        Architecture {
            image: (1, D),
            channels: 1,
            hidden: Vec::new().into(),
            decoder_hidden: Vec::new().into(),
            latent: Z,
            activation: Activation::Relu,
            posterior: Default::default(),
            likelihood: Likelihood::Gaussian { variance },
            classes: Vec::new(),
            prior: Prior::Normal,
        }
    }

    /// The model itself as the decoder, and an encoder that is broad enough for every posterior.
    fn parameters(&self) -> Vec<Vec<f32>> {
        let precision = DMatrix::from_diagonal(&DVector::from_fn(D, |i, _| 1.0 / VARIANCES[i]));
        let back = self.weight.transpose() * precision;
        let covariance = (DMatrix::identity(Z, Z) + &back * &self.weight).try_inverse().unwrap();
        let map = covariance * back;
        let offset = -(&map * &self.mean);
        let mut encoder = vec![0.0; 2 * Z * D];
        for unit in 0..Z {
            for i in 0..D {
                encoder[unit * D + i] = map[(unit, i)] as f32;
            }
        }
        let mut bias: Vec<f32> = offset.iter().map(|&v| v as f32).collect();
        bias.extend([0.7_f32.ln(); Z]);
        vec![
            encoder,
            bias,
            self.weight.transpose().iter().map(|&v| v as f32).collect(),
            self.mean.iter().map(|&v| v as f32).collect(),
            VARIANCES.iter().map(|v| v.ln() as f32).collect(),
        ]
    }

    /// ln p of what is there of a row, and the expectation of all of its cells given that.
    fn answers(&self, row: usize) -> (f64, DVector<f64>) {
        let there: Vec<usize> = (0..D).filter(|i| !self.cells[row * D + i].is_nan()).collect();
        let whole = &self.weight * self.weight.transpose();
        let n = there.len();
        let of = DMatrix::from_fn(n, n, |i, j| {
            let noise = if i == j { VARIANCES[there[i]] } else { 0.0 };
            whole[(there[i], there[j])] + noise
        });
        let across = DMatrix::from_fn(D, n, |i, j| whole[(i, there[j])]);
        let centred = DVector::from_fn(n, |i, _| self.rows[row][there[i]] - self.mean[there[i]]);
        let factor = Cholesky::new(of).unwrap();
        let solved = factor.solve(&centred);
        let half: f64 = factor.l().diagonal().iter().map(|v| v.ln()).sum();
        let two_pi = std::f64::consts::TAU.ln();
        // Of a cell that is there E[W z + b | x], without its own noise.
        (-0.5 * (n as f64 * two_pi + centred.dot(&solved)) - half, &self.mean + across * solved)
    }
}

fn unscaled() -> Arc<Table> {
    Arc::new(Table::unscaled(&(0..D).map(|i| format!("column {i}")).collect::<Vec<String>>()))
}

/// Rows that are drawn have the model's covariance, W W^T + diag s; what is expected of their codes lacks the noise. The
/// first are the same however many there are.
#[test]
fn drawn_rows_vary_as_the_model_says() {
    let known = known(1);
    let (architecture, parameters) = (known.architecture(Variance::Column), known.parameters());
    let device = Device::Cpu(harness::cpu());
    let n = 20_000;
    for (shown, noise) in [(Shown::Drawn, 1.0), (Shown::Expected, 0.0)] {
        let draws = |count| Draws { count, classes: &[], shown, seed: 5 };
        let all = generate::draw_all(&device, &architecture, &parameters, draws(n)).unwrap();
        let few = generate::draw_all(&device, &architecture, &parameters, draws(1030)).unwrap();
        assert_eq!((all.len(), &all[..1030]), (n, &few[..]));
        let x = DMatrix::from_fn(n, D, |row, i| f64::from(all[row][i]));
        let mean = x.row_mean();
        let centred = DMatrix::from_fn(n, D, |row, i| x[(row, i)] - mean[i]);
        let got = centred.transpose() * &centred / n as f64;
        let own = DMatrix::from_diagonal(&DVector::from_fn(D, |i, _| noise * VARIANCES[i]));
        let want = &known.weight * known.weight.transpose() + own;
        for i in 0..D {
            assert!((mean[i] - known.mean[i]).abs() < 5.0 * (want[(i, i)] / n as f64).sqrt());
            for j in 0..D {
                let error =
                    ((want[(i, i)] * want[(j, j)] + want[(i, j)].powi(2)) / n as f64).sqrt();
                let (got, want) = (got[(i, j)], want[(i, j)]);
                assert!((got - want).abs() < 5.0 * error, "{shown:?} {i} {j}: {got} for {want}");
            }
        }
    }
}

/// The importance-weighted bound of many draws is log p of the cells that are there, and the importance-weighted mean of
/// what the decoder expects is the conditional mean: both in closed form.
#[test]
fn missing_cells_are_marginalized() {
    let n = 24;
    let known = known(n);
    let rows = Images::of_table(unscaled(), &known.cells).unwrap();
    assert!(rows.has_missing());
    let (architecture, parameters) = (known.architecture(Variance::Column), known.parameters());
    for device in harness::devices() {
        let model = Model {
            architecture: &architecture,
            parameters: &parameters,
            binarization: Binarization::None,
            seed: 3,
        };
        let request = Request { images: n, ks: vec![20_000], rows: None, resident: None };
        let evaluation =
            evaluate(&device, model, &rows, &request, &mut |_| ControlFlow::Continue(())).unwrap();
        let imputed =
            generate::impute(&device, model, &rows, 20_000, &mut |_| ControlFlow::Continue(()));
        let imputed = imputed.unwrap().unwrap();
        for row in 0..n {
            let (log_density, mean) = known.answers(row);
            let figures = &evaluation.images[row];
            let got = figures.importance[0];
            assert!(figures.effective_size > 500.0, "{}", figures.effective_size);
            assert!((got - log_density).abs() < 0.08, "row {row}: {got} for {log_density}");
            // The prior's estimate knows nothing of the encoder.
            let prior = figures.prior[0];
            assert!((prior - log_density).abs() < 0.3, "row {row}: {prior} for {log_density}");
            assert!(figures.elbo() < got + 1e-3);
            for i in 0..D {
                let got = f64::from(imputed[row * D + i]);
                assert!((got - mean[i]).abs() < 0.06, "row {row}, {i}: {got} for {}", mean[i]);
            }
        }
    }
}

/// What a missing cell holds makes no difference, and a window of the rows none either.
#[test]
fn rows_are_streamed_as_they_are_held() {
    let n = 200;
    let known = known(n);
    let rows = Images::of_table(unscaled(), &known.cells).unwrap();
    let (architecture, parameters) = (known.architecture(Variance::Column), known.parameters());
    let model = Model {
        architecture: &architecture,
        parameters: &parameters,
        binarization: Binarization::None,
        seed: 3,
    };
    for device in harness::devices() {
        let evaluated = |resident| {
            let request = Request { images: n, ks: vec![4], rows: Some(32), resident };
            let go_on = &mut |_| ControlFlow::Continue(());
            evaluate(&device, model, &rows, &request, go_on).unwrap().images
        };
        assert_eq!(evaluated(None), evaluated(Some(32 * D * 4)));
    }
}

fn table(n: usize) -> Dataset {
    let known = known(n + n / 4);
    let (train, test) = known.cells.split_at(n * D);
    let names: Vec<String> = (0..D).map(|i| i.to_string()).collect();
    let table = Arc::new(Table::of(&names, train).unwrap());
    let [train, test] = [train, test].map(|cells| Images::of_table(table.clone(), cells).unwrap());
    Dataset::new("a table", train, test).unwrap()
}

fn settings(dataset: &Dataset, variance: Variance) -> Settings {
    let mut settings = Settings { epochs: 3, batch: 20, ..Settings::of(dataset) };
    settings.architecture.likelihood = Likelihood::Gaussian { variance };
    settings.architecture.hidden = vec![16].into();
    settings.architecture.decoder_hidden = vec![16].into();
    settings.check_with(dataset).unwrap();
    settings
}

/// The same seed gives the same bits, whether the rows are on the device as a whole or not; a GPU's figures are the
/// CPU's.
#[test]
fn training_on_a_table_repeats() {
    let dataset = table(100);
    for variance in [Variance::Column, Variance::Optimal, Variance::Decoder, Variance::Given(0.4)] {
        let settings = settings(&dataset, variance);
        let mut elbos = Vec::new();
        for device in harness::devices() {
            let run = |resident| {
                let mut trainer = Trainer::within(&device, &dataset, &settings, resident).unwrap();
                let end = trainer.steps_total();
                trainer.advance(end, |_| ControlFlow::Continue(())).unwrap();
                (trainer.digest().unwrap(), trainer.evaluate().unwrap().elbo())
            };
            let (digest, elbo) = run(None);
            assert_eq!(run(None).0, digest);
            assert_eq!(run(Some(16 * D * 4)), (digest, elbo));
            elbos.push(elbo);
        }
        assert!(elbos.iter().all(|elbo| (elbo - elbos[0]).abs() < 1e-3), "{variance}: {elbos:?}");
    }
}

/// Training finds what there is to find: more than columns that have nothing to do with one another.
#[test]
fn a_table_is_learnt() {
    let dataset = table(2000);
    let settings = Settings { epochs: 40, ..settings(&dataset, Variance::Column) };
    let mut trainer = Trainer::new(&Device::Cpu(harness::cpu()), &dataset, &settings).unwrap();
    let before = trainer.evaluate().unwrap().elbo();
    let end = trainer.steps_total();
    trainer.advance(end, |_| ControlFlow::Continue(())).unwrap();
    let elbo = trainer.evaluate().unwrap().elbo();
    // Standardised columns by themselves have -1/2 (1 + ln 2 pi) each.
    let values = dataset.test.pixels.reals().unwrap();
    let there = values.len() - dataset.test.missing();
    let alone =
        -0.5 * (1.0 + std::f64::consts::TAU.ln()) * there as f64 / dataset.test.n_images as f64;
    let known = known(2500);
    let scale = dataset.table().unwrap();
    let mut best = 0.0;
    for row in 2000..2500 {
        let observed = (0..D).filter(|i| !known.cells[row * D + i].is_nan());
        let scaled: f64 = observed.map(|i| scale.columns[i].deviation.ln()).sum();
        best += (known.answers(row).0 + scaled) / 500.0;
    }
    println!("{before:.3} -> {elbo:.3}; columns alone {alone:.3}, the model itself {best:.3}");
    assert!(elbo > alone + 0.5 * (best - alone), "{elbo} between {alone} and {best}");
    assert!(elbo < best + 0.1, "{elbo} above {best}");
}

#[test]
fn tables_and_images_do_not_mix() {
    let dataset = table(40);
    let good = settings(&dataset, Variance::Column);
    let refused = |settings: &Settings, dataset: &Dataset| {
        settings.check_with(dataset).expect_err("refused").to_string()
    };
    let with = |likelihood| {
        let architecture = Architecture { likelihood, ..good.architecture.clone() };
        Settings { architecture, ..good.clone() }
    };
    let text = refused(&with(Likelihood::Bernoulli), &dataset);
    assert!(text.contains("bernoulli is for pixels, and these are rows of a table"), "{text}");
    let learned = with(Likelihood::Gaussian { variance: Variance::Learned });
    let text = refused(&learned, &dataset);
    assert!(text.contains("needs every cell, and some are missing"), "{text}");
    let whole = Images::of_table(unscaled(), &[1.0; D]).unwrap();
    let whole = Dataset::new("whole", whole.clone(), whole).unwrap();
    assert!(Settings { batch: 1, ..learned }.check_with(&whole).is_ok());
    let text = refused(&Settings { flip: true, ..good.clone() }, &dataset);
    assert!(text.contains("`flip` true is for images"), "{text}");
    let grey = Images::new(1, D, vec![7; 40 * D]).unwrap();
    assert!(Dataset::new("mixed", dataset.train.clone(), grey).is_err());
}
