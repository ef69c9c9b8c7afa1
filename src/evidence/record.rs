//! A kept frame as it is stored: a JPEG and its record (`ocellus.evidence/1`).

use bytes::Bytes;
use chrono::NaiveDate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::select::{Pick, Reason};
use crate::detection::Detections;
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
    /// The picture.
    pub image: Picture,
}

/// The picture that a [`Record`] is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// The picture.
    pub jpeg: Bytes,
    /// The [`Record`].
    pub json: Bytes,
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
        let detections = &*pick.scored.detections;
        let image = &pick.scored.frame.image;
        let camera = || detections.camera.clone();
        let jpeg = match image.jpeg() {
            Some(original) => original.clone(),
            None => jpeg(image).map_err(|reason| EvidenceError::Jpeg { camera: camera(), reason })?.into(),
        };
        let record = Record {
            schema: SCHEMA.to_owned(),
            id: id.to_owned(),
            reason: pick.reason.clone(),
            value: pick.value,
            detections: detections.clone(),
            image: Picture {
                file: format!("{id}.jpg"),
                sha256: hexadecimal(&Sha256::digest(&jpeg)),
                width: image.width(),
                height: image.height(),
                bytes: jpeg.len() as u64,
            },
        };
        let json = serde_json::to_vec(&record).map_err(|source| EvidenceError::Json { camera: camera(), source })?;
        Ok(Self {
            id: id.to_owned(),
            site: detections.site.clone(),
            camera: camera(),
            day: detections.frame.captured_at.date_naive(),
            jpeg,
            json: json.into(),
        })
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

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
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

        let decoded = image::load_from_memory(&evidence.jpeg).expect("a JPEG").to_rgb8();
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
        assert_eq!(json["image"]["bytes"], evidence.jpeg.len());
        assert_eq!(json["image"]["width"], 65);
        assert_eq!(json["image"]["height"], 33);
        assert_eq!(json["image"]["sha256"], hexadecimal(&Sha256::digest(&evidence.jpeg)));
        let record: Record = serde_json::from_slice(&evidence.json).expect("reads back");
        assert_eq!(record.detections.frame.seq, 7);
    }

    #[test]
    fn what_the_camera_compressed_is_kept_as_it_is() {
        let image = Image::new(2, 2, PixelFormat::Rgb8, vec![1; 12].into()).expect("a picture");
        let original = Bytes::from_static(b"the camera's own");
        let evidence = Evidence::encode("01ID", &pick(image.with_jpeg(original.clone()))).expect("encoded");
        assert_eq!(evidence.jpeg, original);
        let record: Record = serde_json::from_slice(&evidence.json).expect("reads back");
        assert_eq!((record.image.bytes, record.image.sha256), (16, hexadecimal(&Sha256::digest(&original))));
    }

    #[test]
    fn digests_are_in_hexadecimal() {
        // The SHA-256 of nothing (FIPS 180-4).
        assert_eq!(
            hexadecimal(&Sha256::digest(b"")),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
