//! Training and what is computed with a trained model: gradients, whole runs, runs that stop and go on,
//! estimates of log p(x), `elbo verify`, settings, the library's examples.

mod bounds;
mod bounds_command;
mod counts;
mod estimators;
mod evaluation;
mod fusions;
mod gradients;
#[path = "../harness/mod.rs"]
mod harness;
mod labels;
mod layers;
mod library;
mod likelihoods;
mod optimizers;
mod posteriors;
mod priors;
mod real_values;
mod resume;
mod runs;
mod settings;
mod steps;
mod tables;
mod verify;
