//! What people get wrong, and what they are told.

mod documents;
mod generated;
mod mistakes;
mod random;
mod review;

use super::*;

/// The mistakes in a text, as `line: message`.
fn wrong(text: &str) -> Vec<String> {
    let mistakes = parse(text).expect_err(text);
    mistakes.into_iter().map(|m| format!("{}: {}", m.line, m.message)).collect()
}

/// The only mistake in a text.
#[track_caller]
fn only(text: &str) -> String {
    let mut all = wrong(text);
    assert_eq!(all.len(), 1, "{all:#?}");
    all.remove(0)
}

#[test]
fn nothing_is_a_configuration_of_defaults() {
    let config = parse("").expect("defaults");
    assert_eq!(&*config.site, "site");
    assert_eq!(config.node, Name::of_this_host());
    assert_eq!(config.device, DeviceChoice::Auto);
    assert_eq!(config.mqtt.url, "mqtt://127.0.0.1:1883");
    assert_eq!((config.mqtt.detections_qos, config.mqtt.queue), (0, 256));
    assert!(config.web.is_none() && config.evidence.is_none());
    let web = parse("[web]").expect("defaults").web.expect("there is a table");
    assert_eq!(web.listen.to_string(), "127.0.0.1:8642");
}

#[test]
fn everything_arrives() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = folder.path().join("m.onnx");
    std::fs::write(&model, "").expect("written");
    let text = format!(
        r#"
        site = "plant-7"
        node = "edge-01"
        device = "burn-cpu"
        [mqtt]
        url = "mqtts://broker.example:8884"
        prefix = "factory/vision"
        client_id = "a"
        username = "anna"
        password_env = "SECRET"
        detections_qos = 1
        queue = 7
        [web]
        listen = "[::1]:80"
        [models.m]
        path = {model:?}
        profile = "yolox"
        score = 0.5
        iou = 0.6
        batch = 2
        [cameras.line3]
        source = "sim:conveyor?seed=1&fps=10"
        model = "m"
        fps = 2.5
        [[cameras.line3.lines]]
        name = "exit"
        points = [[0, 0], [0, 1]]
        [evidence]
        store = "az://container/path"
        band = [0.1, 0.2]
        margin = 0.25
        flicker = false
        novelty = false
        rare = 0.5
        random = 0.01
        seed = 7
        rules = ["exit"]
        per_minute = 9
        per_hour = 99
        per_day = 999
        [evidence.node]
        per_minute = 18
        [privacy]
        audit = "/var/log/ocellus"
        [privacy.faces]
        path = {model:?}
        profile = "ultraface"
        [[privacy.masks]]
        camera = "line3"
        points = [[0, 0], [1, 0], [0, 1]]
        [[privacy.store]]
        name = "shift"
        cameras = ["line3"]
        hours = ["mon-fri 06:00-18:00"]
        allow = "crop"
        redact = ["faces", "masks"]
        method = "pixelate"
        "#
    );
    let config = parse(&text).expect("good");
    assert_eq!((&*config.site, &*config.node), ("plant-7", "edge-01"));
    assert_eq!(config.device, DeviceChoice::BurnCpu);
    assert_eq!(config.mqtt.prefix, "factory/vision");
    assert_eq!(config.mqtt.password_env.as_deref(), Some("SECRET"));
    assert_eq!((config.mqtt.detections_qos, config.mqtt.queue), (1, 7));
    assert_eq!(config.web.map(|w| w.listen.port()), Some(80));
    let model = &config.models["m"];
    assert_eq!((model.score, model.iou, model.batch), (Some(0.5), Some(0.6), 2));
    let camera = &config.cameras["line3"];
    assert_eq!((camera.model.as_deref(), camera.fps), (Some("m"), Some(2.5)));
    let rule = &config.privacy.store[0];
    assert_eq!((rule.allow, rule.method), (Allow::Crop, Method::Pixelate));
    assert_eq!(rule.redact, [Redact::Faces, Redact::Masks]);
    let faces = config.privacy.faces.as_ref().expect("there is a table");
    assert_eq!((faces.score, faces.tiles, faces.margin), (None, None, 0.1));
    let evidence = config.evidence.expect("there is a table");
    assert_eq!((evidence.band, evidence.margin, evidence.rare), ([0.1, 0.2], 0.25, 0.5));
    assert_eq!((evidence.flicker, evidence.novelty, evidence.random, evidence.seed), (false, false, 0.01, 7));
    assert_eq!((&*evidence.rules[0], evidence.rules.len()), ("exit", 1));
    assert_eq!((evidence.per_minute, evidence.per_hour, evidence.per_day), (9, Some(99), Some(999)));
    assert_eq!(evidence.node, NodeQuota { per_minute: Some(18), ..NodeQuota::default() });
}

#[test]
fn files_that_are_no_configuration_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ocellus.toml");
    let error = |path: &std::path::Path| load(path).expect_err("no configuration").to_string();
    assert!(error(&path).contains("ocellus.toml can't be read: No such file"), "{}", error(&path));
    assert!(error(folder.path()).contains("it is not a file"));
    std::fs::write(&path, [b'a', 0xff]).expect("written");
    assert!(error(&path).contains("byte 1 is not UTF-8"), "{}", error(&path));
    std::fs::write(&path, "#".repeat((1 << 20) + 1)).expect("written");
    assert!(error(&path).contains("over the limit"), "{}", error(&path));
    std::fs::write(&path, "\n\nsit = \"a\"\nnode = 3\n").expect("written");
    let text = error(&path);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].contains("ocellus.toml:3:1: unknown key `sit`: did you mean `site`?"), "{text}");
    assert!(lines[1].contains("ocellus.toml:4:8: "), "{text}");
}

#[test]
fn the_digest_is_of_the_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ocellus.toml");
    std::fs::write(&path, "").expect("written");
    // The SHA-256 of nothing (FIPS 180-4).
    let nothing = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(load(&path).expect("defaults").digest, nothing);
    std::fs::write(&path, "# a comment\n").expect("written");
    assert_ne!(load(&path).expect("defaults").digest, nothing);
}

#[test]
fn debug_shows_no_secret() {
    let text = "[cameras.a]\nsource = \"rtsp://anna:hunter2@10.0.0.1/live?token=s3cr3t\"\n";
    let config: Config = toml::from_str(text).expect("fits");
    let shown = format!("{config:?}");
    assert!(shown.contains("10.0.0.1"), "{shown}");
    assert!(!shown.contains("hunter2") && !shown.contains("s3cr3t"), "{shown}");
}
