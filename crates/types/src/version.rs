//! Versions of the software that peers run. Upstream: `version/application.go`.

/// A version of a node's software.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Application {
    /// The name of the software, such as `avalanchego`.
    pub name: String,
    /// Changes with the protocol.
    pub major: u32,
    /// Changes with features.
    pub minor: u32,
    /// Changes with repairs.
    pub patch: u32,
}
