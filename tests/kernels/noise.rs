//! The noise: known answers of Philox, moments of the normal numbers, frequencies of binarized pixels,
//! and the shuffle, which must draw every image once.

use elbo::numeric::philox::{counter, half_bits, normal4, permute, philox};

/// From the authors' own test vectors (Random123, kat_vectors, philox4x32 10 rounds).
#[test]
fn philox_gives_the_published_integers() {
    let known = [
        ([0; 4], [0; 2], [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]),
        ([u32::MAX; 4], [u32::MAX; 2], [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]),
        (
            [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
            [0xa4093822, 0x299f31d0],
            [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
        ),
    ];
    for (counter, key, expected) in known {
        assert_eq!(philox(counter, key), expected);
    }
}

#[test]
fn the_noise_is_standard_normal_and_its_counters_do_not_collide() {
    let n = 200_000;
    let draw = |step, stream| -> Vec<f64> {
        (0..n / 4)
            .flat_map(|row| normal4::<f64>(philox(counter(step, row, 0, stream, 3), [1, 2])))
            .collect()
    };
    let values = draw(7, 1);
    let moment = |p: i32| values.iter().map(|v| v.powi(p)).sum::<f64>() / n as f64;
    // Five standard errors: the variances of v, v^2, v^3, v^4 are 1, 2, 15, 96.
    let allowed = |variance: f64| 5.0 * (variance / n as f64).sqrt();
    assert!(moment(1).abs() < allowed(1.0));
    assert!((moment(2) - 1.0).abs() < allowed(2.0));
    assert!(moment(3).abs() < allowed(15.0));
    assert!((moment(4) - 3.0).abs() < allowed(96.0));
    let beyond = values.iter().filter(|v| v.abs() > 1.959964).count() as f64 / n as f64;
    assert!((beyond - 0.05).abs() < 5.0 * (0.05_f64 * 0.95 / n as f64).sqrt());
    for other in [draw(8, 1), draw(7, 2)] {
        let correlation = values.iter().zip(&other).map(|(a, b)| a * b).sum::<f64>() / n as f64;
        assert!(correlation.abs() < allowed(1.0));
    }
    let within: f64 =
        values.chunks(2).map(|pair| pair[0] * pair[1]).sum::<f64>() / (n as f64 / 2.0);
    assert!(within.abs() < allowed(2.0));
}

#[test]
fn the_shuffle_is_a_permutation_of_its_own_each_epoch() {
    for n in [1, 2, 3, 4, 5, 16, 17, 100, 1000, 4097] {
        let order =
            |key, epoch| -> Vec<usize> { (0..n).map(|i| permute(i, n, key, epoch)).collect() };
        let first = order([3, 4], 0);
        let mut sorted = first.clone();
        sorted.sort_unstable();
        assert!(sorted.iter().copied().eq(0..n), "n = {n}: {first:?}");
        if n >= 100 {
            let expected_matches = 1.0; // of a random permutation with another, whatever n
            for other in [order([3, 4], 1), order([5, 4], 0), order([3, 5], 0), (0..n).collect()] {
                let matches = first.iter().zip(&other).filter(|(a, b)| a == b).count();
                assert!(
                    (matches as f64) < expected_matches + 8.0,
                    "n = {n}: {matches} images stay in place"
                );
            }
        }
    }
    assert_eq!(half_bits(60_000), 8);
    assert_eq!(half_bits(65_537), 9);
}

/// Where an image lands must not depend on where it was: the correlation of rank before and after.
#[test]
fn the_shuffle_forgets_the_order() {
    let n = 60_000;
    let mean = (n - 1) as f64 / 2.0;
    let variance = (n * n - 1) as f64 / 12.0;
    for epoch in 0..3 {
        let covariance: f64 = (0..n)
            .map(|i| (i as f64 - mean) * (permute(i, n, [0, 0], epoch) as f64 - mean))
            .sum::<f64>()
            / n as f64;
        let neighbours: f64 = (1..n)
            .map(|i| {
                let (a, b) = (permute(i - 1, n, [0, 0], epoch), permute(i, n, [0, 0], epoch));
                (a as f64 - mean) * (b as f64 - mean)
            })
            .sum::<f64>()
            / n as f64;
        let five_errors = 5.0 / (n as f64).sqrt();
        assert!(
            (covariance / variance).abs() < five_errors,
            "epoch {epoch}: {}",
            covariance / variance
        );
        assert!(
            (neighbours / variance).abs() < five_errors,
            "epoch {epoch}: {}",
            neighbours / variance
        );
    }
}
