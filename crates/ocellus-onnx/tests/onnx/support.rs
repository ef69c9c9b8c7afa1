//! Reference values: summaries in JSON, whole tensors in NumPy's format.

use std::path::Path;

use ocellus_onnx::Tensor;
use serde_json::Value;

/// What ONNX Runtime made of reproducible noise.
pub struct Reference {
    pub input_name: String,
    shape: Vec<usize>,
    seed: u64,
    low: f32,
    high: f32,
    outputs: Vec<Summary>,
}

struct Summary {
    name: String,
    shape: Vec<usize>,
    mean: f64,
    min: f64,
    max: f64,
    samples: Vec<f64>,
}

impl Reference {
    pub fn load(model: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/reference/{model}.json"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let json: Value = serde_json::from_str(&text).expect("JSON");
        let input = &json["input"];
        Self {
            input_name: input["name"].as_str().expect("a name").to_owned(),
            shape: extents(&input["shape"]),
            seed: input["seed"].as_u64().expect("a seed"),
            low: number(&input["low"]) as f32,
            high: number(&input["high"]) as f32,
            outputs: json["outputs"].as_array().expect("a list").iter().map(summary).collect(),
        }
    }

    /// The noise: Knuth's MMIX generator, 24 bits a value.
    pub fn input(&self) -> Tensor {
        let mut state = self.seed;
        let mut value = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            self.low + (self.high - self.low) * ((state >> 40) as f32 / 16_777_216.0)
        };
        let count = self.shape.iter().product();
        Tensor { shape: self.shape.clone(), data: (0..count).map(|_| value()).collect() }
    }

    /// The greatest difference of a mean, an extreme or a sample, relative to the output's range.
    pub fn worst_difference(&self, names: &[&str], outputs: &[Tensor]) -> f64 {
        let expected: Vec<&str> = self.outputs.iter().map(|o| o.name.as_str()).collect();
        assert_eq!(names, expected);
        assert_eq!(outputs.len(), expected.len());
        self.outputs.iter().zip(outputs).map(|(summary, output)| summary.difference(output)).fold(0.0, worse)
    }
}

impl Summary {
    fn difference(&self, output: &Tensor) -> f64 {
        assert_eq!(output.shape, self.shape, "{}", self.name);
        let values: Vec<f64> = output.data.iter().map(|v| f64::from(*v)).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let min = values.iter().copied().fold(f64::INFINITY, f64::min);
        let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let last = self.samples.len() - 1;
        let sampled = self.samples.iter().enumerate().map(|(k, v)| (*v, values[k * (values.len() - 1) / last]));
        let pairs = sampled.chain([(self.mean, mean), (self.min, min), (self.max, max)]);
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, worse) / (self.max - self.min)
    }
}

/// The larger of two; what is no number is worse than anything.
fn worse(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

/// The greatest difference, relative to the range of the expected values.
pub fn worst_difference(expected: &[f32], found: &[f32]) -> f64 {
    assert_eq!(expected.len(), found.len());
    let min = expected.iter().copied().fold(f32::INFINITY, f32::min);
    let max = expected.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let differences = expected.iter().zip(found).map(|(a, b)| f64::from((a - b).abs()));
    differences.fold(0.0, worse) / f64::from(max - min)
}

/// A tensor of little-endian `f32` in NumPy's `.npy` format, version 1.
pub fn npy(path: &Path) -> Tensor {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00", "{}", path.display());
    let end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..end]).expect("a header");
    assert!(header.contains("'<f4'") && header.contains("'fortran_order': False"), "{header}");
    let (_, rest) = header.split_once("'shape': (").expect("a shape");
    let (shape, _) = rest.split_once(')').expect("a shape");
    let shape = shape.split(',').filter_map(|n| n.trim().parse().ok()).collect();
    let data = bytes[end..].chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    Tensor { shape, data }
}

fn summary(json: &Value) -> Summary {
    Summary {
        name: json["name"].as_str().expect("a name").to_owned(),
        shape: extents(&json["shape"]),
        mean: number(&json["mean"]),
        min: number(&json["min"]),
        max: number(&json["max"]),
        samples: json["samples"].as_array().expect("samples").iter().map(number).collect(),
    }
}

fn extents(json: &Value) -> Vec<usize> {
    json.as_array().expect("a shape").iter().map(|n| n.as_u64().expect("an extent") as usize).collect()
}

fn number(json: &Value) -> f64 {
    json.as_f64().expect("a number")
}
