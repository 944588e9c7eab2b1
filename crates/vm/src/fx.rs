//! Feature extensions.

use std::{any::Any, fmt, sync::Arc};

use sastrugi_types::Id;

/// A named feature extension handed to a VM at its start. Only VMs inside the node's process get
/// any. Upstream: `snow/engine/common/fx.go`.
#[derive(Clone)]
pub struct Fx {
    /// Names the extension.
    #[doc(alias = "ID")]
    pub id: Id,
    /// The extension itself; the VM casts it to what it expects under this name.
    pub extension: Arc<dyn Any + Send + Sync>,
}

impl fmt::Debug for Fx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fx").field("id", &self.id).finish_non_exhaustive()
    }
}
