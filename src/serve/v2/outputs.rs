//! What was seen, as tensors.
//!
//! A tensor has one shape for all pictures of a request, but one picture shows more than another: `count` says how many
//! rows of the others count, and what is behind them is filled up.

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Value, json};

use super::request::InferRequest;
use crate::detection::Object;
use crate::model::engine::Outcome;
use crate::model::package::Task;
use crate::serve::error::{Refused, shown};

/// The class of a row that is filled up.
const NO_CLASS: i32 = -1;

/// An output as the metadata has it.
pub(super) struct Output {
    pub(super) name: &'static str,
    datatype: &'static str,
    /// Behind the number of pictures; -1 for as many rows as the fullest picture has.
    shape: &'static [i64],
}

impl Output {
    pub(super) fn metadata(&self) -> Value {
        let shape: Vec<i64> = std::iter::once(-1).chain(self.shape.iter().copied()).collect();
        json!({"name": self.name, "datatype": self.datatype, "shape": shape})
    }
}

const COUNT: Output = Output { name: "count", datatype: "INT32", shape: &[] };
const BOXES: Output = Output { name: "boxes", datatype: "FP32", shape: &[-1, 4] };
const SCORES: Output = Output { name: "scores", datatype: "FP32", shape: &[-1] };
const CLASSES: Output = Output { name: "classes", datatype: "INT32", shape: &[-1] };
const LABELS: Output = Output { name: "labels", datatype: "BYTES", shape: &[-1] };
const EMBEDDING: Output = Output { name: "embedding", datatype: "FP32", shape: &[-1] };

/// The outputs of models of a task.
pub(super) fn of(task: Task) -> &'static [Output] {
    match task {
        Task::Detect => &[COUNT, BOXES, SCORES, CLASSES, LABELS],
        Task::Classify => &[COUNT, SCORES, CLASSES, LABELS],
        Task::Embed => &[EMBEDDING],
    }
}

/// The outputs that a request wants, and whether each is to be in binary.
pub(super) fn wanted(request: &InferRequest, task: Task) -> Result<Vec<(&'static Output, bool)>, Refused> {
    let usual = request.parameters.binary_data_output;
    let all = of(task);
    if request.outputs.0.is_empty() {
        return Ok(all.iter().map(|output| (output, usual)).collect());
    }
    let one = |wanted: &super::request::Wanted| {
        if wanted.parameters.classification.is_some() {
            return Err(Refused::bad("the classification extension is not spoken here: take `labels` and `scores`"));
        }
        let output = all.iter().find(|output| output.name == wanted.name).ok_or_else(|| {
            let known = all.iter().map(|output| format!("`{}`", output.name)).collect::<Vec<_>>().join(", ");
            Refused::bad(format!("there is no output {}; there is {known}", shown(&wanted.name)))
        })?;
        Ok((output, wanted.parameters.binary_data.unwrap_or(usual)))
    };
    request.outputs.0.iter().map(one).collect()
}

/// Values of a tensor.
enum Values {
    Int(Vec<i32>),
    Float(Vec<f32>),
    Text(Vec<String>),
}

impl Values {
    fn json(&self) -> Value {
        match self {
            Self::Int(values) => json!(values),
            Self::Float(values) => json!(values),
            Self::Text(values) => json!(values),
        }
    }

    fn binary(&self, out: &mut BytesMut) {
        match self {
            Self::Int(values) => values.iter().for_each(|value| out.put_i32_le(*value)),
            Self::Float(values) => values.iter().for_each(|value| out.put_f32_le(*value)),
            Self::Text(values) => values.iter().for_each(|value| {
                out.put_u32_le(u32::try_from(value.len()).unwrap_or(u32::MAX));
                out.put_slice(value.as_bytes());
            }),
        }
    }
}

/// The outputs in JSON, and what of them comes behind it.
pub(super) fn tensors(outcomes: &[Outcome], wanted: &[(&'static Output, bool)]) -> (Vec<Value>, Bytes) {
    let mut rest = BytesMut::new();
    let mut listed = Vec::new();
    for (output, binary) in wanted {
        let (shape, values) = tensor(output, outcomes);
        let mut tensor = json!({"name": output.name, "datatype": output.datatype, "shape": shape});
        if *binary {
            let before = rest.len();
            values.binary(&mut rest);
            tensor["parameters"] = json!({"binary_data_size": rest.len() - before});
        } else {
            tensor["data"] = values.json();
        }
        listed.push(tensor);
    }
    (listed, rest.freeze())
}

fn tensor(output: &Output, outcomes: &[Outcome]) -> (Vec<usize>, Values) {
    let rows = outcomes.iter().map(|outcome| outcome.objects.len()).max().unwrap_or(0);
    let pictures = outcomes.len();
    match output.name {
        "count" => {
            let count = |outcome: &Outcome| i32::try_from(outcome.objects.len()).unwrap_or(i32::MAX);
            (vec![pictures], Values::Int(outcomes.iter().map(count).collect()))
        }
        "boxes" => {
            let four = |object: Option<&Object>| object.map_or([0.0; 4], |object| object.rect.into());
            let boxes = filled(outcomes, rows).flat_map(four);
            (vec![pictures, rows, 4], Values::Float(boxes.collect()))
        }
        "scores" => {
            let scores = filled(outcomes, rows).map(|object| object.map_or(0.0, |object| object.score));
            (vec![pictures, rows], Values::Float(scores.collect()))
        }
        "classes" => {
            let class = |object: &Object| i32::try_from(object.class).unwrap_or(NO_CLASS);
            let classes = filled(outcomes, rows).map(|object| object.map_or(NO_CLASS, class));
            (vec![pictures, rows], Values::Int(classes.collect()))
        }
        "labels" => {
            let labels = filled(outcomes, rows).map(|object| object.map_or("", |object| &object.label).to_owned());
            (vec![pictures, rows], Values::Text(labels.collect()))
        }
        _ => {
            let of = |outcome: &Outcome| outcome.embedding.as_ref().map_or(0, Vec::len);
            let length = outcomes.iter().map(of).max().unwrap_or(0);
            let values = outcomes.iter().flat_map(|outcome| outcome.embedding.iter().flatten().copied());
            (vec![pictures, length], Values::Float(values.collect()))
        }
    }
}

/// The objects of each picture, and nothing up to `rows`.
fn filled(outcomes: &[Outcome], rows: usize) -> impl Iterator<Item = Option<&Object>> {
    outcomes.iter().flat_map(move |outcome| (0..rows).map(|row| outcome.objects.get(row)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detection::Rect;

    fn outcome(labels: &[&str]) -> Outcome {
        let object = |(class, label): (usize, &&str)| Object {
            class,
            label: (*label).into(),
            score: 0.5,
            rect: Rect { x: 0.25, y: 0.5, w: 0.125, h: 0.0625 },
            track: None,
            zones: Vec::new(),
        };
        Outcome { objects: labels.iter().enumerate().map(object).collect(), ..Outcome::default() }
    }

    #[test]
    fn pictures_with_less_are_filled_up() {
        let outcomes = [outcome(&["bolt", "nut"]), outcome(&[]), outcome(&["é"])];
        let all: Vec<_> = of(Task::Detect).iter().map(|output| (output, false)).collect();
        let (listed, rest) = tensors(&outcomes, &all);
        assert!(rest.is_empty());
        let by_name = |name: &str| listed.iter().find(|tensor| tensor["name"] == name).expect("there").clone();
        assert_eq!(by_name("count")["data"], json!([2, 0, 1]));
        assert_eq!(
            (&by_name("classes")["shape"], &by_name("classes")["data"]),
            (&json!([3, 2]), &json!([0, 1, -1, -1, 0, -1]))
        );
        assert_eq!(by_name("labels")["data"], json!(["bolt", "nut", "", "", "é", ""]));
        assert_eq!(by_name("boxes")["shape"], json!([3, 2, 4]));
        assert_eq!(by_name("boxes")["data"].as_array().map(Vec::len), Some(24));
        // The same in binary, one behind the other.
        let binary: Vec<_> = all.iter().map(|(output, _)| (*output, true)).collect();
        let (listed, rest) = tensors(&outcomes, &binary);
        let sizes: Vec<u64> = listed.iter().filter_map(|t| t["parameters"]["binary_data_size"].as_u64()).collect();
        assert_eq!(sizes, [12, 96, 24, 24, 6 * 4 + 4 + 3 + 2]);
        assert_eq!(rest.len() as u64, sizes.iter().sum::<u64>());
        assert_eq!(rest[..12], [2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
        assert!(listed.iter().all(|tensor| tensor.get("data").is_none()));
    }

    #[test]
    fn nothing_seen_is_an_empty_tensor() {
        let all: Vec<_> = of(Task::Classify).iter().map(|output| (output, false)).collect();
        let (listed, _) = tensors(&[outcome(&[])], &all);
        assert_eq!((&listed[1]["shape"], &listed[1]["data"]), (&json!([1, 0]), &json!([])));
    }
}
