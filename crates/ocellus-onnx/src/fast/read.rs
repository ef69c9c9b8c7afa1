//! From tract's simplified graph to values: one translation per family of operators; what none of them takes becomes
//! part of a graph that tract runs.

mod conv;
mod einsum;
mod elementwise;
mod movement;
mod pool;
mod resize;

use std::collections::HashMap;
use std::sync::Arc;

use tract_onnx::prelude::{DatumType, OutletId, Tensor, TypedModel, TypedNode};
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::source::TypedSource;

use super::ir::{Graph, Id, Op};
use super::parts::Part;
use super::view::{Axis, View, extent, joined, offsets};
use crate::kernel::{Channel, Isa, Shape};

/// Translates a node of one family; none where the operator is of another, or in a use that is left to tract.
type Family = fn(&mut Reader<'_>, &TypedNode) -> Option<View>;

const FAMILIES: [Family; 6] = [conv::read, einsum::read, elementwise::read, movement::read, pool::read, resize::read];

/// Reads a graph; none where it has nothing to gain.
pub(super) fn read(model: &TypedModel, isa: Isa) -> Option<(Graph, Vec<Part>)> {
    let mut reader = Reader::new(model, isa)?;
    for id in model.eval_order().ok()? {
        reader.node(model.node(id))?;
    }
    reader.finish()
}

struct Reader<'m> {
    model: &'m TypedModel,
    isa: Isa,
    graph: Graph,
    parts: Vec<Part>,
    values: HashMap<OutletId, View>,
    /// Nodes for tract that are in no part yet, in order.
    waiting: Vec<usize>,
}

impl<'m> Reader<'m> {
    fn new(model: &'m TypedModel, isa: Isa) -> Option<Self> {
        let mut reader =
            Self { model, isa, graph: Graph::default(), parts: vec![], values: HashMap::new(), waiting: vec![] };
        for &outlet in model.input_outlets().ok()? {
            reader.tensor(outlet, vec![])?;
        }
        Some(reader)
    }

    fn node(&mut self, node: &TypedNode) -> Option<()> {
        let settled = |outlet: &OutletId| self.values.contains_key(outlet);
        if node.op_is::<Const>()
            || (0..node.outputs.len()).map(|slot| OutletId::new(node.id, slot)).any(|o| settled(&o))
        {
            return Some(());
        }
        if node.op_is::<TypedSource>() {
            return None;
        }
        let floats = node.outputs.len() == 1 && is_float(self.model, node.id.into());
        let read = if floats { FAMILIES.iter().find_map(|family| family(self, node)) } else { None };
        // What was translated must have the shape that tract worked out.
        match read.filter(|view| self.shape(node.id.into()).is_some_and(|shape| shape == view.shape())) {
            Some(view) => {
                self.values.insert(node.id.into(), view);
            }
            None => self.waiting.push(node.id),
        }
        Some(())
    }

    fn finish(mut self) -> Option<(Graph, Vec<Part>)> {
        self.close_part()?;
        let outlets = self.model.output_outlets().ok()?.to_vec();
        for outlet in outlets {
            let view = self.values.get(&outlet)?.clone();
            let id = self.plain(view);
            self.graph.outputs.push(id);
        }
        Some((self.graph, self.parts))
    }

    /// Extents of an outlet, where all are known and none is 0.
    fn shape(&self, outlet: OutletId) -> Option<Vec<usize>> {
        let shape = self.model.outlet_fact(outlet).ok()?.shape.as_concrete()?.to_vec();
        (!shape.contains(&0)).then_some(shape)
    }

    /// A new tensor for an outlet.
    fn tensor(&mut self, outlet: OutletId, inputs: Vec<Id>) -> Option<()> {
        let shape = self.shape(outlet)?;
        let id = self.graph.add(Op::Tensor(self.graph.tensors), inputs, &shape);
        self.graph.tensors += 1;
        self.values.insert(outlet, View::whole(id, &shape));
        Some(())
    }

    /// Makes a part of the nodes that wait for one.
    fn close_part(&mut self) -> Option<()> {
        let nodes = std::mem::take(&mut self.waiting);
        if nodes.is_empty() {
            return Some(());
        }
        let (part, outputs) = Part::new(self.model, nodes)?;
        let mut inputs = Vec::with_capacity(part.inputs.len());
        for outlet in &part.inputs {
            let view = self.values.get(outlet)?.clone();
            inputs.push(self.plain(view));
        }
        let id = self.graph.add(Op::Part(self.parts.len()), inputs, &[]);
        self.parts.push(part);
        for outlet in outputs {
            self.tensor(outlet, vec![id])?;
        }
        Some(())
    }

    /// The constant that a node takes as its `ix`-th input.
    fn constant(&self, node: &TypedNode, ix: usize) -> Option<Arc<Tensor>> {
        let outlet = *node.inputs.get(ix)?;
        let fact = self.model.outlet_fact(outlet).ok()?;
        fact.konst.clone().or_else(|| self.model.node(outlet.node).op_as::<Const>().map(|op| op.val().clone()))
    }

    /// As [`constant`](Self::constant), its numbers.
    fn floats(&self, node: &TypedNode, ix: usize) -> Option<(Vec<usize>, Vec<f32>)> {
        let tensor = self.constant(node, ix)?;
        floats(&tensor).map(|data| (tensor.shape().to_vec(), data))
    }

    /// What a node takes as its `ix`-th input: of any origin, since what is made of it is worth it.
    fn anchor(&mut self, node: &TypedNode, ix: usize) -> Option<View> {
        let outlet = *node.inputs.get(ix)?;
        if !is_float(self.model, outlet) {
            return None;
        }
        if self.waiting.contains(&outlet.node) {
            self.close_part()?;
        }
        self.values.get(&outlet).cloned()
    }

    /// What a node takes as its `ix`-th input, where it was computed here.
    fn own(&self, node: &TypedNode, ix: usize) -> Option<View> {
        let view = self.any(node, ix)?;
        self.graph.is_own(view.base).then(|| view.clone())
    }

    /// What a node takes as its `ix`-th input, unless it waits for tract.
    fn any(&self, node: &TypedNode, ix: usize) -> Option<View> {
        let outlet = *node.inputs.get(ix)?;
        self.values.get(&outlet).filter(|_| is_float(self.model, outlet)).cloned()
    }

    /// The value whose row-major elements a view sees.
    fn plain(&mut self, view: View) -> Id {
        if view.is_in_order(self.graph.len(view.base)) {
            return view.base;
        }
        let (base, shape) = (view.base, view.shape());
        self.graph.add(Op::Gather(view), vec![base], &shape)
    }

    /// The image `[batch, channels, height, width]` whose axes are these, as a value of its own.
    fn image(&mut self, view: &View, axes: [Axis; 4]) -> Option<Id> {
        let shape: Vec<usize> = axes.iter().map(|axis| extent(axis)).collect();
        if let Some(base) = self.graph.image(view.base)
            && let Some(channels) = channels(base, view.offset, &axes)
        {
            if channels.iter().copied().eq(0..base[1]) {
                return Some(view.base);
            }
            return Some(self.pick(channels.into_iter().map(|channel| (view.base, channel)).collect(), &shape));
        }
        let view = View { axes: axes.to_vec(), ..view.clone() };
        Some(self.graph.add(Op::Gather(view.clone()), vec![view.base], &shape))
    }

    /// An image of picked channels: each of which image, and which of its channels. What was picked before is picked
    /// from its source.
    fn pick(&mut self, channels: Vec<(Id, usize)>, shape: &[usize]) -> Id {
        let mut inputs: Vec<Id> = vec![];
        let mut picked = Vec::with_capacity(channels.len());
        for (id, channel) in channels {
            let value = &self.graph.values[id];
            let (id, channel) = match &value.op {
                Op::Channels(earlier) => (value.inputs[earlier[channel].source], earlier[channel].channel),
                _ => (id, channel),
            };
            let source = inputs.iter().position(|input| *input == id).unwrap_or_else(|| {
                inputs.push(id);
                inputs.len() - 1
            });
            picked.push(Channel { source, channel });
        }
        self.graph.add(Op::Channels(picked), inputs, shape)
    }

    /// Which axis of the image under it each axis of a view is, where it is one or some of the channels.
    fn roles(&self, view: &View) -> Option<Vec<Option<usize>>> {
        let image = self.graph.image(view.base)?;
        let whole = View::whole(view.base, &image).axes;
        let area = image[2] * image[3];
        let role = |axis: &Axis| match axis.as_slice() {
            [] => Some(None),
            digits => [0, 2, 3]
                .into_iter()
                .find(|role| whole[*role] == *digits)
                .or_else(|| digits.iter().all(|d| d.stride.is_multiple_of(area)).then_some(1))
                .map(Some),
        };
        let roles = view.axes.iter().map(role).collect::<Option<Vec<_>>>()?;
        let given = |role: usize| roles.iter().filter(|r| **r == Some(role)).count();
        let complete = [0, 2, 3].iter().all(|role| given(*role) == usize::from(image[*role] > 1)) && given(1) <= 1;
        complete.then_some(roles)
    }

    /// The axes of a view in the order of an image, by the roles they have.
    fn by_role(view: &View, roles: &[Option<usize>]) -> [Axis; 4] {
        let mut axes: [Axis; 4] = Default::default();
        for (axis, role) in view.axes.iter().zip(roles) {
            if let Some(role) = role {
                axes[*role] = axis.clone();
            }
        }
        axes
    }

    /// A new image seen with its axes in these roles.
    fn with_roles(&self, id: Id, roles: &[Option<usize>]) -> View {
        let whole = View::whole(id, &self.graph.values[id].shape);
        let axes = roles.iter().map(|role| role.map_or_else(Vec::new, |role| whole.axes[role].clone())).collect();
        View { axes, ..whole }
    }
}

/// The channels of `base` that an image with these axes has; none where its other axes are not those of `base`.
fn channels(base: [usize; 4], offset: usize, axes: &[Axis; 4]) -> Option<Vec<usize>> {
    let area = base[2] * base[3];
    let whole = View::whole(0, &base).axes;
    let same = [0, 2, 3].into_iter().all(|axis| joined(axes[axis].iter().copied()) == whole[axis]);
    if !same {
        return None;
    }
    let at = |start: usize| {
        let place = offset + start;
        (place.is_multiple_of(area) && place / area < base[1]).then_some(place / area)
    };
    offsets(&axes[1]).into_iter().map(at).collect()
}

/// Extents of an image as the kernels take them.
pub(super) fn image_shape([batch, channels, height, width]: [usize; 4]) -> Shape {
    Shape::new(batch, channels, height, width)
}

fn is_float(model: &TypedModel, outlet: OutletId) -> bool {
    model.outlet_fact(outlet).is_ok_and(|fact| fact.datum_type == DatumType::F32)
}

fn floats(tensor: &Tensor) -> Option<Vec<f32>> {
    if tensor.datum_type() != DatumType::F32 {
        return None;
    }
    tensor.try_as_plain_ram().ok()?.as_slice::<f32>().ok().map(<[f32]>::to_vec)
}
