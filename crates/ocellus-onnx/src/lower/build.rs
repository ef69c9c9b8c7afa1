//! The plan under construction: maps tract's outlets to values and checks every step.

use std::collections::HashMap;
use std::sync::Arc;

use tract_onnx::prelude::{DatumType, OutletId, Tensor as TractTensor, TypedFact, TypedModel, TypedNode};

use super::infer::{Outcome, infer};
use super::step::{ConstantData, Kind, Op, Plan, Step, ValueId, ValueInfo};
use crate::limits::Limits;

/// A plan being built from `model`, node by node.
pub(crate) struct Builder<'m> {
    model: &'m TypedModel,
    limits: &'m Limits,
    plan: Plan,
    values: HashMap<OutletId, ValueId>,
    /// Name of the node whose steps are being added.
    node: String,
}

impl<'m> Builder<'m> {
    pub fn new(model: &'m TypedModel, limits: &'m Limits) -> Self {
        Self { model, limits, plan: Plan::default(), values: HashMap::new(), node: String::new() }
    }

    /// Declares the next input of the graph.
    pub fn add_input(&mut self, outlet: OutletId) -> Outcome<()> {
        let info = info_of(self.fact(outlet)?)?;
        let id = self.add_value(info);
        self.plan.inputs.push(id);
        self.values.insert(outlet, id);
        Ok(())
    }

    /// Whether nothing needs to be computed for `node`: an input, or all outputs constant.
    pub fn is_settled(&self, node: &TypedNode) -> bool {
        let known =
            |slot| self.values.contains_key(&OutletId::new(node.id, slot)) || node.outputs[slot].fact.konst.is_some();
        !node.outputs.is_empty() && (0..node.outputs.len()).all(known)
    }

    /// Attributes the steps that follow to `node`.
    pub fn enter(&mut self, node: &TypedNode) {
        self.node.clone_from(&node.name);
    }

    /// Takes `outputs` as what `node` gives.
    ///
    /// # Errors
    ///
    /// When their number, shapes or kinds are not those that tract worked out.
    pub fn settle(&mut self, node: &TypedNode, outputs: &[ValueId]) -> Outcome<()> {
        if outputs.len() != node.outputs.len() {
            return Err(format!("{} outputs, not {}", node.outputs.len(), outputs.len()));
        }
        for (slot, (id, outlet)) in outputs.iter().zip(&node.outputs).enumerate() {
            let expected = info_of(&outlet.fact)?;
            let found = self.info(*id);
            if *found != expected {
                return Err(format!("output {slot} came out as {found:?}, not {expected:?}"));
            }
            self.values.insert(OutletId::new(node.id, slot), *id);
        }
        Ok(())
    }

    /// The value of input `ix` of `node`.
    pub fn input(&mut self, node: &TypedNode, ix: usize) -> Outcome<ValueId> {
        let outlet = node.inputs.get(ix).ok_or_else(|| format!("input {ix} is missing"))?;
        self.value(*outlet)
    }

    /// The values of all inputs of `node`.
    pub fn inputs(&mut self, node: &TypedNode) -> Outcome<Vec<ValueId>> {
        node.inputs.iter().map(|outlet| self.value(*outlet)).collect()
    }

    /// The value of an outlet; a constant becomes part of the plan when it is first asked for.
    pub fn value(&mut self, outlet: OutletId) -> Outcome<ValueId> {
        if let Some(id) = self.values.get(&outlet) {
            return Ok(*id);
        }
        let tensor = self.fact(outlet)?.konst.clone().ok_or("an input is not computed yet")?;
        let id = self.constant_tensor(&tensor)?;
        self.values.insert(outlet, id);
        Ok(id)
    }

    /// The tensor of input `ix` of `node` when that is constant.
    pub fn constant_input(&self, node: &TypedNode, ix: usize) -> Option<Arc<TractTensor>> {
        self.fact(*node.inputs.get(ix)?).ok()?.konst.clone()
    }

    /// The one number that input `ix` of `node` consists of, when it is such a constant.
    pub fn scalar_input(&self, node: &TypedNode, ix: usize) -> Option<f64> {
        let tensor = self.constant_input(node, ix)?;
        let number = if tensor.len() == 1 { tensor.nth(0).ok() } else { tensor.as_uniform() }?;
        number.cast_to_scalar::<f64>().ok()
    }

    /// What tract knows about output 0 of `node`.
    pub fn output_info(&self, node: &TypedNode) -> Outcome<ValueInfo> {
        let outlet = node.outputs.first().ok_or("the node has no output")?;
        info_of(&outlet.fact)
    }

    pub fn info(&self, id: ValueId) -> &ValueInfo {
        &self.plan.values[id]
    }

    pub fn shape(&self, id: ValueId) -> Vec<usize> {
        self.info(id).shape.clone()
    }

    /// Adds a step that gives one value.
    pub fn emit(&mut self, op: Op, inputs: &[ValueId]) -> Outcome<ValueId> {
        let outputs = self.emit_all(op, inputs)?;
        outputs.first().copied().ok_or_else(|| "a step without output".into())
    }

    /// Adds a step and gives all its values.
    pub fn emit_all(&mut self, op: Op, inputs: &[ValueId]) -> Outcome<Vec<ValueId>> {
        let infos: Vec<&ValueInfo> = inputs.iter().map(|id| self.info(*id)).collect();
        let given = infer(&op, &infos)?;
        given.iter().try_for_each(|info| self.admit(info))?;
        let outputs: Vec<ValueId> = given.into_iter().map(|info| self.add_value(info)).collect();
        self.plan.steps.push(Step {
            node: self.node.clone(),
            op,
            inputs: inputs.to_vec(),
            outputs: outputs.clone(),
            release: Vec::new(),
        });
        Ok(outputs)
    }

    /// [`Op::Reshape`], unless the shape is that already.
    pub fn reshape(&mut self, id: ValueId, shape: &[usize]) -> Outcome<ValueId> {
        if self.info(id).shape == shape {
            return Ok(id);
        }
        self.emit(Op::Reshape(shape.to_vec()), &[id])
    }

    /// [`Op::Permute`], unless the order is that already.
    pub fn permute(&mut self, id: ValueId, axes: &[usize]) -> Outcome<ValueId> {
        if axes.iter().copied().eq(0..axes.len()) {
            return Ok(id);
        }
        self.emit(Op::Permute(axes.to_vec()), &[id])
    }

    /// [`Op::Expand`], unless the shape is that already.
    pub fn expand(&mut self, id: ValueId, shape: &[usize]) -> Outcome<ValueId> {
        if self.info(id).shape == shape {
            return Ok(id);
        }
        self.emit(Op::Expand(shape.to_vec()), &[id])
    }

    /// Adds a constant.
    pub fn constant(&mut self, data: ConstantData, shape: &[usize]) -> Outcome<ValueId> {
        let info = ValueInfo::new(data.kind(), shape);
        if info.volume() != data.len() {
            return Err(format!("{} elements for shape {shape:?}", data.len()));
        }
        self.admit(&info)?;
        let id = self.add_value(info);
        self.plan.constants.push((id, data));
        Ok(id)
    }

    /// Adds a constant as tract holds it.
    pub fn constant_tensor(&mut self, tensor: &TractTensor) -> Outcome<ValueId> {
        let shape = tensor.shape().to_vec();
        self.constant(elements(tensor)?, &shape)
    }

    /// The plan, with these values as its outputs.
    pub fn finish(mut self, outputs: Vec<ValueId>) -> Plan {
        self.plan.outputs = outputs;
        self.plan
    }

    /// Refuses values that a device cannot hold: the graph's own are within the limits, and what a step between
    /// them gives, as a padded image, must be too.
    fn admit(&self, info: &ValueInfo) -> Outcome<()> {
        let most = self.limits.tensor_elements;
        let volume = info.shape.iter().try_fold(1_usize, |n, extent| n.checked_mul(*extent));
        match volume {
            Some(0) => Err(format!("a tensor of shape {:?} has no elements, which is not supported", info.shape)),
            Some(n) if n <= most => Ok(()),
            _ => Err(format!("a tensor of shape {:?} has more elements than the limit of {most}", info.shape)),
        }
    }

    fn add_value(&mut self, info: ValueInfo) -> ValueId {
        self.plan.values.push(info);
        self.plan.values.len() - 1
    }

    fn fact(&self, outlet: OutletId) -> Outcome<&'m TypedFact> {
        self.model.outlet_fact(outlet).map_err(|e| format!("{e:#}"))
    }
}

/// Shape and kind of what tract describes.
fn info_of(fact: &TypedFact) -> Outcome<ValueInfo> {
    let shape =
        fact.shape.as_concrete().ok_or_else(|| format!("shape {:?} is not known before it runs", fact.shape))?;
    if fact.is_exotic() {
        return Err("packed weights are not supported".into());
    }
    Ok(ValueInfo::new(kind_of(fact.datum_type)?, shape))
}

/// The kind of tract's element types.
pub(crate) fn kind_of(datum_type: DatumType) -> Outcome<Kind> {
    match datum_type {
        DatumType::F16 | DatumType::F32 | DatumType::F64 => Ok(Kind::Float),
        DatumType::Bool => Ok(Kind::Bool),
        DatumType::TDim
        | DatumType::I8
        | DatumType::I16
        | DatumType::I32
        | DatumType::I64
        | DatumType::U8
        | DatumType::U16
        | DatumType::U32
        | DatumType::U64 => Ok(Kind::Int),
        other => Err(format!("elements of type {other:?} are not supported")),
    }
}

/// The elements of a plain tensor in the plan's types.
pub(crate) fn elements(tensor: &TractTensor) -> Outcome<ConstantData> {
    match kind_of(tensor.datum_type())? {
        Kind::Float => floats(tensor).map(ConstantData::Float),
        Kind::Int => integers(tensor).map(ConstantData::Int),
        Kind::Bool => {
            let view = tensor.try_as_plain_ram().map_err(|e| format!("{e:#}"))?;
            let data = view.as_slice::<bool>().map_err(|e| format!("{e:#}"))?;
            Ok(ConstantData::Bool(data.to_vec()))
        }
    }
}

/// The elements of a plain tensor as floats.
pub(crate) fn floats(tensor: &TractTensor) -> Outcome<Vec<f32>> {
    let cast = tensor.cast_to::<f32>().map_err(|e| format!("{e:#}"))?;
    let view = cast.try_as_plain_ram().map_err(|e| format!("{e:#}"))?;
    Ok(view.as_slice::<f32>().map_err(|e| format!("{e:#}"))?.to_vec())
}

/// The elements of a plain tensor as integers.
pub(crate) fn integers(tensor: &TractTensor) -> Outcome<Vec<i64>> {
    let cast = tensor.cast_to::<i64>().map_err(|e| format!("{e:#}"))?;
    let view = cast.try_as_plain_ram().map_err(|e| format!("{e:#}"))?;
    Ok(view.as_slice::<i64>().map_err(|e| format!("{e:#}"))?.to_vec())
}
