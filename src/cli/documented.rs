//! The commands that README.md and docs/ show are understood, and their links lead somewhere.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;

use super::Cli;

/// README.md, what lies beside it, and docs/.
fn pages() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = Vec::new();
    for folder in [root.to_path_buf(), root.join("docs")] {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|extension| extension == "md") {
                let text = fs::read_to_string(&path).expect("text");
                pages.push((path, text));
            }
        }
    }
    assert!(pages.len() > 5, "{}", pages.len());
    pages
}

/// The lines of blocks of code, and what is set as code within a sentence.
fn code(text: &str) -> Vec<String> {
    let mut code = Vec::new();
    for (i, part) in text.split("```").enumerate() {
        if i % 2 == 1 {
            code.extend(part.lines().map(str::to_string));
        } else {
            code.extend(part.split('`').skip(1).step_by(2).map(|code| code.replace('\n', " ")));
        }
    }
    code
}

/// Words as a shell takes them, without expansion.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for letter in line.chars() {
        match (quote, letter) {
            (None, ' ') => words.push(String::new()),
            (None, '"' | '\'') => quote = Some(letter),
            (Some(open), letter) if letter == open => quote = None,
            (_, letter) => words.last_mut().expect("one").push(letter),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The arguments of what runs the program, "elbo" first; none of what shows that there are several ways, as in
/// "[--epochs N]", or names a command alone.
fn command(line: &str) -> Option<Vec<String>> {
    let line = line.trim().trim_start_matches("$ ");
    let line = line.split(" #").next().expect("the first");
    let own = ["elbo ", "target/release/elbo ", "cargo run --release -- "];
    let arguments = own.iter().find_map(|own| line.strip_prefix(own))?;
    let arguments = arguments.split(" > ").next().expect("the first");
    let is_form = arguments.contains(['[', '…', '<', '|']) || arguments.contains("...");
    (!is_form && arguments.contains(' '))
        .then(|| [vec!["elbo".to_string()], words(arguments)].concat())
}

#[test]
fn every_command_of_the_documentation_is_understood() {
    let (mut seen, mut wrong) = (0, Vec::new());
    for (path, text) in pages() {
        for words in code(&text).iter().filter_map(|line| command(line)) {
            seen += 1;
            let Err(error) = Cli::try_parse_from(&words) else { continue };
            // Help is an error too.
            if error.exit_code() != 0 {
                let first = error.to_string().lines().next().unwrap_or_default().to_string();
                wrong.push(format!("{}: {}: {first}", path.display(), words.join(" ")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 20, "{seen}");
}

/// The book has each page, once.
#[test]
fn the_summary_lists_every_page() {
    let pages = pages();
    let is_summary = |path: &Path| path.ends_with("docs/SUMMARY.md");
    let (_, summary) = pages.iter().find(|(path, _)| is_summary(path)).expect("a summary");
    let mut listed = 0;
    for (path, _) in pages.iter().filter(|(path, _)| !is_summary(path)) {
        let (folder, name) = (path.parent().expect("a folder"), path.file_name().expect("a name"));
        if folder.ends_with("docs") {
            let link = format!("]({})", name.to_string_lossy());
            assert_eq!(summary.matches(&link).count(), 1, "docs/SUMMARY.md: {link}");
            listed += 1;
        }
    }
    assert_eq!(summary.matches(".md)").count(), listed + 1, "and the README");
}

#[test]
fn links_of_the_documentation_lead_somewhere() {
    let mut seen = 0;
    for (path, text) in pages() {
        let folder = path.parent().expect("a file's folder");
        // What is code is no link.
        let blocks = text.split("```").step_by(2);
        let text: String = blocks.flat_map(|block| block.split('`').step_by(2)).collect();
        let markdown = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        let pictures = text.split("src=\"").skip(1).filter_map(|rest| rest.split_once('"'));
        for (link, _) in markdown.chain(pictures) {
            if link.contains("://") || link.contains(' ') {
                continue;
            }
            seen += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { folder.join(file) };
            assert!(
                target.exists(),
                "{}: {link}: there is no {}",
                path.display(),
                target.display()
            );
            if anchor.is_empty() {
                continue;
            }
            let text = fs::read_to_string(&target).expect("text");
            let mut headings = text.lines().filter(|line| line.starts_with('#'));
            let is_it = |heading: &str| {
                let words = heading.trim_start_matches('#').trim().to_lowercase();
                let kept = words.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
                kept.collect::<String>().replace(' ', "-") == anchor
            };
            assert!(headings.any(is_it), "{}: {link}: no such heading", path.display());
        }
    }
    assert!(seen > 20, "{seen}");
}
