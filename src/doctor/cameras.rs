//! Whether cameras can be reached, and what decodes their video is there.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use url::Url;

use super::{Finding, Machine};
use crate::camera::genicam::{self, GenicamCamera};
use crate::camera::source::Source;
use crate::camera::v4l;
use crate::config::Config;

const CHECK: &str = "camera";
const FFMPEG: &str = "ffmpeg";
const ARAVIS: &str = "aravis";
/// Longest wait for a camera's port.
const REACH: Duration = Duration::from_secs(5);

pub(super) async fn examine(config: &Config) -> Vec<Finding> {
    let vision = tokio::task::spawn_blocking(genicam::found).await.unwrap_or_else(|error| Err(error.to_string()));
    let mut findings: Vec<Finding> = v4l::found().iter().map(at_the_machine).collect();
    findings.extend(vision.iter().flatten().flatten().map(machine_vision));
    for (name, camera) in &config.cameras {
        findings.push(match reach(&camera.source).await {
            Ok(said) => Finding::ok(CHECK, format!("{name}: {said}")),
            Err((said, fix)) => Finding::error(CHECK, format!("{name}: {said}"), fix),
        });
    }
    if findings.is_empty() {
        findings.push(Finding::warning(
            CHECK,
            "no camera is at this machine, and none is configured",
            "`ocellus cameras --discover` looks on the network; a table [cameras.NAME] adds one",
        ));
    }
    let wanted = |camera: &crate::config::CameraConfig| matches!(Source::parse(&camera.source), Ok(Source::Genicam(_)));
    findings.push(aravis(&vision, config.cameras.values().any(wanted)));
    findings
}

fn machine_vision(camera: &GenicamCamera) -> Finding {
    let GenicamCamera { source, vendor, model, .. } = camera;
    Finding::ok(CHECK, format!("{source} is {vendor} {model}"))
}

/// Whether there is what machine-vision cameras need, from what came of looking for some. `wanted`: one is configured.
fn aravis(looked: &Result<Option<Vec<GenicamCamera>>, String>, wanted: bool) -> Finding {
    let fix = "apt install python3-gi gir1.2-aravis-0.8: machine-vision cameras (GigE Vision, USB3 Vision) need it";
    match looked {
        Ok(Some(found)) => Finding::ok(ARAVIS, format!("machine-vision cameras that answer: {}", found.len())),
        Ok(None) if wanted => Finding::error(ARAVIS, "Aravis is not installed, and a camera needs it", fix),
        Ok(None) => Finding::warning(ARAVIS, "Aravis is not installed", fix),
        Err(reason) => Finding::warning(ARAVIS, format!("machine-vision cameras can't be looked for: {reason}"), fix),
    }
}

fn at_the_machine(camera: &v4l::Found) -> Finding {
    let device = camera.device.display();
    match &camera.problem {
        None => Finding::ok(CHECK, format!("{device} is {}", camera.name)),
        Some(problem) => Finding::warning(
            CHECK,
            format!("{device} ({}): {problem}", camera.name),
            "who uses it must be in the group `video` (`adduser NAME video`), and no other program have it open",
        ),
    }
}

/// What is at a source, or what is wrong and what to do.
async fn reach(source: &str) -> Result<String, (String, String)> {
    let parsed = Source::parse(source)
        .map_err(|error| (error.to_string(), "correct `source`; `ocellus check` says more".to_owned()))?;
    match parsed {
        Source::Network(shown) => {
            let (host, port) = address(shown.secret())
                .ok_or_else(|| (format!("{shown} names no host"), "correct `source`".to_owned()))?;
            let at = format!("{host}:{port}");
            let wrong = |reason: String| {
                (
                    format!("{at} can't be reached: {reason}"),
                    format!("check that the camera is on, and that this machine has a way to {host} (ping {host})"),
                )
            };
            match tokio::time::timeout(REACH, tokio::net::TcpStream::connect((host.as_str(), port))).await {
                Ok(Ok(_)) => Ok(format!("{at} answers")),
                Ok(Err(error)) => Err(wrong(error.to_string())),
                Err(_) => Err(wrong("it does not answer".to_owned())),
            }
        }
        Source::V4l(path) if !path.exists() => Err((
            format!("there is no {}", path.display()),
            "plug it in; `ocellus cameras` lists what there is".to_owned(),
        )),
        _ => Ok(source.to_owned()),
    }
}

fn address(url: &str) -> Option<(String, u16)> {
    let url = Url::parse(url).ok()?;
    let usual = match url.scheme() {
        "rtsp" => 554,
        "rtsps" => 322,
        "https" => 443,
        _ => 80,
    };
    let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']').to_owned();
    Some((host, url.port().unwrap_or(usual)))
}

/// Whether there is an ffmpeg.
pub(super) fn ffmpeg(machine: &Machine) -> Finding {
    let path = machine.variable("PATH").unwrap_or_default();
    let found = std::env::split_paths(path).map(|folder| folder.join(FFMPEG)).find(|file| file.is_file());
    let fix = "apt install ffmpeg: network cameras and clips need it, cameras at the machine don't";
    match found.as_deref().map(version) {
        Some(Some(version)) => Finding::ok(FFMPEG, version),
        Some(None) => Finding::warning(FFMPEG, "ffmpeg is there, but does not say its version", fix),
        None => Finding::warning(FFMPEG, "there is no ffmpeg", fix),
    }
}

/// The first line of what it says: `ffmpeg version 5.1.6 Copyright …`.
fn version(program: &Path) -> Option<String> {
    let said = Command::new(program).arg("-version").output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    let line = text.lines().next()?;
    Some(line.split(" Copyright").next().unwrap_or(line).to_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::super::Verdict;
    use super::super::testing::machine;
    use super::*;

    fn reached(source: &str) -> Result<String, (String, String)> {
        crate::daemon::runtime().unwrap().block_on(reach(source))
    }

    #[test]
    fn a_camera_that_answers_is_told_from_one_that_does_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let source = format!("rtsp://admin:hunter2@127.0.0.1:{port}/stream");
        assert_eq!(reached(&source).unwrap(), format!("127.0.0.1:{port} answers"));
        drop(listener);
        let (said, fix) = reached(&source).unwrap_err();
        assert!(said.contains("refused") && fix.contains("ping 127.0.0.1"), "{said}; {fix}");
        assert!(!said.contains("hunter2"));
    }

    #[test]
    fn what_is_not_there_is_said() {
        assert!(reached("v4l:/dev/video97").unwrap_err().0.contains("/dev/video97"));
        assert!(reached("file:/no/such.mp4").unwrap_err().0.contains("/no/such.mp4"));
        assert!(reached("sim:conveyor?seed=1").is_ok());
    }

    #[test]
    fn aravis_is_found_or_asked_for() {
        let there = aravis(&Ok(Some(Vec::new())), true);
        assert_eq!((there.verdict, there.fix), (Verdict::Ok, None));
        for (wanted, verdict) in [(false, Verdict::Warning), (true, Verdict::Error)] {
            let absent = aravis(&Ok(None), wanted);
            assert_eq!(absent.verdict, verdict);
            assert!(absent.fix.unwrap().contains("apt install python3-gi gir1.2-aravis-0.8"));
        }
        let broken = aravis(&Err("no answer".to_owned()), true);
        assert!(broken.verdict == Verdict::Warning && broken.said.ends_with("no answer"), "{broken:?}");
    }

    #[test]
    fn usual_ports_are_known() {
        let at = |url| address(url).unwrap();
        assert_eq!(at("rtsp://camera/1"), ("camera".to_owned(), 554));
        assert_eq!(at("rtsps://[::1]/1"), ("::1".to_owned(), 322));
        assert_eq!(at("http://camera/"), ("camera".to_owned(), 80));
        assert_eq!(at("http://camera:81/"), ("camera".to_owned(), 81));
    }

    #[test]
    fn ffmpeg_is_found_or_asked_for() {
        let root = tempfile::tempdir().unwrap();
        let path = std::env::var("PATH").unwrap();
        let there = ffmpeg(&machine(root.path(), &[("PATH", &path)]));
        assert_eq!(there.verdict, Verdict::Ok);
        assert!(there.said.starts_with("ffmpeg version"), "{there:?}");
        let absent = ffmpeg(&machine(root.path(), &[("PATH", "/no/such")]));
        assert!(absent.fix.unwrap().contains("apt install ffmpeg"));
    }
}
