//! `ocellus cameras`: which cameras there are, and what they give.

use clap::Args;

use super::{Failure, print};
use crate::camera::v4l::{self, Found, FoundControl, FoundMode};

#[derive(Debug, Args)]
pub(super) struct Cameras {
    /// One JSON array for programs
    #[arg(long)]
    json: bool,
}

impl Cameras {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let found = v4l::found();
        if self.json {
            return print(&serde_json::to_string_pretty(&found)?);
        }
        if found.is_empty() {
            eprintln!("No camera was found at this machine (no /dev/video… gives pictures).");
        }
        for camera in &found {
            for line in lines(camera) {
                print(&line)?;
            }
        }
        Ok(())
    }
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
    lines.extend(modes.iter().map(|m| format!("    {}", mode(m))));
    if !controls.is_empty() {
        lines.push("  controls:".to_owned());
        lines.extend(controls.iter().map(|c| format!("    {}", control(c))));
    }
    lines
}

fn mode(mode: &FoundMode) -> String {
    let FoundMode { format, code, size: [width, height], fps } = mode;
    let format = format.map_or_else(|| format!("{code} (not read)"), |format| format.to_string());
    let fps: Vec<String> = fps.iter().map(ToString::to_string).collect();
    let fps = if fps.is_empty() { String::new() } else { format!("  {} fps", fps.join(", ")) };
    format!("{format:<5} {width}x{height}{fps}")
}

fn control(control: &FoundControl) -> String {
    let FoundControl { name, kind, least, most, default, choices } = control;
    match *kind {
        "menu" => format!("{name}: {}", choices.iter().map(|c| format!("\"{c}\"")).collect::<Vec<_>>().join(", ")),
        "flag" => format!("{name}: true or false (default {})", *default != 0),
        _ => format!("{name}: {least} to {most} (default {default})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::capture::CaptureFormat;

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
            least: 0,
            most: 255,
            default: 1,
            choices: choices.iter().map(|c| (*c).to_owned()).collect(),
        };
        let camera = Found {
            source: "v4l:/dev/v4l/by-id/usb-x".to_owned(),
            device: "/dev/video0".into(),
            name: "Webcam".to_owned(),
            driver: "uvcvideo".to_owned(),
            bus: "usb-1".to_owned(),
            usual: Some(mode.clone()),
            modes: vec![mode, FoundMode { format: None, code: "H264".to_owned(), size: [640, 480], fps: vec![] }],
            controls: vec![
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
    H264 (not read) 640x480
  controls:
    gain: 0 to 255 (default 1)
    focus_automatic: true or false (default true)
    power_line_frequency: \"50 Hz\", \"60 Hz\"";
        assert_eq!(lines(&camera).join("\n"), wanted);
    }
}
