//! Matrix products with a constant right side, on the inner loops of the convolutions.

use super::conv::{ConvSpec, Dense};
use super::{Activation, Isa, KernelError, Layout, Shape, Window, expect_len, tasks, to_channels_last};

/// A right side of a matrix product, packed: `activation(a * b + bias)`.
#[derive(Debug, Clone)]
pub struct Gemm {
    isa: Isa,
    k: usize,
    n: usize,
    dense: Dense,
}

impl Gemm {
    /// Packs `b` of `[k, n]` (or of `[n, k]` when `transposed`) and `bias` (`[n]`, or empty for none).
    ///
    /// # Errors
    /// [`KernelError::Length`] for slices that do not fit, [`KernelError::Unsupported`] for an empty right side.
    pub fn new(
        isa: Isa,
        (k, n): (usize, usize),
        b: &[f32],
        transposed: bool,
        bias: &[f32],
        activation: Activation,
    ) -> Result<Self, KernelError> {
        if k == 0 || n == 0 {
            return Err(KernelError::Unsupported { what: format!("a right side of {k} x {n}") });
        }
        expect_len("the right side", k * n, b.len())?;
        if !bias.is_empty() {
            expect_len("bias", n, bias.len())?;
        }
        let window = Window::square(1, 1, 0);
        let spec = ConvSpec { in_channels: k, out_channels: n, groups: 1, window, input: Layout::Planar };
        let dense = if transposed {
            Dense::new(isa, spec, b, bias, activation)
        } else {
            let columns: Vec<f32> = (0..n).flat_map(|column| b[column..].iter().step_by(n).copied()).collect();
            Dense::new(isa, spec, &columns, bias, activation)
        };
        Ok(Self { isa, k, n, dense })
    }

    /// Rows of the right side.
    #[must_use]
    pub const fn k(&self) -> usize {
        self.k
    }

    /// Columns of the right side.
    #[must_use]
    pub const fn n(&self) -> usize {
        self.n
    }

    /// Multiplies `a` of `[m, k]` (plain row-major) into `out` of `[m, n]`, with `threads` tasks.
    ///
    /// # Errors
    /// [`KernelError::Length`] for slices that do not fit.
    pub fn run(&self, a: &[f32], m: usize, out: &mut [f32], threads: usize) -> Result<(), KernelError> {
        expect_len("the left side", m * self.k, a.len())?;
        expect_len("the product", m * self.n, out.len())?;
        if m == 0 {
            return Ok(());
        }
        let shape = Shape::new(1, self.n, 1, m);
        tasks::with_scratch(shape.blocked_len(self.isa.lanes()), |blocked| {
            self.dense.multiply(self.isa, a, (blocked, shape), threads);
            to_channels_last(self.isa, blocked, shape, out, threads)
        })
    }
}
