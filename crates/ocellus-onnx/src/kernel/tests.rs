//! The kernels against their definitions, over shapes drawn at random, with every instruction set of the machine.

use super::*;

mod convolutions;
mod others;

/// Numbers in a fixed order (an xorshift generator).
pub struct Draw(u64);

impl Draw {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A whole number of `range`.
    pub fn int(&mut self, range: std::ops::RangeInclusive<usize>) -> usize {
        range.start() + (self.next() % (range.end() - range.start() + 1) as u64) as usize
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.int(0..=from.len() - 1)]
    }

    /// Values between -1 and 1.
    pub fn values(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0).collect()
    }
}

/// Where two slices differ by more than `tolerance`, relative to 1 for values below it.
pub fn assert_close(what: &str, got: &[f32], want: &[f32], tolerance: f32) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let error = (got - want).abs() / want.abs().max(1.0);
        assert!(error <= tolerance, "{what}: value {i} is {got}, should be {want}");
    }
}

/// The lanes that hold channels: what a kernel leaves in the others is its own affair.
pub fn channels(isa: Isa, blocked: &[f32], shape: Shape) -> Vec<f32> {
    let mut planar = vec![0.0; shape.planar_len()];
    to_planar(isa, blocked, shape, &mut planar, 1).unwrap();
    planar
}
