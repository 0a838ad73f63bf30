//! `elbo explore`: a page on this machine to walk a trained model's latent space and to ask it about images.
//!
//! [`model`] has the programs, loaded once, which `inference` runs; [`worker`] is the one thread that runs them; [`api`] is what the
//! page may ask and what it is answered; [`server`] carries that over HTTP. `page/` is the page itself.

pub mod api;
mod inference;
pub mod model;
pub mod server;
pub mod worker;

/// Why the page was taken down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Ctrl-C.
    Interrupted,
    /// The device failed: what it said.
    Failed(String),
}
