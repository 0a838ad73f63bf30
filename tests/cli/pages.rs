//! Shell completions and manual pages: they know every command and its options.

use std::process::{Command, Output};

fn elbo(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_elbo")).args(args).output().unwrap()
}

#[track_caller]
fn ok(args: &[&str]) -> String {
    let output = elbo(args);
    assert!(output.status.success() && output.stderr.is_empty(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// As `elbo --help` lists them.
fn commands() -> Vec<String> {
    let help = ok(&["--help"]);
    let list = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let first = |line: &str| line.strip_prefix("  ")?.split(' ').next().map(str::to_string);
    let commands: Vec<String> =
        list.lines().filter_map(first).filter(|name| !name.is_empty() && name != "help").collect();
    assert!(commands.len() >= 10 && commands.contains(&"export".to_string()), "{commands:?}");
    commands
}

#[test]
fn completions_know_every_command() {
    for (shell, word) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef elbo"),
        ("fish", "complete -c elbo"),
        ("powershell", "Register-ArgumentCompleter"),
        ("elvish", "set edit:completion"),
    ] {
        let text = ok(&["completions", shell]);
        assert!(text.contains(word), "{shell}: {text}");
        for word in commands().iter().map(String::as_str).chain(["schedule-stages", "onnx"]) {
            assert!(text.contains(word), "{shell}: {word}");
        }
    }
    let output = elbo(&["completions", "tcsh"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    let words = "<SHELL>: there is no \"tcsh\"; there are bash, elvish, fish, powershell, zsh";
    assert_eq!(stderr, format!("error: {words}\n"));
}

#[test]
fn every_command_has_a_manual_page() {
    let main = ok(&["man"]);
    assert!(main.starts_with(".ie") || main.contains(".TH elbo 1"), "{main}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("man/man1");
    ok(&["man", "--out", path.to_str().unwrap()]);
    let read = |name: &str| std::fs::read_to_string(path.join(name)).unwrap();
    assert_eq!(read("elbo.1"), main);
    for command in commands() {
        assert!(main.contains(&format!("elbo\\-{command}(1)")), "{command}: {main}");
        let page = read(&format!("elbo-{command}.1"));
        assert_eq!(page, ok(&["man", &command]));
        // The options that its help has.
        let help = ok(&[&command, "--help"]);
        let options: Vec<&str> = help
            .split_whitespace()
            .map(|word| word.trim_end_matches([',', '.', ';', ':', ')']))
            .filter(|word| word.starts_with("--") && word.len() > 2)
            .collect();
        assert!(options.contains(&"--help"), "{help}");
        for option in options {
            assert!(page.contains(&option.replace('-', "\\-")), "{command}: {option}: {page}");
        }
    }
    assert_eq!(std::fs::read_dir(&path).unwrap().count(), commands().len() + 1);
    let output = elbo(&["man", "nothing"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr.starts_with("error: there is no command \"nothing\"; there are train, "));
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    let output = elbo(&["man", "--out", "/dev/null/man"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}
