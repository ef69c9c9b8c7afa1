//! Changes of graphs that tract does not make.
//!
//! * Graphs made for one picture at a time are made to take several. Exporters write the batch of 1 into constants: the
//!   targets of reshapes, the sizes of resizes, tokens that are concatenated. [`batch`] generalises these while the shapes
//!   are worked out, [`proof`] holds what comes out against runs of the original, picture by picture. What does not agree
//!   is refused.
//! * Quantising and dequantising in a row become one function of floats ([`grid`]).
//! * Softplus and Mish get their names back, and with them their small and their large values ([`softplus`]).

mod batch;
mod grid;
mod proof;
mod softplus;

pub(crate) use batch::Generaliser;
pub(crate) use grid::{QuantizeDequantize, join};
pub(crate) use proof::{Proofs, prove};
pub(crate) use softplus::name;
