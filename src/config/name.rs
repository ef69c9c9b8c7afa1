//! Names that are safe in topics, paths and URLs.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// The longest name, in bytes.
const MAX_LENGTH: usize = 64;

/// A name of a site, node, model or camera: letters, digits, `_`, `-` and `.`, starting with a letter or digit,
/// at most 64 long. So it needs no escaping in an MQTT topic, a file path or a URL.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Name(#[schemars(regex(pattern = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"))] Arc<str>);

/// Why a text is not a [`Name`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not a usable name: take letters, digits, `_`, `-` and `.`, starting with a letter or digit, at most 64"
)]
pub struct NameError(String);

impl Name {
    /// Checks a text.
    ///
    /// # Errors
    /// When it holds another character, is empty or too long.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if starts_well && text.len() <= MAX_LENGTH && text.chars().all(inside) {
            Ok(Self(text.into()))
        } else {
            Err(NameError(text.chars().take(MAX_LENGTH).collect()))
        }
    }

    /// A name close to `text`: what is not allowed becomes `-`.
    #[must_use]
    pub fn near(text: &str) -> Self {
        let kept: String = text
            .trim()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') { c } else { '-' })
            .skip_while(|c| !c.is_ascii_alphanumeric())
            .take(MAX_LENGTH)
            .collect();
        Self(if kept.is_empty() { "node".into() } else { kept.into() })
    }

    /// The name of this host, as the kernel knows it.
    #[must_use]
    pub fn of_this_host() -> Self {
        Self::near(&std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default())
    }

    /// The text, shared.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_texts_are_names() {
        for good in ["a", "line3", "Plant-7.west_2", "7"] {
            assert!(Name::new(good).is_ok(), "{good}");
        }
        let long = "x".repeat(MAX_LENGTH + 1);
        for bad in ["", ".", "..", "-a", "a/b", "a+", "#", "a b", "ä", "a\0", &long] {
            assert!(Name::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn any_text_has_a_near_name() {
        assert_eq!(&*Name::near("edge 01\n"), "edge-01");
        assert_eq!(&*Name::near("___"), "node");
        for text in ["", "é", "a/b/c", "..", &"y".repeat(500)] {
            assert!(Name::new(&Name::near(text)).is_ok(), "{text:?}");
        }
    }
}
