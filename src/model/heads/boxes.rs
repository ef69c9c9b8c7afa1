//! Networks that decode boxes themselves (UltraFace): `[N, classes]` scores and `[N, 4]` corners.

use ocellus_onnx::TensorInfo;

use super::candidates::Collector;
use super::find::Outputs;
use super::{Decoded, HeadError, Level, Rows, Selection, float, matrix_of, values};

const NAME: &str = "boxes";

/// A checked `boxes` head.
#[derive(Debug, Clone)]
pub struct Boxes {
    /// Indices of the outputs.
    scores: usize,
    boxes: usize,
    rows: usize,
    columns: usize,
    /// Columns of the scores that are no class.
    background: usize,
    /// Pixels of the input a unit of the boxes.
    scale: (f32, f32),
    /// Width and height of the input.
    size: (f32, f32),
}

impl Boxes {
    pub(super) fn new(
        [scores, boxes]: [&str; 2],
        background: bool,
        normalised: bool,
        size: (usize, usize),
        outputs: &[TensorInfo],
    ) -> Result<Self, HeadError> {
        let outputs = Outputs { head: NAME, all: outputs };
        let (scores, scores_info) = outputs.named(scores)?;
        let (boxes, boxes_info) = outputs.named(boxes)?;
        let background = usize::from(background);
        let (rows, columns) = matrix_of(scores_info)
            .filter(|(_, columns)| *columns > background)
            .ok_or_else(|| outputs.wrong(scores_info, "[batch, boxes, classes]".to_owned()))?;
        if matrix_of(boxes_info) != Some((rows, 4)) {
            return Err(outputs.wrong(boxes_info, format!("[batch, {rows}, 4]")));
        }
        let size = (float(size.0), float(size.1));
        let scale = if normalised { size } else { (1.0, 1.0) };
        Ok(Self { scores, boxes, rows, columns, background, scale, size })
    }

    pub(super) fn classes(&self) -> usize {
        self.columns - self.background
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn selection(&self) -> Selection {
        let scores = Rows::new(self.scores, self.rows, self.columns);
        let levels = vec![Level { scores, others: vec![Rows::new(self.boxes, self.rows, 4)] }];
        Selection { levels, objectness: None, classes: self.background..self.columns, logits: false }
    }

    pub(super) fn decode(&self, outputs: &[&[f32]], score: f32) -> Result<Decoded, HeadError> {
        let scores = values(outputs, self.scores, self.rows * self.columns)?;
        let boxes = values(outputs, self.boxes, self.rows * 4)?;
        let (sx, sy) = self.scale;
        let mut found = Collector::new(score, self.size);
        for (scores, corners) in scores.chunks_exact(self.columns).zip(boxes.chunks_exact(4)) {
            let &[x1, y1, x2, y2] = corners else { continue };
            for (class, probability) in scores.iter().skip(self.background).enumerate() {
                if found.admits(*probability) {
                    found.push(class, *probability, [x1 * sx, y1 * sy, x2 * sx, y2 * sy]);
                }
            }
        }
        Ok(found.finish())
    }
}
