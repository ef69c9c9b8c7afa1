//! What a camera is asked for, beyond where it is.

use std::path::PathBuf;
use std::time::Duration;

use super::capture::Capture;
use super::error::CameraError;
use super::genicam::Trigger;
use super::source::{NetworkUrl, Source, SourceError};
use crate::config::{CameraConfig, HwAccel, Transport, TrustConfig};
use crate::secret::SecretPlace;

/// How long a stream may give no picture before it counts as stalled.
const SILENCE: Duration = Duration::from_secs(10);

/// What a camera shows, how much of it, and how it is reached.
#[derive(Debug, Clone)]
pub struct CameraOptions {
    /// Where its pictures come from.
    pub source: Source,
    /// Most pictures a second; those beyond are left out. By default all stay.
    pub fps: Option<f32>,
    /// The longest side of a network camera's pictures, in pixels; larger ones are made smaller by the decoder.
    pub max_side: Option<u32>,
    /// Who we are to a network camera.
    pub login: Option<Login>,
    /// Who must vouch for a network camera's certificate.
    pub authority: Authority,
    /// What carries RTSP's pictures.
    pub transport: Transport,
    /// What decodes a network camera's video.
    pub hwaccel: HwAccel,
    /// How long a stream may give no picture before it is opened again.
    pub timeout: Duration,
    /// What a camera at this machine, or a machine-vision one, is asked to give.
    pub capture: Capture,
    /// For a camera that gives one picture a request over HTTP: how often it is asked.
    pub poll: Option<Duration>,
    /// How much of a picture must have changed for it to be scored, in levels of 255; by default all are.
    pub motion: Option<f32>,
    /// When its pictures are not to be trusted.
    pub trust: TrustConfig,
}

impl CameraOptions {
    /// A source with nothing special asked for.
    #[must_use]
    pub fn new(source: Source) -> Self {
        Self {
            source,
            fps: None,
            max_side: None,
            login: None,
            authority: Authority::default(),
            transport: Transport::default(),
            hwaccel: HwAccel::default(),
            timeout: SILENCE,
            capture: Capture::default(),
            poll: None,
            motion: None,
            trust: TrustConfig::default(),
        }
    }

    /// What the configuration asks for.
    ///
    /// # Errors
    /// When the source makes no sense.
    pub fn of(config: &CameraConfig) -> Result<Self, SourceError> {
        let login = config.username.clone().map(|username| Login { username, password: config.password() });
        let seconds = |s: f32| Duration::try_from_secs_f32(s).ok();
        Ok(Self {
            fps: config.fps,
            max_side: config.max_side,
            login,
            authority: Authority::of(config),
            transport: config.transport,
            hwaccel: config.hwaccel,
            capture: Capture {
                format: config.format,
                size: config.size,
                fps: config.fps,
                controls: config.controls.clone(),
                trigger: Trigger::of(config.trigger.as_deref()),
            },
            timeout: config.timeout_s.and_then(seconds).unwrap_or(SILENCE),
            poll: config.poll_s.and_then(seconds),
            motion: config.motion,
            trust: config.trust.clone(),
            ..Self::new(Source::parse(&config.source)?)
        })
    }
}

/// Who must vouch for the certificate of a network camera.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Authority {
    /// One of those that the system trusts.
    #[default]
    System,
    /// One of those in a file in PEM.
    File(PathBuf),
    /// Nobody: any certificate is taken.
    Nobody,
}

impl Authority {
    fn of(config: &CameraConfig) -> Self {
        match (config.tls_verify, &config.ca_file) {
            (Some(false), _) => Self::Nobody,
            (_, Some(path)) => Self::File(path.clone()),
            (_, None) => Self::System,
        }
    }
}

/// Who we are to a camera.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub username: String,
    /// Where the password is. It is read each time the camera is opened, so that it may change.
    pub password: SecretPlace,
}

impl Login {
    /// The URL with name and password in it.
    pub(super) fn apply(&self, url: &NetworkUrl) -> Result<NetworkUrl, CameraError> {
        let password = self.password.read().map_err(|error| CameraError::Secret { from: url.to_string(), error })?;
        Ok(url.with_login(&self.username, &password))
    }
}
