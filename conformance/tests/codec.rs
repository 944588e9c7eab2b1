//! Replays `bytes/codec.json`: the binary codec and what it is made of.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a case that is not as expected must fail the test"
)]

use std::{collections::BTreeMap, fmt::Debug};

use sastrugi_conformance::{Fields, cases};
use sastrugi_types::{
    codec::{
        Codec, CodecError, DEFAULT_MAX_BYTES, Pack, Packer, Registry, TEXT_BYTES_MAX, Text, Unpack,
        Unpacker,
    },
    codec_interface, codec_struct,
};
use serde_json::Value;

#[test]
fn codec() {
    for mut case in cases("codec") {
        match case.take::<String>("kind").as_str() {
            "register" => register(&mut case),
            "default_max" => assert_eq!(case.take::<usize>("max"), DEFAULT_MAX_BYTES),
            "marshal" => of_type(&mut case, &Way::Marshal),
            "unmarshal" => of_type(&mut case, &Way::Unmarshal),
            "limit" => limit(&mut case),
            "packer" => packer(&mut case),
            "unpacker" => unpacker(&mut case),
            kind => panic!("{}: kind {kind}", case.name),
        }
        case.skip("name");
        case.finish();
    }
}

/// A value as the vectors write it. None where upstream's value has a nil, which ours cannot have.
trait FromVector: Sized {
    fn from_vector(value: &Value) -> Option<Self>;
}

macro_rules! number {
    ($($number:ty),*) => {$(
        impl FromVector for $number {
            fn from_vector(value: &Value) -> Option<Self> {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                Some(text.parse().unwrap())
            }
        }
    )*};
}

number!(u8, u16, u32, u64, i8, i16, i32, i64, bool);

impl FromVector for Text {
    fn from_vector(value: &Value) -> Option<Self> {
        value.as_str().map(Text::from)
    }
}

/// `[]byte`, which is hex.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ByteSlice(Vec<u8>);

impl FromVector for ByteSlice {
    fn from_vector(value: &Value) -> Option<Self> {
        let text = value.as_str().unwrap_or_default();
        Some(Self(const_hex::decode(text).unwrap()))
    }
}

impl Pack for ByteSlice {
    fn pack(&self, packer: &mut Packer<'_>) -> Result<(), CodecError> {
        self.0.pack(packer)
    }
}

impl Unpack for ByteSlice {
    fn unpack(unpacker: &mut Unpacker<'_>) -> Result<Self, CodecError> {
        Vec::unpack(unpacker).map(Self)
    }
}

impl<T: FromVector> FromVector for Box<T> {
    fn from_vector(value: &Value) -> Option<Self> {
        T::from_vector(value).map(Box::new)
    }
}

impl<T: FromVector> FromVector for Vec<T> {
    fn from_vector(value: &Value) -> Option<Self> {
        let elements = value.as_array().into_iter().flatten();
        elements.map(T::from_vector).collect()
    }
}

impl<T: FromVector + Debug, const N: usize> FromVector for [T; N] {
    fn from_vector(value: &Value) -> Option<Self> {
        Vec::from_vector(value).map(|elements| elements.try_into().unwrap())
    }
}

impl<K: FromVector + Ord, V: FromVector> FromVector for BTreeMap<K, V> {
    fn from_vector(value: &Value) -> Option<Self> {
        match value {
            Value::Null => Some(Self::new()),
            Value::Object(map) => map
                .iter()
                .map(|(key, value)| {
                    Some((K::from_vector(&Value::from(key.as_str()))?, V::from_vector(value)?))
                })
                .collect(),
            Value::Array(pairs) => pairs
                .iter()
                .map(|pair| Some((K::from_vector(&pair[0])?, V::from_vector(&pair[1])?)))
                .collect(),
            other => panic!("no map: {other}"),
        }
    }
}

/// A struct of upstream's test types, its fields in order: our name, its type, upstream's name.
macro_rules! fields {
    ($name:ident { $($field:ident: $type:ty = $key:literal),* }) => {
        #[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
        struct $name { $($field: $type),* }

        codec_struct!($name { $($field),* });

        impl FromVector for $name {
            fn from_vector(value: &Value) -> Option<Self> {
                let object = value.as_object()?;
                // `type` names a variant; `Skip` is a field that is not encoded.
                let known: &[&str] = &[$($key,)* "type", "Skip"];
                assert!(object.keys().all(|key| known.contains(&key.as_str())), "{object:?}");
                Some(Self { $($field: FromVector::from_vector(&object[$key])?),* })
            }
        }
    };
}

fields!(Ints {
    u8: u8 = "U8",
    u16: u16 = "U16",
    u32: u32 = "U32",
    u64: u64 = "U64",
    i8: i8 = "I8",
    i16: i16 = "I16",
    i32: i32 = "I32",
    i64: i64 = "I64"
});
fields!(Bool { v: bool = "V" });
fields!(Str { v: Text = "V" });
fields!(Bytes { v: ByteSlice = "V" });
fields!(U32s { v: Vec<u32> = "V" });
fields!(Strs { v: Vec<Text> = "V" });
fields!(Bools { v: Vec<bool> = "V" });
fields!(Arr { a: [i8; 4] = "A", b: [u16; 3] = "B" });
fields!(Inner { x: u16 = "X", y: ByteSlice = "Y" });
fields!(Nested {
    a: u8 = "A", b: Inner = "B", c: Box<Inner> = "C", d: Vec<Inner> = "D", e: Vec<Box<Inner>> = "E"
});
fields!(Maps { a: BTreeMap<Text, bool> = "A", b: BTreeMap<u32, Text> = "B" });
fields!(Key { a: u8 = "A", b: Text = "B" });
fields!(MapOfStructs { v: BTreeMap<Key, Inner> = "V" });
fields!(Empty {});
fields!(EmptySlice { v: Vec<Empty> = "V" });
fields!(EmptyArray { v: [Empty; 5] = "V" });
fields!(SliceOfSlice { v: Vec<ByteSlice> = "V" });
fields!(Cat { age: u32 = "Age" });
fields!(Dog { bark: Text = "Bark" });
fields!(Zoo { head: Box<Animal> = "Head", rest: Vec<Animal> = "Rest" });
fields!(Loner { v: Animal = "V" });
fields!(Herd { v: Vec<Animal> = "V" });
fields!(Farm { animals: BTreeMap<u8, Animal> = "Animals" });

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Animal {
    Cat(Cat),
    Dog(Dog),
    Zoo(Zoo),
}
codec_interface!(Animal { Cat, Dog, Zoo });

impl FromVector for Animal {
    fn from_vector(value: &Value) -> Option<Self> {
        match value.get("type")?.as_str()? {
            "Cat" => Cat::from_vector(value).map(Self::Cat),
            "Dog" => Dog::from_vector(value).map(Self::Dog),
            "Zoo" => Zoo::from_vector(value).map(Self::Zoo),
            other => panic!("no animal: {other}"),
        }
    }
}

/// A map of as many empty structs as the vector's number says; there cannot be two.
#[derive(Debug, PartialEq)]
#[expect(clippy::zero_sized_map_values, reason = "that is what the vectors try")]
struct EmptyMap {
    v: BTreeMap<Empty, Empty>,
}
codec_struct!(EmptyMap { v });

impl FromVector for EmptyMap {
    fn from_vector(value: &Value) -> Option<Self> {
        let entries = (0..value.as_u64()?).map(|_| (Empty {}, Empty {}));
        Some(Self { v: entries.collect() })
    }
}

/// The types of the vectors: linear 0, 1, 4 and 5; hierarchy 0/0, 0/1 and 1/0.
fn registry(style: &str) -> Registry {
    let mut types = match style {
        "linear" => Registry::linear(),
        "hierarchy" => Registry::hierarchy(),
        other => panic!("codec {other}"),
    };
    types.register("Cat").unwrap();
    types.register("Dog").unwrap();
    if style == "linear" {
        types.skip(2);
    }
    types.next_group();
    types.register("Zoo").unwrap();
    if style == "linear" {
        types.register("Tree").unwrap();
    }
    types
}

fn codec_of(case: &mut Fields) -> Codec {
    let style: String = case.take("codec");
    let mut codec = Codec::new(case.take("max_size"));
    for version in [0, 7] {
        codec.register(version, registry(&style)).unwrap();
    }
    codec
}

enum Way {
    Marshal,
    Unmarshal,
}

fn of_type(case: &mut Fields, way: &Way) {
    match case.take::<String>("type").as_str() {
        "Ints" => replay::<Ints>(case, way),
        "Bool" => replay::<Bool>(case, way),
        "Str" => replay::<Str>(case, way),
        "Bytes" => replay::<Bytes>(case, way),
        "U32s" => replay::<U32s>(case, way),
        "Strs" => replay::<Strs>(case, way),
        "Bools" => replay::<Bools>(case, way),
        "Arr" => replay::<Arr>(case, way),
        "Nested" => replay::<Nested>(case, way),
        "Map" => replay::<Maps>(case, way),
        "MapOfStructs" => replay::<MapOfStructs>(case, way),
        "EmptySlice" => replay::<EmptySlice>(case, way),
        "EmptyMap" => replay::<EmptyMap>(case, way),
        "EmptyArray" => replay::<EmptyArray>(case, way),
        "SliceOfSlice" => replay::<SliceOfSlice>(case, way),
        "Loner" => replay::<Loner>(case, way),
        "Herd" => replay::<Herd>(case, way),
        "Farm" => replay::<Farm>(case, way),
        other => panic!("{}: type {other}", case.name),
    }
}

fn replay<T: Pack + Unpack + FromVector + PartialEq + Debug>(case: &mut Fields, way: &Way) {
    let codec = codec_of(case);
    let ok: bool = case.take("ok");
    assert_eq!(ok, case.maybe::<String>("error").is_none(), "{}", case.name);
    let class: Option<String> = case.maybe("class");
    let value: Value = case.or_default("value");
    let version: u16 = case.or_default("version");
    let bytes = case.bytes("bytes");
    let result = match way {
        Way::Marshal => {
            let Some(value) = T::from_vector(&value) else {
                let nil = "can't marshal nil pointer or interface";
                assert_eq!(class.as_deref(), Some(nil), "{}", case.name);
                return;
            };
            codec.marshal(version, &value).map(|ours| assert_eq!(ours, bytes, "{}", case.name))
        }
        Way::Unmarshal => codec.unmarshal::<T>(&bytes).map(|(ours_version, ours)| {
            assert_eq!(ours_version, version, "{}", case.name);
            // JSON shows what is not UTF-8 replaced.
            let replaced = value.to_string().contains('\u{fffd}');
            assert_eq!(replaced, bytes.ends_with(&[0xff, 0xfe]), "{}", case.name);
            if replaced {
                assert_eq!(codec.marshal(version, &ours), Ok(bytes), "{}", case.name);
            } else {
                assert_eq!(Some(ours), T::from_vector(&value), "{}", case.name);
            }
        }),
    };
    let error = result.err().map(|error| error.to_string());
    assert_eq!(error, class, "{}", case.name);
}

fn register(case: &mut Fields) {
    let error: String = case.take("error");
    let ours = if case.name.ends_with("type twice") {
        registry("linear").register("Cat")
    } else {
        let mut codec = Codec::default();
        codec.register(0, Registry::linear()).unwrap();
        codec.register(0, Registry::linear())
    };
    let ours = ours.unwrap_err().to_string();
    assert!(error.starts_with(&ours), "{}: {ours}", case.name);
}

fn limit(case: &mut Fields) {
    let (_, name) = case.name.split_once('/').unwrap();
    let length = match name {
        "string of 65535 bytes" => TEXT_BYTES_MAX,
        "string of 65536 bytes" => TEXT_BYTES_MAX + 1,
        // There is no nil here.
        "marshal nil" | "unmarshal into nil" => {
            assert!(case.take::<String>("error").contains("marshal nil"), "{}", case.name);
            return;
        }
        other => panic!("limit {other}"),
    };
    let mut packer = Packer::new(1 << 20);
    let error = packer.pack_text(&vec![b'a'; length]).err().map(|error| error.to_string());
    assert_eq!(error, case.maybe("error"), "{}", case.name);
}

fn packer(case: &mut Fields) {
    let mut packer = Packer::new(case.take("max_size"));
    let ops: Vec<(String, Value)> = case.or_default("ops");
    let result = ops.iter().try_for_each(|(op, value)| {
        let number = || value.as_u64().unwrap();
        let bytes = || const_hex::decode(value.as_str().unwrap()).unwrap();
        match op.as_str() {
            "byte" => packer.pack_u8(number() as u8),
            "short" => packer.pack_u16(number() as u16),
            "int" => packer.pack_u32(number() as u32),
            "long" => packer.pack_u64(number()),
            "bool" => packer.pack_bool(value.as_bool().unwrap()),
            "string" => packer.pack_text(value.as_str().unwrap().as_bytes()),
            "string_of_a" => packer.pack_text(&vec![b'a'; number() as usize]),
            "bytes" => packer.pack_bytes(&bytes()),
            "fixed_bytes" => packer.pack_fixed(&bytes()),
            other => panic!("{}: op {other}", case.name),
        }
    });
    let error = result.err().map(|error| error.to_string());
    assert_eq!(error, case.maybe("error"), "{}", case.name);
    let offset: usize = case.take("offset");
    // After an error upstream may show zeros behind what it packed.
    let expected = case.bytes("bytes");
    assert_eq!(packer.bytes(), &expected[..offset], "{}", case.name);
}

fn unpacker(case: &mut Fields) {
    let bytes = case.bytes("bytes");
    let mut unpacker = Unpacker::new(&bytes);
    let op: String = case.take("op");
    let expected: Value = case.take("value");
    // The last word of a limited read is the limit.
    let limit = || op.rsplit(' ').next().unwrap().parse::<usize>().unwrap();
    let hex = |bytes: &[u8]| Value::from(const_hex::encode(bytes));
    let text = |bytes: &[u8]| Value::from(String::from_utf8(bytes.to_vec()).unwrap());
    let (kind, _) = op.split_once(' ').unwrap_or((&op, ""));
    let result = match kind {
        "byte" | "after" => unpacker.unpack_u8().map(Value::from),
        "short" => unpacker.unpack_u16().map(Value::from),
        "int" => unpacker.unpack_u32().map(Value::from),
        "long" => unpacker.unpack_u64().map(|number| number.to_string().into()),
        "bool" => unpacker.unpack_bool().map(Value::from),
        "string" => unpacker.unpack_text().map(text),
        "bytes" => unpacker.unpack_bytes().map(hex),
        "limited" if op.contains("string") => unpacker.unpack_limited_text(limit()).map(text),
        "limited" => unpacker.unpack_limited_bytes(limit()).map(hex),
        other => panic!("{}: op {other}", case.name),
    };
    let error: Option<String> = case.maybe("error");
    let offset: usize = case.take("offset");
    if kind == "after" {
        // Upstream's unpacker was in error already; ours has no such state.
        assert!(error.is_some() && offset == 0, "{}", case.name);
        return;
    }
    assert_eq!(unpacker.offset(), offset, "{}", case.name);
    match result {
        Ok(value) => assert_eq!((value, None), (expected, error), "{}", case.name),
        Err(ours) => assert_eq!(Some(ours.to_string()), error, "{}", case.name),
    }
}
