//! Names of a model's classes.

use std::path::PathBuf;
use std::sync::Arc;

use super::PackageError;
use super::files::read_text;

/// Most classes of a model.
const MAX_LABELS: usize = 65_536;
/// The longest name of a class, in characters.
const MAX_LENGTH: usize = 200;

/// The lists that come with Ocellus. `coco91` is by COCO's own category numbers, with `N/A` where there is none.
const BUILTIN: [(&str, &str); 4] = [
    ("coco80", include_str!("../labels/coco80.txt")),
    ("coco91", include_str!("../labels/coco91.txt")),
    ("imagenet", include_str!("../labels/imagenet.txt")),
    ("face", "face"),
];

/// The names of the lists that come with Ocellus, for people.
pub(super) fn builtin_list() -> String {
    BUILTIN.map(|(name, _)| format!("builtin:{name}")).join(", ")
}

/// Names of a model's classes, by index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    names: Arc<[Arc<str>]>,
    named: bool,
}

impl Labels {
    /// `class 0`, `class 1`, …: for a model that nobody has named the classes of.
    #[must_use]
    pub fn numbered(classes: usize) -> Self {
        let names = (0..classes).map(|class| Arc::from(format!("class {class}"))).collect();
        Self { names, named: false }
    }

    /// One name a line. Space around a name does not count, nor do empty lines at the end.
    ///
    /// # Errors
    /// Why this is no list of labels, without the file's name.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim_end();
        if text.is_empty() {
            return Err("it has no labels; it takes one a line".to_owned());
        }
        let names: Vec<Arc<str>> = text.lines().map(|line| Arc::from(line.trim())).collect();
        if names.len() > MAX_LABELS {
            return Err(format!("it has {} labels; at most {MAX_LABELS} are taken", names.len()));
        }
        for (line, name) in names.iter().enumerate() {
            let fault = if name.is_empty() {
                "is empty, which would shift the names of the classes behind it"
            } else if name.chars().count() > MAX_LENGTH {
                "is longer than 200 characters"
            } else if name.chars().any(char::is_control) {
                "has control characters"
            } else {
                continue;
            };
            return Err(format!("line {} {fault}", line + 1));
        }
        Ok(Self { names: names.into(), named: true })
    }

    /// The list that comes with Ocellus under this name.
    pub(super) fn builtin(name: &str) -> Option<Self> {
        let (_, text) = BUILTIN.iter().find(|(known, _)| *known == name)?;
        Self::parse(text).ok()
    }

    /// The name of a class; `class 123` where the list is too short.
    #[must_use]
    pub fn name(&self, class: usize) -> Arc<str> {
        self.names.get(class).cloned().unwrap_or_else(|| Arc::from(format!("class {class}")))
    }

    /// All names, by class.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<str>> {
        self.names.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Whether these are real names, not numbers.
    #[must_use]
    pub fn named(&self) -> bool {
        self.named
    }
}

/// A file of labels, read once: what is hashed is what is used.
#[derive(Debug, Clone)]
pub(super) struct LabelFile {
    pub path: PathBuf,
    pub text: String,
    pub labels: Labels,
}

impl LabelFile {
    pub(super) fn read(path: PathBuf) -> Result<Self, PackageError> {
        let text = read_text(&path)?;
        match Labels::parse(&text) {
            Ok(labels) => Ok(Self { path, text, labels }),
            Err(reason) => Err(PackageError::Labels { path, reason }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::preprocess::tests::Random;

    #[test]
    fn one_name_a_line_whatever_the_line_ends() {
        let labels = Labels::parse("\u{feff} bolt \r\nhex nut\r\n\r\n").unwrap();
        assert_eq!(labels.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["bolt", "hex nut"]);
        assert!(labels.named());
        assert_eq!(&*labels.name(7), "class 7");
    }

    #[test]
    fn what_is_no_list_is_refused_with_the_line() {
        for (text, reason) in [
            ("", "no labels"),
            (" \n\n", "no labels"),
            ("a\n\nb", "line 2 is empty"),
            ("a\nb\u{1b}[31m", "line 2 has control"),
            (&"x".repeat(201), "line 1 is longer"),
            (&"x\n".repeat(70_000), "70000 labels"),
        ] {
            let error = Labels::parse(text).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn the_coco_list_is_complete() {
        let labels = Labels::builtin("coco80").unwrap();
        assert_eq!(labels.len(), 80);
        assert_eq!((&*labels.name(0), &*labels.name(79)), ("person", "toothbrush"));
    }

    #[test]
    fn the_other_lists_are_by_their_numbers() {
        let coco = Labels::builtin("coco91").unwrap();
        let by_number = [(0, "N/A"), (1, "person"), (12, "N/A"), (13, "stop sign"), (90, "toothbrush")];
        assert!(by_number.iter().all(|(class, name)| &*coco.name(*class) == *name), "{coco:?}");
        let known: Vec<&str> = coco.iter().map(AsRef::as_ref).filter(|name| *name != "N/A").collect();
        let dense = Labels::builtin("coco80").unwrap();
        assert_eq!(known, dense.iter().map(AsRef::as_ref).collect::<Vec<&str>>());
        let imagenet = Labels::builtin("imagenet").unwrap();
        assert_eq!((coco.len(), imagenet.len()), (91, 1000));
        let by_number = [(0, "tench"), (130, "flamingo"), (272, "coyote"), (862, "torch"), (999, "toilet tissue")];
        assert!(by_number.iter().all(|(class, name)| &*imagenet.name(*class) == *name), "{imagenet:?}");
        assert!(builtin_list().contains("builtin:imagenet"));
    }

    #[test]
    fn nobody_s_classes_are_numbered() {
        let labels = Labels::numbered(2);
        assert_eq!((&*labels.name(1), labels.named(), labels.len()), ("class 1", false, 2));
    }

    #[test]
    fn any_text_is_a_sound_list_or_refused() {
        let mut random = Random(13);
        let parts =
            ["a", "bolt", " ", "\n", "\n\n", "\r\n", "\t", "\u{feff}", "\u{0}", "é", "\u{202e}", "\u{85}", "\u{2028}"];
        for _ in 0..5000 {
            let text: String =
                (0..random.below(12)).map(|_| parts[random.below(parts.len() as u32) as usize]).collect();
            match Labels::parse(&text) {
                Ok(labels) => {
                    assert!(!labels.is_empty() && labels.len() <= 1 + text.matches('\n').count(), "{text:?}");
                    assert!(labels.iter().all(|l| !l.is_empty() && !l.contains(char::is_control)), "{text:?}");
                }
                Err(reason) => assert!(!reason.is_empty()),
            }
        }
    }
}
