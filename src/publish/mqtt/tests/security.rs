use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;
use crate::publish::testing::{Log, free_port};

/// A broker that knows one user.
fn broker_with_password(folder: &Path) -> Mosquitto {
    let users = folder.join("users");
    let done = Command::new("mosquitto_passwd").args(["-b", "-c"]).arg(&users).args(["anna", "hunter2"]).status();
    assert!(done.expect("mosquitto_passwd is installed").success());
    let mut broker = Mosquitto::prepare(&format!("allow_anonymous false\npassword_file {}", users.display()));
    broker.run();
    broker
}

fn with_password(broker: &Mosquitto, text: &str) -> MqttConfig {
    let path = broker.folder().join("password");
    std::fs::write(&path, text).expect("written");
    MqttConfig { username: Some("anna".to_owned()), password_file: Some(path), ..local(broker.port()) }
}

#[test]
fn the_right_password_opens() {
    let (folder, runtime) = (tempfile::tempdir().expect("a folder"), runtime());
    let broker = broker_with_password(folder.path());
    for version in [3, 5] {
        let mqtt = start(&runtime, &MqttConfig { version, ..with_password(&broker, "hunter2\n") });
        let witness = Listener::with(broker.port(), &["-u", "anna", "-P", "hunter2"]);
        witness.wait_for_state(NODE, "online", &["offline"]);
        assert!(!format!("{mqtt:?}{:?}", mqtt.handle()).contains("hunter2"));
        assert_eq!(close(&runtime, mqtt), 0);
        let wrong = MqttConfig { version, ..with_password(&broker, "hunter3") };
        assert_eq!(refusal(&runtime, &wrong), "the broker refuses our user name, password or certificate");
    }
}

#[test]
fn a_wrong_password_is_said_once_and_clearly() {
    let folder = tempfile::tempdir().expect("a folder");
    let broker = broker_with_password(folder.path());
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer({
        let log = log.clone();
        move || log.clone()
    });
    // Everything runs on this thread, so that its log is ours.
    let _logging = tracing::subscriber::set_default(subscriber.finish());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mqtt = start(&runtime, &with_password(&broker, "hunter3"));
    let handle = mqtt.handle();
    runtime.block_on(async {
        while broker.says("not authorised") < 3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert_eq!(handle.last_error().as_deref(), Some("the broker refuses our user name, password or certificate"));
    assert!(!handle.connected());
    let text = log.text();
    assert_eq!(text.matches("WARN").count(), 1, "{text}");
    assert!(text.contains("refuses our user name, password"), "{text}");
    assert!(!text.contains("hunter3"), "{text}");
}

/// Certificates made by openssl: an authority, a server's for 127.0.0.1, a client's.
struct Authority(tempfile::TempDir);

impl Authority {
    fn new() -> Self {
        let this = Self(tempfile::tempdir().expect("a folder"));
        this.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout ca.key -out ca.pem -subj /CN=test-ca");
        std::fs::write(this.path("leaf.cnf"), "basicConstraints=CA:FALSE\nsubjectAltName=IP:127.0.0.1\n")
            .expect("written");
        for name in ["server", "client"] {
            this.openssl(&format!("req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}"));
            this.openssl(&format!("x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out {name}.pem -extfile leaf.cnf"));
        }
        this
    }

    fn openssl(&self, arguments: &str) {
        let run = Command::new("openssl").args(arguments.split(' ')).current_dir(self.0.path()).output();
        let output = run.expect("openssl is installed: scripts/setup test");
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn broker(&self, further: &str) -> Mosquitto {
        let [ca, cert, key] = ["ca.pem", "server.pem", "server.key"].map(|name| self.path(name).display().to_string());
        let settings = format!("allow_anonymous true\ncafile {ca}\ncertfile {cert}\nkeyfile {key}\n{further}");
        let mut broker = Mosquitto::prepare(&settings);
        broker.run();
        broker
    }

    fn trusting(&self, port: u16) -> MqttConfig {
        MqttConfig {
            url: format!("mqtts://127.0.0.1:{port}"),
            ca_file: Some(self.path("ca.pem")),
            ..MqttConfig::default()
        }
    }
}

/// Why there is no connection.
fn refusal(runtime: &Runtime, config: &MqttConfig) -> String {
    let mqtt = start(runtime, config);
    let handle = mqtt.handle();
    eventually("it is refused", || handle.last_error().is_some());
    assert!(!handle.connected());
    handle.last_error().expect("an error")
}

#[test]
fn tls_trusts_the_given_authority_and_no_other() {
    let (ours, other, runtime) = (Authority::new(), Authority::new(), runtime());
    let broker = ours.broker("");
    let mqtt = start(&runtime, &ours.trusting(broker.port()));
    let ca = ours.path("ca.pem").display().to_string();
    let witness = Listener::with(broker.port(), &["--cafile", &ca]);
    witness.wait_for_state(NODE, "online", &["offline"]);
    assert_eq!(close(&runtime, mqtt), 0);
    witness.wait_for_state(NODE, "stopped", &["offline"]);

    let error = refusal(&runtime, &other.trusting(broker.port()));
    assert!(error.contains("`ca_file` names the authority to trust"), "{error}");
    // The certificate is for 127.0.0.1, not for this name of the same host.
    let renamed = MqttConfig { url: format!("mqtts://localhost:{}", broker.port()), ..ours.trusting(broker.port()) };
    let error = refusal(&runtime, &renamed);
    assert!(error.contains("localhost") || error.contains("NotValidForName"), "{error}");
}

#[test]
fn a_broker_without_tls_is_not_talked_to_in_the_clear() {
    let (ours, runtime) = (Authority::new(), runtime());
    let broker = Mosquitto::start();
    refusal(&runtime, &ours.trusting(broker.port()));
    assert_eq!(broker.says("Client ocellus"), 0, "no client id was seen");
    refusal(&runtime, &ours.trusting(free_port()));
}

#[test]
fn mutual_tls_shows_who_we_are() {
    let (ours, runtime) = (Authority::new(), runtime());
    let broker = ours.broker("require_certificate true");
    let anonymous = ours.trusting(broker.port());
    let error = refusal(&runtime, &anonymous).to_lowercase();
    assert!(error.contains("certificate"), "{error}");

    let known = MqttConfig {
        cert_file: Some(ours.path("client.pem")),
        key_file: Some(ours.path("client.key")),
        ..anonymous.clone()
    };
    for version in [3, 5] {
        let mqtt = start(&runtime, &MqttConfig { version, ..known.clone() });
        let handle = mqtt.handle();
        eventually("it connects", || handle.connected());
        assert_eq!(close(&runtime, mqtt), 0);
    }

    // A key that is not the certificate's is found at the start.
    let mixed = MqttConfig { key_file: Some(ours.path("server.key")), ..known };
    let _inside = runtime.enter();
    let clock = Arc::new(ManualClock::new(at(0)));
    let error = Mqtt::start(&mixed, "s", "n", clock, durable()).expect_err("the key is another's").to_string();
    assert!(error.contains("client.pem"), "{error}");
}
