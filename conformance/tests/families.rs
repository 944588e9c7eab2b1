//! The table of families and the directory of vectors agree.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a file that is not as expected must fail the test"
)]

use std::{collections::BTreeSet, fs, path::Path};

use sastrugi_conformance::{
    Column, FAMILIES, Fields, Kind, all_cases, directory, read, trace_files,
};

/// Names of the families that have a file in `folder`.
fn names(folder: &Path, ending: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names = BTreeSet::new();
    for file in entries {
        let plain = file.strip_suffix(".zst").unwrap_or(&file);
        let stem = plain
            .strip_suffix(ending)
            .unwrap_or_else(|| panic!("{}: {file} is no vector", folder.display()));
        let family = stem.split_once('.').map_or(stem, |(family, _)| family);
        names.insert(family.to_owned());
    }
    assert!(!names.is_empty(), "{} is empty", folder.display());
    names
}

#[test]
fn every_family_is_in_the_table_and_every_row_has_its_files() {
    for (kind, folder, ending) in
        [(Kind::Bytes, "bytes", ".json"), (Kind::Trace, "traces", ".jsonl")]
    {
        let found = names(&directory().join(folder), ending);
        let listed: BTreeSet<_> =
            FAMILIES.iter().filter(|f| f.kind == kind).map(|f| f.name.to_owned()).collect();
        assert_eq!(found, listed, "files in {folder}/ against the table");
    }
    for family in FAMILIES.iter().filter(|family| family.kind == Kind::Trace) {
        for file in trace_files(family.name) {
            assert!(read(&file).is_some_and(|text| !text.is_empty()), "{}", file.display());
        }
    }
}

#[test]
fn every_replayed_family_has_its_replayer() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for family in FAMILIES {
        let name = family.name.replace('-', "_");
        let source = fs::read_to_string(tests.join(format!("{name}.rs"))).unwrap_or_default();
        let replayed = source.contains("#[test]") && source.contains(&format!("fn {name}()"));
        let listed = !matches!(family.column, Column::ComesWith(_));
        assert_eq!(replayed, listed, "{}: replayer and table disagree", family.name);
    }
}

#[test]
fn kinds_that_come_later_are_in_their_family_and_are_not_all_of_it() {
    for family in FAMILIES {
        let Column::InPart(later) = family.column else { continue };
        assert_eq!(family.kind, Kind::Bytes, "{}: traces have no kinds", family.name);
        let found: BTreeSet<_> = all_cases(family.name).iter().map(Fields::kind).collect();
        let listed: BTreeSet<_> = later.iter().map(|(kind, _)| (*kind).to_owned()).collect();
        assert_eq!(listed.len(), later.len(), "{}: a kind is listed twice", family.name);
        assert!(listed.is_subset(&found), "{}: {listed:?} against {found:?}", family.name);
        assert!(listed.len() < found.len(), "{}: nothing is replayed", family.name);
    }
}
