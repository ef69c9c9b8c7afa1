//! Resizing of blocked images through a table of taps for each axis, so that every coordinate mode of ONNX is the
//! caller's table.

use super::simd::{Inner, Kernel, Simd};
use super::{Isa, KernelError, Shape, expect_len, tasks};

/// What a row or column of the output is made of: `(1 - weight) * input[low] + weight * input[high]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tap {
    /// The first row or column of the input.
    pub low: usize,
    /// The second.
    pub high: usize,
    /// Share of the second, 0 for nearest.
    pub weight: f32,
}

impl Tap {
    /// The tap of nearest-neighbour resizing.
    #[must_use]
    pub const fn nearest(index: usize) -> Self {
        Self { low: index, high: index, weight: 0.0 }
    }
}

/// Nearest or bilinear resizing.
#[derive(Debug, Clone)]
pub struct Resize {
    isa: Isa,
    rows: Vec<Tap>,
    columns: Vec<Tap>,
}

impl Resize {
    /// A resize to `rows.len()` rows and `columns.len()` columns.
    #[must_use]
    pub const fn new(isa: Isa, rows: Vec<Tap>, columns: Vec<Tap>) -> Self {
        Self { isa, rows, columns }
    }

    /// Resizes `input` of `shape` into `out` of `shape` with the new rows and columns, both blocked.
    ///
    /// # Errors
    /// [`KernelError::Length`] for slices that do not fit, [`KernelError::Unsupported`] for taps outside `shape`.
    pub fn run(&self, input: &[f32], shape: Shape, out: &mut [f32], threads: usize) -> Result<(), KernelError> {
        let lanes = self.isa.lanes();
        let out_shape = Shape { height: self.rows.len(), width: self.columns.len(), ..shape };
        expect_len("the resize's input", shape.blocked_len(lanes), input.len())?;
        expect_len("the resize's output", out_shape.blocked_len(lanes), out.len())?;
        let outside = |taps: &[Tap], size: usize| taps.iter().any(|t| t.low >= size || t.high >= size);
        if outside(&self.rows, shape.height) || outside(&self.columns, shape.width) {
            return Err(KernelError::Unsupported { what: format!("a resize of {shape:?} with taps outside") });
        }
        self.isa.dispatch(Run { resize: self, input, shape, out, threads });
        Ok(())
    }
}

struct Run<'a> {
    resize: &'a Resize,
    input: &'a [f32],
    shape: Shape,
    out: &'a mut [f32],
    threads: usize,
}

impl Kernel for Run<'_> {
    type Output = ();
    fn run<const B: usize, S: Simd<B>>(self, s: S) {
        let Self { resize, input, shape, out, threads } = self;
        let pixels = resize.rows.len() * resize.columns.len();
        let planes = out.as_chunks_mut::<B>().0.chunks_exact_mut(pixels.max(1));
        let mut jobs: Vec<_> = planes.zip(input.as_chunks::<B>().0.chunks_exact(shape.pixels().max(1))).collect();
        tasks::for_each(threads, &mut jobs, &|(out, input)| {
            s.vectorize(Plane { resize, input, width: shape.width, out });
        });
    }
}

struct Plane<'a, const B: usize> {
    resize: &'a Resize,
    input: &'a [[f32; B]],
    width: usize,
    out: &'a mut [[f32; B]],
}

impl<const B: usize, S: Simd<B>> Inner<B, S> for Plane<'_, B> {
    #[inline(always)]
    fn run(self, s: S) {
        let columns = &self.resize.columns;
        let nearest = columns.iter().all(|tap| tap.weight == 0.0);
        let row = |y: usize| &self.input[y * self.width..][..self.width];
        for (tap, out) in self.resize.rows.iter().zip(self.out.chunks_exact_mut(columns.len().max(1))) {
            if nearest && tap.weight == 0.0 {
                let row = row(tap.low);
                for (out, column) in out.iter_mut().zip(columns) {
                    *out = row[column.low];
                }
                continue;
            }
            let (top, bottom, share) = (row(tap.low), row(tap.high), s.splat(tap.weight));
            for (out, column) in out.iter_mut().zip(columns) {
                let across =
                    |row: &[[f32; B]]| mix(s, s.load(&row[column.low]), s.load(&row[column.high]), column.weight);
                let (a, b) = (across(top), across(bottom));
                s.store(out, s.mul_add(s.sub(b, a), share, a));
            }
        }
    }
}

/// `a` and `b` in shares of `1 - weight` and `weight`.
#[inline(always)]
fn mix<const B: usize, S: Simd<B>>(s: S, a: S::V, b: S::V, weight: f32) -> S::V {
    s.mul_add(s.sub(b, a), s.splat(weight), a)
}
