//! Constants that carry the batch, generalised node by node while shapes are worked out.
//!
//! Where the batch lies in a value is told by comparing its shape with the one in the graph for the original batch: the
//! axis that differs. In that axis the batch is the slowest part, or the fastest where a reshape has joined it to the
//! axis before it. A reshape keeps the elements' order, so the batch goes to where as many elements lie before it.

use std::collections::HashSet;

use tract_onnx::tract_hir::internal::{
    DimLike, Factoid, InferenceModel, InletId, OutletId, SpecialOps, TVec, Tensor, TractResult, tensor1,
};

/// Changes nodes of a model with another batch than the one it was exported with.
#[derive(Debug)]
pub(crate) struct Generaliser {
    /// The model as analysed for its own batch; its nodes have the same numbers.
    original: InferenceModel,
    seen: Vec<bool>,
    /// Nodes in whose output the batch is the fastest part of its axis.
    fastest: HashSet<usize>,
}

impl Generaliser {
    pub fn new(original: InferenceModel) -> Self {
        let seen = vec![false; original.nodes().len()];
        Self { original, seen, fastest: HashSet::new() }
    }

    /// Generalises the constants that a node is given, the first time that it is met.
    ///
    /// # Errors
    /// When tract refuses the new constant.
    pub fn adapt(&mut self, model: &mut InferenceModel, id: usize, operator: &str) -> TractResult<()> {
        if self.seen.get_mut(id).is_none_or(|seen| std::mem::replace(seen, true)) {
            return Ok(());
        }
        if operator == "Reshape" {
            return self.reshape(model, id);
        }
        if model.node(id).inputs.iter().any(|input| self.fastest.contains(&input.node)) {
            self.fastest.insert(id);
        }
        match operator {
            "Resize" | "Upsample" => self.resize(model, id),
            "Concat" => self.concat(model, id),
            "MatMul" => self.repeat(model, id, 2),
            "Add" | "Sub" | "Mul" | "Div" => self.repeat(model, id, 0),
            _ => Ok(()),
        }
    }

    /// The target of a reshape that is the same as for the original batch.
    fn reshape(&mut self, model: &mut InferenceModel, id: usize) -> TractResult<()> {
        let Some((old, new)) = self.grown_input(model, id, 0) else { return Ok(()) };
        let Some(target) = shape_of(&self.original, OutletId::new(id, 0)) else { return Ok(()) };
        if !self.same_value(model, id, 1) {
            return Ok(());
        }
        let fastest = model.node(id).inputs.first().is_some_and(|input| self.fastest.contains(&input.node));
        let Some((target, fastest)) = regrouped(&old, &new, fastest, &target) else { return Ok(()) };
        if fastest {
            self.fastest.insert(id);
        }
        replace(model, id, 1, &integers(&target))
    }

    /// Sizes of the output, in which the batch is the one of the input.
    fn resize(&self, model: &mut InferenceModel, id: usize) -> TractResult<()> {
        let Some((old, new)) = self.grown_input(model, id, 0) else { return Ok(()) };
        let last = model.node(id).inputs.len().saturating_sub(1);
        let Some(sizes) = integer_value(model, id, last).filter(|sizes| sizes.len() == old.len()) else {
            return Ok(());
        };
        if last == 0 || !self.same_value(model, id, last) {
            return Ok(());
        }
        let grown: Vec<usize> = sizes.iter().zip(&old).zip(&new).map(|((s, a), b)| s / a.max(&1) * b).collect();
        if sizes.iter().zip(&old).zip(&new).any(|((s, a), b)| a != b && s != a) {
            return Ok(());
        }
        let kept = sizes.iter().zip(&old).zip(&new).zip(grown).map(|(((s, a), b), g)| if a == b { *s } else { g });
        replace(model, id, last, &integers(&kept.collect::<Vec<_>>()))
    }

    /// Constants of one picture, such as class tokens, are repeated for each.
    fn concat(&self, model: &mut InferenceModel, id: usize) -> TractResult<()> {
        let inputs = model.node(id).inputs.clone();
        let grown: Vec<_> = (0..inputs.len()).filter_map(|slot| self.grown_input(model, id, slot)).collect();
        let Some((old, new)) = grown.first() else { return Ok(()) };
        let Some(joined) = shape_of(&self.original, OutletId::new(id, 0)) else { return Ok(()) };
        let Some(axis) = (0..old.len()).find(|a| old[*a] != new[*a]).filter(|a| joined.get(*a) == Some(&old[*a]))
        else {
            return Ok(());
        };
        for (slot, outlet) in inputs.iter().enumerate() {
            let Some(value) = model.outlet_fact(*outlet)?.value.concretize() else { continue };
            if value.shape().get(axis) != Some(&1) || old[axis] != 1 {
                continue;
            }
            let mut shape: TVec<usize> = value.shape().into();
            shape[axis] = new[axis];
            replace(model, id, slot, &value.broadcast_to_shape(&shape)?)?;
        }
        Ok(())
    }

    /// Constants for all of an axis of which the batch is a part, such as heads, are repeated; `last` axes are left alone.
    fn repeat(&self, model: &mut InferenceModel, id: usize, last: usize) -> TractResult<()> {
        for slot in 0..2 {
            let Some(constant) = model.node(id).inputs.get(slot).copied() else { return Ok(()) };
            let Some(value) = model.outlet_fact(constant)?.value.concretize() else { continue };
            let Some((old, new)) = self.grown_input(model, id, 1 - slot) else { continue };
            let Some(grown) = old.iter().zip(&new).position(|(a, b)| a != b) else { continue };
            // Axes are counted from the last one.
            let Some(axis) = value.rank().checked_sub(old.len() - grown) else { continue };
            if old.len() - grown <= last || value.shape()[axis] != old[grown] || old[grown] < 2 {
                continue;
            }
            let copies = vec![value.as_ref().clone(); new[grown] / old[grown]];
            replace(model, id, slot, &Tensor::stack_tensors(axis, &copies)?)?;
        }
        Ok(())
    }

    /// The shapes of an input in the original and here, where they differ along one axis.
    fn grown_input(&self, model: &InferenceModel, id: usize, slot: usize) -> Option<(Vec<usize>, Vec<usize>)> {
        let outlet = |model: &InferenceModel| model.node(id).inputs.get(slot).copied();
        let old = shape_of(&self.original, outlet(&self.original)?)?;
        let new = shape_of(model, outlet(model)?)?;
        let differing = old.iter().zip(&new).filter(|(a, b)| a != b).count();
        (old.len() == new.len() && differing == 1).then_some((old, new))
    }

    /// Whether an input is a constant that does not follow the batch.
    fn same_value(&self, model: &InferenceModel, id: usize, slot: usize) -> bool {
        let here = integer_value(model, id, slot);
        here.is_some() && here == integer_value(&self.original, id, slot)
    }
}

/// The target of a reshape of `new`, when that of `old` is `target`, and whether the batch is the fastest part of its axis
/// there; nothing where the batch has no place in it. `fastest` says whether it is so in `new`.
fn regrouped(old: &[usize], new: &[usize], fastest: bool, target: &[usize]) -> Option<(Vec<usize>, bool)> {
    let axis = old.iter().zip(new).position(|(a, b)| a != b)?;
    let before: usize = old.iter().take(axis + usize::from(fastest)).product();
    let places = || (0..target.len()).filter(|q| target[..*q].iter().product::<usize>() == before);
    // Where nothing changes up to the axis, it stays; an axis of one stands for the batch alone; else the batch is a part
    // of the first that begins there, unless this is the last, which holds one picture's features.
    let place = places()
        .find(|q| !fastest && *q == axis && target[..=*q] == old[..=axis])
        .or_else(|| places().find(|q| target[*q] == 1))
        .or_else(|| places().next())?;
    let joined = place > 0 && place + 1 == target.len() && target[place] != 1 && target[..=place] != old[..];
    let place = place - usize::from(joined);
    let mut grown = target.to_vec();
    let times = grown[place].checked_mul(new[axis])?;
    (times % old[axis] == 0).then(|| grown[place] = times / old[axis])?;
    Some((grown, joined))
}

fn shape_of(model: &InferenceModel, outlet: OutletId) -> Option<Vec<usize>> {
    let extents = model.outlet_fact(outlet).ok()?.shape.concretize()?;
    extents.iter().map(|d| d.to_usize().ok()).collect()
}

/// An input that is a list of extents; -1 and the like count as 0.
fn integer_value(model: &InferenceModel, id: usize, slot: usize) -> Option<Vec<usize>> {
    let outlet = model.node(id).inputs.get(slot)?;
    let value = model.outlet_fact(*outlet).ok()?.value.concretize()?;
    if value.datum_type().is_float() || value.rank() != 1 {
        return None;
    }
    let value = value.cast_to::<i64>().ok()?;
    let view = value.try_as_plain_ram().ok()?;
    Some(view.as_slice::<i64>().ok()?.iter().map(|n| usize::try_from(*n).unwrap_or(0)).collect())
}

fn integers(extents: &[usize]) -> Tensor {
    tensor1(&extents.iter().map(|n| i64::try_from(*n).unwrap_or(i64::MAX)).collect::<Vec<_>>())
}

/// Gives a node another constant.
fn replace(model: &mut InferenceModel, id: usize, slot: usize, value: &Tensor) -> TractResult<()> {
    let name = format!("{}.batch_{slot}", model.node(id).name);
    let constant = model.add_const(name, value.clone())?;
    model.add_edge(constant, InletId::new(id, slot))
}

#[cfg(test)]
mod tests {
    use super::regrouped;

    #[test]
    fn the_batch_keeps_its_place_in_the_order() {
        let four = |old: &[usize], axis: usize, target: &[usize]| {
            let mut new = old.to_vec();
            new[axis] *= 4;
            regrouped(old, &new, false, target).map(|(target, _)| target)
        };
        assert_eq!(four(&[1, 85, 52, 52], 0, &[1, 85, 2704]), Some(vec![4, 85, 2704]));
        assert_eq!(four(&[17, 1, 32], 1, &[17, 4, 8]), Some(vec![17, 16, 8]), "heads of each picture");
        assert_eq!(four(&[17, 4, 8], 1, &[17, 1, 32]), Some(vec![17, 4, 32]));
        assert_eq!(four(&[1, 1, 32], 1, &[1, 1, 4, 8]), Some(vec![1, 4, 4, 8]), "of two axes of one, its own");
        assert_eq!(four(&[1, 17, 32], 0, &[17, 32]), Some(vec![68, 32]));
        assert_eq!(four(&[17, 32], 0, &[1, 17, 32]), Some(vec![4, 17, 32]));
        assert_eq!(four(&[1, 8, 2, 8, 2, 3], 0, &[64, 4, 3]), Some(vec![256, 4, 3]), "windows");
        assert_eq!(four(&[6, 1, 5], 1, &[30]), None, "no axis begins where the batch does");
    }

    #[test]
    fn a_batch_after_positions_is_found_again() {
        let (rows, fastest) = regrouped(&[17, 1, 4, 8], &[17, 3, 4, 8], false, &[17, 32]).expect("it has a place");
        assert_eq!((rows.as_slice(), fastest), ([51, 32].as_slice(), true));
        let back = regrouped(&[17, 32], &[51, 32], true, &[17, 1, 32]).expect("it has a place");
        assert_eq!(back, (vec![17, 3, 32], false));
    }
}
