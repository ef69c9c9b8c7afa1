//! CPU kernels on channel-blocked images.
//!
//! An image of `[N, C, H, W]` is kept as `[N, ceil(C / B), H, W, B]`, where the block `B` ([`Isa::lanes`]) is the
//! number of `f32` in one vector register of the machine. A pixel's block of channels is then one vector, so that
//! convolutions of any window, stride and padding run on whole registers without a copy of their input, and write
//! their output, bias, residual and activation applied, in the layout that the next one reads. Lanes beyond the
//! last channel are zero in weights; what activations leave in them is never read as a channel.
//!
//! Weights are packed once ([`Conv::new`], [`Gemm::new`]); a run takes slices, checks their lengths and spreads its
//! work over `threads` tasks of the current rayon pool (`1` stays on the calling thread).

mod activation;
mod buffer;
mod conv;
mod elementwise;
mod gemm;
mod isa;
mod layout;
mod math;
mod pool;

#[cfg(test)]
mod reference;
mod resize;
mod shape;
mod simd;
mod tasks;

pub use activation::{Activation, Grid};
pub use buffer::Buffer;
pub use conv::{Conv, ConvSpec, Residual};
pub use elementwise::{Binary, activate, binary, binary_channels, binary_scalar};
pub use gemm::Gemm;
pub use isa::Isa;
pub use layout::{Channel, gather_channels, to_blocked, to_channels_last, to_planar};
pub use pool::{Pool, PoolKind, global_average, global_max};
pub use resize::{Resize, Tap};
pub use shape::{Layout, Shape, Window};

/// What a kernel cannot do, found before anything is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    /// A slice does not have the length that the shape asks for.
    #[error("{what} has {got} values where the shape needs {expected}")]
    Length {
        /// Which slice.
        what: &'static str,
        /// Values that the shape needs.
        expected: usize,
        /// Values that were given.
        got: usize,
    },
    /// The operator, with these parameters, has no kernel here.
    #[error("no blocked kernel for {what}; run it on the plain layout")]
    Unsupported {
        /// What was asked for.
        what: String,
    },
}

/// Checks the length of a slice against its shape.
fn expect_len(what: &'static str, expected: usize, got: usize) -> Result<(), KernelError> {
    if expected == got { Ok(()) } else { Err(KernelError::Length { what, expected, got }) }
}

#[cfg(test)]
mod tests;
