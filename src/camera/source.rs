//! Where pictures come from, as people write it: `file:/clip.mp4?loop=true`, `dir:/pictures`, a bare path,
//! `sim:conveyor?seed=1`, `rtsp://…`, `http://…`, `v4l:/dev/video0`, `genicam:192.0.2.7`.
//!
//! In `file:` and `dir:` the path ends at the first `?` and may hold `%` escapes, so that any byte can be written;
//! a bare path is taken as it stands where it exists. Credentials in URLs are kept, but never shown: `Display` and
//! `Debug` leave out user, password and query.

mod network;
mod path;
mod query;
mod redact;
mod write;

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use url::Url;

pub use self::network::NetworkUrl;
pub(crate) use self::path::unescape;
use self::query::Query;
pub(crate) use self::redact::Redacted;

/// The schemes that a source may have.
const SCHEMES: [&str; 10] = ["file", "dir", "sim", "rtsp", "rtsps", "http", "https", "v4l", "v4l2", "genicam"];
/// The ends of names that mean a picture rather than a clip.
pub(crate) const PICTURES: [&str; 6] = ["jpg", "jpeg", "png", "bmp", "webp", "gif"];
/// Pictures a second that a source may claim.
const RATES: std::ops::RangeInclusive<f32> = 0.1..=240.0;
/// Pixels that a simulation may have across and down; it is not higher than wide.
const WIDTHS: std::ops::RangeInclusive<u32> = 160..=1920;
const HEIGHTS: std::ops::RangeInclusive<u32> = 90..=1920;

/// Why a text is not a [`Source`]. The text holds no credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// Nothing was given.
    #[error("the source is empty; give a file, a directory or a URL such as `rtsp://host/path` or `sim:conveyor`")]
    Empty,
    /// No source of this scheme exists.
    #[error("`{scheme}:` is not a known source{}", did_you_mean(.nearest.as_deref(), ":"))]
    Scheme {
        /// What was given.
        scheme: String,
        /// The known scheme that it resembles.
        nearest: Option<String>,
    },
    /// The query has a key that this source doesn't know.
    #[error(
        "`{source_kind}` has no setting `{key}`{}; it has {}", did_you_mean(.nearest.as_deref(), ""), list(known)
    )]
    Key {
        /// The kind of source.
        source_kind: &'static str,
        /// What was given.
        key: String,
        /// The known key that it resembles.
        nearest: Option<String>,
        /// All known keys.
        known: &'static [&'static str],
    },
    /// A setting has a value that doesn't fit.
    #[error("`{key}={value}` does not fit: `{key}` is {wanted}")]
    Value {
        /// The setting.
        key: String,
        /// What was given.
        value: String,
        /// What would be right.
        wanted: &'static str,
    },
    /// A setting is given twice.
    #[error("`{key}` is given twice")]
    Twice {
        /// The setting.
        key: String,
    },
    /// There is no such file.
    #[error("there is no file or directory {0}")]
    Missing(String),
    /// A path leads to something of another kind.
    #[error("{} is not {wanted}", path.display())]
    WrongKind {
        /// The path.
        path: PathBuf,
        /// What would be right.
        wanted: &'static str,
    },
    /// A URL makes no sense.
    #[error("the source {shown} is not usable: {reason}")]
    Url {
        /// The URL without credentials.
        shown: String,
        /// What is wrong.
        reason: String,
    },
}

fn did_you_mean(nearest: Option<&str>, end: &str) -> String {
    nearest.map_or_else(String::new, |n| format!(", did you mean `{n}{end}`?"))
}

fn list(keys: &[&str]) -> String {
    if keys.is_empty() {
        return "none".to_owned();
    }
    keys.iter().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ")
}

/// Where pictures come from. See the module for how it is written.
#[derive(Clone, PartialEq)]
pub enum Source {
    /// A video file.
    Clip {
        /// The file.
        path: PathBuf,
        /// Start over at the end; `None` where it was not said.
        looping: Option<bool>,
        /// Keep to the clip's own pace; `None` where it was not said.
        realtime: Option<bool>,
    },
    /// A picture, an animated GIF, or a directory of pictures in the order of their names.
    Pictures {
        /// The file or directory.
        path: PathBuf,
        /// Start over at the end; `None` where it was not said.
        looping: Option<bool>,
        /// Keep to the pace of `fps`, or of a GIF's own delays; `None` where it was not said.
        realtime: Option<bool>,
        /// Pictures a second, instead of one, and instead of a GIF's own delays.
        fps: Option<f32>,
    },
    /// A simulated conveyor belt with parts.
    Conveyor {
        /// Same seed, same pictures.
        seed: u64,
        /// Pictures a second.
        fps: f32,
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
        /// Share of the parts that lean on the one before them, 0..=1.
        leaning: f32,
    },
    /// A camera on the network: RTSP, or MJPEG or another stream over HTTP.
    Network(NetworkUrl),
    /// A local camera.
    V4l(PathBuf),
    /// A machine-vision camera, by its name or address.
    Genicam(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clip { path, .. } | Self::Pictures { path, .. } | Self::V4l(path) => path.display().fmt(f),
            Self::Conveyor { seed, .. } => write!(f, "sim:conveyor?seed={seed}"),
            Self::Network(url) => url.fmt(f),
            Self::Genicam(camera) => write!(f, "genicam:{camera}"),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({self})")
    }
}

impl Source {
    /// Reads a source as people write it. Files and directories must exist.
    ///
    /// # Errors
    /// [`SourceError`] says in one line what is wrong and what would be right.
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        if let Some(bare) = path::existing(Path::new(text)) {
            return Self::at(bare, &Query::default());
        }
        let text = text.trim();
        if text.is_empty() {
            return Err(SourceError::Empty);
        }
        match scheme(text) {
            Some(("file", rest)) => {
                let (path, query) = located(rest)?;
                Self::at(path, &query)
            }
            Some(("dir", rest)) => {
                let (path, query) = located(rest)?;
                if !path.is_dir() {
                    return Err(SourceError::WrongKind { path, wanted: "a directory" });
                }
                Self::at(path, &query)
            }
            Some(("sim", rest)) => conveyor(rest),
            Some(("rtsp" | "rtsps" | "http" | "https", _)) => network(text),
            Some(("v4l" | "v4l2", rest)) => local(rest),
            Some(("genicam", rest)) => genicam(rest),
            Some((other, _)) => Err(unknown(other)),
            None => {
                let (path, query) = located(text)?;
                Self::at(path, &query)
            }
        }
    }

    /// [`Source::parse`] for arguments that may not be UTF-8; such ones are bare paths.
    ///
    /// # Errors
    /// As [`Source::parse`].
    pub fn parse_os(text: &OsStr) -> Result<Self, SourceError> {
        match text.to_str() {
            Some(text) => Self::parse(text),
            None => Self::at(path::must_exist(Path::new(text))?, &Query::default()),
        }
    }

    /// A file or directory, which exists.
    fn at(path: PathBuf, query: &Query) -> Result<Self, SourceError> {
        let extension = path.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase);
        let picture = extension.is_some_and(|e| PICTURES.contains(&e.as_str()));
        if path.is_dir() || picture {
            query.only("pictures", &["loop", "realtime", "fps"])?;
            let (looping, realtime) = (query.flag("loop")?, query.flag("realtime")?);
            let fps = query.rate("fps")?;
            return Ok(Self::Pictures { path, looping, realtime, fps });
        }
        query.only("file:", &["loop", "realtime"])?;
        let (looping, realtime) = (query.flag("loop")?, query.flag("realtime")?);
        Ok(Self::Clip { path, looping, realtime })
    }

    /// The same source as a camera would show it: a record starts over at its end and keeps to its own pace, unless it
    /// says otherwise itself.
    #[must_use]
    pub fn live(mut self) -> Self {
        if let Self::Clip { looping, realtime, .. } | Self::Pictures { looping, realtime, .. } = &mut self {
            looping.get_or_insert(true);
            realtime.get_or_insert(true);
        }
        self
    }

    /// Whether it shows the world as it is now, rather than a record.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Network(_) | Self::V4l(_) | Self::Genicam(_))
    }

    /// Whether the source itself says to start over at its end.
    #[must_use]
    pub fn looping(&self) -> Option<bool> {
        match self {
            Self::Clip { looping, .. } | Self::Pictures { looping, .. } => *looping,
            _ => Some(false),
        }
    }

    /// Whether the source itself says to keep to its own pace.
    #[must_use]
    pub fn realtime(&self) -> Option<bool> {
        match self {
            Self::Clip { realtime, .. } | Self::Pictures { realtime, .. } => *realtime,
            Self::Conveyor { .. } | Self::Network(_) | Self::V4l(_) | Self::Genicam(_) => None,
        }
    }
}

/// The scheme, in lower case where it is a known one, and what follows its colon.
fn scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let mut letters = scheme.chars();
    let starts = letters.next().is_some_and(|c| c.is_ascii_alphabetic());
    if !starts || !letters.all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')) {
        return None;
    }
    let known = SCHEMES.iter().find(|k| k.eq_ignore_ascii_case(scheme));
    Some((known.copied().unwrap_or(scheme), rest))
}

fn unknown(scheme: &str) -> SourceError {
    let nearest = nearest(scheme, &SCHEMES);
    SourceError::Scheme { scheme: Redacted::clipped(scheme), nearest }
}

/// The known word that a misspelt one resembles.
fn nearest(word: &str, known: &[&str]) -> Option<String> {
    let word = word.to_ascii_lowercase();
    known
        .iter()
        .map(|k| (strsim::jaro_winkler(&word, k), *k))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| k.to_owned())
}

/// Path and query of a `file:` or `dir:` source.
fn located(rest: &str) -> Result<(PathBuf, Query), SourceError> {
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    Ok((path::must_exist(&path::of_url(path)?)?, Query::parse(query)?))
}

fn conveyor(rest: &str) -> Result<Source, SourceError> {
    let (kind, query) = rest.split_once('?').unwrap_or((rest, ""));
    if kind != "conveyor" {
        let shown = Redacted::clipped(&format!("sim:{kind}"));
        return Err(SourceError::Url { shown, reason: "the only simulation is `sim:conveyor`".to_owned() });
    }
    let query = Query::parse(query)?;
    query.only("sim:conveyor", &["seed", "fps", "width", "height", "leaning"])?;
    let (seed, fps) = (query.seed("seed")?.unwrap_or(1), query.rate("fps")?.unwrap_or(10.0));
    let width = query.side("width", "a number of pixels, 160 to 1920", WIDTHS)?.unwrap_or(640);
    let height = query.side("height", "a number of pixels, 90 to 1920", HEIGHTS)?.unwrap_or(360);
    if height > width {
        let (key, value) = ("height".to_owned(), height.to_string());
        return Err(SourceError::Value { key, value, wanted: "at most the width, which is 640 unless given" });
    }
    let leaning = query.share("leaning")?.unwrap_or(0.0);
    Ok(Source::Conveyor { seed, fps, width, height, leaning })
}

fn local(rest: &str) -> Result<Source, SourceError> {
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    Query::parse(query)?.only("v4l:", &[])?;
    Ok(Source::V4l(path::of_url(path)?))
}

fn genicam(rest: &str) -> Result<Source, SourceError> {
    let camera = String::from_utf8_lossy(&unescape(rest.as_bytes())).trim().to_owned();
    // A name is handed to another program, which has no use for anything else.
    if camera.is_empty() || camera.starts_with('-') || camera.chars().any(char::is_control) {
        let reason = "name the camera as `ocellus cameras` shows it, or by its address".to_owned();
        return Err(SourceError::Url { shown: Redacted::clipped(&format!("genicam:{rest}")), reason });
    }
    Ok(Source::Genicam(camera))
}

fn network(text: &str) -> Result<Source, SourceError> {
    let wrong = |reason: String| SourceError::Url { shown: Redacted::text(text), reason };
    let url = Url::parse(text).map_err(|e| wrong(e.to_string()))?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err(wrong("it has no host".to_owned()));
    }
    Ok(Source::Network(NetworkUrl(url)))
}

#[cfg(test)]
mod tests;
