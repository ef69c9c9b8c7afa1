//! What people say of kept frames.

use std::collections::BTreeSet;

use super::is_absent;
use crate::config::Config;
use crate::evidence::MAX_LABEL;

/// Most frames that may be held.
const MAX_FRAMES: u32 = 100_000;
/// The largest room for them, MiB: a terabyte.
const MAX_MIB: u64 = 1 << 20;
/// Most reviewers, and most labels of their own.
const MANY: usize = 1000;

pub(super) fn check(config: &Config, wrong: &mut dyn FnMut(&[&str], String)) {
    let review = &config.review;
    let mut said = |key: &str, message: String| wrong(&["review", key], message);
    if !(1..=MAX_FRAMES).contains(&review.frames) {
        said("frames", format!("`frames` is from 1 to {MAX_FRAMES}; to hold none set `enabled` to false"));
    }
    if !(1..=MAX_MIB).contains(&review.mib) {
        said("mib", format!("`mib` is from 1 to {MAX_MIB}"));
    }
    let fits = |label: &String| !label.trim().is_empty() && label.chars().count() <= MAX_LABEL;
    if review.labels.len() > MANY || !review.labels.iter().all(fits) {
        said("labels", format!("there are at most {MANY} `labels`, each of 1 to {MAX_LABEL} characters"));
    }
    if review.people.len() > MANY {
        said("people", format!("there are at most {MANY} reviewers"));
    }
    let mut names = BTreeSet::new();
    for (i, person) in review.people.iter().enumerate() {
        let at = i.to_string();
        let mut wrong = |key: &str, message: String| wrong(&["review", "people", &at, key], message);
        if !names.insert(&person.name) {
            wrong("name", format!("there is another reviewer `{}`: verdicts could not tell them apart", person.name));
        }
        let place = person.token();
        if !place.is_named() || place.is_ambiguous() {
            wrong("name", format!("`{}` needs one of `token_file` and `token_credential`", person.name));
        }
        if let Some(path) = person.token_file.as_deref().filter(|path| is_absent(path)) {
            wrong("token_file", format!("there is no file {}", path.display()));
        }
    }
}
