//! Transformers that predict a set (DETR, YOLOS, RT-DETR, D-FINE, RF-DETR): class logits `[Q, classes]` and boxes
//! `[Q, 4]`, centre and size as fractions of the input.
//!
//! RT-DETR, D-FINE and RF-DETR (Zhao et al. 2023, arXiv 2304.08069, post-processor): the sigmoid of each logit is a
//! score. DETR and YOLOS (Carion et al. 2020, arXiv 2005.12872, `PostProcess`): a softmax over a query's logits, the
//! last of which means "no object". Neither needs NMS.

use ocellus_onnx::TensorInfo;

use super::candidates::Collector;
use super::find::{Outputs, rows_of_boxes};
use super::math::{edges, look_like_probabilities, sigmoid, softmax, softmax_parts};
use super::{Activation, Decoded, HeadError, Level, Rows, Selection, float, matrix_of, values};

const NAME: &str = "detr";

/// A checked `detr` head.
#[derive(Debug, Clone)]
pub struct Detr {
    activation: Activation,
    /// Indices of the outputs.
    scores: usize,
    boxes: usize,
    queries: usize,
    columns: usize,
    /// Width and height of the input.
    size: (f32, f32),
}

impl Detr {
    pub(super) fn new(
        activation: Activation,
        [scores, boxes]: [Option<&str>; 2],
        size: (usize, usize),
        outputs: &[TensorInfo],
    ) -> Result<Self, HeadError> {
        let outputs = Outputs { head: NAME, all: outputs };
        let (boxes, info) = outputs
            .find(boxes, "boxes", &["box", "dets", "coord"], "[batch, queries, 4]", |o| rows_of_boxes(o).is_some())?;
        let queries = rows_of_boxes(info).unwrap_or_default();
        let least = if activation == Activation::Softmax { 2 } else { 1 };
        let is_logits = |o: &TensorInfo| {
            o.name != info.name && matrix_of(o).is_some_and(|(rows, columns)| rows == queries && columns >= least)
        };
        let (scores, logits) = outputs.find(
            scores,
            "scores",
            &["logit", "score", "label", "cls", "class"],
            "[batch, queries, classes]",
            is_logits,
        )?;
        let columns = matrix_of(logits).map_or(least, |(_, columns)| columns);
        Ok(Self { activation, scores, boxes, queries, columns, size: (float(size.0), float(size.1)) })
    }

    pub(super) fn classes(&self) -> usize {
        self.columns - usize::from(self.activation == Activation::Softmax)
    }

    pub(super) fn rows(&self) -> usize {
        self.queries
    }

    /// None for a softmax, which takes whole rows.
    pub(super) fn selection(&self) -> Option<Selection> {
        let logits = match self.activation {
            Activation::Softmax => return None,
            Activation::Sigmoid => true,
            Activation::None => false,
        };
        let scores = Rows::new(self.scores, self.queries, self.columns);
        let levels = vec![Level { scores, others: vec![Rows::new(self.boxes, self.queries, 4)] }];
        Some(Selection { levels, objectness: None, classes: 0..self.columns, logits })
    }

    pub(super) fn decode(&self, outputs: &[&[f32]], score: f32) -> Result<Decoded, HeadError> {
        let logits = values(outputs, self.scores, self.queries * self.columns)?;
        let boxes = values(outputs, self.boxes, self.queries * 4)?;
        let mut found = Collector::new(score, self.size);
        if self.activation != Activation::None && look_like_probabilities(logits) {
            found.drop_many(self.queries);
        }
        let classes = self.classes();
        for (row, centre) in logits.chunks_exact(self.columns).zip(boxes.chunks_exact(4)) {
            let &[cx, cy, w, h] = centre else { continue };
            let parts = if self.activation == Activation::Softmax { softmax_parts(row) } else { (0.0, 1.0) };
            for (class, value) in row.iter().take(classes).enumerate() {
                let probability = match self.activation {
                    Activation::Sigmoid => sigmoid(*value),
                    Activation::Softmax => softmax(*value, parts),
                    Activation::None => *value,
                };
                if found.admits(probability) {
                    let [x1, y1, x2, y2] = edges([cx, cy, w, h]);
                    let (sw, sh) = self.size;
                    found.push(class, probability, [x1 * sw, y1 * sh, x2 * sw, y2 * sh]);
                }
            }
        }
        Ok(found.finish())
    }
}
