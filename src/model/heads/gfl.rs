//! Generalised focal loss heads (NanoDet, PicoDet): each side of a box is a distribution over bins.
//!
//! Per stride a pair of outputs: class probabilities `[N, classes]`, and logits `[N, 4 * bins]` of the
//! distances from the cell's centre to left, top, right, bottom. A distance is the expectation
//! `sum(k * softmax(bins)[k]) * stride`; the centre is at `(cell + 0.5) * stride`.

use ocellus_onnx::TensorInfo;

use super::candidates::Collector;
use super::{Decoded, HeadError, Rows, Selection, float, grid_cells_ceil, matrix_of, selection, values};

const NAME: &str = "gfl";

/// A checked `gfl` head.
#[derive(Debug, Clone)]
pub struct Gfl {
    levels: Vec<Level>,
    classes: usize,
    bins: usize,
    /// Width and height of the input.
    size: (f32, f32),
}

/// One stride's pair of outputs.
#[derive(Debug, Clone)]
struct Level {
    stride: usize,
    width: usize,
    cells: usize,
    /// Indices of the outputs.
    scores: usize,
    sides: usize,
}

/// An output with its place in the network's order and its extents.
struct Output<'t> {
    index: usize,
    info: &'t TensorInfo,
    rows: usize,
    columns: usize,
}

impl Gfl {
    pub(super) fn new(
        strides: &[u32],
        bins: usize,
        size: (usize, usize),
        outputs: &[TensorInfo],
    ) -> Result<Self, HeadError> {
        if outputs.len() != 2 * strides.len() {
            return Err(HeadError::Count { head: NAME, expected: 2 * strides.len(), got: outputs.len() });
        }
        let (scores, sides) = pair(outputs, bins)?;
        let classes = scores.first().map_or(0, |s| s.columns);
        let mut levels = Vec::with_capacity(strides.len());
        for ((stride, scores), sides) in strides.iter().zip(&scores).zip(&sides) {
            let stride = (*stride as usize).max(1);
            let cells = grid_cells_ceil(size, stride);
            for (output, columns) in [(scores, classes), (sides, 4 * bins)] {
                if (output.rows, output.columns) != (cells, columns) {
                    return Err(wrong(
                        output.info,
                        format!("[batch, {cells}, {columns}] for stride {stride} of a {}x{} input", size.0, size.1),
                    ));
                }
            }
            let width = size.0.div_ceil(stride);
            levels.push(Level { stride, width, cells, scores: scores.index, sides: sides.index });
        }
        Ok(Self { levels, classes, bins, size: (float(size.0), float(size.1)) })
    }

    pub(super) fn classes(&self) -> usize {
        self.classes
    }

    pub(super) fn rows(&self) -> usize {
        self.levels.iter().map(|level| level.cells).sum()
    }

    pub(super) fn selection(&self) -> Selection {
        let level = |level: &Level| selection::Level {
            scores: Rows::new(level.scores, level.cells, self.classes),
            others: vec![Rows::new(level.sides, level.cells, 4 * self.bins)],
        };
        let levels = self.levels.iter().map(level).collect();
        Selection { levels, objectness: None, classes: 0..self.classes, logits: false }
    }

    pub(super) fn decode(&self, outputs: &[&[f32]], score: f32) -> Result<Decoded, HeadError> {
        let mut found = Collector::new(score, self.size);
        let columns = 4 * self.bins;
        for level in &self.levels {
            let scores = values(outputs, level.scores, level.cells * self.classes)?;
            let sides = values(outputs, level.sides, level.cells * columns)?;
            let rows = scores.chunks_exact(self.classes).zip(sides.chunks_exact(columns));
            for (cell, (scores, sides)) in rows.enumerate() {
                // The softmax is the dear part: once a cell, and only where a class asks for it.
                let mut rect = None;
                for (class, probability) in scores.iter().enumerate() {
                    if found.admits(*probability) {
                        let rect = *rect.get_or_insert_with(|| level.rect(cell, sides, self.bins));
                        found.push(class, *probability, rect);
                    }
                }
            }
        }
        Ok(found.finish())
    }
}

impl Level {
    fn rect(&self, cell: usize, sides: &[f32], bins: usize) -> [f32; 4] {
        let stride = float(self.stride);
        let cx = (float(cell % self.width) + 0.5) * stride;
        let cy = (float(cell / self.width) + 0.5) * stride;
        let mut distances = [f32::NAN; 4];
        for (distance, logits) in distances.iter_mut().zip(sides.chunks_exact(bins)) {
            *distance = expectation(logits) * stride;
        }
        let [left, top, right, bottom] = distances;
        [cx - left, cy - top, cx + right, cy + bottom]
    }
}

/// The mean bin of a distribution given by logits; NaN where a logit is not finite.
fn expectation(logits: &[f32]) -> f32 {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let (mut sum, mut weighted) = (0.0, 0.0);
    for (bin, logit) in logits.iter().enumerate() {
        let weight = (logit - top).exp();
        sum += weight;
        weighted += weight * float(bin);
    }
    weighted / sum
}

/// Splits the outputs into scores and sides, each finest grid first.
fn pair(outputs: &[TensorInfo], bins: usize) -> Result<(Vec<Output<'_>>, Vec<Output<'_>>), HeadError> {
    let mut all = Vec::with_capacity(outputs.len());
    for (index, info) in outputs.iter().enumerate() {
        let (rows, columns) = matrix_of(info)
            .ok_or_else(|| wrong(info, format!("[batch, cells, classes] or [batch, cells, {}]", 4 * bins)))?;
        all.push(Output { index, info, rows, columns });
    }
    let half = all.len() / 2;
    let (mut sides, mut scores): (Vec<_>, Vec<_>) = if all.iter().all(|o| o.columns == 4 * bins) {
        // As many classes as numbers a box: only the order tells, scores first.
        let sides = all.split_off(half);
        (sides, all)
    } else {
        all.into_iter().partition(|o| o.columns == 4 * bins)
    };
    if let (true, Some(output)) = (sides.len() < half, scores.last()) {
        return Err(wrong(output.info, format!("{half} outputs of [batch, cells, {}]", 4 * bins)));
    }
    if let (true, Some(output)) = (scores.len() < half, sides.last()) {
        return Err(wrong(output.info, format!("{half} outputs of [batch, cells, classes]")));
    }
    scores.sort_by_key(|o| std::cmp::Reverse(o.rows));
    sides.sort_by_key(|o| std::cmp::Reverse(o.rows));
    Ok((scores, sides))
}

fn wrong(output: &TensorInfo, expected: String) -> HeadError {
    HeadError::Shape { head: NAME, output: output.name.clone(), expected, got: output.shape.clone() }
}
