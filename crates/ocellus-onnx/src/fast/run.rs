//! Running the steps of a program.

use std::sync::{Arc, Mutex, PoisonError};

use tract_onnx::prelude::{TValue, TVec, TractResult};
use tract_onnx::tract_core::internal::{anyhow, bail};

use super::given::{Given, Gives, value};
use super::ir::Map;
use super::parts::Part;
use super::step::{Output, Place, Program, Source, Step, Take, Work};
use crate::kernel::{
    Activation, Binary, Isa, KernelError, Residual, binary, binary_channels, binary_scalar, gather_channels,
    global_average, to_blocked, to_channels_last, to_planar,
};
use crate::tensor::Tensor;

/// Sets of buffers that are kept for the next run.
const SPARE: usize = 16;

/// Numbers that a step writes under which a thread does faster without others; convolutions judge for themselves.
const WORTH_SHARING: usize = 1 << 15;

/// The buffers of one run.
#[derive(Debug)]
struct Workspace {
    buffers: Vec<Vec<f32>>,
    tensors: Vec<Option<TValue>>,
}

/// What one run works on.
struct Frame<'g> {
    workspace: Workspace,
    /// The first tensors, where they are only lent.
    lent: &'g [Tensor],
}

impl Frame<'_> {
    fn tensor(&self, at: usize) -> TractResult<TValue> {
        match (self.workspace.tensors.get(at).and_then(Option::as_ref), self.lent.get(at)) {
            (Some(tensor), _) => Ok(tensor.clone()),
            (None, Some(lent)) => value(&lent.shape, &lent.data),
            (None, None) => bail!("tensor {at} is not there"),
        }
    }

    fn floats(&self, at: usize) -> TractResult<&[f32]> {
        match (self.workspace.tensors.get(at).and_then(Option::as_ref), self.lent.get(at)) {
            (Some(tensor), _) => tensor.try_as_plain_ram()?.as_slice::<f32>(),
            (None, Some(lent)) => Ok(&lent.data),
            (None, None) => bail!("tensor {at} is not there"),
        }
    }

    fn read<'f>(&'f self, program: &'f Program, place: Place) -> TractResult<&'f [f32]> {
        let all = match place.source {
            Source::Buffer(at) => self.workspace.buffers.get(at).map(Vec::as_slice),
            Source::Constant(at) => program.constants.get(at).map(Vec::as_slice),
            Source::Tensor(at) => Some(self.floats(at)?),
        };
        let place = place.start..place.start + place.len;
        all.and_then(|all| all.get(place)).ok_or_else(|| anyhow!("a step reads what is not there"))
    }
}

/// A program, its parts, and the buffers that no run uses now.
#[derive(Debug)]
pub(super) struct Runner {
    pub(super) program: Program,
    pub(super) parts: Vec<Part>,
    pub(super) isa: Isa,
    spare: Mutex<Vec<Workspace>>,
}

impl Runner {
    pub(super) fn new(program: Program, parts: Vec<Part>, isa: Isa) -> Self {
        Self { program, parts, isa, spare: Mutex::new(vec![]) }
    }

    /// Runs it in tasks for this many threads of the current pool.
    pub(super) fn run(&self, inputs: Given<'_>, threads: usize) -> TractResult<Vec<Gives>> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut workspace = spare.unwrap_or_else(|| Workspace {
            buffers: self.program.buffers.iter().map(|len| vec![0.0; *len]).collect(),
            tensors: vec![],
        });
        let (tensors, lent) = match inputs {
            Given::Tensors(tensors) => (tensors, &[][..]),
            Given::Floats(floats) => (TVec::new(), floats),
        };
        workspace.tensors = tensors.into_iter().map(Some).collect();
        workspace.tensors.resize(self.program.tensors, None);
        let mut frame = Frame { workspace, lent };
        for step in &self.program.steps {
            self.step(step, &mut frame, threads)?;
        }
        let outputs = self.program.outputs.iter().map(|output| self.output(output, &frame)).collect();
        let mut workspace = frame.workspace;
        workspace.tensors.clear();
        let mut kept = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < SPARE {
            kept.push(workspace);
        }
        outputs
    }

    fn output(&self, output: &Output, frame: &Frame<'_>) -> TractResult<Gives> {
        match output {
            Output::Tensor(tensor) => frame.tensor(*tensor).map(Gives::Tensor),
            Output::Place(place, shape) => {
                let data = frame.read(&self.program, *place)?.to_vec();
                Ok(Gives::Floats(Tensor { shape: shape.clone(), data }))
            }
        }
    }

    fn step(&self, step: &Step, frame: &mut Frame<'_>, threads: usize) -> TractResult<()> {
        if let Work::Part { part, takes, gives } = &step.work {
            return self.part(*part, takes, gives, &step.reads, frame);
        }
        let Some(Place { source: Source::Buffer(at), start, len }) = step.write else { bail!("a step writes nowhere") };
        let slot = frame.workspace.buffers.get_mut(at).ok_or_else(|| anyhow!("buffer {at} is not there"))?;
        let mut buffer = std::mem::take(slot);
        let done = self.write(step, frame, &mut buffer[..], (start, len), threads);
        frame.workspace.buffers[at] = buffer;
        done
    }

    fn write(
        &self,
        step: &Step,
        frame: &Frame<'_>,
        buffer: &mut [f32],
        (start, len): (usize, usize),
        threads: usize,
    ) -> TractResult<()> {
        let out = buffer.get_mut(start..start + len).ok_or_else(|| anyhow!("a buffer is too short"))?;
        let threads = if len < WORTH_SHARING && !matches!(step.work, Work::Conv(..)) { 1 } else { threads };
        let reads =
            step.reads.iter().map(|place| frame.read(&self.program, *place)).collect::<TractResult<Vec<_>>>()?;
        self.work(&step.work, &reads, out, threads).map_err(|e| anyhow!("{e}"))
    }

    fn work(&self, work: &Work, reads: &[&[f32]], out: &mut [f32], threads: usize) -> Result<(), KernelError> {
        let isa = self.isa;
        let first = reads.first().copied().unwrap_or_default();
        let second = reads.get(1).copied();
        match work {
            Work::Conv(conv, shape, after) => {
                let residual = second.map(|data| Residual { data, after: *after });
                conv.run(first, *shape, residual, out, threads)
            }
            Work::Map(Map::Add(number)) => {
                binary_scalar(isa, Binary::Add, first, *number, Activation::None, out, threads)
            }
            Work::Map(Map::Mul(number)) => {
                binary_scalar(isa, Binary::Mul, first, *number, Activation::None, out, threads)
            }
            Work::Map(Map::Activation(activation)) => {
                binary_scalar(isa, Binary::Add, first, 0.0, *activation, out, threads)
            }
            Work::Binary(op, activation) => {
                binary(isa, *op, first, second.unwrap_or_default(), *activation, out, threads)
            }
            Work::Scale(op, activation, shape) => {
                binary_channels(isa, *op, (first, *shape), second.unwrap_or_default(), *activation, out, threads)
            }
            Work::Pool(pool, shape) => pool.run(first, *shape, out, threads),
            Work::Mean(factor, shape) => {
                global_average(isa, first, *shape, out)?;
                if (factor - 1.0).abs() > 1e-6 {
                    out.iter_mut().for_each(|x| *x *= factor);
                }
                Ok(())
            }
            Work::Channels(channels, counts, shape) => {
                let sources: Vec<(&[f32], usize)> = reads.iter().copied().zip(counts.iter().copied()).collect();
                gather_channels(isa, &sources, channels, (shape.batch, shape.height, shape.width), out, threads)
            }
            Work::Resize(resize, shape) => resize.run(first, *shape, out, threads),
            Work::ToBlocks(shape) => to_blocked(isa, first, *shape, out, threads),
            Work::FromBlocks(shape) => to_planar(isa, first, *shape, out, threads),
            Work::ChannelsLast(shape) => to_channels_last(isa, first, *shape, out, threads),
            Work::Gather { starts, run, stride } => {
                gather(first, starts, *run, *stride, out);
                Ok(())
            }
            Work::Copy { rows } => {
                copy(reads, *rows, out);
                Ok(())
            }
            Work::Part { .. } => Ok(()),
        }
    }

    fn part(
        &self,
        part: usize,
        takes: &[Take],
        gives: &[usize],
        reads: &[Place],
        frame: &mut Frame<'_>,
    ) -> TractResult<()> {
        let part = self.parts.get(part).ok_or_else(|| anyhow!("part {part} is not there"))?;
        let mut inputs = TVec::new();
        for (ix, take) in takes.iter().enumerate() {
            inputs.push(match take {
                Take::Tensor(tensor) => frame.tensor(*tensor)?,
                Take::Read(at) => part.tensor(ix, frame.read(&self.program, reads[*at])?)?,
            });
        }
        for (at, output) in gives.iter().zip(part.run(inputs)?) {
            frame.workspace.tensors[*at] = Some(output);
        }
        Ok(())
    }
}

fn gather(x: &[f32], starts: &Arc<Vec<usize>>, run: usize, stride: usize, out: &mut [f32]) {
    for (out, start) in out.chunks_exact_mut(run).zip(starts.iter()) {
        let from = x.get(*start..).unwrap_or_default();
        if stride == 1 {
            out.copy_from_slice(&from[..run]);
        } else {
            out.iter_mut().zip(from.iter().step_by(stride)).for_each(|(out, x)| *out = *x);
        }
    }
}

/// The inputs' rows in turn.
fn copy(reads: &[&[f32]], rows: usize, out: &mut [f32]) {
    let mut start = 0;
    let width = out.len() / rows;
    for read in reads {
        let length = read.len() / rows;
        for (out, row) in out.chunks_exact_mut(width).zip(read.chunks_exact(length)) {
            out[start..start + length].copy_from_slice(row);
        }
        start += length;
    }
}
