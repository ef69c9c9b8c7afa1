//! `ocellus demo`: the whole loop on this machine, with nothing to configure.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::Args;

use super::Failure;
use super::detect::wrong_source;
use crate::camera::sim::{KINDS, LABELS};
use crate::camera::source::Source;
use crate::config::{
    Anchor, CameraConfig, Config, ConfigFile, DeviceChoice, EvidenceConfig, LineConfig, Loaded, ModelConfig,
    MqttConfig, Name, OutboxConfig, PrivacyConfig, ReviewConfig, TrackConfig, WebConfig,
};
use crate::daemon::{self, Daemon};
use crate::event::Direction;
use crate::model::shipped;
use crate::publish::broker::EmbeddedBroker;

/// What the demo looks at unless told otherwise: two simulated lines that the model never saw in training.
const LINES: [(&str, &str); 2] =
    [("line-1", "sim:conveyor?seed=9001&fps=12"), ("line-2", "sim:conveyor?seed=9002&fps=12")];
/// Ports that are tried after the wanted one is found taken.
const MORE_PORTS: u16 = 20;

#[derive(Debug, Args)]
pub(super) struct Demo {
    /// A model package or a bare .onnx file, instead of the conveyor model
    #[arg(long, value_name = "FILE|DIR")]
    model: Option<PathBuf>,
    /// What a bare .onnx file needs to know: see `ocellus model profiles`
    #[arg(long, value_name = "NAME", requires = "model")]
    profile: Option<String>,
    /// Labels of a bare .onnx file, one a line
    #[arg(long, value_name = "FILE", requires = "model")]
    labels: Option<PathBuf>,
    /// What to look at, instead of the simulated line; repeat for several cameras
    #[arg(long, value_name = "SRC")]
    source: Vec<String>,
    /// Where the model runs
    #[arg(long, value_enum, default_value_t)]
    device: DeviceChoice,
    /// Lowest score of a detection, instead of the model's
    #[arg(long, value_parser = super::detect::fraction)]
    score: Option<f32>,
    /// Port of the embedded broker; the next free one where it is taken
    #[arg(long, default_value_t = 1883)]
    mqtt_port: u16,
    /// Port of the page; the next free one where it is taken
    #[arg(long, default_value_t = 8642)]
    web_port: u16,
    /// Where the demo keeps its model and its evidence
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Demo {
    pub(super) fn run(self) -> Result<(), Failure> {
        // What was mistyped is said before anything is started.
        let cameras = self.cameras()?;
        let dir = self.dir.clone().unwrap_or_else(default_dir);
        let model = self.model(&dir)?;
        std::fs::create_dir_all(&dir).map_err(|e| {
            Failure::new(format!("the demo's folder {} can't be made: {e}; name another with --dir", dir.display()))
        })?;
        let broker = EmbeddedBroker::start(self.mqtt_port)?;
        let loaded = self.configure(&dir, model, cameras, broker.port())?;
        daemon::runtime()?.block_on(async {
            let daemon = Daemon::start(loaded).await?;
            announce(&daemon, &broker, &dir);
            daemon.run_until(daemon::signal()).await;
            Ok(())
        })
    }

    fn model(&self, dir: &Path) -> Result<ModelConfig, Failure> {
        let path = match &self.model {
            Some(path) => path.clone(),
            None => shipped::unpack(&dir.join("models"))?,
        };
        Ok(ModelConfig {
            path,
            profile: self.profile.clone(),
            labels: self.labels.clone(),
            score: self.score,
            iou: None,
            precision: None,
            batch: 8,
            memory_mib: None,
        })
    }

    fn configure(
        &self,
        dir: &Path,
        model: ModelConfig,
        cameras: Vec<(Name, CameraConfig)>,
        mqtt_port: u16,
    ) -> Result<Loaded, Failure> {
        let web = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port(self.web_port)?));
        let config = Config {
            site: Name::near("demo"),
            node: Name::of_this_host(),
            device: self.device,
            cache: None,
            mqtt: MqttConfig { url: format!("mqtt://127.0.0.1:{mqtt_port}"), ..MqttConfig::default() },
            iothub: None,
            web: Some(WebConfig { listen: web, ..WebConfig::default() }),
            serve: None,
            models: [(Name::near("model"), model)].into(),
            cameras: cameras.into_iter().collect(),
            // The store adds a folder `evidence` of its own.
            evidence: Some(EvidenceConfig::at(dir.display().to_string())),
            insights: None,
            privacy: PrivacyConfig::default(),
            review: ReviewConfig::default(),
            traces: None,
            outbox: OutboxConfig { path: Some(dir.join(format!("outbox-{mqtt_port}"))), ..OutboxConfig::default() },
        };
        let digest = crate::config::digest(&format!("{config:?}"));
        Ok(Loaded { config, digest, file: ConfigFile::default() })
    }

    /// A camera with tracks. What moves on the simulated belt is counted, by the model that knows good parts from bad.
    fn camera(&self, source: String) -> CameraConfig {
        let counts = self.model.is_none() && source.starts_with("sim:");
        let lines = if counts { vec![exit()] } else { Vec::new() };
        CameraConfig { source, track: Some(TrackConfig::default()), lines, ..CameraConfig::default() }
    }

    fn cameras(&self) -> Result<Vec<(Name, CameraConfig)>, Failure> {
        let camera = |source: String| self.camera(source);
        if self.source.is_empty() {
            return Ok(LINES.iter().map(|(n, s)| (Name::near(n), camera((*s).to_owned()))).collect());
        }
        let mut cameras = Vec::new();
        for (i, text) in self.source.iter().enumerate() {
            let source = Source::parse(text).map_err(wrong_source)?;
            let name = if self.source.len() == 1 { "camera".to_owned() } else { format!("camera-{}", i + 1) };
            cameras.push((Name::near(&name), camera(endless(text, &source))));
        }
        Ok(cameras)
    }
}

/// A line across the simulated belt that counts good and bad parts.
fn exit() -> LineConfig {
    let group = |name, labels: &[&str]| (Name::near(name), labels.iter().map(|l| (*l).to_owned()).collect());
    let (good, bad) = LABELS.split_at(KINDS);
    LineConfig {
        name: Name::near("exit"),
        points: vec![[0.8, 0.0], [0.8, 1.0]],
        direction: Some(Direction::Right),
        labels: None,
        anchor: Anchor::Center,
        groups: [group("ok", good), group("ng", bad)].into(),
    }
}

/// The same source as a camera would show it: a record starts over at its end and keeps to its own pace, unless it
/// says otherwise itself.
fn endless(text: &str, source: &Source) -> String {
    if !matches!(source, Source::Clip { .. } | Source::Pictures { .. }) {
        return text.to_owned();
    }
    let settings = [("loop=true", source.looping()), ("realtime=true", source.realtime())];
    let missing: Vec<&str> = settings.iter().filter(|(_, said)| said.is_none()).map(|(text, _)| *text).collect();
    if missing.is_empty() {
        return text.to_owned();
    }
    // A bare path is taken as it stands, so what means something in a source needs escaping.
    let text = if Path::new(text).exists() {
        format!("file:{}", text.replace('%', "%25").replace('?', "%3F").replace('#', "%23"))
    } else {
        text.to_owned()
    };
    format!("{text}{}{}", if text.contains('?') { '&' } else { '?' }, missing.join("&"))
}

/// The wanted port, or the next one that nothing listens on.
fn free_port(wanted: u16) -> Result<u16, Failure> {
    (wanted..=wanted.saturating_add(MORE_PORTS))
        .find(|port| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .ok_or_else(|| {
            Failure::new(format!("no port from {wanted} on is free for the page: name another with --web-port"))
        })
}

/// `$XDG_DATA_HOME/ocellus/demo`, or the usual place of it.
fn default_dir() -> PathBuf {
    let from_env = |key: &str| std::env::var_os(key).filter(|v| !v.is_empty()).map(PathBuf::from);
    from_env("XDG_DATA_HOME")
        .or_else(|| from_env("HOME").map(|home| home.join(".local/share")))
        .unwrap_or_else(std::env::temp_dir)
        .join("ocellus/demo")
}

fn announce(daemon: &Daemon, broker: &EmbeddedBroker, dir: &Path) {
    let topics = daemon.topics();
    eprintln!();
    if let Some(web) = daemon.web() {
        eprintln!("  page       http://{web}");
    }
    eprintln!("  MQTT       mosquitto_sub -h 127.0.0.1 -p {} -t '{topics}/#' -v", broker.port());
    eprintln!("  evidence   {}", dir.join("evidence").display());
    eprintln!("  model      {} on {}", daemon.model_names().join(", "), daemon.device());
    eprintln!("  stop       Ctrl-C");
    eprintln!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_shown_as_a_camera_would() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["clip.mp4", "odd?a=b%.mp4"] {
            std::fs::write(dir.path().join(name), b"x").unwrap();
        }
        let at = dir.path().display();
        let settings = |text: &str| {
            let text = endless(text, &Source::parse(text).unwrap());
            let source = Source::parse(&text).unwrap();
            (source.looping(), source.realtime())
        };
        let both = (Some(true), Some(true));
        for text in ["/clip.mp4", "/odd?a=b%.mp4", "", "/clip.mp4?loop=true"] {
            assert_eq!(settings(&format!("{at}{text}")), both, "{text}");
        }
        assert_eq!(settings(&format!("file:{at}/clip.mp4?loop=false")), (Some(false), Some(true)));
        assert_eq!(settings(&format!("dir:{at}?loop=false&realtime=false")), (Some(false), Some(false)));
        let sim = "sim:conveyor?seed=3";
        assert_eq!(endless(sim, &Source::parse(sim).unwrap()), sim);
    }
}
