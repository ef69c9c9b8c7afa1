//! A plain HTTP client, which sends whatever it is told.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::peers::PATIENCE;

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The error of a request that was refused: that, and nothing else.
    pub fn error(&self) -> String {
        let json = self.json();
        assert_eq!(json.as_object().map(serde_json::Map::len), Some(1), "{json}");
        json["error"].as_str().expect("an error").to_owned()
    }
}

/// Sends bytes, and reads what comes until the connection ends.
pub fn exchange(port: u16, parts: &[&[u8]]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    for part in parts {
        // Who refuses a request need not read it to its end.
        if stream.write_all(part).is_err() {
            break;
        }
    }
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if answer.is_empty() => Err(error),
        _ => Ok(answer),
    }
}

pub fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    Some(Answer { status, headers, body: bytes[end + 4..].to_vec() })
}

pub fn ask(port: u16, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    let bytes = exchange(port, &[head.as_bytes(), body]).unwrap_or_else(|error| panic!("{method} {path}: {error}"));
    parse(&bytes).unwrap_or_else(|| panic!("{method} {path}: {}", String::from_utf8_lossy(&bytes)))
}

pub fn get(port: u16, path: &str) -> Answer {
    ask(port, "GET", path, "", b"")
}

/// An answer, if anybody answers.
pub fn try_get(port: u16, path: &str) -> Option<Answer> {
    let head = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    parse(&exchange(port, &[head.as_bytes()]).ok()?)
}

pub fn post(port: u16, path: &str, kind: &str, body: &[u8]) -> Answer {
    ask(port, "POST", path, &format!("Content-Type: {kind}\r\n"), body)
}
