//! A model, open and ready: pictures in, objects out, on whichever device it was opened for.
//!
//! * On `cpu` each picture of a batch runs on a thread of its own, preprocessing and decoding included; a picture alone
//!   shares the model's work among all threads.
//! * On `gpu` a batch is one tensor: pixels are uploaded once, and only the candidates above the threshold come back,
//!   while the next batch is on its way.
//! * On `burn-cpu` the GPU's lowering runs on the CPU, one picture at a time: for comparison.

mod gpu;
mod load;
pub mod memory;
mod precision;
mod runner;

use std::collections::VecDeque;

use bytes::Bytes;
use ocellus_onnx::{Error as GraphError, Precision};

pub use self::load::load;
use self::runner::{Order, Runner};
use super::heads::HeadError;
use super::package::{Labels, Package, PackageError, Resolved, Spec, Thresholds};
use crate::config::{DeviceChoice, PrecisionChoice};
use crate::detection::{ModelRef, Object};
use crate::frame::{Image, PixelFormat};
use crate::gpu::GpuError;

/// What may be set when a model is opened.
#[derive(Debug, Clone, Copy)]
pub struct EngineOptions {
    /// Lowest score, instead of the package's.
    pub score: Option<f32>,
    /// NMS threshold, instead of the package's.
    pub iou: Option<f32>,
    /// Floats on a GPU, instead of the package's choice.
    pub precision: Option<PrecisionChoice>,
    /// Take the package's evaluation thresholds where none are given above.
    pub evaluation: bool,
    /// The most pictures that run together.
    pub batch: usize,
    /// Threads that share a batch on the CPU.
    pub threads: usize,
    /// MiB that a run of the model may take; [`memory::default_mib`] where not given.
    pub memory_mib: Option<u64>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self { score: None, iou: None, precision: None, evaluation: false, batch: 1, threads, memory_mib: None }
    }
}

impl EngineOptions {
    fn thresholds(&self, spec: &Spec) -> Thresholds {
        let given = if self.evaluation { spec.evaluation.thresholds() } else { spec.thresholds };
        Thresholds { score: self.score.unwrap_or(given.score), nms: self.iou.unwrap_or(given.nms), ..given }
    }
}

/// Why a model can't be opened or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The package is wrong, or does not fit its network.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// The graph is wrong, or can't run on this device.
    #[error("model `{model}`: {source}")]
    Graph {
        /// The model's name or file.
        model: String,
        /// What is wrong.
        source: GraphError,
    },
    /// A run would take more memory than it may.
    #[error(
        "model `{model}`: {source}: `memory_mib` under [models.NAME] in the configuration, --memory-mib on the command \
         line"
    )]
    Memory {
        /// The model's name or file.
        model: String,
        /// How much, and for which node.
        source: GraphError,
    },
    /// The network takes pictures of any size, and nothing says which.
    #[error(
        "model `{model}` leaves the size of its input open ({what}): put it in a directory with a model.toml that says `size = [width, height]` under [input]"
    )]
    OpenSize {
        /// The model's file.
        model: String,
        /// Which axis of which shape.
        what: String,
    },
    /// A run gave other outputs than the network promised.
    #[error("model `{model}`: {source}")]
    Outputs {
        /// The model's name.
        model: String,
        /// What is wrong.
        source: HeadError,
    },
    /// The outputs have the right shapes, but not the meaning that the head reads from them.
    #[error(
        "model `{model}` has outputs of the right shapes for the head `{head}`, but many of their numbers mean nothing \
         to it on {device}: take another profile or head, or export the model as the head reads it (YOLOX without \
         decode_in_inference; class scores after their sigmoid or softmax, or logits where the head takes those)"
    )]
    Nonsense {
        /// The model's name.
        model: String,
        /// The kind of head.
        head: &'static str,
        /// The device, as people know it.
        device: String,
    },
    /// 16-bit floats were asked for, and lose too much.
    #[error(
        "model `{model}` loses {loss:.4} on its golden set in f16, and its package allows {tolerance}: take precision \
         `f32` or `auto`, or raise `tolerance` under [golden] in its model.toml"
    )]
    Precision {
        /// The model's name.
        model: String,
        /// What was measured.
        loss: f32,
        /// What is allowed.
        tolerance: f32,
    },
    /// The GPU can't be used, or is gone.
    #[error("GPU: {0}")]
    Gpu(#[from] GpuError),
}

impl EngineError {
    fn graph(model: &str) -> impl Fn(GraphError) -> Self + '_ {
        move |source| Self::Graph { model: model.to_owned(), source }
    }
}

/// What was seen in one picture, and where the time went, in milliseconds.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Best score first.
    pub objects: Vec<Object>,
    /// What describes the picture as a whole; only from models of the task `embed`.
    pub embedding: Option<Vec<f32>>,
    /// Pixels to the model's input. Of pictures that run as one tensor, the time of all together.
    pub preprocess_ms: f64,
    /// The model; reading its outputs back included. As above.
    pub model_ms: f64,
    /// Decoding and NMS.
    pub decode_ms: f64,
    /// Numbers of the model that were dropped because they mean nothing: not finite, or scores that are no
    /// probability. Above 0 the model or the device is at fault.
    pub invalid: usize,
    /// Bytes that came back from a GPU. Of pictures that run as one tensor, each one's share.
    pub read_back_bytes: u64,
}

/// How far opening a model is: it is run in all the ways that it will be run, for which a device may have to look for
/// its fastest kernels first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WarmUp {
    /// The run that is about to start, from 1.
    pub step: usize,
    /// How many there are.
    pub steps: usize,
    /// Pictures that run together in it.
    pub batch: usize,
    /// Whether kernels have to be looked for: nothing is known from an earlier start.
    pub cold: bool,
}

impl std::fmt::Display for WarmUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { step, steps, batch, cold } = self;
        let doing = if *cold { "looking for the fastest kernels" } else { "warming up" };
        let pictures = if *batch == 1 { "picture" } else { "pictures" };
        write!(f, "{doing}: step {step} of {steps}, {batch} {pictures}")
    }
}

/// A model, open and warm.
pub struct Engine {
    model: Resolved,
    /// A digest over the files that it was opened from.
    content: String,
    /// As it was opened with.
    opened: Thresholds,
    /// As it runs with.
    thresholds: Thresholds,
    runner: Runner,
    device: String,
    /// How many pictures were handed in together, oldest first.
    waiting: VecDeque<usize>,
    /// Outcomes that are known, oldest first.
    ready: VecDeque<Outcome>,
    /// Whether it was said that the model gives numbers that mean nothing.
    warned: bool,
}

impl Engine {
    /// Opens a model on a device and runs it once, so that the first frame finds everything compiled.
    ///
    /// # Errors
    /// When the package, its graph or the device won't do; the message says which and why.
    pub fn open(package: Package, device: DeviceChoice, options: &EngineOptions) -> Result<Self, EngineError> {
        Self::open_watched(package, device, options, &mut |_| ())
    }

    /// As [`open`](Self::open), telling how far it is.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_watched(
        package: Package,
        device: DeviceChoice,
        options: &EngineOptions,
        watch: &mut dyn FnMut(WarmUp),
    ) -> Result<Self, EngineError> {
        let content = package.content()?;
        let graph = load(&package, options.memory_mib)?;
        let model = package.resolve(graph.inputs(), graph.outputs())?;
        let (runner, device) = Runner::open(&model, &package, &graph, device, options)?;
        let thresholds = options.thresholds(&model.spec);
        let (waiting, ready) = (VecDeque::new(), VecDeque::new());
        let opened = thresholds;
        let mut engine = Self { model, content, opened, thresholds, runner, device, waiting, ready, warned: false };
        engine.warm_up(watch)?;
        Ok(engine)
    }

    /// The model's name, version and digest.
    #[must_use]
    pub fn model_ref(&self) -> ModelRef {
        self.model.reference.clone()
    }

    /// A digest over the files that it was opened from: see [`Package::content`].
    #[must_use]
    pub fn content(&self) -> &str {
        &self.content
    }

    /// What the model says of itself.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.model.spec
    }

    /// Its labels, by class.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        &self.model.labels
    }

    /// The device, as people know it.
    #[must_use]
    pub fn device(&self) -> &str {
        &self.device
    }

    /// The floats that it runs with: `f32` or `f16`.
    #[must_use]
    pub fn precision(&self) -> &'static str {
        match self.runner.precision() {
            Precision::F32 => "f32",
            Precision::F16 => "f16",
        }
    }

    /// The size of the model's input, pixels.
    #[must_use]
    pub fn input_size(&self) -> (u32, u32) {
        (self.model.input.width, self.model.input.height)
    }

    /// The lowest score of a detection, as the model was opened with it.
    #[must_use]
    pub fn score_threshold(&self) -> f32 {
        self.opened.score
    }

    /// Changes the lowest score of a detection, for pictures that are handed in from now on. A lower one only adds
    /// weaker detections: NMS drops the weaker of two, and the strongest are kept where there are too many.
    pub fn set_score_threshold(&mut self, score: f32) {
        self.thresholds.score = score;
    }

    /// Scores pictures, in order. What was handed in before and not collected is given up.
    ///
    /// # Errors
    /// When the device fails: out of memory, lost.
    pub fn score(&mut self, images: &[&Image]) -> Result<Vec<Outcome>, EngineError> {
        self.score_by(Order { thresholds: self.thresholds, whole: false }, images)
    }

    /// As [`score`](Self::score), each output brought back whole where the device would select: for comparison.
    ///
    /// # Errors
    /// As [`score`](Self::score).
    pub fn score_whole(&mut self, images: &[&Image]) -> Result<Vec<Outcome>, EngineError> {
        self.score_by(Order { thresholds: self.thresholds, whole: true }, images)
    }

    fn score_by(&mut self, order: Order, images: &[&Image]) -> Result<Vec<Outcome>, EngineError> {
        self.abandon();
        self.hand_in(order, images)?;
        Ok(self.collect()?.unwrap_or_default())
    }

    /// Hands in pictures to be scored together. On a GPU this returns while the device works; what earlier pictures
    /// keep in use is waited for where there is no room. After an error everything handed in is given up.
    ///
    /// # Errors
    /// When the device fails: out of memory, lost.
    pub fn submit(&mut self, images: &[&Image]) -> Result<(), EngineError> {
        self.hand_in(Order { thresholds: self.thresholds, whole: false }, images)
    }

    /// Waits for the pictures handed in first, and gives what was seen in them; none where nothing is on its way.
    /// After an error everything handed in is given up.
    ///
    /// # Errors
    /// When the device fails: out of memory, lost.
    pub fn collect(&mut self) -> Result<Option<Vec<Outcome>>, EngineError> {
        let Some(count) = self.waiting.front().copied() else { return Ok(None) };
        while self.ready.len() < count {
            match self.runner.finish(&self.model, &mut self.ready) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    self.abandon();
                    return Err(error);
                }
            }
        }
        self.waiting.pop_front();
        let outcomes: Vec<Outcome> = self.ready.drain(..count.min(self.ready.len())).collect();
        self.note_invalid(&outcomes);
        Ok(Some(outcomes))
    }

    /// How many lots of pictures it makes sense to have handed in at a time: more only wait longer.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.runner.depth()
    }

    fn hand_in(&mut self, order: Order, images: &[&Image]) -> Result<(), EngineError> {
        let handed = self.runner.submit(&self.model, order, images, &mut self.ready);
        match &handed {
            Ok(()) => self.waiting.push_back(images.len()),
            Err(_) => self.abandon(),
        }
        handed
    }

    fn abandon(&mut self) {
        self.runner.abandon();
        self.waiting.clear();
        self.ready.clear();
    }

    fn note_invalid(&mut self, outcomes: &[Outcome]) {
        let invalid: usize = outcomes.iter().map(|outcome| outcome.invalid).sum();
        if invalid > 0 && !self.warned {
            self.warned = true;
            let (model, device) = (&self.model.spec.name, &self.device);
            tracing::warn!(model, device, invalid, "The model gives numbers that mean nothing; they are dropped.");
        }
    }

    /// Runs the model on a grey picture in all the ways that it will be run. Once with every candidate decoded: an
    /// unfit head shows at once.
    fn warm_up(&mut self, watch: &mut dyn FnMut(WarmUp)) -> Result<(), EngineError> {
        let (width, height) = self.input_size();
        let grey = Bytes::from(vec![114; PixelFormat::Rgb8.bytes(width, height)]);
        // Always a picture: the input's size was checked against stricter limits.
        let Ok(image) = Image::new(width, height, PixelFormat::Rgb8, grey) else { return Ok(()) };
        let everything = Order { thresholds: Thresholds { score: 0.0, ..self.thresholds }, whole: true };
        let usual = Order { thresholds: self.thresholds, whole: false };
        let mut runs: Vec<(usize, Order)> = self.runner.batches().into_iter().map(|n| (n, everything)).collect();
        if self.runner.gpu().is_some() {
            runs.extend(self.runner.batches().into_iter().map(|n| (n, usual)));
        }
        let cold = self.runner.gpu().is_some_and(|gpu| !gpu.knows(&self.kernels()));
        let steps = runs.len();
        for (step, (batch, order)) in (1..).zip(runs) {
            watch(WarmUp { step, steps, batch, cold });
            let mut outcomes = VecDeque::new();
            self.runner.submit(&self.model, order, &vec![&image; batch], &mut outcomes)?;
            while self.runner.finish(&self.model, &mut outcomes)? {}
            if outcomes.iter().any(|outcome| self.model.is_nonsense(outcome.invalid)) {
                return Err(EngineError::Nonsense {
                    model: self.model.spec.name.clone(),
                    head: self.model.spec.head.kind(),
                    device: self.device.clone(),
                });
            }
        }
        if let Some(gpu) = self.runner.gpu() {
            gpu.note(&self.kernels());
        }
        Ok(())
    }

    /// What decides which kernels the model takes.
    fn kernels(&self) -> String {
        let batches: Vec<String> = self.runner.batches().iter().map(ToString::to_string).collect();
        format!("{}-{}-{}", self.model.reference.digest, self.precision(), batches.join("-"))
    }
}

#[cfg(test)]
mod tests;
