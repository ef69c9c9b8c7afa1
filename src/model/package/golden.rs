//! A package's golden set: pictures in `golden/`, and beside each, in a file of the same name with `.json`, what the
//! model must find in it.
//!
//! ```json
//! {"objects": [{"label": "gear", "score": 0.97, "box": [0.73, 0.22, 0.12, 0.23]}]}
//! ```
//!
//! `box` is left, top, width and height as fractions of the picture; a class that a whole picture shows has none.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Package, PackageError};
use crate::camera::images;
use crate::detection::Rect;
use crate::frame::Image;

/// Where the set lies in a package.
pub const GOLDEN: &str = "golden";
/// Pictures taken of a set; more would only make loading slow.
const MAX_PICTURES: usize = 16;
/// The longest list of what a picture shows, bytes.
const MAX_BYTES: u64 = 1 << 20;

/// A picture, and what must be found in it.
#[derive(Debug, Clone)]
pub struct GoldenPicture {
    /// The picture.
    pub image: Image,
    /// What is in it.
    pub objects: Vec<GoldenObject>,
}

/// Something that must be found.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoldenObject {
    /// Its class.
    pub label: String,
    /// The score that it must have, more or less.
    pub score: f32,
    /// Left, top, width and height, fractions of the picture.
    #[serde(default = "everything")]
    pub r#box: [f32; 4],
}

impl GoldenObject {
    /// Where it is.
    #[must_use]
    pub fn rect(&self) -> Rect {
        let [x, y, w, h] = self.r#box;
        Rect { x, y, w, h }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    objects: Vec<GoldenObject>,
}

fn everything() -> [f32; 4] {
    [0.0, 0.0, 1.0, 1.0]
}

impl Package {
    /// The golden pictures, in the order of their names; none where the package has no set, or is a bare file.
    ///
    /// # Errors
    /// When a list can't be read, or has no picture that can.
    pub fn golden(&self) -> Result<Vec<GoldenPicture>, PackageError> {
        let lists = self.golden_lists()?;
        lists.iter().take(MAX_PICTURES).map(|list| read(list)).collect()
    }

    /// Whether there is a golden set.
    #[must_use]
    pub fn has_golden(&self) -> bool {
        self.golden_lists().is_ok_and(|lists| !lists.is_empty())
    }

    fn golden_lists(&self) -> Result<Vec<PathBuf>, PackageError> {
        let dir = self.path().join(GOLDEN);
        if !dir.is_dir() {
            return Ok(Vec::new());
        }
        let failed = |source| PackageError::Read { path: dir.clone(), source };
        let mut lists = Vec::new();
        for entry in std::fs::read_dir(&dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|e| e == "json") {
                lists.push(path);
            }
        }
        lists.sort();
        Ok(lists)
    }
}

fn read(list: &Path) -> Result<GoldenPicture, PackageError> {
    let wrong = |reason: String| PackageError::Golden { path: list.to_owned(), reason };
    let mut text = String::new();
    let file = File::open(list).map_err(|e| wrong(e.to_string()))?;
    file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(|e| wrong(e.to_string()))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(wrong(format!("it is longer than {MAX_BYTES} bytes")));
    }
    let List { objects } = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
    let picture =
        ["jpg", "jpeg", "png", "bmp", "webp"].map(|e| list.with_extension(e)).into_iter().find(|p| p.is_file());
    let picture = picture.ok_or_else(|| wrong("there is no picture of the same name beside it".to_owned()))?;
    let image = images::read(&picture).map_err(|e| wrong(e.to_string()))?;
    Ok(GoldenPicture { image, objects })
}
