//! Paths in sources.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::{Redacted, SourceError};

/// The path, where something is there.
pub(super) fn existing(path: &Path) -> Option<PathBuf> {
    path.exists().then(|| path.to_owned())
}

/// The path, where something is there, else the mistake.
pub(super) fn must_exist(path: &Path) -> Result<PathBuf, SourceError> {
    existing(path).ok_or_else(|| SourceError::Missing(Redacted::text(&path.to_string_lossy())))
}

/// What follows `file:` up to the query, as a path: `/p`, `//localhost/p`, `///p` or a relative one. Escapes are
/// undone, unless the path exists with them.
pub(super) fn of_url(text: &str) -> Result<PathBuf, SourceError> {
    let wrong =
        |reason: &str| SourceError::Url { shown: Redacted::text(&format!("file:{text}")), reason: reason.to_owned() };
    let path = match text.strip_prefix("//") {
        Some(rest) => match rest.split_once('/') {
            Some(("" | "localhost", _)) => rest.get(rest.find('/').unwrap_or(0)..).unwrap_or(rest),
            _ => return Err(wrong("it names another host; write `file:/path`")),
        },
        None => text,
    };
    if path.is_empty() {
        return Err(wrong("the path is empty"));
    }
    if let Some(literal) = existing(Path::new(path)) {
        return Ok(literal);
    }
    let bytes = unescape(path.as_bytes());
    if bytes.contains(&0) {
        return Err(wrong("a path can't hold a zero byte"));
    }
    Ok(PathBuf::from(OsString::from_vec(bytes)))
}

/// Undoes `%41`; what is no escape stays as it is.
pub(crate) fn unescape(text: &[u8]) -> Vec<u8> {
    let digit = |b: u8| char::from(b).to_digit(16);
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if let (b'%', [high, low, after @ ..]) = (byte, tail)
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
            && let Ok(value) = u8::try_from(high * 16 + low)
        {
            out.push(value);
            rest = after;
        } else {
            out.push(byte);
        }
    }
    out
}
