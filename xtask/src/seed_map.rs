//! `seed-map`: every exported name of the seed is found in `engine::common`.
//!
//! A name is found when an item that `engine::common` defines or re-exports inline carries it, as
//! its own name or as a `#[doc(alias)]`; a member (`Type.Member`) when the item that answers to
//! the type has such a member. Own names count because rustdoc refuses an alias equal to the name.

use std::collections::{BTreeMap, BTreeSet};

use syn::{Attribute, Fields, Ident, ImplItem, Item, TraitItem, UseTree};

use crate::sources;

const SEED: &str = include_str!("../seed.txt");
const COMMON: &str = "crates/engine/src/common";
const VM: &str = "crates/vm/src";

/// The names an item answers to, and those its members answer to.
#[derive(Default)]
struct Entry {
    names: BTreeSet<String>,
    members: BTreeSet<String>,
}

/// Checks every line of the seed.
pub(crate) fn run() -> Result<(), String> {
    let mut entries = BTreeMap::new();
    let exported = exports(&format!("{COMMON}/mod.rs"))?;
    for folder in [COMMON, VM] {
        for source in sources::below(folder)? {
            for item in &source.syntax.items {
                record(item, &mut entries);
            }
        }
    }
    entries.retain(|name, _| exported.contains(name));
    let missing: Vec<&str> =
        SEED.lines().filter(|line| is_entry(line) && !is_found(line, &entries)).collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(format!("not found in engine::common:\n{}", missing.join("\n")))
    }
}

fn is_entry(line: &str) -> bool {
    !line.is_empty() && !line.starts_with('#')
}

fn is_found(line: &str, entries: &BTreeMap<String, Entry>) -> bool {
    let name = line.split_whitespace().nth(1).unwrap_or_default();
    match name.split_once('.') {
        Some((owner, member)) => entries
            .values()
            .any(|entry| entry.names.contains(owner) && entry.members.contains(member)),
        None => {
            entries.values().any(|entry| entry.names.contains(name) || entry.members.contains(name))
        }
    }
}

/// The names that the module re-exports with `pub use`, from its own files or inline from `vm`,
/// including what its public submodules define.
fn exports(file: &str) -> Result<BTreeSet<String>, String> {
    let sources = sources::below(COMMON)?;
    let module = sources
        .iter()
        .find(|source| source.path == file)
        .ok_or_else(|| format!("{file} is missing"))?;
    let mut names = BTreeSet::new();
    for item in &module.syntax.items {
        let Item::Use(item) = item else { continue };
        if matches!(item.vis, syn::Visibility::Public(_)) && is_inline(&item.tree, &item.attrs) {
            leaves(&item.tree, &mut names);
        }
    }
    Ok(names)
}

/// Re-exports of other crates must say `#[doc(inline)]`, or rustdoc shows only a link.
fn is_inline(tree: &UseTree, attributes: &[Attribute]) -> bool {
    let UseTree::Path(path) = tree else { return true };
    path.ident != "sastrugi_vm"
        || attributes.iter().any(|attribute| {
            attribute.meta.require_list().is_ok_and(|list| list.tokens.to_string() == "inline")
        })
}

fn leaves(tree: &UseTree, names: &mut BTreeSet<String>) {
    match tree {
        UseTree::Path(path) => leaves(&path.tree, names),
        UseTree::Group(group) => group.items.iter().for_each(|tree| leaves(tree, names)),
        UseTree::Name(name) => {
            names.insert(name.ident.to_string());
        }
        UseTree::Rename(rename) => {
            names.insert(rename.rename.to_string());
        }
        UseTree::Glob(_) => {}
    }
}

/// Notes the names of an item and of its members.
fn record(item: &Item, entries: &mut BTreeMap<String, Entry>) {
    match item {
        Item::Struct(item) => {
            let entry = entry(&item.ident, &item.attrs, entries);
            if let Fields::Named(fields) = &item.fields {
                for field in &fields.named {
                    entry.members.extend(names(field.ident.as_ref(), &field.attrs));
                }
            }
        }
        Item::Enum(item) => {
            let entry = entry(&item.ident, &item.attrs, entries);
            for variant in &item.variants {
                entry.members.extend(names(Some(&variant.ident), &variant.attrs));
            }
        }
        Item::Trait(item) => {
            let entry = entry(&item.ident, &item.attrs, entries);
            for member in &item.items {
                if let TraitItem::Fn(function) = member {
                    entry.members.extend(names(Some(&function.sig.ident), &function.attrs));
                }
            }
        }
        Item::Fn(item) => {
            entry(&item.sig.ident, &item.attrs, entries);
        }
        Item::Impl(item) => record_impl(item, entries),
        _ => {}
    }
}

fn record_impl(item: &syn::ItemImpl, entries: &mut BTreeMap<String, Entry>) {
    let syn::Type::Path(path) = &*item.self_ty else { return };
    let Some(segment) = path.path.segments.last() else { return };
    let entry = entries.entry(segment.ident.to_string()).or_default();
    for member in &item.items {
        match member {
            ImplItem::Fn(item) => entry.members.extend(names(Some(&item.sig.ident), &item.attrs)),
            ImplItem::Const(item) => entry.members.extend(names(Some(&item.ident), &item.attrs)),
            _ => {}
        }
    }
}

fn entry<'a>(
    ident: &Ident,
    attributes: &[Attribute],
    entries: &'a mut BTreeMap<String, Entry>,
) -> &'a mut Entry {
    let entry = entries.entry(ident.to_string()).or_default();
    entry.names.extend(names(Some(ident), attributes));
    entry
}

/// An item's own name and its aliases.
fn names(ident: Option<&Ident>, attributes: &[Attribute]) -> Vec<String> {
    let mut names: Vec<String> = ident.map(ToString::to_string).into_iter().collect();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("doc")) {
        let alias = attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("alias") {
                let text: syn::LitStr = meta.value()?.parse()?;
                names.push(text.value());
            }
            Ok(())
        });
        // A doc comment is an attribute without a list; it names nothing.
        drop(alias);
    }
    names
}
