//! Writing a source so that it reads back the same.

use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::Source;

impl Source {
    /// The source as a text that [`Source::parse`] reads back, with its credentials: not for logs.
    #[must_use]
    pub fn to_url(&self) -> String {
        let mut query = Vec::new();
        let mut setting = |key: &str, value: Option<String>| query.extend(value.map(|v| format!("{key}={v}")));
        let start = match self {
            Self::Clip { path, looping, realtime } => {
                setting("loop", looping.map(|v| v.to_string()));
                setting("realtime", realtime.map(|v| v.to_string()));
                file(path)
            }
            Self::Pictures { path, looping, realtime, fps } => {
                setting("loop", looping.map(|v| v.to_string()));
                setting("realtime", realtime.map(|v| v.to_string()));
                setting("fps", fps.map(|v| v.to_string()));
                file(path)
            }
            Self::Conveyor { seed, fps, width, height, leaning } => {
                setting("seed", Some(seed.to_string()));
                setting("fps", Some(fps.to_string()));
                setting("width", Some(width.to_string()));
                setting("height", Some(height.to_string()));
                setting("leaning", Some(leaning.to_string()));
                "sim:conveyor".to_owned()
            }
            Self::Network(url) => url.secret().to_owned(),
            Self::V4l(path) => format!("v4l:{}", escaped(path)),
            Self::Genicam(camera) => format!("genicam:{}", escaped(Path::new(camera))),
        };
        if query.is_empty() { start } else { format!("{start}?{}", query.join("&")) }
    }
}

fn file(path: &Path) -> String {
    // A relative path has no place in a URL, and the daemon may work elsewhere.
    format!("file://{}", escaped(&std::path::absolute(path).unwrap_or_else(|_| path.to_owned())))
}

/// The path with every byte escaped that may mean something else in a source.
fn escaped(path: &Path) -> String {
    let mut text = String::new();
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a string can't fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}
