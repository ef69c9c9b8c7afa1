//! Which cameras this machine has, for people who set them up.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::choose::{Mode, Rates, choose, code, understood};
use super::controls::{Control, Kind};
use super::{device, said};
use crate::camera::capture::{Capture, CaptureFormat};

/// Where the system keeps names that stay the same: of a camera, and of a place where one is plugged in. The latter are
/// for cameras without a number of their own.
const STABLE: [&str; 2] = ["/dev/v4l/by-id", "/dev/v4l/by-path"];

/// A camera at this machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Found {
    /// What `source` says to take this camera, by a name that stays the same where there is one.
    pub source: String,
    /// Its device.
    pub device: PathBuf,
    /// What its driver calls it.
    pub name: String,
    /// Its driver.
    pub driver: String,
    /// Where it is plugged in.
    pub bus: String,
    /// What it gives, as far as it says.
    pub modes: Vec<FoundMode>,
    /// What is taken where the configuration leaves it open.
    pub usual: Option<FoundMode>,
    /// What can be set.
    pub controls: Vec<FoundControl>,
    /// Why it can't be used, or not all of it be listed.
    pub problem: Option<String>,
}

/// One thing that a camera can give.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FoundMode {
    /// What `format` says to have it; absent where it is not understood.
    pub format: Option<CaptureFormat>,
    /// The driver's code for it.
    pub code: String,
    /// Pixels across and down.
    pub size: [u32; 2],
    /// Pictures a second, highest first; of a range its ends. Empty where the driver doesn't say.
    pub fps: Vec<f64>,
}

/// A control.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FoundControl {
    /// What it is called under `controls`.
    pub name: String,
    /// `number`, `flag` or `menu`.
    pub kind: &'static str,
    /// Lowest number; absent where only the driver knows it, as are the next two then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub least: Option<i64>,
    /// Highest number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most: Option<i64>,
    /// What it is set to by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<i64>,
    /// The choices of a menu.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
}

/// The cameras at this machine, in the order of their devices.
#[must_use]
pub fn found() -> Vec<Found> {
    let [cameras, places] = STABLE.map(|folder| stable(Path::new(folder)));
    let stable = places.into_iter().chain(cameras).collect();
    let mut devices: Vec<(u32, PathBuf)> = fs::read_dir("/dev")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let number = entry.file_name().to_str()?.strip_prefix("video")?.parse().ok()?;
            Some((number, entry.path()))
        })
        .collect();
    devices.sort();
    devices.into_iter().filter_map(|(number, path)| look(number, &path, &stable)).collect()
}

/// Names that stay the same, by the device that they lead to.
fn stable(folder: &Path) -> BTreeMap<PathBuf, PathBuf> {
    let links = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    links.filter_map(|link| Some((fs::canonicalize(link.path()).ok()?, link.path()))).collect()
}

/// Looks at one device; `None` where it gives no pictures at all.
fn look(number: u32, path: &Path, stable: &BTreeMap<PathBuf, PathBuf>) -> Option<Found> {
    let shown = stable.get(path).map_or(path, PathBuf::as_path).display();
    let mut found = Found {
        source: format!("v4l:{shown}"),
        device: path.to_owned(),
        name: kernel_name(number),
        driver: String::new(),
        bus: String::new(),
        modes: Vec::new(),
        usual: None,
        controls: Vec::new(),
        problem: None,
    };
    match describe(&mut found, path) {
        Ok(true) => Some(found),
        Ok(false) => None,
        Err(problem) => Some(Found { problem: Some(problem), ..found }),
    }
}

/// The name that the kernel knows without the device being opened.
fn kernel_name(number: u32) -> String {
    let name = fs::read_to_string(format!("/sys/class/video4linux/video{number}/name"));
    name.map_or_else(|_| String::new(), |name| name.trim().to_owned())
}

fn describe(found: &mut Found, path: &Path) -> Result<bool, String> {
    let Some((device, identity)) = device::identify(path).map_err(|error| said(&error))? else { return Ok(false) };
    (found.name, found.driver, found.bus) = (identity.name, identity.driver, identity.bus);
    let modes = device::modes(&device, None).map_err(|error| said(&error))?;
    found.modes = modes.iter().map(mode).collect();
    match choose(&modes, &Capture::default()) {
        Ok(choice) => {
            let rates = choice.interval.map_or(Rates::Unknown, |interval| Rates::Some(vec![interval]));
            found.usual = Some(mode(&Mode { fourcc: choice.fourcc, size: choice.size, rates }));
        }
        Err(problem) => found.problem = Some(problem),
    }
    let controls = device::list_controls(&device).map_err(|error| format!("its controls can't be listed: {error}"))?;
    found.controls = controls.into_iter().filter_map(control).collect();
    Ok(true)
}

fn mode(mode: &Mode) -> FoundMode {
    let fps = match &mode.rates {
        Rates::Some(intervals) => intervals.iter().map(|interval| interval.fps()).collect(),
        Rates::Range(least, most) => vec![*most, *least],
        Rates::Unknown => Vec::new(),
    };
    FoundMode {
        format: understood(mode.fourcc).map(|(format, _)| format),
        code: code(mode),
        size: mode.size,
        fps: sorted(fps),
    }
}

/// Highest first, to a hundredth, each once.
fn sorted(mut fps: Vec<f64>) -> Vec<f64> {
    fps.iter_mut().for_each(|fps| *fps = (*fps * 100.0).round() / 100.0);
    fps.sort_by(|a, b| b.total_cmp(a));
    fps.dedup();
    fps
}

fn control(control: Control) -> Option<FoundControl> {
    let limited = control.kind != Kind::Unlimited;
    let (kind, choices) = match control.kind {
        Kind::Number | Kind::Unlimited => ("number", Vec::new()),
        Kind::Flag => ("flag", Vec::new()),
        Kind::Menu(choices) => ("menu", choices.into_iter().map(|(_, choice)| choice).collect()),
        Kind::Other => return None,
    };
    let Control { name, fixed, .. } = control;
    let [least, most, default] = [control.least, control.most, control.default].map(|number| limited.then_some(number));
    (!fixed).then_some(FoundControl { name, kind, least, most, default, choices })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_name_that_stays_the_same_is_found_by_its_device() {
        let dir = tempfile::tempdir().unwrap();
        let device = dir.path().canonicalize().unwrap().join("video7");
        fs::write(&device, b"").unwrap();
        let links = dir.path().join("by-id");
        fs::create_dir(&links).unwrap();
        symlink("../video7", links.join("usb-camera-video-index0")).unwrap();
        symlink("../video8", links.join("usb-gone-video-index0")).unwrap();
        let stable = stable(&links);
        assert_eq!(stable.len(), 1);
        assert!(stable[&device].ends_with("by-id/usb-camera-video-index0"));
        assert!(super::stable(Path::new("/nowhere")).is_empty());
    }

    #[test]
    fn rates_are_shown_highest_first() {
        assert_eq!(sorted(vec![5.0, 29.970_03, 30.0, 29.97]), [30.0, 29.97, 5.0]);
    }
}
