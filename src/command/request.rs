//! Commands as types, and how they are read from a name and a value.

use serde_json::Value;

use super::refusal::Refusal;
use crate::config::nearest;

/// Names longer than this are cut in messages: they come from anybody.
const SHOWN: usize = 40;
/// All commands, by the names that they have in topics, direct methods and twins.
const NAMES: [&str; 8] = ["enabled", "score", "fps", "motion", "snapshot", "reset", "reload", "diagnose"];

/// What is asked, and of which camera.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The camera's name, where it is about one.
    pub camera: Option<String>,
    /// What is asked.
    pub command: Command,
}

/// What may be asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Command {
    /// Changes a setting of a camera. The answer is the setting's state (`crate::status::SettingState`): its value in
    /// force, what the configuration says, since when.
    Set(Setting),
    /// Keeps a camera's current frame as evidence. The answer is `{"id": "<ULID>"}`, the evidence's.
    Snapshot,
    /// Begins counting anew: one camera's counts, or all.
    Reset,
    /// Reads the configuration again. The answer lists the cameras `added`, `changed` and `removed`.
    Reload,
    /// Tells how the node is: versions, states, statistics, settings in force, troubles.
    Diagnose,
}

/// A setting with its value; none takes back what was commanded, so that the configuration's value counts again.
///
/// What was set stays set over restarts, until it is taken back or that key of the configuration is edited.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Setting {
    /// Whether the camera is on. One that is off has its source closed.
    Enabled(Option<bool>),
    /// Lowest score of a detection, 0..=1.
    Score(Option<f32>),
    /// Most frames a second that are scored; above 0.
    Fps(Option<f32>),
    /// Levels of 255 by which a part of the picture must change before frames are scored; 0 scores every frame.
    Motion(Option<f32>),
}

impl Setting {
    /// Its name, as in topics and in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Enabled(_) => "enabled",
            Self::Score(_) => "score",
            Self::Fps(_) => "fps",
            Self::Motion(_) => "motion",
        }
    }
}

impl Command {
    /// Its name, as in topics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Set(setting) => setting.name(),
            Self::Snapshot => "snapshot",
            Self::Reset => "reset",
            Self::Reload => "reload",
            Self::Diagnose => "diagnose",
        }
    }
}

impl Request {
    /// Reads a command from its name and value, as MQTT topics, direct methods and twins give them. `null` takes a
    /// setting back to what the configuration says; commands that are no settings take any value.
    ///
    /// # Errors
    /// When there is no such command, it takes a camera and none is given or the other way round, or it can't have
    /// this value. Whether the camera exists is for whoever carries it out.
    pub fn named(camera: Option<&str>, name: &str, value: &Value) -> Result<Self, Refusal> {
        let command = match name {
            "enabled" => Command::Set(Setting::Enabled(switch(value)?)),
            "score" => Command::Set(Setting::Score(number(name, value, 0.0, 1.0)?)),
            "fps" => Command::Set(Setting::Fps(above_zero(number(name, value, 0.0, 1000.0)?)?)),
            "motion" => Command::Set(Setting::Motion(motion(value)?)),
            "snapshot" => Command::Snapshot,
            "reset" => Command::Reset,
            "reload" => Command::Reload,
            "diagnose" => Command::Diagnose,
            other => return Err(unknown(other)),
        };
        match (command, camera) {
            (Command::Set(_) | Command::Snapshot, None) => {
                Err(Refusal::unknown_camera(format!("`{name}` is for a camera: say which")))
            }
            (Command::Reload | Command::Diagnose, Some(_)) => {
                Err(Refusal::unknown_setting(format!("`{name}` is for the node, not for a camera")))
            }
            _ => Ok(Self { camera: camera.map(str::to_owned), command }),
        }
    }
}

fn unknown(name: &str) -> Refusal {
    let shown: String = name.chars().take(SHOWN).collect();
    Refusal::unknown_setting(match nearest(&shown, &NAMES) {
        Some(near) => format!("there is no command `{shown}`: did you mean `{near}`?"),
        None => format!("there is no command `{shown}`: there are `{}`", NAMES.join("`, `")),
    })
}

fn switch(value: &Value) -> Result<Option<bool>, Refusal> {
    match value {
        Value::Null => Ok(None),
        Value::Bool(on) => Ok(Some(*on)),
        Value::String(text) if text.eq_ignore_ascii_case("on") => Ok(Some(true)),
        Value::String(text) if text.eq_ignore_ascii_case("off") => Ok(Some(false)),
        _ => Err(Refusal::bad_value("`enabled` is true or false; null for what the configuration says")),
    }
}

#[allow(clippy::cast_possible_truncation)]
fn number(name: &str, value: &Value, least: f64, most: f64) -> Result<Option<f32>, Refusal> {
    if value.is_null() {
        return Ok(None);
    }
    match value.as_f64() {
        Some(v) if (least..=most).contains(&v) => Ok(Some(v as f32)),
        _ => Err(Refusal::bad_value(format!(
            "`{name}` is a number from {least} to {most}; null for what the configuration says"
        ))),
    }
}

fn above_zero(fps: Option<f32>) -> Result<Option<f32>, Refusal> {
    match fps {
        Some(fps) if fps <= 0.0 => {
            Err(Refusal::bad_value("`fps` is above 0; to have no frames scored set `enabled` to false"))
        }
        other => Ok(other),
    }
}

fn motion(value: &Value) -> Result<Option<f32>, Refusal> {
    match number("motion", value, 0.0, 255.0)? {
        Some(level) if level > 0.0 && level < 0.5 => {
            Err(Refusal::bad_value("`motion` is from 0.5 to 255 levels, or 0 to score every frame"))
        }
        other => Ok(other),
    }
}
