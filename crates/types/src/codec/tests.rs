use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{codec_interface, codec_struct};

#[derive(Clone, Debug, PartialEq)]
struct Leaf {
    number: i16,
    text: Text,
}
codec_struct!(Leaf { number, text });

#[derive(Clone, Debug, PartialEq)]
struct Branch {
    tree: Box<Tree>,
    others: Vec<Tree>,
}
codec_struct!(Branch { tree, others });

#[derive(Clone, Debug, PartialEq)]
enum Tree {
    Leaf(Leaf),
    Branch(Branch),
}
codec_interface!(Tree { Leaf, Branch });

#[derive(Clone, Debug, PartialEq)]
struct Everything {
    flags: Vec<bool>,
    words: [u16; 3],
    bytes: Vec<u8>,
    map: BTreeMap<Text, u64>,
    trees: Vec<Tree>,
}
codec_struct!(Everything { flags, words, bytes, map, trees });

fn registry(mut types: Registry) -> Registry {
    types.register("Leaf").unwrap();
    types.next_group();
    types.skip(3);
    types.register("Branch").unwrap();
    types
}

fn codec(types: Registry) -> Codec {
    let mut codec = Codec::default();
    codec.register(5, registry(types)).unwrap();
    codec
}

fn leaf() -> impl Strategy<Value = Tree> {
    (any::<i16>(), any::<Vec<u8>>()).prop_map(|(number, text)| {
        let text = Text(text);
        Tree::Leaf(Leaf { number, text })
    })
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaves = prop::collection::vec(leaf(), 0..3);
    let branch = (leaf(), leaves)
        .prop_map(|(tree, others)| Tree::Branch(Branch { tree: Box::new(tree), others }));
    prop_oneof![leaf(), branch]
}

prop_compose! {
    fn everything()(
        flags: Vec<bool>,
        words: [u16; 3],
        bytes: Vec<u8>,
        map in prop::collection::btree_map(any::<Vec<u8>>().prop_map(Text), any::<u64>(), 0..5),
        trees in prop::collection::vec(tree(), 0..5),
    ) -> Everything {
        Everything { flags, words, bytes, map, trees }
    }
}

proptest! {
    #[test]
    fn values_come_back(value in everything()) {
        for types in [Registry::linear(), Registry::hierarchy()] {
            let codec = codec(types);
            let bytes = codec.marshal(5, &value).unwrap();
            prop_assert_eq!(codec.unmarshal(&bytes), Ok((5, value.clone())));
        }
    }

    #[test]
    fn what_can_be_read_is_written_the_same(
        value in everything(),
        change in any::<prop::sample::Index>(),
        byte: u8,
    ) {
        let codec = codec(Registry::linear());
        let mut bytes = codec.marshal(5, &value).unwrap();
        let at = change.index(bytes.len());
        bytes[at] = byte;
        if let Ok((version, value)) = codec.unmarshal::<Everything>(&bytes) {
            prop_assert_eq!(codec.marshal(version, &value), Ok(bytes));
        }
    }

    #[test]
    fn no_bytes_panic(mut bytes: Vec<u8>) {
        let codec = codec(Registry::hierarchy());
        bytes.splice(0..0, [0, 5]);
        let _ = codec.unmarshal::<Everything>(&bytes);
        let _ = codec.unmarshal::<Vec<Tree>>(&bytes);
        let _ = codec.unmarshal::<BTreeMap<Vec<u8>, Leaf>>(&bytes);
    }
}

#[test]
fn type_ids_are_numbers_or_group_and_number() {
    let branch = Tree::Branch(Branch {
        tree: Box::new(Tree::Leaf(Leaf { number: 1, text: Text::default() })),
        others: Vec::new(),
    });
    let id = |types| codec(types).marshal(5, &branch).unwrap()[2..6].to_vec();
    assert_eq!(id(Registry::linear()), [0, 0, 0, 4]);
    assert_eq!(id(Registry::hierarchy()), [0, 1, 0, 3]);
}

#[test]
fn a_type_outside_the_registry_cannot_be_written() {
    let mut codec = Codec::default();
    codec.register(0, Registry::linear()).unwrap();
    let leaf = Tree::Leaf(Leaf { number: 1, text: Text::default() });
    assert_eq!(codec.marshal(0, &leaf), Err(CodecError::UnregisteredType));
}

#[test]
fn a_count_alone_sets_no_memory_aside() {
    let bytes = [0, 5, 0x7f, 0xff, 0xff, 0xff];
    let result = codec(Registry::linear()).unmarshal::<Vec<[u64; 4]>>(&bytes);
    assert_eq!(result, Err(CodecError::InsufficientLength));
}
