//! What people say of a kept frame: what comes in, and the message that is kept of it (`ocellus.verdict/1`).

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};

use super::review::ReviewError;
use crate::detection::{ModelRef, Rect, microseconds};
use crate::digest::hexadecimal;

/// The `schema` field of [`Verdict`].
pub const VERDICT_SCHEMA: &str = "ocellus.verdict/1";
/// Bytes that a verdict may have when it comes in.
pub const MAX_VERDICT: usize = 64 * 1024;
/// Characters of a label.
pub const MAX_LABEL: usize = 128;
/// Objects of a correction.
const MAX_OBJECTS: usize = 1000;
/// Characters of a verdict's id, and of a reviewer's name.
const MAX_NAME: usize = 64;
/// How far a box may reach over the picture's edge: the rounding of whoever drew it.
const EDGE: f32 = 1e-3;
/// The least width and height of a box.
const THIN: f32 = 1e-4;

/// What somebody says of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Judgement {
    /// What the model saw is all there is, and each where it is.
    Right,
    /// It is not, and nobody has said what there is.
    Wrong,
    /// It is not, and the objects are what there is; none where there is nothing.
    Corrected,
}

impl Judgement {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Right, Self::Wrong, Self::Corrected];

    /// The word that messages have for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Wrong => "wrong",
            Self::Corrected => "corrected",
        }
    }
}

/// An object as somebody marked it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Marked {
    /// What it is.
    pub label: String,
    /// Where, as fractions of the frame.
    #[serde(rename = "box")]
    pub rect: Rect,
}

/// A verdict as it comes in.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Said {
    /// The frame's id, where nothing else says it.
    pub frame: Option<String>,
    /// Made by who says it, so that saying it again is the same verdict; one is made where there is none.
    pub id: Option<String>,
    /// What is said.
    pub verdict: Judgement,
    /// What there is, for [`Judgement::Corrected`].
    pub objects: Option<Vec<Marked>>,
    /// Who says it.
    pub by: Option<String>,
    /// The verdict that counted when this was made, or null for none: where another has come meanwhile, this is refused.
    #[serde(default, deserialize_with = "given")]
    pub replaces: Option<Option<String>>,
}

/// Tells null from nothing.
fn given<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(value).map(Some)
}

/// Where a verdict came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// The HTTP API.
    Http,
    /// A command.
    Command,
}

/// What somebody said of a kept frame, as it is kept and stored beside the frame. It is never changed: who says something
/// else makes another, which counts from then on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// Always [`VERDICT_SCHEMA`].
    pub schema: String,
    /// Its id, made by who said it or here.
    pub id: String,
    /// The evidence's id.
    pub frame: String,
    /// The site, as configured.
    pub site: String,
    /// The node that took it.
    pub node: String,
    /// The camera.
    pub camera: String,
    /// When the frame was captured.
    #[serde(serialize_with = "microseconds")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub captured_at: DateTime<Utc>,
    /// The model that it is about.
    pub model: ModelRef,
    /// What was said.
    pub verdict: Judgement,
    /// What there is, where it was corrected; empty where there is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<Vec<Marked>>,
    /// Who said it; a hash, or absent, where names do not leave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When it came in.
    #[serde(serialize_with = "microseconds")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: DateTime<Utc>,
    /// By which way it came in.
    pub via: Via,
    /// Its number among those on the frame, from 1: the highest counts.
    pub revision: u32,
    /// The verdict that counted before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
}

impl Said {
    /// Reads one.
    ///
    /// # Errors
    /// When it is too large, no JSON, or something else.
    pub fn read(json: &[u8]) -> Result<Self, ReviewError> {
        if json.len() > MAX_VERDICT {
            return Err(ReviewError::TooLarge { bytes: json.len() });
        }
        let said = serde_json::from_slice(json);
        said.map_err(|error| ReviewError::Unreadable(format!("the verdict can't be read: {error}")))
    }

    /// With everything as it is kept: boxes inside the frame.
    ///
    /// # Errors
    /// When something in it can't be.
    pub(super) fn checked(mut self) -> Result<Self, ReviewError> {
        let wrong = |reason: String| Err(ReviewError::Invalid(reason));
        if let Some(id) = self.id.as_deref().filter(|id| !is_id(id)) {
            let shown: String = id.chars().take(MAX_NAME).collect();
            return wrong(format!("{shown:?} can't be an id: take 1 to {MAX_NAME} letters, digits, `-` and `_`"));
        }
        match (self.verdict, &self.objects) {
            (Judgement::Corrected, None) => {
                return wrong("`corrected` needs `objects`: what there is, or an empty list for nothing".to_owned());
            }
            (Judgement::Right | Judgement::Wrong, Some(_)) => {
                return wrong(format!("`{}` takes no `objects`: say `corrected` with them", self.verdict.name()));
            }
            _ => {}
        }
        let objects = self.objects.iter().flatten().count();
        if objects > MAX_OBJECTS {
            return wrong(format!("{objects} objects are too many: a frame has at most {MAX_OBJECTS}"));
        }
        for (i, object) in self.objects.iter_mut().flatten().enumerate() {
            object.rect = inside(object.rect).ok_or_else(|| {
                let Rect { x, y, w, h } = object.rect;
                ReviewError::Invalid(format!(
                    "the box [{x}, {y}, {w}, {h}] of object {} lies outside the picture or is empty: boxes are [left, \
                     top, width, height] as fractions of the frame, from 0 to 1",
                    i + 1
                ))
            })?;
        }
        self.by = self.by.as_deref().map(person).transpose()?;
        Ok(self)
    }

    /// Whether a verdict that is kept says the same.
    pub(super) fn is(&self, verdict: &Verdict) -> bool {
        (self.verdict, &self.objects, &self.by) == (verdict.verdict, &verdict.objects, &verdict.by)
    }
}

fn is_id(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (1..=MAX_NAME).contains(&text.len()) && text.chars().all(fits)
}

/// A reviewer's name, as it is kept.
fn person(text: &str) -> Result<String, ReviewError> {
    let name = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let fits = |c: char| c.is_alphanumeric() || " -_.,'@+".contains(c);
    if (1..=MAX_NAME).contains(&name.chars().count()) && name.chars().all(fits) {
        return Ok(name);
    }
    Err(ReviewError::Invalid(format!(
        "`by` is who says it, in 1 to {MAX_NAME} letters, digits, spaces and any of - _ . , ' @ +"
    )))
}

/// A box with what reaches over the edge by rounding cut off; none where it is not in the frame.
fn inside(Rect { x, y, w, h }: Rect) -> Option<Rect> {
    let span = |start: f32, size: f32| {
        let end = start + size;
        let fits = start >= -EDGE && end <= 1.0 + EDGE && size >= THIN;
        fits.then(|| (start.clamp(0.0, 1.0), end.clamp(0.0, 1.0) - start.clamp(0.0, 1.0)))
    };
    let ((x, w), (y, h)) = (span(x, w)?, span(y, h)?);
    // As it is written, so that the same verdict is the same when it is read again.
    (w >= THIN && h >= THIN).then(|| <[f32; 4]>::from(Rect { x, y, w, h }).into())
}

/// What the store gets of a reviewer's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Naming {
    /// The name.
    Keep,
    /// A hash with this salt, which stays on the node.
    Hash(Vec<u8>),
    /// Nothing.
    Drop,
}

impl Verdict {
    /// What its file has in the store.
    ///
    /// # Errors
    /// When it can't be written as JSON.
    pub fn json(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(self)
    }

    /// As it may leave.
    #[must_use]
    pub fn named(&self, naming: &Naming) -> Self {
        let by = self.by.as_ref().and_then(|name| match naming {
            Naming::Keep => Some(name.clone()),
            Naming::Hash(salt) => {
                let digest = Sha256::new().chain_update(salt).chain_update([0]).chain_update(name).finalize();
                let (half, _) = digest.split_at(16);
                Some(format!("hash:{}", hexadecimal(half)))
            }
            Naming::Drop => None,
        });
        Self { by, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(json: &str) -> Result<Said, String> {
        Said::read(json.as_bytes()).and_then(Said::checked).map_err(|error| error.to_string())
    }

    #[test]
    fn verdicts_are_read_from_what_people_send() {
        let said = checked(r#"{"verdict": "right"}"#).unwrap();
        assert_eq!((said.verdict, said.by, said.replaces), (Judgement::Right, None, None));
        let said = checked(r#"{"verdict":"wrong","by":"  Änne  O'Neil ","replaces":null,"id":"a-1_B"}"#).unwrap();
        assert_eq!((said.by.as_deref(), said.replaces), (Some("Änne O'Neil"), Some(None)));
        let said =
            r#"{"verdict":"corrected","objects":[{"label":"bolt","box":[-0.0005,0.5,0.5,0.5004]}],"replaces":"x"}"#;
        let said = checked(said).unwrap();
        let Rect { x, y, w, h } = said.objects.unwrap()[0].rect;
        assert!(x == 0.0 && y == 0.5 && (w - 0.4995).abs() < 1e-6 && (h - 0.5).abs() < 1e-6, "{x} {y} {w} {h}");
        assert_eq!(said.replaces, Some(Some("x".to_owned())));
        assert!(checked(r#"{"verdict":"corrected","objects":[]}"#).unwrap().objects.unwrap().is_empty());
    }

    #[test]
    fn what_can_not_be_is_refused_with_what_can() {
        let with_box = |rect: &str| format!(r#"{{"verdict":"corrected","objects":[{{"label":"a","box":{rect}}}]}}"#);
        let many = format!(
            r#"{{"verdict":"corrected","objects":[{}]}}"#,
            [r#"{"label":"a","box":[0,0,1,1]}"#; 1001].join(",")
        );
        let cases = [
            ("{".to_owned(), "the verdict can't be read"),
            (r#"{"verdict":"good"}"#.to_owned(), "expected one of `right`, `wrong`, `corrected`"),
            (r#"{"verdict":"right","colour":1}"#.to_owned(), "unknown field `colour`"),
            (r#"{"by":"a"}"#.to_owned(), "missing field `verdict`"),
            (r#"{"verdict":"corrected"}"#.to_owned(), "`corrected` needs `objects`"),
            (r#"{"verdict":"wrong","objects":[]}"#.to_owned(), "`wrong` takes no `objects`: say `corrected`"),
            (r#"{"verdict":"right","id":"../x"}"#.to_owned(), "can't be an id"),
            (format!(r#"{{"verdict":"right","id":"{}"}}"#, "x".repeat(65)), "can't be an id"),
            (r#"{"verdict":"right","by":"  "}"#.to_owned(), "`by` is who says it"),
            (r#"{"verdict":"right","by":"a\u0000b"}"#.to_owned(), "`by` is who says it"),
            (r#"{"verdict":"right","by":"a\u202eb"}"#.to_owned(), "`by` is who says it"),
            (r#"{"verdict":"right","by":"<b>"}"#.to_owned(), "`by` is who says it"),
            (format!(r#"{{"verdict":"right","by":"{}"}}"#, "x".repeat(65)), "`by` is who says it"),
            (with_box("[0.5,0,0.6,1]"), "[0.5, 0, 0.6, 1] of object 1 lies outside the picture"),
            (with_box("[-0.1,0,0.5,1]"), "lies outside the picture"),
            (with_box("[0,0,0,1]"), "or is empty"),
            (with_box("[0,0,-1,1]"), "or is empty"),
            (with_box("[0,0,1e300,1]"), "lies outside the picture"),
            (with_box("[1,0,0.0005,1]"), "or is empty"),
            (with_box("[320,180,40,40]"), "fractions of the frame"),
            (with_box("[0,0,1]"), "can't be read"),
            (many, "1001 objects are too many"),
        ];
        for (json, wanted) in cases {
            let said = checked(&json).expect_err(&json);
            assert!(said.contains(wanted), "{said}");
        }
        let large = format!(r#"{{"verdict":"right","by":"{}"}}"#, " ".repeat(MAX_VERDICT));
        assert!(matches!(Said::read(large.as_bytes()), Err(ReviewError::TooLarge { .. })));
    }
}
