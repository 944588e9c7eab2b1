//! `codegen`: makes the Rust types of our `.proto` files. The result is checked in, so that
//! nobody else needs the generator.

use std::{
    fs,
    path::{Path, PathBuf},
};

use prost_build::Module;

/// A `.proto` file and the folder its types go to, both under the root of the repository. The
/// Rust file has the name of the protobuf package.
struct Target {
    package: &'static str,
    proto: &'static str,
    folder: &'static str,
}

const TARGETS: &[Target] = &[Target {
    package: "p2p",
    proto: "crates/wire/proto/p2p.proto",
    folder: "crates/wire/src/generated",
}];

/// Writes the generated files or, with `check`, fails if one of them is not up to date.
pub(crate) fn run(check: bool) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no root")?;
    let mut stale = Vec::new();
    for target in TARGETS {
        let path = root.join(target.folder).join(format!("{}.rs", target.package));
        let text = generate(root, target)?;
        if check && fs::read_to_string(&path).is_ok_and(|found| found == text) {
            continue;
        }
        if check {
            stale.push(path.display().to_string());
        } else {
            fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    if stale.is_empty() {
        Ok(())
    } else {
        Err(format!("not up to date, run `cargo xtask codegen`: {}", stale.join(", ")))
    }
}

/// The Rust text of one target. Byte strings become `Bytes`, slices of what is decoded.
fn generate(root: &Path, target: &Target) -> Result<String, String> {
    let proto = root.join(target.proto);
    let include = proto.parent().map(PathBuf::from).unwrap_or_default();
    let set = protox::compile([&proto], [&include]).map_err(|error| error.to_string())?;
    let module = Module::from_protobuf_package_name(target.package);
    let requests = set.file.into_iter().map(|file| (module.clone(), file)).collect();
    let mut config = prost_build::Config::new();
    config.bytes(["."]);
    let mut modules = config.generate(requests).map_err(|error| error.to_string())?;
    modules.remove(&module).ok_or_else(|| format!("{}: nothing generated", target.proto))
}
