//! The inner loops of dense convolutions: `P` pixels of a row by `O` blocks of output channels in registers.

use crate::kernel::math::clamp;
use crate::kernel::simd::{Inner, Simd};

/// Repeats a block for the constants below `$n`, which is at most 8 or 4. Loops over arrays of vectors would leave it
/// to the compiler's size limits whether the arrays become registers.
macro_rules! unroll {
    ($n:expr, 8, $i:ident, $body:block) => {
        unroll!(@ $n, $i, $body, 0 1 2 3 4 5 6 7)
    };
    ($n:expr, 4, $i:ident, $body:block) => {
        unroll!(@ $n, $i, $body, 0 1 2 3)
    };
    (@ $n:expr, $i:ident, $body:block, $($value:literal)*) => {
        $(if $n > $value {
            const $i: usize = $value;
            $body
        })*
    };
}
pub(super) use unroll;

/// Most blocks of output channels of one tile.
pub const MAX_BLOCKS: usize = 4;

/// Neighbouring output pixels of one row, for a few blocks of output channels. Input pixels have `L` values: `B` in
/// the blocked layout, 1 in the planar one.
///
/// A *step* is one block of input channels under one tap of the window.
pub struct Segment<'a, const L: usize, const B: usize> {
    /// The input from the pixel under the first tap of the first output pixel on.
    pub input: &'a [[f32; L]],
    /// Input pixels between the windows of neighbouring output pixels.
    pub stride: usize,
    /// For each step with `L` channels, its distance from the first tap, in pixels.
    pub full: &'a [usize],
    /// The same for the steps of a last block with fewer channels.
    pub rest: &'a [usize],
    /// Channels of those.
    pub rest_lanes: usize,
    /// `[step][input channel][block of output channels][output channel]`.
    pub weights: &'a [[f32; B]],
    /// `[block of output channels]`, or none to go on from the sums in `out`.
    pub bias: Option<&'a [[f32; B]]>,
    /// What the sums are held between.
    pub bounds: (f32, f32),
    /// For each block of output channels, its pixels.
    pub out: [&'a mut [[f32; B]]; MAX_BLOCKS],
    /// Blocks of output channels.
    pub blocks: usize,
}

impl<const L: usize, const B: usize, S: Simd<B>> Inner<B, S> for Segment<'_, L, B> {
    #[inline(always)]
    fn run(mut self, s: S) {
        match self.stride {
            1 => self.with_stride::<1, S>(s),
            2 if S::GROUP > 1 => self.with_stride::<2, S>(s),
            _ => self.with_stride::<0, S>(s),
        }
    }
}

/// The segment in tiles of `O` blocks. Compiled apart for each stride and number of blocks: all of them in one function
/// take the compiler minutes.
struct Tiles<'s, 'a, const STRIDE: usize, const O: usize, const L: usize, const B: usize>(&'s mut Segment<'a, L, B>);

impl<const STRIDE: usize, const O: usize, const L: usize, const B: usize, S: Simd<B>> Inner<B, S>
    for Tiles<'_, '_, STRIDE, O, L, B>
{
    #[inline(always)]
    fn run(self, s: S) {
        self.0.tiles::<STRIDE, O, S>(s);
    }
}

impl<const L: usize, const B: usize> Segment<'_, L, B> {
    #[inline(always)]
    fn with_stride<const STRIDE: usize, S: Simd<B>>(&mut self, s: S) {
        if L > 1 && S::GROUP >= 4 && self.blocks == 4 {
            s.vectorize(Tiles::<STRIDE, 4, L, B>(self));
        } else if L > 1 && S::GROUP >= 3 && self.blocks == 3 {
            s.vectorize(Tiles::<STRIDE, 3, L, B>(self));
        } else if S::GROUP >= 2 && self.blocks == 2 {
            s.vectorize(Tiles::<STRIDE, 2, L, B>(self));
        } else {
            s.vectorize(Tiles::<STRIDE, 1, L, B>(self));
        }
    }

    /// Cuts the row into tiles. Each width that is compiled costs build time, so that only those are that shapes
    /// with few pixels need: a row's last two tiles share what is left evenly, as far as there are such widths.
    #[inline(always)]
    fn tiles<const STRIDE: usize, const O: usize, S: Simd<B>>(&mut self, s: S) {
        let widest = (S::ACCUMULATORS / O).min(match STRIDE {
            1 => 8,
            2 if O == 1 => 8,
            2 if O == 2 => 6,
            _ => 4,
        });
        let (mut x, width) = (0, self.out[0].len());
        while x < width {
            let left = width - x;
            let fit = if left >= 2 * widest || left <= widest { left.min(widest) } else { left.div_ceil(2) };
            x += match fit {
                8.. if O <= 3 && S::ACCUMULATORS >= 8 * O && (STRIDE == 1 || STRIDE == 2 && O == 1) => {
                    self.tile::<STRIDE, O, 8, S>(s, x)
                }
                6.. if (STRIDE == 1 && O > 1 || STRIDE == 2 && O == 2) && S::ACCUMULATORS >= 6 * O => {
                    self.tile::<STRIDE, O, 6, S>(s, x)
                }
                5.. if STRIDE == 1 && L > 1 && O >= 3 => self.tile::<STRIDE, O, 5, S>(s, x),
                4.. if (STRIDE > 0 || L == 1) && S::ACCUMULATORS >= 4 * O => self.tile::<STRIDE, O, 4, S>(s, x),
                3.. if STRIDE == 1 && L > 1 && O >= 3 => self.tile::<STRIDE, O, 3, S>(s, x),
                2.. if STRIDE > 0 && S::GROUP > 1 => self.tile::<STRIDE, O, 2, S>(s, x),
                _ => self.tile::<STRIDE, O, 1, S>(s, x),
            };
        }
    }

    /// Computes `P` pixels from `x` on, and says how many those are.
    #[inline(always)]
    fn tile<const STRIDE: usize, const O: usize, const P: usize, S: Simd<B>>(&mut self, s: S, x: usize) -> usize {
        let stride = if STRIDE > 0 { STRIDE } else { self.stride };
        let mut sums = self.start::<O, P, S>(s, x);
        let input = &self.input[x * stride..];
        let mut weights = self.weights.as_chunks::<O>().0;
        if L == 1 {
            for (offset, weights) in self.full.iter().zip(weights) {
                let pixels = &input[*offset..][..(P - 1) * stride + 1];
                accumulate::<O, P, L, B, S>(s, &mut sums, pixels, stride, 0, weights);
            }
        } else {
            let full = self.full.iter().map(|offset| (offset, L));
            for (offset, lanes) in full.chain(self.rest.iter().map(|offset| (offset, self.rest_lanes))) {
                let pixels = &input[*offset..][..(P - 1) * stride + 1];
                let (step, rest) = weights.split_at(lanes);
                weights = rest;
                for (lane, weights) in step.iter().enumerate() {
                    // `lane` is below `L`, a power of two: the mask only saves the check.
                    accumulate::<O, P, L, B, S>(s, &mut sums, pixels, stride, lane & (L - 1), weights);
                }
            }
        }
        let (low, high) = (s.splat(self.bounds.0), s.splat(self.bounds.1));
        unroll!(O, 4, O_INDEX, {
            let out = &mut self.out[O_INDEX][x..x + P];
            unroll!(P, 8, P_INDEX, {
                s.store(&mut out[P_INDEX], clamp(s, sums[P_INDEX][O_INDEX], low, high));
            });
        });
        P
    }

    #[inline(always)]
    fn start<const O: usize, const P: usize, S: Simd<B>>(&self, s: S, x: usize) -> [[S::V; O]; P] {
        let mut sums = [[s.splat(0.0); O]; P];
        unroll!(O, 4, O_INDEX, {
            if let Some(bias) = self.bias {
                let bias = s.load(&bias[O_INDEX]);
                unroll!(P, 8, P_INDEX, { sums[P_INDEX][O_INDEX] = bias });
            } else {
                let out = &self.out[O_INDEX][x..x + P];
                unroll!(P, 8, P_INDEX, { sums[P_INDEX][O_INDEX] = s.load(&out[P_INDEX]) });
            }
        });
        sums
    }
}

/// Adds one input channel of each pixel, times its weights.
#[inline(always)]
fn accumulate<const O: usize, const P: usize, const L: usize, const B: usize, S: Simd<B>>(
    s: S,
    sums: &mut [[S::V; O]; P],
    pixels: &[[f32; L]],
    stride: usize,
    lane: usize,
    weights: &[[f32; B]; O],
) {
    let mut w = [s.splat(0.0); O];
    unroll!(O, 4, O_INDEX, { w[O_INDEX] = s.load(&weights[O_INDEX]) });
    unroll!(P, 8, P_INDEX, {
        let v = s.splat(pixels[P_INDEX * stride][lane]);
        unroll!(O, 4, O_INDEX, { sums[P_INDEX][O_INDEX] = s.mul_add(v, w[O_INDEX], sums[P_INDEX][O_INDEX]) });
    });
}
