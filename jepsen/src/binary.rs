//! Finds the `quorate` binary that belongs to the code which is running.
//!
//! Under cargo the binary may be missing or older than the sources, and a test against yesterday's
//! node is worse than none: so cargo is asked to bring it up to date, which takes no time when it
//! is. Without cargo it lies next to the harness. `QUORATE_BIN` overrides both.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::Failure;

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
        build(Path::new(&cargo), &profile_folder)?;
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

fn build(cargo: &Path, profile_folder: &Path) -> Result<(), Failure> {
    let folder_name = profile_folder.file_name().and_then(|name| name.to_str());
    let profile = match folder_name {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let target_folder = profile_folder.parent().unwrap_or(profile_folder);
    // With the whole workspace selected the dependencies have the features that they had when
    // this harness was built, so nothing is built twice.
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
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
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
    use super::*;

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
