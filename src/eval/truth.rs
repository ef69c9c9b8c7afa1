//! Reads annotations in COCO's format: `images`, `categories`, `annotations`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

/// The largest file of annotations: COCO's own training set takes 450 MB.
const MAX_BYTES: u64 = 1 << 30;
/// Boxes of a larger area, in square pixels, are neither to be found nor to be missed: COCO's range "all" ends here.
const MAX_AREA: f64 = 1e10;

/// Why annotations can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TruthError {
    /// The file can't be read.
    #[error("the annotations {} can't be read: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is too large.
    #[error("the annotations {} have more than {} MiB", .path.display(), MAX_BYTES >> 20)]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The content makes no sense.
    #[error("{} holds no usable COCO annotations: {reason}", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// A picture that was annotated.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TruthImage {
    /// What annotations call it.
    pub id: i64,
    /// Its file, relative to the folder of pictures.
    pub file_name: String,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

/// A kind of object.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Category {
    id: i64,
    pub(super) name: String,
}

/// A box to be found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TruthBox {
    /// Left, top, width, height in pixels.
    pub(super) bbox: [f64; 4],
    /// A group drawn as one box: any number of detections may lie in it.
    pub(super) crowd: bool,
    /// Whether it is neither to be found nor to be missed.
    pub(super) ignored: bool,
}

#[derive(Deserialize)]
struct Document {
    images: Vec<TruthImage>,
    categories: Vec<Category>,
    annotations: Vec<Annotation>,
}

#[derive(Deserialize)]
struct Annotation {
    #[serde(default)]
    id: Option<i64>,
    image_id: i64,
    category_id: i64,
    bbox: [f64; 4],
    #[serde(default)]
    area: Option<f64>,
    #[serde(default)]
    iscrowd: u8,
}

/// Pictures and what is to be found in them.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    images: Vec<TruthImage>,
    categories: Vec<Category>,
    /// By picture's id and category's index, in the order of the file.
    boxes: BTreeMap<(i64, usize), Vec<TruthBox>>,
    ids: BTreeSet<i64>,
}

impl Truth {
    /// Reads a file.
    ///
    /// # Errors
    /// When it can't be read, or makes no sense.
    pub fn load(path: &Path) -> Result<Self, TruthError> {
        let failed = |source| TruthError::Read { path: path.to_owned(), source };
        let mut bytes = Vec::new();
        File::open(path).map_err(failed)?.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(TruthError::TooLarge { path: path.to_owned() });
        }
        Self::parse(&bytes).map_err(|reason| TruthError::Content { path: path.to_owned(), reason })
    }

    /// Reads JSON. Annotations of pictures and categories that are not listed are left aside.
    ///
    /// # Errors
    /// What is wrong, without the file's name.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let document: Document = serde_json::from_slice(json).map_err(|e| e.to_string())?;
        let ids: BTreeSet<i64> = document.images.iter().map(|image| image.id).collect();
        if ids.is_empty() {
            return Err("it lists no images".to_owned());
        }
        if ids.len() < document.images.len() {
            return Err("two images have the same id".to_owned());
        }
        for image in &document.images {
            check_file_name(&image.file_name)?;
        }
        let mut index = BTreeMap::new();
        for (i, category) in document.categories.iter().enumerate() {
            if index.insert(category.id, i).is_some() {
                return Err(format!("two categories have the id {}", category.id));
            }
        }
        let mut boxes: BTreeMap<_, Vec<TruthBox>> = BTreeMap::new();
        for annotation in document.annotations {
            let found = annotation.checked()?;
            if let Some(category) = index.get(&annotation.category_id).filter(|_| ids.contains(&annotation.image_id)) {
                boxes.entry((annotation.image_id, *category)).or_default().push(found);
            }
        }
        Ok(Self { images: document.images, categories: document.categories, boxes, ids })
    }

    /// The pictures, in the order of the file.
    #[must_use]
    pub fn images(&self) -> &[TruthImage] {
        &self.images
    }

    pub(super) fn categories(&self) -> &[Category] {
        &self.categories
    }

    /// The pictures' ids, in ascending order.
    pub(super) fn ids(&self) -> impl Iterator<Item = i64> + '_ {
        self.ids.iter().copied()
    }

    /// What is to be found of a category in a picture.
    pub(super) fn boxes(&self, image: i64, category: usize) -> &[TruthBox] {
        self.boxes.get(&(image, category)).map_or(&[], Vec::as_slice)
    }

    /// Whether anything of a category is to be found.
    pub(super) fn has_boxes(&self, category: usize) -> bool {
        self.boxes.iter().any(|((_, c), boxes)| *c == category && boxes.iter().any(|b| !b.ignored))
    }
}

impl Annotation {
    fn checked(&self) -> Result<TruthBox, String> {
        let [_, _, w, h] = self.bbox;
        if self.bbox.iter().any(|v| !v.is_finite()) || w < 0.0 || h < 0.0 {
            let id = self.id.map_or_else(String::new, |id| format!(" {id}"));
            return Err(format!(
                "annotation{id} has the bbox {:?}; it takes left, top, width and height in pixels",
                self.bbox
            ));
        }
        let crowd = self.iscrowd != 0;
        let area = self.area.unwrap_or(w * h);
        Ok(TruthBox { bbox: self.bbox, crowd, ignored: crowd || !(0.0..=MAX_AREA).contains(&area) })
    }
}

/// File names come from outside: they must not lead out of the folder of pictures.
fn check_file_name(name: &str) -> Result<(), String> {
    let plain = |c: Component<'_>| matches!(c, Component::Normal(_) | Component::CurDir);
    if !name.is_empty() && Path::new(name).components().all(plain) {
        Ok(())
    } else {
        Err(format!("the image file name {name:?} is not a relative path inside the folder of images"))
    }
}
