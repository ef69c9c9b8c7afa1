//! What Prometheus reads, by its own judgement, and who else may.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use super::review::on_this_machine;
use super::*;
use crate::status::{ModelVerdicts, ReasonStats};

async fn body(address: SocketAddr) -> String {
    let answer = get(address, "/metrics").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    String::from_utf8(answer.body().await).expect("text")
}

/// What `promtool` has to say of metrics.
fn promtool(text: &str) -> Option<String> {
    promtool_with(&["check", "metrics"], text)
}

/// What `promtool` has to say; nothing where there is none, unless this is continuous integration.
fn promtool_with(args: &[&str], text: &str) -> Option<String> {
    let program = std::env::var_os("OCELLUS_PROMTOOL").unwrap_or_else(|| "promtool".into());
    let run =
        Command::new(program).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut child) = run else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "there is no promtool, and CI must have it");
        eprintln!("skipped: there is no promtool; scripts/setup test brings one");
        return None;
    };
    child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    Some(format!("{}{}", if output.status.success() { "" } else { "failed: " }, String::from_utf8_lossy(&said)))
}

#[tokio::test]
async fn metrics_are_as_prometheus_wants_them() {
    let page = Page::serve().await;
    // Before anything has happened, and after.
    let bare = body(page.address).await;
    assert!(bare.contains("ocellus_camera_state{camera=\"line-1\",state=\"connecting\"} 1\n"), "{bare}");
    page.hub.scored(&scored("line-1", 1, &["bolt", "nut"]));
    page.hub.scored(&scored("line-1", 2, &["bolt"]));
    page.hub.stats(stats("line-1", &[("bolt", 3)]));
    let full = body(page.address).await;
    for line in [
        "ocellus_build_info{version=\"0.1.0\",site=\"plant-7\",node=\"edge-01\"",
        "ocellus_latency_seconds_count{camera=\"line-1\",stage=\"total\"} 2\n",
        "ocellus_latency_seconds_bucket{camera=\"line-1\",stage=\"model\",le=\"+Inf\"} 2\n",
        "ocellus_frames_scored_total{camera=\"line-1\"} ",
        "ocellus_frames_dropped_total{camera=\"line-1\",reason=\"busy\"} ",
        "ocellus_model_info{camera=\"line-1\",model=",
        "ocellus_outbox_items{kind=\"event\"} ",
        "process_resident_memory_bytes ",
        "ocellus_gpu_memory_bytes{kind=\"used\"} 5\n",
        "ocellus_gpu_memory_bytes{kind=\"reserved\"} 8\n",
        "ocellus_traces_total{outcome=\"sent\"} 3\n",
        "ocellus_traces_total{outcome=\"dropped\"} 2\n",
        "ocellus_config_info{digest=\"sha256:0\"} 1\n",
        "ocellus_evidence_withheld_total 7\n",
    ] {
        assert!(full.contains(line), "no {line:?} in\n{full}");
    }
    for text in [bare, full] {
        if let Some(said) = promtool(&text) {
            assert_eq!(said, "", "{text}");
        }
    }
    page.stop().await;
}

/// The table of all metrics, from what the page says of each.
fn table(text: &str) -> String {
    let mut rows = String::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# HELP ")) {
        let (name, help) = line.split_once(' ').expect("a name and what it is");
        let kind = text.lines().find_map(|line| line.strip_prefix(&format!("# TYPE {name} "))).expect("a kind");
        let of_it = |line: &&str| line.starts_with(name) && line[name.len()..].starts_with(['{', '_', ' ']);
        let labels: BTreeSet<&str> = text
            .lines()
            .filter(of_it)
            .filter_map(|line| Some(line.split_once('{')?.1.rsplit_once('}')?.0))
            .flat_map(|labels| labels.split("\",").filter_map(|label| Some(label.split_once('=')?.0)))
            .filter(|label| *label != "le")
            .collect();
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        rows += &format!("| `{name}` | {kind} | {} | {help} |\n", labels.join(", "));
    }
    rows
}

/// `docs/reference/metrics.md` is written from the page: run with `OCELLUS_WRITE_REFERENCE=1` after a change.
#[tokio::test]
async fn the_reference_of_metrics_is_the_pages() {
    let (page, _reviews) = on_this_machine().await;
    page.hub.scored(&scored("line-1", 1, &["bolt"]));
    // Something of everything, so that all labels are seen.
    let mut all = stats("line-1", &[("bolt", 3)]);
    let model = ModelRef { name: "m".to_owned(), version: "1".to_owned(), digest: "sha256:0".to_owned() };
    let verdicts = vec![ModelVerdicts { model, right: 1, wrong: 1, corrected: 1 }];
    all.cameras.values_mut().for_each(|camera| camera.verdicts.clone_from(&verdicts));
    let reasons = ReasonStats { picked: 1, repeated: 1, refused: [("minute".to_owned(), 1)].into() };
    all.evidence_reasons.insert("band".to_owned(), reasons);
    page.hub.stats(all);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/metrics.md");
    let there = std::fs::read_to_string(path).expect("the page");
    let mark = "|---|---|---|---|\n";
    let (intro, _) = there.split_once(mark).expect("the table");
    let text = format!("{intro}{mark}{}", table(&body(page.address).await));
    if std::env::var_os("OCELLUS_WRITE_REFERENCE").is_some() {
        std::fs::write(path, &text).expect("written");
    } else {
        assert!(there == text, "docs/reference/metrics.md is out of date: OCELLUS_WRITE_REFERENCE=1\n{text}");
    }
    page.stop().await;
}

/// The names of metrics in a text.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("ocellus_") || word.starts_with("process_")).collect()
}

#[tokio::test]
async fn dashboard_and_alerts_ask_for_what_there_is() {
    const DASHBOARD: &str = include_str!("../../../packaging/grafana/ocellus.json");
    const ALERTS: &str = include_str!("../../../packaging/prometheus/alerts.yml");
    let page = Page::serve().await;
    page.hub.stats(stats("line-1", &[("bolt", 3)]));
    let there = body(page.address).await;
    let there = names(&there);
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().expect("targets"));
    let expressions: Vec<&str> = targets.map(|target| target["expr"].as_str().expect("an expression")).collect();
    assert!(expressions.len() > 10);
    for text in expressions.into_iter().chain(ALERTS.lines().filter(|line| !line.contains("what_to_do"))) {
        for name in names(text) {
            assert!(there.contains(name), "there is no {name}");
        }
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/prometheus");
    for args in [["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]] {
        let path = format!("{folder}/{}", args[2]);
        if let Some(said) = promtool_with(&[args[0], args[1], &path], "") {
            assert!(said.contains("SUCCESS") && !said.contains("FAILED") && !said.starts_with("failed"), "{said}");
        }
    }
    page.stop().await;
}

#[tokio::test]
async fn promtool_objects_to_what_is_wrong() {
    if let Some(said) = promtool("# TYPE a counter\na 1\n") {
        assert!(said.contains("_total"), "{said}");
    }
}

#[tokio::test]
async fn with_a_token_only_who_has_it_reads() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    std::fs::write(&file, "s3cret\n").expect("written");
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = WebConfig { listen, metrics_token_file: Some(file.clone()), ..WebConfig::default() };
    let web = Web::bind(&config).await.expect("bound");
    let address = web.address();
    let served = tokio::spawn(web.serve(hub(), std::future::pending()));
    let asked = |header: &str| ask_for(address, header.to_owned());
    assert_eq!(asked("Authorization: Bearer s3cret\r\n").await, 200);
    for header in
        ["", "Authorization: Bearer \r\n", "Authorization: Bearer s3cre\r\n", "Authorization: Basic s3cret\r\n"]
    {
        assert_eq!(asked(header).await, 401, "{header:?}");
    }
    assert_eq!(get(address, "/metrics").await.header("www-authenticate"), "Bearer");
    served.abort();
    std::fs::write(&file, "\n").expect("written");
    let error = Web::bind(&config).await.expect_err("an empty token").to_string();
    assert!(error.contains("/metrics") && error.contains("empty"), "{error}");
}

async fn ask_for(address: SocketAddr, header: String) -> u16 {
    ask(address, &format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\n{header}\r\n")).await.status
}

#[tokio::test]
async fn beyond_this_machine_there_are_none_without_a_token() {
    let page = Page::serve_on(SocketAddr::from(([0, 0, 0, 0], 0)), hub()).await;
    let address = SocketAddr::from(([127, 0, 0, 1], page.address.port()));
    let refused = get(address, "/metrics").await;
    assert_eq!(refused.status, 403);
    assert!(refused.json().await["error"].as_str().is_some_and(|e| e.contains("metrics_token_file")));
    page.stop().await;
}

#[tokio::test]
async fn it_is_healthy_while_everything_gets_on() {
    let page = Page::serve().await;
    page.hub.stuck("model parts".to_owned());
    let answer = get(page.address, "/healthz").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json().await["error"], "no progress: model parts");
    page.hub.stuck(String::new());
    assert_eq!(get(page.address, "/healthz").await.status, 200);
    page.stop().await;
}

#[tokio::test]
async fn ready_comes_with_the_first_statistics() {
    let page = Page::serve().await;
    assert_eq!(get(page.address, "/readyz").await.status, 503);
    page.hub.stats(stats("line-1", &[]));
    assert_eq!(get(page.address, "/readyz").await.status, 200);
    page.stop().await;
}
