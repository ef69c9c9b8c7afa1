//! Dense 3 x 3 convolutions of stride 1 by Winograd's F(2 x 2, 3 x 3): 16 multiplications for four outputs, not 36
//! (Lavin and Gray 2016, <https://arxiv.org/abs/1509.09308>).
//!
//! Each 4 x 4 pixels of the input, two apart, become 16 values; each of the 16 is a pointwise convolution of its own;
//! and its 16 sums become 2 x 2 pixels of the output. On the way there and back numbers are only added, so that errors
//! stay near those of the direct sums. Tiles pass in chunks whose values lie in the second-level cache.

use std::array::from_fn;

use super::dense::{Call, Dense, Frame, Geometry, Job, Piece};
use super::strips::{Strip, cut};
use super::tile::MAX_BLOCKS;
use super::{ConvSpec, Residual};
use crate::kernel::buffer::Buffer;
use crate::kernel::math::{Epilogue, clamp};
use crate::kernel::simd::{Inner, Kernel, Simd};
use crate::kernel::{Activation, Isa, Layout, Shape, Window, tasks};

/// Values of a tile.
const VALUES: usize = 16;

/// Bytes of a chunk's values and sums.
const CHUNK: usize = 256 << 10;

/// A packed convolution.
#[derive(Debug, Clone)]
pub struct Winograd {
    spec: ConvSpec,
    /// For each value of a tile its pointwise convolution.
    values: Vec<Dense>,
    /// Padded to whole blocks.
    bias: Buffer,
    epilogue: Epilogue,
}

impl Winograd {
    /// Whether these parameters gain by it.
    pub fn suits(isa: Isa, spec: &ConvSpec) -> bool {
        let Window { kernel, stride, dilation, .. } = spec.window;
        let whole = spec.in_channels >= isa.lanes() && spec.out_channels >= isa.lanes();
        let plain = spec.groups == 1 && spec.input == Layout::Blocked;
        plain && whole && kernel == [3, 3] && stride == [1, 1] && dilation == [1, 1]
    }

    /// Transforms and packs the weights.
    pub fn new(isa: Isa, spec: ConvSpec, weights: &[f32], bias: &[f32], activation: Activation) -> Self {
        let pointwise = ConvSpec { window: Window::square(1, 1, 0), ..spec };
        let mut transformed = vec![Vec::new(); VALUES];
        for taps in weights.as_chunks::<9>().0 {
            for (values, value) in transformed.iter_mut().zip(transform(taps)) {
                values.push(value);
            }
        }
        let values =
            transformed.iter().map(|values| Dense::new(isa, pointwise, values, &[], Activation::None)).collect();
        let mut padded = Buffer::zeros(spec.out_channels.next_multiple_of(isa.lanes()));
        padded[..bias.len()].copy_from_slice(bias);
        Self { spec, values, bias: padded, epilogue: Epilogue::new(activation) }
    }

    /// Convolves; lengths have been checked.
    pub fn run(&self, isa: Isa, call: Call<'_>) {
        isa.dispatch(Run { winograd: self, call });
    }
}

/// The 16 factors of a window.
fn transform(taps: &[f32; 9]) -> [f32; VALUES] {
    let line = |[a, b, c]: [f64; 3]| [a, (a + b + c) / 2.0, (a - b + c) / 2.0, c];
    let columns: [[f64; 4]; 3] = from_fn(|x| line(from_fn(|y| f64::from(taps[y * 3 + x]))));
    from_fn(|value| line(from_fn(|x| columns[x][value / 4]))[value % 4] as f32)
}

struct Run<'r, 'a> {
    winograd: &'r Winograd,
    call: Call<'a>,
}

impl Kernel for Run<'_, '_> {
    type Output = ();
    fn run<const B: usize, S: Simd<B>>(self, s: S) {
        let Self { winograd, call } = self;
        let ((input, shape), (output, out_shape)) = (call.input, call.output);
        let tiling = Tiling::new::<B>(winograd, shape, out_shape);
        let rows = 2 * lines_of_strip(out_shape.height.div_ceil(2), call.threads);
        let mut strips = cut(output.as_chunks_mut::<B>().0, out_shape, rows);
        let input = input.as_chunks::<B>().0;
        tasks::for_each(call.threads, &mut strips, &|strip| {
            tasks::with_scratch(tiling.values::<B>() + tiling.sums::<B>(), |scratch| {
                tiling.strip(s, winograd, input, strip, scratch);
                finish(s, winograd, call.residual, strip, out_shape);
            });
        });
    }
}

/// Lines of tiles of a strip: two strips for each thread where that leaves some lines to each, else one.
fn lines_of_strip(lines: usize, threads: usize) -> usize {
    const FEW: usize = 4;
    let strips = if threads <= 1 || lines < FEW * threads { threads.max(1) } else { threads * 2 };
    lines.div_ceil(strips)
}

/// How tiles lie over a picture.
struct Tiling {
    shape: Shape,
    out: Shape,
    /// Rows and columns of padding before the first pixel.
    padding: [usize; 2],
    /// Tiles of a row.
    columns: usize,
    /// The most tiles of a chunk.
    most: usize,
    /// Blocks of channels of the input and of the output.
    blocks: [usize; 2],
}

impl Tiling {
    fn new<const B: usize>(winograd: &Winograd, shape: Shape, out: Shape) -> Self {
        /// Tiles under which weights are read too often.
        const LEAST: usize = 24;
        let blocks = [shape.blocks(B), out.blocks(B)];
        let bytes = VALUES * (blocks[0] + blocks[1]) * B * size_of::<f32>();
        let [top, left, ..] = winograd.spec.window.padding;
        let most = (CHUNK / bytes).clamp(LEAST, tasks::SEGMENT);
        Self { shape, out, padding: [top, left], columns: out.width.div_ceil(2), most, blocks }
    }

    /// Vectors between the tiles' first value and their second: an odd number, as powers of two would lie in one set of
    /// the cache.
    fn stride(&self, side: usize) -> usize {
        (self.blocks[side] * self.most) | 1
    }

    fn values<const B: usize>(&self) -> usize {
        VALUES * self.stride(0) * B
    }

    fn sums<const B: usize>(&self) -> usize {
        VALUES * self.stride(1) * B
    }

    /// Computes some rows of the output, before what follows the bounds of the activation.
    fn strip<const B: usize, S: Simd<B>>(
        &self,
        s: S,
        winograd: &Winograd,
        input: &[[f32; B]],
        strip: &mut Strip<'_, B>,
        scratch: &mut [f32],
    ) {
        let (values, sums) = scratch.as_chunks_mut::<B>().0.split_at_mut(VALUES * self.stride(0));
        let image = self.blocks[0] * self.shape.pixels();
        let input = &input[strip.image * image..][..image];
        let rows = strip.out.first().map_or(0, |rows| rows.len() / self.out.width);
        let tiles = rows.div_ceil(2) * self.columns;
        // All chunks of one size, nearly.
        let most = tiles.div_ceil(tiles.div_ceil(self.most).max(1)).max(1);
        for first in (0..tiles).step_by(most) {
            let count = most.min(tiles - first);
            s.vectorize(ToValues { tiling: self, input, row: strip.row, first, count, values });
            self.multiply(s, winograd, values, sums, count);
            s.vectorize(FromSums { tiling: self, winograd, sums, strip, first, count });
        }
    }

    /// The pointwise convolutions of a chunk.
    fn multiply<const B: usize, S: Simd<B>>(
        &self,
        s: S,
        winograd: &Winograd,
        values: &[[f32; B]],
        sums: &mut [[f32; B]],
        count: usize,
    ) {
        let planes = values.chunks_exact(self.stride(0)).zip(sums.chunks_exact_mut(self.stride(1)));
        for (dense, (values, sums)) in winograd.values.iter().zip(planes) {
            let frame = Frame { pixels: values, image: 0, planes: self.blocks[0], plane: self.most };
            let chunk = Shape::new(1, winograd.spec.out_channels, 1, self.most);
            let geometry = Geometry::new::<B, B>(&dense.spec, (self.most, self.most), chunk);
            for set in &dense.sets {
                let mut out: [&mut [[f32; B]]; MAX_BLOCKS] = Default::default();
                let blocks = sums.chunks_mut(self.most).skip(set.block).take(set.blocks);
                for (slot, block) in out.iter_mut().zip(blocks) {
                    *slot = &mut block[..count];
                }
                let mut job = Job { image: 0, set: *set, start: 0, top: 0, out };
                s.vectorize(Piece { dense, frame: &frame, geometry: &geometry, residual: None, job: &mut job });
            }
        }
    }
}

/// Transforms the input under some tiles: `[value][block of channels][tile][channel]`.
struct ToValues<'t, const B: usize> {
    tiling: &'t Tiling,
    input: &'t [[f32; B]],
    /// The first row of the output of which the tiles are counted.
    row: usize,
    first: usize,
    count: usize,
    values: &'t mut [[f32; B]],
}

impl<const B: usize, S: Simd<B>> Inner<B, S> for ToValues<'_, B> {
    #[inline(always)]
    fn run(self, s: S) {
        let tiling = self.tiling;
        let stride = tiling.stride(0);
        for (block, plane) in self.input.chunks_exact(tiling.shape.pixels()).enumerate() {
            for slot in 0..self.count {
                let tile = self.first + slot;
                let at = [self.row + tile / tiling.columns * 2, tile % tiling.columns * 2];
                let [a, b, c, d] = pixels(s, tiling, plane, at);
                let lines = [
                    line_to_values(s, [a[0], b[0], c[0], d[0]]),
                    line_to_values(s, [a[1], b[1], c[1], d[1]]),
                    line_to_values(s, [a[2], b[2], c[2], d[2]]),
                    line_to_values(s, [a[3], b[3], c[3], d[3]]),
                ];
                let out = &mut self.values[block * tiling.most + slot..][..(VALUES - 1) * stride + 1];
                for y in 0..4 {
                    let [a, b, c, d] = line_to_values(s, [lines[0][y], lines[1][y], lines[2][y], lines[3][y]]);
                    s.store(&mut out[y * 4 * stride], a);
                    s.store(&mut out[(y * 4 + 1) * stride], b);
                    s.store(&mut out[(y * 4 + 2) * stride], c);
                    s.store(&mut out[(y * 4 + 3) * stride], d);
                }
            }
        }
    }
}

#[inline(always)]
fn line_to_values<const B: usize, S: Simd<B>>(s: S, [a, b, c, d]: [S::V; 4]) -> [S::V; 4] {
    [s.sub(a, c), s.add(b, c), s.sub(c, b), s.sub(b, d)]
}

#[inline(always)]
fn line_from_sums<const B: usize, S: Simd<B>>(s: S, [a, b, c, d]: [S::V; 4]) -> [S::V; 2] {
    [s.add(s.add(a, b), c), s.sub(s.sub(b, c), d)]
}

/// The 4 x 4 pixels from a place of the padded image on.
#[inline(always)]
fn pixels<const B: usize, S: Simd<B>>(s: S, tiling: &Tiling, plane: &[[f32; B]], at: [usize; 2]) -> [[S::V; 4]; 4] {
    let [height, width] = [tiling.shape.height, tiling.shape.width];
    let [top, left] = tiling.padding;
    let mut pixels = [[s.splat(0.0); 4]; 4];
    if at[0] >= top && at[1] >= left && at[0] - top + 4 <= height && at[1] - left + 4 <= width {
        let start = (at[0] - top) * width + at[1] - left;
        let plane = &plane[start..][..3 * width + 4];
        for (y, pixels) in pixels.iter_mut().enumerate() {
            let line = &plane[y * width..][..4];
            *pixels = [s.load(&line[0]), s.load(&line[1]), s.load(&line[2]), s.load(&line[3])];
        }
        return pixels;
    }
    for (y, pixels) in pixels.iter_mut().enumerate() {
        let Some(row) = (at[0] + y).checked_sub(top).filter(|row| *row < height) else { continue };
        let line = &plane[row * width..][..width];
        for (x, pixel) in pixels.iter_mut().enumerate() {
            if let Some(from) = (at[1] + x).checked_sub(left).and_then(|column| line.get(column)) {
                *pixel = s.load(from);
            }
        }
    }
    pixels
}

/// Transforms the sums of some tiles back to pixels, adds the bias and applies bounds.
struct FromSums<'t, 'o, const B: usize> {
    tiling: &'t Tiling,
    winograd: &'t Winograd,
    sums: &'t [[f32; B]],
    strip: &'t mut Strip<'o, B>,
    first: usize,
    count: usize,
}

impl<const B: usize, S: Simd<B>> Inner<B, S> for FromSums<'_, '_, B> {
    #[inline(always)]
    fn run(self, s: S) {
        let tiling = self.tiling;
        let (stride, width) = (tiling.stride(1), tiling.out.width);
        let (low, high) = self.winograd.epilogue.bounds;
        let (low, high) = (s.splat(low), s.splat(high));
        let biases = self.winograd.bias.as_chunks::<B>().0;
        for (block, (out, bias)) in self.strip.out.iter_mut().zip(biases).enumerate() {
            let bias = s.load(bias);
            for slot in 0..self.count {
                let tile = self.first + slot;
                let (row, column) = (tile / tiling.columns * 2, tile % tiling.columns * 2);
                let sums = &self.sums[block * tiling.most + slot..][..(VALUES - 1) * stride + 1];
                let mut columns = [[s.splat(0.0); 2]; 4];
                for (x, column) in columns.iter_mut().enumerate() {
                    let sum = |y: usize| &sums[(y * 4 + x) * stride];
                    *column = line_from_sums(s, [s.load(sum(0)), s.load(sum(1)), s.load(sum(2)), s.load(sum(3))]);
                }
                let [a, b, c, d] = columns;
                for (y, sums) in [[a[0], b[0], c[0], d[0]], [a[1], b[1], c[1], d[1]]].into_iter().enumerate() {
                    let Some(to) = out.get_mut((row + y) * width..(row + y + 1) * width) else { continue };
                    let line = line_from_sums(s, sums);
                    for (to, sum) in to[column..].iter_mut().zip(line) {
                        s.store(to, clamp(s, s.add(sum, bias), low, high));
                    }
                }
            }
        }
    }
}

/// What is left of the activation, and the residual.
fn finish<const B: usize, S: Simd<B>>(
    s: S,
    winograd: &Winograd,
    residual: Option<Residual<'_>>,
    strip: &mut Strip<'_, B>,
    out: Shape,
) {
    for (block, rows) in strip.out.iter_mut().enumerate() {
        let start = (strip.image * out.blocks(B) + block) * out.pixels() + strip.row * out.width;
        let residual = residual.map(|r| (&r.data.as_chunks::<B>().0[start..][..rows.len()], r.after));
        s.vectorize(Finish { epilogue: &winograd.epilogue, rows, residual });
    }
}

struct Finish<'f, const B: usize> {
    epilogue: &'f Epilogue,
    rows: &'f mut [[f32; B]],
    residual: Option<(&'f [[f32; B]], Activation)>,
}

impl<const B: usize, S: Simd<B>> Inner<B, S> for Finish<'_, B> {
    #[inline(always)]
    fn run(self, s: S) {
        self.epilogue.finish(s, self.rows, self.residual);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_of_one_tap_multiplies_as_it_should() {
        // Sums of the signs with which the middle tap enters each value.
        let mut taps = [0.0; 9];
        taps[4] = 4.0;
        let row = [0.0, 2.0, -2.0, 0.0];
        let expected: [f32; VALUES] = from_fn(|value| row[value / 4] * row[value % 4] / 4.0);
        assert_eq!(transform(&taps), expected);
    }
}
