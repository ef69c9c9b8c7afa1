//! Scoring for others: clients that are not ours, versions, tokens, cameras beside the load, and requests that are wrong.

mod hostile;
mod http;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::Value;

use self::http::{ask, get, post};
use crate::peers::{Mosquitto, Running, Subscriber, free_port, ocellus, run, text, until};

/// The package that ships with Ocellus.
fn package() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/conveyor")
}

/// A picture with parts in it.
fn picture() -> PathBuf {
    package().join("golden/s09102_f000000.jpg")
}

/// A daemon that serves the shipped model, on a port of its own.
struct Served {
    running: Running,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Served {
    /// Without a camera or a broker.
    fn start(serve: &str) -> Self {
        Self::with(&package(), serve, "[mqtt]\nenabled = false\n")
    }

    fn with(package: &Path, serve: &str, rest: &str) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let listen = if serve.contains("listen") { String::new() } else { format!("listen = \"127.0.0.1:{port}\"\n") };
        let config = format!(
            "site = \"plant-7\"\nnode = \"edge-01\"\ndevice = \"cpu\"\n{rest}[models.parts]\npath = {package:?}\n[serve]\n{listen}{}",
            serve.replace("PORT", &port.to_string())
        );
        let path = folder.path().join("ocellus.toml");
        std::fs::write(&path, config).unwrap();
        let running = Running::start(ocellus().args(["run", "--config", path.to_str().unwrap()]));
        until("it is ready", || http::try_get(port, "/v2/health/ready").is_some_and(|answer| answer.status == 200));
        Self { running, port, _folder: folder }
    }

    /// Stops it; nothing may have gone wrong meanwhile.
    fn stop(self) {
        let (status, said) = self.running.terminate();
        assert!(status.success() && !said.contains("panicked"), "{said}");
    }
}

/// What the command line sees in a picture.
fn directly(picture: &Path) -> Vec<Value> {
    let (model, picture) = (package(), picture.to_str().unwrap().to_owned());
    let output = run(&["detect", "--json", "--device", "cpu", "--model", model.to_str().unwrap(), &picture]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    line["objects"].as_array().unwrap().clone()
}

/// An independent client of the protocol, in JSON and in binary, and validators that are not ours of the description and
/// of what is answered.
#[test]
fn an_independent_client_sees_what_the_command_line_sees() {
    let served = Served::start("");
    // Decoders of JPEG differ in the last bit; of PNG they don't.
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("picture.png");
    image::open(self::picture()).unwrap().save(&picture).unwrap();
    let python = std::env::var_os("OCELLUS_PYTHON").expect("scripts/test sets OCELLUS_PYTHON");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/scoring.py");
    let output = Command::new(python)
        .arg(script)
        .args([&format!("127.0.0.1:{}", served.port), picture.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    let wanted = directly(&picture);
    assert!(!wanted.is_empty(), "the picture shows parts");
    for way in ["json", "binary", "files", "version", "detect"] {
        let objects = seen[way].as_array().unwrap_or_else(|| panic!("{way}: {seen}"));
        assert_eq!(objects.len(), wanted.len(), "{way}");
        for (object, wanted) in objects.iter().zip(&wanted) {
            assert_eq!(object["label"], wanted["label"], "{way}");
            let near = |a: &Value, b: &Value| (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 2e-4;
            assert!(near(&object["score"], &wanted["score"]), "{way}: {object} {wanted}");
            let sides = object["box"].as_array().unwrap().iter().zip(wanted["box"].as_array().unwrap());
            assert!(sides.into_iter().all(|(a, b)| near(a, b)), "{way}: {object} {wanted}");
        }
    }
    served.stop();
}

#[test]
fn only_the_version_that_was_asked_for_answers() {
    let folder = tempfile::tempdir().unwrap();
    let package = folder.path().join("package");
    assert!(Command::new("cp").arg("-r").arg(self::package()).arg(&package).status().unwrap().success());
    let file = std::fs::read(picture()).unwrap();
    let detect = |port: u16, version: &str| post(port, &format!("/v1/detect?version={version}"), "image/jpeg", &file);
    let digest = |port: u16| {
        let answer = detect(port, "");
        assert_eq!(answer.status, 404, "no version has an empty name");
        post(port, "/v1/detect", "image/jpeg", &file).json()["model"]["digest"].as_str().unwrap().to_owned()
    };

    let served = Served::with(&package, "", "[mqtt]\nenabled = false\n");
    let old = digest(served.port);
    assert_eq!(detect(served.port, "1.0.0").json()["model"]["version"], "1.0.0");
    assert_eq!(detect(served.port, &old).status, 200);
    served.stop();

    let description = std::fs::read_to_string(package.join("model.toml")).unwrap();
    std::fs::write(package.join("model.toml"), description.replace("version = \"1.0.0\"", "version = \"1.1.0\""))
        .unwrap();
    let served = Served::with(&package, "", "[mqtt]\nenabled = false\n");
    let new = digest(served.port);
    assert_ne!(old, new);
    for gone in ["1.0.0", &old] {
        let refused = detect(served.port, gone);
        let wanted = format!("model `parts` has no version {gone:?}; 1.1.0 ({new}) runs");
        assert_eq!((refused.status, refused.error()), (404, wanted));
        let address = format!("/v2/models/parts/versions/{gone}");
        assert_eq!(get(served.port, &address).status, 404);
    }
    assert_eq!(detect(served.port, "1.1.0").json()["model"]["digest"], new);
    let metadata = get(served.port, &format!("/v2/models/parts/versions/{new}")).json();
    assert_eq!(metadata["versions"], serde_json::json!(["1.1.0", new]));
    served.stop();
}

#[test]
fn beyond_this_machine_a_token_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "swordfish\n").unwrap();
    let served = Served::start(&format!("listen = \"0.0.0.0:PORT\"\ntoken_file = {token:?}\n"));
    let file = std::fs::read(picture()).unwrap();
    for (authorization, status) in
        [("", 401), ("Authorization: Bearer swordfis\r\n", 401), ("Authorization: Bearer swordfish\r\n", 200)]
    {
        let head = format!("{authorization}Content-Type: image/jpeg\r\n");
        for path in ["/v1/detect", "/score"] {
            let answer = ask(served.port, "POST", path, &head, &file);
            assert_eq!(answer.status, status, "{path} {authorization}");
            if status == 401 {
                assert_eq!(answer.header("www-authenticate"), "Bearer");
                assert!(answer.error().contains("Authorization: Bearer"), "{}", answer.error());
            }
        }
        assert_eq!(ask(served.port, "GET", "/v2/models/parts", authorization, b"").status, status);
        // What there is not is nobody's secret, and probes have no token.
        for free in ["/v2/health/live", "/v2/health/ready", "/openapi.json"] {
            assert_eq!(ask(served.port, "GET", free, authorization, b"").status, 200, "{free}");
        }
    }
    served.stop();
}

#[test]
fn what_video_analyzer_asks_for_is_answered_as_it_wants() {
    let served = Served::start("");
    let file = std::fs::read(picture()).unwrap();
    let answer = post(served.port, "/score", "image/jpeg", &file);
    let wanted = directly(&picture());
    let inferences = answer.json()["inferences"].as_array().unwrap().clone();
    assert_eq!(inferences.len(), wanted.len());
    for (inference, wanted) in inferences.iter().zip(&wanted) {
        let entity = &inference["entity"];
        assert_eq!((&inference["type"], &entity["tag"]["value"]), (&"entity".into(), &wanted["label"]));
        assert!((entity["box"]["l"].as_f64().unwrap() - wanted["box"][0].as_f64().unwrap()).abs() < 2e-4);
        assert!((entity["box"]["h"].as_f64().unwrap() - wanted["box"][3].as_f64().unwrap()).abs() < 2e-4);
    }
    // Nothing is seen where everything is asked to be certain.
    let nothing = post(served.port, "/predict?camera_id=1&score=1", "image/jpeg", &file);
    assert_eq!((nothing.status, nothing.body.len()), (204, 0));
    served.stop();
}

/// Cameras go on while strangers ask for more than there is, and who is turned away is told so.
#[test]
fn cameras_go_on_beside_a_load() {
    let broker = Mosquitto::start();
    let rest = format!(
        "[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"\n[cameras.line]\nsource = \"sim:conveyor?seed=3&fps=2&width=320&height=180\"\n",
        broker.port
    );
    let served = Served::with(&package(), "queue = 2\nconcurrent = 6\n", &rest);
    let mut subscriber = Subscriber::to(broker.port, "ocellus/plant-7/edge-01/line/detections");
    let (port, file) = (served.port, std::fs::read(picture()).unwrap());
    let (done, scored) = (AtomicBool::new(false), AtomicUsize::new(0));
    let answers: Vec<http::Answer> = std::thread::scope(|scope| {
        let ask = || {
            let mut answers = Vec::new();
            while !done.load(Ordering::Relaxed) {
                let answer = post(port, "/v1/detect?camera=other", "image/jpeg", &file);
                scored.fetch_add(usize::from(answer.status == 200), Ordering::Relaxed);
                answers.push(answer);
            }
            answers
        };
        let clients: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        let frames: Vec<u64> = (0..10).map(|_| subscriber.next().json()["frame"]["seq"].as_u64().unwrap()).collect();
        until("a picture is scored beside the camera", || scored.load(Ordering::Relaxed) > 0);
        done.store(true, Ordering::Relaxed);
        assert!(frames.windows(2).all(|pair| pair[0] < pair[1]), "{frames:?}");
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    let of = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    assert!(of(200) > 0 && of(503) > 0 && of(200) + of(503) == answers.len(), "{} and {}", of(200), of(503));
    for answer in answers {
        match answer.status {
            200 => assert_eq!(answer.json()["camera"], "other"),
            _ => assert_eq!(answer.header("retry-after"), "1"),
        }
    }
    served.stop();
}
