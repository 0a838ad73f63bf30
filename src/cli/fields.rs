//! Fields of the library's settings, and the options that set them.

/// What the library calls a thing in its errors, in backticks, and what the command line calls it.
/// The constants of an optimizer are not here: `adam.beta1` is --adam-beta1.
const FIELDS: &[(&str, &str)] = &[
    ("architecture", "the network"),
    ("architecture.channels", "--channels"),
    ("architecture.classes", "--condition"),
    ("architecture.likelihood", "--likelihood"),
    ("architecture.likelihood.variance", "--variance"),
    ("architecture.posterior", "--posterior"),
    ("architecture.posterior.hidden", "--flow-hidden"),
    ("architecture.posterior.steps", "--flow-steps"),
    ("architecture.prior", "--prior"),
    ("architecture.prior.pseudo_inputs", "--pseudo-inputs"),
    ("average", "--ema"),
    ("batch", "--batch"),
    ("binarization", "--binarization"),
    ("channels", "--channels"),
    ("clip_norm", "--clip-norm"),
    ("early_stop", "--early-stop"),
    ("decoder_hidden", "--decoder-hidden"),
    ("drop", "--drop"),
    ("epochs", "--epochs"),
    ("fit", "--fit"),
    ("flip", "--flip"),
    ("hidden", "--hidden"),
    ("images", "the size of the images"),
    ("label", "--label"),
    ("learning_rate", "--lr"),
    ("learning_rate_warm_up", "--lr-warm-up"),
    ("objective.beta", "--beta"),
    ("objective.bound", "--objective"),
    ("objective.estimator", "--gradient"),
    ("objective.free_bits", "--free-bits"),
    ("objective.kl", "--kl"),
    ("objective.warm_up", "--warm-up"),
    ("precision", "--precision"),
    ("samples", "--samples"),
    ("schedule", "--lr-schedule"),
    ("size", "--size"),
    ("size_factor", "--size-factor"),
    ("steps", "--steps"),
    ("table", "--table"),
    ("valid", "--valid"),
    ("weight_decay", "--weight-decay"),
    ("Vae::save", "elbo train --run"),
];

/// Functions that choose the device, and the option that does.
const DEVICES: [(&str, &str); 2] = [("Device::open", "--device"), ("Device::cpu", "--device cpu")];

/// A message of the library as the command line says it: with options in the place of fields.
pub fn in_flags(message: &str) -> String {
    let both = FIELDS.iter().chain(&DEVICES);
    let text = both
        .fold(message.to_string(), |text, (field, flag)| text.replace(&format!("`{field}`"), flag));
    // What is left between backticks and names two parts of one another is an optimizer's constant.
    let mut pieces: Vec<String> = text.split('`').map(str::to_string).collect();
    let constant = |piece: &str| {
        let name = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric());
        piece.split_once('.').is_some_and(|(optimizer, field)| name(optimizer) && name(field))
    };
    if pieces.len().is_multiple_of(2) {
        return text; // a backtick by itself
    }
    for i in (1..pieces.len()).step_by(2) {
        pieces[i] = match constant(&pieces[i]) {
            true => format!("--{}", pieces[i].replace('.', "-")),
            false => format!("`{}`", pieces[i]),
        };
    }
    pieces.concat()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;
    use crate::{Adam, Settings};

    fn options_of_train() -> Vec<String> {
        let cli = Cli::command();
        let train = cli.find_subcommand("train").expect("a command");
        train.get_arguments().filter_map(|arg| arg.get_long().map(str::to_string)).collect()
    }

    #[test]
    fn every_flag_is_one_of_train() {
        let known = options_of_train();
        for (field, flag) in FIELDS.iter().chain(&DEVICES) {
            for word in flag.split(' ').filter_map(|word| word.strip_prefix("--")) {
                assert!(known.iter().any(|k| k == word), "{field}: train has no --{word}");
            }
        }
    }

    /// String literals of the form `a.b` in a folder's sources, which are fields there.
    fn fields_in(folder: &Path) -> Vec<String> {
        let mut fields = Vec::new();
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                fields.extend(fields_in(&path));
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("text");
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            let is_field = |text: &&str| {
                let word = |w: &str| w.starts_with(|c: char| c.is_ascii_lowercase());
                text.contains('.')
                    && text.split('.').all(word)
                    && text.chars().all(|c| c.is_ascii_alphanumeric() || "._".contains(c))
            };
            for line in code {
                let literals = line.split('"').skip(1).step_by(2).filter(is_field);
                fields.extend(literals.map(str::to_string));
            }
        }
        fields
    }

    #[test]
    fn every_field_of_the_settings_has_a_flag() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let used: Vec<String> =
            ["optim", "train", "vae"].iter().flat_map(|f| fields_in(&root.join(f))).collect();
        assert!(used.iter().any(|field| field == "adam.beta1"), "{used:?}");
        let known = options_of_train();
        for field in used.iter().filter(|field| *field != "architecture") {
            let said = in_flags(&format!("`{field}`"));
            let flag = said.strip_prefix("--").unwrap_or_else(|| panic!("{field}: no flag"));
            assert!(known.iter().any(|k| k == flag), "{field}: train has no {said}");
        }
    }

    #[test]
    fn messages_name_flags() {
        let settings = Settings { epochs: 0, ..Settings::default() };
        let error = settings.check().expect_err("no epochs");
        assert_eq!((error.field, &*error.value), ("epochs", "0"));
        assert_eq!(in_flags(&error.to_string()), "--epochs must be at least 1, got 0");
        let adam = Adam { beta1: 2.0, ..Adam::default() };
        let settings = Settings { optimizer: crate::Optimizer::Adam(adam), ..Settings::default() };
        let error = settings.check().expect_err("no decay").to_string();
        assert_eq!(error, "`adam.beta1` must be above 0 and at most 0.999999, got 2");
        assert_eq!(in_flags(&error), error.replace("`adam.beta1`", "--adam-beta1"));
    }
}
