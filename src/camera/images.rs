//! Still pictures and animated GIFs, alone or a directory of them in the order of their names.
//!
//! Sizes are checked before pixels are allocated. In a directory a broken picture is skipped with a warning.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use image::codecs::gif::GifDecoder;
use image::{AnimationDecoder, DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::error::CameraError;
use super::source::PICTURES;
use super::stop::Stop;
use super::{Reader, Shot};
use crate::frame::{Image, MAX_PIXELS, MAX_SIDE, PixelFormat, check_size};

/// How long a picture is shown where nothing says so.
const STILL: Duration = Duration::from_secs(1);
/// How long a GIF's picture is shown that claims no time; browsers do the same.
const GIF_DELAY: Duration = Duration::from_millis(100);

/// Reads one picture as RGB. Of an animation the first.
///
/// # Errors
/// When the file can't be read, is no picture, or is larger than the limits in [`crate::frame`].
pub fn read(path: &Path) -> Result<Image, CameraError> {
    let wrong = |reason: String| CameraError::Decode { path: path.to_owned(), reason };
    let decoder = open(path)?.into_decoder().map_err(|e| wrong(e.to_string()))?;
    let (width, height) = decoder.dimensions();
    check_size(width, height).map_err(|e| wrong(e.to_string()))?;
    let decoded = DynamicImage::from_decoder(decoder).map_err(|e| wrong(e.to_string()))?;
    image_of(decoded).map_err(|e| wrong(e.to_string()))
}

/// Reads the bytes of one picture as RGB, within the same limits; else says what is wrong.
pub(super) fn decode(bytes: &[u8]) -> Result<Image, String> {
    let mut reader = ImageReader::new(std::io::Cursor::new(bytes)).with_guessed_format().map_err(|e| e.to_string())?;
    reader.limits(limits());
    let decoder = reader.into_decoder().map_err(|e| e.to_string())?;
    let (width, height) = decoder.dimensions();
    check_size(width, height).map_err(|e| e.to_string())?;
    image_of(DynamicImage::from_decoder(decoder).map_err(|e| e.to_string())?).map_err(|e| e.to_string())
}

/// The pictures in a directory, in the order of their names, by the ends of their names. Directories in it are
/// left out.
///
/// # Errors
/// When the directory can't be read or holds no picture.
pub fn list(dir: &Path) -> Result<Vec<PathBuf>, CameraError> {
    let unreadable = |error| CameraError::Read { path: dir.to_owned(), error };
    let mut pictures = Vec::new();
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let extension = path.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase);
        if extension.is_some_and(|e| PICTURES.contains(&e.as_str())) && path.is_file() {
            pictures.push(path);
        }
    }
    if pictures.is_empty() {
        return Err(CameraError::NoPictures { path: dir.to_owned() });
    }
    pictures.sort();
    Ok(pictures)
}

fn open(path: &Path) -> Result<ImageReader<BufReader<File>>, CameraError> {
    let unreadable = |error| CameraError::Read { path: path.to_owned(), error };
    // A pipe or a device would be waited for, maybe for ever.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(unreadable(std::io::Error::other("it is not a plain file")));
    }
    let file = BufReader::new(File::open(path).map_err(unreadable)?);
    let mut reader = ImageReader::new(file).with_guessed_format().map_err(unreadable)?;
    reader.limits(limits());
    Ok(reader)
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    // The largest picture in 16-bit RGBA.
    limits.max_alloc = Some(MAX_PIXELS * 8);
    limits
}

fn image_of(decoded: DynamicImage) -> Result<Image, crate::frame::ImageError> {
    let rgb = decoded.into_rgb8();
    let (width, height) = rgb.dimensions();
    Image::new(width, height, PixelFormat::Rgb8, Bytes::from(rgb.into_raw()))
}

/// The frames of a GIF that is being read.
type Animation = Box<dyn Iterator<Item = Result<Shot, String>>>;

/// Opens a GIF's frames; `None` where the file is something else.
fn animation(path: &Path) -> Result<Option<Animation>, CameraError> {
    let reader = open(path)?;
    if reader.format() != Some(ImageFormat::Gif) {
        return Ok(None);
    }
    let wrong = |reason: String| CameraError::Decode { path: path.to_owned(), reason };
    let mut decoder = GifDecoder::new(reader.into_inner()).map_err(|e| wrong(e.to_string()))?;
    let (width, height) = decoder.dimensions();
    check_size(width, height).map_err(|e| wrong(e.to_string()))?;
    decoder.set_limits(limits()).map_err(|e| wrong(e.to_string()))?;
    Ok(Some(Box::new(decoder.into_frames().map(|frame| {
        let frame = frame.map_err(|e| e.to_string())?;
        let claimed = Duration::from(frame.delay());
        let lasts = if claimed.is_zero() { GIF_DELAY } else { claimed };
        let image = image_of(DynamicImage::ImageRgba8(frame.into_buffer())).map_err(|e| e.to_string())?;
        Ok(Shot { image, lasts, captured: None })
    }))))
}

/// The pictures of a file or directory, in order.
pub(super) struct ImagesReader {
    files: std::vec::IntoIter<PathBuf>,
    current: Option<(PathBuf, Animation)>,
    /// How long each is shown, instead of what a GIF says.
    lasts: Option<Duration>,
    /// One picture was asked for: that it is broken is an error.
    single: bool,
    path: PathBuf,
    given: u64,
    broken: u64,
}

impl ImagesReader {
    /// A picture, or a directory of them, shown at `fps` pictures a second.
    pub fn open(path: &Path, fps: Option<f32>) -> Result<Self, CameraError> {
        let single = !path.is_dir();
        let files = if single { vec![path.to_owned()] } else { list(path)? };
        Ok(Self {
            files: files.into_iter(),
            current: None,
            lasts: fps.map(|fps| Duration::from_secs_f32(1.0 / fps.clamp(0.01, 1000.0))),
            single,
            path: path.to_owned(),
            given: 0,
            broken: 0,
        })
    }

    /// The next picture, whatever it takes; an error is about one file.
    fn advance(&mut self) -> Option<Result<Shot, CameraError>> {
        loop {
            if let Some((path, frames)) = &mut self.current {
                match frames.next() {
                    Some(Ok(shot)) => return Some(Ok(shot)),
                    Some(Err(reason)) => {
                        let path = path.clone();
                        self.current = None;
                        return Some(Err(CameraError::Decode { path, reason }));
                    }
                    None => self.current = None,
                }
            }
            let path = self.files.next()?;
            match animation(&path) {
                Ok(Some(frames)) => self.current = Some((path, frames)),
                Ok(None) => return Some(read(&path).map(|image| Shot { image, lasts: STILL, captured: None })),
                Err(e) => return Some(Err(e)),
            }
        }
    }
}

impl Reader for ImagesReader {
    fn next(&mut self, stop: &Stop) -> Result<Option<Shot>, CameraError> {
        while !stop.is_set() {
            match self.advance() {
                Some(Ok(mut shot)) => {
                    self.given += 1;
                    shot.lasts = self.lasts.unwrap_or(shot.lasts);
                    return Ok(Some(shot));
                }
                Some(Err(error)) if self.single => return Err(error),
                Some(Err(error)) => {
                    self.broken += 1;
                    if self.broken == 1 {
                        tracing::warn!(%error, "A picture is broken and skipped, and so will be others like it.");
                    }
                }
                None => break,
            }
        }
        if self.given == 0 && !stop.is_set() {
            return Err(CameraError::Empty { from: self.path.display().to_string() });
        }
        if self.broken > 1 {
            let dir = self.path.display().to_string();
            tracing::warn!(dir, broken = self.broken, "Pictures were broken and skipped.");
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
