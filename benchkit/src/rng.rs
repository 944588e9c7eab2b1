//! The generator of all inputs.

/// `SplitMix64`. The same seed gives the same inputs in every implementation of the workloads.
#[derive(Clone, Debug)]
pub struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    /// A generator with a seed.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next 64 bits.
    pub const fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Fills a buffer with big-endian words; the last one is cut on the right.
    pub fn fill(&mut self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            let word = self.next_u64().to_be_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }

    /// An array of bytes: 32 of them are an ID, 20 a node ID.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        self.fill(&mut array);
        array
    }

    /// So many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.fill(&mut bytes);
        bytes
    }

    /// So many bytes that compress well: the hexadecimal digits of words, each word four times.
    pub fn text(&mut self, count: usize) -> Vec<u8> {
        let mut text = Vec::with_capacity(count + 64);
        while text.len() < count {
            let word = format!("{:016x}", self.next_u64()).repeat(4);
            text.extend_from_slice(word.as_bytes());
        }
        text.truncate(count);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_sequence() {
        let mut rng = SplitMix64::new(1_234_567);
        assert_eq!(rng.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(rng.next_u64(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn words_are_big_endian_and_cut_on_the_right() {
        let word = SplitMix64::new(3).next_u64().to_be_bytes();
        assert_eq!(SplitMix64::new(3).array::<3>(), word[..3]);
        assert_eq!(SplitMix64::new(3).bytes(9)[..8], word);
        let text = SplitMix64::new(3).text(70);
        assert_eq!(text[..16], text[48..64]);
        assert_eq!(text.len(), 70);
    }
}
