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
}
