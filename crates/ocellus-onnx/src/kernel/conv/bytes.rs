//! Dense convolutions of quantised models in bytes: inputs that lie on a [`Grid`] of at most 256 values, and weights that
//! are whole multiples of one number a channel.
//!
//! A pixel's 16 channels become 16 unsigned bytes, their steps from the grid's least value, in a copy with its borders
//! filled in. Sums of products are whole numbers of 32 bits, without rounding; what the least value adds to each is known
//! when the weights are packed. From the sums on all is as in [`Dense`](super::dense::Dense).

use super::ConvSpec;
use super::dense::{Call, Geometry, Job, Set, jobs, part};
use super::tile::{MAX_BLOCKS, unroll};
use crate::kernel::buffer::Buffer;
use crate::kernel::math::{Epilogue, clamp};
use crate::kernel::simd::Simd;
use crate::kernel::simd::vnni::{Loop, Sums, Vnni};
use crate::kernel::{Activation, Grid, Isa, Layout, tasks};

/// Channels of a block.
const LANES: usize = 16;
/// Four bytes each, as the bits of a number.
const QUADS: usize = 4;

/// A packed convolution of bytes.
#[derive(Debug, Clone)]
pub struct Bytes {
    vnni: Vnni,
    spec: ConvSpec,
    grid: Grid,
    sets: Vec<Set>,
    /// Sets one after another: `[step][quad of input channels][block][output channel]`, four bytes each.
    weights: Buffer,
    /// What one step of a sum is worth, padded to whole blocks.
    factor: Buffer,
    /// Padded to whole blocks; the share of the grid's least value is in it.
    bias: Buffer,
    epilogue: Epilogue,
}

impl Bytes {
    /// Packs weights and bias, which fit the parameters. None where the machine lacks the instructions, or where grid or
    /// weights are no bytes.
    pub fn new(
        isa: Isa,
        spec: ConvSpec,
        weights: &[f32],
        bias: &[f32],
        activation: Activation,
        grid: Grid,
    ) -> Option<Self> {
        let vnni = isa.vnni()?;
        let fits = grid.low <= 0.0 && grid.high >= 0.0 && grid.high - grid.low <= 255.0;
        if !fits || spec.depthwise() || spec.input != Layout::Blocked {
            return None;
        }
        let row = (spec.in_channels / spec.groups) * spec.window.taps();
        let steps = weights.chunks_exact(row).map(step).collect::<Option<Vec<_>>>()?;
        let sets = sets(&spec);
        let padded = spec.out_channels.next_multiple_of(LANES);
        let (mut factor, mut all) = (Buffer::zeros(padded), Buffer::zeros(padded));
        all[..bias.len()].copy_from_slice(bias);
        for (channel, (step, row)) in steps.iter().zip(weights.chunks_exact(row)).enumerate() {
            factor[channel] = step * grid.scale;
            let sum: f32 = row.iter().map(|weight| (weight / step).round()).sum();
            all[channel] += sum * grid.low * factor[channel];
        }
        let mut packed = Buffer::zeros(sets.last().map_or(0, |set| set.weights.0 + set.weights.1));
        for set in &sets {
            pack(&spec, *set, weights, &steps, &mut packed[set.weights.0..][..set.weights.1]);
        }
        Some(Self { vnni, spec, grid, sets, weights: packed, factor, bias: all, epilogue: Epilogue::new(activation) })
    }

    /// Convolves; lengths have been checked.
    pub fn run(&self, call: Call<'_>) {
        let (input, shape) = call.input;
        let (output, out_shape) = call.output;
        let [top, left, bottom, right] = self.spec.window.padding;
        let (height, width) = (shape.height + top + bottom, shape.width + left + right);
        let (planes, plane) = (shape.blocks(LANES), height * width);
        let border = f32::from_bits(u32::from_ne_bytes([(-self.grid.low) as u8; 4]));
        tasks::with_scratch(shape.batch * planes * plane * QUADS, |scratch| {
            let pixels = scratch.as_chunks_mut::<QUADS>().0;
            let from = input.as_chunks::<LANES>().0.chunks_exact(shape.pixels());
            let mut images: Vec<_> = pixels.chunks_exact_mut(plane).zip(from).collect();
            tasks::for_each(call.threads, &mut images, &|(to, from)| {
                self.vnni.vectorize(Convert {
                    bytes: self,
                    to,
                    width,
                    from,
                    columns: shape.width,
                    border: [border; QUADS],
                });
            });
            let spec = ConvSpec { in_channels: self.inputs() * self.spec.groups, ..self.spec };
            let geometry = Geometry::new::<LANES, LANES>(&spec, (width, plane), out_shape);
            let residual = call.residual.map(|r| (r.data.as_chunks::<LANES>().0, r.after));
            let out = output.as_chunks_mut::<LANES>().0;
            let mut jobs = jobs(&self.sets, out, out_shape, geometry.columns, call.threads);
            let frame = Frame { pixels, planes, plane };
            tasks::for_each(call.threads, &mut jobs, &|job| {
                self.vnni.vectorize(Piece { bytes: self, frame: &frame, geometry: &geometry, residual, job });
            });
        });
    }

    /// Input channels of a group, in whole blocks.
    fn inputs(&self) -> usize {
        (self.spec.in_channels / self.spec.groups).next_multiple_of(LANES)
    }
}

/// The number of which all these weights are multiples by whole numbers that are signed bytes.
fn step(weights: &[f32]) -> Option<f32> {
    /// Weights that were quantised are products of two floats, and may have been multiplied once more.
    const EXACT: f32 = 2e-4;
    let most = weights.iter().fold(0.0_f32, |most, weight| most.max(weight.abs()));
    if most == 0.0 {
        return Some(1.0);
    }
    let whole = |weight: f32, step: f32| {
        let steps = weight / step;
        (steps - steps.round()).abs() <= EXACT && (-128.0..=127.0).contains(&steps.round())
    };
    (1..=128_u8)
        .map(|steps| most / f32::from(steps))
        .find(|step| step.is_normal() && weights.iter().all(|weight| whole(*weight, *step)))
}

fn sets(spec: &ConvSpec) -> Vec<Set> {
    let blocks = (spec.out_channels / spec.groups).div_ceil(LANES);
    let count = blocks.div_ceil(MAX_BLOCKS);
    let inputs = (spec.in_channels / spec.groups).next_multiple_of(LANES);
    let mut start = 0;
    let all = (0..spec.groups).flat_map(|group| (0..count).map(move |i| (group, i)));
    let sets = all.map(|(group, i)| {
        let (first, end) = (blocks * i / count, blocks * (i + 1) / count);
        let weights = (start, inputs / QUADS * spec.window.taps() * (end - first) * LANES);
        start += weights.1;
        Set { block: group * blocks + first, blocks: end - first, group, weights }
    });
    sets.collect()
}

fn pack(spec: &ConvSpec, set: Set, weights: &[f32], steps: &[f32], packed: &mut [f32]) {
    let (inputs, taps) = (spec.in_channels / spec.groups, spec.window.taps());
    let mut next = packed.chunks_exact_mut(LANES);
    for first in (0..inputs).step_by(LANES) {
        for tap in 0..taps {
            for quad in (first..first + LANES).step_by(QUADS) {
                for block in set.block..set.block + set.blocks {
                    let Some(out) = next.next() else { return };
                    for (channel, out) in (block * LANES..spec.out_channels).zip(out) {
                        let byte = |input: usize| {
                            let weight = weights.get((channel * inputs + input) * taps + tap);
                            let weight = weight.filter(|_| input < inputs).copied().unwrap_or(0.0);
                            (weight / steps[channel]).round() as i8
                        };
                        let four: [i8; 4] = std::array::from_fn(|i| byte(quad + i));
                        *out = f32::from_bits(u32::from_ne_bytes(four.map(i8::cast_unsigned)));
                    }
                }
            }
        }
    }
}

/// A plane of the input to bytes, between borders of zeros.
struct Convert<'c> {
    bytes: &'c Bytes,
    to: &'c mut [[f32; QUADS]],
    /// Pixels of a row, borders included.
    width: usize,
    from: &'c [[f32; LANES]],
    columns: usize,
    border: [f32; QUADS],
}

impl Loop for Convert<'_> {
    #[inline(always)]
    fn run(self, vnni: Vnni) {
        let Grid { scale, low, .. } = self.bytes.grid;
        let inverse = 1.0 / scale;
        let [top, left, ..] = self.bytes.spec.window.padding;
        for (row, to) in self.to.chunks_exact_mut(self.width).enumerate() {
            let start = row.checked_sub(top).map(|row| row * self.columns);
            let Some(from) = start.and_then(|start| self.from.get(start..start + self.columns)) else {
                to.fill(self.border);
                continue;
            };
            to[..left].fill(self.border);
            for (to, from) in to[left..].iter_mut().zip(from) {
                vnni.to_bytes(from, inverse, low, to);
            }
            to[left + self.columns..].fill(self.border);
        }
    }
}

/// The input in bytes.
struct Frame<'f> {
    pixels: &'f [[f32; QUADS]],
    /// Planes of one image.
    planes: usize,
    /// Pixels of one plane, borders included.
    plane: usize,
}

struct Piece<'p, 'o> {
    bytes: &'p Bytes,
    frame: &'p Frame<'p>,
    geometry: &'p Geometry,
    residual: Option<(&'p [[f32; LANES]], Activation)>,
    job: &'p mut Job<'o, LANES>,
}

impl Loop for Piece<'_, '_> {
    #[inline(always)]
    fn run(self, vnni: Vnni) {
        let Self { bytes, frame, geometry, residual, job } = self;
        let set = job.set;
        let plane = job.image * frame.planes + set.group * (frame.planes / bytes.spec.groups);
        let (start, end) = (job.start, job.start + job.out[0].len());
        let mut position = start;
        while position < end {
            let column = position % geometry.columns;
            let count = tasks::SEGMENT.min(geometry.columns - column).min(end - position);
            let row = position / geometry.columns * geometry.row_stride + column * geometry.stride;
            let segment = Segment {
                input: &frame.pixels[plane * frame.plane + row..],
                stride: geometry.stride,
                steps: &geometry.full,
                weights: bytes.weights[set.weights.0..][..set.weights.1].as_chunks().0,
                factor: &bytes.factor.as_chunks().0[set.block..],
                bias: &bytes.bias.as_chunks().0[set.block..],
                bounds: bytes.epilogue.bounds,
                out: part(&mut job.out, set.blocks, position - start, count),
            };
            match set.blocks {
                4 => vnni.vectorize(Tiles::<4>(segment)),
                3 => vnni.vectorize(Tiles::<3>(segment)),
                2 => vnni.vectorize(Tiles::<2>(segment)),
                _ => vnni.vectorize(Tiles::<1>(segment)),
            }
            for (i, out) in job.out.iter_mut().take(set.blocks).enumerate() {
                let plane = job.image * geometry.blocks + set.block + i;
                let residual =
                    residual.map(|(data, after)| (&data[plane * geometry.pixels + position..][..count], after));
                bytes.epilogue.finish(vnni.floats(), &mut out[position - start..][..count], residual);
            }
            position += count;
        }
    }
}

/// Neighbouring output pixels of one row, for a few blocks of output channels.
struct Segment<'a> {
    /// From the pixel under the first tap of the first output pixel on.
    input: &'a [[f32; QUADS]],
    stride: usize,
    /// A step is one block of input channels under one tap: its distance from the first, in pixels.
    steps: &'a [usize],
    weights: &'a [[f32; LANES]],
    factor: &'a [[f32; LANES]],
    bias: &'a [[f32; LANES]],
    bounds: (f32, f32),
    out: [&'a mut [[f32; LANES]]; MAX_BLOCKS],
}

/// The segment in tiles of `O` blocks.
struct Tiles<'a, const O: usize>(Segment<'a>);

impl<const O: usize> Loop for Tiles<'_, O> {
    #[inline(always)]
    fn run(mut self, vnni: Vnni) {
        let (mut x, width) = (0, self.0.out[0].len());
        while x < width {
            x += match width - x {
                8.. if O < 4 => self.0.tile::<O, 8>(vnni, x),
                6.. if O == 4 => self.0.tile::<O, 6>(vnni, x),
                4.. => self.0.tile::<O, 4>(vnni, x),
                2.. => self.0.tile::<O, 2>(vnni, x),
                _ => self.0.tile::<O, 1>(vnni, x),
            };
        }
    }
}

impl Segment<'_> {
    /// Computes `P` pixels from `x` on, and says how many those are.
    #[inline(always)]
    fn tile<const O: usize, const P: usize>(&mut self, vnni: Vnni, x: usize) -> usize {
        let mut sums: [[Sums; O]; P] = [[vnni.zeros(); O]; P];
        let input = &self.input[x * self.stride..];
        let weights = self.weights.as_chunks::<O>().0.as_chunks::<QUADS>().0;
        for (offset, weights) in self.steps.iter().zip(weights) {
            let pixels = &input[*offset..][..(P - 1) * self.stride + 1];
            let pixels: [&[f32; QUADS]; P] = std::array::from_fn(|i| &pixels[i * self.stride]);
            unroll!(QUADS, 4, QUAD, {
                let mut w = [vnni.zeros(); O];
                unroll!(O, 4, O_INDEX, { w[O_INDEX] = vnni.load(&weights[QUAD][O_INDEX]) });
                unroll!(P, 8, P_INDEX, {
                    let four = vnni.splat(pixels[P_INDEX][QUAD]);
                    unroll!(O, 4, O_INDEX, {
                        sums[P_INDEX][O_INDEX] = vnni.dot(sums[P_INDEX][O_INDEX], four, w[O_INDEX])
                    });
                });
            });
        }
        let s = vnni.floats();
        let (low, high) = (s.splat(self.bounds.0), s.splat(self.bounds.1));
        unroll!(O, 4, O_INDEX, {
            let (factor, bias) = (s.load(&self.factor[O_INDEX]), s.load(&self.bias[O_INDEX]));
            let out = &mut self.out[O_INDEX][x..x + P];
            unroll!(P, 8, P_INDEX, {
                let sum = s.mul_add(vnni.to_floats(sums[P_INDEX][O_INDEX]), factor, bias);
                s.store(&mut out[P_INDEX], clamp(s, sum, low, high));
            });
        });
        P
    }
}
