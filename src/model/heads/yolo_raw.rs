//! Raw grids of YOLOv5 and YOLOv7: for each stride `[anchors * (5 + classes), height, width]` or
//! `[anchors, height, width, 5 + classes]`, all logits.
//!
//! With `s` the sigmoid (YOLOv5, `models/yolo.py`, `Detect.forward`): centre `(2 s(t) - 0.5 + cell) * stride`, size
//! `(2 s(t))² * anchor`, score `s(objectness) * s(class)`.

use ocellus_onnx::TensorInfo;

use super::candidates::Collector;
use super::find::Outputs;
use super::math::{edges, sigmoid};
use super::yolo::{NAME, YoloSpec};
use super::{Decoded, HeadError, float, values};

/// A checked `yolo` head of layout `raw`.
#[derive(Debug, Clone)]
pub struct YoloRaw {
    levels: Vec<Grid>,
    columns: usize,
    /// Values of a proposal behind its classes.
    extra: usize,
    /// Width and height of the input.
    size: (f32, f32),
}

#[derive(Debug, Clone)]
struct Grid {
    stride: usize,
    width: usize,
    height: usize,
    anchors: Vec<[f32; 2]>,
    output: usize,
    /// Whether the values of a proposal lie apart: channels before cells.
    apart: bool,
}

impl YoloRaw {
    pub(super) fn new(spec: &YoloSpec, size: (usize, usize), outputs: &[TensorInfo]) -> Result<Self, HeadError> {
        let outputs = Outputs { head: NAME, all: outputs };
        if outputs.all.len() != spec.strides.len() {
            return Err(HeadError::Count { head: NAME, expected: spec.strides.len(), got: outputs.all.len() });
        }
        let mut levels = Vec::with_capacity(spec.strides.len());
        let mut columns = None;
        for (stride, anchors) in spec.strides.iter().zip(&spec.anchors) {
            let stride = (*stride as usize).max(1);
            let (width, height) = (size.0 / stride, size.1 / stride);
            let per_anchor = |info: &TensorInfo| columns_of(info, anchors.len(), (width, height));
            let good =
                |(apart, n): (bool, usize)| n > 5 + spec.extra && columns.is_none_or(|c| c == n) && (apart || n > 0);
            let found = outputs
                .all
                .iter()
                .enumerate()
                .find_map(|(i, o)| per_anchor(o).filter(|found| good(*found)).map(|(apart, n)| (i, apart, n)));
            let Some((output, apart, n)) = found else {
                let a = anchors.len();
                let expected = format!(
                    "[batch, {a} * (5 + classes), {height}, {width}] or [batch, {a}, {height}, {width}, 5 + classes] \
                     for stride {stride}"
                );
                return Err(outputs
                    .all
                    .first()
                    .map_or(HeadError::Count { head: NAME, expected: spec.strides.len(), got: 0 }, |first| {
                        outputs.wrong(outputs.all.get(levels.len()).unwrap_or(first), expected)
                    }));
            };
            columns = Some(n);
            levels.push(Grid { stride, width, height, anchors: anchors.clone(), output, apart });
        }
        let columns = columns.unwrap_or(6 + spec.extra);
        Ok(Self { levels, columns, extra: spec.extra, size: (float(size.0), float(size.1)) })
    }

    pub(super) fn classes(&self) -> usize {
        self.columns - 5 - self.extra
    }

    pub(super) fn rows(&self) -> usize {
        self.levels.iter().map(Grid::proposals).sum()
    }

    pub(super) fn decode(&self, outputs: &[&[f32]], score: f32) -> Result<Decoded, HeadError> {
        let mut found = Collector::new(score, self.size);
        for grid in &self.levels {
            let output = values(outputs, grid.output, grid.proposals() * self.columns)?;
            for (number, anchor) in grid.anchors.iter().enumerate() {
                for cell in 0..grid.width * grid.height {
                    let logit = |column| grid.value(output, self.columns, number, cell, column);
                    self.proposal(grid, cell, *anchor, logit, &mut found);
                }
            }
        }
        Ok(found.finish())
    }

    fn proposal(
        &self,
        grid: &Grid,
        cell: usize,
        anchor: [f32; 2],
        logit: impl Fn(usize) -> f32,
        found: &mut Collector,
    ) {
        let objectness = sigmoid(logit(4));
        if !found.admits(objectness) {
            return;
        }
        let stride = float(grid.stride);
        let centre = |column, cell| (2.0 * sigmoid(logit(column)) - 0.5 + float(cell)) * stride;
        let side = |column, anchor: f32| (2.0 * sigmoid(logit(column))).powi(2) * anchor;
        let rect =
            edges([centre(0, cell % grid.width), centre(1, cell / grid.width), side(2, anchor[0]), side(3, anchor[1])]);
        for class in 0..self.classes() {
            let score = objectness * sigmoid(logit(5 + class));
            if found.admits(score) {
                found.push(class, score, rect);
            }
        }
    }
}

impl Grid {
    fn proposals(&self) -> usize {
        self.anchors.len() * self.width * self.height
    }

    fn value(&self, output: &[f32], columns: usize, anchor: usize, cell: usize, column: usize) -> f32 {
        let cells = self.width * self.height;
        let at = if self.apart {
            (anchor * columns + column) * cells + cell
        } else {
            (anchor * cells + cell) * columns + column
        };
        output.get(at).copied().unwrap_or(f32::NAN)
    }
}

/// Whether the values of a proposal lie apart, and how many it has, in an output for such a grid.
fn columns_of(info: &TensorInfo, anchors: usize, (width, height): (usize, usize)) -> Option<(bool, usize)> {
    match *info.shape.as_slice() {
        [_, channels, h, w] if (w, h) == (width, height) && channels % anchors.max(1) == 0 => {
            Some((true, channels / anchors.max(1)))
        }
        [_, a, h, w, columns] if (a, w, h) == (anchors, width, height) => Some((false, columns)),
        _ => None,
    }
}
