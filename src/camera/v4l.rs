//! Cameras at this machine, through Video4Linux.
//!
//! `choose` picks format, size and rate from what the device says it has; `controls` says what to set; `device`
//! talks to the kernel; this reads pictures. A device that is unplugged ends in an error, and is found again under the
//! same name when it is back, which is what `/dev/v4l/by-id` is for; `plug` notices that.

mod choose;
mod controls;
mod device;
mod list;
pub(super) mod plug;

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use self::choose::choose;
use self::device::Session;
pub use self::list::{Found, FoundControl, FoundMode, found};
use super::error::CameraError;
use super::options::CameraOptions;
use super::pixels::{Converter, PixelsError};
use super::stop::{GLANCE, Stop};
use super::{Reader, Shot};
use crate::frame::{Image, YuvMatrix};

/// The rate that a picture's time is reckoned by where the driver names none.
const USUAL_FPS: f64 = 30.0;

/// What the kernel says, in the words of who sets up cameras (`errno.h`).
const PLAIN_WORDS: [(i32, &str); 5] = [
    (13, "the daemon may not open it: its user must be in the group `video`"),
    (16, "another program uses it"),
    (19, "it was unplugged"),
    (25, "it is no camera"),
    (28, "the USB bus has no room left for it: take a smaller `size`, a lower `fps` or the format \"mjpg\""),
];

/// Where pictures come from: a device, or a test's script.
trait Feed {
    /// What comes next; `None` where nothing came in that time.
    fn next(&mut self, wait: Duration, to: &Converter) -> io::Result<Option<Result<Image, PixelsError>>>;
}

/// Pictures from one device.
struct V4lReader<F> {
    feed: F,
    converter: Converter,
    shown: String,
    lasts: Duration,
    silence_limit: Duration,
    /// Pictures that couldn't be used.
    damaged: u64,
}

/// Opens a device and starts its stream.
pub(super) fn open(path: &Path, options: &CameraOptions) -> Result<impl Reader + use<>, CameraError> {
    let (shown, capture) = (path.display().to_string(), &options.capture);
    let failed = |reason: String| CameraError::Open { from: shown.clone(), reason };
    if !path.try_exists().unwrap_or(true) {
        return Err(CameraError::Absent { path: path.to_owned() });
    }
    let mut device = device::open(path).map_err(|error| failed(said(&error)))?;
    let modes = device::modes(&device, capture.size).map_err(|error| failed(said(&error)))?;
    let choice = choose(&modes, capture).map_err(failed)?;
    device::set_controls(&mut device, &capture.controls).map_err(failed)?;
    let (feed, agreed) = Session::start(device, &choice).map_err(|error| failed(said(&error)))?;
    if capture.size.is_some_and(|[w, h]| (w, h) != agreed.size) {
        let (w, h) = agreed.size;
        return Err(failed(format!("it took {w}x{h} pixels instead of the `size` that was asked for")));
    }
    // Drivers may say that it is another matrix, but the crate doesn't pass it on; USB cameras mean this one.
    let converter = Converter::new(choice.layout, agreed.size, agreed.stride, YuvMatrix::Bt601)
        .map_err(|error| failed(error.to_string()))?;
    let format = String::from_utf8_lossy(&choice.fourcc).into_owned();
    let (width, height) = agreed.size;
    tracing::info!(device = shown, format, width, height, fps = agreed.fps, "A local camera is open.");
    Ok(V4lReader::new(feed, converter, shown, agreed.fps, options.timeout))
}

/// What the system said, in plain words where they are known.
fn said(error: &io::Error) -> String {
    let plain = PLAIN_WORDS.iter().find(|(code, _)| error.raw_os_error() == Some(*code));
    plain.map_or_else(|| error.to_string(), |(_, words)| (*words).to_owned())
}

impl<F: Feed> V4lReader<F> {
    fn new(feed: F, converter: Converter, shown: String, fps: Option<f64>, timeout: Duration) -> Self {
        let fps = fps.unwrap_or(USUAL_FPS).clamp(0.01, 1000.0);
        let lasts = Duration::from_secs_f64(1.0 / fps);
        // A camera may be set to a picture a minute.
        let silence_limit = timeout.max(lasts * 3);
        Self { feed, converter, shown, lasts, silence_limit, damaged: 0 }
    }

    /// The next picture that came whole; `None` where nothing came in a moment.
    fn attempt(&mut self) -> Result<Option<Result<Shot, PixelsError>>, CameraError> {
        let broken = |error: io::Error| CameraError::Broken { from: self.shown.clone(), reason: said(&error) };
        let image = self.feed.next(GLANCE, &self.converter).map_err(broken)?;
        Ok(image.map(|image| image.map(|image| Shot { image, lasts: self.lasts, captured: None })))
    }
}

impl<F: Feed> Reader for V4lReader<F> {
    fn next(&mut self, stop: &Stop) -> Result<Option<Shot>, CameraError> {
        let began = Instant::now();
        let mut last = None;
        while !stop.is_set() {
            match self.attempt()? {
                Some(Ok(shot)) => return Ok(Some(shot)),
                Some(Err(error)) => {
                    self.damaged += 1;
                    if self.damaged == 1 {
                        let device = &self.shown;
                        tracing::warn!(device, %error, "A picture can't be used and is left out, and so will be others like it.");
                    }
                    last = Some(error);
                }
                None => {}
            }
            if began.elapsed() > self.silence_limit {
                let (from, after) = (self.shown.clone(), self.silence_limit);
                return Err(match last {
                    Some(error) => CameraError::Unusable { from, reason: error.to_string() },
                    None => CameraError::Stalled { from, after },
                });
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
