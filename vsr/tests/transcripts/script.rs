use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// Something that takes commands and tells what happens.
pub(crate) trait Stage {
    /// Carries out a command; what happened, a line each.
    fn command(&mut self, words: &[&str]) -> Vec<String>;
}

/// Runs every transcript of a folder on a stage of its own.
pub(crate) fn replay<S: Stage>(folder: &str, stage: impl Fn() -> S) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("testdata")
        .join(folder);
    let mut paths: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} holds transcripts", folder.display());
    for path in paths {
        let written = fs::read_to_string(&path).unwrap();
        let happened = run(&written, &mut stage());
        if std::env::var_os("QUORATE_REWRITE").is_some() {
            fs::write(&path, happened).unwrap();
        } else {
            compare(&path, &written, &happened);
        }
    }
}

/// The transcript with what happens now.
fn run(written: &str, stage: &mut impl Stage) -> String {
    let mut happened = String::new();
    for line in written.lines() {
        if line.starts_with('#') || line.is_empty() {
            writeln!(happened, "{line}").unwrap();
        } else if let Some(command) = line.strip_prefix("> ") {
            writeln!(happened, "{line}").unwrap();
            let words: Vec<_> = command.split_whitespace().collect();
            for line in stage.command(&words) {
                writeln!(happened, "  {line}").unwrap();
            }
        }
    }
    happened
}

fn compare(path: &Path, written: &str, happened: &str) {
    for (number, (old, new)) in (1..).zip(written.lines().zip(happened.lines())) {
        assert_eq!(
            old,
            new,
            "{}, line {number}; if this is meant, QUORATE_REWRITE=1 writes it down",
            path.display()
        );
    }
    assert_eq!(
        written.lines().count(),
        happened.lines().count(),
        "{}: one goes on where the other ends",
        path.display()
    );
}
