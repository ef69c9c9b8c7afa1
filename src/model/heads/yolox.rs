//! YOLOX: one anchor a grid cell, box relative to the cell, not decoded by the network.
//!
//! Row: `tx, ty, tw, th, objectness, class…`. Centre `(t + cell) * stride`, size `exp(t) * stride`,
//! score `objectness * class`. Rows run through the strides, finest first, each grid row by row.

use ocellus_onnx::TensorInfo;

use super::candidates::Collector;
use super::{Decoded, HeadError, Level, Rows, Selection, float, grid_cells_floor, matrix_of, values};

const NAME: &str = "yolox";

/// A checked `yolox` head.
#[derive(Debug, Clone)]
pub struct Yolox {
    /// Stride, columns and rows of each grid.
    grids: Vec<(usize, usize, usize)>,
    anchors: usize,
    columns: usize,
    /// Width and height of the input.
    size: (f32, f32),
}

impl Yolox {
    pub(super) fn new(strides: &[u32], size: (usize, usize), outputs: &[TensorInfo]) -> Result<Self, HeadError> {
        let [output] = outputs else {
            return Err(HeadError::Count { head: NAME, expected: 1, got: outputs.len() });
        };
        let strides = || strides.iter().map(|s| (*s as usize).max(1));
        let anchors: usize = strides().map(|s| grid_cells_floor(size, s)).sum();
        match matrix_of(output) {
            Some((rows, columns)) if rows == anchors && columns > 5 => {
                let grids = strides().map(|s| (s, size.0 / s, size.1 / s)).collect();
                Ok(Self { grids, anchors, columns, size: (float(size.0), float(size.1)) })
            }
            _ => Err(HeadError::Shape {
                head: NAME,
                output: output.name.clone(),
                expected: format!(
                    "[batch, {anchors}, 5 + classes] for strides {:?} of a {}x{} input",
                    strides().collect::<Vec<_>>(),
                    size.0,
                    size.1
                ),
                got: output.shape.clone(),
            }),
        }
    }

    pub(super) fn classes(&self) -> usize {
        self.columns - 5
    }

    pub(super) fn rows(&self) -> usize {
        self.anchors
    }

    pub(super) fn selection(&self) -> Selection {
        let scores = Rows::new(0, self.anchors, self.columns);
        let levels = vec![Level { scores, others: Vec::new() }];
        Selection { levels, objectness: Some(4), classes: 5..self.columns, logits: false }
    }

    pub(super) fn decode(&self, outputs: &[&[f32]], score: f32) -> Result<Decoded, HeadError> {
        let mut rows = values(outputs, 0, self.anchors * self.columns)?.chunks_exact(self.columns);
        let mut found = Collector::new(score, self.size);
        for &(stride, width, height) in &self.grids {
            let cells = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
            for (cell, row) in cells.zip(rows.by_ref()) {
                anchor(row, cell, float(stride), &mut found);
            }
        }
        Ok(found.finish())
    }
}

fn anchor(row: &[f32], (x, y): (usize, usize), stride: f32, found: &mut Collector) {
    let [tx, ty, tw, th, objectness, classes @ ..] = row else { return };
    // A class probability is at most 1, so no class can lift a weak anchor over the threshold.
    if !found.admits(*objectness) {
        return;
    }
    let (cx, cy) = ((tx + float(x)) * stride, (ty + float(y)) * stride);
    let (w, h) = (tw.exp() * stride, th.exp() * stride);
    let rect = [cx - w / 2.0, cy - h / 2.0, cx + w / 2.0, cy + h / 2.0];
    for (class, probability) in classes.iter().enumerate() {
        let score = objectness * probability;
        if found.admits(score) {
            found.push(class, score, rect);
        }
    }
}
