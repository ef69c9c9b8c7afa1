//! From values to steps: which value lies in blocks, what is moved where, and which buffers can be shared.

use std::sync::Arc;

use super::buffers::share;
use super::grid;
use super::ir::{self, Graph, Id, Op, Sum};
use super::read::image_shape;
use super::step::{Output, Place, Program, Source, Step, Take, Work};
use super::view::{View, joined, offsets};
use crate::kernel::{Activation, Conv, Isa, Layout, Pool, Resize, Shape};

/// Makes the steps; `shapes` are those of the outputs. None where a convolution has no kernel.
pub(super) fn place(graph: &Graph, shapes: &[Vec<usize>], isa: Isa) -> Option<Program> {
    let mut placer = Placer::new(graph, isa);
    let live = graph.live();
    for id in (0..graph.values.len()).filter(|id| live[*id]) {
        placer.value(id)?;
    }
    let mut outputs = vec![];
    for (&id, shape) in graph.outputs.iter().zip(shapes) {
        outputs.push(match graph.values[id].op {
            Op::Tensor(tensor) if graph.values[id].shape == *shape => Output::Tensor(tensor),
            _ => Output::Place(placer.plain(id)?, shape.clone()),
        });
    }
    let Placer { steps, slots, constants, .. } = placer;
    let program = Program { steps, outputs, constants, tensors: graph.tensors, buffers: slots };
    Some(share(program))
}

struct Placer<'g> {
    isa: Isa,
    graph: &'g Graph,
    steps: Vec<Step>,
    /// Lengths of the buffers, before any is shared.
    slots: Vec<usize>,
    constants: Vec<Vec<f32>>,
    plain: Vec<Option<Place>>,
    blocked: Vec<Option<Place>>,
}

impl<'g> Placer<'g> {
    fn new(graph: &'g Graph, isa: Isa) -> Self {
        let none = vec![None; graph.values.len()];
        Self { isa, graph, steps: vec![], slots: vec![], constants: vec![], plain: none.clone(), blocked: none }
    }

    fn slot(&mut self, len: usize) -> Place {
        self.slots.push(len);
        Place { source: Source::Buffer(self.slots.len() - 1), start: 0, len }
    }

    fn step(&mut self, work: Work, reads: Vec<Place>, write: Place) {
        self.steps.push(Step { work, reads, write: Some(write) });
    }

    fn constant(&mut self, data: Vec<f32>) -> Place {
        let len = data.len();
        self.constants.push(data);
        Place { source: Source::Constant(self.constants.len() - 1), start: 0, len }
    }

    /// Computes a value, or notes where it lies. What only moves is made when it is asked for.
    fn value(&mut self, id: Id) -> Option<()> {
        let value = &self.graph.values[id];
        match &value.op {
            Op::Tensor(tensor) => {
                let place = Place { source: Source::Tensor(*tensor), start: 0, len: self.graph.len(id) };
                self.plain[id] = Some(place);
            }
            Op::Constant(data) => self.plain[id] = Some(self.constant(data.as_ref().clone())),
            Op::Gather(_) | Op::Concat(_) => {}
            Op::Part(part) => self.part(id, *part)?,
            Op::Map(map) if !value.image => {
                let read = self.plain(value.inputs[0])?;
                let write = self.slot(read.len);
                self.step(Work::Map(*map), vec![read], write);
                self.plain[id] = Some(write);
            }
            Op::Binary(op, activation) if !value.image => {
                let reads = vec![self.plain(value.inputs[0])?, self.plain(value.inputs[1])?];
                let write = self.slot(reads[0].len);
                self.step(Work::Binary(*op, *activation), reads, write);
                self.plain[id] = Some(write);
            }
            _ => self.image(id)?,
        }
        Some(())
    }

    /// Computes an image, in blocks.
    fn image(&mut self, id: Id) -> Option<()> {
        let value = &self.graph.values[id];
        let shape = image_shape(self.graph.image(id)?);
        let input = image_shape(self.graph.values[*value.inputs.first()?].shape.as_slice().try_into().ok()?);
        let work = match &value.op {
            Op::Conv(conv) => return self.conv(id, conv, input),
            Op::Map(map) => Work::Map(*map),
            Op::Binary(op, activation) => {
                let second = &self.graph.values[value.inputs[1]].shape;
                if *second == value.shape {
                    Work::Binary(*op, *activation)
                } else {
                    Work::Scale(*op, *activation, shape)
                }
            }
            Op::Pool(kind, window) => Work::Pool(Arc::new(Pool::new(self.isa, *kind, *window)?), input),
            Op::Mean(factor) => Work::Mean(*factor, input),
            Op::Resize([rows, columns]) => {
                Work::Resize(Arc::new(Resize::new(self.isa, rows.clone(), columns.clone())), input)
            }
            Op::Channels(channels) => {
                if let [only] = *value.inputs.as_slice()
                    && self.graph.values[only].shape == value.shape
                    && channels.iter().map(|from| from.channel).eq(0..shape.channels)
                {
                    self.blocked[id] = Some(self.blocked(only)?);
                    return Some(());
                }
                let counts = value.inputs.iter().map(|input| self.graph.values[*input].shape[1]).collect();
                Work::Channels(Arc::new(channels.clone()), counts, shape)
            }
            Op::Tensor(_) | Op::Part(_) | Op::Constant(_) | Op::Gather(_) | Op::Concat(_) => return None,
        };
        let mut reads = value.inputs.iter().map(|&input| self.blocked(input)).collect::<Option<Vec<_>>>()?;
        if let Work::Scale(_, _, shape) = work
            && let Op::Constant(data) = &self.graph.values[value.inputs[1]].op
        {
            reads[1] = self.channels(data, shape);
        }
        self.write_image(id, work, reads, shape);
        Some(())
    }

    fn conv(&mut self, id: Id, conv: &ir::Conv, input: Shape) -> Option<()> {
        let value = &self.graph.values[id];
        let first = value.inputs[0];
        let shape = image_shape(self.graph.image(id)?);
        let mut spec = conv.spec;
        let from_rows = ir::Conv { spec: crate::kernel::ConvSpec { input: Layout::Planar, ..spec }, ..conv.clone() };
        if !self.graph.values[first].image && self.blocked[first].is_none() && from_rows.spec.supported(self.isa) {
            spec.input = Layout::Planar;
        }
        let (inner, after) = match conv.sum {
            Some(Sum::BeforeActivation) => (Activation::None, conv.activation),
            Some(Sum::AfterActivation) | None => (conv.activation, conv.last),
        };
        let kernel = Conv::new(self.isa, spec, &conv.weights, &conv.bias, inner, grid::of(self.graph, first)).ok()?;
        let mut reads = vec![if spec.input == Layout::Planar { self.plain(first)? } else { self.blocked(first)? }];
        if conv.sum.is_some() {
            reads.push(self.blocked(value.inputs[1])?);
        }
        self.write_image(id, Work::Conv(Arc::new(kernel), input, after), reads, shape);
        Some(())
    }

    fn write_image(&mut self, id: Id, work: Work, reads: Vec<Place>, shape: Shape) {
        let write = self.slot(shape.blocked_len(self.isa.lanes()));
        self.step(work, reads, write);
        self.blocked[id] = Some(write);
    }

    /// One number a channel, for each image.
    fn channels(&mut self, data: &[f32], shape: Shape) -> Place {
        let lanes = self.isa.lanes();
        let mut one = data.to_vec();
        one.resize(shape.blocks(lanes) * lanes, 0.0);
        self.constant(one.repeat(shape.batch))
    }

    fn part(&mut self, id: Id, part: usize) -> Option<()> {
        let mut takes = vec![];
        let mut reads = vec![];
        for &input in &self.graph.values[id].inputs {
            takes.push(match self.graph.values[input].op {
                Op::Tensor(tensor) => Take::Tensor(tensor),
                _ => {
                    reads.push(self.plain(input)?);
                    Take::Read(reads.len() - 1)
                }
            });
        }
        let gives = self.graph.values.iter().filter(|value| value.inputs == [id]).filter_map(|value| match value.op {
            Op::Tensor(tensor) => Some(tensor),
            _ => None,
        });
        let work = Work::Part { part, takes, gives: gives.collect() };
        self.steps.push(Step { work, reads, write: None });
        Some(())
    }

    /// Where a value lies in blocks; it is brought there if need be.
    fn blocked(&mut self, id: Id) -> Option<Place> {
        if let Some(place) = self.blocked[id] {
            return Some(place);
        }
        let shape = image_shape(self.graph.values[id].shape.as_slice().try_into().ok()?);
        let read = self.plain(id)?;
        let place = self.slot(shape.blocked_len(self.isa.lanes()));
        self.step(Work::ToBlocks(shape), vec![read], place);
        self.blocked[id] = Some(place);
        Some(place)
    }

    /// Where a value lies row-major; it is brought there if need be.
    fn plain(&mut self, id: Id) -> Option<Place> {
        if let Some(place) = self.plain[id] {
            return Some(place);
        }
        let place = match &self.graph.values[id].op {
            Op::Gather(view) if view.is_in_order(self.graph.len(view.base)) => self.plain(view.base)?,
            _ => {
                let write = self.slot(self.graph.len(id));
                self.plain_into(id, write)?;
                write
            }
        };
        self.plain[id] = Some(place);
        Some(place)
    }

    /// Brings a value row-major into a place of its length.
    fn plain_into(&mut self, id: Id, write: Place) -> Option<()> {
        let value = &self.graph.values[id];
        match &value.op {
            Op::Gather(view) => self.gather(view, write),
            Op::Concat(axis) => self.concat(id, *axis, write),
            _ if value.image => {
                let read = self.blocked(id)?;
                let shape = image_shape(self.graph.image(id)?);
                self.step(Work::FromBlocks(shape), vec![read], write);
                Some(())
            }
            _ => {
                let read = self.plain(id)?;
                self.step(Work::Copy { rows: 1 }, vec![read], write);
                Some(())
            }
        }
    }

    fn gather(&mut self, view: &View, write: Place) -> Option<()> {
        if let Some(shape) = self.channels_last(view) {
            let read = self.blocked(view.base)?;
            self.step(Work::ChannelsLast(shape), vec![read], write);
            return Some(());
        }
        let read = self.plain(view.base)?;
        let mut axes = joined(view.axes.iter().flatten().copied());
        let inner = axes.pop();
        let starts = offsets(&axes).into_iter().map(|start| start + view.offset).collect();
        let (run, stride) = inner.map_or((1, 1), |digit| (digit.extent, digit.stride));
        self.step(Work::Gather { starts: Arc::new(starts), run, stride }, vec![read], write);
        Some(())
    }

    /// The image's shape, where a view is one image with its channels last.
    fn channels_last(&self, view: &View) -> Option<Shape> {
        let [n, c, h, w] = self.graph.image(view.base)?;
        let axes = joined(view.axes.iter().flatten().copied());
        let wanted = View::whole(view.base, &[c, h * w]).moved(0, 1)?;
        let wanted = joined(wanted.axes.into_iter().flatten());
        (n == 1 && view.offset == 0 && axes == wanted).then_some(Shape::new(n, c, h, w))
    }

    /// One input after the other, in place where they need not be interleaved.
    fn concat(&mut self, id: Id, axis: usize, write: Place) -> Option<()> {
        let value = &self.graph.values[id];
        let rows: usize = value.shape[..axis].iter().product();
        let mut start = write.start;
        if rows == 1 {
            for &input in &value.inputs {
                let len = self.graph.len(input);
                let part = Place { start, len, ..write };
                start += len;
                match self.plain[input] {
                    Some(read) => self.step(Work::Copy { rows: 1 }, vec![read], part),
                    None => self.plain_into(input, part)?,
                }
            }
            return Some(());
        }
        let reads = value.inputs.iter().map(|&input| self.plain(input)).collect::<Option<Vec<_>>>()?;
        self.step(Work::Copy { rows }, reads, write);
        Some(())
    }
}
