//! A model on its device: preprocess, run, decode.

use std::collections::VecDeque;
use std::time::Instant;

use ocellus_onnx::{BurnPlan, CpuPlan, Error as GraphError, Graph, Precision, Tensor};

use super::gpu::{self, GpuRunner};
use super::{EngineError, EngineOptions, Outcome, precision};
use crate::config::DeviceChoice;
use crate::frame::Image;
use crate::gpu::Gpu;
use crate::model::input::Placement;
use crate::model::package::{Found, Package, Resolved, Thresholds};
use crate::model::preprocess::preprocess;

/// A graph made ready for a device.
pub(super) enum Runner {
    Cpu { plan: CpuPlan, threads: usize },
    BurnCpu { plan: Box<BurnPlan> },
    Gpu(Box<GpuRunner>),
}

/// How pictures are to be scored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    pub thresholds: Thresholds,
    /// Read every output, also where the device could select.
    pub whole: bool,
}

impl Runner {
    /// The runner, and what people call its device.
    pub(super) fn open(
        model: &Resolved,
        package: &Package,
        graph: &Graph,
        choice: DeviceChoice,
        options: &EngineOptions,
    ) -> Result<(Self, String), EngineError> {
        let wrong = EngineError::graph(&model.spec.name);
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
            match precision::open(graph, &gpu, options, model, package) {
                Ok((runner, chosen)) => {
                    let (model, precision) = (&model.spec.name, chosen.precision);
                    tracing::info!(model, ?precision, why = chosen.why, "Precision is chosen.");
                    return Ok((Self::Gpu(Box::new(runner)), gpu.name().to_owned()));
                }
                // The choice of device is ours, and the CPU may do what this GPU can't.
                Err(reason @ (EngineError::Graph { .. } | EngineError::Gpu(_))) if choice == DeviceChoice::Auto => {
                    tracing::warn!(model = model.spec.name, %reason, "The model runs on the CPU.");
                }
                Err(error) => return Err(error),
            }
        }
        if choice == DeviceChoice::BurnCpu {
            let plan = BurnPlan::new(graph, &burn::tensor::Device::flex()).map_err(wrong)?;
            return Ok((Self::BurnCpu { plan: Box::new(plan) }, "CPU (burn flex)".to_owned()));
        }
        let threads = options.threads.max(1);
        let plan = CpuPlan::with_threads(graph, threads).map_err(wrong)?;
        let name = if threads == 1 { "CPU (1 thread)".to_owned() } else { format!("CPU ({threads} threads)") };
        Ok((Self::Cpu { plan, threads }, name))
    }

    /// The sizes of batches that run differently, and so want warming up each.
    pub(super) fn batches(&self) -> Vec<usize> {
        match self {
            Self::Gpu(runner) => runner.batches(),
            Self::Cpu { .. } | Self::BurnCpu { .. } => vec![1],
        }
    }

    /// How many batches may be on their way at a time.
    pub(super) fn depth(&self) -> usize {
        match self {
            Self::Gpu(_) => gpu::DEPTH,
            Self::Cpu { .. } | Self::BurnCpu { .. } => 1,
        }
    }

    /// The GPU that it runs on, if it does.
    pub(super) fn gpu(&self) -> Option<&Gpu> {
        match self {
            Self::Gpu(runner) => Some(runner.gpu()),
            Self::Cpu { .. } | Self::BurnCpu { .. } => None,
        }
    }

    /// The floats that it runs with.
    pub(super) fn precision(&self) -> Precision {
        match self {
            Self::Gpu(runner) => runner.precision(),
            Self::Cpu { .. } | Self::BurnCpu { .. } => Precision::F32,
        }
    }

    /// Hands in pictures. What is ready, of these or of earlier ones, goes to `ready`, in order.
    pub(super) fn submit(
        &mut self,
        model: &Resolved,
        order: Order,
        images: &[&Image],
        ready: &mut VecDeque<Outcome>,
    ) -> Result<(), EngineError> {
        let decoder = Decoder { model, thresholds: &order.thresholds };
        match self {
            Self::Cpu { plan, threads } => {
                // Several pictures share the threads between them; one alone has them all.
                let alone = images.len() > 1;
                let run = |x: Tensor| if alone { plan.run_alone(&[x]) } else { plan.run(&[x]) };
                ready.extend(spread(images, *threads, |image| decoder.picture(image, run))?);
            }
            Self::BurnCpu { plan } => {
                for image in images {
                    ready.push_back(decoder.picture(image, |x| plan.run_tensors(&[x]))?);
                }
            }
            Self::Gpu(runner) => runner.submit(model, order, images, ready)?,
        }
        Ok(())
    }

    /// Waits for the oldest pictures that are on their way, and says whether there were any.
    pub(super) fn finish(&mut self, model: &Resolved, ready: &mut VecDeque<Outcome>) -> Result<bool, EngineError> {
        match self {
            Self::Gpu(runner) => runner.finish(model, ready),
            Self::Cpu { .. } | Self::BurnCpu { .. } => Ok(false),
        }
    }

    /// Gives up what is on its way.
    pub(super) fn abandon(&mut self) {
        if let Self::Gpu(runner) = self {
            runner.abandon();
        }
    }
}

/// From pictures to the model's input, and from its outputs to objects.
#[derive(Clone, Copy)]
pub(super) struct Decoder<'a> {
    pub model: &'a Resolved,
    pub thresholds: &'a Thresholds,
}

impl Decoder<'_> {
    /// What outputs for a picture of this size mean, which lay so in the input.
    pub(super) fn found(
        &self,
        outputs: &[&[f32]],
        placement: &Placement,
        source: (u32, u32),
    ) -> Result<Found, EngineError> {
        self.model
            .objects(outputs, self.thresholds, placement, source)
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
        let placement = input.placement(image);
        let Found { objects, invalid, embedding } = self.found(&slices, &placement, (image.width(), image.height()))?;
        Ok(Outcome {
            objects,
            embedding,
            invalid,
            preprocess_ms: ms(started, prepared),
            model_ms: ms(prepared, modelled),
            decode_ms: ms(modelled, Instant::now()),
            read_back_bytes: 0,
        })
    }
}

pub(super) fn ms(from: Instant, to: Instant) -> f64 {
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
