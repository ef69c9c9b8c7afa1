//! What runs on the host between the device's steps, and the way there and back.

use tract_onnx::prelude::{OutletId, TypedFact, TypedNode};

use super::{Builder, info_of, on_host};
use crate::lower::bounds::Bounds;
use crate::lower::host::HostNode;
use crate::lower::infer::Outcome;
use crate::lower::step::{ConstantData, Op, ValueId};

impl Builder<'_> {
    /// A value of the host on the device.
    pub(super) fn uploaded(&mut self, outlet: OutletId, range: Bounds) -> Outcome<ValueId> {
        let there = *self.on_host.get(&outlet).ok_or("an input is not computed yet")?;
        let info = info_of(self.fact(outlet)?)?;
        self.admit(&info)?;
        self.representable(&info, range)?;
        let id = self.push(Op::Upload(info.clone()), &[there], vec![(info, range)]);
        id.first().copied().ok_or_else(|| "a step without output".into())
    }

    /// The value of an output of the graph, wherever it lies.
    pub fn output(&mut self, outlet: OutletId) -> Outcome<ValueId> {
        if let Some(id) = self.on_host.get(&outlet).filter(|_| !self.values.contains_key(&outlet)) {
            return Ok(*id);
        }
        let before = self.mark();
        self.value(outlet).or_else(|reason| {
            self.rewind(before);
            let tensor = self.fact(outlet)?.konst.clone().ok_or(reason)?;
            let (info, range) = on_host(tensor.shape());
            let id = self.add_value(info, range);
            self.plan.constants.push((id, ConstantData::Host(tensor)));
            Ok(id)
        })
    }

    /// Refuses to carry over what is as well done where its operands are: integers of shapes, and a few numbers.
    pub fn stays_on_host(&self, node: &TypedNode) -> Outcome<()> {
        const FEW: usize = 16;
        const LITTLE: usize = 1 << 12;
        let is_little = |fact: &TypedFact| {
            let most = if fact.datum_type.is_float() { FEW } else { LITTLE };
            fact.shape.as_concrete().is_some_and(|shape| shape.iter().product::<usize>() <= most)
        };
        let computed = |outlet: &&OutletId| self.fact(**outlet).is_ok_and(|fact| fact.konst.is_none());
        let mut operands = node.inputs.iter().filter(computed).peekable();
        let some = operands.peek().is_some();
        let there = operands.all(|outlet| !self.values.contains_key(outlet) && self.on_host.contains_key(outlet));
        let little = node.inputs.iter().all(|outlet| self.fact(*outlet).is_ok_and(is_little))
            && node.outputs.iter().all(|outlet| is_little(&outlet.fact));
        if some && there && little { Err("its operands are few and on the host".into()) } else { Ok(()) }
    }

    /// Makes one step on the host of `node`.
    ///
    /// # Errors
    /// When the node cannot run by itself.
    pub fn settle_on_host(&mut self, node: &TypedNode, reason: String) -> Outcome<()> {
        let step =
            HostNode::new(self.model, node, reason.clone()).map_err(|e| format!("{reason}; on the host: {e}"))?;
        let mut operands = Vec::new();
        for outlet in &node.inputs {
            if self.fact(*outlet)?.konst.is_none() {
                operands.push(*outlet);
            }
        }
        self.download(&operands)?;
        let inputs = operands
            .iter()
            .map(|outlet| self.on_host.get(outlet).copied().ok_or_else(|| "an input is not computed yet".to_owned()))
            .collect::<Outcome<Vec<ValueId>>>()?;
        let given = step.outputs.iter().map(|shape| on_host(shape)).collect();
        let outputs = self.push(Op::Host(Box::new(step)), &inputs, given);
        for (slot, id) in outputs.into_iter().enumerate() {
            self.on_host.insert(OutletId::new(node.id, slot), id);
        }
        Ok(())
    }

    /// Brings to the host what of these is not there.
    fn download(&mut self, outlets: &[OutletId]) -> Outcome<()> {
        let mut missing: Vec<(OutletId, ValueId)> = Vec::new();
        for outlet in outlets {
            if let Some(id) = self.values.get(outlet).filter(|_| !self.on_host.contains_key(outlet))
                && missing.iter().all(|(other, _)| other != outlet)
            {
                missing.push((*outlet, *id));
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let types = missing
            .iter()
            .map(|(outlet, id)| Ok((self.fact(*outlet)?.datum_type, self.shape(*id))))
            .collect::<Outcome<Vec<_>>>()?;
        let inputs: Vec<ValueId> = missing.iter().map(|(_, id)| *id).collect();
        let given = types.iter().map(|(_, shape)| on_host(shape)).collect();
        let outputs = self.push(Op::Download(types), &inputs, given);
        self.on_host.extend(missing.into_iter().map(|(outlet, _)| outlet).zip(outputs));
        Ok(())
    }
}
