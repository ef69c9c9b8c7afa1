//! Convolutions over all channels of a group: packing, and the loops around the tiles.
//!
//! Output channels are computed in *sets* of up to four blocks. The input is read in place where the window has no
//! padding, else from a copy with its borders filled in. Sums over many steps are cut so that a set's weights stay
//! in the first-level cache while the pixels of a segment pass.

use super::tile::{MAX_BLOCKS, Segment};
use super::{ConvSpec, Residual, strips};
use crate::kernel::buffer::Buffer;
use crate::kernel::math::Epilogue;
use crate::kernel::simd::{Inner, Kernel, Simd};
use crate::kernel::{Activation, Isa, Layout, Shape, tasks};

/// Values of weights that pass over a segment at a time: 32 KiB.
const WEIGHTS: usize = 8192;

/// A few blocks of output channels that are computed together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Set {
    /// The first block, counted over all groups.
    pub(super) block: usize,
    pub(super) blocks: usize,
    /// The convolution's group.
    pub(super) group: usize,
    /// Where its weights begin, and how many there are.
    pub(super) weights: (usize, usize),
}

/// A packed dense convolution.
#[derive(Debug, Clone)]
pub struct Dense {
    pub(super) spec: ConvSpec,
    pub(super) sets: Vec<Set>,
    weights: Buffer,
    /// Padded to whole blocks.
    bias: Buffer,
    epilogue: Epilogue,
}

impl Dense {
    /// Packs the weights of the sets one after another: `[step][input channel][block][output channel]`.
    pub fn new(isa: Isa, spec: ConvSpec, weights: &[f32], bias: &[f32], activation: Activation) -> Self {
        let lanes = isa.lanes();
        let sets = sets(isa, &spec);
        let total = sets.last().map_or(0, |set| set.weights.0 + set.weights.1);
        let mut packed = Buffer::zeros(total);
        for set in &sets {
            pack(lanes, &spec, *set, weights, &mut packed[set.weights.0..][..set.weights.1]);
        }
        let mut padded = Buffer::zeros(spec.out_channels.next_multiple_of(lanes));
        padded[..bias.len()].copy_from_slice(bias);
        Self { spec, sets, weights: packed, bias: padded, epilogue: Epilogue::new(activation) }
    }

    /// Convolves; lengths have been checked.
    pub fn run(&self, isa: Isa, call: Call<'_>) {
        isa.dispatch(Run { dense: self, call });
    }

    /// Multiplies the rows of a matrix with the weights of a planar 1 x 1 convolution: a row is a pixel, whose
    /// channels lie side by side. The output is blocked.
    pub fn multiply(&self, isa: Isa, rows: &[f32], output: (&mut [f32], Shape), threads: usize) {
        isa.dispatch(Multiply { dense: self, rows, output, threads });
    }
}

/// One run of a convolution.
#[derive(Debug)]
pub struct Call<'a> {
    /// The input's values and shape.
    pub input: (&'a [f32], Shape),
    /// What to add.
    pub residual: Option<Residual<'a>>,
    /// The output's values and shape.
    pub output: (&'a mut [f32], Shape),
    /// Tasks.
    pub threads: usize,
}

/// Input channels of one step: a block, or one channel of the planar layout.
fn step_lanes(lanes: usize, spec: &ConvSpec) -> usize {
    if spec.input == Layout::Planar { 1 } else { lanes }
}

fn sets(isa: Isa, spec: &ConvSpec) -> Vec<Set> {
    let lanes = isa.lanes();
    let inputs = spec.in_channels / spec.groups;
    let blocks = (spec.out_channels / spec.groups).div_ceil(lanes);
    let most = if spec.input == Layout::Planar { isa.group().min(2) } else { isa.group() };
    let count = blocks.div_ceil(most);
    // Two threads share an even number evenly.
    let even = count + count % 2;
    let count = if count > 1 && blocks.is_multiple_of(even) { even } else { count };
    let mut sets = Vec::with_capacity(count * spec.groups);
    let mut start = 0;
    for group in 0..spec.groups {
        for i in 0..count {
            let (first, end) = (blocks * i / count, blocks * (i + 1) / count);
            let len = inputs * spec.window.taps() * (end - first) * lanes;
            sets.push(Set { block: group * blocks + first, blocks: end - first, group, weights: (start, len) });
            start += len;
        }
    }
    sets
}

fn pack(lanes: usize, spec: &ConvSpec, set: Set, weights: &[f32], packed: &mut [f32]) {
    let (inputs, taps) = (spec.in_channels / spec.groups, spec.window.taps());
    let width = step_lanes(lanes, spec);
    let mut next = packed.chunks_exact_mut(lanes);
    for first in (0..inputs).step_by(width) {
        for tap in 0..taps {
            for input in first..inputs.min(first + width) {
                for block in set.block..set.block + set.blocks {
                    let Some(out) = next.next() else { return };
                    for (channel, out) in (block * lanes..spec.out_channels).zip(out) {
                        *out = weights[(channel * inputs + input) * taps + tap];
                    }
                }
            }
        }
    }
}

struct Run<'r, 'a> {
    dense: &'r Dense,
    call: Call<'a>,
}

impl Kernel for Run<'_, '_> {
    type Output = ();
    fn run<const B: usize, S: Simd<B>>(self, s: S) {
        match self.dense.spec.input {
            Layout::Planar => run::<1, B, S>(s, self.dense, self.call),
            Layout::Blocked => run::<B, B, S>(s, self.dense, self.call),
        }
    }
}

struct Multiply<'r, 'a> {
    dense: &'r Dense,
    rows: &'a [f32],
    output: (&'a mut [f32], Shape),
    threads: usize,
}

impl Kernel for Multiply<'_, '_> {
    type Output = ();
    fn run<const B: usize, S: Simd<B>>(self, s: S) {
        let Self { dense, rows, output, threads } = self;
        let length = dense.spec.in_channels;
        let frame = Frame { pixels: rows.as_chunks::<1>().0, image: 0, planes: 0, plane: 0 };
        let geometry = Geometry {
            columns: output.1.pixels(),
            pixels: output.1.pixels(),
            blocks: output.1.blocks(B),
            stride: length,
            row_stride: 0,
            full: (0..length).collect(),
            rest: Vec::new(),
            rest_lanes: 0,
        };
        let call = Call { input: (rows, output.1), residual: None, output, threads };
        frames(s, dense, &frame, &geometry, call);
    }
}

/// The input as the inner loops see it.
pub(super) struct Frame<'a, const L: usize> {
    pub(super) pixels: &'a [[f32; L]],
    /// The image that its first planes belong to.
    pub(super) image: usize,
    /// Planes of one image.
    pub(super) planes: usize,
    /// Pixels of one plane, padding included.
    pub(super) plane: usize,
}

fn run<const L: usize, const B: usize, S: Simd<B>>(s: S, dense: &Dense, call: Call<'_>) {
    let (input, shape) = call.input;
    let (pixels, _) = input.as_chunks::<L>();
    let planes = if L == 1 { shape.channels } else { shape.blocks(B) };
    let [top, left, bottom, right] = dense.spec.window.padding;
    let (height, width) = (shape.height + top + bottom, shape.width + left + right);
    let plane = height * width;
    if plane == shape.pixels() {
        let frame = Frame { pixels, image: 0, planes, plane };
        frames(s, dense, &frame, &Geometry::new::<L, B>(&dense.spec, (width, plane), call.output.1), call);
        return;
    }
    let row = size_of::<[f32; L]>() * planes * width;
    if let Some(rows) = strips::rows(&dense.spec, row, call.output.1, call.threads) {
        strips::run::<L, B, S>(s, dense, call, rows);
        return;
    }
    tasks::with_scratch(shape.batch * planes * plane * L, |scratch| {
        let (padded, _) = scratch.as_chunks_mut::<L>();
        let mut jobs: Vec<_> = padded.chunks_exact_mut(plane).zip(pixels.chunks_exact(shape.pixels())).collect();
        tasks::for_each(call.threads, &mut jobs, &|(to, from)| {
            pad(to, width, from, shape.width, 0, dense.spec.window.padding)
        });
        let frame = Frame { pixels: padded, image: 0, planes, plane };
        frames(s, dense, &frame, &Geometry::new::<L, B>(&dense.spec, (width, plane), call.output.1), call);
    });
}

/// Copies a plane between borders of zeros: rows from `first` of the padded image on, as many as there is room for.
pub(super) fn pad<const L: usize>(
    to: &mut [[f32; L]],
    wide: usize,
    from: &[[f32; L]],
    width: usize,
    first: usize,
    [top, left, ..]: [usize; 4],
) {
    for (row, to) in (first..).zip(to.chunks_exact_mut(wide)) {
        let start = row.checked_sub(top).map(|row| row * width);
        let Some(from) = start.and_then(|start| from.get(start..start + width)) else {
            to.fill([0.0; L]);
            continue;
        };
        to[..left].fill([0.0; L]);
        to[left..left + width].copy_from_slice(from);
        to[left + width..].fill([0.0; L]);
    }
}

/// A piece of the output: pixels of one image from `start` on, for one set.
pub(super) struct Job<'o, const B: usize> {
    pub(super) image: usize,
    pub(super) set: Set,
    /// Its first pixel.
    pub(super) start: usize,
    /// The pixel of the output that the frame's first row is for.
    pub(super) top: usize,
    pub(super) out: [&'o mut [[f32; B]]; MAX_BLOCKS],
}

fn frames<const L: usize, const B: usize, S: Simd<B>>(
    s: S,
    dense: &Dense,
    frame: &Frame<'_, L>,
    geometry: &Geometry,
    call: Call<'_>,
) {
    let (output, out_shape) = call.output;
    let (out, _) = output.as_chunks_mut::<B>();
    let residual = call.residual.map(|r| (r.data.as_chunks::<B>().0, r.after));
    let mut jobs = jobs(&dense.sets, out, out_shape, geometry.columns, call.threads);
    tasks::for_each(call.threads, &mut jobs, &|job| {
        s.vectorize(Piece { dense, frame, geometry, residual, job });
    });
}

pub(super) fn jobs<'o, const B: usize>(
    sets: &[Set],
    out: &'o mut [[f32; B]],
    out_shape: Shape,
    columns: usize,
    threads: usize,
) -> Vec<Job<'o, B>> {
    let pixels = out_shape.pixels();
    let pieces = tasks::pieces_of_pixels(threads, out_shape.batch * sets.len(), pixels);
    // Whole rows; the single long row of a pointwise convolution is cut anywhere.
    let unit = if columns == pixels { 1 } else { columns };
    let size = (pixels / unit).div_ceil(pieces).max(1) * unit;
    let mut jobs = Vec::with_capacity(out_shape.batch * sets.len() * pieces);
    let mut planes = out.chunks_exact_mut(pixels);
    for image in 0..out_shape.batch {
        for set in sets {
            let mut left: [&mut [[f32; B]]; MAX_BLOCKS] = Default::default();
            for (slot, plane) in left.iter_mut().zip(planes.by_ref().take(set.blocks)) {
                *slot = plane;
            }
            for start in (0..pixels).step_by(size) {
                let mut piece: [&mut [[f32; B]]; MAX_BLOCKS] = Default::default();
                for (slot, left) in piece.iter_mut().zip(&mut left) {
                    let rest = std::mem::take(left);
                    let middle = size.min(rest.len());
                    (*slot, *left) = rest.split_at_mut(middle);
                }
                jobs.push(Job { image, set: *set, start, top: 0, out: piece });
            }
        }
    }
    // Neighbours are shared out together: they read the same pixels.
    jobs.sort_by_key(|job| (job.image, job.start));
    jobs
}

/// Distances in the frame, in pixels.
pub(super) struct Geometry {
    /// Output columns: all pixels where neither rows nor columns matter (1 x 1 windows of stride 1).
    pub(super) columns: usize,
    pub(super) pixels: usize,
    pub(super) blocks: usize,
    pub(super) stride: usize,
    pub(super) row_stride: usize,
    pub(super) full: Vec<usize>,
    rest: Vec<usize>,
    rest_lanes: usize,
}

impl Geometry {
    /// For planes of this width and number of pixels.
    pub(super) fn new<const L: usize, const B: usize>(
        spec: &ConvSpec,
        (width, plane): (usize, usize),
        out: Shape,
    ) -> Self {
        let window = &spec.window;
        let inputs = spec.in_channels / spec.groups;
        let offsets = |block: usize| {
            let [rows, columns] = window.kernel;
            (0..rows * columns).map(move |tap| {
                let (y, x) = (tap / columns * window.dilation[0], tap % columns * window.dilation[1]);
                block * plane + y * width + x
            })
        };
        let flat = window.taps() == 1 && window.stride == [1, 1] && plane == out.pixels();
        Self {
            columns: if flat { out.pixels() } else { out.width },
            pixels: out.pixels(),
            blocks: out.blocks(B),
            stride: window.stride[1],
            row_stride: window.stride[0] * width,
            full: (0..inputs / L).flat_map(offsets).collect(),
            rest: if inputs.is_multiple_of(L) { Vec::new() } else { offsets(inputs / L).collect() },
            rest_lanes: inputs % L,
        }
    }
}

pub(super) struct Piece<'p, 'o, const L: usize, const B: usize> {
    pub(super) dense: &'p Dense,
    pub(super) frame: &'p Frame<'p, L>,
    pub(super) geometry: &'p Geometry,
    pub(super) residual: Option<(&'p [[f32; B]], Activation)>,
    pub(super) job: &'p mut Job<'o, B>,
}

impl<const L: usize, const B: usize, S: Simd<B>> Inner<B, S> for Piece<'_, '_, L, B> {
    #[inline(always)]
    fn run(mut self, s: S) {
        let (start, end) = (self.job.start, self.job.start + self.job.out[0].len());
        let mut position = start;
        while position < end {
            let count =
                tasks::SEGMENT.min(self.geometry.columns - position % self.geometry.columns).min(end - position);
            self.sum(s, position, count);
            self.finish(s, position, count);
            position += count;
        }
    }
}

impl<const L: usize, const B: usize> Piece<'_, '_, L, B> {
    /// Computes `count` pixels of one row from `position` on, with as many passes as the weights need.
    #[inline(always)]
    fn sum<S: Simd<B>>(&mut self, s: S, position: usize, count: usize) {
        let Self { dense, frame, geometry, job, .. } = self;
        let set = job.set;
        let (row, column) = ((position - job.top) / geometry.columns, position % geometry.columns);
        let plane = (job.image - frame.image) * frame.planes + set.group * (frame.planes / dense.spec.groups);
        let first = plane * frame.plane + row * geometry.row_stride + column * geometry.stride;
        let (weights, _) = dense.weights[set.weights.0..][..set.weights.1].as_chunks::<B>();
        let (bias, _) = dense.bias.as_chunks::<B>();
        let steps = (WEIGHTS / (L * set.blocks * B)).max(1);
        let passes = geometry.full.len().div_ceil(steps).max(1);
        for pass in 0..passes {
            let from = pass * steps;
            let until = geometry.full.len().min(from + steps);
            let last = pass + 1 == passes;
            s.vectorize(Segment {
                input: &frame.pixels[first..],
                stride: geometry.stride,
                full: &geometry.full[from..until],
                rest: if last { &geometry.rest } else { &[] },
                rest_lanes: if last { geometry.rest_lanes } else { 0 },
                weights: &weights[from * L * set.blocks..],
                bias: (pass == 0).then(|| &bias[set.block..]),
                bounds: if last { dense.epilogue.bounds } else { (f32::NEG_INFINITY, f32::INFINITY) },
                out: part(&mut job.out, set.blocks, position - job.start, count),
                blocks: set.blocks,
            });
        }
    }

    #[inline(always)]
    fn finish<S: Simd<B>>(&mut self, s: S, position: usize, count: usize) {
        let Self { dense, geometry, job, .. } = self;
        for (i, out) in job.out.iter_mut().take(job.set.blocks).enumerate() {
            let plane = job.image * geometry.blocks + job.set.block + i;
            let residual =
                self.residual.map(|(data, after)| (&data[plane * geometry.pixels + position..][..count], after));
            dense.epilogue.finish(s, &mut out[position - job.start..][..count], residual);
        }
    }
}

/// The same pixels of each block.
#[inline(always)]
pub(super) fn part<'s, const B: usize>(
    out: &'s mut [&mut [[f32; B]]; MAX_BLOCKS],
    blocks: usize,
    start: usize,
    count: usize,
) -> [&'s mut [[f32; B]]; MAX_BLOCKS] {
    let mut part: [&mut [[f32; B]]; MAX_BLOCKS] = Default::default();
    for (part, out) in part.iter_mut().zip(out).take(blocks) {
        *part = &mut out[start..start + count];
    }
    part
}
