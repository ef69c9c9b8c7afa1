//! Traces of frames, as a collector of OpenTelemetry's own messages reads them.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::peers::{Mosquitto, Running, Subscriber, free_port, ocellus};

const STAGES: [&str; 6] = ["queue", "preprocess", "model", "postprocess", "track", "publish"];

/// A collector, and where it takes traces.
fn collector(more: &[&str]) -> (Running, String) {
    let python = std::env::var_os("OCELLUS_PYTHON").expect("scripts/test sets OCELLUS_PYTHON");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/otlp_receiver.py");
    let mut collector = Running::start(Command::new(python).arg(script).args(more));
    let line = collector.wait_for_line("listening");
    let url = format!("http://127.0.0.1:{}/v1/traces", line.rsplit(' ').next().unwrap().trim());
    (collector, url)
}

/// A node whose frames are all traced.
fn config(folder: &Path, mqtt: &str, url: &str) -> PathBuf {
    let config = folder.join("ocellus.toml");
    let text = format!(
        "site = \"plant-7\"\nnode = \"edge-01\"\ndevice = \"cpu\"\n[mqtt]\n{mqtt}\n\
         [traces]\nurl = {url:?}\nratio = 1.0\n[models.parts]\npath = \"{}/models/conveyor\"\n\
         [cameras.line]\nsource = \"sim:conveyor?seed=1&fps=4&width=320&height=180\"\n[cameras.line.track]\n",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::write(&config, text).unwrap();
    config
}

#[test]
fn a_frame_is_traced_stage_by_stage() {
    let (mut collector, url) = collector(&[]);
    let folder = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start();
    let mut subscriber = Subscriber::to(broker.port, "ocellus/+/+/+/detections");
    let config = config(folder.path(), &format!("url = \"mqtt://127.0.0.1:{}\"", broker.port), &url);
    let daemon = Running::start(ocellus().args(["run", "--config"]).arg(config));
    let message = subscriber.next().json();
    let mut next = || -> Value {
        let line = collector.wait_for_line("span ");
        serde_json::from_str(line.split_once("span ").unwrap().1).unwrap()
    };
    let root = loop {
        let span = next();
        let of_the_message = span["attributes"]["frame.seq"] == message["frame"]["seq"];
        if span["name"] == "frame" && of_the_message {
            break span;
        }
    };
    assert_eq!((&root["parent"], &root["attributes"]["camera"]), (&"".into(), &"line".into()), "{root}");
    assert_eq!(root["attributes"]["model"], message["model"]["name"]);
    let id = ulid::Ulid::from_string(message["id"].as_str().unwrap()).unwrap();
    assert_eq!(root["trace"], format!("{:032x}", id.0), "a trace has the number of its message");
    for (key, value) in
        [("service.name", "ocellus"), ("service.namespace", "plant-7"), ("service.instance.id", "edge-01")]
    {
        assert_eq!(root["resource"][key], value, "{root}");
    }
    let nanoseconds = |span: &Value| span["nanoseconds"].as_u64().unwrap();
    let (mut at, mut sum) = (root["start"].as_u64().unwrap(), 0);
    for name in STAGES {
        let span = next();
        assert_eq!((&span["name"], &span["parent"], &span["trace"]), (&name.into(), &root["span"], &root["trace"]));
        assert_eq!(span["start"], at, "{span}");
        at += nanoseconds(&span);
        sum += nanoseconds(&span);
        // The message tells how long the model took, in milliseconds.
        if name == "model" {
            let told = message["latency_ms"]["model"].as_f64().unwrap();
            #[allow(clippy::cast_precision_loss)]
            let traced = nanoseconds(&span) as f64 / 1e6;
            assert!((traced - told).abs() < 0.01, "{traced} ms, not {told} ms");
        }
    }
    assert_eq!(sum, nanoseconds(&root));
    let (status, log) = daemon.terminate();
    assert!(status.success(), "{log}");
}

/// One that is not there, and one that takes requests and never answers.
#[test]
fn a_collector_that_is_away_harms_nobody() {
    let (mut silent, url) = collector(&["--silent"]);
    for (url, is_silent) in [(format!("http://127.0.0.1:{}/v1/traces", free_port()), false), (url, true)] {
        let folder = tempfile::tempdir().unwrap();
        let broker = Mosquitto::start();
        let mut subscriber = Subscriber::to(broker.port, "ocellus/+/+/#");
        let config = config(folder.path(), &format!("url = \"mqtt://127.0.0.1:{}\"", broker.port), &url);
        let mut daemon = Running::start(ocellus().args(["run", "--config"]).arg(config));
        if is_silent {
            silent.wait_for_line("silent");
        } else {
            daemon.wait_for_line("Traces are not taken");
            // Until more are dropped than the first time.
            let mut dropped = std::collections::BTreeSet::new();
            while dropped.len() < 3 {
                let message = subscriber.next();
                if message.topic.ends_with("/stats") {
                    dropped.extend(message.json()["traces"]["dropped"].as_u64().filter(|dropped| *dropped > 0));
                }
            }
        }
        let mut frames = 0;
        while frames < 8 {
            frames += usize::from(subscriber.next().topic.ends_with("/detections"));
        }
        let (status, log) = daemon.terminate();
        assert!(status.success(), "{log}");
        assert!(log.matches("Traces are not taken").count() <= 1, "{log}");
    }
}
