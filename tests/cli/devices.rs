//! The choice of a device.

use crate::harness::program::{Ended, Home, tree};
use crate::small::{NO_ADAPTER, SIZES};

#[test]
fn a_device_that_is_not_there_is_refused() {
    let home = Home::with_run();
    let train = format!("train --data data {SIZES} --run new");
    for which in ["nonsense", "4711", "-1"] {
        for command in [&train[..], "sample run --out a.png", "reconstruct run --out a.png"] {
            let words = [&format!("--device {which}:")[..], "there are:", "cpu"];
            home.refuses(&format!("{command} --device={which}"), &words);
        }
    }
    home.refuses(&format!("{train} --device="), &["--device"]);
    // A number beyond the indices that stands in the adapter's name, as in RTX 4090.
    let listed = home.ok("devices").stdout;
    let name = listed.lines().next().unwrap_or_default().trim_start_matches(char::is_numeric);
    let numbers = name.split(|c: char| !c.is_ascii_digit());
    match numbers.filter_map(|n| n.parse::<usize>().ok()).find(|&n| n > 9) {
        Some(n) => assert!(
            home.ok(&format!("train --data data {SIZES} --run by-number --device {n}"))
                .stderr
                .contains(name.trim())
        ),
        None => {
            assert!(!name.contains("llvmpipe"), "lavapipe's name has its LLVM's version: {listed}");
        }
    }
    assert!(home.ok(&format!("{train} --device CPU")).stderr.contains("device: CPU, "));
}

#[test]
fn devices_lists_what_there_is() {
    let home = Home::new();
    let ended = home.ok("devices");
    let heads: Vec<&str> = ended.stdout.lines().filter(|l| !l.starts_with(' ')).collect();
    assert!(heads.len() >= 2 && heads[0].starts_with("0 "), "no adapter: {ended:?}");
    assert_eq!(ended.stdout.matches("<- auto").count(), 1, "{ended:?}");
    assert!(heads[heads.len() - 1].starts_with("cpu "), "{ended:?}");
    assert_eq!(ended.stderr, "", "no noise of drivers");
    for word in ["driver ", "binding up to ", "invocations"] {
        ended.line(word);
    }
}

/// The same run on an adapter gives the same figures, up to rounding.
#[test]
fn gpu_and_cpu_agree() {
    let home = Home::new();
    let train = format!("train --data data {SIZES}");
    let gpu = home.run(&format!("{train} --run gpu --device gpu"));
    assert_eq!(gpu.code, Some(0), "{}", gpu.stderr);
    let lines: Vec<&str> = gpu.stderr.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("device: "), "{gpu:?}");
    assert!(lines[0].ends_with("the CPU (--device cpu)"), "{gpu:?}");
    assert_ne!(home.json("gpu/summary.json")["device"]["kind"], "cpu");
    home.assert_model("gpu");

    home.ok(&format!("{train} --run cpu --device cpu"));
    let [on_gpu, on_cpu] = ["gpu", "cpu"].map(|run| home.metrics(run));
    for (on_gpu, on_cpu) in on_gpu.iter().zip(&on_cpu) {
        for set in ["train", "test"] {
            let difference =
                on_gpu[set]["elbo"].as_f64().unwrap() - on_cpu[set]["elbo"].as_f64().unwrap();
            assert!(difference.abs() < 0.1, "{set}: {difference}");
        }
    }
    // A model goes from one device to the other.
    for command in ["sample", "reconstruct"] {
        home.ok(&format!("{command} cpu --device gpu --out gpu.png"));
        home.ok(&format!("{command} cpu --device cpu --out cpu.png"));
        let pixels = |name: &str| image::open(home.at(name)).unwrap().into_luma8().into_raw();
        let (a, b) = (pixels("gpu.png"), pixels("cpu.png"));
        assert_eq!(a.len(), b.len());
        assert!(a.iter().zip(&b).all(|(a, b)| a.abs_diff(*b) <= 1), "{command}");
    }
}

/// A machine without any Vulkan driver.
#[cfg(target_os = "linux")]
#[test]
fn without_an_adapter_the_cpu_is_taken() {
    let home = Home::new();
    let bare =
        |args: &str| -> Ended { home.command(args).envs(NO_ADAPTER).output().unwrap().into() };
    let train = format!("train --data data {SIZES}");
    let before = tree(home.path());
    for which in ["gpu", "0", "llvmpipe"] {
        let ended = bare(&format!("{train} --run {which} --device {which}"));
        ended.assert_error(2, &["--device", which]);
        assert!(tree(home.path()) == before);
    }
    bare(&format!("{train} --device gpu")).assert_error(2, &["no GPU adapter", "apt-get install"]);

    let ended = bare(&format!("{train} --run auto --device auto"));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let first = ended.stderr.lines().next().unwrap();
    assert!(
        first.starts_with("device: CPU, ") && first.ends_with("no hardware GPU found"),
        "{first}"
    );
    assert_eq!(home.json("auto/summary.json")["device"]["kind"], "cpu");

    let ended = bare("devices");
    assert_eq!((ended.code, ended.stdout.matches("<- auto").count()), (Some(0), 1));
    assert!(ended.line("<- auto").starts_with("cpu "));
    assert!(ended.line("no GPU adapter found").contains("apt-get install"));
}
