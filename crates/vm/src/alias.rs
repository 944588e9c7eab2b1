//! VMs and feature extensions that every network knows by name.

use sastrugi_types::Id;

/// VMs and feature extensions with their aliases. Upstream: `genesis/aliases.go`.
pub const WELL_KNOWN: [(Id, &str); 6] = [
    (named("platformvm"), "platform"),
    (named("avm"), "avm"),
    (named("evm"), "evm"),
    (named("secp256k1fx"), "secp256k1fx"),
    (named("nftfx"), "nftfx"),
    (named("propertyfx"), "propertyfx"),
];

/// The ID that is a name: its bytes, filled up with zeros. Of a longer name the first 32 bytes.
pub const fn named(name: &str) -> Id {
    let mut id = Id::EMPTY;
    let mut index = 0;
    while index < id.0.len() && index < name.len() {
        id.0[index] = name.as_bytes()[index];
        index += 1;
    }
    id
}

/// The alias of a VM or a feature extension that every network knows.
pub fn alias_of(id: &Id) -> Option<&'static str> {
    WELL_KNOWN.iter().find(|(known, _)| known == id).map(|(_, alias)| *alias)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_at_the_length_of_an_id() {
        assert_eq!(named(&"x".repeat(33)), Id([b'x'; 32]));
        assert_eq!(named(""), Id::EMPTY);
        assert_eq!(alias_of(&named("platformvm")), Some("platform"));
        assert_eq!(alias_of(&named("platform")), None);
    }
}
