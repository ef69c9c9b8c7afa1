//! Networks that choose detections themselves: labels `[K]`, boxes `[K, 4]` (left, top, right, bottom) and scores `[K]`.
//!
//! So RT-DETR and D-FINE come out of their own `export_onnx.py` (`labels`, `boxes`, `scores`; boxes in pixels of the
//! picture size given as `orig_target_sizes`), SSD out of the ONNX Model Zoo (`bboxes`, `labels`, `scores`; fractions)
//! and out of torchvision (`boxes`, `scores`, `labels`; pixels).

use ocellus_onnx::TensorInfo;

use super::candidates::Collector;
use super::find::{Outputs, rows_of_boxes};
use super::math::class_of;
use super::{Decoded, HeadError, float, values};

const NAME: &str = "listed";

/// A checked `listed` head.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Indices of the outputs.
    labels: usize,
    boxes: usize,
    scores: usize,
    rows: usize,
    /// Numbers of labels before the first class.
    background: usize,
    /// Pixels of the input a unit of the boxes.
    scale: (f32, f32),
    /// Width and height of the input.
    size: (f32, f32),
}

impl Listed {
    pub(super) fn new(
        [labels, boxes, scores]: [Option<&str>; 3],
        background: bool,
        normalised: bool,
        size: (usize, usize),
        outputs: &[TensorInfo],
    ) -> Result<Self, HeadError> {
        let outputs = Outputs { head: NAME, all: outputs };
        let (boxes, info) =
            outputs.find(boxes, "boxes", &["box"], "[batch, detections, 4]", |o| rows_of_boxes(o).is_some())?;
        let rows = rows_of_boxes(info).unwrap_or_default();
        let list = |o: &TensorInfo| matches!(o.shape.as_slice(), [n] | [_, n] if *n == rows);
        let find = |name, key, hints: &[&str]| outputs.find(name, key, hints, "[batch, detections]", list);
        let (labels, _) = find(labels, "labels", &["label", "class", "cls"])?;
        let (scores, _) = find(scores, "scores", &["score", "conf"])?;
        if labels == scores {
            return Err(HeadError::Count { head: NAME, expected: 3, got: outputs.all.len() });
        }
        let size = (float(size.0), float(size.1));
        let scale = if normalised { size } else { (1.0, 1.0) };
        Ok(Self { labels, boxes, scores, rows, background: usize::from(background), scale, size })
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn decode(&self, outputs: &[&[f32]], score: f32) -> Result<Decoded, HeadError> {
        let labels = values(outputs, self.labels, self.rows)?;
        let boxes = values(outputs, self.boxes, self.rows * 4)?;
        let scores = values(outputs, self.scores, self.rows)?;
        let mut found = Collector::new(score, self.size);
        let (sx, sy) = self.scale;
        for ((label, corners), score) in labels.iter().zip(boxes.chunks_exact(4)).zip(scores) {
            let &[x1, y1, x2, y2] = corners else { continue };
            if !found.admits(*score) {
                continue;
            }
            match class_of(*label).map(|class| class.checked_sub(self.background)) {
                Some(Some(class)) => found.push(class, *score, [x1 * sx, y1 * sy, x2 * sx, y2 * sy]),
                // The background is nothing.
                Some(None) => {}
                None => found.drop_one(),
            }
        }
        Ok(found.finish())
    }
}
