//! A disk as it may be after a power cut, from the system calls that changed it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a disk writes at once.
const SECTOR: usize = 512;

/// A system call that changed something, with paths relative to the folder that is watched.
#[derive(Clone, PartialEq)]
pub(super) enum Call {
    Create {
        path: PathBuf,
        truncate: bool,
    },
    Folder {
        path: PathBuf,
    },
    Write {
        path: PathBuf,
        at: Option<usize>,
        bytes: Vec<u8>,
    },
    Truncate {
        path: PathBuf,
        length: usize,
    },
    Sync {
        path: PathBuf,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Remove {
        path: PathBuf,
    },
    /// What the process says of itself.
    Mark(String),
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Create { path, truncate } => write!(f, "create {} (truncate: {truncate})", path.display()),
            Self::Folder { path } => write!(f, "mkdir {}", path.display()),
            Self::Write { path, at, bytes } => write!(f, "write {} {at:?} {} bytes", path.display(), bytes.len()),
            Self::Truncate { path, length } => write!(f, "truncate {} to {length}", path.display()),
            Self::Sync { path } => write!(f, "sync {}", path.display()),
            Self::Rename { from, to } => write!(f, "rename {} to {}", from.display(), to.display()),
            Self::Remove { path } => write!(f, "remove {}", path.display()),
            Self::Mark(text) => write!(f, "mark {text}"),
        }
    }
}

/// Reads what `strace -f -y -xx` wrote.
pub(super) fn parse(log: &str, under: &Path) -> Vec<Call> {
    let mut unfinished = BTreeMap::new();
    let mut calls = Vec::new();
    for line in log.lines() {
        let Some((process, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        let whole = if let Some(start) = rest.strip_suffix(" <unfinished ...>") {
            unfinished.insert(process, start.to_owned());
            continue;
        } else if let Some((_, end)) = rest.split_once(" resumed>").filter(|_| rest.starts_with("<... ")) {
            unfinished.remove(process).unwrap_or_default() + end
        } else {
            rest.to_owned()
        };
        calls.extend(call(&whole, under));
    }
    calls
}

fn call(line: &str, under: &Path) -> Option<Call> {
    let (name, rest) = line.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(" = ")?;
    if result.starts_with('-') {
        return None;
    }
    // Whatever is text is in hexadecimal, so that commas and quotes only separate.
    let texts: Vec<Vec<u8>> = arguments.split('"').skip(1).step_by(2).map(unescape).collect();
    let path = |bytes: &[u8]| {
        let path = PathBuf::from(String::from_utf8(bytes.to_vec()).ok()?);
        let path = path.strip_prefix(under).ok()?.to_owned();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (!name.ends_with("-shm") && name != "lock").then_some(path)
    };
    let of_descriptor = |text: &str| Some(unescape(text.split_once('<')?.1.split_once('>')?.0));
    let number = |index: usize| arguments.trim_end_matches(')').split(", ").nth(index)?.parse().ok();
    match name {
        "openat" if arguments.contains("O_CREAT") => {
            Some(Call::Create { path: path(texts.first()?)?, truncate: arguments.contains("O_TRUNC") })
        }
        "mkdir" | "mkdirat" => Some(Call::Folder { path: path(texts.first()?)? }),
        "write" | "pwrite64" => {
            let bytes = texts.first()?.clone();
            if let Some(text) = bytes.strip_prefix(b"mark ") {
                return Some(Call::Mark(String::from_utf8_lossy(text).into_owned()));
            }
            let at = if name == "pwrite64" { Some(number(3)?) } else { None };
            Some(Call::Write { path: path(&of_descriptor(arguments)?)?, at, bytes })
        }
        "ftruncate" => Some(Call::Truncate { path: path(&of_descriptor(arguments)?)?, length: number(1)? }),
        "fsync" | "fdatasync" => Some(Call::Sync { path: path(&of_descriptor(arguments)?)? }),
        "rename" | "renameat" | "renameat2" => {
            Some(Call::Rename { from: path(texts.first()?)?, to: path(texts.get(1)?)? })
        }
        "unlink" | "unlinkat" => Some(Call::Remove { path: path(texts.first()?)? }),
        _ => None,
    }
}

/// `\x2f\x77` as bytes.
fn unescape(text: &str) -> Vec<u8> {
    text.split("\\x").skip(1).filter_map(|digits| u8::from_str_radix(digits.get(..2)?, 16).ok()).collect()
}

/// Enough randomness for cuts, the same every time.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// True in `of_four` of four cases.
    fn chance(&mut self, of_four: u64) -> bool {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) % 4 < of_four
    }
}

#[derive(Default)]
struct Content {
    synced: Vec<u8>,
    /// As the process sees it.
    length: usize,
    unsynced: Vec<Call>,
}

/// A file or folder that a name stands for.
#[derive(Clone, Copy)]
enum Node {
    File(usize),
    Folder,
}

/// A change of names that may be lost as long as its folder is not synced.
enum NameChange {
    Put(PathBuf, Node),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

#[derive(Default)]
pub(super) struct DiskModel {
    contents: Vec<Content>,
    /// As the process sees them.
    names: BTreeMap<PathBuf, Node>,
    synced_names: BTreeMap<PathBuf, Node>,
    unsynced_names: Vec<NameChange>,
}

impl DiskModel {
    pub(super) fn apply(&mut self, call: &Call) {
        match call {
            Call::Create { path, truncate } => self.create(path, *truncate),
            Call::Folder { path } => self.put(path, Node::Folder),
            Call::Write { path, at, bytes } => {
                if let Some(content) = self.content(path) {
                    let at = at.unwrap_or(content.length);
                    content.length = content.length.max(at + bytes.len());
                    content.unsynced.push(Call::Write { path: path.clone(), at: Some(at), bytes: bytes.clone() });
                }
            }
            Call::Truncate { path, length } => self.truncate(path, *length),
            Call::Sync { path } => self.sync(path),
            Call::Rename { from, to } => {
                if let Some(node) = self.names.remove(from) {
                    self.names.insert(to.clone(), node);
                    self.unsynced_names.push(NameChange::Rename(from.clone(), to.clone()));
                }
            }
            Call::Remove { path } => {
                self.names.remove(path);
                self.unsynced_names.push(NameChange::Remove(path.clone()));
            }
            Call::Mark(_) => {}
        }
    }

    fn create(&mut self, path: &Path, truncate: bool) {
        if !self.names.contains_key(path) {
            self.contents.push(Content::default());
            self.put(path, Node::File(self.contents.len() - 1));
        } else if truncate {
            self.truncate(path, 0);
        }
    }

    fn put(&mut self, path: &Path, node: Node) {
        self.names.insert(path.to_owned(), node);
        self.unsynced_names.push(NameChange::Put(path.to_owned(), node));
    }

    fn content(&mut self, path: &Path) -> Option<&mut Content> {
        match self.names.get(path) {
            Some(Node::File(index)) => self.contents.get_mut(*index),
            _ => None,
        }
    }

    fn truncate(&mut self, path: &Path, length: usize) {
        if let Some(content) = self.content(path) {
            content.length = length;
            content.unsynced.push(Call::Truncate { path: path.to_owned(), length });
        }
    }

    fn sync(&mut self, path: &Path) {
        if let Some(content) = self.content(path) {
            let unsynced = std::mem::take(&mut content.unsynced);
            unsynced.iter().for_each(|change| change_bytes(&mut content.synced, change, |_| true));
            return;
        }
        let (inside, others) = std::mem::take(&mut self.unsynced_names)
            .into_iter()
            .partition::<Vec<_>, _>(|change| change.path().parent() == Some(path));
        inside.iter().for_each(|change| change.apply(&mut self.synced_names));
        self.unsynced_names = others;
    }

    /// Writes what may be there after a power cut now, when of four things not synced `keep` are there.
    pub(super) fn cut(&self, at: &Path, keep: u64, random: &mut Random) {
        let mut names = self.synced_names.clone();
        for change in &self.unsynced_names {
            if random.chance(keep) {
                change.apply(&mut names);
            }
        }
        // What the watched process found there.
        std::fs::create_dir_all(at).expect("made");
        for (path, node) in names {
            let path = at.join(path);
            // A name in a folder that is not there is lost with it.
            if !path.parent().is_some_and(Path::is_dir) {
                continue;
            }
            match node {
                Node::Folder => std::fs::create_dir(&path).expect("made"),
                Node::File(index) => std::fs::write(&path, self.contents[index].cut(keep, random)).expect("written"),
            }
        }
    }
}

impl Content {
    fn cut(&self, keep: u64, random: &mut Random) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        for change in &self.unsynced {
            change_bytes(&mut bytes, change, |_| random.chance(keep));
        }
        bytes
    }
}

/// Changes a file's bytes; a write only in those of its sectors that `reaches` lets through.
fn change_bytes(file: &mut Vec<u8>, change: &Call, mut reaches: impl FnMut(usize) -> bool) {
    match change {
        Call::Write { at: Some(at), bytes, .. } => {
            let mut start = 0;
            while start < bytes.len() {
                let end = (start + SECTOR - (at + start) % SECTOR).min(bytes.len());
                if reaches(at + start) {
                    if file.len() < at + end {
                        file.resize(at + end, 0);
                    }
                    file[at + start..at + end].copy_from_slice(&bytes[start..end]);
                }
                start = end;
            }
        }
        Call::Truncate { length, .. } if reaches(*length) => file.resize(*length, 0),
        _ => {}
    }
}

impl NameChange {
    fn path(&self) -> &Path {
        match self {
            Self::Put(path, _) | Self::Rename(_, path) | Self::Remove(path) => path,
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, Node>) {
        match self {
            Self::Put(path, node) => drop(names.insert(path.clone(), *node)),
            Self::Remove(path) => drop(names.remove(path)),
            Self::Rename(from, to) => {
                if let Some(node) = names.remove(from) {
                    names.insert(to.clone(), node);
                }
            }
        }
    }
}
