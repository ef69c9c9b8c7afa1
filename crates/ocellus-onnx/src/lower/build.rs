//! The plan under construction: maps tract's outlets to values and checks every step.

mod host;

use std::collections::HashMap;
use std::sync::Arc;

use tract_onnx::prelude::{DatumType, OutletId, Tensor as TractTensor, TypedFact, TypedModel, TypedNode};

use super::Target;
use super::bounds::{Bounds, bounds};
use super::elements::{elements, kind_of};
use super::infer::{Outcome, infer};
use super::step::{ConstantData, Kind, Op, Plan, Step, ValueId, ValueInfo};
use crate::limits::Limits;

/// A plan being built from `model`, node by node.
pub(crate) struct Builder<'m> {
    model: &'m TypedModel,
    limits: &'m Limits,
    plan: Plan,
    target: Target,
    /// Outlets whose values lie on the device.
    values: HashMap<OutletId, ValueId>,
    /// Outlets whose values lie on the host; one may lie on both.
    on_host: HashMap<OutletId, ValueId>,
    /// Bounds of the integers of each value; of no meaning for other kinds.
    bounds: Vec<Bounds>,
    /// Name of the node whose steps are being added.
    node: String,
}

impl<'m> Builder<'m> {
    pub fn new(model: &'m TypedModel, limits: &'m Limits, target: Target) -> Self {
        Self {
            model,
            limits,
            plan: Plan::default(),
            target,
            values: HashMap::new(),
            on_host: HashMap::new(),
            bounds: Vec::new(),
            node: String::new(),
        }
    }

    pub fn target(&self) -> Target {
        self.target
    }

    /// Declares the next input of the graph: on the device where that holds all its values, else on the host.
    pub fn add_input(&mut self, outlet: OutletId) -> Outcome<()> {
        let fact = self.fact(outlet)?;
        let range = Bounds::of_type(fact.datum_type);
        let held = info_of(fact).and_then(|info| {
            self.admit(&info)?;
            self.representable(&info, range).map(|()| info)
        });
        let (info, places) = match held {
            Ok(info) => (info, &mut self.values),
            Err(_) => (on_host(fact.shape.as_concrete().unwrap_or_default()).0, &mut self.on_host),
        };
        places.insert(outlet, self.plan.values.len());
        let id = self.add_value(info, range);
        self.plan.inputs.push(id);
        Ok(())
    }

    /// Whether nothing needs to be computed for `node`: an input, or all outputs constant.
    pub fn is_settled(&self, node: &TypedNode) -> bool {
        let known = |slot| {
            let outlet = OutletId::new(node.id, slot);
            self.values.contains_key(&outlet)
                || self.on_host.contains_key(&outlet)
                || node.outputs[slot].fact.konst.is_some()
        };
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
            let range = Bounds::of_type(outlet.fact.datum_type);
            if expected.kind == Kind::Int && !self.bounds(*id).within(range) {
                return Err(format!("its integers may leave the range of {:?}", outlet.fact.datum_type));
            }
        }
        for (slot, id) in outputs.iter().enumerate() {
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
        let fact = self.fact(outlet)?;
        let id = match &fact.konst {
            Some(tensor) => self.constant_tensor(tensor)?,
            None => self.uploaded(outlet, Bounds::of_type(fact.datum_type))?,
        };
        self.values.insert(outlet, id);
        Ok(id)
    }

    /// Input `ix` of `node`, which is of indices: what is beyond the device's integers is beyond any axis.
    pub fn index_input(&mut self, node: &TypedNode, ix: usize) -> Outcome<ValueId> {
        let outlet = *node.inputs.get(ix).ok_or_else(|| format!("input {ix} is missing"))?;
        let fact = self.fact(outlet)?;
        if self.values.contains_key(&outlet) || fact.konst.is_some() {
            return self.value(outlet);
        }
        let range = Bounds::of_type(fact.datum_type);
        let device = self.integers();
        self.uploaded(outlet, if range.within(device) { range } else { device })
    }

    /// Where the plan stands, to come back to.
    pub fn mark(&self) -> Mark {
        Mark { values: self.plan.values.len(), constants: self.plan.constants.len(), steps: self.plan.steps.len() }
    }

    /// Forgets what was added since.
    pub fn rewind(&mut self, mark: Mark) {
        self.plan.values.truncate(mark.values);
        self.bounds.truncate(mark.values);
        self.plan.constants.truncate(mark.constants);
        self.plan.steps.truncate(mark.steps);
        self.values.retain(|_, id| *id < mark.values);
        self.on_host.retain(|_, id| *id < mark.values);
    }

    /// The integers of the device.
    fn integers(&self) -> Bounds {
        if self.target.wide_integers { Bounds::I64 } else { Bounds::I32 }
    }

    /// Refuses integers that the device may not have.
    fn representable(&self, info: &ValueInfo, range: Bounds) -> Outcome<()> {
        if info.kind == Kind::Int && !range.within(self.integers()) {
            return Err("its integers may be larger than the device's".into());
        }
        Ok(())
    }

    /// Bounds of a value of integers.
    pub fn bounds(&self, id: ValueId) -> Bounds {
        self.bounds.get(id).copied().unwrap_or(Bounds::I64)
    }

    /// The element type of input `ix` of `node` in the graph.
    pub fn input_type(&self, node: &TypedNode, ix: usize) -> Outcome<DatumType> {
        let outlet = node.inputs.get(ix).ok_or_else(|| format!("input {ix} is missing"))?;
        Ok(self.fact(*outlet)?.datum_type)
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

    /// The graph.
    pub fn model(&self) -> &'m TypedModel {
        self.model
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
        let range = if given.iter().any(|info| info.kind == Kind::Int) {
            let operands: Vec<(&ValueInfo, Bounds)> =
                inputs.iter().map(|id| (self.info(*id), self.bounds(*id))).collect();
            bounds(&op, &operands, self.target.wide_integers)?
        } else {
            Bounds::new(0, 0)
        };
        given.iter().try_for_each(|info| self.representable(info, range))?;
        Ok(self.push(op, inputs, given.into_iter().map(|info| (info, range)).collect()))
    }

    fn push(&mut self, op: Op, inputs: &[ValueId], given: Vec<(ValueInfo, Bounds)>) -> Vec<ValueId> {
        let outputs: Vec<ValueId> = given.into_iter().map(|(info, range)| self.add_value(info, range)).collect();
        self.plan.steps.push(Step {
            node: self.node.clone(),
            op,
            inputs: inputs.to_vec(),
            outputs: outputs.clone(),
            release: Vec::new(),
        });
        outputs
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
        let range = if let ConstantData::Int(data) = &data { Bounds::of(data) } else { Bounds::new(0, 0) };
        self.representable(&info, range)?;
        let id = self.add_value(info, range);
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

    fn add_value(&mut self, info: ValueInfo, range: Bounds) -> ValueId {
        self.bounds.push(range);
        self.plan.values.push(info);
        self.plan.values.len() - 1
    }

    fn fact(&self, outlet: OutletId) -> Outcome<&'m TypedFact> {
        self.model.outlet_fact(outlet).map_err(|e| format!("{e:#}"))
    }
}

/// A place in a plan under construction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    values: usize,
    constants: usize,
    steps: usize,
}

/// What is known of a value of the host.
fn on_host(shape: &[usize]) -> (ValueInfo, Bounds) {
    (ValueInfo::new(Kind::Host, shape), Bounds::I64)
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
