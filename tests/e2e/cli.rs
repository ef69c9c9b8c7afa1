//! The command line: data on stdout, everything else on stderr, one clear line for each mistake.

mod cameras;

use std::path::Path;

use serde_json::Value;

use crate::peers::{Running, free_port, ocellus, run, text};
use crate::samples;

const COCO_MODEL: &str = "models/yolox_nano_416.onnx";

/// Runs it, expects this exit code and nothing on stdout, and gives what it said.
fn refused(args: &[&str], code: i32) -> String {
    let output = run(args);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?} said {said}");
    assert_eq!(text(&output.stdout), "", "{args:?}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

/// As [`refused`]; exactly one line, which holds all of `parts`.
fn one_line(args: &[&str], code: i32, parts: &[&str]) {
    let said = refused(args, code);
    assert_eq!(said.trim().lines().count(), 1, "{args:?} said more than a line:\n{said}");
    for part in parts {
        assert!(said.contains(part), "{args:?} said {said:?}, without {part:?}");
    }
}

fn utf8(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

#[test]
fn wrong_use_is_2_and_help_is_0() {
    assert!(refused(&["detekt"], 2).contains("detect"));
    assert!(refused(&["detect", "x.jpg"], 2).contains("--model"));
    assert!(refused(&["detect", "--model", "m", "--score", "7", "x.jpg"], 2).contains("fraction"));
    assert!(run(&["--help"]).status.success());
    assert!(text(&run(&["--version"]).stdout).starts_with("ocellus "));
}

#[test]
fn a_wrong_path_is_named() {
    let Some(model) = samples::path(COCO_MODEL) else { return };
    let model = utf8(&model);
    one_line(&["detect", "--model", model, "--profile", "yolox", "/no/such.jpg"], 1, &["/no/such.jpg"]);
    one_line(&["detect", "--model", "/no/model.onnx", "--profile", "yolox", "sim:conveyor"], 1, &["/no/model.onnx"]);
    one_line(
        &["eval", "--model", model, "--profile", "yolox", "--annotations", "/no/a.json", "--images", "/"],
        1,
        &["/no/a.json"],
    );
    one_line(&["check", "--config", "/no/ocellus.toml"], 1, &["/no/ocellus.toml"]);
    one_line(&["run", "--config", "/no/ocellus.toml"], 1, &["/no/ocellus.toml"]);
    one_line(&["demo", "--source", "file:/no/clip.mp4"], 1, &["/no/clip.mp4"]);
}

#[test]
fn a_bad_model_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let Some(model) = samples::path(COCO_MODEL) else { return };
    let whole = std::fs::read(&model).unwrap();
    let spoilt = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    for (path, reason) in [
        (spoilt("empty.onnx", b""), "empty"),
        (spoilt("cut.onnx", &whole[..whole.len() / 2]), "cut"),
        (spoilt("text.onnx", b"this is no model, it is a letter to the editor"), "not an ONNX model"),
    ] {
        one_line(&["model", "inspect", utf8(&path)], 1, &[utf8(&path), reason]);
        one_line(&["detect", "--model", utf8(&path), "--profile", "yolox", "sim:conveyor"], 1, &[utf8(&path), reason]);
    }
    one_line(&["detect", "--model", utf8(&model), "--profile", "yolocks", "sim:conveyor"], 1, &["yolocks", "yolox"]);
}

#[test]
fn a_broken_video_is_an_error_and_the_rest_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("clip.mp4");
    std::fs::write(&clip, b"not a video at all").unwrap();
    let (Some(model), Some(image)) = (samples::path(COCO_MODEL), samples::path("images/dog_bike_man.jpg")) else {
        return;
    };
    let output = ocellus()
        .args(["detect", "--json", "--profile", "yolox", "--model", utf8(&model), utf8(&clip), utf8(&image)])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("clip.mp4"), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).lines().count(), 1, "the picture after it was still scored");
}

#[test]
fn detect_prints_detections_and_draws_them() {
    let (Some(model), Some(image)) = (samples::path(COCO_MODEL), samples::path("images/dog_bike_man.jpg")) else {
        return;
    };
    let drawn = tempfile::tempdir().unwrap();
    let output = run(&[
        "detect",
        "--json",
        "--draw",
        utf8(drawn.path()),
        "--profile",
        "yolox",
        "--model",
        utf8(&model),
        utf8(&image),
    ]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["schema"], "ocellus.detections/1");
    assert!(found["model"]["digest"].as_str().unwrap().starts_with("sha256:"));
    let labels: Vec<&str> = found["objects"].as_array().unwrap().iter().filter_map(|o| o["label"].as_str()).collect();
    for wanted in ["dog", "bicycle", "person"] {
        assert!(labels.contains(&wanted), "{labels:?}");
    }
    for object in found["objects"].as_array().unwrap() {
        let corners: Vec<f64> = object["box"].as_array().unwrap().iter().filter_map(Value::as_f64).collect();
        let [x, y, w, h] = corners[..] else { panic!("{object}") };
        assert!(x >= 0.0 && y >= 0.0 && w > 0.0 && h > 0.0 && x + w <= 1.00001 && y + h <= 1.00001, "{object}");
    }
    let pictures = crate::peers::files(drawn.path());
    let [picture] = &pictures[..] else { panic!("{pictures:?}") };
    let (before, after) = (image::open(&image).unwrap().to_rgb8(), image::open(picture).unwrap().to_rgb8());
    assert_eq!(before.dimensions(), after.dimensions());
    let changed = before.pixels().zip(after.pixels()).filter(|(a, b)| (0..3).any(|c| a[c].abs_diff(b[c]) > 60));
    assert!(changed.count() > 500, "boxes were drawn");
}

#[test]
fn a_reader_that_goes_away_ends_it_in_good_order() {
    let Some(model) = samples::path("models/light_person_detector_192.onnx") else { return };
    let Some(clip) = samples::path("video/azure_shelf.mp4") else { return };
    let command = format!(
        "set -o pipefail; '{}' detect --json --profile yolox --score 0.05 --model '{}' '{}' | head -1",
        env!("CARGO_BIN_EXE_ocellus"),
        utf8(&model),
        utf8(&clip)
    );
    let output = std::process::Command::new("bash").args(["-c", &command]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).lines().count(), 1);
}

#[test]
fn inspect_tells_a_model_s_inputs_and_outputs() {
    let Some(model) = samples::path(COCO_MODEL) else { return };
    let output = run(&["model", "inspect", utf8(&model)]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    assert!(said.contains("images") && said.contains("416") && said.contains("3549"), "{said}");
    let profiles = text(&run(&["model", "profiles"]).stdout);
    for profile in ["yolox", "nanodet", "picodet", "ultraface", "imagenet"] {
        assert!(profiles.contains(profile), "{profiles}");
    }
}

#[test]
fn inspect_tells_what_a_model_costs() {
    let Some(model) = samples::path(COCO_MODEL) else { return };
    let said = text(&run(&["model", "inspect", "--verbose", utf8(&model)]).stdout);
    for wanted in ["1.07 G FLOPs", "convolution", "MiB allowed", "cpu ", "burn ", "the most expensive nodes"] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    let output = run(&["model", "inspect", "--verbose", "--json", utf8(&model)]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let cost = &json["cost"];
    assert_eq!(cost["parameters"]["f32"]["count"], json["parameters"]);
    let nodes = cost["nodes"].as_array().unwrap();
    let sum: u64 = nodes.iter().map(|node| node["flops"].as_u64().unwrap()).sum();
    assert_eq!(cost["work"]["flops"], sum);
    assert!(cost["devices"]["burn"]["memory"]["total"].as_u64().unwrap() > 1 << 20, "{cost}");
}

#[test]
fn a_model_that_takes_too_much_memory_is_refused_with_the_way_out() {
    let Some(model) = samples::path(COCO_MODEL) else { return };
    let mib = ["--memory-mib", "8"];
    let inspect = refused(&[&["model", "inspect", utf8(&model)], &mib[..]].concat(), 1);
    let detect =
        refused(&[&["detect", "--device", "cpu", "--model", utf8(&model), "sim:conveyor"], &mib[..]].concat(), 1);
    for said in [inspect, detect] {
        assert!(said.contains("limit of 8.0 MiB") && said.contains("memory_mib") && said.contains("node"), "{said}");
    }
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("ocellus.toml");
    let write = |mib: u64| {
        let text = format!("[models.m]\npath = {:?}\nprofile = \"yolox\"\nmemory_mib = {mib}\n", utf8(&model));
        std::fs::write(&config, text).unwrap();
    };
    write(8);
    let said = refused(&["check", "--config", utf8(&config)], 1);
    assert!(said.contains("[models.m]") && said.contains("limit of 8.0 MiB"), "{said}");
    write(500);
    let said = text(&run(&["check", "--config", utf8(&config)]).stderr);
    assert!(said.contains("of 500 allowed"), "{said}");
}

#[test]
fn check_reports_every_mistake_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("ocellus.toml");
    std::fs::write(&config, "site = \"plant-7\"\ndevise = \"cpu\"\n\n[mqtt]\nurl = \"mqtt://127.0.0.1\"\nqueu = 5\n")
        .unwrap();
    let said = refused(&["check", "--config", utf8(&config)], 1);
    assert!(said.contains(":2") && said.contains("devise") && said.contains("device"), "{said}");
    assert!(said.contains(":6") && said.contains("queu") && said.contains("queue"), "{said}");
}

#[test]
fn a_port_in_use_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("ocellus.toml");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    std::fs::write(&config, format!("[web]\nlisten = \"127.0.0.1:{port}\"\n")).unwrap();
    let mut daemon = Running::start(ocellus().args(["run", "--config", utf8(&config)]));
    let (status, said) = daemon.wait();
    assert_eq!(status.code(), Some(1), "{said}");
    let errors: Vec<&str> = said.lines().filter(|l| l.starts_with("error:")).collect();
    let [error] = errors[..] else { panic!("{said}") };
    assert!(error.contains(&port.to_string()), "{error}");
}

#[test]
fn the_demo_takes_the_next_port_where_one_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let (mqtt, web) = (std::net::TcpListener::bind("127.0.0.1:0").unwrap(), free_port());
    let taken = mqtt.local_addr().unwrap().port();
    let mut demo = Running::start(ocellus().args(["demo", "--device", "cpu", "--dir", utf8(folder.path())]).args([
        "--mqtt-port",
        &taken.to_string(),
        "--web-port",
        &web.to_string(),
    ]));
    let line = demo.wait_for_line("mosquitto_sub");
    let port: u16 = line.split("-p ").nth(1).and_then(|l| l.split(' ').next()?.parse().ok()).expect("a port");
    assert!(port > taken, "{line}");
    assert!(demo.terminate().0.success());
}
