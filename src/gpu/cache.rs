//! What survives a restart: which kernels burn found fastest on a device, and which models were warmed up on it.
//!
//! Everything lies in one directory, in files named after device, driver and version, so that results of one
//! are never taken for another's. Whatever is there is a hint: a file that can't be read is put aside, said once, and
//! measured anew; a directory that can't be written costs a slow start and nothing else. The pipelines that drivers
//! compile are kept by the drivers themselves, where `XDG_CACHE_HOME` says.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use cubecl::config::{CubeClRuntimeConfig, RuntimeConfig};
use cubecl::environment;
use wgpu::AdapterInfo;

/// The beginning of every database of burn's, which is one of SQLite's.
const MAGIC: &[u8] = b"SQLite format 3\0";
/// Files that belong to a database.
const PARTS: [&str; 3] = ["db", "db-wal", "db-shm"];
/// The longest file name made of what a driver says.
const MAX_NAME: usize = 120;

/// Where results are kept; nowhere of ours until it is said.
static DIRECTORY: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Keeps results in `directory` from now on; takes effect for devices that are opened after this.
pub fn keep_in(directory: PathBuf) {
    *DIRECTORY.lock().unwrap_or_else(PoisonError::into_inner) = Some(directory);
}

/// The usual place: what systemd gives a service that asks for a `CacheDirectory=`, else the user's cache.
#[must_use]
pub fn usual_directory() -> Option<PathBuf> {
    let set = |key: &str| std::env::var_os(key).filter(|value| !value.is_empty());
    // systemd gives several, with colons between, to a service that asks for several.
    let of_service = set("CACHE_DIRECTORY").and_then(|all| std::env::split_paths(&all).next());
    let of_user =
        || set("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| Some(PathBuf::from(set("HOME")?).join(".cache")));
    of_service.or_else(|| Some(of_user()?.join("ocellus")))
}

/// The results for one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cache {
    directory: PathBuf,
    name: String,
}

impl Cache {
    /// Has burn keep its results for this adapter where [`keep_in`] said, if it did.
    pub fn open(info: &AdapterInfo) -> Option<Self> {
        let directory = DIRECTORY.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let cache = Self { directory, name: name(info) };
        if let Err(error) = cache.prepare() {
            let directory = cache.directory.display();
            tracing::warn!(%directory, %error, "Nothing is kept for the next start, which will be slow again.");
            return None;
        }
        // Read first: what it says of directories would come after what is set here.
        CubeClRuntimeConfig::get();
        environment::set_root(&cache.directory);
        environment::activate(&cache.name);
        Some(cache)
    }

    fn prepare(&self) -> std::io::Result<()> {
        fs::create_dir_all(&self.directory)?;
        let database = self.database();
        if database.exists() && !is_database(&database) {
            tracing::warn!(file = %database.display(), "The tuning results are damaged and are put aside.");
            for part in PARTS {
                let file = database.with_extension(part);
                if file.exists() {
                    fs::rename(&file, file.with_extension(format!("{part}.damaged")))?;
                }
            }
            // Whatever was known of models was in it.
            let _ = fs::remove_dir_all(self.marks());
        }
        // Whether we may write shows now, not in the middle of the work.
        let probe = self.directory.join(format!(".{}.{}", self.name, std::process::id()));
        fs::write(&probe, [])?;
        fs::remove_file(&probe)
    }

    /// Whether a model was warmed up here before. `model` says which, and how it runs.
    pub fn knows(&self, model: &str) -> bool {
        self.mark(model).exists() && self.database().exists()
    }

    /// Notes that a model has been warmed up.
    pub fn note(&self, model: &str) {
        let mark = self.mark(model);
        // The next start takes as long as this one, at worst.
        if let Err(error) = mark.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&mark, [])) {
            tracing::debug!(file = %mark.display(), %error, "Not noted.");
        }
    }

    fn mark(&self, model: &str) -> PathBuf {
        self.marks().join(plain(model))
    }

    fn marks(&self) -> PathBuf {
        self.directory.join(format!("{}.warm", self.name))
    }

    fn database(&self) -> PathBuf {
        self.directory.join(format!("{}.db", self.name))
    }
}

/// Device, driver and version in one file name.
fn name(info: &AdapterInfo) -> String {
    plain(&format!(
        "{}-{:x}-{:x}-{}-{}-{}",
        info.name,
        info.vendor,
        info.device,
        info.driver,
        info.driver_info,
        env!("CARGO_PKG_VERSION")
    ))
}

/// A text as part of a file name; texts that differ stay different.
fn plain(text: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "-.".contains(c) { c } else { '_' };
    let clean: String = text.chars().map(allowed).collect();
    if clean == text && clean.len() <= MAX_NAME && !clean.starts_with('.') {
        return clean;
    }
    let digest = crate::config::digest(text);
    let short: String = digest.chars().skip("sha256:".len()).take(16).collect();
    let start: String = clean.trim_start_matches('.').chars().take(MAX_NAME - 17).collect();
    format!("{start}-{short}")
}

fn is_database(file: &Path) -> bool {
    let mut start = [0; MAGIC.len()];
    let read = fs::File::open(file).and_then(|mut file| file.read_exact(&mut start));
    // An empty one is one that was never written to.
    (read.is_ok() && start == MAGIC) || file.metadata().is_ok_and(|meta| meta.len() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(directory: &Path) -> Cache {
        Cache { directory: directory.to_owned(), name: "card".to_owned() }
    }

    #[test]
    fn devices_and_drivers_have_files_of_their_own() {
        let info = |name: &str, driver: &str| AdapterInfo {
            name: name.to_owned(),
            driver: driver.to_owned(),
            ..AdapterInfo::new(wgpu::DeviceType::Other, wgpu::Backend::Vulkan)
        };
        let names =
            [info("A", "1"), info("A", "2"), info("B", "1"), info("A/", "1"), info("A:", "1")].map(|i| name(&i));
        for (i, one) in names.iter().enumerate() {
            assert!(names[i + 1..].iter().all(|other| other != one), "{one}");
            assert!(one.len() <= MAX_NAME && !one.contains('/'), "{one}");
        }
        assert_eq!(names[0], name(&info("A", "1")));
        assert!(name(&info(&"long ".repeat(100), "1")).len() <= MAX_NAME);
        assert!(!plain("../../etc").contains('/') && !plain("..").starts_with('.'));
    }

    #[test]
    fn what_is_no_database_is_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("card.db");
        for content in [&b"half a page of something"[..], b"SQL"] {
            fs::write(&file, content).unwrap();
            cache(dir.path()).prepare().unwrap();
            assert!(!file.exists());
            assert_eq!(fs::read(dir.path().join("card.db.damaged")).unwrap(), content);
        }
        for content in [&b""[..], b"SQLite format 3\0 and so on"] {
            fs::write(&file, content).unwrap();
            cache(dir.path()).prepare().unwrap();
            assert_eq!(fs::read(&file).unwrap(), content);
        }
    }

    #[test]
    fn a_directory_that_can_t_be_made_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(cache(&dir.path().join("file/below")).prepare().is_err());
    }

    #[test]
    fn models_are_known_once_noted() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (cache(dir.path()), Cache { name: "other".to_owned(), ..cache(dir.path()) });
        for cache in [&one, &other] {
            fs::write(cache.database(), MAGIC).unwrap();
        }
        assert!(!one.knows("sha256:aa f32"));
        one.note("sha256:aa f32");
        assert!(one.knows("sha256:aa f32") && !one.knows("sha256:aa f16") && !other.knows("sha256:aa f32"));
        fs::write(one.database(), "no database").unwrap();
        one.prepare().unwrap();
        assert!(!one.knows("sha256:aa f32"));
    }
}
