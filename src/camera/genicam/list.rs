//! Which machine-vision cameras answer.

use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{NO_ARAVIS, PROGRAM, command};
use crate::camera::source::Source;

/// How long they may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(20);

/// A machine-vision camera.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenicamCamera {
    /// What `source` says to take this camera.
    #[serde(default)]
    pub source: String,
    /// What it is called.
    pub id: String,
    /// Who made it.
    pub vendor: String,
    /// What it is.
    pub model: String,
    /// Its number.
    pub serial: Option<String>,
    /// Where it is: an IP address, or a place on the USB bus.
    pub address: Option<String>,
    /// `GigEVision` or `USB3Vision`.
    pub protocol: Option<String>,
}

impl GenicamCamera {
    /// With its source, which Aravis does not know.
    pub(crate) fn named(mut self) -> Self {
        self.source = Source::Genicam(self.id.clone()).to_url();
        self
    }
}

/// The machine-vision cameras that answer; `None` where Aravis, which knows them, is not installed.
///
/// # Errors
/// What went wrong, in one line.
pub fn found() -> Result<Option<Vec<GenicamCamera>>, String> {
    let mut command = command(&["list"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|error| error.to_string())?,
    };
    if let Some(mut stdin) = child.stdin.take() {
        // One that is gone already is noticed by its status.
        let _ = stdin.write_all(PROGRAM.as_bytes());
    }
    let began = Instant::now();
    // What it says is less than a pipe holds.
    while child.try_wait().map_err(|error| error.to_string())?.is_none() {
        if began.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("no answer within {} s", PATIENCE.as_secs()));
        }
        std::thread::sleep(POLL);
    }
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or_default().trim();
    match output.status.success() {
        true => match serde_json::from_slice::<Vec<GenicamCamera>>(&output.stdout) {
            Ok(found) => Ok(Some(found.into_iter().map(GenicamCamera::named).collect())),
            Err(error) => Err(error.to_string()),
        },
        false if last == NO_ARAVIS => Ok(None),
        false => Err(last.to_owned()),
    }
}
