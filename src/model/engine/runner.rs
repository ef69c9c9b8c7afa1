//! A model on its device: preprocess, run, decode.

use std::time::Instant;

use ocellus_onnx::{BurnPlan, CpuPlan, Error as GraphError, Graph, Tensor};

use super::{EngineError, EngineOptions, Outcome};
use crate::config::DeviceChoice;
use crate::frame::Image;
use crate::gpu::{Gpu, GpuStage};
use crate::model::package::{Found, Resolved, Thresholds};
use crate::model::preprocess::preprocess;

/// A graph made ready for a device.
pub(super) enum Runner {
    Cpu { plan: CpuPlan, threads: usize },
    BurnCpu { plan: Box<BurnPlan> },
    Gpu { stage: Box<GpuStage>, plans: Vec<(usize, BurnPlan)> },
}

impl Runner {
    /// The runner, and what people call its device.
    pub(super) fn open(
        model: &str,
        graph: &Graph,
        choice: DeviceChoice,
        options: &EngineOptions,
    ) -> Result<(Self, String), EngineError> {
        let wrong = EngineError::graph(model);
        let gpu = match choice {
            DeviceChoice::Gpu => Some(Gpu::open(false)?),
            DeviceChoice::GpuSoftware => Some(Gpu::open(true)?),
            DeviceChoice::Auto => match Gpu::open(false) {
                Ok(gpu) => Some(gpu),
                Err(reason) => {
                    tracing::info!(%reason, "Models run on the CPU.");
                    None
                }
            },
            DeviceChoice::Cpu | DeviceChoice::BurnCpu => None,
        };
        if let Some(gpu) = gpu {
            let plans = gpu_plans(graph, &gpu, options.batch.max(1)).map_err(wrong)?;
            let name = gpu.name().to_owned();
            return Ok((Self::Gpu { stage: Box::new(GpuStage::new(gpu)), plans }, name));
        }
        if choice == DeviceChoice::BurnCpu {
            let plan = BurnPlan::new(graph, &burn::tensor::Device::flex()).map_err(wrong)?;
            return Ok((Self::BurnCpu { plan: Box::new(plan) }, "CPU (burn flex)".to_owned()));
        }
        let plan = CpuPlan::new(graph).map_err(wrong)?;
        let threads = options.threads.max(1);
        let name = if threads == 1 { "CPU (1 thread)".to_owned() } else { format!("CPU ({threads} threads)") };
        Ok((Self::Cpu { plan, threads }, name))
    }

    /// The sizes of batches that run differently, and so want warming up each.
    pub(super) fn batches(&self) -> Vec<usize> {
        match self {
            Self::Gpu { plans, .. } => plans.iter().map(|(n, _)| *n).collect(),
            Self::Cpu { .. } | Self::BurnCpu { .. } => vec![1],
        }
    }

    /// Scores pictures, in order.
    pub(super) fn score(
        &mut self,
        model: &Resolved,
        thresholds: &Thresholds,
        images: &[&Image],
    ) -> Result<Vec<Outcome>, EngineError> {
        let decoder = Decoder { model, thresholds };
        match self {
            Self::Cpu { plan, threads } => spread(images, *threads, |image| decoder.picture(image, |x| plan.run(&[x]))),
            Self::BurnCpu { plan } => {
                images.iter().map(|image| decoder.picture(image, |x| plan.run_tensors(&[x]))).collect()
            }
            Self::Gpu { stage, plans } => gpu_batches(stage, plans, &decoder, images),
        }
    }
}

/// A plan for each power of two up to the batch, largest first; only for one where the graph fixes its batch.
fn gpu_plans(graph: &Graph, gpu: &Gpu, batch: usize) -> Result<Vec<(usize, BurnPlan)>, GraphError> {
    let mut plans = vec![(1, BurnPlan::new(graph, gpu.burn())?)];
    let mut n = 2;
    while n <= batch {
        match graph.with_batch(n) {
            Ok(batched) => plans.insert(0, (n, BurnPlan::new(&batched, gpu.burn())?)),
            Err(reason) => {
                tracing::info!(%reason, "The model runs one frame at a time.");
                break;
            }
        }
        n *= 2;
    }
    Ok(plans)
}

/// From pictures to the model's input, and from its outputs to objects.
#[derive(Clone, Copy)]
struct Decoder<'a> {
    model: &'a Resolved,
    thresholds: &'a Thresholds,
}

impl Decoder<'_> {
    fn found(&self, outputs: &[&[f32]], image: &Image) -> Result<Found, EngineError> {
        let placement = self.model.input.placement(image);
        let source = (image.width(), image.height());
        self.model
            .objects(outputs, self.thresholds, &placement, source)
            .map_err(|source| EngineError::Outputs { model: self.model.spec.name.clone(), source })
    }

    /// Scores one picture on the calling thread.
    fn picture(
        &self,
        image: &Image,
        run: impl FnOnce(Tensor) -> Result<Vec<Tensor>, GraphError>,
    ) -> Result<Outcome, EngineError> {
        let started = Instant::now();
        let input = &self.model.input;
        let mut data = vec![0.0; input.len()];
        preprocess(image, input, &mut data);
        let prepared = Instant::now();
        let shape = vec![1, 3, input.height as usize, input.width as usize];
        let outputs = run(Tensor { shape, data }).map_err(EngineError::graph(&self.model.spec.name))?;
        let modelled = Instant::now();
        let slices: Vec<&[f32]> = outputs.iter().map(|t| t.data.as_slice()).collect();
        let Found { objects, invalid } = self.found(&slices, image)?;
        Ok(Outcome {
            objects,
            invalid,
            preprocess_ms: ms(started, prepared),
            model_ms: ms(prepared, modelled),
            decode_ms: ms(modelled, Instant::now()),
        })
    }
}

fn ms(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64() * 1e3
}

/// Spreads pictures over threads, this one among them; each takes as many in a row.
fn spread<F>(images: &[&Image], threads: usize, score: F) -> Result<Vec<Outcome>, EngineError>
where
    F: Fn(&Image) -> Result<Outcome, EngineError> + Sync,
{
    let per_thread = images.len().div_ceil(threads.max(1));
    let (own, others) = images.split_at(per_thread);
    let some = |images: &[&Image]| images.iter().map(|image| score(image)).collect::<Result<Vec<_>, _>>();
    if others.is_empty() {
        return some(own);
    }
    std::thread::scope(|scope| {
        let running: Vec<_> = others.chunks(per_thread).map(|images| scope.spawn(|| some(images))).collect();
        let mut outcomes = some(own)?;
        for thread in running {
            match thread.join() {
                Ok(scored) => outcomes.extend(scored?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(outcomes)
    })
}

/// Runs pictures in the largest batches that there are plans for.
fn gpu_batches(
    stage: &mut GpuStage,
    plans: &[(usize, BurnPlan)],
    decoder: &Decoder<'_>,
    images: &[&Image],
) -> Result<Vec<Outcome>, EngineError> {
    let wrong = EngineError::graph(&decoder.model.spec.name);
    let mut outcomes = Vec::with_capacity(images.len());
    let mut rest = images;
    // There is always a plan for one picture.
    while let Some((n, plan)) = plans.iter().find(|(n, _)| !rest.is_empty() && *n <= rest.len()) {
        let (batch, after) = rest.split_at(*n);
        rest = after;
        let started = Instant::now();
        let input = stage.run(batch, &decoder.model.input)?;
        let prepared = Instant::now();
        let outputs = plan.run(vec![input]).map_err(&wrong)?;
        let outputs = plan.read(outputs).map_err(&wrong)?;
        let modelled = Instant::now();
        for (i, image) in batch.iter().enumerate() {
            let decoding = Instant::now();
            let slices: Vec<&[f32]> = outputs.iter().map(|t| item(t, i, *n)).collect();
            let Found { objects, invalid } = decoder.found(&slices, image)?;
            outcomes.push(Outcome {
                objects,
                invalid,
                preprocess_ms: ms(started, prepared),
                model_ms: ms(prepared, modelled),
                decode_ms: ms(decoding, Instant::now()),
            });
        }
    }
    Ok(outcomes)
}

/// The part of a batched output that belongs to picture `i` of `n`.
fn item(output: &Tensor, i: usize, n: usize) -> &[f32] {
    let length = output.data.len() / n;
    output.data.get(i * length..(i + 1) * length).unwrap_or_default()
}
