//! Functions of one and two values on whole tensors. Equal layouts make these kernels indifferent to the layout.

use super::{Activation, Isa, KernelError, Shape, expect_len};

/// A function of two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Binary {
    /// `a + b`.
    Add,
    /// `a - b`.
    Sub,
    /// `a * b`.
    Mul,
    /// `a / b`.
    Div,
    /// The larger.
    Max,
    /// The smaller.
    Min,
}

impl Binary {
    /// The function of one pair.
    #[must_use]
    pub fn apply(self, a: f32, b: f32) -> f32 {
        match self {
            Self::Add => a + b,
            Self::Sub => a - b,
            Self::Mul => a * b,
            Self::Div => a / b,
            Self::Max => a.max(b),
            Self::Min => a.min(b),
        }
    }
}

/// Applies a function to each value in place.
pub fn activate(isa: Isa, activation: Activation, data: &mut [f32], threads: usize) {
    let _ = (isa, threads);
    for x in data {
        *x = activation.apply(*x);
    }
}

/// `out = activation(a op b)` of tensors of equal length.
///
/// # Errors
/// [`KernelError::Length`] where the lengths differ.
pub fn binary(
    isa: Isa,
    op: Binary,
    a: &[f32],
    b: &[f32],
    activation: Activation,
    out: &mut [f32],
    threads: usize,
) -> Result<(), KernelError> {
    expect_len("the second operand", a.len(), b.len())?;
    expect_len("the output", a.len(), out.len())?;
    let _ = (isa, threads);
    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
        *out = activation.apply(op.apply(*a, *b));
    }
    Ok(())
}

/// `out = activation(a op b)` of a blocked image `a` and one value for each channel of each image, `b`, blocked too
/// (`[N, C, 1, 1]`).
///
/// # Errors
/// [`KernelError::Length`] for slices that do not fit `shape`.
pub fn binary_channels(
    isa: Isa,
    op: Binary,
    (a, shape): (&[f32], Shape),
    b: &[f32],
    activation: Activation,
    out: &mut [f32],
    threads: usize,
) -> Result<(), KernelError> {
    let lanes = isa.lanes();
    expect_len("the first operand", shape.blocked_len(lanes), a.len())?;
    expect_len("the second operand", Shape { height: 1, width: 1, ..shape }.blocked_len(lanes), b.len())?;
    expect_len("the output", a.len(), out.len())?;
    let _ = threads;
    let plane = shape.pixels() * lanes;
    for ((out, a), b) in out.chunks_mut(plane).zip(a.chunks(plane)).zip(b.chunks(lanes)) {
        for ((out, a), b) in out.iter_mut().zip(a).zip(b.iter().cycle()) {
            *out = activation.apply(op.apply(*a, *b));
        }
    }
    Ok(())
}

/// `out = activation(a op b)` with one value `b`.
///
/// # Errors
/// [`KernelError::Length`] where the lengths differ.
pub fn binary_scalar(
    isa: Isa,
    op: Binary,
    a: &[f32],
    b: f32,
    activation: Activation,
    out: &mut [f32],
    threads: usize,
) -> Result<(), KernelError> {
    expect_len("the output", a.len(), out.len())?;
    let _ = (isa, threads);
    for (out, a) in out.iter_mut().zip(a) {
        *out = activation.apply(op.apply(*a, b));
    }
    Ok(())
}
