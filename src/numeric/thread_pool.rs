//! Threads that stay awake between the loops of a step. A step on the CPU is a few dozen short loops; a
//! general pool puts its threads to sleep between them, and waking one takes as long as a small kernel.

use std::cell::{Cell, UnsafeCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long an idle thread looks out for work before it sleeps: longer than what lies between two loops of
/// a step, and nothing to a machine that has other work.
const AWAKE: Duration = Duration::from_micros(200);
/// Looks between two looks at the time.
const LOOKS: u32 = 64;

/// A fixed number of threads, the calling one among them.
pub struct ThreadPool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// One caller at a time.
    entered: Mutex<()>,
}

struct Shared {
    /// Counts the jobs; a change is the signal to begin.
    job: AtomicU64,
    work: UnsafeCell<Option<Work>>,
    /// Workers that have not finished the job.
    unfinished: AtomicUsize,
    panicked: AtomicBool,
    quit: AtomicBool,
    asleep: Vec<AtomicBool>,
}

/// A borrowed closure, valid until the job's end.
#[derive(Clone, Copy)]
struct Work {
    f: *const (dyn Fn(usize) + Sync),
    tasks: usize,
}

// SAFETY: `work` is written by the one caller inside `ThreadPool::run` while no worker is in a job, and read by
// workers only between the signal that begins a job and their report that it is finished.
unsafe impl Sync for Shared {}
// SAFETY: as above.
unsafe impl Send for Shared {}

thread_local! {
    /// The pool that this thread runs kernels with; none inside a task, so that tasks do not nest.
    static CURRENT: Cell<*const ThreadPool> = const { Cell::new(std::ptr::null()) };
}

impl ThreadPool {
    /// A pool of `n` threads, or of as many as there are cores.
    ///
    /// # Errors
    /// The operating system gives no threads.
    pub fn new(n: Option<usize>) -> std::io::Result<Self> {
        let all = || thread::available_parallelism().unwrap_or(MIN);
        let n = n.map_or_else(all, |n| n.try_into().unwrap_or(MIN));
        let shared = Arc::new(Shared {
            job: AtomicU64::new(0),
            work: UnsafeCell::new(None),
            unfinished: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
            quit: AtomicBool::new(false),
            asleep: (1..n.get()).map(|_| AtomicBool::new(false)).collect(),
        });
        let mut pool = ThreadPool { shared, workers: Vec::new(), entered: Mutex::new(()) };
        for i in 1..n.get() {
            let shared = pool.shared.clone();
            let worker = thread::Builder::new().name(format!("elbo-cpu-{i}"));
            pool.workers.push(worker.spawn(move || shared.work_as(i, n.get()))?);
        }
        Ok(pool)
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs `f` with this pool under the loops of [`super::parallel`].
    pub fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        let _one_at_a_time = self.entered.lock().unwrap_or_else(PoisonError::into_inner);
        let _outer = Current::set(self);
        f()
    }

    fn run(&self, tasks: usize, f: &(dyn Fn(usize) + Sync)) {
        let shared = &*self.shared;
        let f: *const (dyn Fn(usize) + Sync + '_) = f;
        // SAFETY: only the lifetime changes, and this function does not return before every worker has
        // reported the end of the job. No worker reads `work` now: the last job is finished.
        unsafe {
            let f = std::mem::transmute::<
                *const (dyn Fn(usize) + Sync + '_),
                *const (dyn Fn(usize) + Sync + 'static),
            >(f);
            *shared.work.get() = Some(Work { f, tasks });
        }
        shared.unfinished.store(self.workers.len(), Ordering::SeqCst);
        shared.job.fetch_add(1, Ordering::SeqCst);
        for (worker, asleep) in self.workers.iter().zip(&shared.asleep) {
            if asleep.load(Ordering::SeqCst) {
                worker.thread().unpark();
            }
        }
        let own = catch_unwind(AssertUnwindSafe(|| shared.share_of(0, self.threads())));
        let mut looks = 0_u32;
        while shared.unfinished.load(Ordering::SeqCst) > 0 {
            looks += 1;
            // on a machine with other work a worker may need this core to get to its end
            if looks.is_multiple_of(LOOKS * LOOKS) {
                thread::yield_now();
            } else {
                std::hint::spin_loop();
            }
        }
        let theirs = shared.panicked.swap(false, Ordering::SeqCst);
        if let Err(panic) = own {
            resume_unwind(panic);
        }
        assert!(!theirs, "a task of the pool panicked");
    }
}

const MIN: std::num::NonZero<usize> = std::num::NonZero::<usize>::MIN;

impl Shared {
    /// Tasks `i`, `i + n`, ... of the job.
    fn share_of(&self, i: usize, n: usize) {
        // SAFETY: between the job's signal and this thread's report, see `Sync`.
        let Some(Work { f, tasks }) = (unsafe { *self.work.get() }) else { return };
        let _no_nesting = Current::set(std::ptr::null());
        for task in (i..tasks).step_by(n) {
            // SAFETY: `ThreadPool::run` keeps the closure alive until the job's end.
            unsafe { (*f)(task) };
        }
    }

    fn work_as(&self, i: usize, n: usize) {
        let mut seen = 0;
        loop {
            let mut begin = Instant::now();
            let mut looks = 0_u32;
            while self.job.load(Ordering::SeqCst) == seen {
                looks += 1;
                std::hint::spin_loop();
                if looks.is_multiple_of(LOOKS) && begin.elapsed() > AWAKE {
                    self.asleep[i - 1].store(true, Ordering::SeqCst);
                    // The caller signals before it looks who sleeps: whoever misses the signal is woken.
                    while self.job.load(Ordering::SeqCst) == seen {
                        thread::park();
                    }
                    self.asleep[i - 1].store(false, Ordering::SeqCst);
                    begin = Instant::now();
                }
            }
            if self.quit.load(Ordering::SeqCst) {
                return;
            }
            seen += 1;
            if catch_unwind(AssertUnwindSafe(|| self.share_of(i, n))).is_err() {
                self.panicked.store(true, Ordering::SeqCst);
            }
            self.unfinished.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        self.shared.quit.store(true, Ordering::SeqCst);
        self.shared.job.fetch_add(1, Ordering::SeqCst);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            let _ = worker.join(); // a worker returns; its tasks' panics are caught
        }
    }
}

/// Puts a pool in place, and the one before back at the end.
struct Current(*const ThreadPool);

impl Current {
    fn set(pool: *const ThreadPool) -> Self {
        Current(CURRENT.replace(pool))
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

/// Threads that a loop on this thread may use: 1 outside [`ThreadPool::enter`] and inside a task.
pub fn threads() -> usize {
    // SAFETY: the pointer is set only while `ThreadPool::enter` borrows the pool.
    unsafe { CURRENT.get().as_ref() }.map_or(1, ThreadPool::threads)
}

/// Calls `f(0)`, ..., `f(tasks - 1)`, divided over the threads of the current pool. Which thread takes
/// which task depends on their numbers alone.
pub fn run(tasks: usize, f: impl Fn(usize) + Sync) {
    // SAFETY: as in `threads`.
    match unsafe { CURRENT.get().as_ref() } {
        Some(pool) if tasks > 1 && pool.threads() > 1 => pool.run(tasks, &f),
        _ => (0..tasks).for_each(f),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once_on_teams_of_any_size_even_after_sleep() {
        for threads in [1, 2, 3, 8] {
            let pool = ThreadPool::new(Some(threads)).expect("threads");
            for tasks in [0, 1, 2, 7, 100] {
                let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                for round in 1..=50 {
                    if round == 25 {
                        thread::sleep(2 * AWAKE); // now the workers sleep
                    }
                    pool.enter(|| {
                        run(tasks, |i| {
                            counts[i].fetch_add(1, Ordering::SeqCst);
                        });
                    });
                    assert!(counts.iter().all(|n| n.load(Ordering::SeqCst) == round));
                }
            }
        }
    }

    #[test]
    fn tasks_do_not_nest_and_outside_a_team_all_is_serial() {
        assert_eq!(threads(), 1);
        let pool = ThreadPool::new(Some(3)).expect("threads");
        let inner = AtomicUsize::new(0);
        pool.enter(|| {
            assert_eq!(threads(), 3);
            run(6, |_| {
                assert_eq!(threads(), 1);
                run(4, |_| {
                    inner.fetch_add(1, Ordering::SeqCst);
                });
            });
            assert_eq!(threads(), 3);
        });
        assert_eq!(inner.into_inner(), 24);
    }

    #[test]
    fn a_panic_in_any_task_reaches_the_caller_and_the_team_goes_on() {
        let pool = ThreadPool::new(Some(2)).expect("threads");
        for bad in [&[0][..], &[1], &[0, 1]] {
            let result = catch_unwind(AssertUnwindSafe(|| {
                pool.enter(|| run(2, |i| assert!(!bad.contains(&i), "planted")));
            }));
            assert!(result.is_err());
        }
        let sum = AtomicUsize::new(0);
        pool.enter(|| {
            run(5, |i| {
                sum.fetch_add(i, Ordering::SeqCst);
            });
        });
        assert_eq!(sum.into_inner(), 10);
    }
}
