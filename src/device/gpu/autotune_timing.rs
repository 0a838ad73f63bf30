//! Which of several candidates is the quickest, found in a limited time.

/// What one timing should take, many runs together, so that the host's part is small. Seconds.
const SAMPLE: f64 = 2e-3;
/// The most runs of one timing.
const MOST_RUNS: f64 = 500.0;
/// Rounds that count, after one that finds the number of runs.
const ROUNDS: usize = 5;
/// A candidate that takes so many times as long as the quickest, in two rounds in succession, is timed no
/// more. In one round alone it may have met with something.
const SLOWER: f64 = 1.5;

/// A candidate that is still timed.
struct Racer {
    index: usize,
    /// Seconds of one run in the last timing, and the runs of the next.
    each: f64,
    runs: u64,
    /// What each timing that counts was, relative to the shortest of its round.
    ratios: Vec<f64>,
    /// Rounds in succession, up to the last, in which it was so much slower.
    slower: u32,
}

impl Racer {
    fn median(&self) -> f64 {
        let mut ratios = self.ratios.clone();
        ratios.sort_by(f64::total_cmp);
        ratios[ratios.len() / 2]
    }
}

/// The quickest of so many candidates, at least one, and the seconds of one run of it. They are timed in
/// rounds and compared within each: a spell in which the device is slow, or its becoming quicker, leaves most
/// rounds as they are, and the median of the ratios counts.
///
/// `run` runs a candidate so many times in one go and returns the seconds. No run is begun that is expected to
/// take longer than `left` says, but the very first: where one run takes that long, the first timing of
/// each decides, and those that were not reached are out.
pub fn quickest<E>(
    candidates: usize,
    left: impl Fn() -> f64,
    mut run: impl FnMut(usize, u64) -> Result<f64, E>,
) -> Result<(usize, f64), E> {
    // In the first run the driver may compile: it counts only if there is no time for another.
    let mut racers: Vec<Racer> = Vec::new();
    for index in 0..candidates {
        let expected = racers.iter().map(|r| r.each).fold(f64::INFINITY, f64::min);
        if !racers.is_empty() && expected > left() {
            break;
        }
        let each = run(index, 1)?;
        racers.push(Racer { index, each, runs: 1, ratios: Vec::new(), slower: 0 });
    }
    compare(&mut racers);
    for round in 0..=ROUNDS {
        let expected: f64 = racers.iter().map(|r| r.runs as f64 * r.each).sum();
        if racers.len() == 1 || expected > left() {
            break;
        }
        for racer in &mut racers {
            racer.each = run(racer.index, racer.runs)? / racer.runs as f64;
            racer.runs = (SAMPLE / racer.each.max(1e-9)).clamp(1.0, MOST_RUNS) as u64;
            if round <= 1 {
                racer.ratios.clear();
            }
            if round == 0 {
                racer.slower = 0;
            }
        }
        compare(&mut racers);
        racers.retain(|racer| racer.slower < 2);
    }
    let order = |a: &&Racer, b: &&Racer| a.median().total_cmp(&b.median());
    let quickest = racers.iter().min_by(order).expect("the quickest of a round stays");
    Ok((quickest.index, quickest.each))
}

/// Holds the last timings of a round against each other.
fn compare(racers: &mut [Racer]) {
    let shortest = racers.iter().map(|r| r.each).fold(f64::INFINITY, f64::min).max(1e-9);
    for racer in racers {
        let ratio = racer.each / shortest;
        racer.ratios.push(ratio);
        racer.slower = if ratio > SLOWER { racer.slower + 1 } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// What the host spends on a timing, in seconds.
    const HOST: f64 = 6e-5;

    /// Races candidates of these seconds a run on a clock of its own, where `pace` says how much longer all
    /// takes at a time and `compile` what the first run of each takes besides. Returns the quickest, the time
    /// at the end, and how often each was timed.
    fn race(
        seconds: &[f64],
        budget: f64,
        compile: &[f64],
        pace: impl Fn(f64) -> f64,
    ) -> (usize, f64, Vec<usize>) {
        let clock = Cell::new(0.0);
        let mut timings = vec![0; seconds.len()];
        let run = |i: usize, n: u64| -> Result<f64, ()> {
            let first = if timings[i] == 0 { compile.get(i).copied().unwrap_or(0.0) } else { 0.0 };
            timings[i] += 1;
            let took = first + (HOST + n as f64 * seconds[i]) * pace(clock.get());
            clock.set(clock.get() + took);
            Ok(took)
        };
        let (index, each) = quickest(seconds.len(), || budget - clock.get(), run).unwrap();
        assert!(each >= seconds[index], "{each}");
        (index, clock.get(), timings)
    }

    fn steady(_: f64) -> f64 {
        1.0
    }

    #[test]
    fn the_quickest_wins_wherever_it_stands() {
        for best in 0..4 {
            for unit in [1e-6, 1e-5, 1e-3, 0.02] {
                let mut seconds = [1.1 * unit; 4];
                seconds[best] = unit;
                let (winner, end, timings) = race(&seconds, 1.5, &[], steady);
                assert_eq!(winner, best, "{unit}");
                assert!(end < 0.7 && timings == [ROUNDS + 2; 4], "{end} {timings:?}");
            }
        }
        // Equals: the first, which is the usual one.
        assert_eq!(race(&[1e-3; 3], 1.5, &[], steady).0, 0);
        assert_eq!(race(&[1e-3], 1.5, &[], steady).2, [1], "nothing to compare with");
    }

    #[test]
    fn compilation_does_not_count() {
        assert_eq!(race(&[2e-4, 1e-4], 1.5, &[0.0, 0.2], steady).0, 1);
        assert_eq!(race(&[1e-4, 2e-4], 1.5, &[0.2, 0.0], steady).0, 0);
    }

    #[test]
    fn a_spell_of_another_speed_meets_all_of_them() {
        for from in (0..400).map(|i| f64::from(i) * 1e-4) {
            for length in [0.001, 0.004, 0.012] {
                let burst = |t: f64| if t > from && t < from + length { 3.0 } else { 1.0 };
                // A clock that rises, and stays.
                let rises = |t: f64| if t < from { 2.0 } else { 1.0 };
                for pace in [&burst as &dyn Fn(f64) -> f64, &rises] {
                    for (seconds, best) in
                        [([1e-4, 0.9e-4, 1.1e-4], 1), ([0.9e-4, 1e-4, 1.1e-4], 0)]
                    {
                        assert_eq!(race(&seconds, 1.5, &[], pace).0, best, "{from} {length}");
                        assert_eq!(race(&seconds[..2], 1.5, &[], pace).0, best, "{from} {length}");
                    }
                }
            }
        }
    }

    #[test]
    fn slow_dispatches_end_in_time() {
        // One of a second: there is no time for a second one, and the usual one stays.
        let (winner, end, timings) = race(&[1.0, 0.5, 0.5], 1.5, &[], steady);
        assert_eq!((winner, timings), (0, vec![1, 0, 0]));
        assert!(end <= 1.5, "{end}");
        // The first timings decide, as far as they come.
        let (winner, end, timings) = race(&[0.4, 0.3, 0.35, 0.3], 1.5, &[], steady);
        assert_eq!((winner, timings), (1, vec![1, 1, 1, 1]));
        assert!(end <= 1.5, "{end}");
        for unit in [0.01, 0.03, 0.1, 0.2, 0.6] {
            let (winner, end, _) = race(&[1.2 * unit, unit, 1.3 * unit], 1.5, &[], steady);
            assert_eq!(winner, 1, "{unit}");
            assert!(end <= 1.5 + unit, "{unit}: {end}");
        }
        // Where nothing is left at all, the first one is run once.
        assert_eq!(race(&[1e-3, 1e-6], 0.0, &[], steady).2, [1, 0]);
    }

    #[test]
    fn what_is_clearly_slower_is_dropped() {
        let (winner, end, timings) = race(&[0.05, 1e-4, 1.1e-4], 1.5, &[], steady);
        assert_eq!((winner, timings), (1, vec![3, ROUNDS + 2, ROUNDS + 2]));
        assert!(end < 0.2, "{end}");
        assert_eq!(race(&[1e-4, 9e-4], 1.5, &[], steady).2, [3, 3], "one left: nothing to compare");
    }

    #[test]
    fn a_failure_ends_it() {
        let mut runs = 0;
        let failing = |i: usize, _| {
            runs += 1;
            if i == 1 { Err("lost") } else { Ok(1e-3) }
        };
        assert_eq!(quickest(3, || 1.0, failing), Err("lost"));
        assert_eq!(runs, 2);
    }
}
