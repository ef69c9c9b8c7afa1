//! Cameras: where they are, what they are asked for, when they are believed.

use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LineConfig, Name, TrackConfig, ZoneConfig, place};
use crate::camera::capture::{CaptureFormat, Controls};
use crate::camera::source::Redacted;
use crate::secret::SecretPlace;

/// What decodes a network camera's video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HwAccel {
    /// Whatever hardware `ffmpeg` finds, else the CPU.
    #[default]
    Auto,
    /// VA-API (Intel, AMD); an error where there is none.
    Vaapi,
    /// NVIDIA's decoder; an error where there is none.
    Cuda,
    /// The CPU.
    None,
}

/// What carries RTSP's pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// The RTSP connection itself: nothing is lost.
    #[default]
    Tcp,
    /// UDP beside it, which loses packets, and with them pictures, where the network is busy.
    Udp,
}

/// Which frames wait for a model that is busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum QueueChoice {
    /// The newest one; older ones are dropped and counted.
    #[default]
    Newest,
    /// Every one, up to a limit; beyond it frames are lost, and the camera's state says so.
    Every,
}

/// When a camera's pictures are not to be trusted. A threshold of 0 switches its signal off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrustConfig {
    /// Whether pictures are watched at all.
    pub enabled: bool,
    /// Frozen: this share of the picture has not changed for 3 s, 0 to 1.
    pub still: f32,
    /// Black or covered: the brightness varies by less (standard deviation), in levels of 255.
    pub contrast: f32,
    /// Under-exposed: 95 % of the picture is darker, in levels of 255.
    pub highlights: f32,
    /// Over-exposed: this share of the picture is white, 0 to 1.
    pub burnt: f32,
    /// Out of focus: fine detail is less than this share of what it usually is, 0 to 1.
    pub sharpness: f32,
    /// Moved: the view is off by this share of the longer side, 0 to 1.
    pub moved: f32,
    /// A picture of the view that the camera should have; the one at the start by default.
    pub reference: Option<PathBuf>,
    /// Seconds after which a view that has moved becomes the reference; 0 for never.
    pub relearn_s: f32,
}

impl Default for TrustConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            still: 0.9,
            contrast: 5.0,
            highlights: 40.0,
            burnt: 0.5,
            sharpness: 0.6,
            moved: 0.03,
            reference: None,
            relearn_s: 600.0,
        }
    }
}

/// A camera.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CameraConfig {
    /// `rtsp://host/path`, `rtsps://…`, `http://…` (MJPEG or another stream), `file:/path.mp4` (`?loop=true`,
    /// `?realtime=true`), `dir:/path`, `sim:conveyor?seed=1&fps=10`. A URL may hold credentials, which `Debug` leaves
    /// out.
    pub source: String,
    /// Which of `[models]` looks at it; may be left out where there is only one.
    pub model: Option<Name>,
    /// Whether it is on, as it is by default. One that is off has its source closed.
    pub enabled: Option<bool>,
    /// Lowest score of a detection, 0..=1, instead of the model's.
    pub score: Option<f32>,
    /// Most frames a second that are scored, at most 1000; by default all that the device manages.
    pub fps: Option<f32>,
    /// User name, where a network camera wants one.
    pub username: Option<String>,
    /// File that holds the password, which is never written into the TOML itself. Read each time the camera is opened.
    pub password_file: Option<PathBuf>,
    /// Environment variable that holds the password, instead of a file.
    pub password_env: Option<String>,
    /// systemd credential (`LoadCredential=` in the unit) that holds the password, instead of a file.
    pub password_credential: Option<Name>,
    /// File in PEM with the authorities that may vouch for an `rtsps` or `https` camera's certificate, instead of those
    /// that the system trusts.
    pub ca_file: Option<PathBuf>,
    /// Whether an `rtsps` or `https` camera's certificate is checked, as it is by default.
    pub tls_verify: Option<bool>,
    /// What carries RTSP's pictures: `tcp` or `udp`; under TLS always `tcp`.
    #[serde(default)]
    pub transport: Transport,
    /// What decodes a network camera's video: `auto`, `vaapi`, `cuda` or `none`.
    #[serde(default)]
    pub hwaccel: HwAccel,
    /// Longest side of a network camera's pictures, 16 to 16 384 pixels; larger ones are made smaller by the decoder.
    pub max_side: Option<u32>,
    /// Seconds without a picture after which a network camera is opened again, 0.5 to 3600; 10 by default.
    pub timeout_s: Option<f32>,
    /// Format that a `v4l:` camera gives: `nv12`, `yuyv`, `rgb`, `bayer`, `mjpg` or `grey`; chosen by default. Of a
    /// `genicam:` camera `yuyv`, `rgb`, `bayer` or `grey`; by default the one that it is set to.
    pub format: Option<CaptureFormat>,
    /// Pixels across and down that a `v4l:` camera gives; by default the most up to 1920 x 1080 that come fluently. Of a
    /// `genicam:` camera those that it is set to.
    pub size: Option<[u32; 2]>,
    /// Controls of a `v4l:` camera: `exposure` (microseconds), `gain`, `focus`, each a number or `"auto"`, and others by
    /// the names that `ocellus cameras` shows; of a `genicam:` camera by its own. What is not named stays as it is.
    #[serde(default)]
    pub controls: Controls,
    /// What makes a `genicam:` camera take a picture: `off` (nothing, it runs on its own; the default), `software` (we do,
    /// `fps` times a second, or once), or the name of one of its trigger sources, such as `Line1`.
    pub trigger: Option<String>,
    /// How objects become tracks; without this table, zones and lines there are none.
    pub track: Option<TrackConfig>,
    /// Parts of its picture.
    #[serde(default)]
    pub zones: Vec<ZoneConfig>,
    /// Lines that things cross.
    #[serde(default)]
    pub lines: Vec<LineConfig>,
    /// For an `http` source that gives one picture a request: ask for one every so many seconds, 0.05 to 86 400.
    pub poll_s: Option<f32>,
    /// Which frames wait for a model that is busy: `newest` or `every`.
    #[serde(default)]
    pub queue: QueueChoice,
    /// With `queue = "every"`: how many frames may wait, 1 to 1024; 32 by default.
    pub queue_frames: Option<usize>,
    /// Frames need not be scored while no part of the picture has changed by so many levels of 255, 0.5 to 255. By default
    /// every frame is.
    pub motion: Option<f32>,
    /// When its pictures are not to be trusted.
    #[serde(default)]
    pub trust: TrustConfig,
}

impl CameraConfig {
    /// Whether it is on.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.enabled.unwrap_or(true)
    }

    /// The names of its zones and lines.
    pub fn rules(&self) -> impl Iterator<Item = &Name> {
        self.zones.iter().map(|zone| &zone.name).chain(self.lines.iter().map(|line| &line.name))
    }

    /// Where the camera's password is.
    #[must_use]
    pub fn password(&self) -> SecretPlace {
        place(&self.password_file, &self.password_env, &self.password_credential)
    }
}

impl fmt::Debug for CameraConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CameraConfig")
            .field("source", &Redacted::clipped(&self.source))
            .field("model", &self.model)
            .field("enabled", &self.is_enabled())
            .field("score", &self.score)
            .field("fps", &self.fps)
            .field("username", &self.username)
            .field("password", &self.password())
            .field("ca_file", &self.ca_file)
            .field("tls_verify", &self.tls_verify.unwrap_or(true))
            .field("transport", &self.transport)
            .field("hwaccel", &self.hwaccel)
            .field("max_side", &self.max_side)
            .field("timeout_s", &self.timeout_s)
            .field("format", &self.format)
            .field("size", &self.size)
            .field("controls", &self.controls)
            .field("trigger", &self.trigger.as_deref().unwrap_or("off"))
            .field("track", &self.track)
            .field("zones", &self.zones)
            .field("lines", &self.lines)
            .field("poll_s", &self.poll_s)
            .field("queue", &self.queue)
            .field("queue_frames", &self.queue_frames)
            .field("motion", &self.motion)
            .field("trust", &self.trust)
            .finish()
    }
}
