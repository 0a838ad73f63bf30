//! The help texts.

use crate::harness::program::Home;

/// Whoever hands the program out hands out the data within, which must say whose they are.
#[test]
fn the_version_names_the_authors_of_mnist() {
    let text = Home::empty().ok("--version").stdout;
    assert!(text.contains("Yann LeCun") && text.contains("CC BY-SA 3.0"), "{text}");
    assert_eq!(Home::empty().ok("-V").stdout.lines().count(), 1);
}

#[test]
fn help_names_every_option_and_its_default() {
    let home = Home::new();
    let help = home.ok("--help").stdout;
    for word in ["train", "sample", "reconstruct", "devices"] {
        assert!(help.contains(&format!("\n  {word} ")), "{word}");
    }
    // Word by word, since lines are wrapped to the terminal.
    let words = |args: &str| {
        let help = home.ok(args).stdout;
        help.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let train = words("train --help");
    let mut rest = &train[..];
    for (option, default) in [
        ("--preset <PRESET>", "none"),
        ("--data <PATH>", "mnist"),
        ("--size <HxW>", "as they are"),
        ("--valid <SHARE>", "none"),
        ("--seed <SEED>", "0"),
        ("--run <DIR>", "runs/<date-time>"),
        ("--device <WHICH>", "auto"),
        ("--figures-every <N>", "none"),
        ("--binarization <BINARIZATION>", "dynamic"),
        ("--network <NETWORK>", "mlp"),
        ("--hidden <LAYERS>", "400"),
        ("--decoder-hidden <LAYERS>", "--hidden reversed"),
        ("--latent <Z>", "20"),
        ("--activation <ACTIVATION>", "relu"),
        ("--likelihood <LIKELIHOOD>", "bernoulli"),
        ("--variance <S>", "optimal"),
        ("--init <INIT>", "pytorch"),
        ("--objective <OBJECTIVE>", "elbo"),
        ("--samples <K>", "1"),
        ("--gradient <GRADIENT>", "reparameterized"),
        ("--kl <KL>", "analytic"),
        ("--beta <BETA>", "1"),
        ("--warm-up <EPOCHS>", "0"),
        ("--free-bits <NATS>", "0"),
        ("--epochs <EPOCHS>", "10"),
        ("--steps <STEPS>", "no limit"),
        ("--early-stop <EPOCHS>", "never"),
        ("--batch <B>", "128"),
        ("--lr <RATE>", "0.001"),
        ("--lr-warm-up <EPOCHS>", "0"),
        ("--lr-schedule <SCHEDULE>", "constant"),
        ("--schedule-stages <N>", "8"),
        ("--weight-decay <DECAY>", "0"),
        ("--clip-norm <NORM>", "never"),
        ("--ema <DECAY>", "none"),
        ("--adam-beta1 <BETA1>", "0.9"),
        ("--adam-beta2 <BETA2>", "0.999"),
        ("--adam-epsilon <EPSILON>", "1e-8"),
    ] {
        // In this order, so that each default is the option's own.
        let (_, about) = rest.split_once(option).unwrap_or_else(|| panic!("no {option}"));
        let (_, about) = about.split_once("[default: ").unwrap_or_else(|| panic!("{option}"));
        assert!(about.starts_with(&format!("{default}]")), "{option}: {about}");
        rest = about;
    }
    for (command, count) in [("sample", 100), ("reconstruct", 50)] {
        let help = words(&format!("{command} --help"));
        for word in ["<RUN>", "--count", "--seed", "--out <FILE>", "--device"] {
            assert!(help.contains(word), "{command}: {word}");
        }
        assert!(help.contains(&format!("[default: {count}")), "{help}");
    }
}
