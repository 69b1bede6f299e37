//! The files of the workspace that a package is built from.
//!
//! Cargo writes such a list next to a binary that was asked for by name, but not next to one that
//! is built because the tests of its package may start it. So cargo is asked who depends on whom,
//! and all that lies in the source folders of those packages counts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use serde::Deserialize;

use crate::Failure;

#[derive(Debug, Deserialize)]
struct Workspace {
    packages: Vec<Package>,
    workspace_root: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Target {
    kind: Vec<String>,
    src_path: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    /// None for what the package itself needs, not only its tests or its build.
    kind: Option<String>,
    /// Only for packages that are not taken from a registry.
    path: Option<PathBuf>,
}

/// The sources and manifests of the package and of all packages of the workspace that it needs,
/// and the list of what is taken from elsewhere.
pub(super) fn sources(
    cargo: &Path,
    manifest: &Path,
    package: &str,
) -> Result<Vec<PathBuf>, Failure> {
    let workspace = workspace(cargo, manifest)?;
    let root = &workspace.workspace_root;
    let mut files = vec![root.join("Cargo.lock"), root.join("Cargo.toml")];
    for package in needed(&workspace.packages, package) {
        files.push(package.manifest_path.clone());
        let targets = package.targets.iter();
        let folders: BTreeSet<_> = targets
            .filter(|it| it.kind.iter().any(|kind| kind == "lib" || kind == "bin"))
            .filter_map(|it| it.src_path.parent())
            .collect();
        for folder in folders {
            let doing = format!("listing the sources in {}", folder.display());
            list(folder, &mut files).map_err(Failure::of(doing))?;
        }
    }
    Ok(files)
}

fn workspace(cargo: &Path, manifest: &Path) -> Result<Workspace, Failure> {
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .arg("--manifest-path")
        .arg(manifest)
        .output()
        .map_err(Failure::of("running cargo to list the packages"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::new(format!(
            "cargo could not list the packages of {}:\n{said}",
            manifest.display()
        )));
    }
    serde_json::from_slice(&output.stdout).map_err(Failure::of("reading cargo's list of packages"))
}

/// The package, and whatever it needs.
fn needed<'a>(packages: &'a [Package], name: &str) -> Vec<&'a Package> {
    let named = |name: &str| packages.iter().find(|package| package.name == name);
    let mut found: Vec<_> = named(name).into_iter().collect();
    let mut next = 0;
    while let Some(package) = found.get(next) {
        let needs = package.dependencies.iter();
        let needs = needs.filter(|it| it.path.is_some() && it.kind.as_deref() != Some("dev"));
        for package in needs.filter_map(|it| named(&it.name)) {
            if !found.iter().any(|known| known.name == package.name) {
                found.push(package);
            }
        }
        next += 1;
    }
    found
}

/// All files below the folder but unit tests that have a file of their own: the binary is not
/// built again for them.
fn list(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.file_stem().is_some_and(|stem| stem == "tests") {
            continue;
        }
        if path.is_dir() {
            list(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_is_made_of_its_own_files_and_of_those_of_the_rooms_that_it_needs() {
        let manifest = Path::new(super::super::MANIFEST);
        let cargo = Path::new(env!("CARGO"));
        let files = sources(cargo, manifest, "quorate-replica").unwrap();
        let has = |end: &str| files.iter().any(|file| file.ends_with(end));
        for end in [
            "Cargo.lock",
            "replica/Cargo.toml",
            "replica/src/main.rs",
            "replica/src/shard/produce.rs",
            "vsr/src/lib.rs",
            "log/batch/src/lib.rs",
            "client/wire/src/lib.rs",
        ] {
            assert!(has(end), "{end} is missing");
        }
        for end in [
            "jepsen/src/lib.rs",
            "tests/src/lib.rs",
            "model/src/lib.rs",
            "replica/tests/control_plane.rs",
            "replica/src/metadata/member/tests.rs",
        ] {
            assert!(!has(end), "{end} is no part of a node");
        }
    }
}
