//! How a run of `elbo train` ends, and what is said then.

use super::Job;
use crate::checkpoint::{BEST, CONFIG, MODEL, SUMMARY, Summary};
use crate::cli::Failure;
use crate::cli::settings::Args;
use crate::report::console::{figure, note, say};
use crate::train::{State, TrainError};

impl Job {
    /// `kept` is the step of the last checkpoint.
    pub(super) fn failed(self, error: &TrainError, kept: Option<u64>) -> Failure {
        let Job { folder, lock, fresh, .. } = self;
        let path = folder.path().display();
        let kept = match (error, kept) {
            (TrainError::Diverged(_), Some(_)) => {
                format!("{} keeps the last good epoch", folder.file(MODEL).display())
            }
            (TrainError::Device(_), Some(step)) => format!(
                "the checkpoint of step {step} is kept: elbo train --resume {path} goes on, \
                 on another --device too"
            ),
            (_, Some(step)) => {
                format!("the checkpoint of step {step} is kept: elbo train --resume {path} goes on")
            }
            // What failed may have come after it was in place.
            (_, None) if folder.store().has_one() => {
                format!("a checkpoint is kept: elbo train --resume {path} goes on")
            }
            (_, None) if !fresh => format!("elbo train --resume {path} begins anew"),
            (_, None) => {
                drop(lock);
                folder.discard();
                "no checkpoint was written, so there is no run folder".to_string()
            }
        };
        Failure::run(format!("{error}; {kept}"))
    }

    /// Without its configuration, which somebody may have removed meanwhile, a folder is no run.
    pub(super) fn keep_config(&self) -> Result<(), Failure> {
        let config = self.folder.file(CONFIG);
        if config.exists() {
            return Ok(());
        }
        note(format_args!("{}: it was removed meanwhile, and is written anew", config.display()));
        self.folder.write_config(&self.settings).map_err(Failure::run)
    }

    pub(super) fn interrupted(&self, state: &State) -> Result<u8, Failure> {
        self.keep_config()?;
        let mut summary = Summary::new(&self.settings, &self.origin, state);
        summary.interrupted = true;
        self.folder.write_json(SUMMARY, &summary).map_err(Failure::run)?;
        let (step, path) = (state.step(), self.folder.path().display());
        note(format_args!("the checkpoint of step {step} is written; the pictures follow"));
        let drawn = self.draw(state);
        let shown = match &drawn {
            Ok(names) => format!("; {} show what it learnt", list(names)),
            Err(_) => String::new(),
        };
        say(format_args!(
            "interrupted after step {step}; elbo train --resume {path} goes on{shown}"
        ));
        if let Err(error) = drawn {
            note(format_args!("error: {error}"));
        }
        Ok(self.stop.code())
    }

    /// Pictures, summary, last words.
    pub(super) fn finished(&self, state: &State) -> Result<u8, Failure> {
        let Job { settings, dataset, folder, .. } = self;
        let last = state.reports.last();
        // A preset's figure means something only for the preset's own settings, to their end.
        let own = Args::preset_of(settings, dataset);
        let target = match (own, last) {
            (Some(preset), Some(last)) if self.preset == own => preset.target(last.test),
            _ => None,
        };
        self.keep_config()?;
        let drawn = self.draw(state);
        let summary = Summary {
            finished: drawn.is_ok(),
            target: target.as_ref().map(serde_json::to_value).transpose().map_err(Failure::run)?,
            ..Summary::new(settings, &self.origin, state)
        };
        folder.write_json(SUMMARY, &summary).map_err(Failure::run)?;
        let (part, watched) = dataset.watched();
        if let Some(last) = last {
            let a = &settings.architecture;
            let bits = a.likelihood.bits_per_dimension(last.test.elbo, a.pixels());
            let (one, many, made) = match settings.table {
                Some(_) => {
                    ("row", "rows", format!("of {}", a.likelihood.module().domain().cells()))
                }
                None => ("image", "images", settings.binarization.label().to_string()),
            };
            say(format_args!(
                "{part} ELBO {} nats per {one}{} ({made}, {} {many}, {:.1} s)",
                figure(last.test.elbo, 2, 12),
                bits.map_or(String::new(), |bits| format!(", {bits:.3} bits per dimension")),
                watched.n_images,
                summary.seconds
            ));
        }
        if let Some(patience) = settings.early_stop
            && state.has_stalled(settings.early_stop)
        {
            let epochs = if patience == 1 { "epoch" } else { "epochs" };
            say(format_args!(
                "stopped early, after epoch {} of {}: no better {part} ELBO in {patience} {epochs}",
                state.epoch() - 1,
                settings.epochs
            ));
        }
        if let (Some(best), Some(last)) = (state.best(), last)
            && best.step != last.step
        {
            say(format_args!(
                "the best {part} ELBO was {:.2}, after epoch {}: {} has those parameters, --best takes them",
                best.test.elbo,
                best.epoch,
                folder.file(BEST).display()
            ));
        }
        if let (Some(bound), Some(k)) =
            (last.and_then(|last| last.test.bound), settings.bound_samples())
        {
            say(format_args!(
                "{part} L_{k} {}: the importance-weighted bound of {k} samples",
                figure(bound, 2, 12)
            ));
        }
        self.warn_of_figures(state);
        if dataset.valid.is_some() {
            let path = folder.path().display();
            say(format_args!(
                "elbo eval {path} shows the test set's figures, which training left alone"
            ));
        }
        let beta = self.last_beta(state.step());
        if beta != 1.0 {
            say(format_args!("trained with beta = {beta:.3}; the ELBOs above weigh the KL with 1"));
        }
        match (&target, self.preset) {
            (Some(t), _) => say(format_args!(
                "{}: {}: target {} ± {}, obtained {:.2}: {}",
                t.preset,
                t.quantity,
                t.target,
                t.tolerance,
                t.obtained,
                match t.met {
                    true if t.obtained < t.target - t.tolerance => "surpassed",
                    true => "met",
                    false => "missed",
                }
            )),
            (None, Some(preset)) => {
                let changed = "the preset's target is not compared: its settings were changed";
                say(preset.hint().unwrap_or(changed));
            }
            (None, None) => {}
        }
        let path = folder.path().display();
        say(format_args!("{path}: {} show what it learnt", list(&drawn.map_err(Failure::run)?)));
        Ok(0)
    }
}

/// a, b and c
fn list(names: &[&str]) -> String {
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.concat(),
    }
}
