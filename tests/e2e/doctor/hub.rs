//! Azure IoT Hub and what assigns hubs, by a stand-in that enforces their rules: see `tests/peers/iot_hub.mjs`.

use serde_json::Value;

use super::stores::Way;
use super::{findings_of, late, steps};
use crate::iothub::peer::{GROUP_KEY, HUB, IotHub, KEY, SCOPE};
use crate::peers::{Running, free_port, ocellus};

const NO_BROKER: &str = "[mqtt]\nenabled = false\n";
const GOOD: [&str; 3] = ["iothub", "iothub-tls", "iothub-login"];

fn examined(hub: &IotHub, settings: &str, variables: &[(&str, &str)]) -> Vec<Value> {
    findings_of(&hub.path("."), &format!("{NO_BROKER}[iothub]\n{settings}"), variables)
}

#[track_caller]
fn wrong(found: &[Value], what: &str, check: &str, wanted: &str) {
    let (_, bad) = steps(found, what);
    let right = bad.len() == 1 && bad[0].0 == check && bad[0].1.contains(wanted);
    assert!(right, "{check} with {wanted:?} is not in {bad:?}");
}

#[test]
fn each_way_to_prove_who_one_is_is_accepted_or_has_its_fix() {
    let hub = IotHub::start();
    let way = hub.way();
    let string = hub.file("string", &format!("HostName={HUB};DeviceId=edge-01;SharedAccessKey={KEY}\n"));
    let device = format!("hub = {HUB:?}\ndevice = \"edge-02\"\n{way}");
    for good in [
        format!("connection_string_file = {string:?}\n{way}"),
        hub.device_with_key("edge-01"),
        format!("{device}{}", hub.certificate("edge-02")),
    ] {
        let found = examined(&hub, &good, &[]);
        assert_eq!(steps(&found, "iothub"), (GOOD.to_vec(), vec![]), "{found:?}");
    }
    let other = hub.certificate("another");
    wrong(&examined(&hub, &format!("{device}{other}"), &[]), "iothub", "iothub-login", "certificate's thumbprint");
    let settings = hub.device_with_key("edge-01");
    hub.file("edge-01.shared", GROUP_KEY);
    let found = examined(&hub, &settings, &[]);
    wrong(&found, "iothub", "iothub-login", "compare the secret in [iothub]");
    assert!(!format!("{found:?}").contains(GROUP_KEY));
    hub.file("edge-01.shared", "hunter2");
    wrong(&examined(&hub, &settings, &[]), "iothub", "iothub", "correct [iothub]");
    let closed = format!("url = \"mqtts://127.0.0.1:{}\"", free_port());
    let away: Vec<&str> =
        settings.lines().map(|line| if line.starts_with("url") { &*closed } else { line }).chain([""]).collect();
    hub.file("edge-01.shared", KEY);
    wrong(&examined(&hub, &away.join("\n"), &[]), "iothub", "iothub", "open port 8883");
}

#[test]
fn provisioning_is_asked_where_no_hub_is_known() {
    let hub = IotHub::start();
    let key = hub.file("individual", KEY);
    let settings = |key: &str| {
        format!(
            "{}shared_key_file = {key:?}\n[iothub.dps]\nid_scope = {SCOPE:?}\nregistration_id = \"edge-03\"\n\
             url = {:?}\nassignment = {:?}\n",
            hub.way(),
            hub.provisioning(),
            hub.path("assignment.json")
        )
    };
    let found = examined(&hub, &settings(key.to_str().unwrap()), &[]);
    assert_eq!(steps(&found, "dps"), (vec!["dps", "dps-tls", "dps-login"], vec![]), "{found:?}");
    assert_eq!(steps(&found, "iothub"), (GOOD.to_vec(), vec![]), "{found:?}");
    let wrong_key = hub.file("wrong", GROUP_KEY);
    let found = examined(&hub, &settings(wrong_key.to_str().unwrap()), &[]);
    wrong(&found, "dps", "dps-login", "compare the secret in [iothub.dps]");
    assert_eq!(steps(&found, "iothub"), (vec![], vec![]), "{found:?}");
}

/// A store tells the time; the hub itself only says no.
#[test]
fn a_token_that_has_ended_is_told_from_a_wrong_key_by_the_clock() {
    let hub = IotHub::start();
    let store = Way::to("127.0.0.1:1", &["--any", "--say", "403", "AuthenticationFailed"]);
    let endpoint = format!("http://{}/account", store.address);
    let variables = [
        ("AZURE_STORAGE_ACCOUNT_NAME", "account"),
        ("AZURE_STORAGE_ENDPOINT", &*endpoint),
        ("AZURE_STORAGE_ACCOUNT_KEY", KEY),
    ];
    let evidence = "[evidence]\nstore = \"az://c\"\n[[privacy.store]]\nname = \"all\"\nallow = \"frame\"\n";
    let settings = format!("{}{evidence}", hub.device_with_key("edge-01"));
    let late = late(3);
    let all: Vec<_> = variables.into_iter().chain(late.iter().map(|(k, v)| (*k, &**v))).collect();
    let found = examined(&hub, &settings, &all);
    wrong(&found, "iothub", "iothub-login", "tokens have ended before they arrive");
    assert_eq!(hub.log().iter().find(|entry| entry["is"] == "refused").unwrap()["why"], "token expired");
}

#[test]
fn a_daemon_that_runs_is_not_thrown_out() {
    let mut hub = IotHub::start();
    let web = format!("[web]\nlisten = \"127.0.0.1:{}\"\n", free_port());
    let settings = format!("{}{web}", hub.device_with_key("edge-01"));
    let config = hub.file("daemon.toml", &format!("device = \"cpu\"\n{NO_BROKER}[iothub]\n{settings}"));
    let _daemon = Running::start(ocellus().args(["run", "--config"]).arg(&config));
    hub.wait_for("connected", |_| true);
    let found = examined(&hub, &settings, &[]);
    assert_eq!(steps(&found, "iothub"), (GOOD.to_vec(), vec![]), "{found:?}");
    assert!(format!("{found:?}").contains("not tried, as it would throw out the daemon"), "{found:?}");
    assert_eq!((hub.count("connected"), hub.count("gone")), (1, 0));
}
