//! `layers`: the direction of dependencies.

use std::process::Command;

use serde_json::Value;

use crate::sources;

/// For each crate the crates of this repository it may use. A crate that is missing here may not
/// be used by any of them.
const ROOMS: &[(&str, &[&str])] = &[
    ("sastrugi-types", &[]),
    ("sastrugi-crypto", &["sastrugi-types"]),
    ("sastrugi-vm", &["sastrugi-crypto", "sastrugi-types"]),
    ("sastrugi-consensus", &["sastrugi-types"]),
    ("sastrugi-kvvm", &["sastrugi-types", "sastrugi-vm"]),
    ("sastrugi-proposervm", &["sastrugi-crypto", "sastrugi-types", "sastrugi-vm"]),
    ("sastrugi-wire", &["sastrugi-crypto", "sastrugi-types"]),
    ("sastrugi-engine", &["sastrugi-consensus", "sastrugi-types", "sastrugi-vm"]),
    ("sastrugi-net", &["sastrugi-crypto", "sastrugi-types", "sastrugi-wire"]),
    (
        "sastrugi",
        &[
            "sastrugi-consensus",
            "sastrugi-crypto",
            "sastrugi-engine",
            "sastrugi-kvvm",
            "sastrugi-net",
            "sastrugi-proposervm",
            "sastrugi-types",
            "sastrugi-vm",
            "sastrugi-wire",
        ],
    ),
];

/// The crates above the firewall: the only ones that may use [`RUNTIMES`], directly or not.
const ABOVE_FIREWALL: &[&str] = &["sastrugi-net", "sastrugi"];

/// What exists only above the firewall.
const RUNTIMES: &[&str] = &["tokio", "rustls", "tonic", "axum", "hyper", "fjall"];

/// Checks the manifests.
pub(crate) fn run() -> Result<(), String> {
    let mut faults = Vec::new();
    for package in packages()? {
        let name = text(&package["name"]);
        let Some((_, allowed)) = ROOMS.iter().find(|(room, _)| *room == name) else {
            continue;
        };
        for dependency in normal_dependencies(&package) {
            if dependency.starts_with("sastrugi") && !allowed.contains(&dependency.as_str()) {
                faults.push(format!("{name} must not depend on {dependency}"));
            }
        }
        if !ABOVE_FIREWALL.contains(&name.as_str()) {
            faults.extend(runtimes_of(&name)?);
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
}

/// The members of the workspace as cargo describes them.
fn packages() -> Result<Vec<Value>, String> {
    let output = cargo(&["metadata", "--format-version", "1", "--no-deps", "--offline"])?;
    let metadata: Value = serde_json::from_str(&output).map_err(|error| error.to_string())?;
    let packages = metadata["packages"].as_array().cloned().unwrap_or_default();
    if packages.is_empty() { Err("cargo metadata lists no packages".into()) } else { Ok(packages) }
}

/// The names of a package's dependencies outside tests and build scripts.
fn normal_dependencies(package: &Value) -> Vec<String> {
    let dependencies = package["dependencies"].as_array().cloned().unwrap_or_default();
    dependencies
        .iter()
        .filter(|dependency| dependency["kind"].is_null())
        .map(|dependency| text(&dependency["name"]))
        .collect()
}

/// A fault for each runtime in the dependency tree of a crate below the firewall.
fn runtimes_of(name: &str) -> Result<Vec<String>, String> {
    let tree =
        cargo(&["tree", "--offline", "--package", name, "--edges", "normal", "--prefix", "none"])?;
    let used = |runtime: &&&str| {
        tree.lines().any(|line| line.split_whitespace().next() == Some(**runtime))
    };
    let faults = RUNTIMES.iter().filter(used);
    Ok(faults.map(|runtime| format!("{name} is below the firewall and uses {runtime}")).collect())
}

fn cargo(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(sources::root())
        .output()
        .map_err(|error| format!("cargo: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
