//! Against moto, which checks signatures once it is told to, and takes conditional writes and multipart uploads.

use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::blocks::picture;
use super::hub::certificates;
use super::proxy::Proxy;
use super::*;

/// Requests that moto takes from anybody: those that make a user and its key.
const OPEN: &str = "3";

/// A server, and the key that it knows.
struct Moto {
    /// Its standard input ends with this process, and it with that.
    _server: Child,
    address: String,
    key: (String, String),
}

/// Runs lines of Python with `client(service)` in hand and gives what they print.
fn python(address: &str, key: (&str, &str), lines: &str) -> String {
    let script = format!(
        "import boto3, json, sys\n\
         from botocore.config import Config\n\
         address, key, secret = sys.argv[1:]\n\
         def client(service):\n\
         \x20   return boto3.client(service, endpoint_url=f'http://{{address}}', region_name='eu-west-1',\n\
         \x20       aws_access_key_id=key, aws_secret_access_key=secret, config=Config(s3={{'addressing_style': 'path'}}))\n\
         {lines}"
    );
    let output = Command::new(std::env::var_os("OCELLUS_PYTHON").expect("scripts/test sets OCELLUS_PYTHON"))
        .args(["-c", &script, address, key.0, key.1])
        .output()
        .expect("Python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The server of this process; none skips the test, unless this is continuous integration.
fn moto() -> Option<&'static Moto> {
    static MOTO: OnceLock<Option<Moto>> = OnceLock::new();
    MOTO.get_or_init(|| {
        let Some(python_at) = std::env::var_os("OCELLUS_PYTHON") else {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "OCELLUS_PYTHON is not set, and CI must have it");
            eprintln!("skipped: OCELLUS_PYTHON is not set; scripts/test sets it");
            return None;
        };
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
        let address = format!("127.0.0.1:{port}");
        let script = "import os, sys, threading\n\
                      from moto.server import main\n\
                      threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()\n\
                      main(['-H', '127.0.0.1', '-p', sys.argv[1]])";
        let mut command = Command::new(python_at);
        command.args(["-c", script, &port.to_string()]).env("INITIAL_NO_AUTH_ACTION_COUNT", OPEN);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = command.spawn().expect("moto starts");
        let since = Instant::now();
        while std::net::TcpStream::connect(&address).is_err() {
            assert!(since.elapsed() < Duration::from_secs(120), "moto does not listen");
            std::thread::sleep(Duration::from_millis(100));
        }
        let made = python(
            &address,
            ("any", "any"),
            "iam = client('iam')\n\
             iam.create_user(UserName='node')\n\
             policy = {'Version': '2012-10-17', 'Statement': [{'Effect': 'Allow', 'Action': 's3:*', 'Resource': '*'}]}\n\
             iam.put_user_policy(UserName='node', PolicyName='p', PolicyDocument=json.dumps(policy))\n\
             key = iam.create_access_key(UserName='node')['AccessKey']\n\
             print(key['AccessKeyId'], key['SecretAccessKey'])",
        );
        let (id, secret) = made.trim().split_once(' ').expect("a key");
        Some(Moto { _server: server, address, key: (id.to_owned(), secret.to_owned()) })
    })
    .as_ref()
}

impl Moto {
    fn bucket(&self) -> String {
        let name = format!("b{}", ulid::Ulid::generate().to_string().to_lowercase());
        let make = format!(
            "client('s3').create_bucket(Bucket='{name}', CreateBucketConfiguration={{'LocationConstraint': 'eu-west-1'}})"
        );
        python(&self.address, (&self.key.0, &self.key.1), &make);
        name
    }

    fn variables(&self, endpoint: &str) -> Vec<(String, String)> {
        [
            ("AWS_ACCESS_KEY_ID", self.key.0.as_str()),
            ("AWS_SECRET_ACCESS_KEY", &self.key.1),
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ENDPOINT_URL", endpoint),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
    }

    /// All objects of a bucket: name, content type, tag, and what they have as text.
    fn objects(&self, bucket: &str) -> Vec<(String, String, String, String)> {
        let lines = format!(
            "s3 = client('s3')\n\
             def look(name):\n\
             \x20   o = s3.get_object(Bucket='{bucket}', Key=name)\n\
             \x20   return name, o['ContentType'], o['ETag'], o['Body'].read().decode('latin1')\n\
             print(json.dumps([look(o['Key']) for o in s3.list_objects_v2(Bucket='{bucket}').get('Contents', [])]))"
        );
        serde_json::from_str(&python(&self.address, (&self.key.0, &self.key.1), &lines)).expect("JSON")
    }
}

fn open(bucket: &str, way: &ShipConfig, variables: &[(String, String)]) -> Store {
    Store::open_with(&format!("s3://{bucket}/x"), way, variables).expect("usable")
}

#[test]
fn an_object_is_signed_for_and_made_once() {
    let Some(moto) = moto() else { return };
    let bucket = moto.bucket();
    let variables = moto.variables(&format!("http://{}", moto.address));
    let store = open(&bucket, &ShipConfig::default(), &variables);
    let first = evidence("01X", "line3");
    let other =
        Evidence { jpeg: Some(Bytes::from_static(b"another")), json: Bytes::from_static(b"[]"), ..first.clone() };
    block_on(store.keep(&first)).expect("kept");
    let before = moto.objects(&bucket);
    let seen: Vec<_> =
        before.iter().map(|(name, kind, _, text)| (name.as_str(), kind.as_str(), text.as_str())).collect();
    let (jpg, json) = (format!("x/{FOLDER}/01X.jpg"), format!("x/{FOLDER}/01X.json"));
    assert_eq!(seen, [(jpg.as_str(), "image/jpeg", "picture"), (json.as_str(), "application/json", "{}")]);
    for again in [&first, &other] {
        block_on(store.keep(again)).expect("what is there is a success");
        assert_eq!(moto.objects(&bucket), before);
    }
}

#[test]
fn a_wrong_key_and_a_wrong_bucket_are_told_as_such() {
    let Some(moto) = moto() else { return };
    let bucket = moto.bucket();
    let good = moto.variables(&format!("http://{}", moto.address));
    let item = evidence("01X", "line3");
    let fails = |bucket: &str, variables: &[(String, String)], wanted: &str| {
        let error = block_on(open(bucket, &ShipConfig::default(), variables).keep(&item)).expect_err("refused");
        let text = format!("{error} {}", error.reason());
        assert!(error.is_transient() && text.contains(wanted), "{text}");
        assert!(!text.contains(&moto.key.1) && !text.contains("hunter2"), "{text}");
    };
    let with = |key: &str, value: &str| -> Vec<_> {
        let changed = good.iter().map(|(k, v)| (k.clone(), if k == key { value.to_owned() } else { v.clone() }));
        changed.collect()
    };
    fails("no-such-bucket", &good, "there is no such bucket");
    fails(&bucket, &with("AWS_SECRET_ACCESS_KEY", "hunter2"), "AWS_SECRET_ACCESS_KEY is not the key");
    fails(&bucket, &with("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"), "AWS_ACCESS_KEY_ID is none");
    assert!(moto.objects(&bucket).is_empty());
}

#[test]
fn whatever_the_network_does_there_is_one_object_of_each() {
    let Some(moto) = moto() else { return };
    let (bucket, proxy) = (moto.bucket(), Proxy::to(&moto.address, &["--any", "--seed", "7"]));
    let store = open(&bucket, &ShipConfig::default(), &moto.variables(&format!("http://{}", proxy.address)));
    let mut failed = 0;
    for n in 0..8 {
        let item = Evidence { jpeg: Some(picture(50_000, n)), ..evidence(&format!("{n:02}"), "line3") };
        while let Err(error) = block_on(store.keep(&item)) {
            assert!(error.is_transient(), "{error}");
            failed += 1;
            assert!(failed < 200, "{error}");
        }
    }
    let objects = moto.objects(&bucket);
    assert_eq!(objects.len(), 16);
    for (n, (name, _, _, text)) in objects.iter().filter(|object| object.0.ends_with(".jpg")).enumerate() {
        assert_eq!(text.as_bytes(), picture(50_000, n as u64), "{name}");
    }
}

#[test]
fn an_upload_that_was_cut_off_goes_on_where_it_was() {
    let Some(moto) = moto() else { return };
    // Four parts: three of the least size, and the rest.
    let (size, bucket) = (3 * blocks_least() + 100_000, moto.bucket());
    let cut_at = (3 * blocks_least()).to_string();
    let proxy = Proxy::to(&moto.address, &["--any", "--cut", &cut_at, "3"]);
    let way = ShipConfig { single_kib: 1024, ..ShipConfig::default() };
    let store = open(&bucket, &way, &moto.variables(&format!("http://{}", proxy.address)));
    let item = Evidence { jpeg: Some(picture(size, 5)), ..evidence("01A", "line3") };
    let error = block_on(store.keep(&item)).expect_err("it was cut off");
    assert!(error.is_transient() && moto.objects(&bucket).is_empty(), "{error}");
    block_on(store.keep(&item)).expect("now it goes through");
    assert!(proxy.came() < size + 400_000, "{} bytes were sent of {size}", proxy.came());
    let objects = moto.objects(&bucket);
    assert_eq!((objects.len(), objects[0].1.as_str()), (2, "image/jpeg"));
    assert!(objects[0].3.as_bytes() == item.jpeg.as_deref().expect("a picture"));
    let other = Evidence { jpeg: Some(picture(size, 6)), ..item.clone() };
    block_on(store.keep(&other)).expect("what is there is a success");
    assert_eq!(moto.objects(&bucket), objects, "and is not changed");
}

fn blocks_least() -> usize {
    super::super::blocks::S3_LEAST
}

#[test]
fn an_endpoint_of_our_own_may_have_an_authority_of_our_own() {
    let Some(moto) = moto() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    certificates(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let proxy = Proxy::to(&moto.address, &["--any", "--tls", &file("store.pem"), &file("store.key")]);
    let (bucket, variables) = (moto.bucket(), moto.variables(&format!("https://{}", proxy.address)));
    let item = evidence("01X", "line3");
    let error = block_on(open(&bucket, &ShipConfig::default(), &variables).keep(&item)).expect_err("a stranger");
    assert!(error.is_transient() && moto.objects(&bucket).is_empty(), "{error}");
    let way = ShipConfig { ca_file: Some(folder.path().join("ca.pem")), ..ShipConfig::default() };
    block_on(open(&bucket, &way, &variables).keep(&item)).expect("kept");
    assert_eq!(moto.objects(&bucket).len(), 2);
}

#[test]
fn a_clock_that_is_off_is_told_as_such() {
    let Some(moto) = moto() else { return };
    let proxy = Proxy::to(&moto.address, &["--any", "--say", "403", "RequestTimeTooSkewed"]);
    let store = open("bucket", &ShipConfig::default(), &moto.variables(&format!("http://{}", proxy.address)));
    let error = block_on(store.keep(&evidence("01X", "line3"))).expect_err("refused");
    assert!(error.reason().contains("this machine's clock is off"), "{}", error.reason());
}
