//! The stand-in for IoT Hub and Device Provisioning Service, `iot_hub.mjs`, with certificates of its own.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long anything may take. Only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(120);
/// What the hub is called.
pub const HUB: &str = "plant.azure-devices.test";
/// A device's key, and an enrolment group's, in base64.
pub const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
pub const GROUP_KEY: &str = "8isrFI1sGsIlvvFSSFRiMfCNzv21fjbE/+ah/lSh3lF8e2YG1Te7w1KpZhJFFXJrqYKi9yegxkqIChbqOS9Egw==";
/// The id scope of provisioning.
pub const SCOPE: &str = "0ne00TEST";

/// The hub, killed when dropped.
pub struct IotHub {
    folder: tempfile::TempDir,
    settings: Value,
    child: Option<Child>,
    /// How many entries of the log were looked at, by what was looked for.
    seen: BTreeMap<String, usize>,
}

impl IotHub {
    /// One that knows devices `edge-01` (key), `edge-02` (certificate), and enrols `edge-03` (key), `edge-04`
    /// (certificate) and any other (group) as devices of that name.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        certificates(folder.path());
        let path = |name: &str| folder.path().join(name).display().to_string();
        let group = json!({ "group": GROUP_KEY });
        let settings = json!({
            "hub": HUB, "scope": SCOPE, "log": path("log.jsonl"), "keep": path("keep.json"),
            "ca": path("ca.pem"), "cert": path("server.pem"), "key": path("server.key"), "polls": 2,
            "devices": {
                "edge-01": { "key": KEY }, "edge-02": { "x509": true }, "edge-03": { "key": KEY },
                "edge-04": { "x509": true }, "edge-05": { "key": device_key("edge-05", folder.path()) },
            },
            "enrolments": { "edge-03": { "key": KEY }, "edge-04": { "x509": true }, "edge-05": group },
        });
        let mut hub = Self { folder, settings, child: None, seen: BTreeMap::new() };
        hub.begin();
        hub
    }

    /// Starts it where it was, with what it kept.
    pub fn begin(&mut self) {
        let file = self.folder.path().join("settings.json");
        std::fs::write(&file, self.settings.to_string()).expect("written");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/iot_hub.mjs");
        let peers = std::env::var("OCELLUS_PEERS")
            .unwrap_or_else(|_| format!("{}/.cache/ocellus/peers", std::env::var("HOME").expect("a home")));
        let child = Command::new("node")
            .arg(script)
            .arg(&file)
            .env("OCELLUS_PEERS", peers)
            .stdin(Stdio::piped())
            .spawn()
            .expect("node is installed: scripts/setup test");
        self.child = Some(child);
        let ready = self.wait_for("ready", |_| true);
        self.settings["port"] = ready["port"].clone();
        self.settings["provisioningPort"] = ready["provisioningPort"].clone();
    }

    /// As `kill -9` does it.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("killed");
            child.wait().expect("ended");
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The lines of a configuration that lead to the hub instead of Azure.
    pub fn way(&self) -> String {
        format!("ca_file = {:?}\nurl = \"mqtts://127.0.0.1:{}\"\n", self.path("ca.pem"), self.settings["port"])
    }

    /// Where provisioning is.
    pub fn provisioning(&self) -> String {
        format!("mqtts://127.0.0.1:{}", self.settings["provisioningPort"])
    }

    /// A file with this text.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).expect("written");
        path
    }

    /// The lines of a configuration for a device with a key.
    pub fn device_with_key(&self, device: &str) -> String {
        let key = self.file(&format!("{device}.shared"), KEY);
        format!("hub = {HUB:?}\ndevice = {device:?}\nshared_key_file = {key:?}\n{}", self.way())
    }

    /// The lines that show a certificate, which is made for this name.
    pub fn certificate(&self, name: &str) -> String {
        leaf(self.folder.path(), name);
        let (cert, key) = (self.path(&format!("{name}.pem")), self.path(&format!("{name}.key")));
        format!("cert_file = {cert:?}\nkey_file = {key:?}\n")
    }

    /// Has it do something: see `commands` in the script.
    pub fn order(&mut self, command: &Value) {
        let stdin = self.child.as_mut().and_then(|child| child.stdin.as_mut()).expect("it runs");
        stdin.write_all(format!("{command}\n").as_bytes()).expect("it listens");
    }

    /// All that has happened.
    pub fn log(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path("log.jsonl")).unwrap_or_default();
        // The last line may be half written.
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// How often something has happened.
    pub fn count(&self, is: &str) -> usize {
        self.log().iter().filter(|entry| entry["is"] == is).count()
    }

    /// Messages whose `schema` property is this.
    pub fn messages(&self, schema: &str) -> Vec<Value> {
        let log = self.log().into_iter();
        log.filter(|entry| entry["is"] == "message" && entry["properties"]["schema"] == schema).collect()
    }

    /// Waits for the next entry of this sort that is wanted; those of other sorts can be waited for as well.
    #[track_caller]
    pub fn wait_for(&mut self, is: &str, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let log = self.log();
            let seen = self.seen.entry(is.to_owned()).or_default();
            for entry in &log[*seen..] {
                *seen += 1;
                if entry["is"] == is && wanted(entry) {
                    return entry.clone();
                }
            }
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().expect("waited for")) {
                panic!("the hub ended: {status}");
            }
            let last = &log[log.len().saturating_sub(20)..];
            assert!(Instant::now() < until, "never {is}; the last were {last:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for IotHub {
    fn drop(&mut self) {
        self.kill();
    }
}

fn openssl(folder: &Path, arguments: &str) -> Vec<u8> {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output();
    let output = output.expect("openssl is installed: scripts/setup test");
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// An authority, and a certificate for the hub.
fn certificates(folder: &Path) {
    openssl(
        folder,
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout ca.key -out ca.pem -subj /CN=test-ca",
    );
    leaf(folder, "server");
}

/// A certificate that is a day old, so that it is good by clocks that are late as well.
fn leaf(folder: &Path, name: &str) {
    let write = |file: &str, text: &str| std::fs::write(folder.join(file), text).expect("written");
    write("leaf.cnf", "basicConstraints=CA:FALSE\nsubjectAltName=IP:127.0.0.1\n");
    write(
        "ca.cnf",
        "[ca]\ndefault_ca=own\n[own]\ndatabase=index\nrand_serial=yes\nnew_certs_dir=.\npolicy=any\n[any]\ncommonName=supplied\n",
    );
    write("index", "");
    openssl(
        folder,
        &format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}"
        ),
    );
    let day = |days| (chrono::Utc::now() + chrono::TimeDelta::days(days)).format("%Y%m%d%H%M%SZ");
    openssl(
        folder,
        &format!(
            "ca -batch -notext -md sha256 -config ca.cnf -cert ca.pem -keyfile ca.key -extfile leaf.cnf \
             -startdate {} -enddate {} -in {name}.csr -out {name}.pem",
            day(-1),
            day(2)
        ),
    );
}

/// A device's key of the enrolment group, worked out by openssl.
fn device_key(device: &str, folder: &Path) -> String {
    std::fs::write(folder.join("group.b64"), GROUP_KEY).expect("written");
    openssl(folder, "base64 -d -A -in group.b64 -out group.key");
    let hex: String =
        std::fs::read(folder.join("group.key")).expect("read").iter().map(|b| format!("{b:02x}")).collect();
    std::fs::write(folder.join("device.id"), device).expect("written");
    openssl(folder, &format!("dgst -sha256 -mac HMAC -macopt hexkey:{hex} -binary -out device.key device.id"));
    String::from_utf8(openssl(folder, "base64 -A -in device.key")).expect("text").trim().to_owned()
}
