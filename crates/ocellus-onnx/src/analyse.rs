//! From a parsed model and input shapes to the simplified graph, in bounded time and memory.
//!
//! tract's own analysis evaluates constant parts of the graph as it goes, whatever their size. Here the
//! same inference is driven node by node, and before a node may be evaluated the shapes of its outputs are
//! inferred and held against the limits. Once this has settled, tract's passes find nothing left to infer
//! and nothing to compute that has not been measured.

use std::collections::{BTreeSet, HashMap};

use tract_onnx::prelude::{TVec, TractResult, TypedModel};
use tract_onnx::tract_hir::internal::{
    Factoid, InferenceFact, InferenceModel, InferenceModelExt, OutletId, Tensor, TractErrorContext,
};

use crate::check;
use crate::error::{Error, one_line};
use crate::rewrite::{self, Generaliser};
use crate::source::{Source, unresolved_node};

/// Operators whose output can be far larger than their inputs, as the values of the inputs say.
const GROWING: [&str; 18] = [
    "ConstantOfShape",
    "Expand",
    "Tile",
    "Range",
    "Pad",
    "Resize",
    "Upsample",
    "OneHot",
    "EyeLike",
    "HannWindow",
    "HammingWindow",
    "BlackmanWindow",
    "MelWeightMatrix",
    "DFT",
    "STFT",
    "Multinomial",
    "MaxUnpool",
    "CenterCropPad",
];

/// Multiplications that folding one constant may take.
const FOLD_WORK: u128 = 1 << 34;

/// The simplified graph for these input shapes.
pub(crate) fn typed(source: &Source, shapes: &[Vec<usize>]) -> Result<TypedModel, Error> {
    settled(source, shapes, None)?.into_typed(source)
}

/// As [`typed`], with constants that carry the batch of the shapes `own` generalised to that of `shapes`.
pub(crate) fn rewritten(source: &Source, own: &[Vec<usize>], shapes: &[Vec<usize>]) -> Result<TypedModel, Error> {
    let original = settled(source, own, None)?.0;
    settled(source, shapes, Some(Generaliser::new(original)))?.into_typed(source)
}

fn settled(source: &Source, shapes: &[Vec<usize>], generaliser: Option<Generaliser>) -> Result<Settled, Error> {
    let mut model = source.model.clone();
    let failed = |e| source.locate(&one_line(&e));
    for (ix, fact) in source.input_facts(shapes).enumerate() {
        model.set_input_fact(ix, fact).map_err(failed)?;
    }
    // Parts that no output needs are dropped before anything looks at them.
    model.compact().map_err(failed)?;
    Inference::new(source, model, generaliser).and_then(Inference::settle)
}

struct Inference<'s> {
    source: &'s Source,
    model: InferenceModel,
    /// Nodes that look at facts of outlets they are not connected to.
    observers: HashMap<OutletId, Vec<usize>>,
    generaliser: Option<Generaliser>,
}

impl<'s> Inference<'s> {
    fn new(source: &'s Source, model: InferenceModel, generaliser: Option<Generaliser>) -> Result<Self, Error> {
        let mut observers: HashMap<OutletId, Vec<usize>> = HashMap::new();
        for node in model.nodes() {
            let seen = node.op.observe_outlets(&model, node).map_err(|e| source.locate(&one_line(&e)))?;
            for outlet in seen {
                observers.entry(outlet).or_default().push(node.id);
            }
        }
        Ok(Self { source, model, observers, generaliser })
    }

    /// Infers until nothing changes.
    fn settle(mut self) -> Result<Settled, Error> {
        // Compaction has put the nodes in evaluation order, so the smallest id comes first.
        let mut waiting: BTreeSet<usize> = (0..self.model.nodes().len()).collect();
        let mut visits_left = 64 * waiting.len() + 1024;
        while let Some(id) = waiting.pop_first() {
            visits_left = visits_left.checked_sub(1).ok_or_else(|| self.error(id, "the analysis does not settle"))?;
            for outlet in self.visit(id)? {
                if outlet.node != id {
                    waiting.insert(outlet.node);
                }
                let next = self.model.outlet_successors(outlet).iter().map(|inlet| inlet.node);
                let observers = self.observers.get(&outlet).into_iter().flatten().copied();
                waiting.extend(next.chain(observers).filter(|n| *n != id));
            }
        }
        measure_constants(self.source, &self.model)?;
        Ok(Settled(self.model))
    }

    /// Infers at one node; returns the outlets about which something new is known.
    fn visit(&mut self, id: usize) -> Result<Vec<OutletId>, Error> {
        self.generalise(id)?;
        let inferred = self.infer(id)?;
        let mut changed = Vec::new();
        for (outlet, fact) in inferred {
            let known = self.model.outlet_fact(outlet).map_err(|e| self.error(id, &one_line(&e)))?;
            let unified = fact
                .unify(known)
                .with_context(|| format!("{:?} and {:?} contradict each other", fact.shape, known.shape))
                .map_err(|e| self.error(id, &one_line(&e)))?;
            if unified != *known {
                self.extents_allowed(outlet.node, &unified)?;
                self.model.set_outlet_fact(outlet, unified).map_err(|e| self.error(id, &one_line(&e)))?;
                changed.push(outlet);
            }
        }
        Ok(changed)
    }

    /// Gives the node constants for the batch in use.
    fn generalise(&mut self, id: usize) -> Result<(), Error> {
        let Some(mut generaliser) = self.generaliser.take() else { return Ok(()) };
        let operator = self.operator(id).to_owned();
        generaliser.adapt(&mut self.model, id, &operator).map_err(|e| self.error(id, &one_line(&e)))?;
        self.generaliser = Some(generaliser);
        Ok(())
    }

    /// What the node's operator makes of the facts around it; its outputs are measured before they are computed.
    fn infer(&mut self, id: usize) -> Result<Vec<(OutletId, InferenceFact)>, Error> {
        let around = Surroundings::of(&self.model, id).map_err(|e| self.error(id, &one_line(&e)))?;
        let all_known = !around.inputs.is_empty() && around.inputs.iter().all(|(_, f)| f.value.is_concrete());
        self.ranks_allowed(id, &around)?;
        if all_known {
            self.values_allowed(id, &around)?;
            let (_, outputs, _) = self
                .model
                .node_mut(id)
                .op
                .infer_facts(refs(&around.inputs), refs(&around.outputs), refs(&around.observed))
                .map_err(|e| self.error(id, &one_line(&e)))?;
            self.evaluation_allowed(id, &around, &outputs)?;
        }
        let (inputs, outputs, observed) = self
            .model
            .node_mut(id)
            .op
            .infer(refs(&around.inputs), refs(&around.outputs), refs(&around.observed))
            .map_err(|e| self.error(id, &one_line(&e)))?;
        let outlets = [around.inputs, around.outputs, around.observed].into_iter().flatten().map(|(outlet, _)| outlet);
        Ok(outlets.zip([inputs, outputs, observed].into_iter().flatten()).collect())
    }

    /// Operators on images look for their axes without asking whether they are there.
    fn ranks_allowed(&self, id: usize, around: &Surroundings) -> Result<(), Error> {
        let least = match self.operator(id) {
            "BatchNormalization" | "InstanceNormalization" | "GroupNormalization" | "LRN" => 2,
            "Conv" | "ConvInteger" | "QLinearConv" | "ConvTranspose" | "DeformConv" | "MaxPool" | "AveragePool"
            | "LpPool" | "GlobalAveragePool" | "GlobalMaxPool" | "GlobalLpPool" | "MaxUnpool" => 3,
            _ => return Ok(()),
        };
        let images = around.inputs.first().into_iter().chain(around.outputs.first());
        for rank in images.filter_map(|(_, fact)| fact.shape.rank().concretize()) {
            if rank < least {
                return Err(self.error(id, &format!("it takes images of at least {least} axes, not {rank}")));
            }
        }
        Ok(())
    }

    /// Sizes given as numbers are held against the limit before any arithmetic is done with them.
    fn values_allowed(&self, id: usize, around: &Surroundings) -> Result<(), Error> {
        let operator = self.operator(id);
        if !GROWING.contains(&operator) {
            return Ok(());
        }
        let most = self.source.limits.tensor_elements as f64;
        for (_, fact) in &around.inputs {
            let Some(value) = fact.value.concretize() else { continue };
            if operator != "Range" && (value.datum_type().is_float() || value.len() > 64) {
                continue;
            }
            if let Some(largest) = largest_magnitude(&value)
                && (largest > most || largest.is_nan())
            {
                return Err(Error::too_large(self.place(id, "a size it is given"), largest, most as u64));
            }
        }
        Ok(())
    }

    fn evaluation_allowed(&self, id: usize, around: &Surroundings, outputs: &[InferenceFact]) -> Result<(), Error> {
        let operator = self.operator(id);
        let mut produced = 0;
        for fact in outputs {
            match extents(fact) {
                Some(shape) => produced += self.elements_allowed(id, &shape)?,
                None if GROWING.contains(&operator) => {
                    return Err(self.error(id, "the shape of its output cannot be told"));
                }
                None => {}
            }
        }
        let inputs: Vec<Vec<i64>> = around.inputs.iter().filter_map(|(_, f)| extents(f)).collect();
        work_allowed(operator, &inputs, produced, || self.place(id, "the work of folding this constant"))
    }

    fn extents_allowed(&self, id: usize, fact: &InferenceFact) -> Result<(), Error> {
        extents(fact).map_or(Ok(()), |shape| self.elements_allowed(id, &shape).map(|_| ()))
    }

    fn elements_allowed(&self, id: usize, shape: &[i64]) -> Result<usize, Error> {
        let shape: Vec<usize> = shape
            .iter()
            .map(|&n| usize::try_from(n).map_err(|_| self.error(id, &format!("a shape of {shape:?} is negative"))))
            .collect::<Result<_, _>>()?;
        check::elements(&self.place(id, &format!("shape {shape:?}, its elements")), &shape, &self.source.limits)
    }

    fn operator(&self, id: usize) -> &str {
        self.source.operator(&self.model.node(id).name)
    }

    fn place(&self, id: usize, what: &str) -> String {
        format!("node {:?} ({}): {what}", self.model.node(id).name, self.operator(id))
    }

    fn error(&self, id: usize, reason: &str) -> Error {
        Error::Analysis {
            node: self.model.node(id).name.clone(),
            operator: self.operator(id).to_owned(),
            reason: reason.to_owned(),
        }
    }
}

/// A node's facts, cloned, with the outlets they belong to.
struct Surroundings {
    inputs: Vec<(OutletId, InferenceFact)>,
    outputs: Vec<(OutletId, InferenceFact)>,
    observed: Vec<(OutletId, InferenceFact)>,
}

impl Surroundings {
    fn of(model: &InferenceModel, id: usize) -> TractResult<Self> {
        let node = model.node(id);
        let facts = |outlets: Vec<OutletId>| -> TractResult<Vec<(OutletId, InferenceFact)>> {
            outlets.into_iter().map(|o| Ok((o, model.outlet_fact(o)?.clone()))).collect()
        };
        Ok(Self {
            inputs: facts(node.inputs.clone())?,
            outputs: facts((0..node.outputs.len()).map(|slot| OutletId::new(id, slot)).collect())?,
            observed: facts(node.op.observe_outlets(model, node)?)?,
        })
    }
}

fn refs(facts: &[(OutletId, InferenceFact)]) -> TVec<&InferenceFact> {
    facts.iter().map(|(_, fact)| fact).collect()
}

/// An analysed model, all of whose constants have been measured.
struct Settled(InferenceModel);

impl Settled {
    fn into_typed(self, source: &Source) -> Result<TypedModel, Error> {
        let failed = |e| source.locate(&one_line(&e));
        let mut typed = self.0.into_typed().map_err(failed)?;
        measure(source, &typed)?;
        rewrite::join(&mut typed).map_err(failed)?;
        rewrite::name(&mut typed).map_err(failed)?;
        let simplified = typed.into_decluttered().map_err(failed)?;
        measure(source, &simplified)?;
        Ok(simplified)
    }
}

/// Everything that will be folded, each part and all together.
fn measure_constants(source: &Source, model: &InferenceModel) -> Result<(), Error> {
    let mut constant = vec![false; model.nodes().len()];
    let mut total: usize = 0;
    for node in model.nodes() {
        let from_constants = !node.inputs.is_empty() && node.inputs.iter().all(|i| constant[i.node]);
        let known = node.outputs.iter().all(|o| o.fact.value.is_concrete());
        if !(known || from_constants) {
            continue;
        }
        constant[node.id] = true;
        let produced: i64 =
            node.outputs.iter().filter_map(|o| extents(&o.fact)).map(|shape| shape.iter().product::<i64>()).sum();
        let produced = usize::try_from(produced).unwrap_or(usize::MAX);
        total = total.saturating_add(produced);
        if total > source.limits.constant_elements {
            let limit = source.limits.constant_elements as u64;
            return Err(Error::too_large("the constants together, their elements", format!("over {limit}"), limit));
        }
        let operator = source.operator(&node.name);
        let inputs: Vec<Vec<i64>> =
            node.inputs.iter().filter_map(|i| model.outlet_fact(*i).ok().and_then(extents)).collect();
        work_allowed(operator, &inputs, produced, || {
            format!("node {:?} ({operator}): the work of folding this constant", node.name)
        })?;
    }
    Ok(())
}

/// Shapes must be known to the last, and the tensors together small enough.
fn measure(source: &Source, typed: &TypedModel) -> Result<(), Error> {
    let mut total: usize = 0;
    for node in typed.nodes() {
        for output in &node.outputs {
            let operator = source.operator(&node.name);
            let place = format!("node {:?} ({operator})", node.name);
            let Some(shape) = output.fact.shape.as_concrete() else {
                return Err(unresolved_node(&place, operator, &format!("{:?}", output.fact.shape)));
            };
            total = total.saturating_add(check::elements(&format!("{place}, its elements"), shape, &source.limits)?);
        }
    }
    let limit = source.limits.total_elements;
    if total > limit {
        return Err(Error::too_large("all tensors together, their elements", total, limit as u64));
    }
    Ok(())
}

/// Bounds the time that folding takes where it is more than linear in the sizes.
fn work_allowed(
    operator: &str,
    inputs: &[Vec<i64>],
    produced: usize,
    what: impl FnOnce() -> String,
) -> Result<(), Error> {
    let volume = |shape: &Vec<i64>| shape.iter().map(|&n| u128::from(n.unsigned_abs())).product::<u128>();
    let per_element = match operator {
        "MatMul" | "Gemm" | "MatMulInteger" | "QLinearMatMul" => {
            inputs.iter().flatten().map(|n| u128::from(n.unsigned_abs())).max().unwrap_or(1)
        }
        "Conv"
        | "ConvTranspose"
        | "ConvInteger"
        | "QLinearConv"
        | "Einsum"
        | "GRU"
        | "LSTM"
        | "RNN"
        | "DFT"
        | "STFT"
        | "MaxPool"
        | "AveragePool"
        | "LpPool"
        | "LRN"
        | "Attention"
        | "MultiHeadAttention"
        | "GroupQueryAttention" => inputs.iter().map(volume).max().unwrap_or(1),
        _ => 1,
    };
    let work = per_element.saturating_mul(produced as u128);
    if work > FOLD_WORK {
        return Err(Error::too_large(what(), work, u64::try_from(FOLD_WORK).unwrap_or(u64::MAX)));
    }
    Ok(())
}

/// Extents as far as all of them are known numbers.
fn extents(fact: &InferenceFact) -> Option<Vec<i64>> {
    fact.shape.concretize()?.iter().map(|d| d.as_i64()).collect()
}

/// The largest absolute value of a small tensor of numbers.
#[allow(clippy::cast_precision_loss)]
fn largest_magnitude(value: &Tensor) -> Option<f64> {
    if value.datum_type().is_float() {
        let floats = value.cast_to::<f64>().ok()?;
        let floats = floats.try_as_plain_ram().ok()?;
        return floats.as_slice::<f64>().ok()?.iter().map(|v| v.abs()).reduce(|a, b| if a >= b { a } else { b });
    }
    let integers = value.cast_to::<i64>().ok()?;
    let integers = integers.try_as_plain_ram().ok()?;
    integers.as_slice::<i64>().ok()?.iter().map(|v| v.unsigned_abs() as f64).reduce(f64::max)
}
