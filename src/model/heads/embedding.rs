//! Networks that describe a picture by a vector (DINOv2, CLIP's image tower, re-identification): pictures that look alike
//! have vectors with a large dot product, since the vector comes out with length 1.

use ocellus_onnx::TensorInfo;
use serde::{Deserialize, Serialize};

use super::find::Outputs;
use super::{Decoded, HeadError, float, values};

const NAME: &str = "embedding";

/// How a vector is made of several, one for each token of a transformer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pool {
    /// The first token's, which stands for the picture (`[CLS]`).
    First,
    /// The mean of all.
    Mean,
}

/// A checked `embedding` head.
#[derive(Debug, Clone)]
pub struct Embedding {
    pool: Pool,
    output: usize,
    tokens: usize,
    length: usize,
}

impl Embedding {
    pub(super) fn new(pool: Pool, output: Option<&str>, outputs: &[TensorInfo]) -> Result<Self, HeadError> {
        let outputs = Outputs { head: NAME, all: outputs };
        let (output, info) = match output {
            Some(name) => outputs.named(name)?,
            None => (0, outputs.only()?),
        };
        let (tokens, length) = match *info.shape.as_slice() {
            [_, length] | [_, length, 1, 1] | [length] if length > 1 => (1, length),
            [_, tokens, length] if tokens > 0 && length > 1 => (tokens, length),
            _ => return Err(outputs.wrong(info, "[batch, length] or [batch, tokens, length]".to_owned())),
        };
        Ok(Self { pool, output, tokens, length })
    }

    pub(super) fn rows(&self) -> usize {
        self.length
    }

    pub(super) fn decode(&self, outputs: &[&[f32]]) -> Result<Decoded, HeadError> {
        let output = values(outputs, self.output, self.tokens * self.length)?;
        let mut vector = vec![0.0_f32; self.length];
        let tokens = match self.pool {
            Pool::First => 1,
            Pool::Mean => self.tokens,
        };
        for token in output.chunks_exact(self.length).take(tokens) {
            for (sum, value) in vector.iter_mut().zip(token) {
                *sum += value / float(tokens);
            }
        }
        let length = vector.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        if !length.is_finite() || length <= 0.0 {
            return Ok(Decoded { invalid: self.length, ..Decoded::default() });
        }
        // A quotient of at most 1.
        #[allow(clippy::cast_possible_truncation)]
        let embedding = vector.iter().map(|v| (f64::from(*v) / length) as f32).collect();
        Ok(Decoded { embedding: Some(embedding), ..Decoded::default() })
    }
}
