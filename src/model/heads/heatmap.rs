//! Objects as points: a heat map `[classes, H, W]`, sizes `[2, H, W]` and offsets `[2, H, W]` of each cell's object.
//!
//! * `cells`, CenterNet (Zhou et al. 2019, arXiv 1904.07850, `ctdet_decode`; outputs `hm`, `wh`, `reg`): width and height
//!   in cells, offsets of x and y; the centre is `cell + offset`.
//! * `log`, CenterFace (Xu et al. 2019, arXiv 1911.03599, `centerface.py`; four outputs, of which landmarks are not
//!   read): logarithms of height and width in cells, offsets of y and x; the centre is `cell + offset + 0.5`.
//!
//! A cell counts where no cell of its class in the 3x3 around it is warmer.

use ocellus_onnx::TensorInfo;
use serde::{Deserialize, Serialize};

use super::candidates::Collector;
use super::find::{Outputs, map_of};
use super::math::{edges, look_like_probabilities, sigmoid};
use super::{Decoded, HeadError, float, values};

const NAME: &str = "heatmap";

/// How sizes and offsets are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sizes {
    /// Width and height in cells.
    Cells,
    /// Logarithms of height and width in cells.
    Log,
}

/// What a description says of a `heatmap` head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeatmapSpec {
    /// How sizes and offsets are given.
    pub sizes: Sizes,
    /// Whether the heat map is logits.
    pub logits: bool,
    /// Name of the heat map's output; by default the first output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scores: Option<String>,
    /// Name of the sizes' output; by default the second output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boxes: Option<String>,
    /// Name of the offsets' output; by default the third output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offsets: Option<String>,
}

/// A checked `heatmap` head.
#[derive(Debug, Clone)]
pub struct Heatmap {
    sizes: Sizes,
    logits: bool,
    /// Indices of the outputs: heat map, sizes, offsets.
    outputs: [usize; 3],
    classes: usize,
    width: usize,
    height: usize,
    /// Width and height of the input.
    size: (f32, f32),
}

impl Heatmap {
    pub(super) fn new(spec: &HeatmapSpec, size: (usize, usize), outputs: &[TensorInfo]) -> Result<Self, HeadError> {
        let outputs = Outputs { head: NAME, all: outputs };
        let take = |name: &Option<String>, index: usize| match (name, outputs.all.get(index)) {
            (Some(name), _) => outputs.named(name),
            (None, Some(output)) => Ok((index, output)),
            (None, None) => Err(HeadError::Count { head: NAME, expected: 3, got: outputs.all.len() }),
        };
        let (heat, info) = take(&spec.scores, 0)?;
        let (classes, height, width) =
            map_of(info).ok_or_else(|| outputs.wrong(info, "[batch, classes, height, width]".to_owned()))?;
        let pair = |name, index| {
            let (index, info) = take(name, index)?;
            if map_of(info) == Some((2, height, width)) {
                return Ok(index);
            }
            Err(outputs.wrong(info, format!("[batch, 2, {height}, {width}]")))
        };
        let places = [heat, pair(&spec.boxes, 1)?, pair(&spec.offsets, 2)?];
        let (sizes, logits) = (spec.sizes, spec.logits);
        Ok(Self { sizes, logits, outputs: places, classes, width, height, size: (float(size.0), float(size.1)) })
    }

    pub(super) fn classes(&self) -> usize {
        self.classes
    }

    pub(super) fn rows(&self) -> usize {
        self.width * self.height
    }

    pub(super) fn decode(&self, outputs: &[&[f32]], score: f32) -> Result<Decoded, HeadError> {
        let cells = self.rows();
        let [heat, sizes, offsets] = self.outputs;
        let heat = values(outputs, heat, self.classes * cells)?;
        let sizes = values(outputs, sizes, 2 * cells)?.split_at(cells);
        let offsets = values(outputs, offsets, 2 * cells)?.split_at(cells);
        let mut found = Collector::new(score, self.size);
        if self.logits && look_like_probabilities(heat) {
            found.drop_many(cells);
        }
        for (class, map) in heat.chunks_exact(cells).enumerate() {
            for (cell, value) in map.iter().enumerate() {
                let probability = if self.logits { sigmoid(*value) } else { *value };
                if !found.admits(probability) || !self.is_peak(map, cell, *value) {
                    continue;
                }
                let pair = |(a, b): (&[f32], &[f32])| Some([*a.get(cell)?, *b.get(cell)?]);
                if let (Some(size), Some(offset)) = (pair(sizes), pair(offsets)) {
                    found.push(class, probability, self.rect(cell, size, offset));
                }
            }
        }
        Ok(found.finish())
    }

    fn is_peak(&self, map: &[f32], cell: usize, value: f32) -> bool {
        let (x, y) = (cell % self.width, cell / self.width);
        let around = |at: usize, end: usize| at.saturating_sub(1)..(at + 2).min(end);
        around(y, self.height).all(|y| {
            let row = around(x, self.width);
            let cells = map.get(y * self.width + row.start..y * self.width + row.end);
            cells.is_some_and(|cells| cells.iter().all(|other| *other <= value))
        })
    }

    fn rect(&self, cell: usize, [a, b]: [f32; 2], [p, q]: [f32; 2]) -> [f32; 4] {
        let (x, y) = (float(cell % self.width), float(cell / self.width));
        // Pixels a cell.
        let (sx, sy) = (self.size.0 / float(self.width), self.size.1 / float(self.height));
        match self.sizes {
            Sizes::Cells => edges([(x + p) * sx, (y + q) * sy, a * sx, b * sy]),
            Sizes::Log => edges([(x + q + 0.5) * sx, (y + p + 0.5) * sy, b.exp() * sx, a.exp() * sy]),
        }
    }
}
