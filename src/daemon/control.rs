//! Carrying commands out.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::announce::{announce, known};
use super::models::{model_of, open_engines, replaced};
use super::reload::Plan;
use super::standing::Standing;
use super::{Daemon, DaemonError, systemd};
use crate::command::{self, Book, Command, Order, Refusal, Request, SETTINGS, Setting, SettingState};
use crate::config::{self, Config, Name, nearest};
use crate::model::engine::Engine;
use crate::status::{ConfigStatus, RefusedReload};

/// How long a frame may take that is to be kept: until one comes, and until it is on the disk.
const SNAPSHOT: Duration = Duration::from_secs(10);

impl Daemon {
    /// Carries a command out and answers it.
    pub(super) async fn obey(&mut self, order: Order, path: Option<&Path>) {
        let Request { camera, command } = order.request.clone();
        let camera = match camera.map(|name| self.camera(&name)).transpose() {
            Ok(camera) => camera,
            Err(refusal) => return order.answer(Err(refusal)),
        };
        let name = command.name();
        let nobody = || Refusal::unknown_camera(format!("`{name}` is for a camera: say which"));
        let answer = match (command, camera) {
            (Command::Set(setting), Some(camera)) => self.set(&camera, setting),
            (Command::Snapshot, Some(camera)) => match self.snapshot(&camera, order) {
                Ok(()) => return,
                Err((order, refusal)) => return order.answer(Err(refusal)),
            },
            (Command::Verdict(said), camera) => return self.judge(camera, *said, order),
            (Command::Set(_) | Command::Snapshot, None) => Err(nobody()),
            (Command::Reset, camera) => Ok(self.reset(camera.as_ref())),
            (Command::Reload, _) => self.reload(path).await.map(|plan| {
                let Plan { added, changed, tuned, removed, models, .. } = plan;
                let changed = [changed, tuned].concat();
                json!({"added": added, "changed": changed, "removed": removed, "models": models})
            }),
            (Command::Diagnose, _) => serde_json::to_value(self.diagnosis())
                .map_err(|error| Refusal::not_now(format!("it can't be written down: {error}"))),
        };
        order.answer(answer);
    }

    fn camera(&self, name: &str) -> Result<Name, Refusal> {
        let cameras = &self.standing.config().cameras;
        if let Some((name, _)) = cameras.get_key_value(name) {
            return Ok(name.clone());
        }
        let shown: String = name.chars().take(64).collect();
        let names: Vec<&str> = cameras.keys().map(|name| &**name).collect();
        Err(Refusal::unknown_camera(match nearest(&shown, &names) {
            Some(near) => format!("there is no camera `{shown}`: did you mean `{near}`?"),
            None => format!("there is no camera `{shown}`"),
        }))
    }

    /// Changes a setting: on the disk first, so that what is answered holds over a restart.
    fn set(&mut self, camera: &Name, setting: Setting) -> Result<Value, Refusal> {
        let mut book = self.standing.book().clone();
        let Some(configured) = self.standing.file().cameras.get(camera) else {
            return Err(Refusal::unknown_camera(format!("there is no camera `{camera}`")));
        };
        book.set(camera, configured, setting, self.outlet.clock().wall());
        if book != *self.standing.book() {
            let standing = self.standing.with(book);
            let plan = Plan::of(self.standing.config(), standing.config()).map_err(Refusal::not_now)?;
            // It needs no models that do not run.
            self.put_in_force(standing, &plan, BTreeMap::new())?;
            let value = setting.value().unwrap_or(Value::Null);
            tracing::info!(%camera, setting = setting.name(), %value, "A setting was commanded.");
        }
        let state = self.setting(camera, setting.name());
        if let Some(state) = &state {
            self.mqtt.handle().setting(state);
        }
        serde_json::to_value(state).map_err(|error| Refusal::not_now(error.to_string()))
    }

    fn keep(&self, book: &Book) -> Result<(), Refusal> {
        let written = tokio::task::block_in_place(|| self.book.write(book));
        written.map_err(|error| {
            tracing::error!(%error, "What was commanded can't be kept.");
            Refusal::not_now(format!("it can't be kept over a restart, so nothing was changed: {error}"))
        })
    }

    /// Puts something else in force. What was commanded is on the disk first, so that it holds over a restart.
    fn put_in_force(
        &mut self,
        standing: Standing,
        plan: &Plan,
        engines: BTreeMap<Name, Engine>,
    ) -> Result<(), Refusal> {
        let differs = standing.book() != self.standing.book();
        if differs {
            self.keep(standing.book())?;
        }
        let lines = &mut self.lines;
        if let Err(error) = tokio::task::block_in_place(|| lines.change(&standing, plan, engines)) {
            if differs {
                // What holds is what was before.
                self.keep(self.standing.book())?;
            }
            return Err(Refusal::not_now(error.to_string()));
        }
        self.outlet.set_config(ConfigStatus { digest: standing.digest(), ..self.outlet.config() });
        self.standing = standing;
        Ok(())
    }

    /// A setting as it is.
    fn setting(&self, camera: &Name, setting: &str) -> Option<SettingState> {
        let [mut value, mut configured] = self.standing.values(camera, setting)?;
        if setting == "score" {
            let model = command::number(self.lines.score_of(self.standing.config(), camera));
            for value in [&mut value, &mut configured].into_iter().filter(|value| value.is_null()) {
                value.clone_from(&model);
            }
        }
        let commanded = self.standing.book().get(camera, setting);
        let config = self.standing.config();
        Some(SettingState {
            schema: command::SCHEMA.to_owned(),
            site: config.site.to_string(),
            node: config.node.to_string(),
            camera: Some(camera.to_string()),
            setting: setting.to_owned(),
            value,
            configured: Some(configured),
            commanded: commanded.is_some(),
            since: commanded.map(|commanded| commanded.since),
            refused: None,
        })
    }

    /// Has a frame kept, and answers when it is.
    fn snapshot(&self, camera: &Name, order: Order) -> Result<(), (Order, Refusal)> {
        let kept = match self.outlet.snapshot(camera) {
            Ok(kept) => kept,
            Err(refusal) => return Err((order, refusal)),
        };
        tokio::spawn(async move {
            order.answer(match tokio::time::timeout(SNAPSHOT, kept).await {
                Ok(Ok(Ok(id))) => Ok(json!({"id": id})),
                Ok(Ok(Err(reason))) => Err(Refusal::not_now(format!("the frame can't be kept: {reason}"))),
                Ok(Err(_)) => Err(Refusal::not_now("the camera was stopped before a frame came")),
                Err(_) => Err(Refusal::not_now(format!("no frame was kept within {} s", SNAPSHOT.as_secs()))),
            });
        });
        Ok(())
    }

    /// Begins counts anew: one camera's or all.
    fn reset(&self, camera: Option<&Name>) -> Value {
        let cameras: Vec<Name> =
            camera.map_or_else(|| self.standing.config().cameras.keys().cloned().collect(), |name| vec![name.clone()]);
        let counts: usize = cameras.iter().map(|camera| self.outlet.reset(camera)).sum();
        tokio::task::block_in_place(|| self.outlet.save_counts());
        tracing::info!(counts, "Counts were commanded to begin anew.");
        json!({"counts": counts})
    }

    /// Reads the configuration again; says in the log what came of it.
    pub(super) async fn reload(&mut self, path: Option<&Path>) -> Result<Plan, Refusal> {
        let Some(path) = path else { return Err(Refusal::not_now("this daemon has no configuration file")) };
        let outcome = self.take(path).await;
        let (now, before) = (self.outlet.clock().wall(), self.outlet.config());
        match &outcome {
            Ok(plan) if plan.is_empty() => tracing::info!("Reloaded: nothing changed."),
            Ok(plan) => tracing::info!("Reloaded: {plan}."),
            Err(reason) => {
                tracing::error!(reason, "Not reloaded; the configuration before stays in force.");
                systemd::status(&format!("Not reloaded: {reason}"));
            }
        }
        self.outlet.set_config(match &outcome {
            Ok(_) => ConfigStatus { since: now, refused: None, ..before },
            Err(reason) => ConfigStatus { refused: Some(RefusedReload { reason: reason.clone(), at: now }), ..before },
        });
        outcome.map_err(Refusal::not_now)
    }

    async fn take(&mut self, path: &Path) -> Result<Plan, String> {
        let loaded = config::load(path).map_err(|error| error.to_string())?;
        let mut book = self.standing.book().clone();
        settle(&mut book, &loaded.config);
        let standing = Standing::new(loaded, book);
        let config = standing.config();
        let running = self.lines.contents().map(|(name, content)| (name.clone(), content.to_owned())).collect();
        let plan = Plan::of(self.standing.config(), config)?;
        let replaced = replaced(config, running).await.map_err(|error| error.to_string())?;
        let plan = plan.with_models(replaced, config);
        let mut unused = config.clone();
        unused
            .models
            .retain(|name, _| plan.models.contains(name) || !self.lines.models().any(|running| running == name));
        unused.cameras.retain(|_, camera| model_of(config, camera).is_some_and(|m| unused.models.contains_key(m)));
        let engines = if unused.cameras.is_empty() && unused.serve.is_none() {
            BTreeMap::new()
        } else {
            open_engines(&unused).await.map_err(|error| error.to_string())?
        };
        self.put_in_force(standing, &plan, engines).map_err(|refusal| refusal.reason)?;
        let config = self.standing.config();
        self.outlet.counts().settle(config);
        if let (true, Some(line), Some(settings)) = (plan.evidence, &self.evidence, &config.evidence) {
            line.handles().0.choose(settings);
        }
        if plan.announced && !config.mqtt.home_assistant {
            self.mqtt.handle().announce(Vec::new());
        }
        self.tell().map_err(|error| error.to_string())?;
        Ok(plan)
    }

    /// Tells those who listen what there is, and how it is set.
    pub(super) fn tell(&self) -> Result<(), DaemonError> {
        let (config, mqtt) = (self.standing.config(), self.mqtt.handle());
        mqtt.know(known(config));
        if let Some(reviews) = &self.outlet.outputs.reviews {
            reviews.know(self.lines.labels(config));
        }
        for camera in config.cameras.keys() {
            for state in SETTINGS.iter().filter_map(|setting| self.setting(camera, setting)) {
                mqtt.setting(&state);
            }
        }
        if config.mqtt.home_assistant {
            announce(config, &mqtt)?;
        }
        if let Some(iothub) = &self.iothub {
            let iothub = iothub.handle();
            // Keys of twins have no dots.
            let models = self.lines.model_refs().map(|(name, model)| (name.replace('.', "%2E"), model));
            let models: BTreeMap<_, _> = models.collect();
            for (name, value) in [
                ("version", json!(env!("CARGO_PKG_VERSION"))),
                ("site", json!(config.site)),
                ("node", json!(config.node)),
                ("device", json!(self.outlet.device())),
                ("models", json!(models)),
            ] {
                iothub.node(name, value);
            }
        }
        Ok(())
    }
}

/// Forgets commands that a configuration makes void, and says so.
pub(super) fn settle(book: &mut Book, config: &Config) {
    for (camera, setting) in book.settle(config) {
        tracing::info!(camera, setting, "The configuration was edited, so what was commanded before holds no longer.");
    }
}
