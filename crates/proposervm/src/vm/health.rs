//! Who is expected to propose, and when: why there is no block.
//!
//! The details are a member `proposervm` of the inner VM's:
//!
//! | member | |
//! |---|---|
//! | `preferred`, `kind`, `height` | the block that the next one stands on |
//! | `parentTime`, `pChainHeight` | when it was made, and the height that decides who is a proposer |
//! | `slot` | the current slot, since Durango |
//! | `expectedProposer` | whose it is; `null` if anybody may propose |
//! | `ownSlot`, `ownStart` | when this node may propose next; `null` if at any time |
//! | `transactionsWait` | whether the inner VM has something for a block |
//! | `error` | why it is not known who may propose |
//!
//! Unhealthy is a node that does not know who may propose, and one that holds transactions for
//! [`WAIT_MAX`] while the chain stands still.

use std::time::Duration;

use sastrugi_types::{
    WallTime,
    time::duration_text,
    upgrade::{Upgrade, UpgradeTime},
};
use sastrugi_vm::Health;
use serde_json::{Map, Value, json};

use super::{Running, gate::Plan};
use crate::{
    verify::{Kind, Parent},
    windower::slot_at,
};

/// For so long transactions may wait for a block.
const WAIT_MAX: Duration = Duration::from_mins(5);

impl Running {
    /// Adds what the wrapper knows to the inner VM's health.
    pub(super) fn health(&self, inner: Health) -> Health {
        let plan = self.gate.plan();
        let Health { details, mut causes } = inner;
        let mut own = Map::new();
        own.insert("transactionsWait".to_owned(), plan.pending_since.is_some().into());
        if let Some((id, parent)) = &plan.preferred {
            own.insert("preferred".to_owned(), id.to_string().into());
            let expected = self.describe(&plan, parent, &mut own);
            causes.extend(self.cause(&plan, &expected));
        }
        let mut details = match details {
            Value::Object(details) => details,
            Value::Null => Map::new(),
            other => Map::from_iter([("vm".to_owned(), other)]),
        };
        details.insert("proposervm".to_owned(), own.into());
        Health { details: details.into(), causes }
    }

    /// Gives the same for people.
    fn describe(&self, plan: &Plan, parent: &Parent, own: &mut Map<String, Value>) -> String {
        let mut set = |name: &str, value: Value| own.insert(name.to_owned(), value);
        let kind = match parent.kind {
            Kind::PreFork => "preFork",
            Kind::Block => "block",
            Kind::Option => "option",
        };
        set("kind", kind.into());
        set("height", parent.height.into());
        set("parentTime", time_text(parent.time).into());
        set("pChainHeight", parent.p_chain_height.into());
        set("ownSlot", json!(plan.turn.slot(parent)));
        set("ownStart", json!(plan.turn.start().map(time_text)));
        let own_turn = plan.turn.start().map_or_else(
            || "this node may propose at any time".to_owned(),
            |start| format!("this node's turn is at {}", time_text(start)),
        );
        let has_slots = parent.kind != Kind::PreFork
            && self.context.upgrades.is_active(Upgrade::Durango, parent.time);
        if !has_slots {
            return own_turn;
        }
        let slot = slot_at(parent.time, self.wall());
        set("slot", slot.into());
        let (height, at) = (parent.height.saturating_add(1), parent.p_chain_height);
        match self.windower.expected_proposer(height, at, slot) {
            Ok(expected) => {
                set("expectedProposer", json!(expected.map(|node| node.to_string())));
                let whose = expected.map_or_else(
                    || "anybody may propose".to_owned(),
                    |node| format!("{node} is expected to propose now, in slot {slot}"),
                );
                format!("{whose}, {own_turn}")
            }
            Err(error) => {
                set("error", error.to_string().into());
                own_turn
            }
        }
    }

    fn cause(&self, plan: &Plan, expected: &str) -> Option<String> {
        if let Some(error) = &plan.error {
            return Some(format!("it is not known who may propose: {error}"));
        }
        let since = plan.pending_since?.max(plan.preferred_since);
        let waiting = self.clock.now() - since;
        let is_long = plan.is_normal_op && waiting > WAIT_MAX;
        is_long.then(|| {
            let waiting = duration_text(Duration::from_secs(waiting.as_secs()));
            format!("transactions have been waiting for a block for {waiting}: {expected}")
        })
    }
}

fn time_text(time: WallTime) -> String {
    UpgradeTime::from(time).to_string()
}
