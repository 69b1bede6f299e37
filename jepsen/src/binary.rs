//! Finds the `quorate` binary that belongs to the code which is running.
//!
//! Under cargo the binary may be missing or older than the sources, and a test against yesterday's
//! node is worse than none: then cargo is asked to bring it up to date. Without cargo it lies next
//! to the harness. `QUORATE_BIN` overrides both.

mod sources;

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::Failure;
use sources::sources;

/// The manifest of the workspace that this harness was built from.
const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");

/// The path of the `quorate` binary, built first where needed.
pub fn quorate_binary() -> Result<PathBuf, Failure> {
    static BINARY: OnceLock<Result<PathBuf, Failure>> = OnceLock::new();
    BINARY.get_or_init(find).clone()
}

fn find() -> Result<PathBuf, Failure> {
    if let Some(path) = env::var_os("QUORATE_BIN") {
        return existing(PathBuf::from(path), "QUORATE_BIN names");
    }
    let me = env::current_exe().map_err(Failure::of("looking for the harness's own path"))?;
    let profile_folder = profile_folder(&me);
    if let Some(cargo) = env::var_os("CARGO") {
        let cargo = Path::new(&cargo);
        let sources = sources(cargo, Path::new(MANIFEST), "quorate-replica")?;
        if !is_up_to_date(&profile_folder.join("quorate"), &sources) {
            build(cargo, &profile_folder)?;
        }
    }
    existing(
        profile_folder.join("quorate"),
        "built by `cargo build -p quorate-replica`,",
    )
}

/// The folder of the profile, such as `target/debug`. Tests lie one folder deeper.
fn profile_folder(executable: &Path) -> PathBuf {
    let folder = executable.parent().unwrap_or(Path::new("."));
    let is_test = folder.file_name().is_some_and(|name| name == "deps");
    let folder = if is_test {
        folder.parent().unwrap_or(folder)
    } else {
        folder
    };
    folder.to_owned()
}

/// Whether the binary is newer than every file that it is made of. This spares waiting for whoever
/// else is building, and building again what whoever tests the workspace has with other features.
fn is_up_to_date(binary: &Path, sources: &[PathBuf]) -> bool {
    let changed = |path: &Path| {
        path.metadata()
            .and_then(|metadata| metadata.modified())
            .ok()
    };
    let Some(built) = changed(binary) else {
        return false;
    };
    let is_older = |path: &PathBuf| changed(path).is_some_and(|changed| changed < built);
    !sources.is_empty() && sources.iter().all(is_older)
}

fn build(cargo: &Path, profile_folder: &Path) -> Result<(), Failure> {
    let folder_name = profile_folder.file_name().and_then(|name| name.to_str());
    let profile = match folder_name {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let target_folder = profile_folder.parent().unwrap_or(profile_folder);
    // With the whole workspace selected the dependencies have the features that they had when
    // this harness was built, so nothing is built twice. Only the tests of the whole workspace have
    // more of them, and with those the binary is built before anybody asks for it.
    let output = Command::new(cargo)
        .args([
            "build",
            "--quiet",
            "--workspace",
            "--bin",
            "quorate",
            "--profile",
            profile,
        ])
        .arg("--target-dir")
        .arg(target_folder)
        .arg("--manifest-path")
        .arg(MANIFEST)
        .output()
        .map_err(Failure::of("running cargo to build `quorate`"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(format!(
        "cargo could not build `quorate`:\n{said}"
    )))
}

fn existing(path: PathBuf, whence: &str) -> Result<PathBuf, Failure> {
    if path.is_file() {
        return Ok(path);
    }
    Err(Failure::new(format!(
        "{whence} {} but there is no such file",
        path.display()
    )))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn binary_is_up_to_date_until_one_of_its_sources_changes() {
        let folder = tempfile::tempdir().unwrap();
        let (source, binary) = (folder.path().join("a.rs"), folder.path().join("quorate"));
        let is_current = |sources: &[&PathBuf]| {
            let sources: Vec<_> = sources.iter().map(|path| path.to_path_buf()).collect();
            is_up_to_date(&binary, &sources)
        };
        fs::write(&source, "old").unwrap();
        assert!(!is_current(&[&source]), "it is not there");
        fs::write(&binary, "binary").unwrap();
        assert!(!is_current(&[]), "what it is made of is not known");
        let later = SystemTime::now() + Duration::from_secs(1);
        let set = |path: &Path, time| {
            fs::File::options()
                .write(true)
                .open(path)
                .unwrap()
                .set_modified(time)
                .unwrap();
        };
        set(&binary, later);
        assert!(is_current(&[&source]));
        let gone = folder.path().join("gone.rs");
        assert!(!is_current(&[&source, &gone]), "one of the sources is gone");
        set(&source, later);
        assert!(!is_current(&[&source]), "the source is not older");
    }

    #[test]
    fn profile_folder_is_found_from_binaries_and_from_tests() {
        let of = |path: &str| profile_folder(Path::new(path));
        assert_eq!(
            of("/t/target/release/quorate-jepsen"),
            Path::new("/t/target/release")
        );
        assert_eq!(
            of("/t/target/debug/deps/kill-0a1b"),
            Path::new("/t/target/debug")
        );
    }
}
