//! Through a proxy that knows no more than Azure Stack Hub does, and that does to requests what bad networks do.

use super::azure::{ACCOUNT, KEY, azurite, container, create, environment, get, list};
use super::proxy::Proxy;
use super::*;
use crate::config::{Name, Service};

pub(super) fn hub() -> ShipConfig {
    ShipConfig { service: Service::StackHub, ..ShipConfig::default() }
}

#[test]
fn stack_hub_is_asked_in_the_version_that_it_knows() {
    let Some(address) = azurite() else { return };
    let (container, proxy) = (container(), Proxy::to(&address, &[]));
    create(&address, &container);
    let place = format!("az://{container}");
    let item = evidence("01X", "line3");
    let usual = Store::open_with(&place, &ShipConfig::default(), &environment(&proxy.address)).expect("usable");
    let error = block_on(usual.keep(&item)).expect_err("a newer version is refused").to_string();
    assert!(error.contains("InvalidHeaderValue"), "{error}");
    assert!(list(&address, &container).is_empty());

    let store = Store::open_with(&place, &hub(), &environment(&proxy.address)).expect("usable");
    block_on(store.keep(&item)).expect("kept");
    let (head, body) = get(&address, &container, &format!("{FOLDER}/01X.jpg"));
    assert!(head.contains("content-type: image/jpeg"), "{head}");
    assert_eq!(body, "picture");
    assert_eq!(list(&address, &container).len(), 2);
    assert_eq!(proxy.did("2019-07-07 none"), 2);
}

#[test]
fn a_version_may_be_given() {
    let Some(address) = azurite() else { return };
    let (container, proxy) = (container(), Proxy::to(&address, &[]));
    create(&address, &container);
    let way = ShipConfig { api_version: Some("2017-11-09".to_owned()), ..ShipConfig::default() };
    let store = Store::open_with(&format!("az://{container}"), &way, &environment(&proxy.address)).expect("usable");
    block_on(store.keep(&evidence("01X", "line3"))).expect("kept");
    assert_eq!(proxy.did("2017-11-09 none"), 2);
}

/// A shared access signature of the account, good for some seconds from now (learn.microsoft.com, "Create an account SAS").
pub(super) fn signature(seconds: i64) -> String {
    let script = "
import base64, datetime, hashlib, hmac, sys, urllib.parse
account, key, seconds = sys.argv[1:]
until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=int(seconds))
fields = {'sp': 'rwac', 'ss': 'bq', 'srt': 'sco', 'se': until.strftime('%Y-%m-%dT%H:%M:%SZ'), 'sv': '2019-07-07'}
text = '\\n'.join([account, fields['sp'], fields['ss'], fields['srt'], '', fields['se'], '', '', fields['sv'], ''])
digest = hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()
print(urllib.parse.urlencode(fields | {'sig': base64.b64encode(digest).decode()}))
";
    let run = std::process::Command::new("python3").args(["-c", script, ACCOUNT, KEY, &seconds.to_string()]).output();
    let output = run.expect("Python runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn a_signature_is_renewed_by_its_file() {
    let Some(address) = azurite() else { return };
    let (container, proxy) = (container(), Proxy::to(&address, &[]));
    create(&address, &container);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("sas");
    let way = ShipConfig { sas_file: Some(file.clone()), ..hub() };
    let mut variables = environment(&proxy.address);
    variables.retain(|(key, _)| !key.ends_with("_KEY"));
    let store = Store::open_with(&format!("az://{container}"), &way, &variables).expect("usable");
    let item = evidence("01X", "line3");
    let fails = |wanted: &str| {
        let error = block_on(store.keep(&item)).expect_err("not yet");
        let text = format!("{error} {error:?}");
        assert!(error.is_transient() && text.contains(wanted), "{text}");
        assert!(!text.contains("sig="), "{text}");
    };
    fails(&file.display().to_string());
    std::fs::write(&file, signature(-60)).expect("written");
    fails("403");
    std::fs::write(&file, format!("?{}\n", signature(600))).expect("written");
    block_on(store.keep(&item)).expect("kept");
    assert_eq!(list(&address, &container).len(), 2);
}

#[test]
fn whatever_the_network_does_there_is_one_copy_of_each() {
    let Some(address) = azurite() else { return };
    let (container, proxy) = (container(), Proxy::to(&address, &["--seed", "7"]));
    create(&address, &container);
    let store = Store::open_with(&format!("az://{container}"), &hub(), &environment(&proxy.address)).expect("usable");
    let picture = |n: u8| Bytes::from(vec![n; 200_000]);
    let mut failed = 0;
    for n in 0..24 {
        let item = Evidence { jpeg: Some(picture(n)), ..evidence(&format!("{n:02}"), "line3") };
        while let Err(error) = block_on(store.keep(&item)) {
            assert!(error.is_transient(), "{error}");
            failed += 1;
            assert!(failed < 1000, "{error}");
        }
    }
    for fault in ["busy", "throttled", "cut-request", "cut-answer", "no-answer", "slow"] {
        assert!(proxy.did(fault) > 0, "{fault} never happened");
    }
    let names = list(&address, &container);
    let wanted: Vec<String> =
        (0..24).flat_map(|n| ["jpg", "json"].map(|end| format!("{FOLDER}/{n:02}.{end}"))).collect();
    assert_eq!(names, wanted);
    for n in 0..24_u8 {
        let (head, body) = get(&address, &container, &format!("{FOLDER}/{n:02}.jpg"));
        assert!(head.contains("content-length: 200000"), "{head}");
        assert!(body.bytes().all(|byte| byte == n), "picture {n}");
    }
}

/// Where Azurite's queues are.
fn queues() -> Option<String> {
    let address = std::env::var("OCELLUS_AZURITE_QUEUE").ok();
    if address.is_none() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "OCELLUS_AZURITE_QUEUE is not set, and CI must have it");
        eprintln!("skipped: OCELLUS_AZURITE_QUEUE is not set; scripts/test starts Azurite");
    }
    address
}

/// What Azure's own client makes of a queue: makes it, or prints the JSON of all its messages.
fn with_queue(address: &str, queue: &str, what: &str) -> String {
    let script = "
import base64, json, sys
from azure.storage.queue import QueueClient
account, key, address, queue, what = sys.argv[1:]
credential = {'account_name': account, 'account_key': key}
client = QueueClient(f'http://{address}/{account}', queue, credential=credential)
if what == 'make':
    client.create_queue()
else:
    print(json.dumps([json.loads(base64.b64decode(m.content)) for m in client.receive_messages()]))
";
    let python = std::env::var_os("OCELLUS_PYTHON").expect("scripts/test sets OCELLUS_PYTHON");
    let run = std::process::Command::new(python).args(["-c", script, ACCOUNT, KEY, address, queue, what]).output();
    let output = run.expect("Python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// What Ann says of the frame with this id, which `scored` has made.
fn verdict(frame: &str) -> crate::evidence::Verdict {
    let detections = crate::evidence::scored(3, &[]).detections;
    let verdict = serde_json::json!({
        "schema": "ocellus.verdict/1", "id": "a-17", "frame": frame, "site": detections.site, "node": detections.node,
        "camera": detections.camera, "captured_at": detections.frame.captured_at, "model": detections.model,
        "verdict": "wrong", "by": "Ann", "at": "2026-01-03T00:00:00Z", "via": "http", "revision": 1,
    });
    serde_json::from_value(verdict).expect("a verdict")
}

#[test]
fn a_queue_is_told_what_was_stored() {
    let (Some(address), Some(queues)) = (azurite(), queues()) else { return };
    let (container, proxy) = (container(), Proxy::to(&queues, &[]));
    create(&address, &container);
    let queue = format!("frames-{container}");
    let pick = crate::evidence::Pick {
        reason: crate::evidence::Reason::Band { label: "bolt".to_owned(), score: 0.45 },
        value: 0.75,
        scored: crate::evidence::scored(3, &[("bolt", 0.45, [0.1, 0.1, 0.2, 0.2])]),
    };
    let item = Evidence::encode("01JD0000000000000000000000", &pick).expect("encoded");
    let verdict = verdict("01JD0000000000000000000000");
    for (way, endpoint) in [(ShipConfig::default(), &queues), (hub(), &proxy.address)] {
        let way = ShipConfig { queue: Name::new(&queue).ok(), ..way };
        let mut variables = environment(&address);
        let place = format!("az://{container}/{}", way.version().unwrap_or("usual"));
        let error =
            Store::open_with(&place, &way, &variables).expect_err("nobody knows where the queue is").to_string();
        assert!(error.contains("AZURE_STORAGE_QUEUE_ENDPOINT"), "{error}");
        variables.push(("AZURE_STORAGE_QUEUE_ENDPOINT".to_owned(), format!("http://{endpoint}/{ACCOUNT}")));
        let store = Store::open_with(&place, &way, &variables).expect("usable");
        if way.service == Service::Azure {
            let error = block_on(store.keep(&item)).expect_err("there is no queue");
            assert!(error.is_transient() && error.to_string().contains("there is no such queue"), "{error}");
            with_queue(&queues, &queue, "make");
        }
        block_on(store.keep(&item)).expect("kept");
        let messages: serde_json::Value = serde_json::from_str(&with_queue(&queues, &queue, "read")).expect("JSON");
        let event = &messages[0];
        assert_eq!(messages.as_array().map(Vec::len), Some(1), "{messages}");
        assert_eq!((&event["specversion"], &event["id"]), (&"1.0".into(), &"01JD0000000000000000000000".into()));
        assert_eq!(
            (&event["source"], &event["type"]),
            (&"/plant-7/edge-01/line3".into(), &"ocellus.evidence.stored".into())
        );
        assert_eq!(event["data"]["reason"]["kind"], "band");
        assert_eq!(event["data"]["value"], 0.75);
        let named = |key: &str| event["data"][key].as_str().expect("a name").to_owned();
        let there = list(&address, &container);
        assert!(there.contains(&named("record")) && there.contains(&named("picture")), "{there:?} {event}");

        block_on(store.keep_verdict(&verdict)).expect("kept");
        let messages: serde_json::Value = serde_json::from_str(&with_queue(&queues, &queue, "read")).expect("JSON");
        assert_eq!(messages.as_array().map(Vec::len), Some(1), "{messages}");
        let (of_frame, event) = (event, &messages[0]);
        assert_eq!((&event["type"], &event["source"]), (&"ocellus.verdict.stored".into(), &of_frame["source"]));
        assert_eq!(event["id"], "01JD0000000000000000000000.verdict-a-17");
        assert_eq!((&event["data"]["said"], &event["data"]["record"]), (&"wrong".into(), &of_frame["data"]["record"]));
        let name = event["data"]["verdict"].as_str().expect("a name");
        assert!(list(&address, &container).iter().any(|there| there == name), "{event}");
        assert!(!messages.to_string().contains("Ann"), "{event}");
    }
    assert_eq!(proxy.did("2019-07-07 none"), 2);
}

#[test]
fn the_sample_function_moves_what_complies() {
    use crate::config::Allow;
    use crate::evidence::{Encoded, Found, Handled, Handling, Pick, Reason, scored};
    let (Some(address), Some(queues)) = (azurite(), queues()) else { return };
    let (node, central) = (container(), container());
    create(&address, &node);
    create(&address, &central);
    let queue = format!("moves-{node}");
    with_queue(&queues, &queue, "make");
    let way = ShipConfig { queue: Name::new(&queue).ok(), ..ShipConfig::default() };
    let mut variables = environment(&address);
    variables.push(("AZURE_STORAGE_QUEUE_ENDPOINT".to_owned(), format!("http://{queues}/{ACCOUNT}")));
    let store = Store::open_with(&format!("az://{node}/a"), &way, &variables).expect("usable");
    let reason = Reason::Band { label: "bolt".to_owned(), score: 0.45 };
    let pick = Pick { reason, value: 0.75, scored: scored(3, &[("bolt", 0.45, [0.1, 0.1, 0.2, 0.2])]) };
    let handled = |allow| {
        let handling = Handling { rule: "r".to_owned(), allow, method: None, found: Found::default() };
        Some(Handled { handling, audit: "0".repeat(64) })
    };
    let picture = || Encoded::of(&pick.scored.frame.image).ok();
    for (id, picture, handled) in [
        ("01JD0000000000000000000000", picture(), handled(Allow::Frame)),
        ("01JD0000000000000000000001", None, handled(Allow::Metadata)),
        ("01JD0000000000000000000002", picture(), None),
    ] {
        let item = Evidence::assemble(id, &pick, picture, handled).expect("assembled");
        // Twice, so that there are two messages.
        for _ in 0..2 {
            block_on(store.keep(&item)).expect("kept");
        }
        block_on(store.keep_verdict(&verdict(id))).expect("kept");
    }
    let connection = format!(
        "AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint=http://{address}/{ACCOUNT};QueueEndpoint=http://{queues}/{ACCOUNT};"
    );
    let root = FilePath::new(env!("CARGO_MANIFEST_DIR"));
    let python = std::env::var_os("OCELLUS_PYTHON").expect("scripts/test sets OCELLUS_PYTHON");
    let output = std::process::Command::new(python)
        .arg(root.join("tests/peers/run_function.py"))
        .arg(root.join("packaging/functions/function_app.py"))
        .arg(&queue)
        .envs([("NODE_STORAGE", &connection), ("CENTRAL_STORAGE", &connection)])
        .envs([("NODE_CONTAINER", &node), ("CENTRAL_CONTAINER", &central)])
        .output()
        .expect("Python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "9");
    let there = list(&address, &central);
    let names: Vec<&str> = there.iter().filter_map(|name| name.rsplit('/').next()).collect();
    assert_eq!(
        names,
        [
            "01JD0000000000000000000000.jpg",
            "01JD0000000000000000000000.json",
            "01JD0000000000000000000000.verdict-a-17.json",
            "01JD0000000000000000000001.json",
            "01JD0000000000000000000001.verdict-a-17.json",
        ]
    );
    for name in &there {
        assert_eq!(get(&address, &central, name).1, get(&address, &node, name).1);
    }
}

/// A certificate authority, and a certificate of it for this machine.
pub(super) fn certificates(folder: &FilePath) {
    let script = "
        openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=plant \
            -addext basicConstraints=critical,CA:TRUE
        openssl req -newkey rsa:2048 -nodes -keyout store.key -out store.csr -subj /CN=store
        printf 'subjectAltName=IP:127.0.0.1\\nbasicConstraints=CA:FALSE' >store.ext
        openssl x509 -req -in store.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile store.ext -out store.pem
    ";
    let run = std::process::Command::new("bash").args(["-ec", script]).current_dir(folder).output().expect("bash");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}

#[test]
fn an_authority_of_our_own_is_trusted_when_it_is_named() {
    let Some(address) = azurite() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    certificates(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (container, proxy) = (container(), Proxy::to(&address, &["--tls", &file("store.pem"), &file("store.key")]));
    create(&address, &container);
    let place = format!("az://{container}");
    let mut variables = environment(&proxy.address);
    for (key, value) in &mut variables {
        if key == "AZURE_STORAGE_ENDPOINT" {
            *value = value.replace("http://", "https://");
        }
    }
    let item = evidence("01X", "line3");
    let stranger = Store::open_with(&place, &hub(), &variables).expect("usable");
    let error = block_on(stranger.keep(&item)).expect_err("nobody knows this authority");
    assert!(error.is_transient() && list(&address, &container).is_empty(), "{error}");
    let way = ShipConfig { ca_file: Some(folder.path().join("ca.pem")), ..hub() };
    let store = Store::open_with(&place, &way, &variables).expect("usable");
    block_on(store.keep(&item)).expect("kept");
    assert_eq!(list(&address, &container).len(), 2);
}

#[test]
fn what_can_not_be_a_way_is_told_at_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let empty = folder.path().join("ca.pem");
    std::fs::write(&empty, "no certificate").expect("written");
    for path in [empty, folder.path().join("absent.pem")] {
        let way = ShipConfig { ca_file: Some(path.clone()), ..ShipConfig::default() };
        let error =
            Store::open_with("az://c", &way, &environment("127.0.0.1:1")).expect_err("no certificates").to_string();
        assert!(error.contains(&path.display().to_string()) && error.contains("az://c"), "{error}");
    }
}
