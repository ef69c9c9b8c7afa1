//! The YOLO family after YOLOX: boxes decoded by the network (`v5`, `v8`), detections chosen by it (`end-to-end`), and
//! raw grids with anchors (`raw`).
//!
//! Layouts, as Ultralytics' exporter documents its outputs ("Export" and "YOLO26" pages) and as YOLOv5's
//! `export.py` and `models/yolo.py` define them:
//! * `v5` (YOLOv5, v6, v7): `[N, 5 + classes]`, a row `cx, cy, w, h, objectness, class…`; score `objectness * class`.
//! * `v8` (v8, v9, 11, 12): `[4 + classes, N]`, a column `cx, cy, w, h, class…`; score is the class's.
//! * `end-to-end` (YOLOv10, YOLO26): `[K, 6]`, a row `x1, y1, x2, y2, score, class`, no NMS needed.
//!
//! Boxes are pixels of the input unless `normalised`. Further values of a proposal (mask coefficients, key points,
//! angles) are not read; where they are not the only thing left, `extra` says how many there are.

use ocellus_onnx::TensorInfo;
use serde::{Deserialize, Serialize};

use super::candidates::Collector;
use super::find::{Outputs, map_of};
use super::math::{class_of, edges, sigmoid};
use super::{Decoded, HeadError, Level, Rows, Selection, float, matrix_of, values};

pub(super) const NAME: &str = "yolo";

/// How proposals lie in the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum YoloLayout {
    /// `[N, 5 + classes]`, with objectness.
    V5,
    /// `[4 + classes, N]`.
    V8,
    /// `[K, 6]`: corners, score, class.
    EndToEnd,
    /// Grids with anchors, see `yolo_raw`.
    Raw,
}

/// What a description says of a `yolo` head.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct YoloSpec {
    /// How proposals lie.
    pub layout: YoloLayout,
    /// Whether scores are logits.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub logits: bool,
    /// Whether boxes are fractions of the input, not its pixels.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub normalised: bool,
    /// Values of a proposal behind its classes, which are not read.
    pub extra: usize,
    /// For `raw`: pixels a grid cell, finest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub strides: Vec<u32>,
    /// For `raw`: width and height of each stride's anchors, pixels of the input.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub anchors: Vec<Vec<[f32; 2]>>,
}

/// A checked `yolo` head whose boxes the network decodes.
#[derive(Debug, Clone)]
pub struct Yolo {
    spec: YoloSpec,
    /// Its place among the outputs.
    output: usize,
    rows: usize,
    columns: usize,
    /// Values of a proposal behind its classes.
    extra: usize,
    /// Width and height of the input.
    size: (f32, f32),
}

impl Yolo {
    pub(super) fn new(spec: &YoloSpec, size: (usize, usize), outputs: &[TensorInfo]) -> Result<Self, HeadError> {
        let outputs = Outputs { head: NAME, all: outputs };
        let (output, info, masks) = proposals(outputs)?;
        let extra = spec.extra.max(masks);
        let shape = matrix_of(info).filter(|_| info.shape.len() == 3);
        let (found, least, expected) = match spec.layout {
            YoloLayout::V8 => (shape.map(|(columns, rows)| (rows, columns)), 5, "4 + classes{}, proposals"),
            YoloLayout::V5 => (shape, 6, "proposals, 5 + classes{}"),
            YoloLayout::EndToEnd | YoloLayout::Raw => (shape, 6, "detections, 6{}"),
        };
        let (rows, columns) = found.filter(|(_, columns)| *columns >= least + extra).ok_or_else(|| {
            let more = if extra > 0 { format!(" + {extra}") } else { String::new() };
            outputs.wrong(info, format!("[batch, {}]", expected.replace("{}", &more)))
        })?;
        // Anything but a handful of extra numbers is a network of another layout.
        if spec.layout == YoloLayout::EndToEnd && columns != 6 + extra {
            return Err(outputs.wrong(info, format!("[batch, detections, {}]", 6 + extra)));
        }
        Ok(Self { spec: spec.clone(), output, rows, columns, extra, size: (float(size.0), float(size.1)) })
    }

    /// How many classes there are; none where the network gives their numbers only.
    pub(super) fn classes(&self) -> Option<usize> {
        match self.spec.layout {
            YoloLayout::EndToEnd => None,
            _ => Some(self.class_columns().len()),
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    fn class_columns(&self) -> std::ops::Range<usize> {
        match self.spec.layout {
            YoloLayout::V8 => 4..self.columns - self.extra,
            YoloLayout::EndToEnd => 4..5,
            _ => 5..self.columns - self.extra,
        }
    }

    pub(super) fn selection(&self) -> Selection {
        let transposed = self.spec.layout == YoloLayout::V8;
        let scores = Rows { transposed, ..Rows::new(self.output, self.rows, self.columns) };
        Selection {
            levels: vec![Level { scores, others: Vec::new() }],
            objectness: (self.spec.layout == YoloLayout::V5).then_some(4),
            classes: self.class_columns(),
            logits: self.spec.logits,
        }
    }

    pub(super) fn decode(&self, outputs: &[&[f32]], score: f32) -> Result<Decoded, HeadError> {
        let output = values(outputs, self.output, self.rows * self.columns)?;
        let mut found = Collector::new(score, self.size);
        match self.spec.layout {
            YoloLayout::V8 => self.columns_first(output, &mut found),
            YoloLayout::EndToEnd => {
                for row in output.chunks_exact(self.columns) {
                    self.detection(row, &mut found);
                }
            }
            _ => {
                for row in output.chunks_exact(self.columns) {
                    self.row(row, &mut found);
                }
            }
        }
        Ok(found.finish())
    }

    fn probability(&self, value: f32) -> f32 {
        if self.spec.logits { sigmoid(value) } else { value }
    }

    /// Edges in pixels. No box is less than nothing wide: such numbers are no decoded box, and come out as NaN.
    fn rect(&self, [cx, cy, w, h]: [f32; 4]) -> [f32; 4] {
        if w < 0.0 || h < 0.0 { [f32::NAN; 4] } else { self.pixels(edges([cx, cy, w, h])) }
    }

    fn pixels(&self, [x1, y1, x2, y2]: [f32; 4]) -> [f32; 4] {
        let (w, h) = if self.spec.normalised { self.size } else { (1.0, 1.0) };
        [x1 * w, y1 * h, x2 * w, y2 * h]
    }

    fn row(&self, row: &[f32], found: &mut Collector) {
        let [cx, cy, w, h, objectness, classes @ ..] = row else { return };
        let objectness = self.probability(*objectness);
        if !found.admits(objectness) {
            return;
        }
        for (class, value) in classes.iter().take(self.class_columns().len()).enumerate() {
            let score = objectness * self.probability(*value);
            if found.admits(score) {
                found.push(class, score, self.rect([*cx, *cy, *w, *h]));
            }
        }
    }

    fn detection(&self, row: &[f32], found: &mut Collector) {
        let [x1, y1, x2, y2, score, class, ..] = *row else { return };
        let score = self.probability(score);
        if found.admits(score) {
            match class_of(class) {
                Some(class) => found.push(class, score, self.pixels([x1, y1, x2, y2])),
                None => found.drop_one(),
            }
        }
    }

    /// Class by class, as the numbers lie; candidates are put back into the order of their proposals at the end.
    fn columns_first(&self, output: &[f32], found: &mut Collector) {
        let mut columns = output.chunks_exact(self.rows);
        let (Some(cx), Some(cy), Some(w), Some(h)) = (columns.next(), columns.next(), columns.next(), columns.next())
        else {
            return;
        };
        let centre = |i: usize| Some([*cx.get(i)?, *cy.get(i)?, *w.get(i)?, *h.get(i)?]);
        for (class, scores) in columns.take(self.class_columns().len()).enumerate() {
            for (i, value) in scores.iter().enumerate() {
                let score = self.probability(*value);
                if found.admits(score)
                    && let Some(centre) = centre(i)
                {
                    found.push(class, score, self.rect(centre));
                }
            }
        }
    }
}

/// The proposals' output, and how many mask coefficients each has: with a segmentation model comes a second output,
/// `[batch, coefficients, height, width]`.
fn proposals<'t>(outputs: Outputs<'t>) -> Result<(usize, &'t TensorInfo, usize), HeadError> {
    match outputs.all {
        [a, b] => match (map_of(a), map_of(b)) {
            (None, Some((masks, _, _))) => Ok((0, a, masks)),
            (Some((masks, _, _)), None) => Ok((1, b, masks)),
            _ => Err(HeadError::Count { head: NAME, expected: 1, got: 2 }),
        },
        _ => outputs.only().map(|output| (0, output, 0)),
    }
}
