//! A JSON object that knows which of its fields were read.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// One case, trace or step. Taking a field removes it; [`Fields::finish`] fails if any is left.
#[derive(Debug, Clone)]
pub struct Fields {
    /// Family and case, for messages.
    pub name: String,
    map: Map<String, Value>,
}

impl Fields {
    /// A case of `family`; its `name` (and `kind`) become part of the messages.
    pub fn named(family: &str, value: Value) -> Self {
        let mut fields = Self::of(family, value);
        if let Some(name) = fields.map.get("name").and_then(Value::as_str) {
            fields.name = format!("{family}/{name}");
        }
        fields
    }

    /// A part of a case.
    pub fn of(name: &str, value: Value) -> Self {
        match value {
            Value::Object(map) => Self { name: name.to_owned(), map },
            other => panic!("{name}: not an object: {other}"),
        }
    }

    /// The kind of the case, which stays unread; empty if it has none.
    pub fn kind(&self) -> String {
        self.map.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// Whether the field is still there.
    pub fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    /// Takes a field that must be there.
    pub fn take<T: DeserializeOwned>(&mut self, key: &str) -> T {
        let value = self.map.remove(key).unwrap_or_else(|| panic!("{}: no {key}", self.name));
        self.convert(key, value)
    }

    /// Takes a field that may be missing or null.
    pub fn maybe<T: DeserializeOwned>(&mut self, key: &str) -> Option<T> {
        match self.map.remove(key) {
            None | Some(Value::Null) => None,
            Some(value) => Some(self.convert(key, value)),
        }
    }

    /// Takes a field that stands for its zero value when it is missing or null.
    pub fn or_default<T: DeserializeOwned + Default>(&mut self, key: &str) -> T {
        self.maybe(key).unwrap_or_default()
    }

    /// Takes a byte string: hex, `{"repeat", "count"}` or `{"concat"}`; missing or null is empty.
    pub fn bytes(&mut self, key: &str) -> Vec<u8> {
        self.map.remove(key).map_or_else(Vec::new, |value| bytes_of(&self.name, &value))
    }

    /// Takes a 64-bit number written as decimal text (or as a JSON number).
    pub fn u64(&mut self, key: &str) -> u64 {
        match self.take::<Value>(key) {
            Value::String(text) => {
                text.parse().unwrap_or_else(|_| panic!("{}: {key} is {text}", self.name))
            }
            Value::Number(number) => {
                number.as_u64().unwrap_or_else(|| panic!("{}: {key} is {number}", self.name))
            }
            other => panic!("{}: {key} is {other}", self.name),
        }
    }

    /// Takes a nested object.
    #[must_use]
    pub fn nested(&mut self, key: &str) -> Fields {
        let value = self.take(key);
        Fields::of(&format!("{}.{key}", self.name), value)
    }

    /// Takes a list of nested objects; missing or null is empty.
    pub fn list(&mut self, key: &str) -> Vec<Fields> {
        let values: Vec<Value> = self.or_default(key);
        values
            .into_iter()
            .enumerate()
            .map(|(index, value)| Fields::of(&format!("{}.{key}[{index}]", self.name), value))
            .collect()
    }

    /// The keys not read yet.
    pub fn keys(&self) -> Vec<String> {
        self.map.keys().cloned().collect()
    }

    /// Drops a field that says nothing about behaviour (a remark, a text for people).
    pub fn skip(&mut self, key: &str) {
        self.map.remove(key);
    }

    /// Fails if a field was not read.
    pub fn finish(self) {
        assert!(self.map.is_empty(), "{}: unread fields {:?}", self.name, self.map);
    }

    fn convert<T: DeserializeOwned>(&self, key: &str, value: Value) -> T {
        serde_json::from_value(value)
            .unwrap_or_else(|error| panic!("{}: {key}: {error}", self.name))
    }
}

/// Reads a byte string of any of the three forms.
pub(crate) fn bytes_of(name: &str, value: &Value) -> Vec<u8> {
    match value {
        Value::Null => Vec::new(),
        Value::String(text) => {
            const_hex::decode(text).unwrap_or_else(|error| panic!("{name}: {error}: {text}"))
        }
        Value::Object(map) => {
            if let Some(Value::Array(parts)) = map.get("concat") {
                return parts.iter().flat_map(|part| bytes_of(name, part)).collect();
            }
            let count = map.get("count").and_then(Value::as_u64);
            match (map.get("repeat"), count) {
                (Some(part), Some(count)) => bytes_of(name, part).repeat(count as usize),
                _ => panic!("{name}: not a byte string: {value}"),
            }
        }
        other => panic!("{name}: not a byte string: {other}"),
    }
}
