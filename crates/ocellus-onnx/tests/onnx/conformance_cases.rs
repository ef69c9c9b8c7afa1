//! Cases as `tests/peers/onnx_cases.py` writes them: a folder each, with the model, values in NumPy's format, and
//! `case.json`.

use std::path::{Path, PathBuf};

use half::f16;
use ocellus_onnx::{ElementType, Elements, Value};
use serde_json::Value as Json;

/// One backend test.
pub struct Case {
    pub name: String,
    /// The operator it is about, or the kind of network.
    pub operator: String,
    pub model: Vec<u8>,
    pub inputs: Vec<Value>,
    outputs: Vec<Value>,
    relative: f64,
    absolute: f64,
}

/// Which cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One operator each, or a few.
    Operators,
    /// Whole networks.
    Networks,
}

/// All cases of a kind, by name; nothing where they were not written.
pub fn all(kind: Kind) -> Option<Vec<Case>> {
    let Some(root) = std::env::var_os("OCELLUS_ONNX_CASES").map(PathBuf::from).filter(|root| root.is_dir()) else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI must have the ONNX backend tests");
        eprintln!("skipped: $OCELLUS_ONNX_CASES names no folder with the ONNX backend tests (scripts/test sets it)");
        return None;
    };
    let entries = std::fs::read_dir(&root).unwrap_or_else(|e| panic!("{}: {e}", root.display()));
    let mut folders: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).filter(|p| p.is_dir()).collect();
    folders.sort();
    let network = |folder: &PathBuf| folder.file_name().is_some_and(|n| n.to_string_lossy().starts_with("light_"));
    folders.retain(|folder| network(folder) == (kind == Kind::Networks));
    assert!(
        folders.len() >= if kind == Kind::Networks { 9 } else { 1258 },
        "{} has {} cases only",
        root.display(),
        folders.len()
    );
    Some(folders.iter().map(|folder| Case::read(folder)).collect())
}

impl Case {
    fn read(folder: &Path) -> Self {
        let bytes = |name: &str| {
            let path = folder.join(name);
            std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
        };
        let json: Json = serde_json::from_slice(&bytes("case.json")).expect("JSON");
        let number = |key: &str| json[key].as_f64().expect("a number");
        let values = |kind: &str| -> Vec<Value> {
            let names = (0..).map(|k| format!("{kind}_{k}.npy")).take_while(|name| folder.join(name).exists());
            names.map(|name| npy(&bytes(&name))).collect()
        };
        Self {
            name: folder.file_name().expect("a name").to_string_lossy().into_owned(),
            operator: json["operator"].as_str().expect("an operator").to_owned(),
            model: bytes("model.onnx"),
            inputs: values("in"),
            outputs: values("out"),
            relative: number("rtol"),
            absolute: number("atol"),
        }
    }

    /// In what the outputs differ from those of the standard.
    pub fn difference(&self, outputs: &[Value]) -> Option<String> {
        if outputs.len() != self.outputs.len() {
            return Some(format!("{} outputs, not {}", outputs.len(), self.outputs.len()));
        }
        self.outputs.iter().zip(outputs).enumerate().find_map(|(ix, (expected, found))| {
            if (expected.element_type(), &expected.shape) != (found.element_type(), &found.shape) {
                let say = |v: &Value| format!("{} {:?}", v.element_type(), v.shape);
                return Some(format!("output {ix} is {}, not {}", say(found), say(expected)));
            }
            let pairs = numbers(&expected.elements).into_iter().zip(numbers(&found.elements));
            let integral = !matches!(expected.element_type(), ElementType::F16 | ElementType::F32 | ElementType::F64);
            let half = expected.element_type() == ElementType::F16;
            let (absolute, relative) = if half { (2e-3, 2e-3) } else { (self.absolute, self.relative) };
            let same = |a: f64, b: f64| {
                a == b || (a.is_nan() && b.is_nan()) || (!integral && (a - b).abs() <= absolute + relative * a.abs())
            };
            let (at, (a, b)) = pairs.enumerate().find(|(_, (a, b))| !same(*a, *b))?;
            Some(format!("output {ix}, element {at} is {b}, not {a}"))
        })
    }
}

/// Integers beyond 2^53 lose their last bits here.
fn numbers(elements: &Elements) -> Vec<f64> {
    match elements {
        Elements::Bool(v) => v.iter().map(|v| f64::from(u8::from(*v))).collect(),
        Elements::U8(v) => v.iter().map(|v| f64::from(*v)).collect(),
        Elements::I8(v) => v.iter().map(|v| f64::from(*v)).collect(),
        Elements::U16(v) => v.iter().map(|v| f64::from(*v)).collect(),
        Elements::I16(v) => v.iter().map(|v| f64::from(*v)).collect(),
        Elements::U32(v) => v.iter().map(|v| f64::from(*v)).collect(),
        Elements::I32(v) => v.iter().map(|v| f64::from(*v)).collect(),
        Elements::U64(v) => v.iter().map(|v| *v as f64).collect(),
        Elements::I64(v) => v.iter().map(|v| *v as f64).collect(),
        Elements::F16(v) => v.iter().map(|v| v.to_f64()).collect(),
        Elements::F32(v) => v.iter().map(|v| f64::from(*v)).collect(),
        Elements::F64(v) => v.clone(),
    }
}

/// A tensor in NumPy's `.npy` format, version 1, little-endian.
fn npy(bytes: &[u8]) -> Value {
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..end]).expect("a header");
    assert!(header.contains("'fortran_order': False"), "{header}");
    let field = |name: &str, close: char| {
        let (_, rest) = header.split_once(name).expect("a field");
        rest.split_once(close).expect("an end").0.to_owned()
    };
    let shape = field("'shape': (", ')').split(',').filter_map(|n| n.trim().parse().ok()).collect();
    let data = &bytes[end..];
    macro_rules! read {
        ($type:ty) => {
            data.chunks_exact(size_of::<$type>())
                .map(|b| <$type>::from_le_bytes(b.try_into().expect("a chunk")))
                .collect::<Vec<$type>>()
                .into()
        };
    }
    let elements = match field("'descr': '", '\'').as_str() {
        "|b1" => data.iter().map(|b| *b != 0).collect::<Vec<bool>>().into(),
        "|u1" => read!(u8),
        "|i1" => read!(i8),
        "<u2" => read!(u16),
        "<i2" => read!(i16),
        "<u4" => read!(u32),
        "<i4" => read!(i32),
        "<u8" => read!(u64),
        "<i8" => read!(i64),
        "<f2" => read!(f16),
        "<f4" => read!(f32),
        "<f8" => read!(f64),
        other => panic!("elements of type {other}"),
    };
    Value { shape, elements }
}
