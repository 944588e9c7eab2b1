use std::sync::atomic::{AtomicUsize, Ordering};

use sastrugi_types::Instant;

use super::*;
use crate::testing::{
    ManualClock, RecordingSender, Script, Sent, Surroundings, TestVm, test_block,
};

const PEER: NodeId = NodeId([1; 20]);

/// Blocks of the given lengths on genesis, the youngest last, all verified.
fn vm(lengths: &[usize]) -> (Arc<TestVm>, Vec<Block>) {
    let mut blocks = vec![test_block(Id::EMPTY, 0, 0)];
    let vm = TestVm::new(blocks[0].clone());
    for (height, length) in (1..).zip(lengths) {
        let block = test_block(blocks[blocks.len() - 1].id, height, *length);
        vm.verify(&block, None).unwrap();
        blocks.push(block);
    }
    (vm, blocks)
}

fn collect(vm: &TestVm, clock: &dyn Clock, id: Id, count_max: usize) -> Vec<Bytes> {
    let time_max = Duration::from_millis(50);
    ancestors::collect(vm, clock, id, count_max, 1_000, time_max).unwrap()
}

#[test]
fn ancestors_stop_at_the_bounds() {
    let (vm, blocks) = vm(&[300, 300, 300, 2_000]);
    let clock = ManualClock::default();
    let bytes = |range: &[usize]| -> Vec<_> {
        range.iter().map(|index| blocks[*index].bytes.clone()).collect()
    };
    assert_eq!(collect(&vm, &clock, blocks[3].id, 10), bytes(&[3, 2, 1, 0]));
    assert_eq!(collect(&vm, &clock, blocks[3].id, 2), bytes(&[3, 2]));
    assert_eq!(collect(&vm, &clock, blocks[3].id, 0), bytes(&[3]), "the first one always");
    assert_eq!(collect(&vm, &clock, blocks[4].id, 10), bytes(&[4]), "even if too large");
    assert_eq!(collect(&vm, &clock, Id([9; 32]), 10), bytes(&[]), "unknown blocks have none");
}

/// A clock that goes on by 30 ms whenever somebody looks.
#[derive(Debug, Default)]
struct Impatient(AtomicUsize);

impl Clock for Impatient {
    fn now(&self) -> Instant {
        Instant(self.0.fetch_add(1, Ordering::Relaxed) as u64 * 30_000_000)
    }

    fn wall(&self) -> sastrugi_types::WallTime {
        ManualClock::WALL_START
    }
}

#[test]
fn ancestors_stop_when_time_is_up() {
    let (vm, blocks) = vm(&[40, 40, 40]);
    let collected = collect(&vm, &Impatient::default(), blocks[3].id, 10);
    assert_eq!(collected.len(), 2);
}

#[test]
fn a_vm_without_summaries_answers_only_the_empty_question() {
    let (vm, blocks) = vm(&[]);
    let mut getter = Getter::new(vm, Arc::new(ManualClock::default()), GetterConfig::default());
    let sender = RecordingSender::new(|sent| {
        assert_eq!(sent, Sent::AcceptedStateSummary(PEER, RequestId(2), vec![]));
    });
    let mut around = Surroundings::new(sender, Script::default(), Script::default());
    let cx = &mut around.cx();
    getter.get_state_summary_frontier(cx, PEER, RequestId(1)).unwrap();
    getter.get_accepted_state_summary(cx, PEER, RequestId(2), BTreeSet::new()).unwrap();
    getter.get_accepted_state_summary(cx, PEER, RequestId(3), [4].into()).unwrap();
    assert_eq!(getter.stats(), GetterStats::default());
    let sender = RecordingSender::new(move |sent| {
        assert_eq!(sent, Sent::Ancestors(PEER, RequestId(4), vec![blocks[0].bytes.clone()]));
    });
    let mut around = Surroundings::new(sender, Script::default(), Script::default());
    let genesis = getter.last_accepted().unwrap();
    getter.get_ancestors(&mut around.cx(), PEER, RequestId(4), genesis).unwrap();
    assert_eq!(getter.stats(), GetterStats { ancestors_answers: 1, ancestors_blocks: 1 });
}
