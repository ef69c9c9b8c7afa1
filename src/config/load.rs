//! Reading the file, and telling people about every mistake in it at once.
//!
//! Serde stops at the first mistake. So a mistake is noted, the entry it sits in is taken out of the parsed
//! document, and the rest is tried again, until it fits or nothing can be taken out.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Config;
use super::advice::advise;
use super::check::{check, locate};
use crate::digest::sha256;

/// A configuration larger than this is no configuration.
const MAX_BYTES: u64 = 1 << 20;
/// After so many mistakes the rest is not looked for.
const MAX_MISTAKES: usize = 50;

/// A configuration with its identity.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What it says.
    pub config: Config,
    /// `sha256:…` over the file's bytes.
    pub digest: String,
    /// The file; empty where it was never one.
    pub file: ConfigFile,
}

/// A configuration as it was written: what tells where in it something stands.
#[derive(Clone, Default)]
pub struct ConfigFile {
    path: PathBuf,
    text: String,
}

impl ConfigFile {
    /// What is wrong with entries, though it shows only once a model is open. An entry is named by the keys that lead to
    /// it, and by numbers of entries in lists.
    #[must_use]
    pub fn mistakes(&self, entries: impl IntoIterator<Item = (Vec<String>, String)>) -> ConfigError {
        let (document, _) = DeTable::parse_recoverable(&self.text);
        let place = |entry: &[String]| {
            let keys: Vec<&str> = entry.iter().map(String::as_str).collect();
            locate(document.get_ref(), &keys)
        };
        let found = entries.into_iter().map(|(entry, message)| (place(&entry), message)).collect();
        ConfigError::Mistakes { path: self.path.clone(), mistakes: in_order(&self.text, found) }
    }
}

impl ConfigFile {
    /// What is allowed in the configuration that this file is, and yet hardly meant.
    #[must_use]
    pub fn advice(&self, config: &Config) -> Vec<Mistake> {
        let (document, _) = DeTable::parse_recoverable(&self.text);
        let mut found = Vec::new();
        advise(config, &mut |entry, message| found.push((locate(document.get_ref(), entry), message)));
        in_order(&self.text, found)
    }
}

impl fmt::Debug for ConfigFile {
    /// Without the text, in which a camera's URL may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigFile").field("path", &self.path).finish_non_exhaustive()
    }
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// Why there is no configuration.
#[derive(Debug)]
pub enum ConfigError {
    /// The file can't be read.
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// It can be read, but not used.
    Mistakes {
        /// Which file.
        path: PathBuf,
        /// All that is wrong, in the order of the file. Never empty.
        mistakes: Vec<Mistake>,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, reason } => {
                write!(f, "the configuration {} can't be read: {reason}", path.display())
            }
            Self::Mistakes { path, mistakes } => {
                for (i, m) in mistakes.iter().enumerate() {
                    let end = if i + 1 < mistakes.len() { "\n" } else { "" };
                    let (line, column) = (m.line, m.column);
                    write!(f, "{}:{line}:{column}: {}{end}", path.display(), m.message)?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for ConfigError {}

/// Reads and checks a configuration file.
///
/// # Errors
/// With every mistake that was found, each with its line.
pub fn load(path: &Path) -> Result<Loaded, ConfigError> {
    let unreadable = |reason: String| ConfigError::Unreadable { path: path.to_owned(), reason };
    let meta = std::fs::metadata(path).map_err(|e| unreadable(e.to_string()))?;
    if !meta.is_file() {
        return Err(unreadable("it is not a file".to_owned()));
    }
    if meta.len() > MAX_BYTES {
        return Err(unreadable(format!("it has {} bytes, over the limit of {MAX_BYTES}", meta.len())));
    }
    let bytes = std::fs::read(path).map_err(|e| unreadable(e.to_string()))?;
    let text = String::from_utf8(bytes)
        .map_err(|e| unreadable(format!("byte {} is not UTF-8 text", e.utf8_error().valid_up_to())))?;
    let config = parse(&text).map_err(|mistakes| ConfigError::Mistakes { path: path.to_owned(), mistakes })?;
    Ok(Loaded { config, digest: digest(&text), file: ConfigFile { path: path.to_owned(), text } })
}

/// `sha256:…` of a configuration's text.
pub(crate) fn digest(text: &str) -> String {
    format!("sha256:{}", sha256(text))
}

/// Checks a configuration's text.
///
/// # Errors
/// Every mistake found, in the order of the text.
pub fn parse(text: &str) -> Result<Config, Vec<Mistake>> {
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut found: Vec<(usize, String)> =
        errors.iter().map(|e| (e.span().map_or(0, |s| s.start), e.message().to_owned())).collect();
    let broken = !found.is_empty();
    let document = root.clone();
    let config = shape(root, &mut found);
    // Where whole entries could not be read, what refers to them would be blamed for nothing.
    if let (Some(config), false) = (&config, broken) {
        let mut further = Vec::new();
        check(config, document.get_ref(), &mut further);
        let lines: Vec<usize> = found.iter().map(|(at, _)| line(text, *at)).collect();
        // An entry that doesn't fit was left out of what is checked.
        found.extend(further.into_iter().filter(|(at, _)| !lines.contains(&line(text, *at))));
    }
    match config {
        Some(config) if found.is_empty() => Ok(config),
        _ => Err(in_order(text, found)),
    }
}

fn in_order(text: &str, mut found: Vec<(usize, String)>) -> Vec<Mistake> {
    found.sort();
    found.dedup();
    found.into_iter().map(|(at, message)| mistake(text, at, message)).collect()
}

/// Fits the document to the structs, noting what doesn't fit.
fn shape(mut root: Spanned<DeTable<'_>>, found: &mut Vec<(usize, String)>) -> Option<Config> {
    let mut lost = Vec::new();
    // What refers to a table that was taken out as a whole would be blamed for nothing.
    let mut whole = true;
    while found.len() < MAX_MISTAKES {
        let error = match Config::deserialize(toml::de::Deserializer::from(root.clone())) {
            Ok(config) => return whole.then_some(config),
            Err(error) => error,
        };
        let span = error.span().unwrap_or(0..0);
        let missing = error.message().starts_with("missing field");
        // What is missing from a table that lost an entry was likely the misspelt one.
        if !missing || !lost.contains(&span) {
            found.push((span.start, friendly(error.message())));
        }
        whole &= !missing;
        lost.push(remove(root.get_mut(), &(0..0), &span)?);
    }
    None
}

/// Takes the innermost entry whose key or value spans `span` out of the table, and says where the table is that lost it.
/// `at` is where `table` is.
fn remove(table: &mut DeTable<'_>, at: &Range<usize>, span: &Range<usize>) -> Option<Range<usize>> {
    let inside = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    let mut hit = None;
    for (key, value) in table.iter_mut() {
        if key.span() == *span || value.span() == *span {
            hit = Some(key.clone());
            break;
        }
        // A table's own span covers its header only, so every table is searched.
        let own = value.span();
        let within = match value.get_mut() {
            DeValue::Table(inner) => remove(inner, &own, span),
            DeValue::Array(list) => list.iter_mut().find_map(|entry| {
                let own = entry.span();
                match entry.get_mut() {
                    DeValue::Table(inner) => remove(inner, &own, span),
                    _ => None,
                }
            }),
            _ => None,
        };
        if within.is_some() {
            return within;
        }
        if inside(value.span()) {
            hit = Some(key.clone());
            break;
        }
    }
    table.remove(&hit?).map(|_| at.clone())
}

/// Serde's wording, with the nearest valid key in front of the long list, and without the names of Rust's types.
fn friendly(message: &str) -> String {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let Some((wrong, valid)) = quoted.split_first() else {
        return without_types(message);
    };
    let (what, kind) = if message.starts_with("unknown field") {
        ("unknown key", "keys")
    } else if message.starts_with("unknown variant") {
        ("unknown value", "values")
    } else if message.starts_with("missing field") {
        return format!("the key `{wrong}` is missing here");
    } else {
        return without_types(message);
    };
    let list = valid.join("`, `");
    match nearest(wrong, valid) {
        Some(near) => format!("{what} `{wrong}`: did you mean `{near}`? Valid {kind} here: `{list}`"),
        None => format!("{what} `{wrong}`. Valid {kind} here: `{list}`"),
    }
}

/// `invalid type: string "x", expected u8` in words that people use who don't write Rust.
fn without_types(message: &str) -> String {
    const WORDS: [(&str, &str); 12] = [
        ("u8", "a whole number from 0 to 255"),
        ("u32", "a whole number, 0 or more"),
        ("u64", "a whole number, 0 or more"),
        ("usize", "a whole number, 0 or more"),
        ("f32", "a number"),
        ("f64", "a number"),
        ("a sequence", "a list in brackets"),
        ("a boolean", "`true` or `false`"),
        ("a string", "text in quotes"),
        ("path string", "a path in quotes"),
        ("a map", "a table"),
        ("socket address", "address and port in quotes, like \"127.0.0.1:8642\""),
    ];
    let Some((found, expected)) = message.rsplit_once(", expected ") else {
        return message.to_owned();
    };
    let wanted = if expected.starts_with("struct ") {
        "a table"
    } else {
        WORDS.iter().find(|(rust, _)| *rust == expected).map_or(expected, |(_, words)| words)
    };
    match found.strip_prefix("invalid type: ").or_else(|| found.strip_prefix("invalid value: ")) {
        Some(value) => format!("this is {value}, and should be {wanted}"),
        None => format!("{found}, and should be {wanted}"),
    }
}

/// The candidate most like `wrong`, if any is alike at all.
pub(crate) fn nearest<'a>(wrong: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let likeness = |c: &str| strsim::jaro_winkler(&wrong.to_lowercase(), c);
    candidates.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b))).filter(|best| likeness(best) > 0.7)
}

fn mistake(text: &str, at: usize, message: String) -> Mistake {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |i| i + 1);
    Mistake { line: line(text, at), column: before.get(line_start..).unwrap_or_default().chars().count() + 1, message }
}

/// The line, from 1, that a byte is in.
fn line(text: &str, at: usize) -> usize {
    text.get(..at).unwrap_or(text).matches('\n').count() + 1
}
