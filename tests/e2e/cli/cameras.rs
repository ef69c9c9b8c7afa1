//! `ocellus cameras`: the machine's own, and network cameras against a peer that speaks ONVIF.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::peers::{Running, run, text};

/// A network camera in Python, where the test peers are installed.
fn onvif_device(name: &str) -> Option<Running> {
    let Some(python) = std::env::var_os("OCELLUS_PYTHON") else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "$OCELLUS_PYTHON is not set, and CI must have it");
        return None;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/onvif_device.py");
    let mut device = Running::start(Command::new(python).arg(script).args([name, "admin", "s3cret"]));
    device.wait_for_line("ready");
    Some(device)
}

/// What `--discover` finds by this name.
fn discovered(name: &str, login: &[&str]) -> Value {
    // The peers of other tests may answer late on a busy machine, and ours too.
    for timeout in ["3", "10", "30"] {
        let output = run(&[&["cameras", "--discover", "--json", "--timeout", timeout], login].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        let found: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        if let Some(camera) = found.into_iter().find(|camera| camera["name"] == name) {
            return camera;
        }
    }
    panic!("{name} was not found");
}

#[test]
fn a_network_camera_is_found_and_asked_for_its_streams() {
    let Some(_device) = onvif_device("Gate%203") else { return };
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "s3cret\n").unwrap();
    let login = ["--username", "admin", "--password-file", password.to_str().unwrap()];
    let camera = discovered("Gate 3", &login);
    assert_eq!((&camera["hardware"], &camera["problem"]), (&"Model 7".into(), &Value::Null), "{camera:#}");
    let profiles = camera["profiles"].as_array().unwrap();
    assert_eq!(profiles.len(), 3);
    let sub = &profiles[1];
    assert_eq!((&sub["name"], &sub["encoding"]), (&"Sub <stream>".into(), &"H264".into()));
    assert_eq!((&sub["size"], &sub["fps"]), (&serde_json::json!([704, 576]), &12.0.into()));
    assert_eq!(sub["source"], "rtsp://192.0.2.77:554/sub?unicast=true&proto=Onvif");
    let suggested: Vec<bool> = profiles.iter().map(|profile| profile["suggested"] == true).collect();
    assert_eq!(suggested, [false, true, false]);
    assert!(!camera.to_string().contains("s3cret"));
}

#[test]
fn a_network_camera_that_wants_a_login_says_so() {
    let Some(_device) = onvif_device("Locked") else { return };
    let camera = discovered("Locked", &[]);
    assert_eq!(camera["problem"], "it wants a login: give `--username` and `--password-file`");
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "wrong").unwrap();
    let camera = discovered("Locked", &["--username", "admin", "--password-file", password.to_str().unwrap()]);
    assert_eq!(camera["problem"], "it does not accept this user name and password");
    assert_eq!(camera["profiles"], serde_json::json!([]));
}

#[test]
fn the_machines_own_cameras_are_an_array_even_where_there_are_none() {
    let output = run(&["cameras", "--json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(serde_json::from_slice::<Vec<Value>>(&output.stdout).is_ok());
}

#[test]
fn settings_of_the_discovery_take_the_discovery() {
    for args in [
        &["cameras", "--timeout", "3"][..],
        &["cameras", "--discover", "--username", "a"],
        &["cameras", "--discover", "--timeout", "0"],
    ] {
        assert_eq!(run(args).status.code(), Some(2), "{args:?}");
    }
    let output = run(&["cameras", "--discover", "--username", "a", "--password-file", "/nowhere"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("error: the password /nowhere can't be read: "), "{output:?}");
}
