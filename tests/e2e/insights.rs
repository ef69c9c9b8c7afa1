//! What a node tells its fleet: counted over restarts and kills, closed by the clock, and read by Spark.

#[path = "../../examples/fleet/simulate.rs"]
mod simulate;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};

use self::simulate::Fleet;
use crate::peers::{Mosquitto, Running, Subscriber, files, ocellus, run, text, until};

/// Two simulated lines, the parts of which cross a line.
fn config(folder: &Path, port: u16, more: &str) -> PathBuf {
    let path = folder.join("ocellus.toml");
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/conveyor");
    let camera = |name: &str, seed: u32| {
        format!(
            "[cameras.{name}]\nsource = \"sim:conveyor?seed={seed}&fps=4&width=320&height=180\"\n\
             [[cameras.{name}.lines]]\nname = \"exit\"\npoints = [[0.5, 0], [0.5, 1]]\n"
        )
    };
    let text = format!(
        "site = \"plant-7\"\nnode = \"edge-01\"\ndevice = \"cpu\"\n\
         [mqtt]\nurl = \"mqtt://127.0.0.1:{port}\"\ndetections_qos = 1\nqueue = 65536\n\
         [outbox]\npath = {:?}\nreserve_mib = 1\n\
         [models.parts]\npath = {package:?}\n{}{}\
         [insights]\nstore = {:?}\n{more}",
        folder.join("outbox"),
        camera("left", 3),
        camera("right", 4),
        folder.join("store"),
    );
    std::fs::write(&path, text).unwrap();
    path
}

/// The daemon, for whose calendar it is then; what it measures by the other clock is as long as ever.
fn start(config: &Path, then: &str) -> Running {
    let library = format!("/usr/lib/{}-linux-gnu/faketime/libfaketimeMT.so.1", std::env::consts::ARCH);
    assert!(Path::new(&library).exists(), "{library} is in the Debian package libfaketime");
    let mut command = ocellus();
    command.env("LD_PRELOAD", library).env("FAKETIME", format!("@{then}")).env("TZ", "UTC");
    command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    Running::start(command.args(["run", "--config"]).arg(config))
}

/// What the broker's clients have heard.
#[derive(Default)]
struct Heard {
    /// By camera: frames, and frames with a score in the band.
    frames: BTreeMap<String, (u64, u64)>,
    /// By camera and label: how many, their scores in units of 1/10 000, and the bins.
    objects: BTreeMap<(String, String), (u64, u64, [u64; 20])>,
    /// Ids of events, with the line that they are about.
    events: BTreeMap<String, Option<String>>,
    /// The last statistics of the process that runs, and what those of earlier ones came to: frames, dropped, events.
    stats: Value,
    before: [u64; 3],
    stopped: bool,
}

impl Heard {
    /// Listens until it has heard enough.
    fn listen(&mut self, subscriber: &mut Subscriber, enough: impl Fn(&Self) -> bool) {
        self.stopped = false;
        while !enough(self) {
            let message = subscriber.next();
            let said = message.json();
            if message.topic.ends_with("edge-01/status") {
                self.stopped = said["state"] == "stopped";
            } else if message.topic.ends_with("/stats") {
                self.stats = said;
            } else if message.topic.ends_with("/events") {
                let line = said["line"]["name"].as_str().map(str::to_owned);
                self.events.insert(said["id"].as_str().unwrap().to_owned(), line);
            } else if message.topic.ends_with("/detections") {
                self.detections(&said);
            }
        }
    }

    /// A process has ended: its counters begin anew.
    fn end_run(&mut self) {
        for (i, key) in ["scored", "dropped", "events"].into_iter().enumerate() {
            self.before[i] += self.counted(key);
        }
    }

    /// What the last statistics say of all cameras together.
    fn counted(&self, key: &str) -> u64 {
        let cameras = self.stats["cameras"].as_object();
        cameras.into_iter().flat_map(|all| all.values()).map(|camera| camera[key].as_u64().unwrap()).sum()
    }

    fn detections(&mut self, said: &Value) {
        let camera = said["camera"].as_str().unwrap().to_owned();
        let mut unsure = false;
        for object in said["objects"].as_array().unwrap() {
            let score = (object["score"].as_f64().unwrap() * 1e4).round() as u64;
            unsure |= (3000..=6000).contains(&score);
            let key = (camera.clone(), object["label"].as_str().unwrap().to_owned());
            let (count, sum, bins) = self.objects.entry(key).or_default();
            *count += 1;
            *sum += score;
            bins[(score as usize / 500).min(19)] += 1;
        }
        let frames = self.frames.entry(camera).or_default();
        frames.0 += 1;
        frames.1 += u64::from(unsure);
    }
}

fn parquet(store: &Path, table: &str) -> Vec<PathBuf> {
    files(&store.join(table)).into_iter().filter(|path| path.extension().is_some_and(|end| end == "parquet")).collect()
}

/// A client that is known to miss nothing from now on.
fn subscribed(port: u16) -> Subscriber {
    let (port_text, topic) = (port.to_string(), "ocellus/plant-7/edge-01/probe");
    let sent = Command::new("mosquitto_pub").args(["-p", &port_text, "-r", "-t", topic, "-m", "0"]).status();
    assert!(sent.unwrap().success());
    let mut subscriber = Subscriber::to(port, "ocellus/plant-7/edge-01/#");
    subscriber.wait_for("/probe", |_| true);
    subscriber
}

/// What Spark makes of a store, and of simulated fleets.
fn spark(python: &OsStr, store: &Path, fleets: &[&Path]) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/fleet_spark.py");
    let mut command = Command::new(python);
    command.arg(script).arg("--daemon").arg(store).arg("--fleets").args(fleets).stdin(Stdio::null());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output.stdout)))
}

fn total(rows: &[Value], column: &str, fits: impl Fn(&Value) -> bool) -> f64 {
    rows.iter().filter(|row| fits(row)).filter_map(|row| row[column].as_f64()).sum()
}

fn close(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-6, "{a} {b}");
}

#[test]
fn spark_reads_what_the_broker_heard_and_the_report_finds_the_cameras_that_drift() {
    let Some(python) = std::env::var_os("OCELLUS_SPARK") else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "OCELLUS_SPARK is not set, and CI must have it");
        return eprintln!("skipped: OCELLUS_SPARK is not set; scripts/test says where Spark is");
    };
    let broker = Mosquitto::start();
    let folder = tempfile::tempdir().unwrap();
    let (store, path) = (folder.path().join("store"), config(folder.path(), broker.port, ""));
    // Two processes count the same hour.
    let mut heard = Heard::default();
    for then in ["2026-01-02 12:50:00", "2026-01-02 12:56:00"] {
        let enough = heard.events.len() + 4;
        let mut subscriber = subscribed(broker.port);
        let mut running = start(&path, then);
        heard.stats = Value::Null;
        heard.listen(&mut subscriber, |heard| heard.events.len() >= enough && heard.counted("scored") > 0);
        running.signal("TERM");
        heard.listen(&mut subscriber, |heard| heard.stopped);
        let (status, said) = running.wait();
        assert!(status.success(), "{said}");
        heard.end_run();
    }
    assert!(parquet(&store, "insights").is_empty(), "the hour is not over");
    // It is over, and whoever comes to close it and bring it to the store is killed at any moment of that.
    for milliseconds in [0, 5, 20, 60, 150] {
        let mut running = start(&path, "2026-01-02 13:10:00");
        running.wait_for_line("open and warm");
        std::thread::sleep(Duration::from_millis(milliseconds));
        running.signal("KILL");
        running.wait();
    }
    let mut running = start(&path, "2026-01-02 13:20:00");
    let there = || parquet(&store, "insights").len() + parquet(&store, "events").len();
    until("the files are in the store", || there() == 2);
    // By then it heeds signals.
    running.wait_for_line("The camera delivers");
    let (status, said) = running.terminate();
    assert!(status.success(), "{said}");
    assert_eq!(there(), 2);

    let (drifting, calm) = (folder.path().join("drifting"), folder.path().join("calm"));
    let fleet = Fleet { nodes: 6, days: 12, hours_per_file: 24, drift_from: Some(9) };
    let truth = fleet.write(&drifting).unwrap();
    Fleet { nodes: 3, drift_from: None, ..fleet }.write(&calm).unwrap();
    let found = spark(&python, &store, &[&drifting, &calm]);
    check_hour(&found["insights"], &heard);
    check_events(&found["events"], &heard);
    check_report(&found["fleets"][0], &truth);
    assert_eq!(found["fleets"][1]["drifts"].as_array().unwrap().len(), 0, "{}", found["fleets"][1]);
    assert_eq!(found["fleets"][1]["rows"], 3 * 4 * 12);
}

/// The hour is what was published, once.
fn check_hour(table: &Value, heard: &Heard) {
    assert_eq!(
        (table["files"].as_u64(), &table["said"]["ocellus.schema"]),
        (Some(1), &"ocellus.insights.hours/1".into())
    );
    let rows = table["rows"].as_array().unwrap();
    for (camera, (frames, uncertain)) in &heard.frames {
        let of = |row: &Value| row["camera"] == camera.as_str();
        close(total(rows, "frames", of), *frames as f64);
        close(total(rows, "uncertain", of), *uncertain as f64);
        // It was there all the time: both processes ran for some seconds.
        assert!(total(rows, "ok_s", of) > 0.5, "{rows:?}");
    }
    let mut detections = 0;
    for ((camera, label), (count, score, bins)) in &heard.objects {
        let row = rows.iter().find(|row| row["camera"] == camera.as_str() && row["label"] == label.as_str()).unwrap();
        assert_eq!(row["detections"].as_u64(), Some(*count), "{camera} {label}");
        close(row["score_sum"].as_f64().unwrap(), *score as f64 / 1e4);
        assert_eq!(row["scores"], serde_json::json!(bins));
        detections += count;
    }
    close(total(rows, "detections", |_| true), detections as f64);
    let events = ["new", "entered", "dwelt", "left", "crossed", "relabelled", "end"];
    let events = events.iter().map(|kind| total(rows, &format!("events_{kind}"), |_| true)).sum::<f64>();
    close(events, heard.events.len() as f64);
    // The statistics are a second older than the end.
    let [scored, dropped, happened] = heard.before;
    assert!(scored > 0 && total(rows, "frames", |_| true) >= scored as f64);
    assert!(total(rows, "dropped", |_| true) >= dropped as f64 && events >= happened as f64);
    for row in rows {
        assert_eq!((&row["hour"], &row["dt"]), (&"2026-01-02T12:00:00.000Z".into(), &"2026-01-02".into()));
        assert_eq!((&row["site"], &row["node"]), (&"plant-7".into(), &"edge-01".into()));
    }
}

fn check_events(table: &Value, heard: &Heard) {
    assert_eq!(
        (table["files"].as_u64(), &table["said"]["ocellus.schema"]),
        (Some(1), &"ocellus.insights.events/1".into())
    );
    let rows = table["rows"].as_array().unwrap();
    let told: BTreeMap<_, _> = rows
        .iter()
        .map(|row| (row["id"].as_str().unwrap().to_owned(), row["line"].as_str().map(str::to_owned)))
        .collect();
    assert_eq!((rows.len(), &told), (heard.events.len(), &heard.events));
    let columns: Vec<_> =
        table["schema"].as_array().unwrap().iter().map(|column| column[0].as_str().unwrap()).collect();
    assert!(["box", "score", "image"].iter().all(|column| !columns.contains(column)), "{columns:?}");
}

/// Every camera that drifts is found on the day on which it begins to, and on each that follows, and no other.
fn check_report(report: &Value, truth: &Value) {
    for sum in ["frames", "detections"] {
        assert_eq!(report[sum].as_u64(), truth[sum].as_u64(), "{report}");
    }
    let key = |row: &Value| ["site", "node", "camera", "day"].map(|key| row[key].as_str().unwrap().to_owned());
    let found: BTreeSet<_> = report["drifts"].as_array().unwrap().iter().map(key).collect();
    let wanted: BTreeSet<_> = truth["drifts"].as_array().unwrap().iter().map(key).collect();
    assert!(wanted.len() >= 2, "{truth}");
    assert_eq!(found, wanted);
    assert!(report["drifts"].as_array().unwrap().iter().all(|row| row["days"] == 3), "{report}");
    close(report["ok_share"].as_f64().unwrap(), 3590.0 / 3600.0);
}

#[test]
fn a_store_elsewhere_gets_nothing_that_nobody_called_global() {
    let folder = tempfile::tempdir().unwrap();
    let path = config(folder.path(), 1, "");
    let with = |global: &str| {
        let text = std::fs::read_to_string(&path).unwrap();
        let place = format!("store = {:?}", folder.path().join("store"));
        let elsewhere = folder.path().join("elsewhere.toml");
        std::fs::write(&elsewhere, format!("{}{global}", text.replace(&place, "store = \"az://fleet/x\""))).unwrap();
        run(&["check", "--config", elsewhere.to_str().unwrap()])
    };
    let refused = with("");
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stderr);
    assert!(said.contains("add `global` to [privacy]") && said.contains("event-counts"), "{said}");
    assert!(with("[privacy]\nglobal = [\"frames\"]\n").status.success());
}

/// What is named leaves, what is not does not, and the audit log has both files.
#[test]
fn what_is_not_global_stays_and_each_file_is_in_the_audit_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = config(folder.path(), 1, "[privacy]\nglobal = [\"label\", \"detections\", \"events\"]\n");
    let mut running = start(&path, "2026-01-02 12:50:00");
    let ledger = folder.path().join("outbox/insights.db-wal");
    running.wait_for_line("open and warm");
    until("something is counted", || ledger.metadata().is_ok_and(|file| file.len() > 0));
    running.wait_for_line("The camera delivers");
    std::thread::sleep(Duration::from_secs(2));
    assert!(running.terminate().0.success());
    let mut running = start(&path, "2026-01-02 13:10:00");
    let store = folder.path().join("store");
    until("the sums are in the store", || !parquet(&store, "insights").is_empty());
    running.wait_for_line("The camera delivers");
    assert!(running.terminate().0.success());
    let log: String =
        files(&folder.path().join("audit")).iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    for file in parquet(&store, "insights") {
        let name = file.strip_prefix(&store).unwrap().to_str().unwrap().to_owned();
        let line = log.lines().find(|line| line.contains(&name)).unwrap_or_else(|| panic!("{name}: {log}"));
        let digest: String = Sha256::digest(std::fs::read(&file).unwrap()).iter().map(|b| format!("{b:02x}")).collect();
        assert!(line.contains("\"what\":\"told\"") && line.contains(&digest), "{line}");
        assert!(line.contains("[\"label\",\"detections\",\"events\"]"), "{line}");
    }
    let verified = run(&["audit", "verify", "--config", path.to_str().unwrap()]);
    assert!(text(&verified.stdout).contains("files of insights were let go"), "{}", text(&verified.stdout));
}
