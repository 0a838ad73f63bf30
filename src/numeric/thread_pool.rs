//! Threads that stay awake between the loops of a step. A step on the CPU is a few dozen short loops; a
//! general pool puts its threads to sleep between them, and waking one takes as long as a small kernel.

use std::cell::{Cell, UnsafeCell};
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::crowd::Crowd;

/// How long an idle thread looks out for work before it sleeps: longer than what lies between two loops of
/// a step, and nothing to a machine that has no other work.
const AWAKE: Duration = Duration::from_micros(200);
/// How long a caller whose own tasks are done looks out for the end of the others before it sleeps, besides a quarter of
/// what its own took. Who needs longer has lost its core to another program, and finds this one free as soon as the
/// caller sleeps.
const PATIENCE: Duration = Duration::from_micros(50);
/// How long either looks out while the cores are wanted by others: an idle core takes over a thread that waits for one.
const CROWDED: Duration = Duration::from_micros(20);
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
    /// The number of the job, and in the low bits how many portions it has; a change is the signal to begin.
    job: AtomicU64,
    /// Of each portion, the last job in which a thread took it.
    taken: Box<[AtomicU64]>,
    work: UnsafeCell<Option<Work>>,
    /// Portions of the job that are done.
    done: AtomicUsize,
    /// Whether the caller sleeps until they all are.
    waits: AtomicBool,
    sleep: Mutex<()>,
    end: Condvar,
    panicked: AtomicBool,
    quit: AtomicBool,
    asleep: Vec<AtomicBool>,
    crowd: Crowd,
}

/// Bits of [`Shared::job`] for the number of portions.
const PORTION_BITS: u32 = 16;

/// A borrowed closure, valid until the job's end.
#[derive(Clone, Copy)]
struct Work {
    f: *const (dyn Fn(usize) + Sync),
    tasks: usize,
}

// SAFETY: `work` is written by the one caller inside `ThreadPool::run` while no portion is taken and not done, and read
// only by who has taken one.
unsafe impl Sync for Shared {}
// SAFETY: as above.
unsafe impl Send for Shared {}

thread_local! {
    /// The pool that this thread runs kernels with; none inside a task, so that tasks do not nest.
    static CURRENT: Cell<*const ThreadPool> = const { Cell::new(std::ptr::null()) };
}

impl ThreadPool {
    /// A pool of `n` threads, or of as many as there are cores, or as [`limit`] says.
    ///
    /// # Errors
    /// The operating system gives no threads.
    pub fn new(n: Option<usize>) -> std::io::Result<Self> {
        let all = || match LIMIT.get() {
            Some(&limit) => limit,
            None => thread::available_parallelism().unwrap_or(MIN),
        };
        let n = n.map_or_else(all, |n| n.try_into().unwrap_or(MIN));
        let shared = Arc::new(Shared {
            job: AtomicU64::new(0),
            taken: (0..n.get().min(1 << (PORTION_BITS - 1))).map(|_| AtomicU64::new(0)).collect(),
            work: UnsafeCell::new(None),
            done: AtomicUsize::new(0),
            waits: AtomicBool::new(false),
            sleep: Mutex::new(()),
            end: Condvar::new(),
            panicked: AtomicBool::new(false),
            quit: AtomicBool::new(false),
            asleep: (1..n.get()).map(|_| AtomicBool::new(false)).collect(),
            crowd: Crowd::of(n.get()),
        });
        let mut pool = ThreadPool { shared, workers: Vec::new(), entered: Mutex::new(()) };
        for i in 1..n.get() {
            let shared = pool.shared.clone();
            let worker = thread::Builder::new().name(format!("elbo-cpu-{i}"));
            pool.workers.push(worker.spawn(move || shared.work_as(i))?);
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
        let portions = tasks.min(shared.crowd.threads_of_next()).min(shared.taken.len());
        if portions == 1 {
            let _no_nesting = Current::set(std::ptr::null());
            (0..tasks).for_each(f);
            return;
        }
        let f: *const (dyn Fn(usize) + Sync + '_) = f;
        // SAFETY: only the lifetime changes, and this function does not return before every portion is done. Nobody
        // reads `work` now: those of the last job are.
        unsafe {
            let f = std::mem::transmute::<
                *const (dyn Fn(usize) + Sync + '_),
                *const (dyn Fn(usize) + Sync + 'static),
            >(f);
            *shared.work.get() = Some(Work { f, tasks });
        }
        shared.done.store(0, Ordering::SeqCst);
        let number = (shared.job.load(Ordering::SeqCst) >> PORTION_BITS) + 1;
        shared.job.store(number << PORTION_BITS | portions as u64, Ordering::SeqCst);
        for (i, (worker, asleep)) in self.workers.iter().zip(&shared.asleep).enumerate() {
            if asleep.load(Ordering::SeqCst) && shared.crowd.has(i + 1) {
                worker.thread().unpark();
            }
        }
        let begin = Instant::now();
        let own = catch_unwind(AssertUnwindSafe(|| shared.take_part(0, number, portions)));
        shared.await_end(portions, begin.elapsed());
        let theirs = shared.panicked.swap(false, Ordering::SeqCst);
        if let Err(panic) = own {
            resume_unwind(panic);
        }
        assert!(!theirs, "a task of the pool panicked");
    }
}

const MIN: NonZero<usize> = NonZero::<usize>::MIN;

impl Shared {
    /// Does what nobody else has taken of a job, beginning with the portion `i`: while all threads have a core of
    /// their own, each has the same portion of every loop, and its data in its core's cache.
    fn take_part(&self, i: usize, job: u64, portions: usize) {
        let _no_nesting = Current::set(std::ptr::null());
        for portion in (0..portions).map(|k| (i + k) % portions) {
            let taken = &self.taken[portion];
            let last = taken.load(Ordering::SeqCst);
            let order = Ordering::SeqCst;
            // A job is over when all of its portions are taken and done: of one that is over none can be had.
            if last >= job || taken.compare_exchange(last, job, order, order).is_err() {
                continue;
            }
            let _done = Done { shared: self, portions };
            // SAFETY: written before the signal, and not again before this portion is done, see `Sync`.
            let Some(Work { f, tasks }) = (unsafe { *self.work.get() }) else { return };
            for task in portion * tasks / portions..(portion + 1) * tasks / portions {
                // SAFETY: `ThreadPool::run` keeps the closure alive until the job's end.
                unsafe { (*f)(task) };
            }
        }
    }

    /// Returns when so many portions are done, of which the caller's took `own`; sleeps if that takes long.
    fn await_end(&self, portions: usize, own: Duration) {
        let is_over = || self.done.load(Ordering::SeqCst) == portions;
        let patience = if self.crowd.is_near() { CROWDED } else { PATIENCE + own / 4 };
        let begin = Instant::now();
        let mut looks = 0_u32;
        while !is_over() {
            looks += 1;
            std::hint::spin_loop();
            if looks.is_multiple_of(LOOKS) && begin.elapsed() > patience {
                // Who does the last one looks here after that: it has been seen, or this thread is woken.
                self.waits.store(true, Ordering::SeqCst);
                let mut asleep = self.lock();
                while !is_over() {
                    asleep = self.end.wait(asleep).unwrap_or_else(PoisonError::into_inner);
                }
                self.waits.store(false, Ordering::SeqCst);
                self.crowd.caller_slept();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.sleep.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work_as(&self, i: usize) {
        let mut seen = 0;
        self.crowd.enter(i);
        let is_idle = |seen: u64| {
            let nothing_new = self.job.load(Ordering::SeqCst) == seen || !self.crowd.has(i);
            nothing_new && !self.quit.load(Ordering::SeqCst)
        };
        loop {
            let mut begin = Instant::now();
            let mut looks = 0_u32;
            while is_idle(seen) {
                looks += 1;
                std::hint::spin_loop();
                let awake = || if self.crowd.is_near() { CROWDED } else { AWAKE };
                if looks.is_multiple_of(LOOKS) && begin.elapsed() > awake() {
                    self.asleep[i - 1].store(true, Ordering::SeqCst);
                    // The caller signals before it looks who sleeps: whoever misses the signal is woken.
                    while is_idle(seen) {
                        thread::park();
                    }
                    self.asleep[i - 1].store(false, Ordering::SeqCst);
                    begin = Instant::now();
                }
            }
            if self.quit.load(Ordering::SeqCst) {
                return;
            }
            seen = self.job.load(Ordering::SeqCst);
            let (job, portions) =
                (seen >> PORTION_BITS, (seen & ((1 << PORTION_BITS) - 1)) as usize);
            // The caller hears of a panic by `Done`.
            let _ = catch_unwind(AssertUnwindSafe(|| self.take_part(i, job, portions)));
        }
    }
}

/// A portion that is taken: done when it is dropped, also by a panic.
struct Done<'a> {
    shared: &'a Shared,
    portions: usize,
}

impl Drop for Done<'_> {
    fn drop(&mut self) {
        let Done { shared, portions } = *self;
        if thread::panicking() {
            shared.panicked.store(true, Ordering::SeqCst);
        }
        let done = shared.done.fetch_add(1, Ordering::SeqCst) + 1;
        if done == portions && shared.waits.load(Ordering::SeqCst) {
            drop(shared.lock());
            shared.end.notify_one();
        }
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        self.shared.quit.store(true, Ordering::SeqCst);
        self.shared.job.fetch_add(1 << PORTION_BITS, Ordering::SeqCst);
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

/// Threads of the pools that nobody says a number for.
static LIMIT: OnceLock<NonZero<usize>> = OnceLock::new();

/// Gives pools from now on so many threads, where nobody says another number; the first call is the one that counts.
pub fn limit(threads: NonZero<usize>) {
    let _ = LIMIT.set(threads);
}

/// Threads that a loop on this thread may use: 1 outside [`ThreadPool::enter`] and inside a task.
pub fn threads() -> usize {
    // SAFETY: the pointer is set only while `ThreadPool::enter` borrows the pool.
    unsafe { CURRENT.get().as_ref() }.map_or(1, ThreadPool::threads)
}

/// Calls `f(0)`, ..., `f(tasks - 1)`, divided over the threads of the current pool: who is free takes what is left, so no
/// result may depend on which thread computes it.
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
