//! `elbo web`: a page that trains, explores and measures on its visitor's own GPU, as files that any web server serves.
//!
//! [`catalogue`] records the plans that can be chosen on it; [`explored`] is the program by which a trained model is explored;
//! [`images`] packs a data set; [`measured`] has the programs of the benchmark; [`site`] puts them together. `page/` is the page
//! itself, whose part that explores is shared with `elbo explore`.

pub mod catalogue;
pub mod explored;
pub mod images;
pub mod measured;
pub mod site;
