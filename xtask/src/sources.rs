//! The Rust sources of this repository.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

/// A source file, read and parsed.
pub(crate) struct Source {
    /// Relative to the root.
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) syntax: syn::File,
}

/// Every Rust file below `folder` (relative to the root) in the order of paths, without what was
/// generated.
pub(crate) fn below(folder: &str) -> Result<Vec<Source>, String> {
    let root = root();
    let mut files = Vec::new();
    collect(&root.join(folder), &mut files)?;
    files.sort();
    files.iter().map(|file| parse(&root, file)).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for entry in entries {
        let path = entry.map_err(|error| error.to_string())?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        match name.as_deref() {
            Some("target" | "generated") => {}
            Some(name) if name.starts_with('.') => {}
            _ if path.is_dir() => collect(&path, files)?,
            _ if path.extension().is_some_and(|ending| ending == "rs") => files.push(path),
            _ => {}
        }
    }
    Ok(())
}

fn parse(root: &Path, file: &Path) -> Result<Source, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let path = file.strip_prefix(root).unwrap_or(file).display().to_string();
    let syntax = syn::parse_file(&text).map_err(|error| format!("{path}: {error}"))?;
    Ok(Source { path, text, syntax })
}
