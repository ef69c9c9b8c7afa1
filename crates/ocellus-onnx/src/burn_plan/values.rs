//! Runs on values of any type.

use super::BurnPlan;
use crate::cpu::typed;
use crate::error::{Error, one_line};
use crate::tensor::Value;

impl BurnPlan {
    /// Runs the model on one value for each input, in the order of [`Graph::inputs`](crate::Graph::inputs);
    /// outputs come in the order of [`Graph::outputs`](crate::Graph::outputs), in the types of the file.
    ///
    /// # Errors
    /// [`Error::InputCount`] and [`Error::WrongInput`] for values that do not fit, [`Error::Device`], [`Error::Run`]
    /// when a step on the host fails.
    pub fn run_values(&self, inputs: &[Value]) -> Result<Vec<Value>, Error> {
        self.count(inputs.len())?;
        for (info, value) in self.inputs.iter().zip(inputs) {
            info.accept_value(value)?;
        }
        let inputs = inputs.iter().map(|value| value.elements.to_tract(&value.shape)).collect();
        let outputs = self.run_host(inputs)?;
        let read = self.outputs.iter().zip(&outputs).map(|(info, value)| typed(info.dtype, value));
        read.map(|value| value.map_err(|e| Error::Run { reason: one_line(&e) })).collect()
    }
}
