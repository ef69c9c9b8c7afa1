//! Pictures together against pictures one by one.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::cpu::CpuPlan;
use crate::error::Error;
use crate::graph::Graph;
use crate::tensor::{ElementType, Tensor};

/// Greatest difference allowed, relative to the range of an output: other tiles of a product round otherwise.
const TOLERANCE: f32 = 1e-3;

/// Shapes of the inputs, and whether constants were generalised.
type Compared = (Vec<Vec<usize>>, bool);

/// What comparisons of a model's batches came to.
#[derive(Debug, Default)]
pub(crate) struct Proofs(Mutex<HashMap<Compared, Result<(), String>>>);

impl Proofs {
    /// The outcome of one, made when it is asked for the first time.
    ///
    /// # Errors
    /// As `make`.
    pub(crate) fn get(&self, of: Compared, make: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(proof) = known().get(&of) {
            return proof.clone();
        }
        let proof = make();
        known().insert(of, proof.clone());
        proof
    }
}

impl Clone for Proofs {
    /// None: the copy of a model is about to be changed.
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// Runs `batched` once and `single` for each of its pictures, on noise, and compares.
///
/// # Errors
/// The reason why they do not agree, or cannot be compared.
pub(crate) fn prove(single: &Graph, batched: &Graph) -> Result<(), String> {
    if single.inputs().iter().any(|input| input.dtype != ElementType::F32) {
        return Err("only models of float inputs can be rewritten".into());
    }
    let said = |e: Error| e.to_string();
    let count = |graph: &Graph| graph.inputs().first().and_then(|input| input.shape.first().copied()).unwrap_or(1);
    let parts = count(batched) / count(single).max(1);
    let whole: Vec<Tensor> = batched.inputs().iter().zip(1..).map(|(info, seed)| noise(&info.shape, seed)).collect();
    let together = CpuPlan::new(batched).and_then(|plan| plan.run(&whole)).map_err(said)?;
    let plan = CpuPlan::new(single).map_err(said)?;
    for part in 0..parts {
        let inputs: Vec<Tensor> = whole.iter().map(|tensor| share(tensor, part, parts)).collect();
        let alone = plan.run(&inputs).map_err(said)?;
        for ((info, alone), together) in single.outputs().iter().zip(&alone).zip(&together) {
            if !alike(&alone.data, &share(together, part, parts).data) {
                return Err(format!("output {:?} of a picture depends on the pictures beside it", info.name));
            }
        }
    }
    Ok(())
}

/// Part `ix` of `count` along the first axis.
fn share(tensor: &Tensor, ix: usize, count: usize) -> Tensor {
    let length = tensor.data.len() / count.max(1);
    let data = tensor.data.iter().skip(ix * length).take(length).copied().collect();
    let mut shape = tensor.shape.clone();
    if let Some(first) = shape.first_mut() {
        *first /= count.max(1);
    }
    Tensor { shape, data }
}

/// Uniform noise between -1 and 1 (Knuth's MMIX generator).
fn noise(shape: &[usize], seed: u64) -> Tensor {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f32::from(u16::try_from(state >> 48).unwrap_or(0)) / 32_768.0 - 1.0
    };
    Tensor { shape: shape.to_vec(), data: (0..shape.iter().product::<usize>()).map(|_| next()).collect() }
}

fn alike(a: &[f32], b: &[f32]) -> bool {
    let finite = a.iter().copied().filter(|v| v.is_finite());
    let (low, high) = finite.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    let most = TOLERANCE * (high - low).max(high.abs()).max(low.abs()).max(1e-6);
    let close = |(x, y): (&f32, &f32)| x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= most;
    a.len() == b.len() && a.iter().zip(b).all(close)
}
