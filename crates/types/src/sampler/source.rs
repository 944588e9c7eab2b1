//! Where random numbers come from, and the bounded draw.

/// A stream of uniformly distributed 64-bit numbers.
///
/// The production node implements it with a cipher seeded by the operating system, the laboratory
/// with a seeded generator, and proposer selection with the Mersenne Twisters below.
pub trait Source {
    /// The next number.
    fn next_u64(&mut self) -> u64;
}

impl<S: Source + ?Sized> Source for &mut S {
    fn next_u64(&mut self) -> u64 {
        (**self).next_u64()
    }
}

impl<S: Source + ?Sized> Source for Box<S> {
    fn next_u64(&mut self) -> u64 {
        (**self).next_u64()
    }
}

/// The 32-bit Mersenne Twister. A 64-bit number is two of its outputs, the first one in the high
/// half.
#[derive(Clone, Debug)]
pub struct Mt19937(rand_mt::Mt);

impl Mt19937 {
    /// A generator seeded with the low 32 bits of `seed`, as gonum seeds it.
    pub fn new(seed: u64) -> Self {
        Self(rand_mt::Mt::new(seed as u32))
    }

    /// The next 32-bit output.
    pub fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }
}

impl Source for Mt19937 {
    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }
}

/// The 64-bit Mersenne Twister.
#[derive(Clone, Debug)]
pub struct Mt19937_64(rand_mt::Mt64);

impl Mt19937_64 {
    /// A generator seeded with `seed`.
    pub fn new(seed: u64) -> Self {
        Self(rand_mt::Mt64::new(seed))
    }
}

impl Source for Mt19937_64 {
    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }
}

/// The first number of a [`Mt19937_64`] for each seed.
///
/// Only the part of the state that decides it is made, half of all, and several seeds go through
/// their long chains of dependent steps side by side.
pub fn first_of_mt19937_64<const N: usize>(seeds: [u64; N]) -> [u64; N] {
    const MIDDLE: u64 = 156;
    const MULTIPLIER: u64 = 6_364_136_223_846_793_005;
    let step = |states: &mut [u64; N], index: u64| {
        for state in states {
            *state = (*state ^ (*state >> 62)).wrapping_mul(MULTIPLIER).wrapping_add(index);
        }
    };
    let mut second = seeds;
    step(&mut second, 1);
    let mut middle = second;
    for index in 2..=MIDDLE {
        step(&mut middle, index);
    }
    std::array::from_fn(|lane| twist_and_temper(seeds[lane], second[lane], middle[lane]))
}

/// The output at a place of the state of [`Mt19937_64`], from this state, the next one, and that
/// half the state ahead.
const fn twist_and_temper(state: u64, next: u64, ahead: u64) -> u64 {
    const MATRIX: u64 = 0xb502_6f5a_a966_19e9;
    const LOW_BITS: u64 = 0x7fff_ffff;
    let mixed = (state & !LOW_BITS) | (next & LOW_BITS);
    let mut x = ahead ^ (mixed >> 1) ^ if mixed & 1 == 1 { MATRIX } else { 0 };
    x ^= (x >> 29) & 0x5555_5555_5555_5555;
    x ^= (x << 17) & 0x71d6_7fff_eda6_0000;
    x ^= (x << 37) & 0xfff7_eee0_0000_0000;
    x ^ (x >> 43)
}

/// A uniform number of `0..=limit`. Takes at least one number from the source, also for limit 0.
///
/// A mask where the range is a power of two; above 2⁶³ − 1 rejection of whole numbers; else
/// rejection of 63-bit numbers and a modulus.
pub fn uniform_inclusive<S: Source + ?Sized>(source: &mut S, limit: u64) -> u64 {
    const LARGEST: u64 = i64::MAX as u64;
    if limit & limit.wrapping_add(1) == 0 {
        return source.next_u64() & limit;
    }
    if limit > LARGEST {
        return draw_while(|number| number > limit, || source.next_u64());
    }
    let range = limit + 1;
    // Numbers above the last multiple of the range are unfair. Only those near 2⁶³ can be, so the
    // multiple is rarely needed.
    let is_unfair = |number| number > LARGEST - limit && number > LARGEST - (1 << 63) % range;
    draw_while(is_unfair, || source.next_u64() & LARGEST) % range
}

fn draw_while(rejected: impl Fn(u64) -> bool, mut draw: impl FnMut() -> u64) -> u64 {
    loop {
        let number = draw();
        if !rejected(number) {
            return number;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_numbers_are_those_of_the_reference_generators() {
        let mut mt = Mt19937::new(5489);
        let first: [u32; 3] = std::array::from_fn(|_| mt.next_u32());
        assert_eq!(first, [3_499_211_612, 581_869_302, 3_890_346_734]);
        let mut mt = Mt19937_64::new(5489);
        assert_eq!(mt.next_u64(), 14_514_284_786_278_117_030);
        assert_eq!(Mt19937::new((1 << 32) + 7).next_u64(), Mt19937::new(7).next_u64());
    }

    #[test]
    fn the_first_number_without_the_rest() {
        let mut seeds = Mt19937_64::new(1);
        for _ in 0..100 {
            let seeds: [u64; 7] = std::array::from_fn(|_| seeds.next_u64());
            let firsts = seeds.map(|seed| Mt19937_64::new(seed).next_u64());
            assert_eq!(first_of_mt19937_64(seeds), firsts);
        }
        assert_eq!(first_of_mt19937_64([0, 5489]), [0x28e8_37c5_cb41_dc3e, 0xc96d_191c_f6f6_aea6]);
    }
}
