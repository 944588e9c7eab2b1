//! `tidy`: lengths of functions and files, forbidden words, documentation of public items.

use proc_macro2::Span;
use syn::{
    Attribute, Field, ImplItemFn, Item, ItemFn, ItemMod, TraitItem, TraitItemFn, Variant,
    Visibility, spanned::Spanned, visit::Visit,
};

use crate::sources::{self, Source};

/// Longest function, in lines from its signature to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;
/// Longest file, in lines, its tests not counted.
const FILE_LINES_MAX: usize = 800;
/// Longest test module inside a source file, in lines; a longer one moves to a file of its own.
const INLINE_TESTS_LINES_MAX: usize = 200;

/// Words that mark something half done, split so that this file does not contain them.
const FORBIDDEN: &[&str] = &[
    concat!("todo", "!"),
    concat!("unimplemented", "!"),
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("for ", "now"),
    concat!("ha", "ck"),
    concat!("place", "holder"),
];

/// The folders that hold sources.
const FOLDERS: &[&str] = &["crates", "benchkit", "conformance", "xtask"];

/// Checks all sources.
pub(crate) fn run() -> Result<(), String> {
    let mut faults = Vec::new();
    for folder in FOLDERS.iter().filter(|folder| sources::root().join(folder).exists()) {
        for source in sources::below(folder)? {
            check_words(&source, &mut faults);
            check_items(&source, &mut faults);
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
}

/// Forbidden words, as whole words, wherever they stand.
fn check_words(source: &Source, faults: &mut Vec<String>) {
    for (number, line) in source.text.lines().enumerate() {
        for word in FORBIDDEN.iter().filter(|word| contains_word(line, word)) {
            faults.push(format!("{}:{}: \"{word}\"", source.path, number + 1));
        }
    }
}

fn contains_word(line: &str, word: &str) -> bool {
    let is_letter = |letter: char| letter.is_alphanumeric() || letter == '_';
    line.match_indices(word).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + word.len()..].chars().next();
        !before.is_some_and(is_letter) && !after.is_some_and(is_letter)
    })
}

fn check_items(source: &Source, faults: &mut Vec<String>) {
    let is_test_file = is_test_file(&source.path);
    let mut walk = Walk { source, faults, test_lines: 0, in_tests: is_test_file };
    walk.visit_file(&source.syntax);
    let lines = source.text.lines().count() - walk.test_lines;
    if !is_test_file && lines > FILE_LINES_MAX {
        walk.fault_at(1, &format!("the file has {lines} lines, {FILE_LINES_MAX} are allowed"));
    }
}

/// Whether the whole file is a test, a bench or serves only these.
fn is_test_file(path: &str) -> bool {
    let mut folders = path.split('/');
    folders.any(|folder| matches!(folder, "tests" | "benches" | "conformance"))
        || path.ends_with("tests.rs")
}

struct Walk<'a> {
    source: &'a Source,
    faults: &'a mut Vec<String>,
    /// Lines of the test modules seen.
    test_lines: usize,
    in_tests: bool,
}

impl Walk<'_> {
    fn fault_at(&mut self, line: usize, fault: &str) {
        self.faults.push(format!("{}:{line}: {fault}", self.source.path));
    }

    fn function(&mut self, name: &str, signature: Span, body: Span) {
        let lines = body.end().line.saturating_sub(signature.start().line) + 1;
        if lines > FUNCTION_LINES_MAX {
            let fault = format!("{name} has {lines} lines, {FUNCTION_LINES_MAX} are allowed");
            self.fault_at(signature.start().line, &fault);
        }
    }

    fn documented(&mut self, visibility: &Visibility, attributes: &[Attribute], span: Span) {
        let is_documented = attributes.iter().any(|attribute| attribute.path().is_ident("doc"));
        if matches!(visibility, Visibility::Public(_)) && !is_documented && !self.in_tests {
            self.fault_at(span.start().line, "a public item without documentation");
        }
    }
}

impl<'ast> Visit<'ast> for Walk<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let (visibility, attributes) = match item {
            Item::Const(item) => (&item.vis, &item.attrs),
            Item::Enum(item) => (&item.vis, &item.attrs),
            Item::Fn(item) => (&item.vis, &item.attrs),
            Item::Static(item) => (&item.vis, &item.attrs),
            Item::Struct(item) => (&item.vis, &item.attrs),
            Item::Trait(item) => (&item.vis, &item.attrs),
            Item::Type(item) => (&item.vis, &item.attrs),
            _ => return syn::visit::visit_item(self, item),
        };
        self.documented(visibility, attributes, item.span());
        syn::visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        let is_test = module.attrs.iter().any(|attribute| {
            attribute.meta.require_list().is_ok_and(|list| list.tokens.to_string() == "test")
        });
        let was_in_tests = self.in_tests;
        if is_test {
            self.in_tests = true;
            let (start, end) = (module.span().start().line, module.span().end().line);
            let lines = end.saturating_sub(start) + 1;
            self.test_lines += lines;
            if lines > INLINE_TESTS_LINES_MAX {
                let fault = format!("{lines} lines of tests, move them to a file of their own");
                self.fault_at(start, &fault);
            }
        }
        syn::visit::visit_item_mod(self, module);
        self.in_tests = was_in_tests;
    }

    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        self.function(&function.sig.ident.to_string(), function.sig.span(), function.block.span());
        syn::visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        self.function(&function.sig.ident.to_string(), function.sig.span(), function.block.span());
        self.documented(&function.vis, &function.attrs, function.sig.span());
        syn::visit::visit_impl_item_fn(self, function);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        for member in &item.items {
            if let TraitItem::Fn(TraitItemFn { attrs, sig, .. }) = member {
                self.documented(&item.vis, attrs, sig.span());
            }
        }
        syn::visit::visit_item_trait(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        // Variants that are the names of messages may say so once, for all of them.
        let excused = item.attrs.iter().any(|attribute| {
            attribute.meta.require_list().is_ok_and(|list| {
                list.path.is_ident("expect") && list.tokens.to_string().starts_with("missing_docs")
            })
        });
        for Variant { attrs, ident, .. } in item.variants.iter().filter(|_| !excused) {
            self.documented(&item.vis, attrs, ident.span());
        }
        syn::visit::visit_item_enum(self, item);
    }

    fn visit_field(&mut self, field: &'ast Field) {
        if field.ident.is_some() {
            self.documented(&field.vis, &field.attrs, field.span());
        }
        syn::visit::visit_field(self, field);
    }
}
