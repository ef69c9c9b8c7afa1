//! `ocellus doctor` on this machine, with real peers.

mod hub;
mod stores;

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::peers::{Mosquitto, free_port, ocellus, run, text};

/// What it says, and its exit code.
fn examined(config: &Path) -> (Value, Option<i32>) {
    examined_by(&mut ocellus(), config)
}

fn examined_by(command: &mut Command, config: &Path) -> (Value, Option<i32>) {
    let output = command.args(["doctor", "--json", "--config"]).arg(config).output().unwrap();
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", text(&output.stderr)));
    assert_eq!(report["schema"], "ocellus.doctor/1");
    (report, output.status.code())
}

fn findings<'a>(report: &'a Value, check: &str) -> Vec<&'a Value> {
    report["findings"].as_array().unwrap().iter().filter(|finding| finding["check"] == check).collect()
}

/// What it finds of a configuration, its device and outbox aside, with these variables.
fn findings_of(folder: &Path, config: &str, variables: &[(&str, &str)]) -> Vec<Value> {
    let file = folder.join("ocellus.toml");
    let outbox = folder.join("outbox");
    let text = format!("device = \"cpu\"\n{config}[outbox]\npath = {outbox:?}\nmax_mib = 1\nreserve_mib = 1\n");
    std::fs::write(&file, text).unwrap();
    let (mut report, _) = examined_by(ocellus().envs(variables.iter().copied()), &file);
    assert_eq!(findings(&report, "configuration")[0]["verdict"], "ok", "{report}");
    serde_json::from_value(report["findings"].take()).unwrap()
}

/// The variables that make a clock hours late; what it measures by the other clock is as long as ever.
fn late(hours: u32) -> [(&'static str, String); 3] {
    let library = format!("/usr/lib/{}-linux-gnu/faketime/libfaketimeMT.so.1", std::env::consts::ARCH);
    assert!(Path::new(&library).exists(), "{library} is in the Debian package libfaketime");
    [("LD_PRELOAD", library), ("FAKETIME", format!("-{hours}h")), ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned())]
}

/// Of the checks whose names begin so: those that went well, and what is wrong, with its fix.
fn steps<'a>(findings: &'a [Value], what: &str) -> (Vec<&'a str>, Vec<(&'a str, String)>) {
    let of_it = findings.iter().filter(|finding| finding["check"].as_str().unwrap().starts_with(what));
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for finding in of_it {
        let check = finding["check"].as_str().unwrap();
        match finding["verdict"].as_str().unwrap() {
            "ok" => good.push(check),
            _ => bad.push((check, format!("{} -> {}", finding["said"], finding["fix"]))),
        }
    }
    (good, bad)
}

#[test]
fn it_needs_no_configuration_and_looks_at_everything() {
    let folder = tempfile::tempdir().unwrap();
    let (report, _) = examined(&folder.path().join("absent.toml"));
    for check in
        ["configuration", "vulkan", "gpu", "inference", "camera", "aravis", "ffmpeg", "broker", "disk", "clock"]
    {
        assert!(!findings(&report, check).is_empty(), "nothing is said of {check}: {report}");
    }
    assert_eq!(findings(&report, "configuration")[0]["verdict"], "warning");
    // The CPU does what it must, whatever the GPU is.
    assert_eq!(findings(&report, "inference")[0]["verdict"], "ok", "{report}");
    for finding in report["findings"].as_array().unwrap() {
        assert_eq!(finding["verdict"] == "ok", finding["fix"].is_null(), "what is wrong has a fix: {finding}");
    }
}

#[test]
fn a_broken_configuration_is_one_finding_among_others() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("ocellus.toml");
    std::fs::write(&config, "sight = 1\n[mqtt]\nport = 2\n").unwrap();
    let (report, code) = examined(&config);
    let found = findings(&report, "configuration")[0];
    assert!(found["said"].as_str().unwrap().contains("has 2 mistakes"), "{found}");
    assert!(found["fix"].as_str().unwrap().contains("ocellus check"), "{found}");
    assert_eq!(code, Some(1));
    assert_eq!(findings(&report, "inference")[0]["verdict"], "ok");
}

#[test]
fn what_is_configured_is_tried_out() {
    let broker = Mosquitto::start();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("ocellus.toml");
    let write = |port: u16, camera: u16| {
        let store = folder.path().join("store");
        let text = format!(
            "device = \"cpu\"\n[mqtt]\nurl = \"mqtt://127.0.0.1:{port}\"\n[evidence]\nstore = {store:?}\n\
             [insights]\nstore = {:?}\n[outbox]\npath = {:?}\nmax_mib = 1\nreserve_mib = 1\n[models.m]\npath = \"{}/models/conveyor\"\n\
             [cameras.line]\nsource = \"rtsp://user:hunter2@127.0.0.1:{camera}/s\"\n",
            folder.path().join("insights"),
            folder.path().join("outbox"),
            env!("CARGO_MANIFEST_DIR"),
        );
        std::fs::write(&config, text).unwrap();
    };
    // The broker's port is good enough for a camera that only has to answer.
    write(broker.port, broker.port);
    let (report, code) = examined(&config);
    for check in
        ["configuration", "inference", "camera", "broker", "broker-login", "store-write", "insights-write", "disk"]
    {
        assert!(!findings(&report, check).is_empty(), "nothing is said of {check}: {report}");
        assert!(findings(&report, check).iter().all(|finding| finding["verdict"] == "ok"), "{check}: {report}");
    }
    assert_eq!((report["errors"].as_u64(), code), (Some(0), Some(0)), "{report}");

    write(free_port(), free_port());
    let output = run(&["doctor", "--config", config.to_str().unwrap()]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for check in ["broker", "camera"] {
        let error = said.lines().position(|line| line.starts_with(&format!("error    {check}"))).expect(check);
        assert!(said.lines().nth(error + 1).unwrap().contains("→ "), "{said}");
    }
    assert!(!said.contains("hunter2"));
    assert!(text(&output.stderr).starts_with("2 errors, "), "{}", text(&output.stderr));
}
