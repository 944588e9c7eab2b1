//! Proposers from scratch: §§1–3 of the sampler, without anything kept.

use sastrugi_types::{Id, NodeId};

/// Validators in the order of their IDs, with their weights.
pub(crate) type Set = Vec<(NodeId, u64)>;

/// Why nobody can be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WindowFault {
    Overflow,
    NoWeight,
}

const WINDOW_SECS: u64 = 5;

/// Since Durango. `None` if there are no validators.
pub(crate) fn expected(
    chain: Id,
    set: &Set,
    height: u64,
    slot: u64,
) -> Result<Option<NodeId>, WindowFault> {
    let total = total(set)?;
    if set.is_empty() {
        return Ok(None);
    }
    if total == 0 {
        return Err(WindowFault::NoWeight);
    }
    let mut reversed = 0;
    for bit in 0..64 {
        reversed |= (slot >> bit & 1) << (63 - bit);
    }
    let mut words = twister_64(source(chain) ^ height ^ reversed).into_iter();
    let unit = uniform(&mut || words.next().unwrap(), total - 1);
    Ok(Some(owner(set, unit)))
}

/// Since Durango, in seconds after the parent. `None` if there are no validators.
pub(crate) fn min_delay(
    chain: Id,
    set: &Set,
    height: u64,
    node: NodeId,
    start: u64,
) -> Result<Option<u64>, WindowFault> {
    for slot in start..start + 720 {
        match expected(chain, set, height, slot)? {
            None => return Ok(None),
            Some(owner) if owner == node => return Ok(Some(slot * WINDOW_SECS)),
            Some(_) => {}
        }
    }
    Ok(Some((start + 720) * WINDOW_SECS))
}

/// Before Durango, in seconds after the parent.
pub(crate) fn delay(
    chain: Id,
    set: &Set,
    height: u64,
    proposer: Option<NodeId>,
    windows: u64,
) -> Result<u64, WindowFault> {
    let Some(proposer) = proposer else { return Ok(windows * WINDOW_SECS) };
    let total = total(set)?;
    let mut halves = twister_32((source(chain) ^ height) as u32).into_iter();
    let mut next = || u64::from(halves.next().unwrap()) << 32 | u64::from(halves.next().unwrap());
    // The units of weight that are left, as a list whose beginning is used up.
    let mut moved: Vec<(u64, u64)> = Vec::new();
    let at = |moved: &[(u64, u64)], place: u64| {
        moved.iter().rev().find(|(key, _)| *key == place).map_or(place, |(_, unit)| *unit)
    };
    for drawn in 0..windows.min(total) {
        let place = uniform(&mut next, total - 1 - drawn) + drawn;
        let unit = at(&moved, place);
        let first = at(&moved, drawn);
        moved.push((place, first));
        if owner(set, unit) == proposer {
            return Ok(drawn * WINDOW_SECS);
        }
    }
    Ok(windows.min(total) * WINDOW_SECS)
}

fn source(chain: Id) -> u64 {
    chain.0[..8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn total(set: &Set) -> Result<u64, WindowFault> {
    let total: u128 = set.iter().map(|(_, weight)| u128::from(*weight)).sum();
    u64::try_from(total).map_err(|_| WindowFault::Overflow)
}

/// Who owns a unit of weight: the validators, heaviest first, fill a binary heap, and each stands
/// before its left branch, which stands before the right one.
fn owner(set: &Set, unit: u64) -> NodeId {
    let mut heap: Vec<usize> = (0..set.len()).collect();
    heap.sort_by_key(|index| (u64::MAX - set[*index].1, *index));
    let mut order = Vec::new();
    preorder(0, heap.len(), &mut order);
    let mut passed = 0_u128;
    for place in order {
        let (node, weight) = set[heap[place]];
        passed += u128::from(weight);
        if u128::from(unit) < passed {
            return node;
        }
    }
    panic!("there is no unit {unit}");
}

fn preorder(place: usize, length: usize, order: &mut Vec<usize>) {
    if place < length {
        order.push(place);
        preorder(2 * place + 1, length, order);
        preorder(2 * place + 2, length, order);
    }
}

/// A number in `0..=last`.
fn uniform(next: &mut dyn FnMut() -> u64, last: u64) -> u64 {
    const HALF: u64 = 1 << 63;
    if last & last.wrapping_add(1) == 0 {
        return next() & last;
    }
    if last >= HALF {
        return std::iter::repeat_with(next).find(|number| *number <= last).unwrap();
    }
    let greatest = HALF - 1 - HALF % (last + 1);
    let cut = std::iter::repeat_with(|| next() & (HALF - 1));
    cut.into_iter().find(|number| *number <= greatest).unwrap() % (last + 1)
}

/// The first 312 numbers of MT19937-64.
fn twister_64(seed: u64) -> Vec<u64> {
    const N: usize = 312;
    let mut state = vec![seed];
    for index in 1..N {
        let before = state[index - 1];
        let mixed = before ^ before >> 62;
        state.push(6_364_136_223_846_793_005_u64.wrapping_mul(mixed).wrapping_add(index as u64));
    }
    for index in 0..N {
        let joined = state[index] & !0x7fff_ffff | state[(index + 1) % N] & 0x7fff_ffff;
        let twist = if joined & 1 == 1 { 0xb502_6f5a_a966_19e9 } else { 0 };
        state[index] = state[(index + 156) % N] ^ joined >> 1 ^ twist;
    }
    let temper = |mut word: u64| {
        word ^= word >> 29 & 0x5555_5555_5555_5555;
        word ^= word << 17 & 0x71d6_7fff_eda6_0000;
        word ^= word << 37 & 0xfff7_eee0_0000_0000;
        word ^ word >> 43
    };
    state.into_iter().map(temper).collect()
}

/// The first 624 numbers of MT19937.
fn twister_32(seed: u32) -> Vec<u32> {
    const N: usize = 624;
    let mut state = vec![seed];
    for index in 1..N {
        let before = state[index - 1];
        let mixed = before ^ before >> 30;
        state.push(1_812_433_253_u32.wrapping_mul(mixed).wrapping_add(index as u32));
    }
    for index in 0..N {
        let joined = state[index] & 0x8000_0000 | state[(index + 1) % N] & 0x7fff_ffff;
        let twist = if joined & 1 == 1 { 0x9908_b0df } else { 0 };
        state[index] = state[(index + 397) % N] ^ joined >> 1 ^ twist;
    }
    let temper = |mut word: u32| {
        word ^= word >> 11;
        word ^= word << 7 & 0x9d2c_5680;
        word ^= word << 15 & 0xefc6_0000;
        word ^ word >> 18
    };
    state.into_iter().map(temper).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(weights: &[u64]) -> Set {
        let node = |number: u8| {
            let mut node = NodeId::default();
            node.0[0] = number;
            node
        };
        (1..).map(node).zip(weights.iter().copied()).collect()
    }

    fn chain() -> Id {
        let mut chain = Id::EMPTY;
        chain.0[1] = 2;
        chain
    }

    /// Constants of upstream's tests, and derived ones.
    #[test]
    fn draws_what_upstream_draws() {
        let ten = nodes(&[1; 10]);
        let drawn = |set: &Set, height, slots: std::ops::Range<u64>| -> Vec<u8> {
            let slot = |slot| expected(chain(), set, height, slot).unwrap().unwrap().0[0];
            slots.map(slot).collect()
        };
        assert_eq!(drawn(&ten, 1, 0..12), [3, 1, 10, 8, 1, 4, 4, 4, 4, 4, 5, 1]);
        assert_eq!(drawn(&ten, 1, 720..722), [5, 7]);
        let delays = ten.iter().map(|(node, _)| min_delay(chain(), &ten, 1, *node, 0));
        let delays: Vec<u64> = delays.map(|delay| delay.unwrap().unwrap() / 5).collect();
        assert_eq!(delays, [1, 15, 0, 5, 10, 18, 12, 3, 23, 2]);

        let six = nodes(&[1; 6]);
        let delays = six.iter().map(|(node, _)| delay(chain(), &six, 2, Some(*node), 6));
        let delays: Vec<u64> = delays.map(|delay| delay.unwrap() / 5).collect();
        assert_eq!(delays, [5, 1, 3, 4, 0, 2]);

        let five = nodes(&[100, 2000, 300, 50, 700]);
        assert_eq!(drawn(&five, 2, 0..12), [3, 2, 2, 3, 2, 5, 2, 3, 5, 3, 5, 2]);
        let heavy = nodes(&[1 << 63, 1 << 62]);
        assert_eq!(drawn(&heavy, 1, 0..12), [1, 1, 1, 1, 2, 1, 1, 1, 2, 2, 1, 1]);
    }
}
