//! What the files of a run folder are called.

pub const CONFIG: &str = "config.json";
pub const METRICS: &str = "metrics.jsonl";
/// The figures of every Nth step, where they were asked for.
pub const STEPS: &str = "steps.jsonl";
pub const SUMMARY: &str = "summary.json";
pub const MODEL: &str = "model.safetensors";
/// Where the parameters of a run come from that was not trained here.
pub const IMPORT: &str = "import.json";
/// The parameters after the epoch with the best ELBO of the test set, or of the validation images.
pub const BEST: &str = "best.safetensors";
/// In the folder of the checkpoints: the best parameters of the checkpoint that is about to be written, and
/// those of the one before it.
pub(super) const BEST_NEXT: &str = "best-next.safetensors";
pub(super) const BEST_BEFORE: &str = "best-before.safetensors";
/// The folder of the checkpoints.
pub const CHECKPOINTS: &str = "checkpoint";
pub(super) const LOCK: &str = "lock";
pub const RECONSTRUCTIONS: &str = "reconstructions.png";
pub const SAMPLES: &str = "samples.png";

/// The folder of pictures of a run that goes on.
pub const PROGRESS: &str = "progress";
/// How the names of event files begin, by which TensorBoard finds them.
pub const EVENTS: &str = "events.out.tfevents";
