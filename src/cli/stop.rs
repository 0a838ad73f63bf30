//! The signals that ask the program to stop: Ctrl-C and SIGTERM, which `kill`, a shutdown and batch systems
//! send. SIGHUP is left alone, so that `nohup` works.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::Failure;

/// Ctrl-C's.
const SIGINT: u8 = 2;

/// Whether a signal has asked for the end, and which: 0 while none has.
#[derive(Clone)]
pub struct Stop(Arc<AtomicU8>);

impl Stop {
    /// Listens from now on. The first signal is for who asks; the second ends the program at once.
    pub fn listen() -> Result<Stop, Failure> {
        Stop::listen_and(|| {})
    }

    /// The same, and calls `asked` at the first signal.
    pub fn listen_and(mut asked: impl FnMut() + Send + 'static) -> Result<Stop, Failure> {
        let stop = Stop(Arc::new(AtomicU8::new(0)));
        let theirs = stop.clone();
        on_signal(move |signal| {
            match theirs.0.compare_exchange(0, signal, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => asked(),
                Err(_) => std::process::exit(i32::from(128 + signal)),
            }
        })
        .map_err(|e| Failure::run(format!("cannot listen for Ctrl-C: {e}")))?;
        Ok(stop)
    }

    /// Whether the end was asked for.
    pub fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }

    /// The exit code of a program that a signal has stopped: 128 and the signal's number, 130 after Ctrl-C,
    /// 143 after SIGTERM.
    pub fn code(&self) -> u8 {
        match self.0.load(Ordering::Relaxed) {
            0 => 128 + SIGINT,
            signal => 128 + signal,
        }
    }
}

/// Has a file that grows beyond the limit of the process (`ulimit -f`) be an error like a full disk, not the end.
#[cfg(unix)]
pub fn outlive_file_limits() {
    /// SIGXFSZ, on Linux and macOS.
    const TOO_LARGE: i32 = 25;
    // Where it cannot be had, things are as they were.
    let _ = signal_hook::flag::register(TOO_LARGE, Arc::default());
}

#[cfg(not(unix))]
pub fn outlive_file_limits() {}

/// Has a file of data that was cut short while it is mapped end the program with a line, not by a signal alone.
#[cfg(unix)]
pub fn tell_of_cut_files() {
    use std::io::Write;
    use std::mem::ManuallyDrop;
    use std::os::fd::FromRawFd;

    use signal_hook::consts::SIGBUS;

    const LINE: &[u8] = b"error: a file of data has become shorter while it was read: leave it as it is until the work ends; \
        elbo train --resume goes on from the last checkpoint\n";
    let tell = || {
        // SAFETY: the file is not closed. A write and the end of the process are all that happens, which a signal handler may do.
        let mut stderr = ManuallyDrop::new(unsafe { std::fs::File::from_raw_fd(2) });
        let _ = stderr.write_all(LINE);
        signal_hook::low_level::exit(1);
    };
    // SAFETY: as above. Where it cannot be had, things are as they were.
    let _ = unsafe { signal_hook::low_level::register(SIGBUS, tell) };
}

#[cfg(not(unix))]
pub fn tell_of_cut_files() {}

/// Calls `heard` with the number of each signal that asks for the end, on a thread of its own.
#[cfg(unix)]
fn on_signal(mut heard: impl FnMut(u8) + Send + 'static) -> std::io::Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    let listen = move || signals.forever().for_each(|signal| heard(signal as u8));
    std::thread::Builder::new().name("signals".to_string()).spawn(listen).map(|_| ())
}

/// Elsewhere Ctrl-C is no signal, and there is no other.
#[cfg(not(unix))]
fn on_signal(mut heard: impl FnMut(u8) + Send + 'static) -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(move || heard(SIGINT))
}
