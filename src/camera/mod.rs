//! Cameras: whatever gives pictures, under supervision.
//!
//! [`source::Source`] says where pictures come from; a reader for each kind turns it into pictures one after another.
//! [`supervise::Camera`] runs a reader on a thread of its own, keeps its pace, opens it again when it fails, says how
//! it is, and leaves each picture in a [`mailbox::Mailbox`]. [`frames`] is for work that wants every picture and no
//! supervision.

mod bayer;
pub mod capture;
pub mod error;
pub mod ffmpeg;
pub mod genicam;
pub mod images;
pub mod mailbox;
mod mjpeg;
mod motion;
pub mod onvif;
pub mod options;
mod pace;
mod pixels;
mod pool;
pub mod sim;
pub mod source;
mod stills;
pub mod stop;
pub mod supervise;
mod trust;
pub mod v4l;

use std::time::{Duration, Instant};

use self::error::CameraError;
use self::ffmpeg::{Ffmpeg, FfmpegReader, Network};
use self::genicam::GenicamReader;
use self::images::ImagesReader;
use self::options::CameraOptions;
use self::pace::Pacer;
use self::sim::{Conveyor, ConveyorOptions};
use self::source::{NetworkUrl, Source};
use self::stills::StillsReader;
use self::stop::Stop;
use crate::frame::Image;

/// One picture, and how long it is shown before the next one.
#[derive(Debug)]
struct Shot {
    image: Image,
    lasts: Duration,
    /// When it was taken, where the source knows; else that is when it is shown.
    captured: Option<Instant>,
}

/// Gives the pictures of one source, in order, as fast as they are asked for (a live camera: as they come).
trait Reader {
    /// The next picture; `None` at the end, or where the signal came while it was waited for.
    fn next(&mut self, stop: &Stop) -> Result<Option<Shot>, CameraError>;
}

/// Opens a source; `None` where the signal came first.
fn open(options: &CameraOptions, tools: &Ffmpeg, stop: &Stop) -> Result<Option<Box<dyn Reader>>, CameraError> {
    fn boxed(reader: Option<impl Reader + 'static>) -> Option<Box<dyn Reader>> {
        reader.map(|r| Box::new(r) as Box<dyn Reader>)
    }
    Ok(match &options.source {
        Source::Clip { path, .. } => boxed(FfmpegReader::file(path.clone(), tools, stop)?),
        Source::Network(url) => match options.poll {
            Some(every) => boxed(Some(StillsReader::new(network(url, options)?, tools, every))),
            None => boxed(FfmpegReader::network(network(url, options)?, tools, stop)?),
        },
        Source::Pictures { path, fps, .. } => boxed(Some(ImagesReader::open(path, *fps)?)),
        &Source::Conveyor { seed, fps, width, height, leaning } => {
            let conveyor = Conveyor::new(ConveyorOptions { seed, fps: fps.into(), width, height, leaning })?;
            boxed(Some(SimReader { conveyor, next: 0 }))
        }
        Source::V4l(path) => boxed(Some(v4l::open(path, options)?)),
        Source::Genicam(camera) => boxed(Some(GenicamReader::open(camera, options)?)),
    })
}

/// A network camera as it is asked for.
fn network(url: &NetworkUrl, options: &CameraOptions) -> Result<Network, CameraError> {
    let url = options.login.as_ref().map_or_else(|| Ok(url.clone()), |login| login.apply(url))?;
    let CameraOptions { transport, hwaccel, fps, max_side, .. } = *options;
    Ok(Network { url, through: None, authority: options.authority.clone(), transport, hwaccel, fps, max_side })
}

/// The simulated conveyor as a camera.
struct SimReader {
    conveyor: Conveyor,
    next: u64,
}

impl Reader for SimReader {
    fn next(&mut self, _: &Stop) -> Result<Option<Shot>, CameraError> {
        let image = self.conveyor.frame(self.next)?.image;
        self.next += 1;
        Ok(Some(Shot { image, lasts: Duration::from_secs_f64(1.0 / self.conveyor.options().fps), captured: None }))
    }
}

/// Every picture of a source, in order, without supervision: the first error ends it. It is read as fast as pictures
/// are asked for and once, unless the source itself says `realtime` or `loop`.
///
/// # Errors
/// When the source can't be opened.
pub fn frames(source: &Source) -> Result<Frames, CameraError> {
    let (tools, stop) = (Ffmpeg::default(), Stop::new());
    let options = CameraOptions::new(source.clone());
    let reader = open(&options, &tools, &stop)?;
    let pacer = (source.realtime() == Some(true)).then(Pacer::default);
    Ok(Frames { options, tools, stop, reader, pacer, shown: Duration::ZERO })
}

/// The pictures of a source. See [`frames`].
pub struct Frames {
    options: CameraOptions,
    tools: Ffmpeg,
    stop: Stop,
    /// `None` once it ended.
    reader: Option<Box<dyn Reader>>,
    /// Where the source's own pace is kept.
    pacer: Option<Pacer>,
    /// How long the pictures so far are shown.
    shown: Duration,
}

impl Frames {
    /// The next pictures, at most so many, with their times as [`timed`](Self::timed) gives them, and the error that ended
    /// them early. Fewer without an error are the last.
    pub fn batch(&mut self, most: usize) -> (Vec<(Duration, Image)>, Option<CameraError>) {
        let mut pictures = Vec::with_capacity(most);
        while pictures.len() < most {
            match self.timed() {
                Some(Ok(picture)) => pictures.push(picture),
                Some(Err(error)) => return (pictures, Some(error)),
                None => break,
            }
        }
        (pictures, None)
    }

    /// The next picture, with the time at which the source shows it, the first one's being 0.
    pub fn timed(&mut self) -> Option<Result<(Duration, Image), CameraError>> {
        let shot = self.shot();
        if !matches!(shot, Ok(Some(_))) {
            self.reader = None;
        }
        let shot = match shot.transpose()? {
            Ok(shot) => shot,
            Err(error) => return Some(Err(error)),
        };
        if let Some(pacer) = &mut self.pacer {
            std::thread::sleep(pacer.wait(Instant::now(), shot.lasts));
        }
        let at = self.shown;
        self.shown += shot.lasts;
        Some(Ok((at, shot.image)))
    }

    fn shot(&mut self) -> Result<Option<Shot>, CameraError> {
        let Some(reader) = &mut self.reader else { return Ok(None) };
        let shot = reader.next(&self.stop)?;
        if shot.is_some() || self.options.source.looping() != Some(true) {
            return Ok(shot);
        }
        self.reader = open(&self.options, &self.tools, &self.stop)?;
        self.reader.as_mut().map_or(Ok(None), |reader| reader.next(&self.stop))
    }
}

impl Iterator for Frames {
    type Item = Result<Image, CameraError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.timed().map(|frame| frame.map(|(_, image)| image))
    }
}

#[cfg(test)]
mod tests;
