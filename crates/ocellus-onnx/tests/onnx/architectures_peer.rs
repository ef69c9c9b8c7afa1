//! The Python peer that gives skeletons weights, and what it wrote.

use std::path::{Path, PathBuf};
use std::process::Command;

use ocellus_onnx::Tensor;
use tempfile::TempDir;

use crate::support::{npy, worst_difference};

/// Models with weights, inputs and ONNX Runtime's outputs, in a folder that goes when this goes.
pub struct Filled(TempDir);

impl Filled {
    /// Has `fill.py` write these models; `None` where the Python peers are not set up, which with `CI=true` is a failure.
    pub fn new(names: &[&str], options: &[&str]) -> Option<Self> {
        Self::written_by("architectures/fill.py", names, options)
    }

    /// Has a script of `tests/peers` write a folder.
    pub fn written_by(script: &str, names: &[&str], options: &[&str]) -> Option<Self> {
        let Some(python) = std::env::var_os("OCELLUS_PYTHON") else {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "$OCELLUS_PYTHON is not set, and CI must have it");
            eprintln!("skipped: the Python peers are not set up (make setup)");
            return None;
        };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/peers").join(script);
        let done = Command::new(python).arg(script).arg(folder.path()).args(options).args(names).output();
        let done = done.expect("Python starts");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        Some(Self(folder))
    }

    pub fn model(&self, name: &str) -> PathBuf {
        self.0.path().join(name).join("model.onnx")
    }

    /// The input of size `k`.
    pub fn input(&self, name: &str, k: usize) -> Tensor {
        npy(&self.0.path().join(name).join(format!("{k}.input.npy")))
    }

    /// Another file of a model's.
    pub fn tensor(&self, name: &str, file: &Path) -> Tensor {
        npy(&self.0.path().join(name).join(file))
    }

    pub fn output(&self, name: &str, k: usize, ix: usize) -> Tensor {
        npy(&self.0.path().join(name).join(format!("{k}.output{ix}.npy")))
    }

    /// The greatest difference from ONNX Runtime's outputs for size `k`, relative to their range.
    pub fn difference(&self, name: &str, k: usize, outputs: &[Tensor]) -> Result<f64, String> {
        let mut worst = 0.0;
        for (ix, found) in outputs.iter().enumerate() {
            let expected = self.output(name, k, ix);
            if found.shape != expected.shape {
                return Err(format!("output {ix} has shape {:?}, not {:?}", found.shape, expected.shape));
            }
            let difference = worst_difference(&expected.data, &found.data);
            worst = if difference.is_nan() { difference } else { f64::max(worst, difference) };
        }
        Ok(worst)
    }
}
