//! What people say of kept frames: by HTTP and MQTT, over kills, to the store once, and in the data set.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::commands::Node;
use crate::daemon::conveyors;
use crate::evidence::{ACCOUNT, Container, KEY, config, start};
use crate::peers::{files, free_port, run, text, until};

/// Asks with curl, and gives status and answer; 0 where nobody answers.
fn curl(port: u16, path: &str, more: &[&str]) -> (u16, Value) {
    let url = format!("http://127.0.0.1:{port}{path}");
    let output =
        Command::new("curl").args(["-s", "-w", "\n%{http_code}", &url]).args(more).output().expect("curl runs");
    let said = text(&output.stdout);
    let (body, status) = said.rsplit_once('\n').unwrap_or_default();
    (status.parse().unwrap_or(0), serde_json::from_str(body).unwrap_or(Value::Null))
}

fn say(port: u16, frame: &str, verdict: &Value) -> (u16, Value) {
    let body = verdict.to_string();
    let path = format!("/api/review/frames/{frame}/verdicts");
    curl(port, &path, &["-H", "Content-Type: application/json", "-d", &body])
}

/// Waits until so many frames await a verdict, and gives their ids.
fn awaiting(port: u16, count: usize) -> Vec<String> {
    let mut frames = Vec::new();
    until("frames await a verdict", || {
        let (_, list) = curl(port, "/api/review/frames", &[]);
        let found = list["frames"].as_array().cloned().unwrap_or_default();
        frames = found.iter().filter_map(|frame| frame["id"].as_str().map(str::to_owned)).collect();
        frames.len() >= count
    });
    frames
}

/// The verdicts in a folder, by their ids.
fn stored(store: &Path) -> BTreeMap<String, Value> {
    let is_verdict = |name: &str| name.contains(".verdict-") && name.ends_with(".json");
    let verdicts = files(store).into_iter().filter(|path| is_verdict(&path.to_string_lossy()));
    let read = verdicts.map(|path| serde_json::from_slice::<Value>(&std::fs::read(path).unwrap()).unwrap());
    let mut all = BTreeMap::new();
    for verdict in read {
        let id = verdict["id"].as_str().unwrap().to_owned();
        assert!(all.insert(id, verdict).is_none(), "a verdict is there twice");
    }
    all
}

fn has_record(store: &Path, frame: &str) -> bool {
    files(store).iter().any(|path| path.file_name().is_some_and(|name| name == format!("{frame}.json").as_str()))
}

/// Hours that are not now.
fn later() -> String {
    let at = |hours| (chrono::Local::now() + chrono::Duration::hours(hours)).format("%H:%M");
    format!("[evidence.ship]\nhours = [\"{}-{}\"]\n", at(5), at(7))
}

#[test]
fn a_verdict_that_was_answered_is_in_the_store_once_whatever_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let (store, port) = (folder.path().join("store"), free_port());
    let place = store.to_str().unwrap();
    let web = format!("[web]\nlisten = \"127.0.0.1:{port}\"\n");
    let mut answered = BTreeMap::new();
    for round in 0..4 {
        // In the first rounds nothing leaves: frames and verdicts go together at the end.
        let more = if round < 2 { later() } else { String::new() };
        let mut running = start(&config(folder.path(), place, &format!("{web}{more}")), &[]);
        let frames = awaiting(port, 9);
        for (i, frame) in frames.iter().take(3).enumerate() {
            let id = format!("v{round}-{i}");
            let verdict = match i {
                0 => json!({"verdict": "right", "id": id, "by": "Ann"}),
                1 => json!({"verdict": "wrong", "id": id}),
                _ => {
                    json!({"verdict": "corrected", "id": id, "objects": [{"label": "gear", "box": [0.1, 0.1, 0.2, 0.3]}]})
                }
            };
            let (status, answer) = say(port, frame, &verdict);
            assert_eq!(status, 201, "{answer}");
            answered.insert(id, (frame.clone(), answer["verdict"].clone()));
        }
        running.signal("KILL");
        running.wait();
        if round < 2 {
            assert!(stored(&store).is_empty());
        }
    }
    let running = start(&config(folder.path(), place, &web), &[]);
    until("all verdicts are in the store", || stored(&store).len() >= answered.len());
    // The courier is there before the page is.
    until("the page answers", || curl(port, "/healthz", &[]).0 != 0);
    // Who did not hear the answer says it again.
    let (frame, first) = &answered["v0-0"];
    let (status, again) = say(port, frame, &json!({"verdict": "right", "id": "v0-0", "by": "Ann"}));
    assert_eq!((status, &again["repeated"], &again["verdict"]), (200, &true.into(), first));
    let (status, _) = say(port, frame, &json!({"verdict": "wrong", "id": "v0-0"}));
    assert_eq!(status, 409);
    until("their frames are in the store", || answered.values().all(|(frame, _)| has_record(&store, frame)));
    let (status, said) = running.terminate();
    assert!(status.success(), "{said}");
    let stored = stored(&store);
    assert_eq!(stored.keys().collect::<Vec<_>>(), answered.keys().collect::<Vec<_>>());
    for (id, (_, verdict)) in &answered {
        assert_eq!(&stored[id], verdict, "as it was answered");
    }
    // And in the data set.
    let stats = run(&["dataset", "stats", "--store", place, "--json"]);
    let counted: Value = serde_json::from_slice(&stats.stdout).unwrap();
    for kind in ["right", "wrong", "corrected"] {
        assert_eq!(counted["verdicts"][kind], 4, "{counted}");
    }
    let set = folder.path().join("set");
    let export =
        ["dataset", "export", "--store", place, "--format", "yolo", "--judged", "--out", set.to_str().unwrap()];
    let exported = run(&export);
    assert!(exported.status.success(), "{}", text(&exported.stderr));
    let manifest: Value = serde_json::from_slice(&std::fs::read(set.join("manifest.json")).unwrap()).unwrap();
    assert_eq!((&manifest["total"]["pictures"], &manifest["total"]["verdicts"]["wrong"]), (&8.into(), &Value::Null));
    let (corrected, _) = &answered["v0-2"];
    let labels =
        files(&set.join("labels")).into_iter().find(|path| path.to_string_lossy().contains(corrected)).unwrap();
    assert!(std::fs::read_to_string(labels).unwrap().trim().ends_with(" 0.200000 0.250000 0.200000 0.300000"));
}

#[test]
fn verdicts_come_as_commands_and_are_counted_in_the_statistics() {
    let node = Node::new();
    let store = node.path("store");
    let cameras = conveyors(&[("a", 5), ("b", 5)]);
    node.configure(&format!("{cameras}[evidence]\nstore = {store:?}\nband = [0.0, 0.0]\nflicker = false\n"));
    let mut running = node.start();
    node.listen("a/detections").wait_for("a/detections", |_| true);
    let state = node.command("a/snapshot", "PRESS", |_| true);
    let frame = state["value"]["id"].as_str().unwrap_or_else(|| panic!("{state}")).to_owned();
    let say = |topic: &str, value: &Value| node.command(topic, &value.to_string(), |_| true);

    let taken = say("a/verdict", &json!({"frame": frame, "verdict": "wrong", "by": "Ann", "id": "v1"}));
    let value = json!({"id": "v1", "frame": frame, "verdict": "wrong", "revision": 1, "repeated": false});
    assert_eq!((&taken["value"], &taken["refused"]), (&value, &Value::Null), "the name is not told to all");
    running.signal("KILL");
    running.wait();
    let running = node.start();
    node.listen("a/detections").wait_for("a/detections", |message| !message.retained);
    let again = say("verdict", &json!({"frame": frame, "verdict": "wrong", "by": "Ann", "id": "v1"}));
    assert_eq!(again["value"]["repeated"], true, "{again}");

    // Many boxes are more than other commands may have.
    let marked = |label: &str| json!([{"label": label, "box": [0.1, 0.1, 0.2, 0.2]}]);
    let many: Vec<Value> = (0..100).map(|_| marked("gear")[0].clone()).collect();
    let corrected = say("verdict", &json!({"frame": frame, "verdict": "corrected", "objects": many, "replaces": "v1"}));
    assert_eq!((&corrected["value"]["revision"], &corrected["refused"]), (&2.into(), &Value::Null), "{corrected}");
    for (topic, value, reason) in [
        ("verdict", json!({"frame": "01X", "verdict": "right"}), "there is no frame \"01X\" to review"),
        ("verdict", json!({"verdict": "right"}), "`frame` is missing"),
        ("verdict", json!("right"), "a verdict is an object"),
        ("verdict", json!({"frame": frame, "verdict": "good"}), "expected one of `right`, `wrong`, `corrected`"),
        (
            "verdict",
            json!({"frame": frame, "verdict": "corrected", "objects": marked("gears")}),
            "did you mean `gear`?",
        ),
        ("verdict", json!({"frame": frame, "verdict": "right", "id": "v1"}), "the id of another"),
        ("verdict", json!({"frame": frame, "verdict": "right", "replaces": "v1"}), "another verdict counts"),
        ("b/verdict", json!({"frame": frame, "verdict": "right"}), "is not of camera `b`"),
        ("verdict", json!({"frame": frame, "verdict": "right", "by": "x".repeat(66_000)}), "bytes are too many"),
    ] {
        let refused = node.command(topic, &value.to_string(), |state| {
            state["refused"]["reason"].as_str().is_some_and(|said| said.contains(reason))
        });
        assert_eq!(refused["refused"]["kind"], "bad-value", "{refused}");
    }
    let stats = node
        .listen("stats")
        .wait_for("stats", |message| message.json()["cameras"]["a"]["verdicts"][0]["corrected"] == 1);
    let counted = &stats.json()["cameras"]["a"]["verdicts"][0];
    assert_eq!((&counted["wrong"], &counted["model"]["name"]), (&0.into(), &"conveyor".into()));
    until("both are in the store", || stored(&store).len() == 2);
    assert_eq!((&stored(&store)["v1"]["by"], &stored(&store)["v1"]["via"]), (&"Ann".into(), &"command".into()));
    assert!(running.terminate().0.success());

    node.configure(&cameras);
    let running = node.start();
    node.listen("a/detections").wait_for("a/detections", |message| !message.retained);
    let refused = say("verdict", &json!({"frame": frame, "verdict": "right"}));
    assert!(refused["refused"]["reason"].as_str().unwrap().contains("no frames are reviewed"), "{refused}");
    assert!(running.terminate().0.success());
}

/// To a store elsewhere, by a policy that lets records go but no pictures, or nothing at all.
#[test]
fn verdicts_follow_the_policy_and_name_nobody_elsewhere() {
    let Ok(address) = std::env::var("OCELLUS_AZURITE") else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "OCELLUS_AZURITE is not set, and CI must have it");
        return eprintln!("skipped: OCELLUS_AZURITE is not set; scripts/test starts Azurite");
    };
    let container = Container::make(&address);
    let environment = [
        ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT.to_owned()),
        ("AZURE_STORAGE_ACCOUNT_KEY", KEY.to_owned()),
        ("AZURE_STORAGE_ENDPOINT", format!("http://{address}/{ACCOUNT}")),
    ];
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut expected = Vec::new();
    for allow in ["nothing", "metadata"] {
        let more = format!(
            "[web]\nlisten = \"127.0.0.1:{port}\"\n[review]\npictures = \"original\"\n\
             [[privacy.store]]\nname = \"all\"\nallow = \"{allow}\"\n"
        );
        let config = config(folder.path(), &format!("az://{}/x", container.name), &more);
        let running = start(&config, &environment);
        let mut frame = Value::Null;
        until("a frame awaits a verdict", || {
            let (_, list) = curl(port, "/api/review/frames", &[]);
            let all = list["frames"].as_array().cloned().unwrap_or_default();
            frame = all.into_iter().find(|frame| frame["leaves"] == allow).unwrap_or_default();
            !frame.is_null()
        });
        // Reviewers see what the camera saw.
        assert_eq!((&frame["picture"]["width"], &frame["picture"]["height"]), (&320.into(), &180.into()));
        let id = frame["id"].as_str().unwrap();
        let (status, answer) =
            say(port, id, &json!({"verdict": "wrong", "id": format!("v-{allow}"), "by": "Ann Other"}));
        assert_eq!((status, &answer["verdict"]["by"]), (201, &"Ann Other".into()), "{answer}");
        if allow == "metadata" {
            expected.push(format!("{id}.verdict-v-metadata.json"));
            until("it is there", || container.blobs().keys().any(|name| name.contains(".verdict-")));
        }
        let (status, said) = running.terminate();
        assert!(status.success(), "{said}");
    }
    let blobs = container.blobs();
    let verdicts: Vec<_> = blobs.iter().filter(|(name, _)| name.contains(".verdict-")).collect();
    let names: Vec<_> = verdicts.iter().map(|(name, _)| name.rsplit('/').next().unwrap()).collect();
    assert_eq!(names, expected, "what may not leave does not leave");
    assert!(blobs.keys().all(|name| !name.ends_with(".jpg")), "{:?}", blobs.keys());
    let content = verdicts[0].1.1.as_ref().unwrap();
    let verdict: Value = serde_json::from_str(content).unwrap();
    assert!(verdict["by"].as_str().unwrap().starts_with("hash:") && !content.contains("Ann"), "{content}");
    check_audit(folder.path(), content);
}

/// The verdict that left is in the audit log with its file's digest, and the other is not.
fn check_audit(folder: &Path, content: &str) {
    let config = folder.join("ocellus.toml");
    let verified = run(&["audit", "verify", "--json", "--config", config.to_str().unwrap()]);
    assert!(verified.status.success(), "{}", text(&verified.stderr));
    let report: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!(report["verdicts"], 1, "{report}");
    let logs = files(&folder.join("audit"));
    let lines: String = logs.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let entry = lines.lines().find(|line| line.contains("\"what\":\"verdict\"")).unwrap();
    let entry: Value = serde_json::from_str(entry).unwrap();
    assert_eq!((&entry["id"], &entry["verdict"]), (&"v-metadata".into(), &"wrong".into()));
    let file = folder.join("verdict.json");
    std::fs::write(&file, content).unwrap();
    let summed = Command::new("sha256sum").arg(&file).output().unwrap();
    assert_eq!(text(&summed.stdout).split(' ').next(), entry["digest"].as_str());
}
