//! What the types can't say: values in range, references that lead somewhere.

mod evidence;
mod insights;
mod privacy;
mod review;
mod scene;
mod serve;
mod ship;

use std::path::Path;

use toml::de::{DeTable, DeValue};
use url::Url;

use super::load::nearest;
use super::{CameraConfig, Config, Name, QueueChoice, TrustConfig, WebConfig};
use crate::camera::capture::CaptureFormat;
use crate::camera::source::{NetworkUrl, Source};
use crate::frame::check_size;
use crate::model::profiles;
use crate::publish::{MqttError, iothub};

/// The highest rate that a camera may ask for, frames a second.
const MAX_FPS: f32 = 1000.0;
/// How long the longer side of a picture may be made, in pixels.
const SIDES: std::ops::RangeInclusive<u32> = 16..=crate::frame::MAX_SIDE;
/// How often a still may be asked for, in seconds.
const POLLS: std::ops::RangeInclusive<f32> = 0.05..=86_400.0;
/// The most frames that may wait.
const MAX_FRAMES: usize = 1024;
/// How much a picture may be asked to change before it is scored, in levels of 255.
const LEVELS: std::ops::RangeInclusive<f32> = 0.5..=255.0;
/// How long a network camera may be silent, in seconds.
const TIMEOUTS: std::ops::RangeInclusive<f32> = 0.5..=3600.0;
/// The largest batch.
const MAX_BATCH: usize = 64;
/// The highest rate of a backlog, messages a second.
const MAX_BACKLOG_RATE: u32 = 10_000;
/// The largest outbox, MiB: a petabyte.
const MAX_OUTBOX_MIB: u64 = 1 << 30;
/// The most messages that may wait for the broker.
const MAX_QUEUE: usize = 65_536;

/// Notes each mistake with the byte at which its entry starts.
pub(super) fn check(config: &Config, document: &DeTable<'_>, found: &mut Vec<(usize, String)>) {
    let mut wrong = |path: &[&str], message: String| found.push((locate(document, path), message));
    check_models(config, &mut wrong);
    check_cameras(config, &mut wrong);
    check_mqtt(config, &mut wrong);
    check_iothub(config, &mut wrong);
    check_web(config, &mut wrong);
    evidence::check(config, &mut wrong);
    check_outbox(config, &mut wrong);
    check_traces(config, &mut wrong);
    privacy::check(config, &mut wrong);
    serve::check(config, &mut wrong);
    review::check(config, &mut wrong);
    ship::check(config, &mut wrong);
    insights::check(config, &mut wrong);
}

fn check_web(config: &Config, wrong: &mut impl FnMut(&[&str], String)) {
    let two = |web: &&WebConfig| web.metrics_token_file.is_some() && web.metrics_token_credential.is_some();
    if config.web.as_ref().filter(two).is_some() {
        wrong(
            &["web", "metrics_token_credential"],
            "the token comes from one place: give `metrics_token_file` or `metrics_token_credential`".to_owned(),
        );
    }
}

fn check_traces(config: &Config, wrong: &mut impl FnMut(&[&str], String)) {
    let Some(traces) = &config.traces else { return };
    let usable = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
    };
    if !Url::parse(&traces.url).as_ref().is_ok_and(usable) {
        let message = "`url` is where a collector takes OTLP over HTTP, like \"http://127.0.0.1:4318/v1/traces\"";
        wrong(&["traces", "url"], message.to_owned());
    }
    if !(traces.ratio > 0.0 && traces.ratio <= 1.0) {
        wrong(&["traces", "ratio"], "`ratio` is above 0 and at most 1".to_owned());
    }
}

fn check_models(config: &Config, wrong: &mut impl FnMut(&[&str], String)) {
    for (name, model) in &config.models {
        for (key, value) in [("score", model.score), ("iou", model.iou)] {
            if value.is_some_and(|v| !(0.0..=1.0).contains(&v)) {
                wrong(&["models", name, key], format!("`{key}` is a fraction from 0 to 1"));
            }
        }
        if model.memory_mib == Some(0) {
            wrong(&["models", name, "memory_mib"], "`memory_mib` is at least 1".to_owned());
        }
        if !(1..=MAX_BATCH).contains(&model.batch) {
            wrong(&["models", name, "batch"], format!("`batch` is from 1 to {MAX_BATCH}"));
        }
        if is_absent(&model.path) {
            let path = model.path.display();
            wrong(
                &["models", name, "path"],
                format!("there is no file or directory {path}: name a model package or an .onnx file"),
            );
        }
        if let Some(labels) = model.labels.as_deref().filter(|path| is_absent(path)) {
            wrong(&["models", name, "labels"], format!("there is no file {}", labels.display()));
        }
        if let Some(message) = model.profile.as_deref().and_then(profile_mistake) {
            wrong(&["models", name, "profile"], message);
        }
    }
}

fn profile_mistake(named: &str) -> Option<String> {
    let known: Vec<&str> = profiles::names().collect();
    if known.contains(&named) {
        return None;
    }
    Some(match nearest(named, &known) {
        Some(near) => format!("there is no profile `{named}`: did you mean `{near}`?"),
        None => format!("there is no profile `{named}`: there are {}", list(&known)),
    })
}

/// Whether nothing is there. What we may not look at may be there for whom the daemon runs as.
fn is_absent(path: &Path) -> bool {
    path.try_exists().is_ok_and(|there| !there)
}

fn check_cameras(config: &Config, wrong: &mut impl FnMut(&[&str], String)) {
    let models: Vec<&str> = config.models.keys().map(|n| &**n).collect();
    for (name, camera) in &config.cameras {
        match Source::parse(&camera.source) {
            Ok(source) => {
                check_network(name, camera, &source, wrong);
                check_capture(name, camera, &source, wrong);
            }
            Err(error) => wrong(&["cameras", name, "source"], error.to_string()),
        }
        check_frames(name, camera, wrong);
        check_trust(name, &camera.trust, wrong);
        if camera.score.is_some_and(|score| !(0.0..=1.0).contains(&score)) {
            wrong(&["cameras", name, "score"], "`score` is a fraction from 0 to 1".to_owned());
        }
        if camera.fps.is_some_and(|fps| !(fps > 0.0 && fps <= MAX_FPS)) {
            wrong(&["cameras", name, "fps"], format!("`fps` is above 0 and at most {MAX_FPS}"));
        }
        if let Some(message) = model_mistake(camera.model.as_ref(), &models) {
            wrong(&["cameras", name, "model"], message);
        }
        scene::check(camera, &mut |path, message| wrong(&[&["cameras", &**name], path].concat(), message));
    }
}

/// What only network cameras have: logins, limits of time and size.
fn check_network(name: &Name, camera: &CameraConfig, source: &Source, wrong: &mut impl FnMut(&[&str], String)) {
    let network = if let Source::Network(url) = source { Some(url) } else { None };
    if let Err(error) = camera.password().check(camera.username.as_deref()) {
        wrong(&["cameras", name], error.to_string());
    }
    if let Some(path) = camera.password_file.as_deref().filter(|path| is_absent(path)) {
        wrong(&["cameras", name, "password_file"], format!("there is no file {}", path.display()));
    }
    if camera.username.is_some() && network.is_none_or(NetworkUrl::has_login) {
        let message = match network {
            Some(_) => "the URL in `source` has a user name already: keep one of them",
            None => "only network cameras (rtsp, rtsps, http, https) take a `username`",
        };
        wrong(&["cameras", name, "username"], message.to_owned());
    }
    check_certificate(name, camera, network, wrong);
    if camera.poll_s.is_some_and(|s| !POLLS.contains(&s)) {
        let (least, most) = (POLLS.start(), POLLS.end());
        wrong(&["cameras", name, "poll_s"], format!("`poll_s` is from {least} to {most}"));
    } else if camera.poll_s.is_some() && network.is_none_or(|url| !url.scheme().starts_with("http")) {
        wrong(&["cameras", name, "poll_s"], "only http and https give stills: leave `poll_s` out".to_owned());
    }
    if camera.max_side.is_some_and(|side| !SIDES.contains(&side)) {
        wrong(&["cameras", name, "max_side"], format!("`max_side` is from {} to {}", SIDES.start(), SIDES.end()));
    }
    if camera.timeout_s.is_some_and(|s| !TIMEOUTS.contains(&s)) {
        let (least, most) = (TIMEOUTS.start(), TIMEOUTS.end());
        wrong(&["cameras", name, "timeout_s"], format!("`timeout_s` is from {least} to {most}"));
    }
}

/// Who vouches for a network camera.
fn check_certificate(
    name: &Name,
    camera: &CameraConfig,
    network: Option<&NetworkUrl>,
    wrong: &mut impl FnMut(&[&str], String),
) {
    let secure = network.is_some_and(NetworkUrl::is_secure);
    for (key, given) in [("ca_file", camera.ca_file.is_some()), ("tls_verify", camera.tls_verify.is_some())] {
        if given && !secure {
            let message = format!("only rtsps and https have certificates: leave `{key}` out");
            wrong(&["cameras", name, key], message);
        }
    }
    if camera.tls_verify == Some(false) && camera.ca_file.is_some() {
        let message = "`tls_verify = false` takes any certificate: leave it or `ca_file` out";
        wrong(&["cameras", name, "tls_verify"], message.to_owned());
    }
    if let Some(path) = camera.ca_file.as_deref().filter(|path| secure && is_absent(path)) {
        wrong(&["cameras", name, "ca_file"], format!("there is no file {}", path.display()));
    }
}

/// What only a camera at this machine, or a machine-vision one, can be asked for.
fn check_capture(name: &str, camera: &CameraConfig, source: &Source, wrong: &mut impl FnMut(&[&str], String)) {
    let keys = [
        ("format", camera.format.is_some()),
        ("size", camera.size.is_some()),
        ("controls", !camera.controls.is_empty()),
    ];
    if !matches!(source, Source::V4l(_) | Source::Genicam(_)) {
        for (key, _) in keys.into_iter().filter(|(_, given)| *given) {
            wrong(&["cameras", name, key], format!("`{key}` is for cameras whose `source` is `v4l:…` or `genicam:…`"));
        }
    }
    let genicam = matches!(source, Source::Genicam(_));
    if let Some(format @ (CaptureFormat::Mjpg | CaptureFormat::Nv12)) = camera.format.filter(|_| genicam) {
        let message = format!("a `genicam:` camera gives no {format}: take `bayer`, `rgb`, `yuyv` or `grey`");
        wrong(&["cameras", name, "format"], message);
    }
    match &camera.trigger {
        Some(_) if !genicam => {
            wrong(&["cameras", name, "trigger"], "`trigger` is for cameras whose `source` is `genicam:…`".to_owned());
        }
        Some(trigger) if trigger.is_empty() || !trigger.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') => {
            let message =
                "`trigger` is \"off\", \"software\" or the name of one of the camera's lines, such as \"Line1\"";
            wrong(&["cameras", name, "trigger"], message.to_owned());
        }
        _ => {}
    }
    if let Some(error) = camera.size.and_then(|[width, height]| check_size(width, height).err()) {
        wrong(&["cameras", name, "size"], error.to_string());
    }
}

/// Which frames are scored.
fn check_frames(name: &Name, camera: &CameraConfig, wrong: &mut impl FnMut(&[&str], String)) {
    if camera.motion.is_some_and(|level| !LEVELS.contains(&level)) {
        let (least, most) = (LEVELS.start(), LEVELS.end());
        wrong(&["cameras", name, "motion"], format!("`motion` is from {least} to {most} levels of 255"));
    }
    if camera.queue_frames.is_some_and(|frames| !(1..=MAX_FRAMES).contains(&frames)) {
        wrong(&["cameras", name, "queue_frames"], format!("`queue_frames` is from 1 to {MAX_FRAMES}"));
    } else if camera.queue_frames.is_some() && camera.queue == QueueChoice::Newest {
        let message = "`queue_frames` is for `queue = \"every\"`: only the newest frame waits otherwise";
        wrong(&["cameras", name, "queue_frames"], message.to_owned());
    }
}

fn check_trust(name: &Name, trust: &TrustConfig, wrong: &mut impl FnMut(&[&str], String)) {
    let values = [
        ("still", trust.still, 1.0),
        ("contrast", trust.contrast, 255.0),
        ("highlights", trust.highlights, 255.0),
        ("burnt", trust.burnt, 1.0),
        ("sharpness", trust.sharpness, 1.0),
        ("moved", trust.moved, 1.0),
        ("relearn_s", trust.relearn_s, 1e6),
    ];
    for (key, value, most) in values {
        if !(0.0..=most).contains(&value) {
            wrong(&["cameras", name, "trust", key], format!("`{key}` is from 0 (off) to {most}"));
        }
    }
    if let Some(path) = trust.reference.as_deref().filter(|path| is_absent(path)) {
        wrong(&["cameras", name, "trust", "reference"], format!("there is no file {}", path.display()));
    }
}

fn model_mistake(named: Option<&Name>, models: &[&str]) -> Option<String> {
    match (named, models) {
        (None, [_]) => None,
        (_, []) => Some("no model is configured: add a table [models.NAME] with its `path`".to_owned()),
        (None, _) => Some(format!("there are several models: say which with `model = \"…\"`, one of {}", list(models))),
        (Some(name), _) if models.contains(&&**name) => None,
        (Some(name), _) => Some(match nearest(name, models) {
            Some(near) => format!("there is no model `{name}`: did you mean `{near}`?"),
            None => format!("there is no model `{name}`: there are {}", list(models)),
        }),
    }
}

fn list(names: &[&str]) -> String {
    format!("`{}`", names.join("`, `"))
}

fn check_mqtt(config: &Config, wrong: &mut impl FnMut(&[&str], String)) {
    let mqtt = &config.mqtt;
    if ![3, 5].contains(&mqtt.version) {
        wrong(&["mqtt", "version"], "`version` is 3 (MQTT 3.1.1) or 5".to_owned());
    } else if mqtt.expiry_s.is_some() && mqtt.version != 5 {
        wrong(&["mqtt", "expiry_s"], "`expiry_s` needs MQTT 5: add `version = 5`".to_owned());
    }
    if mqtt.detections_qos > 1 {
        wrong(&["mqtt", "detections_qos"], "`detections_qos` is 0 or 1".to_owned());
    }
    if !(1..=MAX_QUEUE).contains(&mqtt.queue) {
        wrong(&["mqtt", "queue"], format!("`queue` is from 1 to {MAX_QUEUE}"));
    }
    let files = [
        ("password_file", &mqtt.password_file),
        ("ca_file", &mqtt.ca_file),
        ("cert_file", &mqtt.cert_file),
        ("key_file", &mqtt.key_file),
    ];
    for (key, file) in files {
        if let Some(path) = file.as_deref().filter(|path| is_absent(path)) {
            wrong(&["mqtt", key], format!("there is no file {}", path.display()));
        }
    }
    if let Err(error) = crate::publish::check(mqtt) {
        wrong(&["mqtt", mqtt_key(&error)], error.to_string());
    }
}

/// The key that an error is about, as far as it is one.
fn mqtt_key(error: &MqttError) -> &'static str {
    match error {
        MqttError::Url(_) => "url",
        MqttError::Topic(_) => "prefix",
        MqttError::ClientId { .. } => "client_id",
        _ => "",
    }
}

fn check_iothub(config: &Config, wrong: &mut impl FnMut(&[&str], String)) {
    let Some(iothub) = &config.iothub else { return };
    for (key, path) in iothub::files(iothub) {
        if is_absent(path) {
            wrong(&[&["iothub"], key].concat(), format!("there is no file {}", path.display()));
        }
    }
    if let Err((key, error)) = iothub::check(iothub) {
        wrong(&[&["iothub"], key].concat(), error.to_string());
    }
}

fn check_outbox(config: &Config, wrong: &mut impl FnMut(&[&str], String)) {
    let outbox = &config.outbox;
    if outbox.max_items == 0 {
        wrong(&["outbox", "max_items"], "`max_items` is at least 1".to_owned());
    }
    if !(1..=MAX_OUTBOX_MIB).contains(&outbox.max_mib) {
        wrong(&["outbox", "max_mib"], format!("`max_mib` is from 1 to {MAX_OUTBOX_MIB}"));
    }
    for (key, value) in [("evidence_mib", outbox.evidence_mib), ("reserve_mib", outbox.reserve_mib)] {
        if value > MAX_OUTBOX_MIB {
            wrong(&["outbox", key], format!("`{key}` is at most {MAX_OUTBOX_MIB}"));
        }
    }
    if !(1..=MAX_BACKLOG_RATE).contains(&outbox.backlog_rate) {
        wrong(&["outbox", "backlog_rate"], format!("`backlog_rate` is from 1 to {MAX_BACKLOG_RATE}"));
    }
    if let Some(path) = outbox.path.as_deref().filter(|path| path.is_file()) {
        wrong(&["outbox", "path"], format!("{} is a file: the outbox is a folder", path.display()));
    }
}

/// The byte at which an entry starts; where the entry is absent, its table's. An entry of a list goes by its number.
pub(super) fn locate(document: &DeTable<'_>, path: &[&str]) -> usize {
    let (mut at, mut rest) = (0, path);
    let mut table = document;
    while let [part, further @ ..] = rest {
        let Some((key, value)) = table.iter().find(|(k, _)| k.get_ref() == part) else {
            return at;
        };
        at = key.span().start;
        rest = further;
        let mut value = value.get_ref();
        if let (DeValue::Array(list), [number, further @ ..]) = (value, rest) {
            let Some(entry) = number.parse().ok().and_then(|number: usize| list.get(number)) else { return at };
            at = entry.span().start;
            rest = further;
            value = entry.get_ref();
        }
        match value {
            DeValue::Table(inner) => table = inner,
            _ => return at,
        }
    }
    at
}
