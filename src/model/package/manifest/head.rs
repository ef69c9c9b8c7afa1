//! The `[head]` table.

use serde::Deserialize;

use super::{Checks, MAX_DETECTIONS};
use crate::model::heads::{Activation, HeadSpec, HeatmapSpec, Pool, Sizes, SsdSpec, YoloLayout, YoloSpec};
use crate::model::package::Task;

/// The longest side of an anchor, in pixels.
const MAX_ANCHOR: f32 = 16_384.0;
/// Most anchors of a stride.
const MAX_ANCHORS: usize = 32;
/// Most values of a proposal that are not read.
const MAX_EXTRA: usize = 4096;

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Yolox,
    Yolo,
    Gfl,
    Boxes,
    Detr,
    Listed,
    Ssd,
    Heatmap,
    Classify,
    Embedding,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeadTable {
    kind: Kind,
    layout: Option<YoloLayout>,
    strides: Option<Vec<u32>>,
    anchors: Option<Vec<Vec<[f32; 2]>>>,
    variances: Option<[f32; 2]>,
    bins: Option<usize>,
    extra: Option<usize>,
    labels: Option<String>,
    scores: Option<String>,
    boxes: Option<String>,
    offsets: Option<String>,
    output: Option<String>,
    background: Option<bool>,
    normalised: Option<bool>,
    logits: Option<bool>,
    sizes: Option<Sizes>,
    pool: Option<Pool>,
    activation: Option<Activation>,
    top_k: Option<usize>,
}

impl HeadTable {
    /// Keys with whether they are there, and whether they mean something to the kind of head.
    fn keys(&self) -> [(&'static str, bool, bool); 18] {
        use Kind::{Boxes, Classify, Detr, Embedding, Gfl, Heatmap, Listed, Ssd, Yolo, Yolox};
        let kind = self.kind;
        let any = |kinds: &[Kind]| kinds.contains(&kind);
        let raw = kind == Yolo && self.layout == Some(YoloLayout::Raw);
        [
            ("layout", self.layout.is_some(), kind == Yolo),
            ("strides", self.strides.is_some(), raw || any(&[Yolox, Gfl, Ssd])),
            ("anchors", self.anchors.is_some(), raw || kind == Ssd),
            ("variances", self.variances.is_some(), kind == Ssd),
            ("bins", self.bins.is_some(), kind == Gfl),
            ("extra", self.extra.is_some(), kind == Yolo),
            ("labels", self.labels.is_some(), kind == Listed),
            ("scores", self.scores.is_some(), any(&[Boxes, Detr, Listed, Ssd, Heatmap])),
            ("boxes", self.boxes.is_some(), any(&[Boxes, Detr, Listed, Ssd, Heatmap])),
            ("offsets", self.offsets.is_some(), kind == Heatmap),
            ("output", self.output.is_some(), kind == Embedding),
            ("background", self.background.is_some(), any(&[Boxes, Listed, Ssd])),
            ("normalised", self.normalised.is_some(), any(&[Boxes, Listed]) || (kind == Yolo && !raw)),
            ("logits", self.logits.is_some(), kind == Heatmap || (kind == Yolo && !raw)),
            ("sizes", self.sizes.is_some(), kind == Heatmap),
            ("pool", self.pool.is_some(), kind == Embedding),
            ("activation", self.activation.is_some(), any(&[Classify, Detr, Ssd])),
            ("top_k", self.top_k.is_some(), kind == Classify),
        ]
    }

    fn check(&self, task: Task, checks: &mut Checks<'_>) {
        let wanted = match self.kind {
            Kind::Classify => Task::Classify,
            Kind::Embedding => Task::Embed,
            _ => Task::Detect,
        };
        checks.that(task == wanted, &["head", "kind"], || {
            "head `classify` goes with `task = \"classify\"`, head `embedding` with `task = \"embed\"`, every other with \
             `task = \"detect\"`"
                .to_owned()
        });
        let keys = self.keys();
        for (key, present, fits) in keys {
            checks.that(!present || fits, &["head", key], || {
                let valid: Vec<&str> = keys.iter().filter(|k| k.2).map(|k| k.0).collect();
                format!("`{key}` means nothing to this kind of head; it takes {}", valid.join(", "))
            });
        }
        let bins = self.bins.unwrap_or(8);
        checks.that((2..=64).contains(&bins), &["head", "bins"], || format!("`bins` is {bins}; it takes 2 to 64"));
        let extra = self.extra.unwrap_or(0);
        checks.that(extra <= MAX_EXTRA, &["head", "extra"], || {
            format!("`extra` is {extra}; it takes 0 to {MAX_EXTRA} values")
        });
        let top_k = self.top_k.unwrap_or(5);
        checks.that((1..=MAX_DETECTIONS).contains(&top_k), &["head", "top_k"], || {
            format!("`top_k` is {top_k}; it takes 1 to {MAX_DETECTIONS}")
        });
        let variances = self.variances.unwrap_or([1.0; 2]);
        checks.that(variances.iter().all(|v| v.is_finite() && *v > 0.0), &["head", "variances"], || {
            "`variances` takes two numbers above 0, for centre and size, as [0.1, 0.2]".to_owned()
        });
    }

    /// Strides, and their anchors where the head has any.
    fn grids(&self, anchored: bool, checks: &mut Checks<'_>) -> (Vec<u32>, Vec<Vec<[f32; 2]>>) {
        let strides = self.strides.clone().unwrap_or_else(|| vec![8, 16, 32]);
        let ascending = strides.windows(2).all(|w| matches!(w, [a, b] if a < b));
        let good = ascending && (1..=8).contains(&strides.len());
        checks.that(good && strides.iter().all(|s| (1..=1024).contains(s)), &["head", "strides"], || {
            "`strides` takes 1 to 8 ascending numbers of pixels, each 1 to 1024, as [8, 16, 32]".to_owned()
        });
        let anchors = self.anchors.clone().unwrap_or_default();
        if anchored {
            let side = |v: &f32| (1e-3..=MAX_ANCHOR).contains(v);
            let level = |a: &Vec<[f32; 2]>| (1..=MAX_ANCHORS).contains(&a.len()) && a.as_flattened().iter().all(side);
            checks.that(anchors.len() == strides.len() && anchors.iter().all(level), &["head", "anchors"], || {
                format!(
                    "`anchors` takes a list of 1 to {MAX_ANCHORS} pairs of width and height in pixels for each of the {} \
                     strides, as [[[10, 13], [16, 30]], …]",
                    strides.len()
                )
            });
        }
        (strides, anchors)
    }
}

/// Checks and completes the table.
pub(super) fn head(table: HeadTable, task: Task, checks: &mut Checks<'_>) -> HeadSpec {
    table.check(task, checks);
    let layout = table.layout.unwrap_or(YoloLayout::V8);
    let raw = table.kind == Kind::Yolo && layout == YoloLayout::Raw;
    let (strides, anchors) = table.grids(raw || table.kind == Kind::Ssd, checks);
    let t = table;
    match t.kind {
        Kind::Yolox => HeadSpec::Yolox { strides },
        Kind::Yolo => HeadSpec::Yolo(YoloSpec {
            layout,
            logits: t.logits.unwrap_or(false),
            normalised: t.normalised.unwrap_or(false),
            extra: t.extra.unwrap_or(0),
            strides: if raw { strides } else { Vec::new() },
            anchors: if raw { anchors } else { Vec::new() },
        }),
        Kind::Gfl => HeadSpec::Gfl { strides, bins: t.bins.unwrap_or(8) },
        Kind::Boxes => HeadSpec::Boxes {
            scores: t.scores.unwrap_or_else(|| "scores".to_owned()),
            boxes: t.boxes.unwrap_or_else(|| "boxes".to_owned()),
            background: t.background.unwrap_or(false),
            normalised: t.normalised.unwrap_or(true),
        },
        Kind::Detr => {
            HeadSpec::Detr { activation: t.activation.unwrap_or(Activation::Sigmoid), scores: t.scores, boxes: t.boxes }
        }
        Kind::Listed => HeadSpec::Listed {
            labels: t.labels,
            boxes: t.boxes,
            scores: t.scores,
            background: t.background.unwrap_or(false),
            normalised: t.normalised.unwrap_or(false),
        },
        Kind::Ssd => HeadSpec::Ssd(SsdSpec {
            scores: t.scores,
            boxes: t.boxes,
            activation: t.activation.unwrap_or(Activation::Softmax),
            background: t.background.unwrap_or(true),
            strides,
            anchors,
            variances: t.variances.unwrap_or([0.1, 0.2]),
        }),
        Kind::Heatmap => HeadSpec::Heatmap(HeatmapSpec {
            sizes: t.sizes.unwrap_or(Sizes::Cells),
            logits: t.logits.unwrap_or(false),
            scores: t.scores,
            boxes: t.boxes,
            offsets: t.offsets,
        }),
        Kind::Classify => {
            HeadSpec::Classify { activation: t.activation.unwrap_or(Activation::Softmax), top_k: t.top_k.unwrap_or(5) }
        }
        Kind::Embedding => HeadSpec::Embedding { pool: t.pool.unwrap_or(Pool::First), output: t.output },
    }
}
