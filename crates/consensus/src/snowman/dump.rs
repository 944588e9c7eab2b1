//! The state of consensus as people and tests look at it.

use std::fmt;

use sastrugi_types::Id;

/// All blocks in consensus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dump {
    /// The last accepted block and all processing ones, by height and then by ID.
    pub blocks: Vec<BlockDump>,
    /// The processing blocks of the preferred branch with their heights, lowest first.
    pub preferred: Vec<(Id, u64)>,
}

/// A block in consensus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockDump {
    /// Its ID.
    pub id: Id,
    /// Its height.
    pub height: u64,
    /// Whether confidence in its children is void and gets reset when they are polled next.
    pub should_falter: bool,
    /// A drawing of the tree that chooses among its children; empty if it has none.
    pub drawing: String,
}

impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for block in &self.blocks {
            let mark = if self.preferred.iter().any(|(id, _)| *id == block.id) { "*" } else { "" };
            let falter = if block.should_falter { " (should falter)" } else { "" };
            writeln!(f, "{} {}{mark}{falter}", block.height, block.id)?;
            for line in block.drawing.lines() {
                writeln!(f, "    {line}")?;
            }
        }
        Ok(())
    }
}
