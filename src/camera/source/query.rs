//! The settings behind a source's `?`.

use std::ops::RangeInclusive;

use super::path::unescape;
use super::{RATES, Redacted, SourceError, nearest};

/// Keys and values, in the order given. A key without a value has the value `true`.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for part in text.split('&').filter(|p| !p.is_empty()) {
            let (key, value) = part.split_once('=').unwrap_or((part, "true"));
            let plain = |text: &str| String::from_utf8_lossy(&unescape(text.as_bytes())).into_owned();
            let key = plain(key);
            if pairs.iter().any(|(k, _)| *k == key) {
                return Err(SourceError::Twice { key: Redacted::clipped(&key) });
            }
            pairs.push((key, plain(value)));
        }
        Ok(Self(pairs))
    }

    /// Refuses keys other than these.
    pub fn only(&self, source_kind: &'static str, known: &'static [&'static str]) -> Result<(), SourceError> {
        match self.0.iter().find(|(key, _)| !known.contains(&key.as_str())) {
            None => Ok(()),
            Some((key, _)) => {
                Err(SourceError::Key { source_kind, key: Redacted::clipped(key), nearest: nearest(key, known), known })
            }
        }
    }

    pub fn flag(&self, key: &str) -> Result<Option<bool>, SourceError> {
        self.value(key, "`true` or `false`", |v| v.parse().ok())
    }

    /// Pictures a second.
    pub fn rate(&self, key: &str) -> Result<Option<f32>, SourceError> {
        self.value(key, "a number of pictures a second, 0.1 to 240", |v| v.parse().ok().filter(|r| RATES.contains(r)))
    }

    pub fn share(&self, key: &str) -> Result<Option<f32>, SourceError> {
        self.value(key, "a share, 0 to 1", |v| v.parse().ok().filter(|share| (0.0..=1.0).contains(share)))
    }

    pub fn seed(&self, key: &str) -> Result<Option<u64>, SourceError> {
        self.value(key, "a whole number, 0 or more", |v| v.parse().ok())
    }

    /// Pixels across or down.
    pub fn side(
        &self,
        key: &str,
        wanted: &'static str,
        inside: RangeInclusive<u32>,
    ) -> Result<Option<u32>, SourceError> {
        self.value(key, wanted, |v| v.parse().ok().filter(|side| inside.contains(side)))
    }

    fn value<T>(
        &self,
        key: &str,
        wanted: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, SourceError> {
        let Some((_, value)) = self.0.iter().find(|(k, _)| k == key) else {
            return Ok(None);
        };
        read(value).map(Some).ok_or_else(|| SourceError::Value {
            key: key.to_owned(),
            value: Redacted::clipped(value),
            wanted,
        })
    }
}
