//! The house rules, as a test.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const LINE_COLUMNS_MAX: usize = 100;
const FILE_LINES_MAX: usize = 600;

/// Names that say nothing of what is in the file.
const EMPTY_NAMES: [&str; 9] = [
    "common.rs",
    "helper.rs",
    "helpers.rs",
    "impls.rs",
    "manager.rs",
    "misc.rs",
    "mod.rs",
    "types.rs",
    "utils.rs",
];

/// Who must not know whom: a package, and what may not be among its dependencies.
const FORBIDDEN: [(&str, &[&str]); 14] = [
    ("vsr", &["compio", "flume", "rand", "tracing", "quorate-"]),
    (
        "log",
        &[
            "quorate-vsr",
            "quorate-wire",
            "quorate-client",
            "quorate-replica",
        ],
    ),
    ("log/batch", &["compio", "tracing", "quorate-"]),
    ("client", &["quorate-vsr", "quorate-log", "quorate-replica"]),
    ("client/platform", &["quorate-"]),
    (
        "client/wire",
        &["compio", "quorate-vsr", "quorate-log", "quorate-replica"],
    ),
    (
        "replica",
        &[
            "stateright",
            "turmoil",
            "quorate-model",
            "quorate-vsr-sabotaged",
            "quorate-jepsen",
        ],
    ),
    (
        "model",
        &["compio", "quorate-log", "quorate-client", "quorate-replica"],
    ),
    (
        "model/sabotaged",
        &["compio", "flume", "rand", "tracing", "quorate-"],
    ),
    (
        "model/sabotaged/model",
        &["compio", "quorate-log", "quorate-client", "quorate-replica"],
    ),
    ("jepsen", &["compio", "quorate-"]),
    ("tests", &["quorate-model", "quorate-vsr-sabotaged"]),
    ("tests/sabotaged", &["quorate-model"]),
    (
        "tests/sabotaged/replica",
        &["stateright", "turmoil", "quorate-model", "quorate-jepsen"],
    ),
];

/// What is meant to be gone before a commit. Put together here so that this file passes.
fn leftovers() -> [String; 5] {
    [
        ("dbg", "!("),
        ("todo", "!("),
        ("unimplemented", "!("),
        ("FIX", "ME"),
        ("XX", "X:"),
    ]
    .map(|(a, b)| format!("{a}{b}"))
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent()
        .expect("this package lies in a folder of the workspace")
        .to_owned()
}

/// The folders of all packages, as the workspace lists them.
fn packages() -> Vec<String> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let line = manifest
        .lines()
        .find(|line| line.starts_with("members = "))
        .unwrap();
    line.split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// The source files of a package, without those of packages inside its folder.
fn sources(package: &str) -> Vec<PathBuf> {
    let folders = ["src", "tests", "examples", "benches"];
    let mut files = Vec::new();
    for folder in folders {
        collect(&root().join(package).join(folder), &mut files);
    }
    files
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
}

fn all_sources() -> Vec<(PathBuf, String)> {
    let files = packages().into_iter().flat_map(|package| sources(&package));
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path.strip_prefix(root()).unwrap().to_owned(), text)
    };
    files.map(read).collect()
}

#[track_caller]
fn assert_none(rule: &str, offenders: Vec<String>) {
    assert!(
        offenders.is_empty(),
        "{rule}:\n  {}",
        offenders.join("\n  ")
    );
}

#[test]
fn all_rooms_are_looked_at() {
    let packages = packages();
    for (package, _) in FORBIDDEN {
        assert!(
            packages.iter().any(|known| known == package),
            "no package {package}"
        );
    }
    assert_eq!(
        packages.len(),
        FORBIDDEN.len(),
        "a package has no rule: {packages:?}"
    );
    assert!(all_sources().len() > 50);
}

#[test]
fn lines_fit_the_width() {
    let mut offenders = Vec::new();
    for (path, text) in all_sources() {
        for (number, line) in (1..).zip(text.lines()) {
            if line.chars().count() > LINE_COLUMNS_MAX {
                offenders.push(format!("{}:{number}", path.display()));
            }
        }
    }
    assert_none("lines have at most 100 columns", offenders);
}

#[test]
fn files_fit_into_a_head() {
    let long = |(path, text): (PathBuf, String)| {
        let lines = text.lines().count();
        (lines > FILE_LINES_MAX).then(|| format!("{}: {lines}", path.display()))
    };
    let offenders = all_sources().into_iter().filter_map(long).collect();
    assert_none("files have at most 600 lines", offenders);
}

#[test]
fn file_names_say_what_is_inside() {
    let empty = |(path, _): (PathBuf, String)| {
        let name = path.file_name()?.to_str()?;
        EMPTY_NAMES
            .contains(&name)
            .then(|| path.display().to_string())
    };
    let offenders = all_sources().into_iter().filter_map(empty).collect();
    assert_none("a file is named after the one thing in it", offenders);
}

#[test]
fn nothing_unfinished_is_left_behind() {
    let mut offenders = Vec::new();
    for (path, text) in all_sources() {
        for leftover in leftovers() {
            if text.contains(&leftover) {
                offenders.push(format!("{}: {leftover}", path.display()));
            }
        }
    }
    assert_none("no leftovers", offenders);
}

/// The names under `[dependencies]`; what only tests need is free.
fn dependencies(package: &str) -> Vec<String> {
    let manifest = fs::read_to_string(root().join(package).join("Cargo.toml")).unwrap();
    let lines = manifest
        .lines()
        .skip_while(|line| line.trim() != "[dependencies]")
        .skip(1);
    let section = lines.take_while(|line| !line.starts_with('['));
    let name = |line: &str| {
        let end = line.find([' ', '.', '=']).unwrap_or(line.len());
        line[..end].to_owned()
    };
    section
        .map(name)
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .collect()
}

#[test]
fn rooms_know_only_whom_they_may() {
    let mut offenders = Vec::new();
    for (package, forbidden) in FORBIDDEN {
        for dependency in dependencies(package) {
            if forbidden.iter().any(|word| dependency.starts_with(word)) {
                offenders.push(format!("{package} must not know {dependency}"));
            }
        }
    }
    assert_none("the README says who knows whom", offenders);
}

/// Files that cargo reaches by itself: roots of libraries, programs, tests and examples.
fn roots(package: &str, files: &[PathBuf]) -> BTreeSet<PathBuf> {
    let folder = root().join(package);
    let is_root = |path: &&PathBuf| {
        let inside = path
            .strip_prefix(&folder)
            .expect("sources lie in their package");
        let parts: Vec<_> = inside.iter().filter_map(|part| part.to_str()).collect();
        let is_library_or_program = matches!(parts[..], ["src", "lib.rs" | "main.rs"]);
        let stands_alone = matches!(
            parts[..],
            ["tests" | "examples" | "benches", _] | ["tests", _, "main.rs"]
        );
        is_library_or_program || stands_alone
    };
    files.iter().filter(is_root).cloned().collect()
}

/// The modules that a file declares, as the files in which they may lie.
fn declared(path: &Path, text: &str, is_root: bool) -> Vec<PathBuf> {
    let stem = path.file_stem().expect("a source file has a name");
    let parent = path.parent().expect("a source file has a folder");
    let folder = if is_root {
        parent.to_owned()
    } else {
        parent.join(stem)
    };
    let module = |line: &str| {
        let line = line.trim().strip_suffix(';')?;
        let words: Vec<_> = line.split_whitespace().collect();
        let at = words.iter().position(|word| *word == "mod")?;
        let only_visibility = words[..at].iter().all(|word| word.starts_with("pub"));
        (only_visibility && words.len() == at + 2).then(|| words[at + 1].to_owned())
    };
    let told = |line: &str| {
        let path = line.trim().strip_prefix("#[path = \"")?;
        Some(parent.join(path.strip_suffix("\"]")?))
    };
    let mut lines = text.lines().peekable();
    let mut files = Vec::new();
    while let Some(line) = lines.next() {
        // The attribute stands before the module whose file it names.
        if let Some(path) = told(line) {
            files.push(path);
            lines.next_if(|line| module(line).is_some());
        } else if let Some(name) = module(line) {
            files.push(folder.join(format!("{name}.rs")));
        }
    }
    files
}

#[test]
fn every_file_is_reached_from_a_module() {
    let mut offenders = Vec::new();
    for package in packages() {
        let files = sources(&package);
        let roots = roots(&package, &files);
        let mut reached = BTreeSet::new();
        let mut open: Vec<PathBuf> = roots.iter().cloned().collect();
        while let Some(path) = open.pop() {
            if let Ok(text) = fs::read_to_string(&path)
                && reached.insert(path.clone())
            {
                open.extend(declared(&path, &text, roots.contains(&path)));
            }
        }
        let lost = files.iter().filter(|path| !reached.contains(*path));
        offenders.extend(lost.map(|path| path.display().to_string()));
    }
    assert_none("no file lies about that nothing includes", offenders);
}

#[test]
fn readers_of_manifests_and_modules_read_them_right() {
    let manifest = dependencies("log");
    assert!(
        manifest.contains(&"quorate-batch".to_owned()),
        "{manifest:?}"
    );
    assert!(!manifest.contains(&"tempfile".to_owned()), "{manifest:?}");
    let text = "mod a;\npub(crate) mod b;\n// mod c;\nuse mod_d;\nmod e {\n";
    let found = declared(Path::new("/s/x.rs"), text, false);
    assert_eq!(found, [Path::new("/s/x/a.rs"), Path::new("/s/x/b.rs")]);
    assert_eq!(
        declared(Path::new("/s/lib.rs"), "mod a;", true),
        [Path::new("/s/a.rs")]
    );
    let text = "#[path = \"x/b.rs\"]\nmod b;\nmod c;";
    assert_eq!(
        declared(Path::new("/t/x.rs"), text, true),
        [Path::new("/t/x/b.rs"), Path::new("/t/c.rs")]
    );
}
