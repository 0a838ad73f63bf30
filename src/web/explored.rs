//! The program by which a trained model is explored in a browser: what an [`crate::explore::model::Explorer`] has in four, in one, so
//! that the parameters are on the device once.

use crate::loaded::ModelProgram;
use crate::plan::{PlanError, Program, TensorId};
use crate::vae::decode::{DecodeProgram, ReconstructProgram, SampleProgram, Shown};
use crate::vae::estimate::{Chunks, EstimateProgram};
use crate::vae::step::{Content, Source};
use crate::vae::{Architecture, Network};

/// Rows of a run of the estimates: all draws that are usual, and few enough for a GPU of any size.
const ESTIMATED: usize = 1024;
/// Rows of a run of everything else. It is one number so that the plans share their pipelines: a browser compiles each, and for
/// longer than it runs it.
pub const ROWS: usize = 100;

/// The plans `decode` of codes, `draw` of codes from the prior with their images, `codes` of test images one batch after the other,
/// and `encode`, `importance` and `prior` of [`EstimateProgram`] for one image.
pub struct ExploredProgram {
    program: Program,
    network: Network,
    /// The tensors that the page finds by these names.
    pub roles: Vec<(&'static str, TensorId)>,
    /// Tiles of a side of the map of two latent units.
    pub tiles: Option<usize>,
    /// Draws of a run of `importance` and of `prior`.
    pub chunk: usize,
    /// Images of a run of `codes`.
    pub coded: usize,
}

impl ExploredProgram {
    /// For a data set of `images` test images, and estimates of `samples` draws.
    ///
    /// # Errors
    /// Sizes beyond what a kernel's grid can cover.
    pub fn record(
        architecture: &Architecture,
        content: Content,
        images: usize,
        samples: usize,
    ) -> Result<Self, PlanError> {
        let mut roles = Vec::new();
        let mut told = |role, tensor: Option<TensorId>| roles.extend(tensor.map(|t| (role, t)));
        let mut program = Program::new();
        let network = Network::declare(&mut program, architecture);

        let decode = DecodeProgram::record_in(program, network, "decode", ROWS)?;
        told("decode.z", Some(decode.z));
        told("decode.classes", decode.classes);
        told("decode.mean", Some(decode.mean));
        let DecodeProgram { program, network, .. } = decode;

        let shown = Shown::Expected;
        let draw = SampleProgram::record_in(program, network, "draw", ROWS, shown)?;
        told("draw.clock", Some(draw.clock));
        told("draw.z", Some(draw.z));
        told("draw.classes", draw.classes);
        told("draw.mean", Some(draw.values));
        let SampleProgram { program, network, .. } = draw;

        let coded = ROWS.min(images);
        let source =
            Source { images, window: None, content, flips: None, batch: coded, samples: 1 };
        let codes = ReconstructProgram::record_in(program, network, "codes", source, None)?;
        told("codes.data", Some(codes.data));
        told("codes.labels", codes.labels);
        told("codes.clock", Some(codes.clock));
        told("codes.x", Some(codes.x));
        told("codes.heads", Some(codes.heads));
        told("codes.mean", Some(codes.mean));
        let ReconstructProgram { program, network, .. } = codes;

        let chunks = Chunks::new(ESTIMATED, 1, samples);
        let window = Some(1); // the image that is asked about, with the noise of its place among all
        let e = EstimateProgram::record_in(program, network, content, images, window, chunks)?;
        told("data", Some(e.data));
        told("labels", e.labels);
        told("clock", Some(e.clock));
        told("x", Some(e.x));
        told("heads", Some(e.heads));
        told("log_px", Some(e.log_px));
        told("log_w", Some(e.log_w));
        told("prior_log_px", Some(e.prior_log_px));
        let EstimateProgram { program, network, chunks, .. } = e;
        let (height, width) = architecture.image;
        let tiles =
            (architecture.latent == 2).then(|| (560 / height.max(width).max(1)).clamp(8, 20));
        Ok(ExploredProgram { program, network, roles, tiles, chunk: chunks.samples, coded })
    }
}

impl ModelProgram for ExploredProgram {
    fn parts(&self) -> (&Program, &Network, Option<TensorId>) {
        (&self.program, &self.network, None)
    }
}
