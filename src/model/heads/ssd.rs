//! Single-shot detectors with prior boxes (Liu et al. 2016, arXiv 1512.02325): class scores `[N, classes]`, the first of
//! which is the background, and offsets `[N, 4]` from the priors.
//!
//! With `(px, py, pw, ph)` a prior's centre and size and `(vc, vs)` the variances (Caffe's `DetectionOutput`, code type
//! `CENTER_SIZE`): centre `p + vc * t * size of the prior`, size `size of the prior * exp(vs * t)`. Priors run
//! through the strides, finest first, each grid row by row, the priors of a cell in the order of `anchors`; their centres
//! are at `(cell + 0.5) * stride`.

use ocellus_onnx::TensorInfo;
use serde::Serialize;

use super::candidates::Collector;
use super::find::{Outputs, rows_of_boxes};
use super::math::{edges, sigmoid, softmax, softmax_parts};
use super::{Activation, Decoded, HeadError, float, grid_cells_ceil, matrix_of, values};

const NAME: &str = "ssd";

/// What a description says of an `ssd` head.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SsdSpec {
    /// Name of the scores' output; by default found by its shape.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scores: Option<String>,
    /// Name of the offsets' output; by default found by its shape.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boxes: Option<String>,
    /// What makes probabilities of the scores.
    pub activation: Activation,
    /// Whether the first column of the scores is the background, which is not a class.
    pub background: bool,
    /// Pixels a grid cell, finest first.
    pub strides: Vec<u32>,
    /// Width and height of each stride's priors, pixels of the input.
    pub anchors: Vec<Vec<[f32; 2]>>,
    /// What offsets of the centre and of the size are multiplied by.
    pub variances: [f32; 2],
}

/// A checked `ssd` head.
#[derive(Debug, Clone)]
pub struct Ssd {
    activation: Activation,
    background: usize,
    variances: [f32; 2],
    /// Centre and size of each prior, pixels.
    priors: Vec<[f32; 4]>,
    /// Indices of the outputs.
    scores: usize,
    boxes: usize,
    columns: usize,
    /// Width and height of the input.
    size: (f32, f32),
}

impl Ssd {
    pub(super) fn new(spec: &SsdSpec, size: (usize, usize), outputs: &[TensorInfo]) -> Result<Self, HeadError> {
        let outputs = Outputs { head: NAME, all: outputs };
        let background = usize::from(spec.background);
        let (boxes, offsets) =
            outputs.find(spec.boxes.as_deref(), "boxes", &["box", "loc"], "[batch, priors, 4]", |o| {
                rows_of_boxes(o).is_some()
            })?;
        let rows = rows_of_boxes(offsets).unwrap_or_default();
        let is_scores = |o: &TensorInfo| {
            o.name != offsets.name && matrix_of(o).is_some_and(|(n, columns)| n == rows && columns > background)
        };
        let (scores, info) = outputs.find(
            spec.scores.as_deref(),
            "scores",
            &["score", "conf", "cls", "class"],
            "[batch, priors, classes]",
            is_scores,
        )?;
        let count: usize = spec
            .strides
            .iter()
            .zip(&spec.anchors)
            .map(|(stride, anchors)| grid_cells_ceil(size, *stride as usize) * anchors.len())
            .sum();
        if count != rows {
            let (w, h) = size;
            return Err(
                outputs.wrong(offsets, format!("[batch, {count}, 4] for the priors described of a {w}x{h} input"))
            );
        }
        Ok(Self {
            activation: spec.activation,
            background,
            variances: spec.variances,
            priors: priors(spec, size),
            scores,
            boxes,
            columns: matrix_of(info).map_or(1, |(_, columns)| columns),
            size: (float(size.0), float(size.1)),
        })
    }

    pub(super) fn classes(&self) -> usize {
        self.columns - self.background
    }

    pub(super) fn rows(&self) -> usize {
        self.priors.len()
    }

    pub(super) fn decode(&self, outputs: &[&[f32]], score: f32) -> Result<Decoded, HeadError> {
        let scores = values(outputs, self.scores, self.priors.len() * self.columns)?;
        let offsets = values(outputs, self.boxes, self.priors.len() * 4)?;
        let mut found = Collector::new(score, self.size);
        let rows = scores.chunks_exact(self.columns).zip(offsets.chunks_exact(4));
        for ((row, offsets), prior) in rows.zip(&self.priors) {
            let parts = if self.activation == Activation::Softmax { softmax_parts(row) } else { (0.0, 1.0) };
            for (class, value) in row.iter().skip(self.background).enumerate() {
                let probability = match self.activation {
                    Activation::Softmax => softmax(*value, parts),
                    Activation::Sigmoid => sigmoid(*value),
                    Activation::None => *value,
                };
                if found.admits(probability) {
                    found.push(class, probability, self.rect(offsets, prior));
                }
            }
        }
        Ok(found.finish())
    }

    fn rect(&self, offsets: &[f32], [px, py, pw, ph]: &[f32; 4]) -> [f32; 4] {
        let &[tx, ty, tw, th] = offsets else { return [f32::NAN; 4] };
        let [centre, size] = self.variances;
        edges([px + centre * tx * pw, py + centre * ty * ph, pw * (size * tw).exp(), ph * (size * th).exp()])
    }
}

fn priors(spec: &SsdSpec, size: (usize, usize)) -> Vec<[f32; 4]> {
    let mut all = Vec::new();
    for (stride, anchors) in spec.strides.iter().zip(&spec.anchors) {
        let stride = (*stride as usize).max(1);
        for y in 0..size.1.div_ceil(stride) {
            for x in 0..size.0.div_ceil(stride) {
                let centre = |cell: usize| (float(cell) + 0.5) * float(stride);
                all.extend(anchors.iter().map(|[w, h]| [centre(x), centre(y), *w, *h]));
            }
        }
    }
    all
}
