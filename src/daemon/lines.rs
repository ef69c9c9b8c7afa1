//! The cameras and the models that look at them, as they run, and their change while they do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::DaemonError;
use super::models::{engine_options, model_of, sources};
use super::outlet::Outlet;
use super::pulse::Pulses;
use super::reload::Plan;
use super::scoring::{Line, Reopen, Scoring, Watched};
use super::standing::Standing;
use crate::camera::mailbox::{Mailbox, Notifier};
use crate::camera::options::CameraOptions;
use crate::camera::supervise::Camera;
use crate::clock::Clock;
use crate::config::{CameraConfig, Config, ModelConfig, Name, QueueChoice};
use crate::detection::ModelRef;
use crate::model::engine::Engine;
use crate::scene::{Ids, Scene, unknown_labels};
use crate::serve::Counter;

/// Frames that may wait with `queue = "every"`, where nothing is said.
const QUEUE_FRAMES: usize = 32;

/// Where a camera leaves its frames.
fn mailbox(settings: &CameraConfig, notifier: Arc<Notifier>) -> Mailbox {
    match settings.queue {
        QueueChoice::Newest => Mailbox::new(notifier),
        QueueChoice::Every => Mailbox::queue(notifier, settings.queue_frames.unwrap_or(QUEUE_FRAMES)),
    }
}

/// What runs between the sources and the outlet.
pub(super) struct Lines {
    cameras: BTreeMap<Name, Camera>,
    models: BTreeMap<Name, Model>,
    outlet: Arc<Outlet>,
    clock: Arc<dyn Clock>,
    /// Of the scoring threads.
    pulses: Arc<Pulses>,
}

/// A model that runs.
struct Model {
    scoring: Scoring,
    /// Tells the scoring thread to end.
    stopping: Arc<AtomicBool>,
    watched: Arc<Watched>,
    /// Tells the scoring thread about frames.
    notifier: Arc<Notifier>,
    /// By class.
    labels: Vec<String>,
    /// Lowest score of a detection, where a camera says nothing else.
    score: f32,
    /// Name, version and digest.
    reference: ModelRef,
    /// A digest over its files.
    content: String,
    /// Where pictures that others send wait for it.
    counter: Option<Arc<Counter>>,
}

impl Model {
    fn ask_to_stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// What was captured is scored first.
    fn stop(self) {
        self.ask_to_stop();
        self.scoring.join();
    }
}

fn camera_options(name: &Name, settings: &CameraConfig) -> Result<CameraOptions, DaemonError> {
    let wrong = |reason: String| DaemonError::Camera { camera: name.to_string(), reason };
    CameraOptions::of(settings).map_err(|error| wrong(error.to_string()))
}

impl Lines {
    /// Nothing yet.
    pub(super) fn new(outlet: Arc<Outlet>, clock: Arc<dyn Clock>) -> Self {
        let (cameras, models, pulses) = (BTreeMap::new(), BTreeMap::new(), Arc::default());
        Self { cameras, models, outlet, clock, pulses }
    }

    /// Starts a scoring thread for each model, and all cameras.
    pub(super) fn start(&mut self, standing: &Standing, engines: BTreeMap<Name, Engine>) -> Result<(), DaemonError> {
        let config = standing.config();
        self.check_labels(standing, &engines)?;
        let started = self.start_models(config, engines)?;
        self.replace_models(config, started);
        config.cameras.iter().try_for_each(|(name, settings)| self.add_camera(standing, name, settings))
    }

    /// Whether the models, those that run and those that will, have all labels that their cameras name.
    fn check_labels(&self, standing: &Standing, engines: &BTreeMap<Name, Engine>) -> Result<(), DaemonError> {
        let config = standing.config();
        let mut unknown = Vec::new();
        for (name, settings) in &config.cameras {
            let Some(model) = model_of(config, settings) else { continue };
            let of_new = engines.get(model).map(|engine| engine.labels().iter().map(|label| &**label).collect());
            let running = || self.models.get(model).map(|model| model.labels.iter().map(String::as_str).collect());
            let Some(known): Option<Vec<&str>> = of_new.or_else(running) else { continue };
            unknown.extend(unknown_labels(settings, &known).into_iter().map(|label| label.below(name)));
        }
        if unknown.is_empty() { Ok(()) } else { Err(standing.loaded().file.mistakes(unknown).into()) }
    }

    /// The signs of life of what must get on.
    pub(super) fn pulses(&self) -> Arc<Pulses> {
        Arc::clone(&self.pulses)
    }

    /// The models that run.
    pub(super) fn models(&self) -> impl Iterator<Item = &Name> {
        self.models.keys()
    }

    /// The models that run, with digests over the files that they were opened from.
    pub(super) fn contents(&self) -> impl Iterator<Item = (&Name, &str)> {
        self.models.iter().map(|(name, model)| (name, &*model.content))
    }

    /// Starts a scoring thread for each engine. None is left behind where one can't be started.
    fn start_models(
        &self,
        config: &Config,
        engines: BTreeMap<Name, Engine>,
    ) -> Result<BTreeMap<Name, Model>, DaemonError> {
        let mut started = BTreeMap::new();
        for (name, engine) in engines {
            let Some(model) = config.models.get(&name) else { continue };
            match self.start_model(config, &name, model.clone(), engine) {
                Ok(model) => _ = started.insert(name, model),
                Err(error) => {
                    started.into_values().for_each(Model::stop);
                    return Err(DaemonError::Thread(error));
                }
            }
        }
        Ok(started)
    }

    fn start_model(&self, config: &Config, name: &Name, model: ModelConfig, engine: Engine) -> std::io::Result<Model> {
        let options = engine_options(&model, sources(config, name));
        let reopen = Reopen { name: name.clone(), model, device: config.device, options };
        let labels = engine.labels().iter().map(|label| label.to_string()).collect();
        let (score, reference, content) = (engine.score_threshold(), engine.model_ref(), engine.content().to_owned());
        let notifier = Arc::new(Notifier::new());
        let desk = self.outlet.outputs.serve.as_ref();
        let counter = desk.and_then(|desk| desk.counter(name, &engine, Arc::clone(&notifier)));
        let watched = Arc::new(Watched::new(counter.clone()));
        let (outlet, stopping) = (Arc::clone(&self.outlet), Arc::<AtomicBool>::default());
        let pulse = self.pulses.add(&format!("model {name}"));
        let (watching, told, ending) = (Arc::clone(&watched), Arc::clone(&notifier), Arc::clone(&stopping));
        let scoring = Scoring::spawn(engine, reopen, watching, told, outlet, pulse, ending)?;
        Ok(Model { scoring, stopping, watched, notifier, labels, score, reference, content, counter })
    }

    /// The models that run, by their names in the configuration.
    pub(super) fn model_refs(&self) -> impl Iterator<Item = (&Name, &ModelRef)> {
        self.models.iter().map(|(name, model)| (name, &model.reference))
    }

    /// What the cameras' models call things.
    pub(super) fn labels(&self, config: &Config) -> BTreeMap<String, Vec<String>> {
        let labels = |camera| Some(self.models.get(model_of(config, camera)?)?.labels.clone());
        config.cameras.iter().filter_map(|(name, camera)| Some((name.to_string(), labels(camera)?))).collect()
    }

    /// Lowest score of a detection by a camera that says nothing else.
    pub(super) fn score_of(&self, config: &Config, camera: &Name) -> Option<f32> {
        let model = model_of(config, config.cameras.get(camera)?)?;
        Some(self.models.get(model)?.score)
    }

    fn add_camera(&mut self, standing: &Standing, name: &Name, settings: &CameraConfig) -> Result<(), DaemonError> {
        let Some(model) = model_of(standing.config(), settings).and_then(|model| self.models.get(model)) else {
            return Ok(());
        };
        let options = camera_options(name, settings)?;
        let mailbox = Arc::new(mailbox(settings, Arc::clone(&model.notifier)));
        let off = standing.off(name, self.clock.wall());
        let runs = off.is_none();
        self.outlet.add_camera(name, Arc::clone(&mailbox), scene(settings), off);
        if !runs {
            return Ok(());
        }
        model.watched.add(Line { camera: name.clone(), mailbox: Arc::clone(&mailbox), score: settings.score });
        let (outlet, camera) = (Arc::clone(&self.outlet), name.clone());
        let observe = move |status| outlet.camera_status(&camera, status);
        let camera = Camera::spawn(name, options, mailbox, Arc::clone(&self.clock), observe);
        self.cameras.insert(name.clone(), camera.map_err(DaemonError::Thread)?);
        Ok(())
    }

    /// Stops a camera, which takes a moment. What of its frames is being scored still gets out.
    fn stop_camera(&mut self, name: &Name) {
        if let Some(camera) = self.cameras.remove(name) {
            camera.stop();
        }
        for model in self.models.values() {
            model.watched.remove(name);
        }
        self.outlet.end_tracks(name);
    }

    /// Changes what runs; cameras that the plan doesn't name are not touched. `engines` are those of models that
    /// are new or changed.
    ///
    /// # Errors
    /// When a model can't be started or lacks a label, or a camera makes no sense; nothing was changed then.
    pub(super) fn change(
        &mut self,
        standing: &Standing,
        plan: &Plan,
        engines: BTreeMap<Name, Engine>,
    ) -> Result<(), DaemonError> {
        let config = standing.config();
        self.check_labels(standing, &engines)?;
        for (name, settings) in &config.cameras {
            camera_options(name, settings)?;
        }
        let started = self.start_models(config, engines)?;
        // From here on nothing can be refused.
        for name in &plan.removed {
            self.stop_camera(name);
            self.outlet.remove_camera(name);
        }
        for name in plan.changed.iter().chain(&plan.added) {
            if let Some(off) = standing.off(name, self.clock.wall()) {
                self.outlet.set_off(name, off);
            }
            self.stop_camera(name);
        }
        self.replace_models(config, started);
        for name in plan.changed.iter().chain(&plan.added) {
            let Some(settings) = config.cameras.get(name) else { continue };
            // The others are none the worse for it.
            if let Err(error) = self.add_camera(standing, name, settings) {
                tracing::error!(camera = %name, %error, "The camera can't be started.");
            }
        }
        for name in &plan.tuned {
            let score = config.cameras.get(name).and_then(|camera| camera.score);
            self.models.values().for_each(|model| model.watched.set_score(name, score));
        }
        for name in &plan.scenes {
            self.outlet.set_scene(name, config.cameras.get(name).and_then(scene));
        }
        Ok(())
    }

    /// Puts models in the place of those that ran under their names, and stops those that nobody uses any more.
    fn replace_models(&mut self, config: &Config, started: BTreeMap<Name, Model>) {
        let used = |name: &Name| sources(config, name) > 0;
        let (kept, mut gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.models).into_iter().partition(|(name, _)| used(name));
        self.models = kept;
        for (name, model) in started {
            if let Some(before) = self.models.insert(name.clone(), model) {
                gone.insert(name, before);
            }
        }
        if let Some(desk) = &self.outlet.outputs.serve {
            let counter = |(name, model): (&Name, &Model)| Some((name.clone(), Arc::clone(model.counter.as_ref()?)));
            desk.serve(self.models.iter().filter_map(counter).collect());
        }
        gone.into_values().for_each(Model::stop);
    }

    /// Stops everything front to back: what was captured is scored.
    pub(super) fn stop(self) {
        self.models.values().for_each(Model::ask_to_stop);
        for camera in self.cameras.values() {
            camera.ask_to_stop();
        }
        self.cameras.into_values().for_each(Camera::stop);
        self.models.into_values().for_each(Model::stop);
        self.outlet.finish();
    }
}

/// What becomes of a camera's detections over time, where that is asked for.
fn scene(settings: &CameraConfig) -> Option<Scene> {
    Scene::new(settings.track.as_ref(), &settings.zones, &settings.lines, Ids::fresh())
}
