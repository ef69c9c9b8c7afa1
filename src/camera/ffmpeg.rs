//! Video through `ffmpeg` as a supervised child process.
//!
//! Every codec, and a crash in a decoder is a camera's trouble, not ours. `ffprobe` says first what the stream is;
//! then `ffmpeg` writes raw I420 pictures of exactly that size to its stdout (scaling, should the stream change),
//! and a thread reads them into buffers that are used again.
//!
//! What the child may open is limited: for a file only that file, never a playlist's other files or the network; for
//! a network camera only its own kinds of transport. A network camera's URL is handed over on stdin, because
//! everyone on the machine can read command lines.
//!
//! A network camera's pictures come with the time at which they were taken, a record's with how long it shows them; see
//! `marks`.

mod args;
pub(super) mod child;
mod marks;
mod probe;
mod tunnel;

use std::io::{ErrorKind, Read};
use std::path::PathBuf;
use std::process::{ChildStdout, Command};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;

use self::args::Input;
pub(super) use self::args::Network;
use self::child::Leashed;
use self::marks::{Mark, StreamClock};
use self::probe::{ProbeError, Stream};
use self::tunnel::Tunnel;
use super::error::CameraError;
use super::options::Authority;
use super::pool::Pool;
use super::source::Redacted;
use super::stop::{GLANCE, Stop};
use super::{Reader, Shot};
use crate::frame::{Image, PixelFormat};

/// What the programs end with too general a word for, by what they say on the way.
const PLAIN_WORDS: [(&str, &str); 3] = [
    ("Format not on whitelist", "it is a playlist, or in another format that is not read"),
    ("No device available for decoder", "the hardware that `hwaccel` asks for is not there"),
    ("Failed to resolve hostname", "the name of its host is not known"),
];
/// What ffmpeg says where a certificate is not taken, with GnuTLS or OpenSSL.
const DISTRUST: [(&str, &str); 3] = [
    ("Peer certificate failed verification", "no authority that is trusted vouches for it, or its time is over"),
    ("certificate verify failed", "no authority that is trusted vouches for it, or its time is over"),
    ("does not match hostname", "it is another host's"),
];
/// A mark that is so late after its picture does not come.
const OVERDUE: Duration = Duration::from_secs(1);
/// The longest answer of ffprobe that is read.
const ANSWER: u64 = 1024 * 1024;
/// The largest still that is fetched, in bytes.
const STILL: u64 = 64 * 1024 * 1024;

/// Which programs read video, and how long they may be silent.
#[derive(Debug, Clone)]
pub struct Ffmpeg {
    /// The decoder: a name to look up in `PATH`, or a path.
    pub ffmpeg: PathBuf,
    /// Says what is in a stream: a name to look up in `PATH`, or a path.
    pub ffprobe: PathBuf,
    /// How long it may take to find out what a stream is.
    pub probe_limit: Duration,
    /// How long a stream may give no picture before it counts as hung.
    pub silence_limit: Duration,
}

impl Default for Ffmpeg {
    fn default() -> Self {
        Self {
            ffmpeg: "ffmpeg".into(),
            ffprobe: "ffprobe".into(),
            probe_limit: Duration::from_secs(15),
            silence_limit: Duration::from_secs(10),
        }
    }
}

/// A picture as it left the decoder.
struct Decoded {
    pixels: Bytes,
    /// When it was taken, where that is known.
    captured: Option<Instant>,
    /// How long it is shown, where that is known.
    lasts: Option<Duration>,
}

/// What the decoder's thread has to say.
enum Word {
    Picture(Decoded),
    /// The pipe was closed; with `true` in the middle of a picture.
    End(bool),
}

/// Pictures of one video stream, in order.
#[derive(Debug)]
pub(super) struct FfmpegReader {
    // Before the child: closing the channel frees a decoder that waits for room, so that it can end politely.
    words: Receiver<Word>,
    child: Leashed,
    // After the child, whose farewell goes through it.
    _tunnel: Option<Tunnel>,
    stream: Stream,
    given: u64,
    shown: String,
    redacted: Redacted,
    silence_limit: Duration,
}

impl FfmpegReader {
    /// Opens a video file.
    pub fn file(path: PathBuf, tools: &Ffmpeg, stop: &Stop) -> Result<Option<Self>, CameraError> {
        Self::start(&Input::File(path), tools, stop)
    }

    /// Opens a network camera.
    pub fn network(mut network: Network, tools: &Ffmpeg, stop: &Stop) -> Result<Option<Self>, CameraError> {
        let tunnel = tunnel(&network)?;
        network.through = tunnel.as_ref().map(Tunnel::port);
        let from = network.url.to_string();
        match Self::start(&Input::Network(network), tools, stop) {
            Ok(reader) => Ok(reader.map(|reader| Self { _tunnel: tunnel, ..reader })),
            Err(error) => Err(tunnel.and_then(|tunnel| tunnel.failure(&from)).unwrap_or(error)),
        }
    }

    /// `None` where the signal came first.
    fn start(input: &Input, tools: &Ffmpeg, stop: &Stop) -> Result<Option<Self>, CameraError> {
        let (shown, redacted) = (input.to_string(), input.redacted());
        let Some(mut stream) = probe(input, tools, stop)? else {
            return Ok(None);
        };
        let command = args::ffmpeg(&tools.ffmpeg, input, &stream);
        let live = input.is_network();
        let (child, stdout, marks) = Leashed::marked(command, input.stdin().as_deref(), live)?;
        (stream.width, stream.height) = input.size(&stream);
        let (sender, words) = sync_channel(1);
        let pool = Pool::new(PixelFormat::I420.bytes(stream.width, stream.height));
        let marks = Marks(Some(marks));
        spawn("ffmpeg-stdout", &tools.ffmpeg, move || match live {
            true => read_camera(stdout, &pool, marks, &sender),
            false => read_record(stdout, &pool, marks, &sender),
        })?;
        let silence_limit = tools.silence_limit;
        Ok(Some(Self { words, child, _tunnel: None, stream, given: 0, shown, redacted, silence_limit }))
    }

    fn ended(&mut self, in_the_middle: bool) -> Result<Option<Shot>, CameraError> {
        let status = self.child.end();
        let said = self.redacted.apply(&reason(&self.child));
        let from = self.shown.clone();
        let clean = status.as_ref().is_ok_and(std::process::ExitStatus::success);
        if !clean || in_the_middle {
            let how = status.map_or_else(|e| e.to_string(), |s| format!("ffmpeg ended with {s}"));
            let reason = if said.is_empty() { how } else { said };
            return Err(match self.given {
                0 => CameraError::Open { from, reason },
                _ => CameraError::Broken { from, reason },
            });
        }
        if self.given == 0 {
            return Err(match said.is_empty() {
                true => CameraError::Empty { from },
                false => CameraError::Open { from, reason: said },
            });
        }
        if !said.is_empty() {
            tracing::warn!(source = from, reason = said, "The video is damaged; what could be decoded was used.");
        }
        Ok(None)
    }
}

impl Reader for FfmpegReader {
    fn next(&mut self, stop: &Stop) -> Result<Option<Shot>, CameraError> {
        let began = Instant::now();
        let Decoded { pixels, captured, lasts } = loop {
            match self.words.recv_timeout(GLANCE) {
                Ok(Word::Picture(picture)) => break picture,
                Ok(Word::End(in_the_middle)) => return self.ended(in_the_middle),
                Err(RecvTimeoutError::Disconnected) => return self.ended(false),
                Err(RecvTimeoutError::Timeout) if stop.is_set() => return Ok(None),
                Err(RecvTimeoutError::Timeout) if began.elapsed() > self.silence_limit => {
                    return Err(CameraError::Stalled { from: self.shown.clone(), after: self.silence_limit });
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        };
        let Stream { width, height, matrix, rate, .. } = self.stream;
        let image = Image::new(width, height, PixelFormat::I420, pixels)
            .map_err(|error| CameraError::Size { from: self.shown.clone(), error })?;
        self.given += 1;
        let lasts = lasts.unwrap_or_else(|| Duration::from_secs_f64(1.0 / rate));
        Ok(Some(Shot { image: image.with_matrix(matrix), lasts, captured }))
    }
}

/// The times of pictures, in their order; `None` where a stream turns out to have none.
struct Marks(Option<Receiver<Mark>>);

impl Marks {
    /// That of the picture that was just read, which came before it.
    fn next(&mut self) -> Option<Mark> {
        let mark = self.0.as_ref()?.recv_timeout(OVERDUE).ok();
        if mark.is_none() {
            self.0 = None;
        }
        mark
    }
}

/// Reads a camera's pictures until the pipe or the listener is closed.
fn read_camera(mut from: ChildStdout, pool: &Pool, mut marks: Marks, to: &SyncSender<Word>) {
    let mut clock = StreamClock::default();
    loop {
        let mut buffer = pool.buffer();
        let word = match fill(&mut from, buffer.as_mut()) {
            Filled::Whole => {
                let captured = marks.next().map(|mark| clock.captured(mark));
                Word::Picture(Decoded { pixels: buffer.freeze(), captured, lasts: None })
            }
            Filled::Part => Word::End(true),
            Filled::Nothing => Word::End(false),
        };
        let last = matches!(word, Word::End(_));
        if to.send(word).is_err() || last {
            return;
        }
    }
}

/// Reads a record's pictures. Each is shown until the next one is, so it is handed on when that one is known.
fn read_record(mut from: ChildStdout, pool: &Pool, mut marks: Marks, to: &SyncSender<Word>) {
    let mut held: Option<(Bytes, Option<f64>)> = None;
    loop {
        let mut buffer = pool.buffer();
        let filled = fill(&mut from, buffer.as_mut());
        let whole = matches!(filled, Filled::Whole);
        let next = whole.then(|| (buffer.freeze(), marks.next().and_then(|mark| mark.pts)));
        if let Some((pixels, pts)) = held.take() {
            let until = next.as_ref().and_then(|(_, pts)| *pts);
            let picture = Decoded { pixels, captured: None, lasts: marks::between(pts, until) };
            if to.send(Word::Picture(picture)).is_err() {
                return;
            }
        }
        held = next;
        if !whole {
            // Nobody listens any more where the reader is gone.
            let _ = to.send(Word::End(matches!(filled, Filled::Part)));
            return;
        }
    }
}

enum Filled {
    Whole,
    Part,
    Nothing,
}

fn fill(from: &mut impl Read, mut room: &mut [u8]) -> Filled {
    let mut any = false;
    while !room.is_empty() {
        match from.read(room) {
            Ok(0) => return if any { Filled::Part } else { Filled::Nothing },
            Ok(read) => {
                any = true;
                room = room.get_mut(read..).unwrap_or_default();
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Filled::Part,
        }
    }
    Filled::Whole
}

/// Where the child would take any certificate, and another must see to it.
fn tunnel(network: &Network) -> Result<Option<Tunnel>, CameraError> {
    let ca_file = match &network.authority {
        Authority::Nobody => return Ok(None),
        Authority::File(path) => Some(path.as_path()),
        Authority::System => None,
    };
    (network.url.scheme() == "rtsps").then(|| Tunnel::open(&network.url, ca_file)).transpose()
}

/// Asks ffprobe what is in the stream. `None` where the signal came first.
fn probe(input: &Input, tools: &Ffmpeg, stop: &Stop) -> Result<Option<Stream>, CameraError> {
    let command = args::ffprobe(&tools.ffprobe, input);
    let Some(json) = answer(command, input, tools.probe_limit, ANSWER, stop)? else { return Ok(None) };
    match probe::parse(&json) {
        Ok(stream) => Ok(Some(stream)),
        Err(ProbeError::Size(error)) => Err(CameraError::Size { from: input.to_string(), error }),
        Err(other) => Err(failed(input, &other.to_string())),
    }
}

/// The bytes of one picture, as the camera gives them. `None` where the signal came first.
pub(super) fn fetch(network: &Network, tools: &Ffmpeg, stop: &Stop) -> Result<Option<Vec<u8>>, CameraError> {
    let input = Input::Network(network.clone());
    answer(args::still(&tools.ffmpeg, &input), &input, tools.silence_limit, STILL, stop)
}

/// All that a program writes, up to a limit, within a time. `None` where the signal came first.
fn answer(
    command: Command,
    input: &Input,
    within: Duration,
    most: u64,
    stop: &Stop,
) -> Result<Option<Vec<u8>>, CameraError> {
    let program = PathBuf::from(command.get_program());
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (mut child, stdout) = Leashed::spawn(command, input.stdin().as_deref(), input.is_network())?;
    let (sender, answer) = sync_channel(1);
    spawn(&format!("{name}-stdout"), &program, move || {
        let mut bytes = Vec::new();
        let read = stdout.take(most).read_to_end(&mut bytes);
        // Nobody listens any more where the time was up.
        let _ = sender.send(read.map(|_| bytes));
    })?;
    let began = Instant::now();
    let bytes = loop {
        match answer.recv_timeout(GLANCE) {
            Ok(bytes) => break bytes.map_err(|e| failed(input, &e.to_string()))?,
            Err(RecvTimeoutError::Timeout) if stop.is_set() => return Ok(None),
            Err(RecvTimeoutError::Timeout) if began.elapsed() > within => {
                return Err(CameraError::Stalled { from: input.to_string(), after: within });
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(failed(input, &format!("{name} gave no answer"))),
        }
    };
    let status = child.end().map_err(|e| failed(input, &e.to_string()))?;
    if status.success() {
        return Ok(Some(bytes));
    }
    if let Input::Network(network) = input
        && child.has_said("401 Unauthorized")
    {
        return Err(CameraError::Refused { from: input.to_string(), known: network.url.has_login() });
    }
    if let Some((_, reason)) = DISTRUST.iter().find(|(words, _)| child.has_said(words)) {
        return Err(CameraError::Untrusted { from: input.to_string(), reason: (*reason).to_owned() });
    }
    let said = reason(&child);
    Err(failed(input, if said.is_empty() { format!("{name} ended with {status}") } else { said }.as_str()))
}

fn failed(input: &Input, reason: &str) -> CameraError {
    CameraError::Open { from: input.to_string(), reason: input.redacted().apply(reason) }
}

/// The child's last words, without the name of the file or pipe, which the error already has.
fn reason(child: &Leashed) -> String {
    if let Some((_, plain)) = PLAIN_WORDS.iter().find(|(words, _)| child.has_said(words)) {
        return (*plain).to_owned();
    }
    let said = child.last_words();
    match said.rsplit_once(": ") {
        Some((before, reason)) if before.starts_with("file:") || before.starts_with("pipe:") => reason.to_owned(),
        _ => said,
    }
}

fn spawn(name: &str, program: &std::path::Path, work: impl FnOnce() + Send + 'static) -> Result<(), CameraError> {
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(work);
    let program = program.display().to_string();
    spawned.map(drop).map_err(|error| CameraError::ProgramFailed { program, error })
}

#[cfg(test)]
mod tests;
