//! A kept frame as it is stored: a JPEG and its record (`ocellus.evidence/1`).

use bytes::Bytes;
use chrono::NaiveDate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::reason::Reason;
use super::select::Pick;
use crate::config::{Allow, Method};
use crate::detection::{Detections, Rect};
use crate::digest::sha256;
use crate::frame::Image;
use crate::model::preprocess::to_rgb8;

/// The `schema` field of [`Record`].
pub const SCHEMA: &str = "ocellus.evidence/1";
/// JPEG quality: artefacts stay far below what a detector would learn.
const QUALITY: u8 = 90;

/// What the `.json` beside a picture says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// A ULID, made once when the frame was picked. Both files are named after it.
    pub id: String,
    /// Why the frame was kept.
    pub reason: Reason,
    /// What it is worth, 0..=1: where there is no room, the lowest goes first.
    pub value: f32,
    /// What was seen in it, as published: pre-labels, and the digests of model and configuration.
    pub detections: Detections,
    /// The picture; none where only this record may leave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Picture>,
    /// What the policy let go, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub privacy: Option<Handled>,
}

/// What a policy let go of a frame, and what was done to it before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Handling {
    /// The rule that decided.
    pub rule: String,
    /// What of the frame it let go.
    pub allow: Allow,
    /// How parts were made unrecognisable, where any had to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    /// What was made unrecognisable.
    pub found: Found,
}

/// What was found in a picture and made unrecognisable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Found {
    /// Boxes of persons; one person may have several.
    pub persons: u32,
    /// Boxes of faces.
    pub faces: u32,
    /// Fixed parts of the picture.
    pub masks: u32,
}

/// A [`Handling`] with its place in the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Handled {
    /// What was done.
    #[serde(flatten)]
    pub handling: Handling,
    /// The hash of its entry in the node's audit log.
    pub audit: String,
}

/// The picture that a [`Record`] is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Picture {
    /// Its file name, in the same folder.
    pub file: String,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Size of the file.
    pub bytes: u64,
    /// Which part of the frame it is, where it is not all of it. Boxes of detections are fractions of the frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crop: Option<Rect>,
}

/// A kept frame, ready to be stored. Cloning shares the bytes.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// A ULID: the name of both files.
    pub id: String,
    /// The site, as configured.
    pub site: String,
    /// The camera, as configured.
    pub camera: String,
    /// The day of capture, UTC.
    pub day: NaiveDate,
    /// The picture; none where only the record may leave.
    pub jpeg: Option<Bytes>,
    /// The [`Record`].
    pub json: Bytes,
}

/// A picture as it is stored.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// The file.
    pub jpeg: Bytes,
    /// Pixels across and down.
    pub size: (u32, u32),
    /// Which part of the frame it is, where it is not all of it.
    pub crop: Option<Rect>,
}

impl Encoded {
    /// Compresses a picture. Takes milliseconds to tens of them.
    ///
    /// # Errors
    /// Why it can't be a JPEG.
    pub fn of(image: &Image) -> Result<Self, String> {
        Ok(Self { jpeg: jpeg(image)?.into(), size: (image.width(), image.height()), crop: None })
    }

    /// SHA-256 of the file, in hexadecimal.
    #[must_use]
    pub fn sha256(&self) -> String {
        sha256(&self.jpeg)
    }
}

/// Why a frame can't be written down.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// The picture can't be compressed.
    #[error("camera {camera}: the frame can't be written as JPEG: {reason}")]
    Jpeg {
        /// Which.
        camera: String,
        /// Why.
        reason: String,
    },
    /// The record can't be written.
    #[error("camera {camera}: the record can't be written as JSON: {source}")]
    Json {
        /// Which.
        camera: String,
        /// Why.
        source: serde_json::Error,
    },
}

impl Evidence {
    /// Compresses the picture, unless the camera did so itself, and writes the record. Takes milliseconds to tens of
    /// them.
    ///
    /// # Errors
    /// When picture or record can't be written.
    pub fn encode(id: &str, pick: &Pick) -> Result<Self, EvidenceError> {
        let image = &pick.scored.frame.image;
        let encoded = match image.jpeg() {
            Some(original) => Encoded { jpeg: original.clone(), size: (image.width(), image.height()), crop: None },
            None => Encoded::of(image).map_err(|reason| {
                let camera = pick.scored.detections.camera.clone();
                EvidenceError::Jpeg { camera, reason }
            })?,
        };
        Self::assemble(id, pick, Some(encoded), None)
    }

    /// Writes the record to a picture that is fit to be kept, or to none.
    ///
    /// # Errors
    /// When the record can't be written.
    pub fn assemble(
        id: &str,
        pick: &Pick,
        picture: Option<Encoded>,
        privacy: Option<Handled>,
    ) -> Result<Self, EvidenceError> {
        let mut detections = Detections::clone(&pick.scored.detections);
        // It describes the whole picture as the model saw it.
        if privacy
            .as_ref()
            .is_some_and(|handled| handled.handling.allow != Allow::Frame || handled.handling.method.is_some())
        {
            detections.embedding = None;
        }
        let image = picture.as_ref().map(|picture| Picture {
            file: format!("{id}.jpg"),
            sha256: picture.sha256(),
            width: picture.size.0,
            height: picture.size.1,
            bytes: picture.jpeg.len() as u64,
            crop: picture.crop,
        });
        let (site, camera) = (detections.site.clone(), detections.camera.clone());
        let day = detections.frame.captured_at.date_naive();
        let record = Record {
            schema: SCHEMA.to_owned(),
            id: id.to_owned(),
            reason: pick.reason.clone(),
            value: pick.value,
            detections,
            image,
            privacy,
        };
        let json = serde_json::to_vec(&record)
            .map_err(|source| EvidenceError::Json { camera: camera.clone(), source })?
            .into();
        Ok(Self { id: id.to_owned(), site, camera, day, jpeg: picture.map(|picture| picture.jpeg), json })
    }
}

fn jpeg(image: &Image) -> Result<Vec<u8>, String> {
    let rgb = to_rgb8(image);
    let side = |pixels: u32| u16::try_from(pixels).map_err(|error| error.to_string());
    let (width, height) = (side(rgb.width())?, side(rgb.height())?);
    let mut bytes = Vec::new();
    jpeg_encoder::Encoder::new(&mut bytes, QUALITY)
        .encode(rgb.pixels(), width, height, jpeg_encoder::ColorType::Rgb)
        .map_err(|error| error.to_string())?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::select::tests::scored;
    use crate::frame::{Frame, PixelFormat};

    fn pick(image: Image) -> Pick {
        let mut scored = scored(7, &[("bolt", 0.45, [0.1, 0.2, 0.3, 0.4])]);
        scored.frame = Frame { image, ..scored.frame };
        Pick { reason: Reason::Band { label: "bolt".to_owned(), score: 0.45 }, value: 1.0, scored }
    }

    #[test]
    fn the_record_describes_the_picture() {
        let grey = vec![128; PixelFormat::Nv12.bytes(65, 33)];
        let image = Image::new(65, 33, PixelFormat::Nv12, grey.into()).expect("a picture");
        let evidence = Evidence::encode("01ID", &pick(image)).expect("encoded");

        let jpeg = evidence.jpeg.expect("a picture");
        let decoded = image::load_from_memory(&jpeg).expect("a JPEG").to_rgb8();
        assert_eq!(decoded.dimensions(), (65, 33));
        for pixel in decoded.pixels() {
            assert!(pixel.0.iter().all(|value| value.abs_diff(130) <= 3), "{pixel:?}");
        }

        let json: serde_json::Value = serde_json::from_slice(&evidence.json).expect("JSON");
        assert_eq!(json["schema"], "ocellus.evidence/1");
        assert_eq!(json["id"], "01ID");
        assert_eq!(json["reason"]["kind"], "band");
        assert_eq!(json["reason"]["label"], "bolt");
        assert!((json["reason"]["score"].as_f64().expect("a number") - 0.45).abs() < 1e-6);
        assert_eq!(json["value"], 1.0);
        assert_eq!(json["detections"]["model"]["digest"], "sha256:0");
        assert_eq!(json["detections"]["config"], "sha256:1");
        assert_eq!(json["detections"]["schema"], "ocellus.detections/1");
        assert_eq!(json["detections"]["objects"][0]["label"], "bolt");
        assert_eq!(json["image"]["file"], "01ID.jpg");
        assert_eq!(json["image"]["bytes"], jpeg.len());
        assert_eq!(json["image"]["width"], 65);
        assert_eq!(json["image"]["height"], 33);
        assert_eq!(json["image"]["sha256"], sha256(&jpeg));
        assert!(json["image"].get("crop").is_none() && json.get("privacy").is_none(), "{json}");
        let record: Record = serde_json::from_slice(&evidence.json).expect("reads back");
        assert_eq!(record.detections.frame.seq, 7);
    }

    #[test]
    fn what_the_camera_compressed_is_kept_as_it_is() {
        let image = Image::new(2, 2, PixelFormat::Rgb8, vec![1; 12].into()).expect("a picture");
        let original = Bytes::from_static(b"the camera's own");
        let evidence = Evidence::encode("01ID", &pick(image.with_jpeg(original.clone()))).expect("encoded");
        assert_eq!(evidence.jpeg, Some(original.clone()));
        let record: Record = serde_json::from_slice(&evidence.json).expect("reads back");
        let picture = record.image.expect("a picture");
        assert_eq!((picture.bytes, picture.sha256), (16, sha256(&original)));
    }
}
