//! The type IDs a codec version knows.

use std::collections::BTreeMap;

use super::CodecError;

/// Numbers the types that can stand for an enum, in the order of their registration.
///
/// A linear registry counts from 0. A hierarchy counts within groups; its IDs are the group and the
/// type, two bytes each. Types are named as [`codec_interface!`](crate::codec_interface) names them.
#[derive(Clone, Debug)]
pub struct Registry {
    names: BTreeMap<u32, &'static str>,
    next: u32,
    hierarchy: bool,
}

/// What a packer or unpacker without a codec knows.
pub(super) static NO_TYPES: Registry = Registry::linear();

const GROUP_SHIFT: u32 = 16;

impl Registry {
    /// A linear registry without types.
    pub const fn linear() -> Self {
        Self { names: BTreeMap::new(), next: 0, hierarchy: false }
    }

    /// A hierarchy without types, in its first group.
    pub const fn hierarchy() -> Self {
        Self { names: BTreeMap::new(), next: 0, hierarchy: true }
    }

    /// Gives the next ID to a type.
    ///
    /// # Errors
    /// [`CodecError::DuplicateType`]
    pub fn register(&mut self, name: &'static str) -> Result<(), CodecError> {
        if self.id_of(name).is_some() {
            return Err(CodecError::DuplicateType);
        }
        self.names.insert(self.next, name);
        self.next += 1;
        Ok(())
    }

    /// Leaves out the next `count` IDs.
    pub const fn skip(&mut self, count: u32) {
        self.next += count;
    }

    /// Goes on with the next group of a hierarchy. A linear registry has no groups and stays as it
    /// is.
    pub const fn next_group(&mut self) {
        if self.hierarchy {
            self.next = ((self.next >> GROUP_SHIFT) + 1) << GROUP_SHIFT;
        }
    }

    pub(super) fn name_of(&self, id: u32) -> Option<&'static str> {
        self.names.get(&id).copied()
    }

    pub(super) fn id_of(&self, name: &str) -> Option<u32> {
        self.names.iter().find(|(_, other)| **other == name).map(|(id, _)| *id)
    }
}
