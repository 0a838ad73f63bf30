//! The library does not know the command line: its messages name fields, and it can be built without it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Every Rust file of `folder`.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry").path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let rust = files.into_iter().filter(|path| path.extension().is_some_and(|e| e == "rs"));
    rust.chain(folders.iter().flat_map(|folder| sources(folder))).collect()
}

/// The names of the program's commands.
fn commands() -> Vec<String> {
    let help = Command::new(env!("CARGO_BIN_EXE_elbo")).arg("--help").output().expect("it runs");
    let help = String::from_utf8(help.stdout).expect("text");
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = listed.take_while(|line| !line.is_empty()).filter_map(|line| {
        line.strip_prefix("  ")?.split(' ').next().filter(|name| !name.is_empty())
    });
    names.map(str::to_string).collect()
}

/// What of the command line a line of code says, if anything: an option or a command.
fn says<'a>(line: &'a str, commands: &[String]) -> Option<&'a str> {
    let code = line.split(" // ").next().filter(|code| !code.trim_start().starts_with("//"))?;
    let option = code.match_indices("--").find(|(at, _)| {
        code[at + 2..].starts_with(|c: char| c.is_ascii_lowercase()) && !code[..*at].ends_with('-')
    });
    let command = code.match_indices("elbo ").find(|(at, _)| {
        let after = &code[at + 5..];
        let word = after.split(|c: char| !c.is_ascii_lowercase()).next();
        commands.iter().any(|name| Some(&**name) == word)
    });
    option.or(command).map(|(at, _)| &code[at..])
}

#[test]
fn no_message_of_the_library_names_an_option_or_a_command() {
    let commands = commands();
    assert!(commands.iter().any(|name| name == "train"), "{commands:?}");
    for wrong in ["\"give --lr\"", "    \\ --size shrinks", "(\"as elbo train does\")"] {
        assert!(says(wrong, &commands).is_some(), "{wrong}");
    }
    for right in ["// --lr", "a - -b", "\"the elbo of\"", "\"-----\""] {
        assert_eq!(says(right, &commands), None);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let above = ["cli", "main.rs"].map(|name| root.join(name));
    let git = root.join("versions.rs"); // which has options of git
    let library: Vec<PathBuf> = sources(&root)
        .into_iter()
        .filter(|path| *path != git && !above.iter().any(|above| path.starts_with(above)))
        .collect();
    assert!(library.len() > 100, "{} files", library.len());
    let mut found = Vec::new();
    for path in library {
        let text = fs::read_to_string(&path).expect("text");
        for (i, line) in text.lines().enumerate() {
            if let Some(said) = says(line, &commands) {
                found.push(format!("{}:{}: {said}", path.display(), i + 1));
            }
        }
    }
    assert!(found.is_empty(), "give the field or the function:\n{}", found.join("\n"));
}

/// Names of the crates that are built on this platform for the library, with these options of cargo.
fn crates(options: &[&str]) -> BTreeSet<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["tree", "--locked", "--offline", "-e", "normal", "--prefix", "none"])
        .args(["--format", "{p}"])
        .args(options)
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_string).collect()
}

#[test]
fn the_library_alone_brings_no_crate_of_the_program() {
    let (all, library) = (crates(&[]), crates(&["--no-default-features"]));
    let names = [
        "clap",
        "clap_complete",
        "clap_mangen",
        "http-body-util",
        "hyper",
        "hyper-util",
        "indicatif",
        "open",
        "tokio",
    ];
    for name in names {
        assert!(all.contains(name), "{name} is no longer a dependency: take it off this list");
        assert!(!library.contains(name), "{name} is built without the feature `program`");
    }
    for name in ["ctrlc", "signal-hook"] {
        assert!(!library.contains(name), "{name} is built without the feature `program`");
    }
    assert!(library.contains("wgpu") && library.len() + 30 < all.len(), "{}", library.len());
}
