mod crash;
mod differential;
mod hostile;
mod plain;

mod turns;

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use parking_lot::Mutex;
use sastrugi_crypto::Identity;
use sastrugi_types::{Id, NodeId, upgrade::UpgradeSchedule};
use sastrugi_vm::{
    Block, ChainVm, VmError,
    db::MemoryDb,
    testkit::{START_UNIX_SECS, Setup, TestClock, TestNode, suite},
    validators::{ValidatorOutput, ValidatorSet, ValidatorState},
};

use self::plain::{ISSUE, Log, Plain};
use super::{Config, ProposerVm};
use crate::model::{self, Set};

fn identities() -> &'static [Arc<Identity>] {
    static IDENTITIES: OnceLock<Vec<Arc<Identity>>> = OnceLock::new();
    IDENTITIES.get_or_init(|| model::identities(4).into_iter().map(Arc::new).collect())
}

/// A P-Chain that a test moves.
#[derive(Default)]
struct Moving(Mutex<Scene>);

#[derive(Clone, Default)]
struct Scene {
    minimum: u64,
    current: u64,
    set: Set,
    is_silent: bool,
}

impl Moving {
    fn set(&self, change: impl FnOnce(&mut Scene)) {
        change(&mut self.0.lock());
    }

    fn answer<T>(&self, answer: impl FnOnce(&Scene) -> T) -> Result<T, VmError> {
        let scene = self.0.lock();
        if scene.is_silent { Err(VmError::Closed) } else { Ok(answer(&scene)) }
    }
}

impl ValidatorState for Moving {
    fn minimum_height(&self) -> Result<u64, VmError> {
        self.answer(|scene| scene.minimum)
    }

    fn current_height(&self) -> Result<u64, VmError> {
        self.answer(|scene| scene.current)
    }

    fn subnet_of(&self, _chain: Id) -> Result<Id, VmError> {
        Err(VmError::NotFound)
    }

    fn validator_set(&self, _height: u64, _subnet: Id) -> Result<Arc<ValidatorSet>, VmError> {
        self.answer(|scene| {
            let output = |(node, weight): &(NodeId, u64)| {
                (*node, ValidatorOutput { node: *node, public_key: None, weight: *weight })
            };
            Arc::new(scene.set.iter().map(output).collect::<BTreeMap<_, _>>())
        })
    }
}

/// A wrapper around a [`Plain`] VM in its surroundings.
struct World {
    node: TestNode,
    vm: Arc<ProposerVm>,
    log: Arc<Log>,
    p_chain: Arc<Moving>,
}

/// What is left when a node is gone.
#[derive(Clone, Default)]
struct Remains {
    upgrades: Option<Arc<UpgradeSchedule>>,
    disk: MemoryDb,
    clock: Arc<TestClock>,
    p_chain: Arc<Moving>,
}

thread_local! {
    /// What [`Setup::make`] gives: it cannot hold anything itself.
    static NEXT: Mutex<Option<Arc<ProposerVm>>> = const { Mutex::new(None) };
}

fn next() -> Arc<dyn ChainVm> {
    NEXT.with(|next| next.lock().clone().unwrap())
}

/// A node on what is left of another, with settings of its own.
fn start_on(
    remains: &Remains,
    own_db: Option<MemoryDb>,
    change: impl FnOnce(&mut Config),
) -> Result<World, VmError> {
    let log = Arc::new(Log::default());
    let mut config = Config::new(identities()[0].clone());
    change(&mut config);
    let vm = Arc::new(ProposerVm::new(Arc::new(Plain::with(own_db, log.clone())), config));
    NEXT.with(|next| *next.lock() = Some(vm.clone()));
    let setup = Setup {
        node_id: identities()[0].node_id(),
        upgrades: remains.upgrades.clone(),
        validators: remains.p_chain.clone(),
        ..Setup::new(next, (START_UNIX_SECS - 100).to_be_bytes().to_vec())
    };
    let node = TestNode::start_on(setup, remains.disk.clone(), remains.clock.clone())?;
    Ok(World { node, vm, log, p_chain: remains.p_chain.clone() })
}

/// A node among so many validators of equal weight, the first of whom it is.
fn world(validators: usize) -> World {
    world_under(None, validators)
}

/// The same in a network whose rules change at these times.
fn world_under(upgrades: Option<Arc<UpgradeSchedule>>, validators: usize) -> World {
    let remains = Remains { upgrades, ..Remains::default() };
    remains.p_chain.set(|scene| {
        (scene.minimum, scene.current) = (10, 12);
        scene.set = identities()[..validators].iter().map(|own| (own.node_id(), 1)).collect();
    });
    start_on(&remains, None, |_| {}).unwrap()
}

impl World {
    fn issue(&self, bits: u64) {
        let bytes = [ISSUE, &bits.to_be_bytes()].concat();
        self.vm.inner.app_gossip(NodeId::default(), Bytes::from(bytes)).unwrap();
    }

    /// What a restart finds.
    fn remains(&self) -> Remains {
        Remains {
            upgrades: None,
            disk: self.node.disk().reopen(),
            clock: self.node.clock.clone(),
            p_chain: self.p_chain.clone(),
        }
    }

    /// The P-Chain is asked again who the validators are.
    fn forget_validators(&self) {
        let running = self.vm.running().unwrap();
        running.windower.clear();
        running.find_turn();
    }

    fn last(&self) -> Block {
        self.vm.get_block(self.vm.last_accepted().unwrap()).unwrap().unwrap()
    }

    /// Builds in this node's next turn, and accepts.
    fn extend(&self, bits: u64) -> Block {
        self.issue(bits);
        self.vm.set_preference(self.last().id).unwrap();
        self.wait();
        self.node.build_and_accept().unwrap()
    }

    /// Until the engine is told that transactions wait.
    fn wait(&self) {
        for _ in 0..10_000 {
            if self.node.events.pending_txs() {
                return;
            }
            self.node.advance(std::time::Duration::from_secs(1)).unwrap();
        }
        panic!("the engine is never told");
    }
}

#[test]
fn a_vm_with_oracles_keeps_the_contracts_when_wrapped() {
    fn wrapped() -> Arc<dyn ChainVm> {
        let inner = Arc::new(Plain::default());
        Arc::new(ProposerVm::new(inner, Config::new(identities()[0].clone())))
    }
    let genesis = (START_UNIX_SECS - 100).to_be_bytes().to_vec();
    let setup = Setup { node_id: identities()[0].node_id(), ..Setup::new(wrapped, genesis) };
    let issue = |node: &TestNode| {
        let bytes = [ISSUE, &0_u64.to_be_bytes()].concat();
        node.vm.app_gossip(NodeId::default(), bytes.into())
    };
    suite(&setup, issue).unwrap();
}
