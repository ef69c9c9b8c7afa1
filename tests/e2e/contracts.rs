//! What is published is what `docs/reference` says, by validators that are not ours.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::peers::{Mosquitto, Subscriber, text};

/// Checks lines of a topic and a message with AsyncAPI's parser and Ajv.
fn contracts(lines: &str) -> Result<serde_json::Value, String> {
    let peers = std::env::var("OCELLUS_PEERS").unwrap_or_else(|_| {
        let cache = std::env::var("XDG_CACHE_HOME").unwrap_or(format!("{}/.cache", std::env::var("HOME").unwrap()));
        format!("{cache}/ocellus/peers")
    });
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut node = Command::new("node")
        .arg(root.join("tests/peers/contracts.mjs"))
        .arg(root.join("docs/reference"))
        .env("OCELLUS_PEERS", peers)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("node is installed: scripts/setup test");
    node.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = node.wait_with_output().unwrap();
    if output.status.success() {
        Ok(serde_json::from_slice(&output.stdout).unwrap())
    } else {
        Err(text(&output.stderr))
    }
}

#[test]
fn messages_are_as_the_schemas_and_asyncapi_say() {
    let broker = Mosquitto::start();
    let folder = tempfile::tempdir().unwrap();
    let cameras = super::daemon::conveyors(&[("a", 5), ("b", 10)]);
    let running = super::daemon::daemon(folder.path(), broker.port, &cameras);
    let mut subscriber = Subscriber::to(broker.port, "ocellus/#");
    let (mut lines, mut schemas) = (String::new(), BTreeSet::new());
    let mut seen = 0;
    let base = "ocellus/plant-7/edge-01";
    while seen < 100 || schemas.len() < 5 {
        if seen % 20 == 10 {
            // What is done, what is refused, and what nobody knows; the former two for the node as well.
            for (topic, payload) in
                [("a/fps", "4"), ("a/score", "7"), ("a/snapshot", "PRESS"), ("c/colour", "red"), ("diagnose", "now")]
            {
                let (port, topic) = (broker.port.to_string(), format!("{base}/{topic}/set"));
                let args = ["-h", "127.0.0.1", "-p", &port, "-q", "1", "-t", &topic, "-m", payload];
                assert!(Command::new("mosquitto_pub").args(args).status().unwrap().success());
            }
        }
        let message = subscriber.next();
        if message.topic.ends_with("/set") {
            continue;
        }
        schemas.insert(message.json()["schema"].as_str().unwrap().to_owned());
        writeln!(lines, "{} {}", message.topic, message.payload).unwrap();
        seen += 1;
    }
    assert!(running.terminate().0.success());
    let report = contracts(&lines).unwrap_or_else(|wrong| panic!("{wrong}"));
    for schema in schemas.into_iter().chain(["ocellus.diagnosis/1".to_owned()]) {
        assert!(report["checked"][&schema].as_u64() > Some(0), "{report}");
    }

    // And they do find what is wrong.
    let wrong = "ocellus/plant-7/edge-01/status {\"schema\":\"ocellus.status/1\",\"state\":\"up\"}\n";
    let said = contracts(wrong).expect_err("no such state");
    assert!(said.contains("ocellus/plant-7/edge-01/status: data"), "{said}");
    let elsewhere = "ocellus/plant-7/edge-01/line/else {\"schema\":\"ocellus.status/1\",\"state\":\"online\"}\n";
    assert!(contracts(elsewhere).expect_err("no such topic").contains("no channel"));
}
