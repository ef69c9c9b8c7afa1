//! Taking credentials out of texts that people and logs will see.

use std::fmt;

use super::NetworkUrl;

/// Longest text that an error quotes, in characters.
const QUOTED: usize = 200;

/// Takes one camera's credentials, and whatever else looks like some, out of a text.
#[derive(Clone, Default)]
pub(crate) struct Redacted(Vec<String>);

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redacted(…)")
    }
}

impl Redacted {
    /// Knows the secrets of this URL.
    pub fn of(url: &NetworkUrl) -> Self {
        let parts = [url.0.password(), url.0.query(), (!url.0.username().is_empty()).then(|| url.0.username())];
        let mut secrets: Vec<String> = Vec::new();
        for part in parts.into_iter().flatten().filter(|p| p.len() > 2) {
            secrets.push(part.to_owned());
            secrets.push(String::from_utf8_lossy(&super::path::unescape(part.as_bytes())).into_owned());
        }
        secrets.sort_by_key(|s| std::cmp::Reverse(s.len()));
        Self(secrets)
    }

    /// The text without them.
    pub fn apply(&self, text: &str) -> String {
        let text = Self::text(text);
        self.0.iter().fold(text, |text, secret| text.replace(secret.as_str(), "…"))
    }

    /// The text without user, password and query in anything like a URL.
    pub fn text(text: &str) -> String {
        let ends = |c: char| c.is_whitespace() || matches!(c, '\'' | '"');
        text.split_inclusive(ends).map(Self::word).collect()
    }

    /// One word of a text, which ends with its white space or quote.
    fn word(word: &str) -> String {
        let (before, url) = match word.find("://") {
            // Credentials may have come to stand before it.
            Some(at) if word.get(..at).is_some_and(|before| before.contains(['@', '?'])) => ("…", word.split_at(at).1),
            Some(at) => word.split_at(at + 3),
            // A slash or the scheme was forgotten.
            None => match (has(word, ':', '@'), has(word, '?', '=')) {
                (true, _) => ("…", word),
                (false, true) => ("", word),
                (false, false) => return word.to_owned(),
            },
        };
        let (place, query) = url.split_once('?').unwrap_or((url, ""));
        // The last `@` counts, for a password may hold one; behind a `?` all of it may be password.
        let host = match place.rfind('@') {
            _ if query.contains('@') => "",
            Some(at) => place.get(at + 1..).unwrap_or(""),
            None => place,
        };
        format!("{before}{host}{}", if query.is_empty() { "" } else { "?…" })
    }

    /// The start of a text, for quoting in an error, without what looks like credentials.
    pub fn clipped(text: &str) -> String {
        let text = Self::text(text);
        match text.char_indices().nth(QUOTED) {
            Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
            None => text,
        }
    }
}

/// Whether a word has one character somewhere before another.
fn has(word: &str, first: char, then: char) -> bool {
    word.split_once(first).is_some_and(|(_, rest)| rest.contains(then))
}
