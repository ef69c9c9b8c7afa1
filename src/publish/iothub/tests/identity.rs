//! Who a hub lets in, and what is said about whom it doesn't.

use chrono::TimeDelta;

use super::peer::{GROUP_KEY, HUB, KEY, SCOPE};
use super::*;
use crate::clock::ManualClock;
use crate::publish::testing::Log;

fn memory() -> OutboxHandle {
    let outbox = Outbox::in_memory(Arc::new(SystemClock)).expect("started");
    let handle = outbox.handle();
    std::mem::forget(outbox);
    handle
}

#[test]
fn a_connection_string_is_all_that_it_takes() {
    let (hub, runtime) = (peer::IotHub::start(), runtime());
    let text = format!("HostName={HUB};DeviceId=edge-01;SharedAccessKey={KEY}\n");
    let file = hub.file("string", &text);
    let iothub = start(&runtime, &config(&format!("connection_string_file = {file:?}\n{}", hub.way())), &memory());
    eventually("it connects", || iothub.handle().connected());
    assert!(!format!("{iothub:?}{:?}", iothub.handle()).contains(KEY));
    assert_eq!(close(&runtime, iothub), 0);
}

#[test]
fn a_wrong_key_is_said_once_and_clearly_and_the_right_one_is_found_without_a_restart() {
    let hub = peer::IotHub::start();
    let settings = hub.device_with_key("edge-01");
    hub.file("edge-01.shared", GROUP_KEY);
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer({
        let log = log.clone();
        move || log.clone()
    });
    // Everything runs on this thread, so that its log is ours.
    let _logging = tracing::subscriber::set_default(subscriber.finish());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let iothub = start(&runtime, &config(&settings), &memory());
    let handle = iothub.handle();
    let until = |so: &dyn Fn() -> bool| {
        runtime.block_on(async {
            while !so() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
    };
    until(&|| hub.count("refused") >= 3);
    until(&|| handle.last_error().is_some());
    let error = handle.last_error().expect("an error");
    assert!(error.contains("is the key this device's, is this machine's clock right"), "{error}");
    let text = log.text();
    assert_eq!(text.matches("WARN").count(), 1, "{text}");
    assert!(!text.contains(GROUP_KEY) && !text.contains("SharedAccessSignature"), "{text}");

    hub.file("edge-01.shared", KEY);
    until(&|| handle.connected());
    assert_eq!(handle.last_error(), None);
}

#[test]
fn a_clock_that_is_wrong_is_named_among_the_reasons() {
    let (mut hub, runtime) = (peer::IotHub::start(), runtime());
    let iothub = {
        let _inside = runtime.enter();
        let clock = Arc::new(ManualClock::new(chrono::Utc::now() - TimeDelta::hours(3)));
        let durable = Durable { outbox: memory(), backlog_rate: 1 };
        let commander = operator(&runtime).0;
        IotHub::start(&config(&hub.device_with_key("edge-01")), clock, durable, commander).expect("good settings")
    };
    let error = refusal(&iothub.handle());
    assert!(error.contains("clock"), "{error}");
    assert_eq!(hub.wait_for("refused", |_| true)["why"], "token expired");
}

#[test]
fn a_certificate_opens_and_another_s_does_not() {
    let (hub, runtime) = (peer::IotHub::start(), runtime());
    let device = format!("hub = {HUB:?}\ndevice = \"edge-02\"\n{}", hub.way());
    let iothub = start(&runtime, &config(&format!("{device}{}", hub.certificate("edge-02"))), &memory());
    eventually("it connects", || iothub.handle().connected());
    assert_eq!(close(&runtime, iothub), 0);
    let other = start(&runtime, &config(&format!("{device}{}", hub.certificate("another"))), &memory());
    let error = refusal(&other.handle());
    assert!(error.contains("certificate's thumbprint"), "{error}");
}

#[test]
fn another_authority_s_hub_is_not_talked_to() {
    let (hub, other, runtime) = (peer::IotHub::start(), peer::IotHub::start(), runtime());
    let settings = hub.device_with_key("edge-01");
    let settings =
        settings.replace(&hub.path("ca.pem").display().to_string(), &other.path("ca.pem").display().to_string());
    let iothub = start(&runtime, &config(&settings), &memory());
    let error = refusal(&iothub.handle());
    assert!(error.contains("`ca_file` names the authority to trust"), "{error}");
    assert_eq!(hub.count("refused") + hub.count("connected"), 0);
}

fn provisioned(hub: &peer::IotHub, registration: &str, proof: &str, group: &str) -> IotHubConfig {
    let (way, url) = (hub.way(), hub.provisioning());
    let assignment = hub.path(&format!("{registration}.json"));
    config(&format!(
        "{proof}{way}[dps]\nid_scope = {SCOPE:?}\nregistration_id = {registration:?}\nurl = {url:?}\n\
         assignment = {assignment:?}\n{group}"
    ))
}

/// Each way to prove it: an individual key, a certificate, a group's key.
#[test]
fn provisioning_says_which_hub_and_device_this_is() {
    let (hub, runtime) = (peer::IotHub::start(), runtime());
    let key = format!("shared_key_file = {:?}\n", hub.file("individual", KEY));
    let group = format!("group_key_file = {:?}\n", hub.file("group", GROUP_KEY));
    for (registration, proof, group) in [
        ("edge-03", key.as_str(), ""),
        ("edge-04", hub.certificate("edge-04").as_str(), ""),
        ("edge-05", "", group.as_str()),
    ] {
        let config = provisioned(&hub, registration, proof, group);
        let assigned = |hub: &peer::IotHub| {
            hub.log().iter().filter(|e| e["is"] == "assigned" && e["client"] == registration).count()
        };
        for _ in 0..2 {
            let iothub = start(&runtime, &config, &memory());
            eventually("it connects", || iothub.handle().connected());
            assert_eq!(close(&runtime, iothub), 0);
            assert_eq!(assigned(&hub), 1, "what was assigned is known at the next start");
        }
    }
    assert_eq!((hub.count("closed"), hub.count("refused")), (0, 0));
}

#[test]
fn where_the_hub_refuses_provisioning_is_asked_again() {
    let (mut hub, runtime) = (peer::IotHub::start(), runtime());
    let key = format!("shared_key_file = {:?}\n", hub.file("individual", KEY));
    let config = provisioned(&hub, "edge-03", &key, "");
    let iothub = start(&runtime, &config, &memory());
    eventually("it connects", || iothub.handle().connected());
    hub.wait_for("assigned", |_| true);
    hub.order(&json!({ "do": "key", "device": "edge-03", "key": null }));
    hub.wait_for("refused", |entry| entry["why"] == "no such device");
    hub.wait_for("assigned", |_| true);
    hub.order(&json!({ "do": "key", "device": "edge-03", "key": KEY }));
    eventually("it connects", || iothub.handle().connected());
    close(&runtime, iothub);
}

#[test]
fn provisioning_that_refuses_says_so() {
    let (hub, runtime) = (peer::IotHub::start(), runtime());
    let wrong = format!("shared_key_file = {:?}\n", hub.file("wrong", GROUP_KEY));
    let iothub = start(&runtime, &provisioned(&hub, "edge-03", &wrong, ""), &memory());
    let error = refusal(&iothub.handle());
    assert!(error.contains("provisioning at 127.0.0.1") && error.contains("edge-03"), "{error}");
}
