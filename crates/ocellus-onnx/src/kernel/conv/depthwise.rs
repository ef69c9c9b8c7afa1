//! Depthwise convolutions: each block of channels by itself, row by row, the input read in place. Columns whose
//! window crosses a border are computed one by one, those between them in tiles; rows outside are left out.

use super::ConvSpec;
use super::dense::Call;
use crate::kernel::buffer::Buffer;
use crate::kernel::math::{Epilogue, clamp};
use crate::kernel::simd::{Inner, Kernel, Simd};
use crate::kernel::{Activation, Isa, Shape, Window, tasks};

/// A packed depthwise convolution.
#[derive(Debug, Clone)]
pub struct Depthwise {
    window: Window,
    /// `[block of channels][row][column][channel]`.
    weights: Buffer,
    /// Padded to whole blocks.
    bias: Buffer,
    epilogue: Epilogue,
}

impl Depthwise {
    /// Packs the weights.
    pub fn new(isa: Isa, spec: ConvSpec, weights: &[f32], bias: &[f32], activation: Activation) -> Self {
        let lanes = isa.lanes();
        let (taps, channels) = (spec.window.taps(), spec.out_channels.next_multiple_of(lanes));
        let mut packed = Buffer::zeros(channels * taps);
        for (channel, weights) in weights.chunks_exact(taps).enumerate() {
            let block = &mut packed[channel / lanes * taps * lanes..];
            for (out, weight) in block.iter_mut().skip(channel % lanes).step_by(lanes).zip(weights) {
                *out = *weight;
            }
        }
        let mut padded = Buffer::zeros(channels);
        padded[..bias.len()].copy_from_slice(bias);
        Self { window: spec.window, weights: packed, bias: padded, epilogue: Epilogue::new(activation) }
    }

    /// Convolves; lengths have been checked.
    pub fn run(&self, isa: Isa, call: Call<'_>) {
        isa.dispatch(Run { depthwise: self, call });
    }
}

/// Pixels from which on tasks take rows of all channels, as steps around do, and not all rows of some channels.
const LARGE: usize = 512;

struct Run<'r, 'a> {
    depthwise: &'r Depthwise,
    call: Call<'a>,
}

impl Kernel for Run<'_, '_> {
    type Output = ();
    fn run<const B: usize, S: Simd<B>>(self, s: S) {
        let Self { depthwise, call } = self;
        let (output, out_shape) = call.output;
        let (input, shape) = call.input;
        let (out, _) = output.as_chunks_mut::<B>();
        let (input, _) = input.as_chunks::<B>();
        let residual = call.residual.map(|r| (r.data.as_chunks::<B>().0, r.after));
        let planes = out_shape.batch * out_shape.blocks(B);
        let pieces = if out_shape.pixels() < LARGE {
            tasks::pieces(call.threads, planes)
        } else {
            tasks::pieces_of_pixels(call.threads, planes, out_shape.pixels())
        };
        let rows = out_shape.height.div_ceil(pieces);
        let mut jobs = Vec::new();
        for (plane, out) in out.chunks_exact_mut(out_shape.pixels()).enumerate() {
            for (i, out) in out.chunks_mut(rows * out_shape.width).enumerate() {
                jobs.push((plane, i * rows, out));
            }
        }
        // Neighbours are shared out together: what they read was written together.
        jobs.sort_by_key(|(_, row, _)| *row);
        tasks::for_each(call.threads, &mut jobs, &|(plane, row, out)| {
            let block = *plane % out_shape.blocks(B);
            let taps = depthwise.window.taps();
            let start = *plane * out_shape.pixels() + *row * out_shape.width;
            s.vectorize(Rows {
                window: &depthwise.window,
                input: &input[*plane * shape.pixels()..][..shape.pixels()],
                shape,
                weights: &depthwise.weights.as_chunks::<B>().0[block * taps..][..taps],
                bias: &depthwise.bias.as_chunks::<B>().0[block],
                epilogue: &depthwise.epilogue,
                residual: residual.map(|(data, after)| (&data[start..][..out.len()], after)),
                row: *row,
                width: out_shape.width,
                out,
            });
        });
    }
}

/// Rows of one plane.
struct Rows<'a, const B: usize> {
    window: &'a Window,
    input: &'a [[f32; B]],
    shape: Shape,
    weights: &'a [[f32; B]],
    bias: &'a [f32; B],
    epilogue: &'a Epilogue,
    residual: Option<(&'a [[f32; B]], Activation)>,
    row: usize,
    width: usize,
    out: &'a mut [[f32; B]],
}

impl<const B: usize, S: Simd<B>> Inner<B, S> for Rows<'_, B> {
    #[inline(always)]
    fn run(self, s: S) {
        let window = self.window;
        match (window.kernel, window.stride, window.dilation) {
            ([3, 3], [1, 1], [1, 1]) => s.vectorize(Fixed::<3, 1, B>(self)),
            ([3, 3], [2, 2], [1, 1]) => s.vectorize(Fixed::<3, 2, B>(self)),
            ([5, 5], [1, 1], [1, 1]) => s.vectorize(Fixed::<5, 1, B>(self)),
            ([5, 5], [2, 2], [1, 1]) => s.vectorize(Fixed::<5, 2, B>(self)),
            _ => s.vectorize(Fixed::<0, 0, B>(self)),
        }
    }
}

/// Rows of a window with `K` columns and steps of `STRIDE`, compiled apart for each, which is faster to compile.
struct Fixed<'a, const K: usize, const STRIDE: usize, const B: usize>(Rows<'a, B>);

impl<const K: usize, const STRIDE: usize, const B: usize, S: Simd<B>> Inner<B, S> for Fixed<'_, K, STRIDE, B> {
    #[inline(always)]
    fn run(self, s: S) {
        self.0.rows::<K, STRIDE, S>(s);
    }
}

impl<const B: usize> Rows<'_, B> {
    /// `K` columns in the window and steps of `STRIDE` without dilation, or 0 and 0 for any.
    #[inline(always)]
    fn rows<const K: usize, const STRIDE: usize, S: Simd<B>>(mut self, s: S) {
        let window = *self.window;
        let columns = taps_inside(window, 1, self.shape.width, self.width);
        let (width, row) = (self.width, self.row);
        let out = std::mem::take(&mut self.out);
        for (i, out) in out.chunks_exact_mut(width).enumerate() {
            let top = (row + i) * window.stride[0];
            // The window's rows that lie inside.
            let (low, high) = inside(top, window.padding[0], window.dilation[0], window.kernel[0], self.shape.height);
            let line = Line { top, low, high };
            for (x, out) in out.iter_mut().enumerate().take(columns.0) {
                self.border(s, &line, x, out);
            }
            let mut x = columns.0;
            if K > 0 {
                x = self.tiles::<K, STRIDE, 8, S>(s, &line, x, columns.1, out);
                x = self.tiles::<K, STRIDE, 4, S>(s, &line, x, columns.1, out);
                x = self.tiles::<K, STRIDE, 2, S>(s, &line, x, columns.1, out);
                x = self.tiles::<K, STRIDE, 1, S>(s, &line, x, columns.1, out);
            }
            for (x, out) in out.iter_mut().enumerate().skip(x) {
                self.border(s, &line, x, out);
            }
            let residual = self.residual.map(|(data, after)| (&data[i * width..][..width], after));
            self.epilogue.finish(s, out, residual);
        }
    }

    #[inline(always)]
    fn tiles<const K: usize, const STRIDE: usize, const P: usize, S: Simd<B>>(
        &self,
        s: S,
        line: &Line,
        mut x: usize,
        end: usize,
        out: &mut [[f32; B]],
    ) -> usize {
        let left = self.window.padding[1];
        while x + P <= end {
            let mut sums = [s.load(self.bias); P];
            for tap in line.low..line.high {
                let start = (line.top + tap - self.window.padding[0]) * self.shape.width + x * STRIDE - left;
                let pixels = &self.input[start..][..(P - 1) * STRIDE + K];
                let weights = &self.weights[tap * K..][..K];
                for k in 0..K {
                    let w = s.load(&weights[k]);
                    for p in 0..P {
                        sums[p] = s.mul_add(s.load(&pixels[p * STRIDE + k]), w, sums[p]);
                    }
                }
            }
            let (low, high) = (s.splat(self.epilogue.bounds.0), s.splat(self.epilogue.bounds.1));
            for (out, sum) in out[x..x + P].iter_mut().zip(sums) {
                s.store(out, clamp(s, sum, low, high));
            }
            x += P;
        }
        x
    }

    /// One pixel of any window, wherever it lies.
    #[inline(always)]
    fn border<S: Simd<B>>(&self, s: S, line: &Line, x: usize, out: &mut [f32; B]) {
        let window = self.window;
        let left = x * window.stride[1];
        let (low, high) = inside(left, window.padding[1], window.dilation[1], window.kernel[1], self.shape.width);
        let mut sum = s.load(self.bias);
        for tap in line.low..line.high {
            let row = line.top + tap * window.dilation[0] - window.padding[0];
            for k in low..high {
                let column = left + k * window.dilation[1] - window.padding[1];
                let pixel = s.load(&self.input[row * self.shape.width + column]);
                sum = s.mul_add(pixel, s.load(&self.weights[tap * window.kernel[1] + k]), sum);
            }
        }
        let (low, high) = (s.splat(self.epilogue.bounds.0), s.splat(self.epilogue.bounds.1));
        s.store(out, clamp(s, sum, low, high));
    }
}

/// The rows of the input under one row of the output: tap `t` of `low..high` lies on `top + t * dilation - padding`.
struct Line {
    top: usize,
    low: usize,
    high: usize,
}

/// The taps of a window, beginning at `start` in the padded image, that lie inside an axis of `size`.
#[inline(always)]
fn inside(start: usize, padding: usize, dilation: usize, taps: usize, size: usize) -> (usize, usize) {
    let low = padding.saturating_sub(start).div_ceil(dilation).min(taps);
    let high = (size + padding).saturating_sub(start).div_ceil(dilation).min(taps);
    (low, high.max(low))
}

/// The outputs along an axis whose whole window lies inside the input.
fn taps_inside(window: Window, axis: usize, size: usize, outputs: usize) -> (usize, usize) {
    let (stride, padding) = (window.stride[axis], window.padding[axis]);
    let reach = window.dilation[axis] * (window.kernel[axis] - 1) + 1;
    let low = padding.div_ceil(stride).min(outputs);
    let high = (size + padding).checked_sub(reach).map_or(0, |last| last / stride + 1).min(outputs);
    (low, high.max(low))
}
