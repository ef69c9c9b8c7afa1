//! `ocellus cameras`: which cameras there are, and what they give.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{Failure, print};
use crate::camera::genicam::{self, GenicamCamera};
use crate::camera::onvif::{self, Login, NetworkCamera, Profile};
use crate::camera::v4l::{self, Found, FoundControl, FoundMode};
use crate::secret;

#[derive(Debug, Args)]
pub(super) struct Cameras {
    /// One JSON array for programs
    #[arg(long)]
    json: bool,
    /// Look for network cameras (ONVIF) instead of those at this machine
    #[arg(long)]
    discover: bool,
    /// How long network cameras may take to answer, in seconds
    #[arg(long, value_name = "S", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60), requires = "discover")]
    timeout: u64,
    /// The user that network cameras know
    #[arg(long, value_name = "NAME", requires = "discover", requires = "password_file")]
    username: Option<String>,
    /// File that holds the user's password
    #[arg(long, value_name = "FILE", requires = "username")]
    password_file: Option<PathBuf>,
}

impl Cameras {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let (json, lines, none) = if self.discover {
            let found = self.discovered()?;
            (serde_json::to_string_pretty(&found)?, found.iter().flat_map(network_lines).collect(), NOBODY)
        } else {
            let (local, vision) = (v4l::found(), machine_vision());
            let entries = local.iter().map(serde_json::to_value).chain(vision.iter().map(serde_json::to_value));
            let json = serde_json::to_string_pretty(&entries.collect::<Result<Vec<_>, _>>()?)?;
            let lines = local.iter().flat_map(lines).chain(vision.iter().flat_map(vision_lines));
            (json, lines.collect::<Vec<_>>(), NOTHING)
        };
        if self.json {
            return print(&json);
        }
        if lines.is_empty() {
            eprintln!("{none}");
        }
        lines.iter().try_for_each(|line| print(line))
    }

    fn discovered(&self) -> Result<Vec<NetworkCamera>, Failure> {
        let login = match (&self.username, &self.password_file) {
            (Some(username), Some(path)) => {
                let password = secret::of_file(path)
                    .map_err(|error| Failure::new(format!("the password {} can't be read: {error}", path.display())))?;
                Some(Login { username: username.clone(), password })
            }
            _ => None,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(onvif::discover(Duration::from_secs(self.timeout), login.as_ref()))?)
    }
}

/// The machine-vision cameras that answer. Where they can't be looked for, what the daemon needs for them is said.
fn machine_vision() -> Vec<GenicamCamera> {
    match genicam::found() {
        Ok(Some(found)) => found,
        Ok(None) => {
            eprintln!("{NO_ARAVIS}");
            Vec::new()
        }
        Err(reason) => {
            eprintln!("Machine-vision cameras could not be looked for: {reason}");
            Vec::new()
        }
    }
}

/// A machine-vision camera for people: what the configuration says to take it.
fn vision_lines(camera: &GenicamCamera) -> Vec<String> {
    let GenicamCamera { source, vendor, model, serial, address, protocol, .. } = camera;
    let more: Vec<&str> = [protocol, serial].into_iter().flatten().map(String::as_str).collect();
    let place = address.as_deref().unwrap_or("?");
    vec![format!("{place}  {vendor} {model} ({})", more.join(", ")), format!("  source = \"{source}\"")]
}

/// What is said where machine-vision cameras can't be looked for.
const NO_ARAVIS: &str = "Machine-vision cameras (GigE Vision, USB3 Vision) are left out, since Aravis is not installed: \
    `apt-get install python3-gi gir1.2-aravis-0.8`";
/// What is said where there is no camera.
const NOTHING: &str = "No camera was found (no /dev/video… gives pictures, and no machine-vision camera answers).";
const NOBODY: &str = "No network camera answered (ONVIF over UDP multicast, which firewalls and routers may stop).";

/// A network camera for people: its streams as the configuration takes them.
fn network_lines(camera: &NetworkCamera) -> Vec<String> {
    let NetworkCamera { address, name, hardware, service, profiles, problem } = camera;
    let hardware = if hardware.is_empty() { String::new() } else { format!(" ({hardware})") };
    let mut lines = vec![format!("{address}  {name}{hardware}")];
    if !service.is_empty() {
        lines.push(format!("  device: {service}"));
    }
    if let Some(problem) = problem {
        lines.push(format!("  problem: {problem}"));
    }
    for profile in profiles {
        let Profile { name, encoding, size, fps, source, suggested, .. } = profile;
        let size = size.map_or_else(String::new, |[width, height]| format!(" {width}x{height}"));
        let fps = fps.map_or_else(String::new, |fps| format!(" {fps} fps"));
        let note = if *suggested { "  (enough for detection)" } else { "" };
        lines.push(format!("  {name}: {encoding}{size}{fps}{note}"));
        if let Some(source) = source {
            lines.push(format!("    source = \"{source}\""));
        }
    }
    lines
}

/// A camera for people: what the configuration says to take it, then what it can do.
fn lines(camera: &Found) -> Vec<String> {
    let Found { source, device, name, driver, bus, modes, usual, controls, problem } = camera;
    let origin: Vec<&str> = [driver.as_str(), bus.as_str()].into_iter().filter(|part| !part.is_empty()).collect();
    let origin = if origin.is_empty() { String::new() } else { format!(" ({})", origin.join(", ")) };
    let mut lines = vec![format!("{}  {name}{origin}", device.display()), format!("  source = \"{source}\"")];
    if let Some(problem) = problem {
        lines.push(format!("  problem: {problem}"));
    }
    if let Some(usual) = usual {
        lines.push(format!("  taken by default: {}", mode(usual)));
    }
    let (read, unread): (Vec<_>, Vec<_>) = modes.iter().partition(|mode| mode.format.is_some());
    // The four orders of a mosaic look alike here.
    lines.extend(each_once(read.into_iter().map(|m| format!("    {}", mode(m)))));
    let unread = each_once(unread.into_iter().map(|mode| mode.code.clone()));
    if !unread.is_empty() {
        lines.push(format!("    not read: {}", unread.join(", ")));
    }
    if !controls.is_empty() {
        lines.push("  controls:".to_owned());
        lines.extend(controls.iter().map(|c| format!("    {}", control(c))));
    }
    lines
}

/// In the order given.
fn each_once(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    texts.filter(|text| seen.insert(text.clone())).collect()
}

fn mode(mode: &FoundMode) -> String {
    let FoundMode { format, code, size: [width, height], fps } = mode;
    let format = format.map_or_else(|| code.clone(), |format| format.to_string());
    let fps: Vec<String> = fps.iter().map(ToString::to_string).collect();
    let fps = if fps.is_empty() { String::new() } else { format!("  {} fps", fps.join(", ")) };
    format!("{format:<5} {width}x{height}{fps}")
}

fn control(control: &FoundControl) -> String {
    let FoundControl { name, kind, least, most, default, choices } = control;
    match (*kind, least, most, default) {
        ("menu", ..) => {
            format!("{name}: {}", choices.iter().map(|c| format!("\"{c}\"")).collect::<Vec<_>>().join(", "))
        }
        ("flag", .., Some(default)) => format!("{name}: true or false (default {})", *default != 0),
        (_, Some(least), Some(most), Some(default)) => format!("{name}: {least} to {most} (default {default})"),
        _ => format!("{name}: a number"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::capture::CaptureFormat;

    #[test]
    fn a_network_camera_is_shown_with_its_streams() {
        let profile = |name: &str, size, suggested| Profile {
            name: name.to_owned(),
            token: "t".to_owned(),
            encoding: "H264".to_owned(),
            size,
            fps: size.map(|_| 12.5),
            source: size.map(|_| format!("rtsp://192.0.2.9/{name}")),
            suggested,
        };
        let camera = NetworkCamera {
            address: [192, 0, 2, 9].into(),
            name: "Gate 3".to_owned(),
            hardware: "M7".to_owned(),
            service: "http://192.0.2.9/onvif/device_service".to_owned(),
            profiles: vec![profile("sub", Some([640, 360]), true), profile("none", None, false)],
            problem: Some("profile none: it answers 500".to_owned()),
        };
        let wanted = "\
192.0.2.9  Gate 3 (M7)
  device: http://192.0.2.9/onvif/device_service
  problem: profile none: it answers 500
  sub: H264 640x360 12.5 fps  (enough for detection)
    source = \"rtsp://192.0.2.9/sub\"
  none: H264";
        assert_eq!(network_lines(&camera).join("\n"), wanted);
    }

    #[test]
    fn a_machine_vision_camera_is_shown_with_its_source() {
        let text = r#"{"id":"Basler-1234","vendor":"Basler","model":"acA640","serial":"1234","address":"192.0.2.7",
            "protocol":"GigEVision"}"#;
        let camera: GenicamCamera = serde_json::from_str(text).unwrap();
        let wanted = "192.0.2.7  Basler acA640 (GigEVision, 1234)\n  source = \"genicam:Basler-1234\"";
        assert_eq!(vision_lines(&camera.named()).join("\n"), wanted);
    }

    #[test]
    fn a_camera_is_shown_with_what_to_write_into_the_configuration() {
        let mode = FoundMode {
            format: Some(CaptureFormat::Mjpg),
            code: "MJPG".to_owned(),
            size: [1280, 720],
            fps: vec![30.0, 7.5],
        };
        let control = |name: &str, kind, choices: &[&str]| FoundControl {
            name: name.to_owned(),
            kind,
            least: Some(0),
            most: Some(255),
            default: Some(1),
            choices: choices.iter().map(|c| (*c).to_owned()).collect(),
        };
        let camera = Found {
            source: "v4l:/dev/v4l/by-id/usb-x".to_owned(),
            device: "/dev/video0".into(),
            name: "Webcam".to_owned(),
            driver: "uvcvideo".to_owned(),
            bus: "usb-1".to_owned(),
            usual: Some(mode.clone()),
            modes: vec![
                mode.clone(),
                FoundMode { format: None, code: "H264".to_owned(), size: [640, 480], fps: vec![] },
                mode,
            ],
            controls: vec![
                FoundControl { least: None, most: None, default: None, ..control("brightness", "number", &[]) },
                control("gain", "number", &[]),
                control("focus_automatic", "flag", &[]),
                control("power_line_frequency", "menu", &["50 Hz", "60 Hz"]),
            ],
            problem: None,
        };
        let wanted = "\
/dev/video0  Webcam (uvcvideo, usb-1)
  source = \"v4l:/dev/v4l/by-id/usb-x\"
  taken by default: mjpg  1280x720  30, 7.5 fps
    mjpg  1280x720  30, 7.5 fps
    not read: H264
  controls:
    brightness: a number
    gain: 0 to 255 (default 1)
    focus_automatic: true or false (default true)
    power_line_frequency: \"50 Hz\", \"60 Hz\"";
        assert_eq!(lines(&camera).join("\n"), wanted);
    }
}
