//! Building blocks.

use super::Snowman;
use crate::common::{Cx, Handled};

impl Snowman {
    /// Lets the VM build what is owed, while fewer than the optimal number of blocks process. Ends
    /// each handler that may have changed something.
    pub(super) fn build_blocks(&mut self, cx: &mut Cx<'_>) -> Handled {
        while self.owed_builds > 0
            && self.consensus.num_processing() < self.config.params.optimal_processing
        {
            self.owed_builds -= 1;
            let block = match self.config.vm.build_block(None) {
                Ok(block) => block,
                Err(error) => {
                    tracing::debug!(%error, "failed building block");
                    self.stats.builds_failed += 1;
                    return Ok(());
                }
            };
            self.stats.built += 1;
            let skew = cx.wall.nanos_since(block.timestamp);
            self.stats.built_time_skew_nanos =
                self.stats.built_time_skew_nanos.saturating_add(skew);
            let (id, parent) = (block.id, block.parent);
            let expected = self.consensus.preference();
            if parent != expected {
                tracing::warn!(block = %id, %parent, %expected, "built block with unexpected parent");
            }
            self.issue_with_ancestors(cx, block)?;
            if !self.can_issue_child_on(&id) {
                tracing::warn!(block = %id, "block that was just built is not extendable");
            }
        }
        Ok(())
    }
}
