use super::*;

fn whole(desired: &Value, reported: &Value) -> Vec<u8> {
    json!({ "desired": desired, "reported": reported }).to_string().into_bytes()
}

fn rid(ask: &Ask) -> u64 {
    of_bag(ask.topic.rsplit('/').next().expect("a bag"), "$rid").expect("an id").parse().expect("a number")
}

/// A twin that has asked for and got this.
fn connected(desired: &Value, reported: &Value) -> (Twin, Vec<Change>) {
    let mut twin = Twin::default();
    let changes = connect(&mut twin, desired, reported);
    (twin, changes)
}

fn connect(twin: &mut Twin, desired: &Value, reported: &Value) -> Vec<Change> {
    let ask = twin.begin();
    assert_eq!(ask.topic, format!("$iothub/twin/GET/?$rid={}", rid(&ask)));
    let step = twin.received(&format!("$iothub/twin/res/200/?$rid={}", rid(&ask)), &whole(desired, reported));
    assert_eq!((step.trouble, step.retry), (None, false));
    step.changes
}

fn change(camera: &str, setting: &str, value: Value, version: u64) -> Change {
    Change { key: (camera.to_owned(), setting.to_owned()), value, version }
}

fn patch(twin: &mut Twin, version: u64, patch: &Value) -> Step {
    twin.received(&format!("$iothub/twin/PATCH/properties/desired/?$version={version}"), patch.to_string().as_bytes())
}

/// What is reported now, which the hub takes.
fn reported(twin: &mut Twin) -> Value {
    let Some(ask) = twin.report() else { return Value::Null };
    let step = twin.received(&format!("$iothub/twin/res/204/?$rid={}&$version=9", rid(&ask)), b"");
    assert_eq!(step, Step::default());
    serde_json::from_slice(&ask.payload).expect("JSON")
}

fn refusal() -> Result<Value, Refusal> {
    Err(Refusal::bad_value("`score` is a number from 0 to 1"))
}

#[test]
fn what_is_desired_is_changed_and_answered_in_its_place() {
    let desired = json!({ "cameras": { "line3": { "score": 0.5, "fps": 900 } }, "$version": 4 });
    let (mut twin, changes) = connected(&desired, &json!({ "$version": 1 }));
    assert_eq!(changes, [change("line3", "fps", json!(900), 4), change("line3", "score", json!(0.5), 4)]);
    twin.answered(&changes[0], &refusal());
    twin.answered(&changes[1], &Ok(json!({})));
    let told = reported(&mut twin);
    assert_eq!(told["cameras"]["line3"]["score"], json!({ "value": 0.5, "ac": 200, "av": 4, "ad": "" }));
    assert_eq!(told["cameras"]["line3"]["fps"]["ac"], 400);
    assert!(told["cameras"]["line3"]["fps"]["ad"].as_str().expect("words").contains("from 0 to 1"));
    assert_eq!(twin.report(), None, "nothing is told twice");
}

#[test]
fn changes_come_one_by_one_and_old_ones_are_ignored() {
    let (mut twin, changes) = connected(&json!({ "$version": 4 }), &json!({}));
    assert_eq!(changes, []);
    let on = json!({ "cameras": { "a": { "enabled": false } } });
    assert_eq!(patch(&mut twin, 5, &on).changes, [change("a", "enabled", json!(false), 5)]);
    for version in [4, 5] {
        let late = json!({ "cameras": { "a": { "enabled": true } } });
        assert_eq!(patch(&mut twin, version, &late), Step::default(), "{version}");
    }
    assert_eq!(patch(&mut twin, 6, &on).changes, [], "it is so already");
    // One is missing: the whole twin is asked for.
    assert!(patch(&mut twin, 8, &on).retry);
    let ask = twin.again().expect("a question");
    assert!(ask.topic.starts_with("$iothub/twin/GET/"));
    let now = json!({ "cameras": { "a": { "enabled": true } }, "$version": 8 });
    let step = twin.received(&format!("$iothub/twin/res/200/?$rid={}", rid(&ask)), &whole(&now, &json!({})));
    assert_eq!(step.changes, [change("a", "enabled", json!(true), 8)]);
}

#[test]
fn what_is_deleted_goes_back_to_the_configuration() {
    let desired = json!({ "cameras": { "a": { "score": 0.5, "fps": 2 }, "b": { "fps": 3 } }, "$version": 1 });
    let (mut twin, changes) = connected(&desired, &json!({}));
    for change in &changes {
        twin.answered(change, &Ok(Value::Null));
    }
    reported(&mut twin);
    let step = patch(&mut twin, 2, &json!({ "cameras": { "a": { "score": null }, "b": null } }));
    assert_eq!(step.changes, [change("a", "score", Value::Null, 2), change("b", "fps", Value::Null, 2)]);
    for change in &step.changes {
        twin.answered(change, &Ok(Value::Null));
    }
    assert_eq!(reported(&mut twin), json!({ "cameras": { "a": { "score": null }, "b": null } }));
    let step = patch(&mut twin, 3, &json!({ "cameras": null }));
    assert_eq!(step.changes, [change("a", "fps", Value::Null, 3)]);
}

#[test]
fn what_was_deleted_while_nobody_was_there_goes_back_too() {
    let desired = json!({ "cameras": { "a": { "score": 0.5 } }, "$version": 1 });
    let (mut twin, changes) = connected(&desired, &json!({}));
    twin.answered(&changes[0], &Ok(Value::Null));
    // The same process, another connection.
    assert_eq!(connect(&mut twin, &json!({ "$version": 2 }), &json!({})), [change("a", "score", Value::Null, 2)]);
    // Another process, which learns from what was reported.
    let told =
        json!({ "cameras": { "a": { "score": { "value": 0.5, "ac": 200, "av": 1, "ad": "" } } }, "$version": 7 });
    let (mut twin, changes) = connected(&json!({ "$version": 2 }), &told);
    assert_eq!(changes, [change("a", "score", Value::Null, 2)]);
    twin.answered(&changes[0], &Ok(Value::Null));
    assert_eq!(reported(&mut twin), json!({ "cameras": { "a": null } }));
}

#[test]
fn the_same_wish_is_no_change_after_a_reconnection() {
    let desired = json!({ "cameras": { "a": { "score": 0.5 } }, "$version": 1 });
    let (mut twin, changes) = connected(&desired, &json!({}));
    assert_eq!(changes.len(), 1);
    assert_eq!(connect(&mut twin, &desired, &json!({})), []);
}

#[test]
fn what_is_no_setting_is_refused_by_name() {
    let desired = json!({ "colour": "red", "cameras": { "a": 3 }, "gone": null, "$version": 6 });
    let (mut twin, changes) = connected(&desired, &json!({}));
    assert_eq!(changes, []);
    let told = reported(&mut twin);
    assert_eq!(told["refused"]["colour"]["ac"], 404);
    assert_eq!(told["refused"]["colour"]["av"], 6);
    assert!(told["refused"]["a"].is_object() && told["refused"]["gone"].is_null());
    // Once the mistake is gone, so is the refusal.
    connect(&mut twin, &json!({ "$version": 7 }), &told);
    assert_eq!(reported(&mut twin), json!({ "refused": null }));
}

#[test]
fn only_what_the_hub_does_not_have_is_reported() {
    let there =
        json!({ "node": { "version": "1", "device": "cpu" }, "states": { "old": { "state": "ok" } }, "$version": 3 });
    let (mut twin, _) = connected(&json!({ "$version": 1 }), &there);
    twin.tell_of("node", "version", Some(json!("2")));
    twin.tell_of("node", "device", Some(json!("cpu")));
    twin.tell_of("states", "line.3", Some(json!({ "state": "ok" })));
    let told = reported(&mut twin);
    let wanted = json!({ "node": { "version": "2" }, "states": { "line%2E3": { "state": "ok" }, "old": null } });
    assert_eq!(told, wanted);
    assert_eq!(twin.report(), None);
    twin.tell_of("states", "line.3", None);
    assert_eq!(reported(&mut twin), json!({ "states": { "line%2E3": null } }));
}

#[test]
fn one_thing_is_asked_at_a_time_and_again_when_it_fails() {
    let mut twin = Twin::default();
    twin.tell_of("node", "version", Some(json!("2")));
    assert_eq!(twin.report(), None, "not before the twin is known");
    connect(&mut twin, &json!({ "$version": 1 }), &json!({}));
    let ask = twin.report().expect("something new");
    assert_eq!(twin.report(), None, "one at a time");
    let step = twin.received(&format!("$iothub/twin/res/429/?$rid={}", rid(&ask)), b"throttled");
    assert!(step.retry && step.trouble.expect("told").contains("429 throttled"));
    let again = twin.again().expect("again");
    assert_eq!(again.payload, ask.payload);
    let step = twin.received(&format!("$iothub/twin/res/204/?$rid={}", rid(&ask)), b"");
    assert_eq!(step, Step::default());
    assert!(twin.waiting.is_some(), "an answer to the first question answers not the second");
    // What the hub never takes is not asked for ever.
    let step = twin.received(&format!("$iothub/twin/res/400/?$rid={}", rid(&again)), b"bad");
    assert!(!step.retry && twin.waiting.is_none());
}

#[test]
fn nonsense_does_no_harm() {
    let (mut twin, _) = connected(&json!({ "$version": 1 }), &json!({}));
    for (topic, payload) in [
        ("", ""),
        ("$iothub/twin/res/200", "{}"),
        ("$iothub/twin/res/abc/?$rid=77", "{}"),
        ("$iothub/twin/PATCH/properties/desired/", "{}"),
        ("$iothub/twin/PATCH/properties/desired/?$version=x", "{}"),
        ("$iothub/twin/PATCH/properties/desired/?$version=2", "{"),
        ("$iothub/twin/PATCH/properties/desired/?$version=3", "[1]"),
        ("$iothub/twin/PATCH/properties/desired/?$version=4", "{\"cameras\":[1],\"$x\":1}"),
    ] {
        assert_eq!(twin.received(topic, payload.as_bytes()).changes, [], "{topic}");
    }
    let ask = twin.begin();
    let step = twin.received(&format!("$iothub/twin/res/200/?$rid={}", rid(&ask)), b"[]");
    assert!(step.retry && step.trouble.is_some());
}
