//! Faults of shaders, by the file that they are in.

mod add;
mod annealed;
mod average;
mod bernoulli;
mod ceiling;
mod clip;
mod continuous_bernoulli;
mod convolution;
mod counts;
mod discretized_logistic;
mod embedding;
mod end_step;
mod gate;
mod gather;
mod gaussian;
mod group_norm;
mod importance;
mod library;
mod linear;
mod mixture;
mod negative_binomial;
mod optimizer;
mod poisson;
mod posterior;
mod prior;
mod residual;
mod seen;
mod sigmoid;
mod silu;
mod split_channels;
mod store_samples;
mod sum_rows;
mod weighted_mean;

/// A text in a shader, and a wrong one in its place.
pub type Mutation = (&'static str, &'static str);

/// Faults of one WGSL file.
pub struct Faults {
    /// Its path in `shaders/`, without `.wgsl`.
    pub file: &'static str,
    /// The kernels whose cases must show each of the faults.
    pub kernels: &'static [&'static str],
    pub mutations: &'static [Mutation],
}

/// The faults of all files.
pub fn all() -> impl Iterator<Item = &'static Faults> {
    let files = [
        add::FAULTS,
        annealed::FAULTS,
        average::FAULTS,
        bernoulli::FAULTS,
        ceiling::FAULTS,
        clip::FAULTS,
        continuous_bernoulli::FAULTS,
        convolution::FAULTS,
        counts::FAULTS,
        discretized_logistic::FAULTS,
        embedding::FAULTS,
        end_step::FAULTS,
        gate::FAULTS,
        gather::FAULTS,
        gaussian::FAULTS,
        group_norm::FAULTS,
        importance::FAULTS,
        library::FAULTS,
        linear::FAULTS,
        mixture::FAULTS,
        negative_binomial::FAULTS,
        optimizer::FAULTS,
        poisson::FAULTS,
        posterior::FAULTS,
        prior::FAULTS,
        residual::FAULTS,
        silu::FAULTS,
        seen::FAULTS,
        sigmoid::FAULTS,
        split_channels::FAULTS,
        store_samples::FAULTS,
        sum_rows::FAULTS,
        weighted_mean::FAULTS,
        end_step::FAULTS,
    ];
    files.into_iter().flatten()
}
