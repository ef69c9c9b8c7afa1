//! The twin and direct methods.

use super::*;
use crate::command::Setting;
use crate::status::{CAMERA_SCHEMA, CameraState};

fn memory() -> OutboxHandle {
    let outbox = Outbox::in_memory(Arc::new(SystemClock)).expect("started");
    let handle = outbox.handle();
    std::mem::forget(outbox);
    handle
}

fn set(camera: &str, setting: Setting) -> Request {
    Request { camera: Some(camera.to_owned()), command: Command::Set(setting) }
}

fn desired(hub: &mut peer::IotHub, patch: &Value) {
    hub.order(&json!({ "do": "desired", "device": "edge-01", "patch": patch }));
}

/// Waits until this is reported.
fn reported(hub: &mut peer::IotHub, pointer: &str, wanted: &Value) -> Value {
    let found = hub.wait_for("reported", |entry| entry["reported"].pointer(pointer) == Some(wanted));
    found["reported"].clone()
}

#[test]
fn desired_properties_are_applied_or_refused_and_reported() {
    let (mut hub, runtime) = (peer::IotHub::start(), runtime());
    let (commander, asked) = operator(&runtime);
    // What was desired before anybody was there.
    desired(&mut hub, &json!({ "cameras": { "line3": { "score": 0.5 } } }));
    let iothub = start_with(&runtime, &config(&hub.device_with_key("edge-01")), &memory(), commander);
    let told = reported(&mut hub, "/cameras/line3/score/ac", &json!(200));
    assert_eq!(told["cameras"]["line3"]["score"], json!({ "value": 0.5, "ac": 200, "av": 2, "ad": "" }));

    desired(
        &mut hub,
        &json!({ "cameras": { "line3": { "score": 7 }, "line9": { "enabled": false } }, "colour": "red" }),
    );
    let told = reported(&mut hub, "/cameras/line9/enabled/ac", &json!(404));
    assert!(told["cameras"]["line9"]["enabled"]["ad"].as_str().expect("words").contains("no camera `line9`"));
    assert_eq!(
        (&told["cameras"]["line3"]["score"]["ac"], &told["cameras"]["line3"]["score"]["av"]),
        (&json!(400), &json!(3))
    );
    assert_eq!(told["refused"]["colour"]["ac"], 404);

    // An old change that comes late is none.
    let late = json!({ "cameras": { "line3": { "fps": 9 } } });
    hub.order(&json!({ "do": "stale", "device": "edge-01", "patch": late, "version": 2 }));
    desired(&mut hub, &json!({ "cameras": { "line3": { "enabled": false, "score": null } } }));
    let told = reported(&mut hub, "/cameras/line3/enabled/ac", &json!(200));
    assert_eq!(told["cameras"]["line3"]["enabled"]["av"], 4);
    eventually("the score is the configuration's again", || {
        asked.lock().expect("no panic").last() == Some(&set("line3", Setting::Score(None)))
    });
    let asked = asked.lock().expect("no panic").clone();
    let wanted = [
        set("line3", Setting::Score(Some(0.5))),
        set("line9", Setting::Enabled(Some(false))),
        set("line3", Setting::Enabled(Some(false))),
        set("line3", Setting::Score(None)),
    ];
    assert_eq!(asked, wanted, "what can't be is never asked for");
    assert_eq!(close(&runtime, iothub), 0);
    assert_eq!(hub.count("closed"), 0);
}

#[test]
fn what_was_desired_while_the_device_was_away_is_found_at_the_next_connection() {
    let (mut hub, runtime) = (peer::IotHub::start(), runtime());
    let (commander, asked) = operator(&runtime);
    let iothub = start_with(&runtime, &config(&hub.device_with_key("edge-01")), &memory(), commander);
    hub.wait_for("twin asked", |_| true);
    let silent = json!({ "cameras": { "line4": { "fps": 5 } } });
    hub.order(&json!({ "do": "desired", "device": "edge-01", "patch": silent, "silent": true }));
    hub.order(&json!({ "do": "kick", "device": "edge-01" }));
    reported(&mut hub, "/cameras/line4/fps/ac", &json!(200));
    assert_eq!(*asked.lock().expect("no panic"), [set("line4", Setting::Fps(Some(5.0)))]);
    // A change was missed while connected: the whole twin is asked for.
    let silent = json!({ "cameras": { "line4": { "fps": 6 } } });
    hub.order(&json!({ "do": "desired", "device": "edge-01", "patch": silent, "silent": true }));
    desired(&mut hub, &json!({ "cameras": { "line3": { "fps": 7 } } }));
    reported(&mut hub, "/cameras/line4/fps/value", &json!(6));
    assert_eq!(close(&runtime, iothub), 0);
}

#[test]
fn the_node_and_its_cameras_are_reported_and_throttling_is_waited_out() {
    let (mut hub, runtime) = (peer::IotHub::start(), runtime());
    hub.order(&json!({ "do": "throttle", "times": 1 }));
    let iothub = start(&runtime, &config(&hub.device_with_key("edge-01")), &memory());
    let handle = iothub.handle();
    handle.node("version", json!("9"));
    let status = |state, reason: &str| CameraStatus {
        schema: CAMERA_SCHEMA.to_owned(),
        state,
        reason: reason.to_owned(),
        since: DateTime::UNIX_EPOCH,
    };
    handle.camera_status("line.3", &status(CameraState::Connecting, ""));
    handle.camera_status("line4", &status(CameraState::Ok, ""));
    let told = reported(&mut hub, "/node/version", &json!("9"));
    assert_eq!(told["states"]["line4"]["state"], "ok");
    handle.camera_status("line.3", &status(CameraState::Frozen, "nothing moves"));
    let told = reported(&mut hub, "/states/line%2E3/state", &json!("frozen"));
    assert_eq!(told["states"]["line%2E3"]["reason"], "nothing moves");
    handle.forget_camera("line4");
    hub.wait_for("reported", |entry| entry["patch"] == json!({ "states": { "line4": null } }));
    assert_eq!(close(&runtime, iothub), 0);
    assert_eq!((hub.count("closed"), hub.count("refused patch")), (0, 0));
}

#[test]
fn methods_are_commands_with_answers() {
    let (mut hub, runtime) = (peer::IotHub::start(), runtime());
    let (commander, asked) = operator(&runtime);
    let iothub = start_with(&runtime, &config(&hub.device_with_key("edge-01")), &memory(), commander);
    hub.wait_for("twin asked", |_| true);
    for (name, payload, status, wanted) in [
        ("diagnose", json!(null), 200, json!({ "version": env!("CARGO_PKG_VERSION") })),
        ("snapshot", json!({ "camera": "line3" }), 200, json!({ "id": "01" })),
        ("reload", json!({}), 409, json!({ "kind": "not-now", "reason": "the configuration has a mistake" })),
        (
            "snapshot",
            json!({ "camera": "x" }),
            404,
            json!({ "kind": "unknown-camera", "reason": "there is no camera `x`" }),
        ),
    ] {
        hub.order(&json!({ "do": "method", "device": "edge-01", "name": name, "payload": payload }));
        let answered = hub.wait_for("answered", |_| true);
        assert_eq!((&answered["status"], &answered["body"]), (&json!(status), &wanted), "{name}");
    }
    for (name, payload, status) in
        [("snapshott", json!(null), 404), ("reload", json!("{"), 400), ("score", json!([1]), 400)]
    {
        hub.order(&json!({ "do": "method", "device": "edge-01", "name": name, "payload": payload }));
        assert_eq!(hub.wait_for("answered", |_| true)["status"], status, "{name}");
    }
    assert_eq!(asked.lock().expect("no panic").len(), 4, "what is no command is not asked for");
    assert_eq!(close(&runtime, iothub), 0);
}

/// Many at a time are answered all, if only with a refusal.
#[test]
fn a_flood_of_methods_is_answered() {
    let (mut hub, runtime) = (peer::IotHub::start(), runtime());
    let iothub = start(&runtime, &config(&hub.device_with_key("edge-01")), &memory());
    hub.wait_for("twin asked", |_| true);
    for _ in 0..40 {
        hub.order(&json!({ "do": "method", "device": "edge-01", "name": "diagnose", "payload": null }));
    }
    for _ in 0..40 {
        let status = hub.wait_for("answered", |_| true)["status"].clone();
        assert!(status == 200 || status == 429 || status == 409, "{status}");
    }
    assert_eq!(close(&runtime, iothub), 0);
    assert_eq!(hub.count("closed"), 0);
}
