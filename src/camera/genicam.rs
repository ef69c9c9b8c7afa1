//! Machine-vision cameras (GenICam: GigE Vision and USB3 Vision) through Aravis as a supervised child process.
//!
//! The child is a short program for the system's Python, `genicam/aravis.py`, which reaches Aravis through its
//! introspection: no binding to C here, a crash in it is a camera's trouble, and a machine without such cameras needs
//! none of it. It sets the camera up, triggers it where that is asked for, and writes each picture behind a header; a
//! thread turns these into frames.

mod list;

use std::io::Read;
use std::process::{ChildStdout, Command};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;

use super::bayer::Bayer;
use super::capture::{Capture, CaptureFormat, ControlValue, Controls};
use super::error::CameraError;
use super::ffmpeg::child::Leashed;
use super::options::CameraOptions;
use super::pixels::{Converter, Layout, PixelsError};
use super::stop::{GLANCE, Stop};
use super::{Reader, Shot};
use crate::frame::{Image, YuvMatrix};

pub use self::list::{GenicamCamera, found};

/// The child's program.
const PROGRAM: &str = include_str!("genicam/aravis.py");
/// The system's own Python, which has the bindings.
const PYTHON: &str = "/usr/bin/python3";
/// What the child says where Aravis or its bindings are absent.
const NO_ARAVIS: &str = "Aravis is not installed";
/// How every picture starts.
const MAGIC: [u8; 4] = *b"OCEL";
const HEADER: usize = 28;
/// The largest picture that is read, in bytes: three for each pixel of the largest.
const LARGEST: usize = 3 * 64 * 1024 * 1024;
/// The rate that a picture's time is reckoned by where none is asked for.
const USUAL_FPS: f32 = 30.0;
/// A picture that would have been under way for longer was taken before the clock was set.
const OVERDUE: Duration = Duration::from_secs(10);

/// The formats that are understood: the camera's names and codes (PFNC), and how they are read.
const FORMATS: [(&str, u32, CaptureFormat, Layout); 7] = [
    ("BayerRG8", 0x0108_0009, CaptureFormat::Bayer, Layout::Bayer(Bayer::Rggb)),
    ("BayerGR8", 0x0108_0008, CaptureFormat::Bayer, Layout::Bayer(Bayer::Grbg)),
    ("BayerGB8", 0x0108_000A, CaptureFormat::Bayer, Layout::Bayer(Bayer::Gbrg)),
    ("BayerBG8", 0x0108_000B, CaptureFormat::Bayer, Layout::Bayer(Bayer::Bggr)),
    ("RGB8", 0x0218_0014, CaptureFormat::Rgb, Layout::Rgb),
    ("YUV422_8", 0x0210_0032, CaptureFormat::Yuyv, Layout::Yuyv),
    ("Mono8", 0x0108_0001, CaptureFormat::Grey, Layout::Grey),
];

/// What makes a camera take a picture.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Trigger {
    /// Nothing: it runs on its own.
    #[default]
    Off,
    /// We do, `fps` times a second.
    Software,
    /// A signal on this line of the camera.
    Line(String),
}

impl Trigger {
    /// What the configuration calls it.
    pub fn of(text: Option<&str>) -> Self {
        match text {
            None | Some("off") => Self::Off,
            Some("software") => Self::Software,
            Some(line) => Self::Line(line.to_owned()),
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Off => "off",
            Self::Software => "software",
            Self::Line(line) => line,
        }
    }
}

/// What the child is told.
#[derive(Serialize)]
struct Settings<'a> {
    camera: &'a str,
    formats: Vec<&'static str>,
    size: Option<[u32; 2]>,
    fps: Option<f32>,
    trigger: &'a str,
    controls: &'a Controls,
}

impl Serialize for ControlValue {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Flag(flag) => serializer.serialize_bool(*flag),
            Self::Number(number) => serializer.serialize_f64(*number),
            Self::Text(text) => serializer.serialize_str(text),
        }
    }
}

/// The child, with what it is to do.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(PYTHON);
    command.args(["-I", "-"]).args(arguments);
    command
}

/// What the child's thread has to say.
enum Word {
    Picture(Result<Image, PixelsError>, Instant),
    End,
}

/// Pictures from one camera.
pub(super) struct GenicamReader {
    // Before the child: closing the channel frees a thread that waits for room, so that the child can end politely.
    words: Receiver<Word>,
    child: Leashed,
    shown: String,
    lasts: Duration,
    /// `None` where pictures come when something happens, which may be never.
    silence_limit: Option<Duration>,
    given: u64,
    damaged: u64,
}

impl GenicamReader {
    /// Opens the camera that answers to this name or address.
    pub fn open(camera: &str, options: &CameraOptions) -> Result<Self, CameraError> {
        let shown = options.source.to_string();
        let Capture { format, size, fps, controls, trigger } = &options.capture;
        let wanted = FORMATS.iter().filter(|(_, _, kind, _)| format.is_none_or(|format| format == *kind));
        let formats = wanted.map(|(name, ..)| *name).collect();
        let settings = Settings { camera, formats, size: *size, fps: *fps, trigger: trigger.name(), controls };
        let failed = |reason: String| CameraError::Open { from: shown.clone(), reason };
        let settings = serde_json::to_string(&settings).map_err(|error| failed(error.to_string()))?;
        let (child, stdout) = Leashed::spawn(command(&["stream", &settings]), Some(PROGRAM), true).map_err(missing)?;
        let (sender, words) = sync_channel(1);
        let reading = thread::Builder::new().name("genicam".to_owned());
        reading.spawn(move || read(stdout, &sender)).map_err(|error| failed(error.to_string()))?;
        let lasts = Duration::from_secs_f32(1.0 / fps.unwrap_or(USUAL_FPS).clamp(0.001, 1000.0));
        let limit = options.timeout.max(lasts * 3);
        let silence_limit = (!matches!(trigger, Trigger::Line(_))).then_some(limit);
        Ok(Self { words, child, shown, lasts, silence_limit, given: 0, damaged: 0 })
    }

    /// Why the child ended.
    fn ended(&mut self) -> CameraError {
        let status = self.child.end();
        let (from, said) = (self.shown.clone(), self.child.last_words());
        if said == NO_ARAVIS {
            return CameraError::AravisMissing;
        }
        let how = status.map_or_else(|error| error.to_string(), |status| format!("its program ended with {status}"));
        let reason = if said.is_empty() { how } else { said };
        match self.given {
            0 => CameraError::Open { from, reason },
            _ => CameraError::Broken { from, reason },
        }
    }
}

impl Reader for GenicamReader {
    fn next(&mut self, stop: &Stop) -> Result<Option<Shot>, CameraError> {
        let (began, mut last) = (Instant::now(), None);
        loop {
            match self.words.recv_timeout(GLANCE) {
                Ok(Word::Picture(Ok(image), captured)) => {
                    self.given += 1;
                    return Ok(Some(Shot { image, lasts: self.lasts, captured: Some(captured) }));
                }
                Ok(Word::Picture(Err(error), _)) => {
                    self.damaged += 1;
                    if self.damaged == 1 {
                        let camera = &self.shown;
                        tracing::warn!(camera, %error, "A picture can't be used and is left out, and so will be others like it.");
                    }
                    last = Some(error);
                }
                Ok(Word::End) | Err(RecvTimeoutError::Disconnected) => return Err(self.ended()),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if stop.is_set() {
                return Ok(None);
            }
            let Some(after) = self.silence_limit.filter(|limit| began.elapsed() > *limit) else { continue };
            let from = self.shown.clone();
            return Err(match last {
                Some(error) => CameraError::Unusable { from, reason: error.to_string() },
                None => CameraError::Stalled { from, after },
            });
        }
    }
}

/// The child needs Python, and no machine with Aravis' bindings is without.
fn missing(error: CameraError) -> CameraError {
    match error {
        CameraError::ProgramMissing { .. } => CameraError::AravisMissing,
        other => other,
    }
}

/// What stands before a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    format: u32,
    size: (u32, u32),
    bytes: usize,
    /// Nanoseconds since 1970.
    captured: i64,
}

impl Header {
    /// `None` where it is none.
    fn parse(bytes: &[u8; HEADER]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<4>()?;
        let (numbers, captured) = rest.split_first_chunk::<16>()?;
        let mut numbers = numbers.as_chunks::<4>().0.iter().map(|number| u32::from_le_bytes(*number));
        let (format, size) = (numbers.next()?, (numbers.next()?, numbers.next()?));
        let bytes = usize::try_from(numbers.next()?).ok()?;
        let captured = i64::from_le_bytes(captured.try_into().ok()?);
        (*magic == MAGIC && bytes <= LARGEST).then_some(Self { format, size, bytes, captured })
    }

    /// When the picture was taken, by our own clock.
    fn captured(&self) -> Instant {
        let (now, here) = (SystemTime::now(), Instant::now());
        let taken = u64::try_from(self.captured).map(|ns| SystemTime::UNIX_EPOCH + Duration::from_nanos(ns));
        let age = taken.ok().and_then(|taken| now.duration_since(taken).ok()).filter(|age| *age < OVERDUE);
        age.and_then(|age| here.checked_sub(age)).unwrap_or(here)
    }
}

/// Reads pictures until the pipe or the listener is closed.
fn read(mut from: ChildStdout, to: &SyncSender<Word>) {
    let (mut header, mut bytes) = ([0; HEADER], Vec::new());
    let mut reading = Reading::default();
    while from.read_exact(&mut header).is_ok() {
        let Some(head) = Header::parse(&header) else { break };
        let captured = head.captured();
        bytes.resize(head.bytes, 0);
        if from.read_exact(&mut bytes).is_err() {
            break;
        }
        let picture = reading.image(head, &bytes);
        if to.send(Word::Picture(picture, captured)).is_err() {
            return;
        }
    }
    // Nobody listens any more where the reader is gone.
    let _ = to.send(Word::End);
}

/// How the last picture was read, and so will the next one, unless it is another kind.
#[derive(Default)]
struct Reading(Option<(Kind, Converter)>);

/// A format's code, and pixels across and down.
type Kind = (u32, (u32, u32));

impl Reading {
    fn image(&mut self, head: Header, bytes: &[u8]) -> Result<Image, PixelsError> {
        if bytes.is_empty() {
            return Err(PixelsError::Damaged);
        }
        let kind = (head.format, head.size);
        if let Some((last, converter)) = &self.0
            && *last == kind
        {
            return converter.image(bytes);
        }
        let known = FORMATS.iter().find(|(_, code, ..)| *code == head.format);
        let (.., layout) = known.ok_or(PixelsError::Format(head.format))?;
        let converter = Converter::new(*layout, head.size, 0, YuvMatrix::Bt601)?;
        self.0.insert((kind, converter)).1.image(bytes)
    }
}

#[cfg(test)]
mod tests;
