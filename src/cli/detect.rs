//! `ocellus detect`: images, clips and directories.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::Utc;
use clap::Args;
use indicatif::ProgressBar;
use ulid::Ulid;

use super::{Failure, ModelArgs, note_missing_names, print, progress};
use crate::camera::source::{Source, SourceError};
use crate::config::{Name, TrackConfig};
use crate::detection::{Detections, FrameRef, Latency, Object, Rect, SCHEMA};
use crate::draw::{Canvas, annotate, jpeg};
use crate::frame::Image;
use crate::model::engine::{Engine, EngineOptions, Outcome};
use crate::model::package::Task;
use crate::scene::{Ids, Scene};

/// Quality of the annotated pictures.
const JPEG_QUALITY: u8 = 90;

#[derive(Debug, Args)]
pub(super) struct Detect {
    #[command(flatten)]
    model: ModelArgs,
    /// Lowest score of a detection, instead of the model's
    #[arg(long, value_parser = fraction)]
    score: Option<f32>,
    /// IoU above which NMS drops the weaker of two boxes, instead of the model's
    #[arg(long, value_parser = fraction)]
    iou: Option<f32>,
    /// Print one JSON object a frame
    #[arg(long)]
    json: bool,
    /// Follow things from frame to frame; pictures and JSON then say which track an object is on
    #[arg(long)]
    track: bool,
    /// Write annotated pictures into this directory
    #[arg(long, value_name = "DIR")]
    draw: Option<PathBuf>,
    /// Images, clips, directories, or any other source
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<OsString>,
}

/// A number from 0 to 1.
pub(super) fn fraction(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(v) if (0.0..=1.0).contains(&v) => Ok(v),
        _ => Err("take a fraction from 0 to 1".to_owned()),
    }
}

/// A source that makes no sense is wrong use; one that makes sense but is not there is not.
pub(super) fn wrong_source(error: SourceError) -> Failure {
    match error {
        SourceError::Missing(_) | SourceError::WrongKind { .. } => error.into(),
        other => Failure::usage(other.to_string()),
    }
}

/// One of the inputs.
struct Input {
    /// As given.
    text: String,
    /// What its frames and pictures are called; no two inputs share it.
    name: String,
    source: Source,
}

impl Detect {
    pub(super) fn run(self) -> Result<(), Failure> {
        // Inputs first: a mistyped path should not wait for a model to load.
        let inputs = inputs(&self.inputs)?;
        if let Some(dir) = &self.draw {
            std::fs::create_dir_all(dir)
                .map_err(|e| Failure::new(format!("the directory {} can't be made: {e}", dir.display())))?;
        }
        let options = EngineOptions { score: self.score, iou: self.iou, ..EngineOptions::default() };
        let options = EngineOptions { batch: options.threads, ..options };
        let mut engine = self.model.engine(&options)?;
        if engine.spec().task != Task::Embed {
            note_missing_names(engine.labels());
        }
        let mut work =
            Work { engine: &mut engine, options: &self, batch: options.batch, progress: progress::counter() };
        let mut failed = false;
        for input in &inputs {
            if let Err(failure) = work.input(input) {
                work.progress.suspend(|| failure.say());
                failed = true;
            }
        }
        work.progress.finish_and_clear();
        if failed { Err(Failure::said()) } else { Ok(()) }
    }
}

fn inputs(texts: &[OsString]) -> Result<Vec<Input>, Failure> {
    let mut names = BTreeSet::new();
    let mut inputs = Vec::with_capacity(texts.len());
    for given in texts {
        let source = Source::parse_os(given).map_err(wrong_source)?;
        let text = source.to_string();
        let stem = stem(given, &text);
        let numbered = (2_u64..).map(|n| format!("{stem}-{n}"));
        let free = std::iter::once(stem.clone()).chain(numbered).find(|name| !names.contains(name));
        let name = free.unwrap_or(stem);
        names.insert(name.clone());
        inputs.push(Input { text, name, source });
    }
    Ok(inputs)
}

/// What pictures of an input are called: its file name without the extension.
fn stem(given: &OsStr, shown: &str) -> String {
    let text = given.to_string_lossy();
    let path = text.split_once('?').map_or(&*text, |(path, _)| path);
    let stem = Path::new(path).file_stem().map(|s| s.to_string_lossy().into_owned());
    Name::near(&stem.unwrap_or_else(|| shown.to_owned())).to_string()
}

/// What inputs go through.
struct Work<'a> {
    engine: &'a mut Engine,
    options: &'a Detect,
    batch: usize,
    progress: ProgressBar,
}

impl Work<'_> {
    /// Scores an input's frames; what came before an error is scored all the same.
    fn input(&mut self, input: &Input) -> Result<(), Failure> {
        self.progress.set_message(input.text.clone());
        // What happens now should be seen now.
        let live = input.source.is_live() || input.source.realtime() == Some(true);
        let most = if live { 1 } else { self.batch };
        let mut frames = crate::camera::frames(&input.source)?;
        let mut scene = Scene::new(self.options.track.then(TrackConfig::default).as_ref(), &[], &[], Ids::fresh());
        let mut seq = 0;
        loop {
            let (images, error) = frames.batch(most);
            let (full, count) = (images.len() == most, images.len() as u64);
            self.images(input, seq, &images, scene.as_mut())?;
            seq += count;
            match error {
                Some(error) => return Err(error.into()),
                None if !full => return Ok(()),
                None => {}
            }
        }
    }

    /// Scores frames together, each with its time in its input, the first being number `seq` of it.
    fn images(
        &mut self,
        input: &Input,
        seq: u64,
        frames: &[(Duration, Image)],
        mut scene: Option<&mut Scene>,
    ) -> Result<(), Failure> {
        let outcomes = self.engine.score(&frames.iter().map(|(_, image)| image).collect::<Vec<_>>())?;
        for ((seq, (at, image)), mut outcome) in (seq..).zip(frames).zip(outcomes) {
            if let Some(scene) = &mut scene {
                let step = scene.step(self.message(&input.name, seq, image, outcome.clone()), *at);
                outcome.objects = step.detections.objects;
            }
            if let Some(dir) = &self.options.draw {
                write_annotated(&dir.join(format!("{}-{seq:05}.jpg", input.name)), image, &outcome.objects)?;
            }
            let lines = if self.options.json {
                vec![serde_json::to_string(&self.message(&input.name, seq, image, outcome))?]
            } else {
                table(&input.text, seq, image, &outcome)
            };
            self.progress.suspend(|| lines.iter().try_for_each(|line| print(line)))?;
            self.progress.inc(1);
        }
        Ok(())
    }

    fn message(&self, camera: &str, seq: u64, image: &Image, outcome: Outcome) -> Detections {
        Detections {
            schema: SCHEMA.to_owned(),
            id: Ulid::generate().to_string(),
            site: "local".to_owned(),
            node: Name::of_this_host().to_string(),
            camera: camera.to_owned(),
            camera_state: None,
            frame: FrameRef { seq, captured_at: Utc::now(), width: image.width(), height: image.height() },
            model: self.engine.model_ref(),
            // There is none: the digest of the empty text says so.
            config: crate::config::digest(""),
            latency_ms: Latency {
                queue: 0.0,
                preprocess: outcome.preprocess_ms,
                model: outcome.model_ms,
                total: outcome.preprocess_ms + outcome.model_ms + outcome.decode_ms,
            },
            objects: outcome.objects,
            embedding: outcome.embedding,
        }
    }
}

/// A line an object, as people read it: boxes in pixels.
#[allow(clippy::cast_precision_loss)]
fn table(input: &str, seq: u64, image: &Image, outcome: &Outcome) -> Vec<String> {
    let (w, h) = (image.width() as f32, image.height() as f32);
    let line = |o: &Object| {
        let at = if o.rect == Rect::FULL {
            "whole frame".to_owned()
        } else {
            let Rect { x, y, w: bw, h: bh } = o.rect;
            format!("x {:7.1}  y {:7.1}  w {:7.1}  h {:7.1}", x * w, y * h, bw * w, bh * h)
        };
        format!("{input}\t{seq}\t{:<18} {:.4}  {at}", o.label, o.score)
    };
    let Outcome { objects, embedding, .. } = outcome;
    if let Some(vector) = embedding {
        let first: Vec<String> = vector.iter().take(6).map(|v| format!("{v:.4}")).collect();
        return vec![format!("{input}\t{seq}\t[{}, …] ({} numbers)", first.join(", "), vector.len())];
    }
    if objects.is_empty() {
        return vec![format!("{input}\t{seq}\t(nothing)")];
    }
    objects.iter().map(line).collect()
}

fn write_annotated(path: &Path, image: &Image, objects: &[Object]) -> Result<(), Failure> {
    let mut canvas = Canvas::new(image);
    annotate(&mut canvas, objects);
    let bytes = jpeg(canvas.pixels(), canvas.width(), canvas.height(), JPEG_QUALITY)?;
    std::fs::write(path, bytes).map_err(|e| Failure::new(format!("{} can't be written: {e}", path.display())))
}
