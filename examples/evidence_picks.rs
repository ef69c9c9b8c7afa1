//! What would be kept of a clip, by several configurations at once, so that its model runs only once.
//!
//! ```text
//! cargo run --release --example evidence_picks -- --frames 100 SOURCE CONFIG...
//! ```
//!
//! Model and tracks are those of the first configuration, which has one of each. Prints a line of JSON a frame, with what
//! was seen, and one for each frame that a configuration, by its number from 0, would keep.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta};
use ocellus::camera::frames;
use ocellus::camera::source::Source;
use ocellus::clock::{Clock, ManualClock};
use ocellus::config::{self, Loaded};
use ocellus::daemon::open_package;
use ocellus::detection::{Detections, FrameRef, Latency, SCHEMA, Scored};
use ocellus::event::Event;
use ocellus::evidence::Selector;
use ocellus::frame::{Frame, Image};
use ocellus::model::engine::{Engine, EngineOptions, Outcome};
use ocellus::scene::{Ids, Scene};
use ocellus::status::CameraState;
use serde_json::json;

const USAGE: &str = "usage: evidence_picks [--frames N] SOURCE CONFIG...";

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1).peekable();
    let most = if words.next_if(|word| word == "--frames").is_some() {
        words.next().ok_or(USAGE)?.parse()?
    } else {
        usize::MAX
    };
    let source = Source::parse(&words.next().ok_or(USAGE)?)?;
    let loaded = words.map(|path| config::load(&PathBuf::from(path))).collect::<Result<Vec<_>, _>>()?;
    let mut run = Run::of(&loaded)?;
    let mut clip = frames(&source)?;
    let batch = EngineOptions::default().threads;
    let mut seq = 0;
    while seq < most {
        let (shown, error) = clip.batch(batch.min(most - seq));
        let images: Vec<&Image> = shown.iter().map(|(_, image)| image).collect();
        for ((at, image), outcome) in shown.iter().zip(run.engine.score(&images)?) {
            run.frame(u64::try_from(seq)?, *at, image, outcome);
            seq += 1;
        }
        if let Some(error) = error {
            return Err(error.into());
        }
        if shown.len() < batch {
            break;
        }
    }
    Ok(())
}

/// A model, its tracks, and all that pick from what they see.
struct Run {
    engine: Engine,
    scene: Scene,
    clock: ManualClock,
    started: Instant,
    selectors: Vec<Selector>,
}

impl Run {
    fn of(loaded: &[Loaded]) -> Result<Self, Box<dyn Error>> {
        let first = &loaded.first().ok_or(USAGE)?.config;
        let (name, model) = first.models.first_key_value().ok_or("the first configuration has no model")?;
        let (_, camera) = first.cameras.first_key_value().ok_or("the first configuration has no camera")?;
        let options = EngineOptions { score: model.score, iou: model.iou, ..EngineOptions::default() };
        let options = EngineOptions { batch: options.threads, ..options };
        let engine = Engine::open(open_package(name, model)?, first.device, &options)?;
        let track = camera.track.clone().unwrap_or_default();
        let scene =
            Scene::new(Some(&track), &camera.zones, &camera.lines, Ids::seeded(1)).ok_or("there is no scene")?;
        let clock = ManualClock::new(DateTime::UNIX_EPOCH);
        let selectors = loaded.iter().filter_map(|loaded| loaded.config.evidence.as_ref());
        let selectors = selectors.map(|settings| Selector::new(settings, Arc::new(clock.clone()))).collect();
        Ok(Self { engine, scene, started: clock.monotonic(), clock, selectors })
    }

    fn frame(&mut self, seq: u64, at: Duration, image: &Image, outcome: Outcome) {
        let captured_at = DateTime::UNIX_EPOCH + TimeDelta::from_std(at).unwrap_or(TimeDelta::MAX);
        let detections = Detections {
            schema: SCHEMA.to_owned(),
            id: String::new(),
            site: String::new(),
            node: String::new(),
            camera: "c".to_owned(),
            camera_state: None,
            frame: FrameRef { seq, captured_at, width: image.width(), height: image.height() },
            model: self.engine.model_ref(),
            config: String::new(),
            latency_ms: Latency::default(),
            objects: outcome.objects,
            embedding: outcome.embedding,
        };
        let step = self.scene.step(detections, at);
        println!("{}", json!({"frame": seq, "at": at.as_secs_f64(), "objects": step.detections.objects}));
        let captured = self.started + at;
        self.clock.advance(captured.saturating_duration_since(self.clock.monotonic()));
        let (image, state) = (image.clone(), CameraState::Ok);
        let frame = Frame { camera: "c".into(), seq, captured_at, captured, state, image };
        self.pick(&Scored { frame, detections: Arc::new(step.detections) }, &step.events);
    }

    fn pick(&mut self, scored: &Scored, events: &[Event]) {
        for (i, selector) in self.selectors.iter_mut().enumerate() {
            for pick in selector.select(scored, events) {
                println!("{}", json!({"config": i, "kept": pick.scored.frame.seq, "reason": pick.reason.kind()}));
            }
        }
    }
}
