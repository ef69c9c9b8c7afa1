//! From the configuration to models that are open and warm.

use std::collections::BTreeMap;

use super::{DaemonError, systemd};
use crate::config::{CameraConfig, Config, ModelConfig, Name};
use crate::model::engine::{Engine, EngineError, EngineOptions, WarmUp};
use crate::model::package::Package;

/// Opens the package of a configured model.
///
/// # Errors
/// When it can't be read or makes no sense.
pub fn open_package(name: &Name, model: &ModelConfig) -> Result<Package, EngineError> {
    tracing::debug!(model = %name, path = %model.path.display(), "Opening the model.");
    Ok(Package::open(&model.path, model.profile.as_deref(), model.labels.as_deref())?)
}

/// The model that a camera is scored by. The configuration's check has seen to it that there is one.
pub(crate) fn model_of<'a>(config: &'a Config, camera: &'a CameraConfig) -> Option<&'a Name> {
    camera.model.as_ref().or_else(|| config.models.keys().next())
}

/// How many may want a model at a time: its cameras, and the pictures that may wait where it is served. Without any it
/// need not be opened.
pub(super) fn sources(config: &Config, model: &Name) -> usize {
    let cameras = config.cameras.values().filter(|camera| model_of(config, camera) == Some(model)).count();
    let served = config.serve.as_ref().filter(|serve| serve.serves(model));
    cameras + served.map_or(0, |serve| serve.queue)
}

/// Opens every model that is used, off the runtime's threads.
pub(super) async fn open_engines(config: &Config) -> Result<BTreeMap<Name, Engine>, DaemonError> {
    let mut engines = BTreeMap::new();
    for (name, model) in &config.models {
        let sources = sources(config, name);
        if sources == 0 {
            tracing::warn!(model = %name, "No camera uses this model: it is not opened.");
            continue;
        }
        let (name, model, device) = (name.clone(), model.clone(), config.device);
        let opened = tokio::task::spawn_blocking(move || {
            let options = engine_options(&model, sources);
            let said = name.clone();
            let engine = Engine::open_watched(open_package(&name, &model)?, device, &options, &mut |warm_up| {
                tell(&said, warm_up);
            })?;
            Ok::<_, EngineError>((name, engine))
        });
        match opened.await {
            Ok(result) => {
                let (name, engine) = result?;
                let (device, precision) = (engine.device(), engine.precision());
                tracing::info!(model = %name, device, precision, "The model is open and warm.");
                engines.insert(name, engine);
            }
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
    Ok(engines)
}

/// Those of the models that run whose files are not those any more that they were opened from, by digest.
///
/// # Errors
/// When one of them can't be read.
pub(super) async fn replaced(config: &Config, running: Vec<(Name, String)>) -> Result<Vec<Name>, DaemonError> {
    let models: Vec<_> = running
        .into_iter()
        .filter_map(|(name, content)| Some((config.models.get(&name)?.clone(), name, content)))
        .collect();
    let compare = move || {
        let mut found = Vec::new();
        for (model, name, content) in models {
            let now = open_package(&name, &model)?.content().map_err(EngineError::from)?;
            if now != content {
                tracing::info!(model = %name, "Its files have changed.");
                found.push(name);
            }
        }
        Ok::<_, DaemonError>(found)
    };
    match tokio::task::spawn_blocking(compare).await {
        Ok(found) => found,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// Says how far opening a model is, where it may take long.
fn tell(model: &Name, warm_up: WarmUp) {
    systemd::warming_up(&format!("Model {model}: {warm_up}."));
    if warm_up.cold {
        tracing::info!(%model, "Starting cold, {warm_up}.");
    }
}

pub(super) fn engine_options(model: &ModelConfig, sources: usize) -> EngineOptions {
    let ModelConfig { score, iou, precision, memory_mib, .. } = *model;
    let batch = model.batch.min(sources);
    EngineOptions { score, iou, precision, memory_mib, batch, ..EngineOptions::default() }
}
