//! What a camera at this machine, or a machine-vision one, is asked to give: format, size, rate, and its controls.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::de::{Deserialize, Deserializer, Visitor};
use serde::{Deserialize as DeserializeDerive, Serialize};

use super::genicam::Trigger;

/// A format of pixels that is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, DeserializeDerive, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CaptureFormat {
    /// 4:2:0, Y and then U and V in turns.
    Nv12,
    /// 4:2:2, `Y0 U Y1 V`.
    Yuyv,
    /// Three bytes a pixel.
    Rgb,
    /// A byte of colour a pixel, in one of the four orders.
    Bayer,
    /// A JPEG a picture.
    Mjpg,
    /// A byte of brightness a pixel.
    Grey,
}

impl fmt::Display for CaptureFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nv12 => "nv12",
            Self::Yuyv => "yuyv",
            Self::Rgb => "rgb",
            Self::Bayer => "bayer",
            Self::Grey => "grey",
            Self::Mjpg => "mjpg",
        })
    }
}

/// What a control is set to.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
#[schemars(untagged)]
pub enum ControlValue {
    /// On or off.
    Flag(bool),
    /// A number, in the control's own unit.
    Number(f64),
    /// `auto`, or the name of one of the control's choices.
    Text(String),
}

impl fmt::Display for ControlValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => flag.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => write!(f, "\"{text}\""),
        }
    }
}

impl<'de> Deserialize<'de> for ControlValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ControlVisitor)
    }
}

struct ControlVisitor;

impl Visitor<'_> for ControlVisitor {
    type Value = ControlValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, `true`, `false`, \"auto\" or the name of a choice in quotes")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<ControlValue, E> {
        Ok(ControlValue::Flag(flag))
    }

    #[allow(clippy::cast_precision_loss)]
    fn visit_i64<E>(self, number: i64) -> Result<ControlValue, E> {
        Ok(ControlValue::Number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<ControlValue, E> {
        Ok(ControlValue::Number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<ControlValue, E> {
        Ok(ControlValue::Text(text.to_owned()))
    }
}

/// Controls by name.
pub type Controls = BTreeMap<String, ControlValue>;

/// What a camera at this machine, or a machine-vision one, is asked to give; what is left open is chosen.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Capture {
    /// The format of its pixels.
    pub format: Option<CaptureFormat>,
    /// Pixels across and down.
    pub size: Option<[u32; 2]>,
    /// Pictures a second that are enough.
    pub fps: Option<f32>,
    /// What its controls are set to.
    pub controls: Controls,
    /// What makes a machine-vision camera take a picture.
    pub trigger: Trigger,
}
