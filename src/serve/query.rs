//! What addresses say behind their question mark.

use url::form_urlencoded;

use super::error::{Refused, shown};
use crate::config::Name;

/// What may be said.
const KEYS: [&str; 5] = ["model", "version", "score", "camera", "camera_id"];
/// The camera where nothing is said.
const CAMERA: &str = "request";

/// What is asked for besides.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Query {
    pub(super) model: Option<String>,
    pub(super) version: Option<String>,
    /// Lowest score of a detection.
    pub(super) score: Option<f32>,
    /// Whose picture it is, for the answer to say so.
    pub(super) camera: Name,
}

impl Query {
    pub(super) fn read(text: &str) -> Result<Self, Refused> {
        let mut query = Self { model: None, version: None, score: None, camera: Name::near(CAMERA) };
        for (key, value) in form_urlencoded::parse(text.as_bytes()) {
            match &*key {
                "model" => query.model = Some(value.into_owned()),
                "version" => query.version = Some(value.into_owned()),
                "score" => {
                    let score = value.parse().ok().filter(|score| (0.0..=1.0).contains(score));
                    let wrong = || Refused::bad(format!("`score` is a number from 0 to 1, not {}", shown(&value)));
                    query.score = Some(score.ok_or_else(wrong)?);
                }
                "camera" | "camera_id" => {
                    query.camera = Name::new(&value).map_err(|error| Refused::bad(format!("`camera`: {error}")))?;
                }
                other => {
                    let known = KEYS.map(|key| format!("`{key}`")).join(", ");
                    return Err(Refused::bad(format!("there is no parameter {}; there is {known}", shown(other))));
                }
            }
        }
        Ok(query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_or_named() {
        let query = Query::read("model=parts&version=sha256%3A12&score=0.25&camera=line-3").expect("good");
        assert_eq!((query.model.as_deref(), query.version.as_deref()), (Some("parts"), Some("sha256:12")));
        assert_eq!((query.score, &*query.camera), (Some(0.25), "line-3"));
        assert_eq!(&*Query::read("").expect("nothing is asked for").camera, "request");
        for wrong in ["score=2", "score=NaN", "score=", "camera=a%2Fb", "camera=", "scor=1", "=", "%ff"] {
            assert_eq!(Query::read(wrong).expect_err(wrong).status, 400);
        }
    }
}
