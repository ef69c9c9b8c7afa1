//! Pools over windows and over whole images, on blocked data.

use super::simd::{Inner, Kernel, Simd};
use super::{Isa, KernelError, Shape, Window, expect_len, tasks};

/// What a pool makes of the values in its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PoolKind {
    /// The largest; padding never counts.
    Max,
    /// Their mean.
    Average {
        /// Whether padding counts, as zeros.
        include_padding: bool,
    },
}

/// A pool over a sliding window.
#[derive(Debug, Clone, Copy)]
pub struct Pool {
    isa: Isa,
    kind: PoolKind,
    window: Window,
}

impl Pool {
    /// A pool; `None` for windows of which some would lie in padding alone (`padding >= kernel`), or without taps or
    /// steps.
    #[must_use]
    pub fn new(isa: Isa, kind: PoolKind, window: Window) -> Option<Self> {
        let [top, left, bottom, right] = window.padding;
        let reach = |axis: usize| window.dilation[axis] * window.kernel[axis].saturating_sub(1) + 1;
        let sound = !window.stride.contains(&0)
            && !window.dilation.contains(&0)
            && window.taps() > 0
            && window.dilation == [1, 1]
            && top.max(bottom) < reach(0)
            && left.max(right) < reach(1);
        sound.then_some(Self { isa, kind, window })
    }

    /// The shape of the output for an input of this shape; `None` where the window does not fit.
    #[must_use]
    pub fn output(&self, input: Shape) -> Option<Shape> {
        let [height, width] = self.window.output(input.height, input.width)?;
        Some(Shape { height, width, ..input })
    }

    /// Pools `input` of `shape` into `out`, both blocked.
    ///
    /// # Errors
    /// [`KernelError::Length`] for slices that do not fit, [`KernelError::Unsupported`] where the window does not.
    pub fn run(&self, input: &[f32], shape: Shape, out: &mut [f32], threads: usize) -> Result<(), KernelError> {
        let lanes = self.isa.lanes();
        let out_shape =
            self.output(shape).ok_or_else(|| KernelError::Unsupported { what: format!("a pool of {shape:?}") })?;
        expect_len("the pool's input", shape.blocked_len(lanes), input.len())?;
        expect_len("the pool's output", out_shape.blocked_len(lanes), out.len())?;
        self.isa.dispatch(Run { pool: self, input: (input, shape), out: (out, out_shape), threads });
        Ok(())
    }
}

struct Run<'a> {
    pool: &'a Pool,
    input: (&'a [f32], Shape),
    out: (&'a mut [f32], Shape),
    threads: usize,
}

impl Kernel for Run<'_> {
    type Output = ();
    fn run<const B: usize, S: Simd<B>>(self, s: S) {
        let Self { pool, input: (input, shape), out: (out, out_shape), threads } = self;
        let planes = out.as_chunks_mut::<B>().0.chunks_exact_mut(out_shape.pixels());
        let mut jobs: Vec<_> = planes.zip(input.as_chunks::<B>().0.chunks_exact(shape.pixels())).collect();
        tasks::for_each(threads, &mut jobs, &|(out, input)| {
            tasks::with_scratch(shape.height * out_shape.width * B, |scratch| {
                let (rows, _) = scratch.as_chunks_mut::<B>();
                s.vectorize(Plane { kind: pool.kind, window: &pool.window, input, shape, rows, out, out_shape });
            });
        });
    }
}

/// One plane. A window's maximum or sum is that of its rows' maxima or sums, which are computed first.
struct Plane<'a, const B: usize> {
    kind: PoolKind,
    window: &'a Window,
    input: &'a [[f32; B]],
    shape: Shape,
    rows: &'a mut [[f32; B]],
    out: &'a mut [[f32; B]],
    out_shape: Shape,
}

impl<const B: usize, S: Simd<B>> Inner<B, S> for Plane<'_, B> {
    #[inline(always)]
    fn run(self, s: S) {
        match self.kind {
            PoolKind::Max => self.pool(s, f32::NEG_INFINITY, |a, b| s.max(a, b)),
            PoolKind::Average { .. } => self.pool(s, 0.0, |a, b| s.add(a, b)),
        }
    }
}

impl<const B: usize> Plane<'_, B> {
    #[inline(always)]
    fn pool<S: Simd<B>>(self, s: S, start: f32, join: impl Fn(S::V, S::V) -> S::V) {
        let Self { kind, window, input, shape, rows, out, out_shape } = self;
        let width = out_shape.width;
        for (to, from) in rows.chunks_exact_mut(width).zip(input.chunks_exact(shape.width)) {
            for (x, to) in to.iter_mut().enumerate() {
                let (low, high) = covered(window, 1, x, shape.width);
                let value = from[low..high].iter().fold(s.splat(start), |sum, pixel| join(s.load(pixel), sum));
                s.store(to, value);
            }
        }
        for (y, to) in out.chunks_exact_mut(width).enumerate() {
            let (low, high) = covered(window, 0, y, shape.height);
            for (x, to) in to.iter_mut().enumerate() {
                let column = (low..high).map(|row| &rows[row * width + x]);
                let value = column.fold(s.splat(start), |sum, pixel| join(s.load(pixel), sum));
                let (left, right) = covered(window, 1, x, shape.width);
                let count = match kind {
                    PoolKind::Max => 1,
                    PoolKind::Average { include_padding: true } => window.taps(),
                    PoolKind::Average { include_padding: false } => (high - low) * (right - left),
                };
                s.store(to, s.mul(value, s.splat(1.0 / count as f32)));
            }
        }
    }
}

/// The part of an axis of `size` under the window of an output.
#[inline(always)]
fn covered(window: &Window, axis: usize, out: usize, size: usize) -> (usize, usize) {
    let start = out * window.stride[axis];
    let end = (start + window.kernel[axis]).saturating_sub(window.padding[axis]).min(size);
    (start.saturating_sub(window.padding[axis]).min(end), end)
}

/// The mean of each channel of each image: `[N, C, H, W]` to `[N, C, 1, 1]`, both blocked.
///
/// # Errors
/// [`KernelError::Length`] for slices that do not fit `shape`.
pub fn global_average(isa: Isa, input: &[f32], shape: Shape, out: &mut [f32]) -> Result<(), KernelError> {
    global(isa, input, shape, out, PoolKind::Average { include_padding: false })
}

/// The largest value of each channel of each image: `[N, C, H, W]` to `[N, C, 1, 1]`, both blocked.
///
/// # Errors
/// [`KernelError::Length`] for slices that do not fit `shape`.
pub fn global_max(isa: Isa, input: &[f32], shape: Shape, out: &mut [f32]) -> Result<(), KernelError> {
    global(isa, input, shape, out, PoolKind::Max)
}

fn global(isa: Isa, input: &[f32], shape: Shape, out: &mut [f32], kind: PoolKind) -> Result<(), KernelError> {
    let lanes = isa.lanes();
    expect_len("the pool's input", shape.blocked_len(lanes), input.len())?;
    expect_len("the pool's output", Shape { height: 1, width: 1, ..shape }.blocked_len(lanes), out.len())?;
    isa.dispatch(Global { kind, input, pixels: shape.pixels(), out });
    Ok(())
}

struct Global<'a> {
    kind: PoolKind,
    input: &'a [f32],
    pixels: usize,
    out: &'a mut [f32],
}

impl Kernel for Global<'_> {
    type Output = ();
    fn run<const B: usize, S: Simd<B>>(self, s: S) {
        s.vectorize(self);
    }
}

impl<const B: usize, S: Simd<B>> Inner<B, S> for Global<'_> {
    #[inline(always)]
    fn run(self, s: S) {
        let (input, _) = self.input.as_chunks::<B>();
        let (out, _) = self.out.as_chunks_mut::<B>();
        for (out, plane) in out.iter_mut().zip(input.chunks_exact(self.pixels)) {
            let value = match self.kind {
                PoolKind::Max => reduce(s, plane, f32::NEG_INFINITY, |a, b| s.max(a, b)),
                PoolKind::Average { .. } => {
                    let sum = reduce(s, plane, 0.0, |a, b| s.add(a, b));
                    s.mul(sum, s.splat(1.0 / self.pixels as f32))
                }
            };
            s.store(out, value);
        }
    }
}

/// Joins all pixels, four chains at a time, since each operation takes a few cycles.
#[inline(always)]
fn reduce<const B: usize, S: Simd<B>>(
    s: S,
    pixels: &[[f32; B]],
    start: f32,
    join: impl Fn(S::V, S::V) -> S::V,
) -> S::V {
    let [mut a, mut b, mut c, mut d] = [s.splat(start); 4];
    let (quads, rest) = pixels.as_chunks::<4>();
    for quad in quads {
        a = join(s.load(&quad[0]), a);
        b = join(s.load(&quad[1]), b);
        c = join(s.load(&quad[2]), c);
        d = join(s.load(&quad[3]), d);
    }
    for pixel in rest {
        a = join(s.load(pixel), a);
    }
    join(join(a, b), join(c, d))
}
