//! How a model is to run on a burn device.

use burn::tensor::{DType, Device};

/// Width of the floats that weights and activations are kept in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Precision {
    /// 32 bits throughout.
    #[default]
    F32,
    /// 16 bits in convolutions, products of matrices and what lies between them. Sums, softmax and what follows the
    /// last product, as the decoding of boxes, stay in 32 bits; so do inputs and outputs.
    F16,
}

/// Options of a [`BurnPlan`](super::BurnPlan).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BurnOptions {
    /// Width of the floats on the device.
    pub precision: Precision,
}

impl BurnOptions {
    /// Refuses what the device cannot do.
    pub(super) fn accept(&self, device: &Device) -> Result<(), String> {
        if self.precision == Precision::F16 && !device.supports_dtype(DType::F16) {
            return Err("it has no 16-bit floats: use precision f32 for this model".into());
        }
        Ok(())
    }
}

/// An operator of the simplified graph that runs on the host, not on the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostStep {
    /// The node's name.
    pub node: String,
    /// Its operator.
    pub operator: String,
    /// Why it runs there.
    pub reason: String,
}
