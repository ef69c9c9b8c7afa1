//! A model on a GPU: a batch is one tensor, and while one is read back the next is on its way.
//!
//! At most [`DEPTH`] batches are in flight. Handing in one more waits for the oldest, so memory is bounded, and
//! batches come back in the order in which they were handed in.

use std::collections::VecDeque;
use std::time::Instant;

use ocellus_onnx::{BurnOptions, BurnPlan, DeviceTensor, Error as GraphError, Graph, Precision, Tensor};

use super::runner::{Decoder, Order, ms};
use super::{EngineError, Outcome};
use crate::frame::Image;
use crate::gpu::{Gpu, GpuError, GpuStage, ReadBack, Reader, Reading, Selected, Values, Wanted};
use crate::model::heads::{Selection, Sparse};
use crate::model::input::Placement;
use crate::model::package::{Found, Resolved};

/// Batches in flight: one that the device works on, and one that is prepared or read.
pub(super) const DEPTH: usize = 2;

/// A model's plans, and what is in flight.
pub(super) struct GpuRunner {
    gpu: Gpu,
    stage: GpuStage,
    reader: Reader,
    /// Batch sizes with their plans, largest first; the last is for one picture.
    plans: Vec<(usize, BurnPlan)>,
    precision: Precision,
    /// What the device selects, and where it goes; none where the head reads whole outputs.
    selection: Option<(Selection, Sparse)>,
    flights: VecDeque<Flight>,
}

/// A batch that is queued on the device.
struct Flight {
    /// Its size, which says which plan.
    size: usize,
    pictures: Vec<Picture>,
    order: Order,
    outputs: Vec<DeviceTensor>,
    /// None where burn has to read the outputs.
    reading: Option<Reading>,
    started: Instant,
    prepared: Instant,
}

/// What decoding needs to know of a picture.
struct Picture {
    placement: Placement,
    size: (u32, u32),
}

impl GpuRunner {
    /// Plans for a graph on a GPU, for batches up to `batch`.
    pub(super) fn open(
        graph: &Graph,
        gpu: &Gpu,
        batch: usize,
        model: &Resolved,
        precision: Precision,
    ) -> Result<Self, GraphError> {
        let selection = model.selection().map(|selection| (selection.clone(), Sparse::new(selection)));
        Ok(Self {
            gpu: gpu.clone(),
            stage: GpuStage::new(gpu.clone()),
            reader: Reader::new(gpu.clone()),
            plans: plans(graph, gpu, batch, precision)?,
            precision,
            selection,
            flights: VecDeque::new(),
        })
    }

    pub(super) fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    pub(super) fn precision(&self) -> Precision {
        self.precision
    }

    /// Batch sizes that run differently.
    pub(super) fn batches(&self) -> Vec<usize> {
        self.plans.iter().map(|(n, _)| *n).collect()
    }

    /// Queues pictures in the largest batches that there are plans for. What must be waited for meanwhile goes to
    /// `ready`.
    pub(super) fn submit(
        &mut self,
        model: &Resolved,
        order: Order,
        images: &[&Image],
        ready: &mut VecDeque<Outcome>,
    ) -> Result<(), EngineError> {
        let mut rest = images;
        // There is always a plan for one picture.
        while let Some(size) = self.plans.iter().map(|(n, _)| *n).find(|n| !rest.is_empty() && *n <= rest.len()) {
            let (batch, after) = rest.split_at(size);
            rest = after;
            while self.flights.len() >= DEPTH {
                self.finish(model, ready)?;
            }
            let flight = self.start(model, order, batch)?;
            self.flights.push_back(flight);
        }
        Ok(())
    }

    fn start(&mut self, model: &Resolved, order: Order, batch: &[&Image]) -> Result<Flight, EngineError> {
        let started = Instant::now();
        let input = self.stage.run(batch, &model.input)?;
        let prepared = Instant::now();
        let outputs = plan(&self.plans, batch.len())
            .map_or(Ok(Vec::new()), |plan| plan.run(vec![input]))
            .map_err(|e| self.failed(model, e))?;
        let wanted = match &self.selection {
            Some((selection, _)) if !order.whole => Wanted::Above(selection, order.thresholds.score),
            _ => Wanted::All,
        };
        let reading = self.reader.start(&outputs, batch.len(), wanted)?;
        let picture =
            |image: &&Image| Picture { placement: model.input.placement(image), size: (image.width(), image.height()) };
        let pictures = batch.iter().map(picture).collect();
        Ok(Flight { size: batch.len(), pictures, order, outputs, reading, started, prepared })
    }

    /// Waits for the oldest batch in flight, and says whether there was one.
    pub(super) fn finish(&mut self, model: &Resolved, ready: &mut VecDeque<Outcome>) -> Result<bool, EngineError> {
        let Some(mut flight) = self.flights.pop_front() else { return Ok(false) };
        let read = match flight.reading.take() {
            Some(reading) => self.reader.finish(reading)?,
            None => self.read_whole(model, &flight)?,
        };
        let modelled = Instant::now();
        // Read when the first picture needs it, for all of the batch.
        let mut whole = None;
        let mut bytes = read.bytes;
        let mut decoded = Vec::with_capacity(flight.size);
        for (i, picture) in flight.pictures.iter().enumerate() {
            let decoding = Instant::now();
            let decoder = Decoder { model, thresholds: &flight.order.thresholds };
            let found = match (&read.values, self.selection.as_mut()) {
                (Values::Selected(selected), Some((_, sparse))) => match selected.get(i) {
                    Some(Selected::Rows { rows, invalid }) => decode_rows(decoder, picture, sparse, rows, *invalid)?,
                    _ => {
                        if whole.is_none() {
                            let read = self.read_whole(model, &flight)?;
                            bytes += read.bytes;
                            whole = Some(read.values);
                        }
                        decode_whole(decoder, picture, whole.as_ref(), (i, flight.size))?
                    }
                },
                (values, _) => decode_whole(decoder, picture, Some(values), (i, flight.size))?,
            };
            decoded.push((found, ms(decoding, Instant::now())));
        }
        let read_back_bytes = bytes / flight.size.max(1) as u64;
        ready.extend(decoded.into_iter().map(|(Found { objects, invalid, embedding }, decode_ms)| Outcome {
            objects,
            embedding,
            invalid,
            preprocess_ms: ms(flight.started, flight.prepared),
            model_ms: ms(flight.prepared, modelled),
            decode_ms,
            read_back_bytes,
        }));
        Ok(true)
    }

    /// Reads a batch's outputs as burn does it, all of them.
    fn read_whole(&self, model: &Resolved, flight: &Flight) -> Result<ReadBack, EngineError> {
        let outputs = flight.outputs.clone();
        let outputs: Vec<Tensor> = plan(&self.plans, flight.size)
            .map_or(Ok(Vec::new()), |plan| plan.read(outputs))
            .map_err(|e| self.failed(model, e))?;
        let bytes = outputs.iter().map(|output| output.data.len() as u64 * 4).sum();
        Ok(ReadBack { values: Values::All(outputs.into_iter().map(|output| output.data).collect()), bytes })
    }

    /// Why a plan failed: that the device is gone, if it is.
    fn failed(&self, model: &Resolved, error: GraphError) -> EngineError {
        match (&error, self.gpu.check()) {
            (GraphError::Device { .. }, Err(lost @ GpuError::Lost { .. })) => lost.into(),
            _ => EngineError::graph(&model.spec.name)(error),
        }
    }

    /// Gives up what is in flight.
    pub(super) fn abandon(&mut self) {
        self.flights.clear();
    }
}

/// The plan for batches of exactly `size`.
fn plan(plans: &[(usize, BurnPlan)], size: usize) -> Option<&BurnPlan> {
    plans.iter().find(|(n, _)| *n == size).map(|(_, plan)| plan)
}

/// Plans for the sizes of batches that [`sizes`] says, largest first, which share their weights; only for one where the
/// graph is bound to its batch.
fn plans(graph: &Graph, gpu: &Gpu, batch: usize, precision: Precision) -> Result<Vec<(usize, BurnPlan)>, GraphError> {
    let one = BurnPlan::with_options(graph, gpu.burn(), &BurnOptions { precision })?;
    let mut plans = Vec::new();
    for n in sizes(batch) {
        match one.for_batch(graph, n) {
            Ok(plan) => plans.insert(0, (n, plan)),
            Err(reason @ (GraphError::Batch { .. } | GraphError::TooLarge { .. } | GraphError::Memory { .. })) => {
                let most = plans.first().map_or(1, |(n, _)| *n);
                tracing::info!(%reason, most, "The model runs fewer frames at a time than were asked for.");
                break;
            }
            Err(error) => return Err(error),
        }
    }
    plans.push((1, one));
    Ok(plans)
}

/// The sizes of batches besides 1, ascending: powers of two up to `batch`.
fn sizes(batch: usize) -> impl Iterator<Item = usize> {
    std::iter::successors(Some(2_usize), |n| n.checked_mul(2)).take_while(move |n| *n <= batch)
}

fn decode_rows(
    decoder: Decoder<'_>,
    picture: &Picture,
    sparse: &mut Sparse,
    rows: &[(usize, Vec<f32>)],
    invalid: usize,
) -> Result<Found, EngineError> {
    for (number, values) in rows {
        sparse.put(*number, values.iter().copied());
    }
    let found = decoder.found(&sparse.outputs(), &picture.placement, picture.size);
    sparse.clear();
    found.map(|found| Found { invalid: found.invalid + invalid, ..found })
}

/// Decodes picture `i` of `n` from outputs of all of them.
fn decode_whole(
    decoder: Decoder<'_>,
    picture: &Picture,
    values: Option<&Values>,
    (i, n): (usize, usize),
) -> Result<Found, EngineError> {
    let outputs: &[Vec<f32>] = match values {
        Some(Values::All(outputs)) => outputs,
        _ => &[],
    };
    let item = |output: &Vec<f32>| {
        let length = output.len() / n.max(1);
        i * length..(i + 1) * length
    };
    let slices: Vec<&[f32]> = outputs.iter().map(|o| o.get(item(o)).unwrap_or_default()).collect();
    decoder.found(&slices, &picture.placement, picture.size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_powers_of_two() {
        assert_eq!(sizes(1).count(), 0);
        assert_eq!(sizes(8).collect::<Vec<_>>(), [2, 4, 8]);
        assert_eq!(sizes(12).collect::<Vec<_>>(), [2, 4, 8]);
    }
}
