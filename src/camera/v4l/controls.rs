//! Setting a device's controls by name.
//!
//! `exposure` (microseconds), `gain` and `focus` mean the same for every camera and take `"auto"` too; a number switches
//! the camera's own automatism off first. Any other control goes by its own name, as `ocellus cameras` shows it.

use std::cmp::Reverse;

use linuxvideo::controls::Cid;

use super::super::capture::{ControlValue, Controls};
use crate::config::nearest;

/// Choices of `EXPOSURE_AUTO`: what USB cameras call automatic, and what the others do.
const EXPOSURE_AUTOMATIC: [i64; 2] = [3, 0];
const EXPOSURE_MANUAL: i64 = 1;
/// The unit of `EXPOSURE_ABSOLUTE`, in microseconds.
const EXPOSURE_UNIT: f64 = 100.0;

/// What kind of value a control takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    /// A number between limits that only the driver knows.
    Unlimited,
    Flag,
    /// The choices by number.
    Menu(Vec<(i64, String)>),
    /// Something that can't be set from a configuration.
    Other,
}

/// A control that a device has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Control {
    pub id: Cid,
    /// In lower case, with `_` for all that is no letter or digit.
    pub name: String,
    pub kind: Kind,
    pub least: i64,
    pub most: i64,
    pub default: i64,
    /// It can be read only.
    pub fixed: bool,
}

/// The name that a control goes by: `Exposure Time, Absolute` is `exposure_time_absolute`.
pub(super) fn plain(name: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("_")
}

/// A control to set, with the number that the driver wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Setting<'a> {
    pub control: &'a Control,
    pub value: i64,
}

/// What to set, in this order: what switches automatisms comes before what they would overrule.
pub(super) fn plan<'a>(known: &'a [Control], wanted: &Controls) -> Result<Vec<Setting<'a>>, String> {
    let mut settings = Vec::new();
    for (name, value) in wanted {
        match common(known, name, value)? {
            Some(both) => settings.extend(both),
            None => settings.push(one(by_name(known, name)?, value)?),
        }
    }
    settings.sort_by_key(|setting| Reverse(!matches!(setting.control.kind, Kind::Number | Kind::Unlimited)));
    Ok(settings)
}

/// One of the names that mean the same for every camera; `None` where this is none, or the device has no such control.
fn common<'a>(known: &'a [Control], name: &str, value: &ControlValue) -> Result<Option<Vec<Setting<'a>>>, String> {
    let find = |id: Cid| known.iter().find(|control| control.id == id);
    let (automatism, absolute) = match name {
        "exposure" => (find(Cid::EXPOSURE_AUTO), find(Cid::EXPOSURE_ABSOLUTE)),
        "gain" => (find(Cid::AUTOGAIN), find(Cid::GAIN)),
        "focus" => (find(Cid::FOCUS_AUTO), find(Cid::FOCUS_ABSOLUTE)),
        _ => return Ok(None),
    };
    if *value == ControlValue::Text("auto".to_owned()) {
        let Some(control) = automatism else { return Err(format!("it has no automatic {name}")) };
        return Ok(Some(vec![Setting { control, value: switch(control, true) }]));
    }
    let Some(control) = absolute else { return Ok(None) };
    let mut settings: Vec<_> =
        automatism.map(|control| Setting { control, value: switch(control, false) }).into_iter().collect();
    settings.push(match (name, value) {
        ("exposure", ControlValue::Number(micros)) => exposure(control, *micros)?,
        _ => one(control, value)?,
    });
    Ok(Some(settings))
}

/// What switches an automatism on or off.
fn switch(control: &Control, on: bool) -> i64 {
    match &control.kind {
        Kind::Menu(choices) if on => {
            let has = |value: &i64| choices.iter().any(|(choice, _)| choice == value);
            EXPOSURE_AUTOMATIC.into_iter().find(has).unwrap_or_default()
        }
        Kind::Menu(_) => EXPOSURE_MANUAL,
        _ => i64::from(on),
    }
}

fn exposure<'a>(control: &'a Control, micros: f64) -> Result<Setting<'a>, String> {
    let value = whole((micros / EXPOSURE_UNIT).round());
    match value.filter(|value| (control.least..=control.most).contains(value)) {
        Some(value) => Ok(Setting { control, value }),
        None => {
            let (least, most) = (control.least.saturating_mul(100), control.most.saturating_mul(100));
            Err(format!("its exposure is from {least} to {most} µs, not {micros}"))
        }
    }
}

fn by_name<'a>(known: &'a [Control], name: &str) -> Result<&'a Control, String> {
    if let Some(control) = known.iter().find(|control| control.name == name) {
        return Ok(control);
    }
    let settable = |control: &&Control| !control.fixed && control.kind != Kind::Other;
    let names: Vec<&str> = known.iter().filter(settable).map(|control| control.name.as_str()).collect();
    Err(match nearest(name, &names) {
        Some(near) => format!("it has no control `{name}`: did you mean `{near}`?"),
        None if names.is_empty() => format!("it has no control `{name}`, nor any other"),
        None => format!("it has no control `{name}` (it has {})", names.join(", ")),
    })
}

/// One control and its value.
fn one<'a>(control: &'a Control, value: &ControlValue) -> Result<Setting<'a>, String> {
    let Control { name, kind, least, most, .. } = control;
    if control.fixed || *kind == Kind::Other {
        return Err(format!("its control `{name}` can't be set"));
    }
    let inside = |value: &i64| (*least..=*most).contains(value);
    let number = match (kind, value) {
        (Kind::Flag, ControlValue::Flag(flag)) => Some(i64::from(*flag)),
        (Kind::Flag, ControlValue::Number(number)) => whole(*number).filter(|n| [0, 1].contains(n)),
        (Kind::Number | Kind::Unlimited, ControlValue::Number(number)) => whole(*number).filter(inside),
        (Kind::Menu(choices), ControlValue::Number(number)) => {
            whole(*number).filter(|n| choices.iter().any(|(choice, _)| choice == n))
        }
        (Kind::Menu(choices), ControlValue::Text(text)) => {
            choices.iter().find(|(_, choice)| choice.eq_ignore_ascii_case(text)).map(|(number, _)| *number)
        }
        _ => None,
    };
    number.map(|value| Setting { control, value }).ok_or_else(|| {
        let takes = takes(control);
        format!("its control `{name}` can't be {value}: it is {takes}")
    })
}

/// What a control can be, for people.
pub(super) fn takes(control: &Control) -> String {
    match &control.kind {
        Kind::Number => format!("{} to {}", control.least, control.most),
        Kind::Unlimited => "a whole number".to_owned(),
        Kind::Flag => "true or false".to_owned(),
        Kind::Menu(choices) => choices.iter().map(|(_, choice)| format!("\"{choice}\"")).collect::<Vec<_>>().join(", "),
        Kind::Other => "not settable".to_owned(),
    }
}

/// The number where it is whole and not too large for a driver.
#[allow(clippy::cast_possible_truncation)]
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
}

#[cfg(test)]
mod tests;
