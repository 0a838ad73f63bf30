//! One thread owns the model and answers one question after the other. The queue is short: whoever asks
//! faster than the device answers is told so. A device that has failed is asked nothing more.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{Builder, JoinHandle};

use tokio::sync::{oneshot, watch};

use super::End;
use super::api::{Question, Reply, answer};
use super::model::{About, ExploreError, Explorer};

/// Questions that may wait.
const WAITING: usize = 16;

struct Job {
    question: Question,
    reply: oneshot::Sender<Reply>,
}

const GONE: &str = "the program has ended: what it says in its terminal tells why";

/// The way to the thread. When the last is dropped, the thread ends.
#[derive(Clone)]
pub struct Worker(SyncSender<Job>);

impl Worker {
    /// Starts the thread, which loads the model by `load`, since an executor stays on the thread that made
    /// it. If the device fails later, `end` is told.
    ///
    /// # Errors
    /// What `load` fails with; no thread.
    ///
    /// # Panics
    /// If `load` does.
    pub fn start(
        load: impl FnOnce() -> Result<Explorer, ExploreError> + Send + 'static,
        end: watch::Sender<Option<End>>,
    ) -> Result<(Self, About, JoinHandle<()>), ExploreError> {
        let (jobs, queue) = sync_channel(WAITING);
        let (loaded, about) = sync_channel(1);
        let thread = Builder::new().name("explorer".to_string()).spawn(move || match load() {
            Ok(mut explorer) => {
                let _ = loaded.send(Ok(explorer.about().clone()));
                work(&mut explorer, &queue, &end);
            }
            Err(e) => {
                let _ = loaded.send(Err(e));
            }
        });
        let thread = thread.map_err(ExploreError::Thread)?;
        let about = about.recv().expect("the thread sends before it ends")?;
        Ok((Worker(jobs), about, thread))
    }

    /// The answer to a question, in its turn.
    pub async fn ask(&self, question: Question) -> Reply {
        let (reply, answer) = oneshot::channel();
        match self.0.try_send(Job { question, reply }) {
            Ok(()) => answer.await.unwrap_or_else(|_| Reply::error(503, GONE)),
            Err(TrySendError::Full(_)) => {
                Reply::error(503, format!("{WAITING} questions are waiting already; ask again"))
            }
            Err(TrySendError::Disconnected(_)) => Reply::error(503, GONE),
        }
    }
}

fn work(explorer: &mut Explorer, queue: &Receiver<Job>, end: &watch::Sender<Option<End>>) {
    while let Ok(Job { question, reply }) = queue.recv() {
        if reply.is_closed() {
            continue; // whoever asked has gone
        }
        let failure = match answer(explorer, question) {
            Ok(answered) => {
                let _ = reply.send(answered);
                continue;
            }
            Err(failure) => failure,
        };
        let lost = match &failure {
            ExploreError::Device(error) => Some(error.to_string()),
            _ => None,
        };
        let _ = reply.send(Reply::error(if lost.is_some() { 503 } else { 500 }, failure));
        if let Some(message) = lost {
            end.send_if_modified(|end| {
                let first = end.is_none();
                end.get_or_insert(End::Failed(message));
                first
            });
            return;
        }
    }
}
