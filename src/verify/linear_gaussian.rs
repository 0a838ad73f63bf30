//! The linear-Gaussian model, whose answers are known: z ~ N(0, I), x = W z + b + N(0, s I).
//!
//! p(x) = N(b, W W^T + s I) and p(z|x) = N(S W^T (x - b) / s, S) with S = (I + W^T W / s)^-1. Where the
//! columns of W are orthogonal S is diagonal, and a diagonal q can be the posterior itself. The maximum of
//! the likelihood over W, b, s is probabilistic PCA (Tipping and Bishop 1999, doi:10.1111/1467-9868.00196).

use nalgebra::{Cholesky, DMatrix, DVector, Dyn, SymmetricEigen};
use rand::{Rng, RngExt};

const LN_2PI: f64 = 1.837_877_066_409_345_3;

/// A model with its density's factor.
#[derive(Clone)]
pub struct LinearGaussian {
    /// (D, Z)
    pub weight: DMatrix<f64>,
    /// (D)
    pub mean: DVector<f64>,
    /// s
    pub variance: f64,
    covariance: Cholesky<f64, Dyn>,
}

/// A Gaussian with diagonal covariance.
#[derive(Debug, Clone)]
pub struct Diagonal {
    /// (Z)
    pub mean: DVector<f64>,
    /// (Z)
    pub variance: DVector<f64>,
}

impl LinearGaussian {
    /// None where W W^T + s I is no covariance: s is not positive, or something is NaN.
    pub fn new(weight: DMatrix<f64>, mean: DVector<f64>, variance: f64) -> Option<Self> {
        let d = weight.nrows();
        let covariance = &weight * weight.transpose() + DMatrix::identity(d, d) * variance;
        let covariance = Cholesky::new(covariance)?;
        Some(LinearGaussian { weight, mean, variance, covariance })
    }

    /// A model of D observed and Z latent units with orthogonal columns of different lengths, each value
    /// rounded to single precision, in which the devices get it.
    pub fn random(d: usize, z: usize, rng: &mut impl Rng) -> Self {
        let directions = DMatrix::from_fn(d, z, |_, _| normal(rng)).qr().q();
        let lengths = DVector::from_fn(z, |i, _| 1.5 - i as f64 / z as f64);
        let round = |v: f64| f64::from(v as f32);
        let weight = (directions * DMatrix::from_diagonal(&lengths)).map(round);
        let mean = DVector::from_fn(d, |_, _| round(0.5 * normal(rng)));
        LinearGaussian::new(weight, mean, 0.5).expect("W W^T + I / 2 is positive definite")
    }

    /// ln p(x)
    pub fn log_density(&self, x: &DVector<f64>) -> f64 {
        let centred = x - &self.mean;
        let d = centred.len() as f64;
        let half_log_determinant: f64 =
            self.covariance.l_dirty().diagonal().iter().map(|v| v.ln()).sum();
        -0.5 * (d * LN_2PI + centred.dot(&self.covariance.solve(&centred))) - half_log_determinant
    }

    /// The map x -> A x + c of the posterior's mean, (Z, D) and (Z), and the posterior's covariance (Z, Z).
    pub fn posterior(&self) -> (DMatrix<f64>, DVector<f64>, DMatrix<f64>) {
        let z = self.weight.ncols();
        let precision =
            DMatrix::identity(z, z) + self.weight.transpose() * &self.weight / self.variance;
        let covariance =
            Cholesky::new(precision).expect("I + W^T W / s is positive definite").inverse();
        let map = &covariance * self.weight.transpose() / self.variance;
        let offset = -(&map * &self.mean);
        (map, offset, covariance)
    }

    /// One draw of x.
    pub fn draw(&self, rng: &mut impl Rng) -> DVector<f64> {
        let z = DVector::from_fn(self.weight.ncols(), |_, _| normal(rng));
        let noise = DVector::from_fn(self.mean.len(), |_, _| self.variance.sqrt() * normal(rng));
        &self.weight * z + &self.mean + noise
    }
}

/// KL(q || N(mean, covariance)) of a diagonal q.
///
/// # Panics
/// If the covariance is not positive definite.
pub fn kl(q: &Diagonal, mean: &DVector<f64>, covariance: &DMatrix<f64>) -> f64 {
    let factor = Cholesky::new(covariance.clone()).expect("a covariance is positive definite");
    let precision = factor.inverse();
    let difference = mean - &q.mean;
    let trace: f64 = q.variance.iter().enumerate().map(|(i, v)| precision[(i, i)] * v).sum();
    let log_determinant: f64 = factor.l_dirty().diagonal().iter().map(|v| 2.0 * v.ln()).sum();
    let q_log_determinant: f64 = q.variance.iter().map(|v| v.ln()).sum();
    let quadratic = difference.dot(&(precision * &difference));
    0.5 * (trace + quadratic - q.mean.len() as f64 + log_determinant - q_log_determinant)
}

/// The maximum-likelihood solution of probabilistic PCA on data.
pub struct Ppca {
    /// Mean over the data of ln p(x) at the maximum.
    pub log_likelihood: f64,
    /// s, the mean of the discarded eigenvalues.
    pub variance: f64,
    /// (D, Z) orthonormal: the principal subspace.
    pub subspace: DMatrix<f64>,
}

/// From the eigenvalues of the covariance of `data`, (N, D).
pub fn ppca(data: &DMatrix<f64>, z: usize) -> Ppca {
    let (n, d) = data.shape();
    let mean = data.row_mean();
    let centred = DMatrix::from_fn(n, d, |i, j| data[(i, j)] - mean[j]);
    let SymmetricEigen { eigenvectors, eigenvalues } =
        SymmetricEigen::new(centred.transpose() * &centred / n as f64);
    let mut order: Vec<usize> = (0..d).collect();
    order.sort_by(|&a, &b| eigenvalues[b].total_cmp(&eigenvalues[a]));
    let (kept, discarded) = order.split_at(z);
    let variance = discarded.iter().map(|&i| eigenvalues[i]).sum::<f64>() / discarded.len() as f64;
    let kept_logs: f64 = kept.iter().map(|&i| eigenvalues[i].ln()).sum();
    let log_likelihood =
        -0.5 * (d as f64 * (LN_2PI + 1.0) + kept_logs + discarded.len() as f64 * variance.ln());
    Ppca { log_likelihood, variance, subspace: eigenvectors.select_columns(kept) }
}

/// The sine of the largest angle between two subspaces, of which `orthonormal` (D, Z) spans one and the
/// columns of `weight` (D, Z) the other: 0 where they are the same, 1 where some direction is lost.
pub fn subspace_distance(orthonormal: &DMatrix<f64>, weight: &DMatrix<f64>) -> f64 {
    let other = weight.clone().qr().q();
    let cosines = (orthonormal.transpose() * other).singular_values();
    (1.0 - cosines.min().powi(2)).max(0.0).sqrt()
}

fn normal(rng: &mut impl Rng) -> f64 {
    let u: f64 = 1.0 - rng.random::<f64>();
    let t: f64 = rng.random();
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * t).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    /// Against a density written out by hand, with D = 2, Z = 1.
    #[test]
    fn the_density_is_that_of_the_bivariate_normal() {
        let model = LinearGaussian::new(
            DMatrix::from_row_slice(2, 1, &[1.0, 2.0]),
            DVector::from_row_slice(&[0.5, -1.0]),
            0.25,
        )
        .unwrap();
        // covariance [[1.25, 2], [2, 4.25]], determinant 1.3125, inverse [[4.25, -2], [-2, 1.25]] / det
        let (a, b) = (0.3 - 0.5, 0.7 + 1.0);
        let quadratic = (4.25 * a * a - 4.0 * a * b + 1.25 * b * b) / 1.3125;
        let expected = -LN_2PI - 0.5 * f64::ln(1.3125) - 0.5 * quadratic;
        let got = model.log_density(&DVector::from_row_slice(&[0.3, 0.7]));
        assert!((got - expected).abs() < 1e-12, "{got} {expected}");
    }

    /// Bayes: log p(x) = log p(x|z) + log p(z) - log p(z|x) for any z.
    #[test]
    fn posterior_prior_likelihood_and_density_fit_together() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let model = LinearGaussian::random(6, 3, &mut rng);
        let (map, offset, covariance) = model.posterior();
        assert!((&covariance - DMatrix::from_diagonal(&covariance.diagonal())).amax() < 1e-6);
        let normal_log = |v: f64, mean: f64, variance: f64| {
            -0.5 * (LN_2PI + variance.ln() + (v - mean).powi(2) / variance)
        };
        for _ in 0..5 {
            let x = model.draw(&mut rng);
            let z = DVector::from_fn(3, |_, _| normal(&mut rng));
            let expected = model.weight.clone() * &z + &model.mean;
            let likelihood: f64 =
                (0..6).map(|i| normal_log(x[i], expected[i], model.variance)).sum();
            let prior: f64 = z.iter().map(|&v| normal_log(v, 0.0, 1.0)).sum();
            let mean = &map * &x + &offset;
            let posterior: f64 =
                (0..3).map(|i| normal_log(z[i], mean[i], covariance[(i, i)])).sum();
            let difference = likelihood + prior - posterior - model.log_density(&x);
            assert!(difference.abs() < 1e-5, "{difference}"); // columns are orthogonal to single precision
        }
    }

    #[test]
    fn the_ppca_likelihood_is_that_of_its_own_solution() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let truth = LinearGaussian::random(5, 2, &mut rng);
        let rows: Vec<_> = (0..400).map(|_| truth.draw(&mut rng).transpose()).collect();
        let data = DMatrix::from_rows(&rows);
        let solution = ppca(&data, 2);
        // W = U (L - s I)^1/2 with the kept eigenvalues L = u^T C u
        let mean = data.row_mean();
        let centred = DMatrix::from_fn(400, 5, |i, j| data[(i, j)] - mean[j]);
        let covariance = centred.transpose() * &centred / 400.0;
        let u = &solution.subspace;
        let kept = (u.transpose() * covariance * u).diagonal();
        let lengths = kept.map(|l| (l - solution.variance).sqrt());
        let best = LinearGaussian::new(
            u * DMatrix::from_diagonal(&lengths),
            mean.transpose(),
            solution.variance,
        )
        .unwrap();
        let at = |m: &LinearGaussian| {
            data.row_iter().map(|row| m.log_density(&row.transpose())).sum::<f64>() / 400.0
        };
        assert!((at(&best) - solution.log_likelihood).abs() < 1e-9);
        assert!(at(&truth) < solution.log_likelihood);
        assert!(subspace_distance(u, &best.weight) < 1e-6);
        assert!(
            subspace_distance(u, &DMatrix::from_fn(5, 2, |i, j| f64::from(u8::from(i == j)))) > 0.1
        );
    }

    #[test]
    fn the_kl_of_a_gaussian_to_itself_is_zero_and_to_another_that_of_the_formula() {
        let q = Diagonal {
            mean: DVector::from_row_slice(&[1.0, -1.0]),
            variance: DVector::from_row_slice(&[0.5, 2.0]),
        };
        assert!(kl(&q, &q.mean, &DMatrix::from_diagonal(&q.variance)).abs() < 1e-12);
        // to N(0, I): 1/2 sum mu^2 + v - 1 - ln v
        let expected = 0.5 * (1.0 + 0.5 - 1.0 - f64::ln(0.5) + 1.0 + 2.0 - 1.0 - f64::ln(2.0));
        let got = kl(&q, &DVector::zeros(2), &DMatrix::identity(2, 2));
        assert!((got - expected).abs() < 1e-12);
    }
}
