//! Pools over windows and over whole images, on blocked data.

use super::{Isa, KernelError, Shape, Window, expect_len, reference};

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
        let _ = threads;
        reference::pool(lanes, self.kind, &self.window, (input, shape), (out, out_shape));
        Ok(())
    }
}

/// The mean of each channel of each image: `[N, C, H, W]` to `[N, C, 1, 1]`, both blocked.
///
/// # Errors
/// [`KernelError::Length`] for slices that do not fit `shape`.
pub fn global_average(isa: Isa, input: &[f32], shape: Shape, out: &mut [f32]) -> Result<(), KernelError> {
    global(isa, input, shape, out, |values| values.clone().sum::<f32>() / values.count() as f32)
}

/// The largest value of each channel of each image: `[N, C, H, W]` to `[N, C, 1, 1]`, both blocked.
///
/// # Errors
/// [`KernelError::Length`] for slices that do not fit `shape`.
pub fn global_max(isa: Isa, input: &[f32], shape: Shape, out: &mut [f32]) -> Result<(), KernelError> {
    global(isa, input, shape, out, |values| values.fold(f32::NEG_INFINITY, f32::max))
}

fn global(
    isa: Isa,
    input: &[f32],
    shape: Shape,
    out: &mut [f32],
    reduce: impl Fn(std::iter::Copied<std::iter::StepBy<std::slice::Iter<'_, f32>>>) -> f32,
) -> Result<(), KernelError> {
    let lanes = isa.lanes();
    expect_len("the pool's input", shape.blocked_len(lanes), input.len())?;
    expect_len("the pool's output", Shape { height: 1, width: 1, ..shape }.blocked_len(lanes), out.len())?;
    for (out, plane) in out.chunks_mut(lanes).zip(input.chunks(shape.pixels() * lanes)) {
        for (lane, out) in out.iter_mut().enumerate() {
            *out = reduce(plane[lane..].iter().step_by(lanes).copied());
        }
    }
    Ok(())
}
