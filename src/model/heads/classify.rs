//! Classifiers: one number a class for the whole picture.

use ocellus_onnx::TensorInfo;

use super::candidates::Collector;
use super::math::{look_like_probabilities, sigmoid, softmax, softmax_parts};
use super::{Activation, Decoded, HeadError, float, values};

const NAME: &str = "classify";

/// A checked `classify` head.
#[derive(Debug, Clone)]
pub struct Classify {
    activation: Activation,
    top_k: usize,
    classes: usize,
    /// Width and height of the input, which every candidate covers.
    size: (f32, f32),
}

impl Classify {
    pub(super) fn new(
        activation: Activation,
        top_k: usize,
        size: (usize, usize),
        outputs: &[TensorInfo],
    ) -> Result<Self, HeadError> {
        let [output] = outputs else {
            return Err(HeadError::Count { head: NAME, expected: 1, got: outputs.len() });
        };
        let classes = match output.shape.as_slice() {
            [_, classes] | [_, classes, 1, 1] | [classes] if *classes > 0 => *classes,
            got => {
                return Err(HeadError::Shape {
                    head: NAME,
                    output: output.name.clone(),
                    expected: "[batch, classes]".to_owned(),
                    got: got.to_vec(),
                });
            }
        };
        Ok(Self { activation, top_k, classes, size: (float(size.0), float(size.1)) })
    }

    pub(super) fn classes(&self) -> usize {
        self.classes
    }

    pub(super) fn decode(&self, outputs: &[&[f32]], score: f32) -> Result<Decoded, HeadError> {
        let output = values(outputs, 0, self.classes)?;
        let parts = softmax_parts(output);
        let mut found = Collector::new(score, self.size);
        if self.activation != Activation::None && is_distribution(output) {
            found.drop_many(self.classes);
        }
        for (class, value) in output.iter().enumerate() {
            let probability = match self.activation {
                // What is not finite stays so, and is dropped and counted.
                Activation::Softmax => softmax(*value, parts),
                Activation::Sigmoid => sigmoid(*value),
                Activation::None => *value,
            };
            if found.admits(probability) {
                found.push(class, probability, [0.0, 0.0, self.size.0, self.size.1]);
            }
        }
        let mut decoded = found.finish();
        decoded.candidates.truncate(self.top_k);
        Ok(decoded)
    }
}

/// Whether the network made probabilities already: no logits are all 0 to 1 and add up to 1.
fn is_distribution(output: &[f32]) -> bool {
    output.len() > 1 && look_like_probabilities(output) && (output.iter().sum::<f32>() - 1.0).abs() < 1e-3
}
