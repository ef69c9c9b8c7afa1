//! What may leave the site, and what is made unrecognisable before.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Global, Hours, Name};

/// What may leave the site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PrivacyConfig {
    /// Folder of the audit log; `audit` beside the outbox by default.
    pub audit: Option<PathBuf>,
    /// MiB that the audit log may take, at least 1; beyond that its oldest file goes, which is noted in it.
    pub audit_mib: u64,
    /// Folder of frames that stay; `withheld` beside the outbox by default.
    pub withheld: Option<PathBuf>,
    /// MiB that they may take; beyond that the oldest goes. 0 keeps none.
    pub withheld_mib: u64,
    /// What finds persons.
    pub persons: Option<FinderConfig>,
    /// What finds faces.
    pub faces: Option<FinderConfig>,
    /// Parts of pictures that are always made unrecognisable.
    pub masks: Vec<MaskConfig>,
    /// What may leave for the store of evidence. The first rule that fits a frame decides; where none fits, the frame
    /// stays.
    pub store: Vec<RuleConfig>,
    /// What of the insights may leave; all of it for a directory, and nothing for a store elsewhere, by default.
    pub global: Option<Vec<Global>>,
    /// What may leave for the MQTT broker. Without rules everything does; with any, the first that fits a message decides,
    /// and where none fits, nothing leaves.
    pub mqtt: Vec<MessageRuleConfig>,
    /// What may leave for the IoT hub, likewise.
    pub iothub: Vec<MessageRuleConfig>,
}

impl Default for PrivacyConfig {
    fn default() -> Self {
        Self {
            audit: None,
            audit_mib: 256,
            withheld: None,
            withheld_mib: 512,
            persons: None,
            faces: None,
            masks: Vec::new(),
            store: Vec::new(),
            global: None,
            mqtt: Vec::new(),
            iothub: Vec::new(),
        }
    }
}

/// A model that finds what must not be recognised.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FinderConfig {
    /// A model package (directory) or a bare `.onnx` file.
    pub path: PathBuf,
    /// What a bare `.onnx` file needs to know: `ocellus model profiles` lists them.
    pub profile: Option<String>,
    /// Labels of a bare `.onnx` file, one a line.
    pub names: Option<PathBuf>,
    /// Labels that count; `person` among those of a model for persons, all of a model for faces, by default.
    pub labels: Option<Vec<String>>,
    /// Lowest score, 0..=1; by default 0.05 for persons and 0.3 for faces: low, since one that is missed is worse than one
    /// too many.
    pub score: Option<f32>,
    /// Besides the whole picture, n x n overlapping parts of it are searched, so that small ones are found: 1 for none, at
    /// most 8; by default 3 for persons and 2 for faces.
    pub tiles: Option<u32>,
    /// By how much of its size a box is made larger on each side, 0..=1.
    #[serde(default = "default_margin")]
    pub margin: f32,
}

/// A part of a camera's picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MaskConfig {
    /// The camera.
    pub camera: Name,
    /// Its corners, `[x, y]` as fractions of the frame, at least three.
    pub points: Vec<[f64; 2]>,
}

/// What may leave, of which frames.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// Its name in the audit log.
    pub name: Name,
    /// The cameras that it holds for; all by default.
    pub cameras: Option<Vec<Name>>,
    /// It holds for frames in which something is in one of these zones; for all by default.
    pub zones: Option<Vec<Name>>,
    /// When it holds, by the time of capture: `"22:00-06:00"`, `"mon-fri 06:00-18:00"`; always by default.
    #[serde(default)]
    pub hours: Vec<Hours>,
    /// What may leave.
    pub allow: Allow,
    /// Whether it leaves only once somebody asks for it (`ocellus withheld release`).
    #[serde(default)]
    pub on_request: bool,
    /// What is made unrecognisable before.
    #[serde(default)]
    pub redact: Vec<Redact>,
    /// How it is made unrecognisable.
    #[serde(default)]
    pub method: Method,
}

/// What may leave by MQTT, of which messages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MessageRuleConfig {
    /// Its name in the audit log.
    pub name: Name,
    /// The messages that it holds for; all by default.
    pub messages: Option<Vec<MessageKind>>,
    /// The cameras that it holds for; all by default.
    pub cameras: Option<Vec<Name>>,
    /// It holds for messages about something in one of these zones; for all by default.
    pub zones: Option<Vec<Name>>,
    /// When it holds, by the time of capture: `"22:00-06:00"`, `"mon-fri 06:00-18:00"`; always by default.
    #[serde(default)]
    pub hours: Vec<Hours>,
    /// What may leave.
    pub allow: MessageAllow,
}

/// Messages that say what a camera saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MessageKind {
    /// What was seen in each frame.
    Detections,
    /// What happened.
    Events,
    /// Running counts.
    Counts,
}

/// What of a message may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MessageAllow {
    /// All of it.
    All,
    /// What was seen and when, not where: boxes are the whole frame, and there is no embedding.
    Labels,
    /// Nothing.
    Nothing,
}

/// What of a frame may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Allow {
    /// The whole picture, with its record.
    Frame,
    /// The part of the picture with the objects that it was kept for, with its record.
    Crop,
    /// The record alone.
    Metadata,
    /// Nothing.
    Nothing,
}

/// What is made unrecognisable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Redact {
    /// Persons, by the model under `[privacy.persons]`.
    Persons,
    /// Faces, by the model under `[privacy.faces]`.
    Faces,
    /// The camera's `[[privacy.masks]]`.
    Masks,
}

/// How something is made unrecognisable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Black.
    #[default]
    Fill,
    /// Squares, eight along the longer side.
    Pixelate,
    /// A blur of a sixth of the longer side. The weakest of the three.
    Blur,
}

fn default_margin() -> f32 {
    0.1
}
