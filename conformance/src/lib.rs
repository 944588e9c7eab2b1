//! Loads the vectors that were taken from AvalancheGo and hands them to the replayers in `tests/`.
//!
//! A family is one file of bytes (`bytes/<family>.json`) or a trace that may continue over several
//! files (`traces/<family>.jsonl`, `traces/<family>.2.jsonl`, …), plain or compressed (`.zst`).
//! [`FAMILIES`] says for each who replays it. The directory is `vectors/` of this package, or the
//! one named by the environment variable `SASTRUGI_VECTORS`.
//!
//! This package only serves tests, so it panics with a message where a file is not as expected.
//!
//! Replayers read every field: [`Fields::finish`] fails when one was left unread.

#![expect(clippy::panic, reason = "a wrong vector file must fail the test that reads it")]

mod families;
mod fields;

pub use families::{Column, FAMILIES, Family, Kind, exceptions};
pub use fields::Fields;

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

/// The directory the vectors are read from.
pub fn directory() -> PathBuf {
    std::env::var_os("SASTRUGI_VECTORS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors"), PathBuf::from)
}

/// The cases of a family of bytes that are replayed, in file order.
pub fn cases(family: &str) -> Vec<Fields> {
    let column = FAMILIES.iter().find(|row| row.name == family).map(|row| row.column);
    let column = column.unwrap_or_else(|| panic!("{family}: not in the table"));
    let mut cases = all_cases(family);
    if let Column::InPart(_) = column {
        cases.retain(|case| column.comes_with(&case.kind()).is_none());
    }
    cases
}

/// All cases of a family of bytes, in file order.
pub fn all_cases(family: &str) -> Vec<Fields> {
    let path = directory().join("bytes").join(format!("{family}.json"));
    let text = read(&path).unwrap_or_else(|| panic!("{} is missing", path.display()));
    let Value::Object(mut file) = parse(&path, &text) else {
        panic!("{}: not an object", path.display())
    };
    for key in ["source", "schema", "seed"] {
        file.remove(key);
    }
    let Some(Value::Array(cases)) = file.remove("cases") else {
        panic!("{}: no cases", path.display())
    };
    assert!(file.is_empty(), "{}: unknown keys {:?}", path.display(), file.keys());
    assert!(!cases.is_empty(), "{}: no cases", path.display());
    cases.into_iter().map(|case| Fields::named(family, case)).collect()
}

/// The traces of a family, in file order.
pub fn traces(family: &str) -> Vec<Fields> {
    let mut traces = Vec::new();
    for path in trace_files(family) {
        let text = read(&path).unwrap_or_else(|| panic!("{} is missing", path.display()));
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            traces.push(Fields::named(family, parse(&path, line)));
        }
    }
    assert!(!traces.is_empty(), "{family}: no traces");
    traces
}

/// The files of a trace family without the ending `.zst`; the first one always, then each
/// continuation that exists.
pub fn trace_files(family: &str) -> Vec<PathBuf> {
    let folder = directory().join("traces");
    let mut files = vec![folder.join(format!("{family}.jsonl"))];
    for number in 2.. {
        let next = folder.join(format!("{family}.{number}.jsonl"));
        if !next.exists() && !compressed(&next).exists() {
            return files;
        }
        files.push(next);
    }
    files
}

/// The text of a file or of its compressed twin; `None` when there is neither.
pub fn read(path: &Path) -> Option<String> {
    if let Ok(text) = fs::read_to_string(path) {
        return Some(text);
    }
    let packed = fs::read(compressed(path)).ok()?;
    let bytes = zstd::decode_all(packed.as_slice())
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Some(String::from_utf8(bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

fn compressed(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".zst");
    PathBuf::from(name)
}

fn parse(path: &Path, text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
