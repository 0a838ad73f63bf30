//! Writes a run's checkpoints beside the training, which does not wait for the disk.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;

use super::state::{Origin, encode};
use super::store::Store;
use super::{CheckpointError, RunFolder, SUMMARY, Summary};
use crate::train::{Moment, Settings, Snapshot, State};

/// What the writer knows of a run.
#[derive(Debug, Clone)]
pub struct About {
    pub settings: Settings,
    pub origin: Origin,
}

/// Writes states of a run into its folder, on a thread of its own: checkpoint, metrics, parameters and
/// summary. Where states come faster than the disk takes them, the newest waits and those between are
/// left out; of the best, none is.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    slot: Mutex<Slot>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Slot {
    last: Option<State>,
    best: Option<(Arc<Snapshot>, Moment)>,
    closed: bool,
    error: Option<String>,
    /// Step of the last checkpoint that is on the disk.
    written: Option<u64>,
}

impl Shared {
    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Writer {
    /// `state` is what the run goes on from, whose metrics are in the folder. It is written anew: the
    /// files behind its checkpoint may be older.
    ///
    /// # Errors
    /// The system gives no thread: memory or processes are short.
    pub fn start(
        folder: &RunFolder,
        about: About,
        store: Store,
        state: Option<&State>,
    ) -> io::Result<Self> {
        let slot = Slot {
            last: state.cloned(),
            best: state.and_then(ended_best),
            written: state.map(State::step),
            ..Slot::default()
        };
        let shared = Arc::new(Shared { slot: Mutex::new(slot), changed: Condvar::new() });
        let rows = state.map_or(0, |state| state.reports.len());
        let keeper = Keeper { folder: folder.clone(), about, store, rows };
        let theirs = shared.clone();
        let thread = std::thread::Builder::new().name("checkpoints".to_string());
        let thread = thread.spawn(move || keeper.work(&theirs))?;
        Ok(Writer { shared, thread: Some(thread) })
    }

    /// Hands over a state, and returns before it is written.
    ///
    /// # Errors
    /// An earlier one could not be written.
    pub fn save(&mut self, state: &State) -> Result<(), String> {
        let mut slot = self.shared.slot();
        if let Some(error) = &slot.error {
            return Err(error.clone());
        }
        if let Some(best) = ended_best(state) {
            slot.best = Some(best);
        }
        slot.last = Some(state.clone());
        self.shared.changed.notify_one();
        Ok(())
    }

    /// Whether a state could not be written: [`Writer::save`] says why.
    pub fn has_failed(&self) -> bool {
        self.shared.slot().error.is_some()
    }

    /// Writes what is left. Returns the step of the last checkpoint that is on the disk, if there is any,
    /// and why something after it could not be written.
    pub fn finish(mut self) -> (Option<u64>, Result<(), String>) {
        self.close();
        let mut slot = self.shared.slot();
        (slot.written, slot.error.take().map_or(Ok(()), Err))
    }

    fn close(&mut self) {
        self.shared.slot().closed = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            self.shared.slot().error.get_or_insert("the checkpoint's writer failed".to_string());
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

/// The parameters, if the epoch with the best ELBO so far ends here.
fn ended_best(state: &State) -> Option<(Arc<Snapshot>, Moment)> {
    let best = state.best().filter(|best| best.step == state.step())?;
    Some((state.snapshot.clone(), best.moment()))
}

/// The thread's own.
struct Keeper {
    folder: RunFolder,
    about: About,
    store: Store,
    /// Lines of the metrics that are on the disk.
    rows: usize,
}

impl Keeper {
    fn work(mut self, shared: &Shared) {
        loop {
            let mut slot = shared.slot();
            while slot.last.is_none() && !slot.closed {
                slot = shared.changed.wait(slot).unwrap_or_else(|e| e.into_inner());
            }
            let Some(state) = slot.last.take() else { return };
            let best = slot.best.take();
            drop(slot);
            // A checkpoint says which epoch was the best, so its parameters must be there before, and those of
            // the checkpoint before until then.
            let new = best.is_some();
            let kept = self.write_best(best).and_then(|()| self.keep_checkpoint(&state));
            let kept = kept.inspect_err(|_| self.folder.remove_next_best());
            let step = kept.is_ok().then(|| state.step());
            let kept = kept.and_then(|()| if new { self.folder.take_next_best() } else { Ok(()) });
            let kept = kept.and_then(|()| self.keep_results(&state));
            let mut slot = shared.slot();
            slot.written = step.or(slot.written);
            if let Err(error) = kept {
                slot.error = Some(error.to_string());
                return;
            }
        }
    }

    fn write_best(&self, best: Option<(Arc<Snapshot>, Moment)>) -> Result<(), CheckpointError> {
        let settings = &self.about.settings;
        best.map_or(Ok(()), |(best, moment)| {
            self.folder.write_next_best(settings, &best.values(), moment)
        })
    }

    fn keep_checkpoint(&mut self, state: &State) -> Result<(), CheckpointError> {
        let About { settings, origin } = &self.about;
        let bytes = encode(settings, origin, state).map_err(|message| {
            CheckpointError::Invalid { path: self.folder.path().to_path_buf(), message }
        })?;
        self.store.write(&bytes)
    }

    /// What can be made again from the checkpoint comes after it.
    fn keep_results(&mut self, state: &State) -> Result<(), CheckpointError> {
        let About { settings, origin } = &self.about;
        self.folder.append_metrics(&state.reports[self.rows..])?;
        self.rows = state.reports.len();
        self.folder.write_model(settings, &state.snapshot.values())?;
        self.folder.write_json(SUMMARY, &Summary::new(settings, origin, state))
    }
}
