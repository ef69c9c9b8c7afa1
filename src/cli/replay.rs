//! `ocellus replay`: recorded frames through a camera's model, tracks, zones and lines, the same each time.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;

use super::check::DEFAULT_CONFIG;
use super::detect::wrong_source;
use super::{Failure, print, progress};
use crate::camera::source::Source;
use crate::clock::{Clock, ManualClock};
use crate::config::{self, CameraConfig, DeviceChoice, Loaded, Name};
use crate::daemon::{self, model_of};
use crate::detection::{Detections, FrameRef, Latency, SCHEMA, Scored};
use crate::event::{Count, Event};
use crate::evidence::{Evidence, Selector};
use crate::frame::{Frame, Image};
use crate::model::engine::{Engine, EngineOptions, Outcome};
use crate::scene::{Ids, Scene, unknown_labels};
use crate::status::CameraState;

#[derive(Debug, Args)]
pub(super) struct Replay {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
    /// The camera whose model, tracks, zones and lines are used; may be left out where there is only one
    #[arg(long, value_name = "NAME")]
    camera: Option<String>,
    /// Where the model runs, instead of what the configuration says
    #[arg(long, value_enum)]
    device: Option<DeviceChoice>,
    /// When the first frame was captured, as in 2026-01-31T08:00:00Z
    #[arg(long, value_name = "TIME", default_value = "1970-01-01T00:00:00Z")]
    start: DateTime<Utc>,
    /// What ids are drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Stop after this many frames; for sources without an end
    #[arg(long, value_name = "N")]
    frames: Option<u64>,
    /// Print the detections of each frame too, with tracks and zones
    #[arg(long)]
    detections: bool,
    /// Print the record of each frame that would be kept too, by the table [evidence] of the configuration
    #[arg(long)]
    evidence: bool,
    /// A clip, a picture, a directory, or any other source
    #[arg(value_name = "INPUT")]
    input: String,
}

impl Replay {
    pub(super) fn run(self) -> Result<(), Failure> {
        let source = Source::parse(&self.input).map_err(wrong_source)?;
        let loaded = config::load(&self.config)?;
        let (name, camera) = self.camera(&loaded)?;
        let mut engine = self.engine(&loaded, name, camera)?;
        let labels: Vec<&str> = engine.labels().iter().map(|label| &**label).collect();
        let unknown = unknown_labels(camera, &labels);
        if !unknown.is_empty() {
            return Err(loaded.file.mistakes(unknown.into_iter().map(|label| label.below(name))).into());
        }
        let (track, ids) = (camera.track.clone().unwrap_or_default(), Ids::seeded(self.seed));
        let Some(scene) = Scene::new(Some(&track), &camera.zones, &camera.lines, ids) else { return Ok(()) };
        let selection = self.selection(&loaded)?;
        // The scene's ids and those of the detections must not depend on each other.
        let ids = Ids::seeded(!self.seed);
        let mut tape = Tape { replay: &self, loaded: &loaded, camera: name, scene, selection, ids, seq: 0 };
        tape.play(&source, &mut engine)?;
        tape.end()
    }

    fn camera<'a>(&self, loaded: &'a Loaded) -> Result<(&'a Name, &'a CameraConfig), Failure> {
        let cameras = &loaded.config.cameras;
        let list = || cameras.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let file = self.config.display();
        match (&self.camera, cameras.len()) {
            (_, 0) => Err(Failure::new(format!("{file} has no camera: add a table [cameras.NAME]"))),
            (Some(name), _) => cameras
                .get_key_value(name.as_str())
                .ok_or_else(|| Failure::usage(format!("{file} has no camera `{name}`: it has {}", list()))),
            (None, 1) => Ok(cameras.first_key_value().ok_or_else(Failure::said)?),
            (None, _) => {
                Err(Failure::usage(format!("{file} has several cameras: say which with --camera, {}", list())))
            }
        }
    }

    fn selection(&self, loaded: &Loaded) -> Result<Option<Selection>, Failure> {
        if !self.evidence {
            return Ok(None);
        }
        let Some(settings) = &loaded.config.evidence else {
            return Err(Failure::new(format!("{} has no table [evidence]", self.config.display())));
        };
        let clock = ManualClock::new(self.start);
        let selector = Selector::new(settings, Arc::new(clock.clone()));
        Ok(Some(Selection { selector, clock, started: Instant::now(), ids: Ids::seeded(self.seed.rotate_left(32)) }))
    }

    fn engine(&self, loaded: &Loaded, name: &Name, camera: &CameraConfig) -> Result<Engine, Failure> {
        let config = &loaded.config;
        let model = model_of(config, camera).and_then(|model| config.models.get_key_value(&**model));
        let Some((model_name, model)) = model else {
            return Err(Failure::new(format!("{}: [cameras.{name}] has no model", self.config.display())));
        };
        let package = daemon::open_package(model_name, model)?;
        let (iou, precision, memory_mib) = (model.iou, model.precision, model.memory_mib);
        let score = camera.score.or(model.score);
        let options = EngineOptions { score, iou, precision, memory_mib, ..EngineOptions::default() };
        let options = EngineOptions { batch: options.threads, ..options };
        Ok(Engine::open(package, self.device.unwrap_or(config.device), &options)?)
    }
}

/// What picks evidence, on the time of the frames.
struct Selection {
    selector: Selector,
    clock: ManualClock,
    started: Instant,
    ids: Ids,
}

/// What is replayed.
struct Tape<'a> {
    replay: &'a Replay,
    loaded: &'a Loaded,
    camera: &'a Name,
    scene: Scene,
    /// What picks evidence, where that is asked for.
    selection: Option<Selection>,
    ids: Ids,
    /// Number of the next frame.
    seq: u64,
}

impl Tape<'_> {
    /// Runs all frames of a source through it.
    fn play(&mut self, source: &Source, engine: &mut Engine) -> Result<(), Failure> {
        let batch = EngineOptions::default().threads;
        let mut frames = crate::camera::frames(source)?;
        let progress = progress::counter();
        progress.set_message(source.to_string());
        loop {
            let left = self.replay.frames.map_or(u64::MAX, |most| most.saturating_sub(self.seq));
            let most = batch.min(usize::try_from(left).unwrap_or(usize::MAX));
            let (shown, error) = frames.batch(most);
            let outcomes = engine.score(&shown.iter().map(|(_, image)| image).collect::<Vec<_>>())?;
            for ((at, image), outcome) in shown.iter().zip(outcomes) {
                progress.suspend(|| self.frame(*at, image, outcome, engine))?;
                progress.inc(1);
            }
            match error {
                Some(error) => return Err(error.into()),
                None if shown.len() < batch => break,
                None => {}
            }
        }
        progress.finish_and_clear();
        Ok(())
    }

    fn frame(&mut self, at: Duration, image: &Image, outcome: Outcome, engine: &Engine) -> Result<(), Failure> {
        let captured_at = self.replay.start + TimeDelta::from_std(at).unwrap_or(TimeDelta::MAX);
        let detections = Detections {
            schema: SCHEMA.to_owned(),
            id: self.ids.next(captured_at).to_string(),
            site: self.loaded.config.site.to_string(),
            node: self.loaded.config.node.to_string(),
            camera: self.camera.to_string(),
            frame: FrameRef { seq: self.seq, captured_at, width: image.width(), height: image.height() },
            model: engine.model_ref(),
            config: self.loaded.digest.clone(),
            camera_state: None,
            // How long it takes is another each time.
            latency_ms: Latency::default(),
            objects: outcome.objects,
            embedding: outcome.embedding,
        };
        self.seq += 1;
        let step = self.scene.step(detections, at);
        if self.replay.detections {
            print(&serde_json::to_string(&step.detections)?)?;
        }
        tell(&step.events, &step.counts)?;
        self.keep(at, image, step.detections, &step.events)
    }

    /// Prints the records of the frames that would be kept.
    fn keep(&mut self, at: Duration, image: &Image, seen: Detections, events: &[Event]) -> Result<(), Failure> {
        let Some(Selection { selector, clock, started, ids }) = &mut self.selection else { return Ok(()) };
        let captured = *started + at;
        clock.advance(captured.saturating_duration_since(clock.monotonic()));
        let FrameRef { seq, captured_at, .. } = seen.frame;
        let camera: Arc<str> = seen.camera.as_str().into();
        let frame = Frame { camera, seq, captured_at, captured, state: CameraState::Ok, image: image.clone() };
        for pick in selector.select(&Scored { frame, detections: Arc::new(seen) }, events) {
            let id = ids.next(pick.scored.frame.captured_at).to_string();
            let record = Evidence::assemble(&id, &pick, None, None).map_err(|error| Failure::new(error.to_string()))?;
            print(&String::from_utf8_lossy(&record.json))?;
        }
        Ok(())
    }

    fn end(mut self) -> Result<(), Failure> {
        let (events, counts) = self.scene.finish();
        tell(&events, &counts)
    }
}

/// One line each.
fn tell(events: &[Event], counts: &[Count]) -> Result<(), Failure> {
    for event in events {
        print(&serde_json::to_string(event)?)?;
    }
    for count in counts {
        print(&serde_json::to_string(count)?)?;
    }
    Ok(())
}
