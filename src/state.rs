//! Small things that must survive a restart: a JSON file each, which is replaced as a whole.
//!
//! A file is written beside its place, synced and renamed, and the rename is synced: after a crash or a power cut the
//! old content is there or the new one, never a part of it. One that can't be read is put aside, and said so; it never
//! keeps the daemon from starting.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A file larger than this is none of ours.
const MAX_BYTES: u64 = 4 << 20;

/// Where something is kept. Without a place it lasts as long as the process.
#[derive(Debug, Clone, Default)]
pub struct StateFile(Option<PathBuf>);

impl StateFile {
    /// A file of this name in a folder, or nowhere.
    #[must_use]
    pub fn of(folder: Option<&Path>, name: &str) -> Self {
        Self(folder.map(|folder| folder.join(name)))
    }

    /// Whether what is written is there after a restart.
    #[must_use]
    pub fn lasts(&self) -> bool {
        self.0.is_some()
    }

    /// What was written last; the default where nothing was, or where it can't be read.
    #[must_use]
    pub fn read<T: DeserializeOwned + Default>(&self) -> T {
        let Some(path) = &self.0 else { return T::default() };
        match read(path) {
            Ok(Some(content)) => content,
            Ok(None) => T::default(),
            Err(reason) => {
                let aside = beside(path, "corrupt");
                let moved = fs::rename(path, &aside).is_ok();
                let aside = if moved { aside.display().to_string() } else { "where it is".to_owned() };
                tracing::error!(file = %path.display(), reason, aside, "A state can't be read and begins anew.");
                T::default()
            }
        }
    }

    /// Writes it. When this returns it is on the disk.
    ///
    /// # Errors
    /// When the disk takes nothing; what was there before is there still.
    pub fn write<T: Serialize>(&self, content: &T) -> io::Result<()> {
        let Some(path) = &self.0 else { return Ok(()) };
        let text = serde_json::to_vec(content).map_err(io::Error::other)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let part = beside(path, "part");
        let mut file = File::create(&part)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&part, path)?;
        File::open(folder)?.sync_all()
    }
}

/// None where there is no file.
fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let mut text = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > MAX_BYTES {
        return Err(format!("it has more than {MAX_BYTES} bytes"));
    }
    serde_json::from_slice(&text).map(Some).map_err(|error| error.to_string())
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    type Content = BTreeMap<String, u64>;

    #[test]
    fn what_was_written_is_read_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("not/there/yet");
        let file = StateFile::of(Some(&deep), "counts.json");
        assert!(file.lasts());
        assert_eq!(file.read::<Content>(), Content::new());
        for number in [1, 2] {
            let content = Content::from([("a".to_owned(), number)]);
            file.write(&content).unwrap();
            assert_eq!(StateFile::of(Some(&deep), "counts.json").read::<Content>(), content);
        }
        assert_eq!(fs::read_dir(&deep).unwrap().count(), 1);
    }

    #[test]
    fn what_makes_no_sense_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in
            [("half.json", b"{\"a\": 1".to_vec()), ("other.json", b"[]".to_vec()), ("zeros", vec![0; 99])]
        {
            let file = StateFile::of(Some(folder.path()), name);
            fs::write(folder.path().join(name), &text).unwrap();
            assert_eq!(file.read::<Content>(), Content::new());
            assert_eq!(fs::read(folder.path().join(format!("{name}.corrupt"))).unwrap(), text);
            assert!(!folder.path().join(name).exists());
            file.write(&Content::from([("a".to_owned(), 3)])).unwrap();
            assert_eq!(file.read::<Content>()["a"], 3);
        }
    }

    #[test]
    fn a_disk_that_takes_nothing_is_an_error_and_the_old_content_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = StateFile::of(Some(folder.path()), "a.json");
        file.write(&Content::from([("a".to_owned(), 1)])).unwrap();
        // A folder is where the part would be written.
        fs::create_dir(folder.path().join("a.json.part")).unwrap();
        assert!(file.write(&Content::from([("a".to_owned(), 2)])).is_err());
        assert_eq!(file.read::<Content>()["a"], 1);
    }

    #[test]
    fn without_a_place_nothing_lasts() {
        let file = StateFile::default();
        assert!(!file.lasts());
        file.write(&Content::from([("a".to_owned(), 1)])).unwrap();
        assert_eq!(file.read::<Content>(), Content::new());
    }
}
