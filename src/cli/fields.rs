//! Fields of the library's settings, and the options that set them.

/// What the library calls a thing in its errors, in backticks, and what the command line calls it.
/// The constants of an optimizer are not here: `adam.beta1` is --adam-beta1.
const FIELDS: [(&str, &str); 21] = [
    ("architecture", "the network"),
    ("architecture.likelihood", "--likelihood"),
    ("architecture.likelihood.variance", "--variance"),
    ("batch", "--batch"),
    ("binarization", "--binarization"),
    ("epochs", "--epochs"),
    ("images", "the size of the images"),
    ("learning_rate", "--lr"),
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
    ("steps", "--steps"),
    ("valid", "--valid"),
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
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;
    use crate::{Adam, Settings};

    #[test]
    fn every_flag_is_one_of_train() {
        let cli = Cli::command();
        let train = cli.find_subcommand("train").expect("a command");
        let known: Vec<&str> = train.get_arguments().filter_map(clap::Arg::get_long).collect();
        for (field, flag) in FIELDS.iter().chain(&DEVICES) {
            for word in flag.split(' ').filter_map(|word| word.strip_prefix("--")) {
                assert!(known.contains(&word), "{field}: train has no --{word}");
            }
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
