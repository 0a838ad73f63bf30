//! How many of a pool's threads take part while other programs want the cores too. A thread that waits for a core holds up
//! every loop that it has a portion of, for as long as the operating system gives another program, milliseconds; two threads
//! beside one busy program on two cores are slower than one (784-400-20 at batch 128: 47 600 images/s against 58 800).

#[cfg(target_os = "linux")]
use std::fs::File;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How long the cores count as wanted after a caller had to sleep.
const REMEMBERED: Duration = Duration::from_millis(50);
/// Two looks at what the threads have waited are compared if so much time lies between them: more than what the operating
/// system now and then does on a quiet machine, and less than what makes two events of one.
const BETWEEN: Range<Duration> = Duration::from_millis(25)..Duration::from_millis(100);
/// The share of that time which a pool's threads wait where a core is missing: a program beside them takes half of one or
/// more.
const MISSING: f64 = 0.25;
/// How long a thread stays out: so long at first, and each time that it comes back too early twice as long.
const OUT: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(2)];

/// What a pool knows of its neighbours. Without Linux's record of how long a thread has waited for a core, nothing: then all
/// threads take part, always.
pub struct Crowd {
    taking_part: AtomicUsize,
    threads: usize,
    /// Until when the cores count as wanted by others, in microseconds from the `beginning` on.
    near_until: AtomicU64,
    beginning: Instant,
    /// Of each thread but the caller.
    clocks: Vec<OnceLock<WaitClock>>,
    state: Mutex<State>,
}

struct State {
    /// When the caller had to sleep, and what the threads had waited till then.
    last: Option<(Instant, Duration)>,
    /// Until when a thread stays out, how long that was, and when the last came back.
    until: Instant,
    out: Duration,
    back: Option<Instant>,
}

impl Crowd {
    pub fn of(threads: usize) -> Self {
        Crowd {
            taking_part: AtomicUsize::new(threads),
            threads,
            near_until: AtomicU64::new(0),
            beginning: Instant::now(),
            clocks: (1..threads).map(|_| OnceLock::new()).collect(),
            state: Mutex::new(State { last: None, until: Instant::now(), out: OUT[0], back: None }),
        }
    }

    /// To be called by each thread but the caller, `i` from 1 on, before its first loop.
    pub fn enter(&self, i: usize) {
        let _ = self.clocks[i - 1].set(WaitClock::of_this_thread());
    }

    /// Threads of the next loop: those below this number.
    pub fn threads_of_next(&self) -> usize {
        let n = self.taking_part.load(Ordering::SeqCst);
        if n == self.threads {
            return n;
        }
        let mut state = self.lock();
        let now = Instant::now();
        if now < state.until {
            return n;
        }
        (state.until, state.back, state.last) = (now + state.out, Some(now), None);
        self.taking_part.store(n + 1, Ordering::SeqCst);
        n + 1
    }

    /// Whether thread `i` is one of them.
    pub fn has(&self, i: usize) -> bool {
        i < self.taking_part.load(Ordering::SeqCst)
    }

    /// Whether other programs want the cores.
    pub fn is_near(&self) -> bool {
        (self.beginning.elapsed().as_micros() as u64) < self.near_until.load(Ordering::SeqCst)
    }

    /// To be told when the caller of a loop had to sleep until the others were done: if they waited for cores, and not for
    /// the first time, one of them stays out for a while.
    pub fn caller_slept(&self) {
        let until = self.beginning.elapsed() + REMEMBERED;
        self.near_until.store(until.as_micros() as u64, Ordering::SeqCst);
        let waited =
            self.clocks.iter().map(|clock| clock.get()?.waited()).sum::<Option<Duration>>();
        if let Some(waited) = waited {
            self.look(Instant::now(), waited);
        }
    }

    fn look(&self, now: Instant, waited: Duration) {
        let mut state = self.lock();
        let (before, waited_before) = *state.last.get_or_insert((now, waited));
        let (between, n) = (now - before, self.taking_part.load(Ordering::SeqCst));
        if between < BETWEEN.start {
            return;
        }
        state.last = Some((now, waited));
        let share = waited.saturating_sub(waited_before).as_secs_f64() / between.as_secs_f64();
        if between > BETWEEN.end || share < MISSING || n == 1 {
            return;
        }
        let too_early = state.back.is_some_and(|back| now - back < BETWEEN.end);
        state.out = if too_early { OUT[1].min(2 * state.out) } else { OUT[0] };
        (state.until, state.last) = (now + state.out, None);
        self.taking_part.store(n - 1, Ordering::SeqCst);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a thread has been ready and without a core: the second number of Linux's schedstat, in nanoseconds.
struct WaitClock {
    #[cfg(target_os = "linux")]
    file: Option<File>,
}

impl WaitClock {
    fn of_this_thread() -> Self {
        WaitClock {
            #[cfg(target_os = "linux")]
            file: File::open("/proc/thread-self/schedstat").ok(),
        }
    }

    #[cfg(target_os = "linux")]
    fn waited(&self) -> Option<Duration> {
        use std::os::unix::fs::FileExt;
        let mut text = [0; 96];
        let n = self.file.as_ref()?.read_at(&mut text, 0).ok()?;
        let mut numbers = std::str::from_utf8(&text[..n]).ok()?.split_ascii_whitespace();
        numbers.nth(1)?.parse().ok().map(Duration::from_nanos)
    }

    #[cfg(not(target_os = "linux"))]
    fn waited(&self) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_stays_out_when_others_wait_and_comes_back() {
        let (crowd, begin) = (Crowd::of(3), Instant::now());
        let at = |ms: u64| begin + Duration::from_millis(ms);
        let waited = Duration::from_millis;
        crowd.look(at(0), waited(5));
        crowd.look(at(3), waited(8));
        assert!(crowd.has(2), "too short a time");
        crowd.look(at(30), waited(11));
        assert!(crowd.has(2), "a fifth of it");
        crowd.look(at(140), waited(100));
        assert!(crowd.has(2), "too long ago");
        crowd.look(at(170), waited(110));
        assert!(!crowd.has(2) && crowd.has(1));
        for i in 0..5 {
            crowd.look(at(180 + 30 * i), waited(110 + 20 * i));
        }
        assert!(crowd.has(0) && !crowd.has(1), "the caller always takes part");
        crowd.lock().until = Instant::now();
        assert_eq!(crowd.threads_of_next(), 2);
        assert_eq!(crowd.threads_of_next(), 2, "one after the other");
        crowd.lock().until = Instant::now();
        assert_eq!(crowd.threads_of_next(), 3);
        assert!(crowd.has(2));
    }

    #[test]
    fn who_comes_back_too_early_stays_out_longer() {
        let crowd = Crowd::of(2);
        for times in [1, 2, 4] {
            let begin = Instant::now();
            crowd.look(begin, Duration::ZERO);
            crowd.look(begin + BETWEEN.start, BETWEEN.start / 2);
            assert_eq!(crowd.lock().out, times * OUT[0]);
            crowd.lock().until = Instant::now();
            assert_eq!(crowd.threads_of_next(), 2);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_says_how_long_a_thread_waited() {
        assert!(WaitClock::of_this_thread().waited().is_some());
    }
}
