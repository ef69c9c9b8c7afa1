//! Matrix products with a constant right side.

use super::{Activation, Isa, KernelError, expect_len};

/// A right side of a matrix product, packed: `activation(a * b + bias)`.
#[derive(Debug, Clone)]
pub struct Gemm {
    isa: Isa,
    k: usize,
    n: usize,
    weights: Vec<f32>,
    bias: Vec<f32>,
    activation: Activation,
}

impl Gemm {
    /// Packs `b` of `[k, n]` (or of `[n, k]` when `transposed`) and `bias` (`[n]`, or empty for none).
    ///
    /// # Errors
    /// [`KernelError::Length`] for slices that do not fit.
    pub fn new(
        isa: Isa,
        (k, n): (usize, usize),
        b: &[f32],
        transposed: bool,
        bias: &[f32],
        activation: Activation,
    ) -> Result<Self, KernelError> {
        expect_len("the right side", k * n, b.len())?;
        let bias = if bias.is_empty() { vec![0.0; n] } else { bias.to_vec() };
        expect_len("bias", n, bias.len())?;
        let weights = if transposed { (0..k * n).map(|i| b[(i % n) * k + i / n]).collect() } else { b.to_vec() };
        Ok(Self { isa, k, n, weights, bias, activation })
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
        let _ = (self.isa, threads);
        for row in 0..m {
            for column in 0..self.n {
                let dot: f32 = (0..self.k).map(|i| a[row * self.k + i] * self.weights[i * self.n + column]).sum();
                out[row * self.n + column] = self.activation.apply(dot + self.bias[column]);
            }
        }
        Ok(())
    }
}
