//! Commands as types, and how they are read from a name and a value.

use serde_json::Value;

use super::refusal::Refusal;
use crate::config::nearest;

/// Names longer than this are cut in messages: they come from anybody.
const SHOWN: usize = 40;
/// All commands, by the names that they have in topics, direct methods and twins.
const NAMES: [&str; 9] = ["enabled", "score", "fps", "motion", "snapshot", "reset", "verdict", "reload", "diagnose"];
/// The settings of a camera.
pub const SETTINGS: [&str; 4] = ["enabled", "score", "fps", "motion"];

/// What is asked, and of which camera.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The camera's name, where it is about one.
    pub camera: Option<String>,
    /// What is asked.
    pub command: Command,
}

/// What may be asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Changes a setting of a camera. The answer is the setting's state ([`SettingState`](super::SettingState)): its value in
    /// force, what the configuration says, since when.
    Set(Setting),
    /// Keeps a camera's current frame as evidence. The answer is `{"id": "<ULID>"}`, the evidence's.
    Snapshot,
    /// Begins counting anew: one camera's counts, or all.
    Reset,
    /// Takes what somebody says of a kept frame, an object. The answer says under which id it is kept.
    Verdict(Box<Value>),
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

    /// Its value as JSON; none where it is taken back.
    #[must_use]
    pub fn value(self) -> Option<Value> {
        match self {
            Self::Enabled(on) => on.map(Value::Bool),
            Self::Score(v) | Self::Fps(v) | Self::Motion(v) => Some(super::book::number(v)).filter(|v| !v.is_null()),
        }
    }
}

impl Command {
    /// Its name, as in topics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Set(setting) => setting.name(),
            Self::Snapshot => "snapshot",
            Self::Reset => "reset",
            Self::Verdict(_) => "verdict",
            Self::Reload => "reload",
            Self::Diagnose => "diagnose",
        }
    }
}

impl Request {
    /// Reads a command from its name and value, as MQTT topics, direct methods and twins give them. `null`, or the
    /// text `default`, takes a setting back to what the configuration says; commands that are no settings take any value.
    ///
    /// # Errors
    /// When there is no such command, it takes a camera and none is given or the other way round, or it can't have
    /// this value. Whether the camera exists is for whoever carries it out.
    pub fn named(camera: Option<&str>, name: &str, value: &Value) -> Result<Self, Refusal> {
        let of_camera = SETTINGS.contains(&name) || name == "snapshot";
        if of_camera && camera.is_none() {
            return Err(Refusal::unknown_camera(format!("`{name}` is for a camera: say which")));
        }
        if ["reload", "diagnose"].contains(&name) && camera.is_some() {
            return Err(Refusal::unknown_setting(format!("`{name}` is for the node, not for a camera")));
        }
        let command = match name {
            "snapshot" => Command::Snapshot,
            "reset" => Command::Reset,
            "verdict" if value.is_object() => Command::Verdict(Box::new(value.clone())),
            "verdict" => return Err(Refusal::bad_value("a verdict is an object with a `frame` and a `verdict`")),
            "reload" => Command::Reload,
            "diagnose" => Command::Diagnose,
            other => Command::Set(Self::setting(other, value)?.ok_or_else(|| unknown(other))?),
        };
        Ok(Self { camera: camera.map(str::to_owned), command })
    }

    /// Reads a setting from its name and value; none where there is no such setting.
    ///
    /// # Errors
    /// When it can't have this value.
    pub fn setting(name: &str, value: &Value) -> Result<Option<Setting>, Refusal> {
        let value = if value.as_str() == Some("default") { &Value::Null } else { value };
        Ok(Some(match name {
            "enabled" => Setting::Enabled(switch(value)?),
            "score" => Setting::Score(number(name, value, 0.0, 1.0)?),
            "fps" => Setting::Fps(above_zero(number(name, value, 0.0, 1000.0)?)?),
            "motion" => Setting::Motion(motion(value)?),
            _ => return Ok(None),
        }))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::refusal::RefusalKind;
    use super::*;

    fn set(name: &str, value: Value) -> Result<Command, Refusal> {
        Request::named(Some("line"), name, &value).map(|request| request.command)
    }

    #[test]
    fn settings_are_read_from_what_people_send() {
        let good = [
            ("enabled", json!(false), Setting::Enabled(Some(false))),
            ("enabled", json!("ON"), Setting::Enabled(Some(true))),
            ("enabled", json!("off"), Setting::Enabled(Some(false))),
            ("enabled", json!(null), Setting::Enabled(None)),
            ("score", json!(0.4), Setting::Score(Some(0.4))),
            ("score", json!(1), Setting::Score(Some(1.0))),
            ("score", json!("default"), Setting::Score(None)),
            ("fps", json!(2.5), Setting::Fps(Some(2.5))),
            ("motion", json!(0), Setting::Motion(Some(0.0))),
            ("motion", json!(8), Setting::Motion(Some(8.0))),
        ];
        for (name, value, setting) in good {
            assert_eq!(set(name, value.clone()), Ok(Command::Set(setting)), "{name} {value}");
            assert_eq!(Command::Set(setting).name(), name);
            // And back, but for the ways to write it.
            let again = setting.value().map(|value| Request::setting(name, &value));
            assert!(again.is_none_or(|again| again == Ok(Some(setting))), "{name} {value}");
        }
    }

    #[test]
    fn values_that_can_not_be_are_refused_with_what_can() {
        let bad = [
            ("enabled", json!(1)),
            ("enabled", json!("yes")),
            ("enabled", json!({"value": true})),
            ("score", json!(1.01)),
            ("score", json!(-0.1)),
            ("score", json!("0.4")),
            ("score", json!([0.4])),
            ("score", json!(1e300)),
            ("fps", json!(0)),
            ("fps", json!(-3)),
            ("fps", json!(1001)),
            ("motion", json!(0.1)),
            ("motion", json!(256)),
        ];
        for (name, value) in bad {
            let refusal = set(name, value.clone()).expect_err(name);
            assert_eq!(refusal.kind, RefusalKind::BadValue, "{name} {value}");
            assert!(refusal.reason.starts_with(&format!("`{name}` is ")), "{refusal}");
        }
    }

    #[test]
    fn each_command_is_for_a_camera_or_for_the_node() {
        let named = |camera, name| Request::named(camera, name, &Value::Null).map(|request| request.command);
        for name in ["enabled", "score", "fps", "motion", "snapshot"] {
            assert!(named(Some("line"), name).is_ok(), "{name}");
            assert_eq!(named(None, name).expect_err(name).kind, RefusalKind::UnknownCamera);
        }
        for name in ["reload", "diagnose"] {
            assert!(named(None, name).is_ok(), "{name}");
            assert_eq!(named(Some("line"), name).expect_err(name).kind, RefusalKind::UnknownSetting);
        }
        assert_eq!((named(None, "reset"), named(Some("line"), "reset")), (Ok(Command::Reset), Ok(Command::Reset)));
    }

    #[test]
    fn a_verdict_is_an_object_and_about_a_camera_s_frame_or_any() {
        let said = json!({"frame": "01X", "verdict": "right"});
        for camera in [None, Some("line")] {
            let request = Request::named(camera, "verdict", &said).unwrap();
            assert_eq!(request.command, Command::Verdict(Box::new(said.clone())));
            assert_eq!((request.command.name(), request.camera.as_deref()), ("verdict", camera));
        }
        for value in [json!("right"), json!(null), json!([said])] {
            assert_eq!(set("verdict", value).expect_err("no object").kind, RefusalKind::BadValue);
        }
    }

    #[test]
    fn an_unknown_command_is_told_what_was_meant_and_is_not_repeated_at_length() {
        let refusal = |name: &str| Request::named(Some("line"), name, &Value::Null).expect_err(name);
        assert!(refusal("enable").reason.contains("did you mean `enabled`?"));
        assert!(refusal("Snapshot").reason.contains("did you mean `snapshot`?"));
        let long = refusal(&"ä".repeat(60_000));
        assert_eq!(long.kind, RefusalKind::UnknownSetting);
        assert!(long.reason.len() < 300, "{long}");
    }
}
