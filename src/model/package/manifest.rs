//! Reads `model.toml`: TOML to [`Spec`], or every mistake with its line and what would be right.

mod head;

use serde::Deserialize;
use toml::de::{DeTable, DeValue};

use self::head::{HeadTable, head};
use super::spec::{DEFAULT_WEIGHTS, EvaluationThresholds, Golden, Input, Provenance, Spec, Task, Thresholds, is_name};
use crate::config::{PrecisionChoice, nearest};
use crate::model::input::{Channels, Letterbox};

/// The longest side of a network's input, in pixels.
const MAX_INPUT: u32 = 4096;
/// The most detections a frame.
const MAX_DETECTIONS: usize = 1000;

/// One mistake in a `model.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong and what would be right.
    pub message: String,
}

impl std::fmt::Display for Mistake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    name: String,
    version: String,
    task: Task,
    weights: Option<String>,
    labels: Option<String>,
    #[serde(default)]
    precision: PrecisionChoice,
    input: InputTable,
    head: HeadTable,
    #[serde(default)]
    thresholds: ThresholdsTable,
    #[serde(default)]
    evaluation: EvaluationTable,
    #[serde(default)]
    golden: GoldenTable,
    #[serde(default)]
    provenance: Provenance,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InputTable {
    size: Option<[u32; 2]>,
    letterbox: Letterbox,
    resize_short: Option<u32>,
    pad: Option<f32>,
    #[serde(default)]
    channels: Channels,
    mean: Option<[f32; 3]>,
    std: Option<[f32; 3]>,
    scale: Option<f32>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct ThresholdsTable {
    score: Option<f32>,
    nms: Option<f32>,
    max_detections: Option<usize>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct EvaluationTable {
    score: Option<f32>,
    nms: Option<f32>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct GoldenTable {
    tolerance: Option<f32>,
}

/// Reads and checks a description.
///
/// # Errors
/// Every mistake found: the first one of syntax or type, else all of meaning.
pub fn parse(text: &str) -> Result<Spec, Vec<Mistake>> {
    let manifest: Manifest = toml::from_str(text).map_err(|error| vec![mistake_of_syntax(text, &error)])?;
    let mut checks = Checks { text, mistakes: Vec::new() };
    let spec = complete(manifest, &mut checks);
    if checks.mistakes.is_empty() { Ok(spec) } else { Err(checks.mistakes) }
}

fn complete(m: Manifest, checks: &mut Checks) -> Spec {
    for (key, value) in [("name", &m.name), ("version", &m.version)] {
        checks.that(is_name(value), &[key], || {
            format!("`{key}` is \"{value}\"; it takes 1 to 100 letters, digits, `.`, `_`, `-` and `+`, a letter or digit first")
        });
    }
    let head = head(m.head, m.task, checks);
    let input = input(m.input, checks);
    let detect = m.task == Task::Detect;
    let thresholds = Thresholds {
        score: m.thresholds.score.unwrap_or(if detect { 0.3 } else { 0.0 }),
        nms: m.thresholds.nms.unwrap_or(0.45),
        max_detections: m.thresholds.max_detections.unwrap_or(crate::eval::MAX_DETECTIONS),
    };
    let evaluation = EvaluationThresholds {
        score: m.evaluation.score.unwrap_or(if detect { 0.001 } else { 0.0 }),
        nms: m.evaluation.nms.unwrap_or(0.65),
    };
    let golden = m.golden.tolerance.map_or_else(Golden::default, |tolerance| Golden { tolerance });
    checks.fraction(golden.tolerance, &["golden", "tolerance"]);
    checks.fraction(thresholds.score, &["thresholds", "score"]);
    checks.fraction(thresholds.nms, &["thresholds", "nms"]);
    checks.fraction(evaluation.score, &["evaluation", "score"]);
    checks.fraction(evaluation.nms, &["evaluation", "nms"]);
    let max = thresholds.max_detections;
    checks.that((1..=MAX_DETECTIONS).contains(&max), &["thresholds", "max_detections"], || {
        format!("`max_detections` is {max}; it takes 1 to {MAX_DETECTIONS}")
    });
    Spec {
        name: m.name,
        version: m.version,
        task: m.task,
        weights: m.weights.unwrap_or_else(|| DEFAULT_WEIGHTS.to_owned()),
        labels: m.labels,
        precision: m.precision,
        input,
        head,
        thresholds,
        evaluation,
        golden,
        provenance: m.provenance,
    }
}

fn input(table: InputTable, checks: &mut Checks) -> Input {
    let input = Input {
        size: table.size,
        letterbox: table.letterbox,
        resize_short: table.resize_short,
        pad: table.pad.unwrap_or(0.0),
        channels: table.channels,
        mean: table.mean.unwrap_or([0.0; 3]),
        std: table.std.unwrap_or([1.0; 3]),
        scale: table.scale.unwrap_or(1.0),
    };
    if let Some([w, h]) = input.size {
        let good = [w, h].iter().all(|side| (1..=MAX_INPUT).contains(side));
        checks.that(good, &["input", "size"], || {
            format!("`size` is [{w}, {h}]; it takes width and height, each 1 to {MAX_INPUT} pixels")
        });
    }
    if let Some(side) = input.resize_short {
        let path = &["input", "resize_short"];
        checks.that((1..=MAX_INPUT).contains(&side), path, || {
            format!("`resize_short` is {side}; it takes 1 to {MAX_INPUT} pixels")
        });
        checks.that(input.letterbox == Letterbox::Crop, path, || {
            "`resize_short` only goes with `letterbox = \"crop\"`".to_owned()
        });
    }
    let pad = input.pad;
    checks.that((0.0..=255.0).contains(&pad), &["input", "pad"], || {
        format!("`pad` is {pad}; it takes a pixel value, 0 to 255")
    });
    checks.that(input.mean.iter().all(|v| v.is_finite()), &["input", "mean"], || {
        "`mean` takes three finite numbers".to_owned()
    });
    let positive = |v: &f32| v.is_finite() && *v > 1e-6;
    checks.that(input.std.iter().all(positive), &["input", "std"], || {
        "`std` takes three numbers above 0, as the input is divided by them".to_owned()
    });
    checks.that(positive(&input.scale), &["input", "scale"], || {
        "`scale` takes a number above 0, as pixel values are multiplied by it".to_owned()
    });
    input
}

struct Checks<'t> {
    text: &'t str,
    mistakes: Vec<Mistake>,
}

impl Checks<'_> {
    fn that(&mut self, holds: bool, path: &[&str], message: impl FnOnce() -> String) {
        if !holds {
            let line = line_of_key(self.text, path);
            self.mistakes.push(Mistake { line, message: message() });
        }
    }

    fn fraction(&mut self, value: f32, path: &[&str]) {
        self.that((0.0..=1.0).contains(&value), path, || format!("`{}` is {value}; it takes 0 to 1", path.join(".")));
    }
}

/// The line on which a key stands; that of the nearest table around it where it is left out.
fn line_of_key(text: &str, path: &[&str]) -> usize {
    let Ok(document) = DeTable::parse(text) else { return 1 };
    let mut table = document.get_ref();
    let mut offset = 0;
    for key in path {
        let Some((name, value)) = table.get_key_value(*key) else { break };
        offset = name.span().start;
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            _ => break,
        }
    }
    line_at(text, offset)
}

fn line_at(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or_default();
    1 + before.iter().filter(|b| **b == b'\n').count()
}

fn mistake_of_syntax(text: &str, error: &toml::de::Error) -> Mistake {
    let message = error.message();
    let message = match nearest_of_message(message) {
        Some(nearest) => format!("{message}; did you mean `{nearest}`?"),
        None => message.to_owned(),
    };
    Mistake { line: line_at(text, error.span().map_or(0, |span| span.start)), message }
}

/// The valid word nearest to the wrong one, from "unknown … `wrong`, expected one of `a`, `b`":
/// serde names the words in backticks, the wrong one first.
fn nearest_of_message(message: &str) -> Option<&str> {
    let mut words = message.starts_with("unknown").then(|| message.split('`').skip(1).step_by(2))?;
    let wrong = words.next()?;
    nearest(wrong, &words.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests;
