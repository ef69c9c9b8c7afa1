//! Requests that are wrong, large, slow or sly: each gets one clear error, and the daemon goes on within its limits.

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;

use serde_json::{Value, json};

use super::http::{Answer, ask, exchange, get, parse, post};
use super::{Served, picture};

/// The head of a PNG of this size, and the beginning of its data.
fn png_head(width: u32, height: u32) -> Vec<u8> {
    let chunk = |kind: &[u8], content: &[u8]| {
        let named = [kind, content].concat();
        let length = u32::try_from(content.len()).unwrap();
        [length.to_be_bytes().as_slice(), &named, &crc32(&named).to_be_bytes()].concat()
    };
    let head = [width.to_be_bytes().as_slice(), &height.to_be_bytes(), &[8, 6, 0, 0, 0]].concat();
    [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(b"IHDR", &head), chunk(b"IDAT", &[0x78, 0x9c, 0, 0])].concat()
}

/// As PNG has it (ISO 3309).
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

fn infer(port: u16, request: &Value) -> Answer {
    post(port, "/v2/models/parts/infer", "application/json", request.to_string().as_bytes())
}

/// JSON and bytes behind it.
fn infer_binary(port: u16, request: &Value, length: &str, rest: &[u8]) -> Answer {
    let json = request.to_string();
    let length = if length.is_empty() { json.len().to_string() } else { length.to_owned() };
    let head = format!("Inference-Header-Content-Length: {length}\r\nContent-Type: application/octet-stream\r\n");
    ask(port, "POST", "/v2/models/parts/infer", &head, &[json.as_bytes(), rest].concat())
}

fn input(shape: &Value, datatype: &str, data: &Value) -> Value {
    json!({"inputs": [{"name": "image", "shape": shape, "datatype": datatype, "data": data}]})
}

fn refused(answer: &Answer, status: u16, part: &str, what: &str) {
    assert_eq!(answer.status, status, "{what}: {}", String::from_utf8_lossy(&answer.body));
    let error = answer.error();
    assert!(error.contains(part) && error.len() < 800, "{what}: {error}");
}

fn resident_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() / 1024
}

#[test]
fn each_wrong_request_gets_one_clear_error() {
    let served = Served::start("max_body_mib = 8\nmemory_mib = 64\n");
    let port = served.port;
    let before = resident_mib(served.running.id());
    pictures(port);
    tensors(port);
    binaries(port);
    addresses(port);
    let after = resident_mib(served.running.id());
    assert!(after < before + 200, "{before} MiB have become {after}");
    // And it still does what it is for.
    assert_eq!(post(port, "/v1/detect", "image/jpeg", &std::fs::read(picture()).unwrap()).status, 200);
    served.stop();
}

fn pictures(port: u16) {
    let jpeg = std::fs::read(picture()).unwrap();
    let detect = |body: &[u8]| post(port, "/v1/detect", "image/jpeg", body);
    refused(&detect(&png_head(20_000, 20_000)), 413, "outside the limits", "a huge PNG");
    refused(&detect(&png_head(16_000, 16_000)), 413, "outside the limits", "a large PNG");
    refused(&detect(&png_head(8_000, 8_000)), 413, "`memory_mib`", "a PNG that takes more than all may");
    refused(&detect(&png_head(0, 8)), 400, "can't be decoded", "an empty PNG");
    refused(&detect(&png_head(64, 64)), 400, "can't be decoded", "a PNG without its end");
    for cut in [jpeg.len() / 2, jpeg.len() - 2, 400, 20] {
        refused(&detect(&jpeg[..cut]), 400, "cut short", "a truncated JPEG");
    }
    let mut scribbled = jpeg.clone();
    scribbled[4..200].fill(0);
    refused(&detect(&scribbled), 400, "can't be decoded", "a broken JPEG");
    refused(&detect(b""), 400, "its body is empty", "nothing");
    refused(&detect(b"GIF89a\x01\0\x01\0\0\0\0"), 415, "JPEG, PNG or BMP", "a GIF");
    refused(&detect(b"hello"), 415, "JPEG, PNG or BMP", "a text");
    refused(&post(port, "/score", "image/x-raw", &jpeg), 415, "raw pictures", "raw pixels");
    refused(&post(port, "/v1/detect", "multipart/form-data; boundary=x", &jpeg), 400, "no whole file", "no part");
    let gzip = ask(port, "POST", "/v1/detect", "Content-Encoding: gzip\r\n", &jpeg);
    refused(&gzip, 415, "compressed", "a compressed body");
    refused(&detect(&vec![0; (8 << 20) + 1]), 413, "`max_body_mib`", "a large body");
    let chunks = vec![0; 1 << 16];
    let head = format!("POST /v1/detect HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunk = [b"10000\r\n".as_slice(), &chunks, b"\r\n"].concat();
    let mut parts = vec![head.as_bytes()];
    parts.extend(std::iter::repeat_n(chunk.as_slice(), 200));
    let answer = parse(&exchange(port, &parts).unwrap()).unwrap();
    refused(&answer, 413, "`max_body_mib`", "a large body in chunks");
    for (query, part) in [("score=2", "`score`"), ("scor=1", "no parameter"), ("camera=a%20b", "`camera`")] {
        refused(&post(port, &format!("/v1/detect?{query}"), "image/jpeg", &jpeg), 400, part, query);
    }
    refused(&post(port, "/v1/detect?model=part", "image/jpeg", &jpeg), 404, "there is `parts`", "another model");
}

fn tensors(port: u16) {
    let shape = json!([1, 1, 1, 3]);
    let pixel = json!([1, 2, 3]);
    assert_eq!(infer(port, &input(&shape, "UINT8", &pixel)).status, 200);
    let long = "x".repeat(100_000);
    for (request, status, part) in [
        (input(&json!([1, 2, 1, 3]), "UINT8", &pixel), 400, "takes 6 bytes of UINT8, but there are 3"),
        (input(&json!([1, 1, 3, 1]), "UINT8", &pixel), 400, "a shape [pictures, height, width, 3]"),
        (input(&json!([0, 1, 1, 3]), "UINT8", &json!([])), 400, "a picture or more"),
        (input(&json!([1, 0, 1, 3]), "UINT8", &json!([])), 413, "outside the limits"),
        (input(&json!([1, 4_000_000_000_u64, 4_000_000_000_u64, 3]), "UINT8", &pixel), 413, "outside the limits"),
        (input(&json!([u64::MAX, 8000, 8000, 3]), "UINT8", &pixel), 413, "`queue`"),
        (input(&json!([100_000, 1, 1, 3]), "UINT8", &pixel), 413, "`queue`"),
        (input(&json!([-1, 1, 1, 3]), "UINT8", &pixel), 400, "invalid value"),
        (input(&json!(vec![1; 20]), "UINT8", &pixel), 400, "at most 16 entries"),
        (input(&shape, "FP32", &json!([0.5, 1, 2])), 400, "not FP32"),
        (input(&shape, "uint8", &pixel), 400, "there is no datatype \"uint8\""),
        (input(&shape, &long, &pixel), 400, "there is no datatype"),
        (input(&shape, "UINT8", &json!([1, 2, 256])), 400, "not 256"),
        (input(&shape, "UINT8", &json!([1, 2, "3"])), 400, "not the text \"3\""),
        (input(&shape, "UINT8", &json!({"a": 1})), 400, "JSON is wrong"),
        (input(&json!([1]), "BYTES", &json!(["%"])), 400, "in base64"),
        (input(&json!([2]), "BYTES", &json!([""])), 400, "takes 2 elements of BYTES, but there are 1"),
        (input(&json!([1]), "BYTES", &json!(["aGVsbG8="])), 415, "JPEG, PNG or BMP"),
        (json!({"inputs": []}), 400, "one input, `image`, not 0"),
        (
            json!({"inputs": [{"name": "picture", "shape": [1], "datatype": "BYTES", "data": []}]}),
            400,
            "there is `image`",
        ),
        (json!({"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES"}]}), 400, "has no data"),
        (json!({"outputs": []}), 400, "missing field `inputs`"),
        (json!([]), 400, "JSON is wrong"),
    ] {
        refused(&infer(port, &request), status, part, &request.to_string().chars().take(200).collect::<String>());
    }
    let mut request = input(&shape, "UINT8", &pixel);
    request["outputs"] = json!([{"name": "masks"}]);
    refused(&infer(port, &request), 400, "there is `count`, `boxes`, `scores`, `classes`, `labels`", "another output");
    request["outputs"] = json!([{"name": "scores", "parameters": {"classification": 3}}]);
    refused(&infer(port, &request), 400, "classification extension", "an extension that is not spoken");
    request["outputs"] = json!([]);
    request["parameters"] = json!({"score": 3});
    refused(&infer(port, &request), 400, "`score` is from 0 to 1", "a score that is none");
    let deep = format!("{{\"inputs\":[{{\"data\":{}", "[".repeat(1 << 20));
    for text in [deep.as_str(), "", "{", "\u{0}", "{\"inputs\":[{\"name\":\"\\ud800\"}]}"] {
        let answer = post(port, "/v2/models/parts/infer", "application/json", text.as_bytes());
        refused(&answer, 400, "JSON is wrong", &text.chars().take(30).collect::<String>());
    }
}

fn binaries(port: u16) {
    let request = |size: u64, shape: Value, datatype: &str| json!({"inputs": [{"name": "image", "shape": shape, "datatype": datatype, "parameters": {"binary_data_size": size}}]});
    let pixel = request(3, json!([1, 1, 1, 3]), "UINT8");
    assert_eq!(infer_binary(port, &pixel, "", &[1, 2, 3]).status, 200);
    for (size, length, rest, part) in [
        (4, "", 3, "is 4, but 3 bytes come behind"),
        (3, "", 4, "is 3, but 4 bytes come behind"),
        (u64::MAX, "", 3, "but 3 bytes come behind"),
        (3, "4000000000", 3, "but the body has"),
        (3, "18446744073709551616", 3, "the number of bytes of the JSON"),
        (3, "-1", 3, "the number of bytes of the JSON"),
        (3, "5", 3, "JSON is wrong"),
        (3, "0", 3, "JSON is wrong"),
    ] {
        let wrong = request(size, json!([1, 1, 1, 3]), "UINT8");
        let answer = infer_binary(port, &wrong, length, &vec![0; rest]);
        refused(&answer, 400, part, &format!("{size} {length} {rest}"));
    }
    refused(&infer(port, &pixel), 400, "Inference-Header-Content-Length", "no header");
    for lie in [[255, 255, 255, 255], [5, 0, 0, 0], [0, 0, 0, 128]] {
        let rest = [lie.as_slice(), b"abcd"].concat();
        let wrong = request(8, json!([1]), "BYTES");
        refused(&infer_binary(port, &wrong, "", &rest), 400, "longer than what is left", "an element that lies");
    }
    let many = vec![0; 4 << 20];
    let wrong = request(many.len() as u64, json!([1]), "BYTES");
    refused(&infer_binary(port, &wrong, "", &many), 400, "takes 1 elements", "a million empty elements");
}

fn addresses(port: u16) {
    let long = "a".repeat(5000);
    for (path, status) in [
        ("/v2/models/..%2F..%2Fetc%2Fpasswd", 404),
        ("/v2/models/..%2F..%2Fetc%2Fpasswd/versions/%2e%2e/ready", 404),
        ("/v2/models/../../etc/passwd", 404),
        ("/v2/models/%00/ready", 404),
        ("/v2/models/%ff%fe/ready", 400),
        ("/v2/models//ready", 404),
        ("/v2/models/parts%20/ready", 404),
        ("/v2/models/parts/versions/2.0.0", 404),
        (&format!("/v2/models/{long}/ready"), 404),
        ("/v3", 404),
        ("/v2/models/parts/infer", 405),
        ("/v1/detect", 405),
    ] {
        let answer = get(port, path);
        refused(&answer, status, "", path);
    }
    // A page that points its own name at this machine.
    let head = "GET /v2 HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    refused(&parse(&exchange(port, &[head.as_bytes()]).unwrap()).unwrap(), 421, "this machine only", "another name");
    let foreign = ask(port, "POST", "/v1/detect", "Sec-Fetch-Site: cross-site\r\n", b"");
    refused(&foreign, 403, "pages of other sites", "a foreign page");
    // What hyper refuses before we see it has no body.
    let huge = format!("X-Long: {}\r\n", "a".repeat(1 << 20));
    let head = format!("GET /v2 HTTP/1.1\r\nHost: 127.0.0.1\r\n{huge}\r\n");
    let answer = exchange(port, &[head.as_bytes()]).unwrap_or_default();
    assert!(parse(&answer).is_none_or(|answer| answer.status == 431), "{}", String::from_utf8_lossy(&answer));
    for junk in [b"\x16\x03\x01\x02\0\x01\0".as_slice(), b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"] {
        let answer = exchange(port, &[junk]).unwrap_or_default();
        assert!(parse(&answer).is_none_or(|answer| answer.status == 400), "{}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(get(port, "/v2/health/live").status, 200);
}

/// Whoever sends a byte now and then is not waited for, and takes nobody else's place for ever.
#[test]
fn slow_requests_end() {
    let served = Served::start("timeout_s = 0.5\nconcurrent = 1\n");
    let port = served.port;
    let slow = |head: String| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream
    };
    let mut body =
        slow(format!("POST /v1/detect HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 1000\r\n\r\nslow"));
    let mut answer = Vec::new();
    std::io::Read::read_to_end(&mut body, &mut answer).unwrap();
    refused(&parse(&answer).unwrap(), 408, "did not come in time", "a slow body");
    // Its place is free again.
    refused(&post(port, "/v1/detect", "image/jpeg", b""), 400, "its body is empty", "the only place");
    let mut head = slow(format!("POST /v1/detect HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-Slow: "));
    let mut answer = Vec::new();
    let _ = std::io::Read::read_to_end(&mut head, &mut answer);
    assert!(parse(&answer).is_none_or(|answer| answer.status == 408), "{}", String::from_utf8_lossy(&answer));
    served.stop();
}

/// The description names what there is: everything in it is answered, with JSON.
#[test]
fn everything_described_is_there() {
    let served = Served::start("");
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/openapi.json")).unwrap();
    let described: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(get(served.port, "/openapi.json").json(), described);
    for (path, methods) in described["paths"].as_object().unwrap() {
        let path = path.replace("{name}", "parts").replace("{version}", "1.0.0");
        for method in methods.as_object().unwrap().keys().filter(|method| *method != "parameters") {
            let answer = ask(served.port, &method.to_uppercase(), &path, "", b"");
            assert_eq!(answer.status, if method == "get" { 200 } else { 400 }, "{method} {path}");
            let kind = if path == "/metrics" { "text/plain; version=0.0.4; charset=utf-8" } else { "application/json" };
            assert_eq!(answer.header("content-type"), kind, "{path}");
            assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        }
    }
    served.stop();
}
