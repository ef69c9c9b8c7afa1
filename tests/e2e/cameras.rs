//! Cameras in trouble, as a plant engineer sees them: over MQTT and in the log.

use std::path::Path;
use std::process::Command;

use crate::daemon::{conveyors, daemon};
use crate::peers::{Mosquitto, Running, Subscriber};

/// A camera that speaks RTSP, on the system's Python, which has the bindings of GStreamer; with its URL.
fn rtsp_camera(arguments: &[&str]) -> (Running, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/rtsp_server.py");
    let mut camera = Running::start(Command::new("/usr/bin/python3").arg(script).args(arguments));
    let url = camera.wait_for("ready", |line| line.strip_prefix("ready ").map(str::to_owned));
    (camera, url)
}

fn state(payload: &serde_json::Value) -> &str {
    payload["state"].as_str().unwrap_or_default()
}

#[test]
fn a_network_camera_that_is_killed_and_comes_back_says_so_once_each_time() {
    let broker = Mosquitto::start();
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "hunter2\n").unwrap();
    let login = ["--auth", "digest", "--user", "anna", "--password", "hunter2"];
    let (camera, url) = rtsp_camera(&login);
    let camera_table = format!(
        "[cameras.gate]\nsource = \"{url}\"\nusername = \"anna\"\npassword_file = \"{}\"\ntimeout_s = 3\n",
        password.display()
    );
    let running = daemon(folder.path(), broker.port, &format!("{}{camera_table}", conveyors(&[("belt", 2)])));
    let mut states = Subscriber::to(broker.port, "ocellus/plant-7/edge-01/gate/status");
    let mut all = Subscriber::to(broker.port, "ocellus/plant-7/edge-01/#");
    all.wait_for("gate/detections", |_| true);
    drop(camera);
    all.wait_for("gate/status", |m| state(&m.json()) == "connecting");
    // The other camera does not notice.
    all.wait_for("belt/detections", |_| true);
    let port = url.split([':', '/']).nth(4).unwrap();
    let (_camera, _) = rtsp_camera(&[&login[..], &["--port", port]].concat());
    all.wait_for("gate/status", |m| state(&m.json()) == "ok");
    all.wait_for("gate/detections", |_| true);
    let (status, said) = running.terminate();
    assert!(status.success(), "{said}");

    // Each change of state or reason was published once, and said once in the log.
    let mut told = Vec::new();
    while told.last().is_none_or(|(state, _): &(String, String)| state != "off") {
        let message = states.next().json();
        told.push((state(&message).to_owned(), message["reason"].as_str().unwrap().to_owned()));
    }
    assert!(told.windows(2).all(|pair| pair[0] != pair[1]), "{told:?}");
    let lost: Vec<_> = told.iter().filter(|(state, reason)| state == "connecting" && !reason.is_empty()).collect();
    assert!(!lost.is_empty() && lost.iter().all(|(_, reason)| reason.starts_with(&url)), "{told:?}");
    let lines = said.lines().filter(|l| l.contains("The camera failed") && l.contains("gate")).count();
    assert_eq!(lines, lost.len(), "{said}");
    assert!(!said.contains("hunter2") && !format!("{told:?}").contains("hunter2"), "{said}");
}

#[test]
fn a_covered_camera_says_so_and_its_detections_are_marked() {
    let broker = Mosquitto::start();
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("clip.mp4");
    let graph =
        "testsrc2=s=320x180:r=10:d=6,noise=alls=20:allf=t[a];color=black:s=320x180:r=10:d=6[b];[a][b]concat=n=2";
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-v", "error", "-filter_complex", graph]).arg(&clip);
    assert!(ffmpeg.status().unwrap().success());
    let camera = format!("[cameras.dock]\nsource = \"file:{}?loop=true&realtime=true\"\n", clip.display());
    let running = daemon(folder.path(), broker.port, &format!("{}{camera}", conveyors(&[])));
    let mut all = Subscriber::to(broker.port, "ocellus/plant-7/edge-01/#");
    let clean = all.wait_for("dock/detections", |_| true).json();
    assert!(clean.get("camera_state").is_none(), "{clean}");
    let blind = all.wait_for("dock/status", |m| state(&m.json()) == "blind");
    assert_eq!(blind.json()["reason"], "the picture is black, or something covers the camera");
    all.wait_for("dock/detections", |m| m.json()["camera_state"] == "blind");
    let late = Subscriber::to(broker.port, "ocellus/plant-7/edge-01/dock/status").next();
    assert!(late.retained);
    let stats =
        all.wait_for("edge-01/stats", |m| m.json()["cameras"]["dock"]["trust"]["contrast"].as_f64() < Some(1.0));
    assert!(stats.json()["cameras"]["dock"]["trust"]["highlights"].as_f64() < Some(12.0));
    all.wait_for("dock/status", |m| state(&m.json()) == "ok");
    all.wait_for("dock/detections", |m| m.json().get("camera_state").is_none());
    let (status, said) = running.terminate();
    assert!(status.success(), "{said}");
}

#[test]
fn a_line_that_must_see_every_frame_says_when_it_can_not() {
    let broker = Mosquitto::start();
    let folder = tempfile::tempdir().unwrap();
    // Four simulations, together faster than the model.
    let camera = "[cameras.line]\nsource = \"sim:conveyor?seed=3&fps=240&width=160&height=90\"\nqueue = \"every\"\n\
                  queue_frames = 1\n";
    let rest = conveyors(&[("a", 240), ("b", 240), ("c", 240)]);
    let running = daemon(folder.path(), broker.port, &format!("{rest}{camera}"));
    let mut all = Subscriber::to(broker.port, "ocellus/plant-7/edge-01/#");
    let blind = all.wait_for("line/status", |m| state(&m.json()) == "blind");
    assert!(blind.json()["reason"].as_str().unwrap().starts_with("frames come faster than they are scored"));
    all.wait_for("line/detections", |m| m.json()["camera_state"] == "blind");
    all.wait_for("edge-01/stats", |m| m.json()["cameras"]["line"]["dropped"].as_u64() > Some(0));
    let (status, said) = running.terminate();
    assert!(status.success(), "{said}");
}
