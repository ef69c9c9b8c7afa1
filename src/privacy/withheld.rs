//! Frames that stay, kept on this machine until they may leave.
//!
//! A folder with, for each frame, `{id}.jpg` (the picture as it was taken, where it has one) and then `{id}.json` (a
//! [`Held`]), both synced: a `.json` is there only with its picture. `{id}.release` says that somebody asked for the
//! frame, and who. Only the user of the daemon can read them. Where there is no more room the oldest goes.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::detection::{Scored, microseconds};
use crate::evidence::{Evidence, Pick, Record};
use crate::frame::{Frame, Image, PixelFormat};
use crate::status::CameraState;

/// The longest name of whoever asks for a frame that is kept.
const NAME: usize = 64;

/// Why a frame stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// No rule lets it go.
    Policy,
    /// A rule lets it go when somebody asks for it.
    OnRequest,
    /// What must not be recognised is still found in it.
    Picture,
    /// Something that is needed does not work. It leaves by itself once that works.
    Trouble,
}

/// What is known of a frame that stays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// Why it stays, as a kind.
    pub cause: Cause,
    /// Why it stays, for people.
    pub reason: String,
    /// Where it would have gone.
    pub destination: String,
    /// Since when that is so.
    #[serde(serialize_with = "microseconds")]
    pub since: DateTime<Utc>,
    /// The evidence, as it would be without a policy.
    pub record: Record,
}

/// What is kept, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Frames.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The folder, as the daemon holds it.
#[derive(Debug)]
pub(super) struct Withheld {
    folder: PathBuf,
    max_bytes: u64,
    /// By id, and so by age.
    index: BTreeMap<String, (Cause, u64)>,
}

impl Withheld {
    /// Opens the folder, which is made where it is absent, and sweeps what a crash left half done.
    pub(super) fn open(folder: &Path, max_bytes: u64) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut index = BTreeMap::new();
        for (id, held) in held_in(folder)? {
            match held {
                Ok(held) => _ = index.insert(id.clone(), (held.cause, size(folder, &id))),
                Err(reason) => {
                    tracing::warn!(id, reason, folder = %folder.display(), "A withheld frame can't be read.");
                }
            }
        }
        let withheld = Self { folder: folder.to_owned(), max_bytes, index };
        withheld.sweep()?;
        Ok(withheld)
    }

    /// Removes files that no record speaks of.
    fn sweep(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let end = path.extension().and_then(|end| end.to_str()).unwrap_or_default();
            if matches!(end, "jpg" | "part" | "release") && !path.with_extension("json").exists() {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// Keeps a frame and gives the ids of those that had to make room. It is on the disk when this returns.
    pub(super) fn keep(&mut self, evidence: &Evidence, held: &Held) -> io::Result<Vec<String>> {
        let json = serde_json::to_vec(held)?;
        let bytes = (json.len() + evidence.jpeg.as_ref().map_or(0, Bytes::len)) as u64;
        if bytes > self.max_bytes {
            return Ok(vec![evidence.id.clone()]);
        }
        let mut gone = Vec::new();
        while self.load().bytes + bytes > self.max_bytes {
            let Some(oldest) = self.index.keys().next().cloned() else { break };
            self.remove(&oldest)?;
            gone.push(oldest);
        }
        if let Some(jpeg) = &evidence.jpeg {
            self.write(&evidence.id, "jpg", jpeg)?;
        }
        self.write(&evidence.id, "json", &json)?;
        self.index.insert(evidence.id.clone(), (held.cause, bytes));
        Ok(gone)
    }

    /// Notes another reason why a frame stays.
    pub(super) fn note(&mut self, id: &str, held: &Held) -> io::Result<()> {
        self.write(id, "json", &serde_json::to_vec(held)?)?;
        if let Some((cause, _)) = self.index.get_mut(id) {
            *cause = held.cause;
        }
        Ok(())
    }

    /// Forgets a frame: the record first, so that no record is without its picture.
    pub(super) fn remove(&mut self, id: &str) -> io::Result<()> {
        for end in ["json", "jpg", "release"] {
            gone(fs::remove_file(self.path(id, end)))?;
        }
        self.index.remove(id);
        File::open(&self.folder)?.sync_all()
    }

    /// What is known of a frame, and the frame; none where it is not there.
    pub(super) fn read(&self, id: &str) -> Result<Option<(Held, Pick)>, String> {
        if !self.index.contains_key(id) {
            return Ok(None);
        }
        let held = read_held(&self.path(id, "json"))?;
        let image = match &held.record.image {
            Some(_) => picture(&self.path(id, "jpg"))?,
            None => return Err("it has no picture".to_owned()),
        };
        let pick = pick(&held.record, image);
        Ok(Some((held, pick)))
    }

    /// The oldest frame that stays because something did not work.
    pub(super) fn in_trouble(&self) -> Option<&str> {
        self.index.iter().find(|(_, (cause, _))| *cause == Cause::Trouble).map(|(id, _)| id.as_str())
    }

    /// The frames that somebody asked for, oldest first, with who that was.
    pub(super) fn asked(&self) -> io::Result<Vec<(String, String)>> {
        let mut asked = Vec::new();
        for path in paths(&self.folder, "release")? {
            let id = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
            let by = fs::read_to_string(&path).unwrap_or_else(|_| "somebody".to_owned());
            let by: String = by.trim().chars().take(NAME).collect();
            asked.push((id, by));
        }
        asked.sort();
        Ok(asked)
    }

    /// Forgets that somebody asked for a frame.
    pub(super) fn answered(&self, id: &str) -> io::Result<()> {
        gone(fs::remove_file(self.path(id, "release")))
    }

    pub(super) fn load(&self) -> Load {
        Load { frames: self.index.len() as u64, bytes: self.index.values().map(|(_, bytes)| bytes).sum() }
    }

    fn path(&self, id: &str, end: &str) -> PathBuf {
        self.folder.join(format!("{id}.{end}"))
    }

    fn write(&self, id: &str, end: &str, bytes: &[u8]) -> io::Result<()> {
        write(&self.path(id, end), bytes, 0o600)
    }
}

/// Writes a file that has its name once its bytes are on the disk.
fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let part = path.with_extension("part");
    let mut file = File::options().write(true).create(true).truncate(true).mode(mode).open(&part)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&part, path));
    if let Err(error) = written {
        // Half a file may be what fills the disk.
        let _ = fs::remove_file(&part);
        return Err(error);
    }
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// A removal; that it was gone already is a success.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

fn paths(folder: &Path, wanted: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == wanted) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn size(folder: &Path, id: &str) -> u64 {
    ["jpg", "json"].iter().filter_map(|end| folder.join(format!("{id}.{end}")).metadata().ok()).map(|m| m.len()).sum()
}

fn read_held(path: &Path) -> Result<Held, String> {
    let text = fs::read(path).map_err(|error| error.to_string())?;
    serde_json::from_slice(&text).map_err(|error| error.to_string())
}

/// A frame's id with what is known of it, or why that can't be read.
type Entry = (String, Result<Held, String>);

/// The frames in a folder, oldest first.
///
/// # Errors
/// When the folder can't be read.
pub fn held_in(folder: &Path) -> io::Result<Vec<Entry>> {
    let all = paths(folder, "json")?.into_iter();
    Ok(all
        .map(|path| (path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned(), read_held(&path)))
        .collect())
}

/// Asks for a frame that stays: the daemon lets it go as far as its rules allow.
///
/// # Errors
/// When there is no such frame, or the folder can't be written.
pub fn ask_for(folder: &Path, id: &str, by: &str) -> io::Result<()> {
    let is_id = Ulid::from_string(id).is_ok();
    if !is_id || !folder.join(format!("{id}.json")).is_file() {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("no frame {id} is withheld")));
    }
    // Who asks may be another user than the daemon's, which is to read it.
    write(&folder.join(format!("{id}.release")), by.as_bytes(), 0o644)
}

fn picture(path: &Path) -> Result<Image, String> {
    let jpeg = Bytes::from(fs::read(path).map_err(|error| error.to_string())?);
    let rgb = image::load_from_memory(&jpeg).map_err(|error| error.to_string())?.into_rgb8();
    let (width, height) = rgb.dimensions();
    let image = Image::new(width, height, PixelFormat::Rgb8, rgb.into_raw().into()).map_err(|e| e.to_string())?;
    Ok(image.with_jpeg(jpeg))
}

/// A frame as it was picked.
fn pick(record: &Record, image: Image) -> Pick {
    let detections = record.detections.clone();
    let frame = Frame {
        camera: detections.camera.as_str().into(),
        seq: detections.frame.seq,
        captured_at: detections.frame.captured_at,
        captured: Instant::now(),
        state: detections.camera_state.unwrap_or(CameraState::Ok),
        image,
    };
    Pick { reason: record.reason.clone(), value: record.value, scored: Scored { detections: detections.into(), frame } }
}

#[cfg(test)]
mod tests;
