//! Any chain, from any mixture of honest and hostile peers, in any order of events: in the end the
//! chain of the honest majority is accepted, and nothing grows beyond its bounds.

use sastrugi_types::sampler::{Source, uniform_inclusive};

use super::*;

const BEACONS: u64 = 5;

struct World {
    source: Mt19937_64,
    /// Genesis first; what the honest have accepted.
    blocks: Vec<Block>,
    lies: Vec<Block>,
    /// Beacons up to this number lie.
    liars: u8,
    /// Peers misbehave in so many of 100 answers.
    mischief: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut source = Mt19937_64::new(seed);
        let count = uniform_inclusive(&mut source, 200);
        let liars = uniform_inclusive(&mut source, 2) as u8;
        let mischief = uniform_inclusive(&mut source, 60);
        Self { source, blocks: chain(count, 50), lies: chain(250, 60), liars, mischief }
    }

    fn draw(&mut self, limit: usize) -> usize {
        uniform_inclusive(&mut self.source, limit as u64) as usize
    }

    fn misbehaves(&mut self) -> bool {
        self.source.next_u64() % 100 < self.mischief
    }

    fn pick_lie(&mut self) -> Block {
        let index = self.draw(self.lies.len() - 1);
        self.lies[index].clone()
    }

    /// What an honest node last accepted: the tip, or a bit less.
    fn tip(&mut self) -> Id {
        let last = self.blocks.len() - 1;
        let behind = self.draw(last.min(3));
        self.blocks[last - behind].id
    }

    fn answer(&mut self, fixture: &mut Fixture, from: u8, request: u32, question: &Asked) {
        let is_liar = from <= self.liars;
        match question {
            Asked::Frontier(..) if self.misbehaves() => fixture.frontier_failed(from, request),
            Asked::Frontier(..) => {
                let id = if is_liar { self.pick_lie().id } else { self.tip() };
                fixture.frontier(from, request, id);
            }
            Asked::Accepted(_, _, ids) if is_liar => {
                let mut lies = ids.clone();
                lies.retain(|id| self.blocks.iter().all(|block| block.id != *id));
                lies.push(self.pick_lie().id);
                fixture.accepted(from, request, &lies);
            }
            Asked::Accepted(_, _, ids) => {
                let is_accepted = |id: &Id| self.blocks.iter().any(|block| block.id == *id);
                let ids: Vec<_> = ids.iter().copied().filter(is_accepted).collect();
                fixture.accepted(from, request, &ids);
            }
            Asked::Ancestors(_, _, id) => self.answer_ancestors(fixture, from, request, *id),
        }
    }

    fn answer_ancestors(&mut self, fixture: &mut Fixture, from: u8, request: u32, id: Id) {
        let height = self.blocks.iter().position(|block| block.id == id);
        let height = height.expect("a lie was asked for");
        let most = self.draw(40) + 1;
        let branch = self.blocks[..=height].iter().rev().take(most);
        let mut containers: Vec<_> = branch.map(|block| block.bytes.clone()).collect();
        if from == US.0[0] {
            return fixture.ancestors_failed(from, request);
        }
        if self.misbehaves() {
            let other = self.pick_lie().bytes;
            match self.draw(5) {
                0 => return fixture.ancestors_failed(from, request),
                1 => containers.clear(),
                2 => containers.insert(0, other),
                3 => containers.push(Bytes::from_static(b"garbage")),
                4 => containers[1..].reverse(),
                _ => containers.extend(vec![other; 3000]),
            }
        }
        fixture.containers(from, request, containers);
    }
}

fn run(seed: u64) {
    let mut world = World::new(seed);
    let vm = WatchedVm::new(TestVm::new(genesis()));
    let setting = Setting { seed, ..Setting::new(&[1; BEACONS as usize]) };
    let mut fixture = Fixture::on(&setting, vm.clone(), Script::default());
    fixture.start();
    fixture.connect_all(&setting.weights);
    // Questions on their way, each to one node; they are answered in any order.
    let mut open: Vec<(u8, u32, Asked)> = Vec::new();
    for _ in 0..20_000 {
        for asked in fixture.asked() {
            let (nodes, request) = match &asked {
                Asked::Frontier(nodes, request) | Asked::Accepted(nodes, request, _) => {
                    (nodes.clone(), *request)
                }
                Asked::Ancestors(node, request, _) => (vec![*node], *request),
            };
            open.extend(nodes.into_iter().map(|node| (node, request, asked.clone())));
        }
        assert!(fixture.gear.missing().len() <= BEACONS as usize, "seed {seed}");
        assert!(fixture.gear.outstanding_requests().len() <= 2 * BEACONS as usize);
        if fixture.finished.is_some() {
            let accepted = vm.inner().accepted();
            let ids: Vec<_> = world.blocks.iter().map(|block| block.id).collect();
            assert_eq!(accepted, ids[..accepted.len()], "seed {seed}");
            assert!(ids.len() - accepted.len() <= 3, "seed {seed}");
            assert!(fixture.gear.config.db.iterate(b"", b"").unwrap().next().is_none());
            return;
        }
        fixture.pass(Duration::from_millis(10));
        let is_idle = open.is_empty() || world.draw(3) == 0;
        if is_idle && fixture.work().unwrap() == common::Progress::Idle && open.is_empty() {
            if fixture.gear.is_backing_off() {
                fixture.wake();
            }
        } else if !open.is_empty() {
            let index = world.draw(open.len() - 1);
            let (from, request, question) = open.swap_remove(index);
            world.answer(&mut fixture, from, request, &question);
        }
    }
    panic!("seed {seed} does not end: {:?}", fixture.phase());
}

#[test]
fn the_honest_chain_is_accepted_whatever_the_others_do() {
    for seed in 0..200 {
        run(seed);
    }
}
