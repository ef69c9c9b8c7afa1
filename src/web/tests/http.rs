//! A small HTTP client, so that the tests see the bytes that browsers see.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// An answer of which the body is still to come.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: BTreeMap<String, String>,
    stream: BufReader<TcpStream>,
    /// Bytes of the body that are read but not yet asked for.
    ahead: Vec<u8>,
}

/// One part of a multipart stream.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Part {
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

pub(super) async fn get(address: SocketAddr, path: &str) -> Answer {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n")).await
}

/// Sends a request as it is.
pub(super) async fn ask(address: SocketAddr, request: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("the request is taken");
    let mut stream = BufReader::new(stream);
    let head = until_empty_line(&mut stream).await;
    let (first, headers) = head.split_once("\r\n").expect("a status line");
    let status = first.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    Answer { status, headers: fields(headers), stream, ahead: Vec::new() }
}

async fn until_empty_line(stream: &mut BufReader<TcpStream>) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("the whole head"));
    }
    String::from_utf8(head).expect("text")
}

fn fields(lines: &str) -> BTreeMap<String, String> {
    let split = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    lines.lines().filter_map(split).collect()
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The whole body, of an answer that says how long it is.
    pub(super) async fn body(mut self) -> Vec<u8> {
        let length = self.header("content-length").parse().expect("a length");
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.expect("the whole body");
        body
    }

    pub(super) async fn text(self) -> String {
        String::from_utf8(self.body().await).expect("text")
    }

    pub(super) async fn json(self) -> serde_json::Value {
        assert_eq!(self.header("content-type"), "application/json");
        serde_json::from_slice(&self.body().await).expect("JSON")
    }

    /// The next chunk of a body without a length; false at its end, or when the connection breaks off.
    async fn chunk(&mut self) -> bool {
        assert_eq!(self.header("transfer-encoding"), "chunked");
        let mut size = String::new();
        while !size.ends_with("\r\n") {
            match self.stream.read_u8().await {
                Ok(byte) => size.push(byte.into()),
                Err(_) => return false,
            }
        }
        let size = usize::from_str_radix(size.trim(), 16).expect("a chunk's size");
        let mut data = vec![0; size + 2];
        if self.stream.read_exact(&mut data).await.is_err() || size == 0 {
            return false;
        }
        self.ahead.extend_from_slice(&data[..size]);
        true
    }

    /// The body up to `mark` and that with it; none when the stream ends before.
    async fn until(&mut self, mark: &str) -> Option<String> {
        loop {
            let found = self.ahead.windows(mark.len()).position(|window| window == mark.as_bytes());
            if let Some(at) = found {
                let taken: Vec<u8> = self.ahead.drain(..at + mark.len()).collect();
                return Some(String::from_utf8(taken).expect("text"));
            }
            if !self.chunk().await {
                return None;
            }
        }
    }

    /// The next server-sent event's data; none when the stream ends.
    pub(super) async fn event(&mut self) -> Option<serde_json::Value> {
        let event = self.until("\n\n").await?;
        let data = event.lines().find_map(|line| line.strip_prefix("data: ")).expect("data");
        assert!(event.contains("event: state"), "{event}");
        Some(serde_json::from_str(data).expect("JSON"))
    }

    /// The next part of a multipart stream with the boundary `frame`; none when the stream ends.
    pub(super) async fn part(&mut self) -> Option<Part> {
        self.until("--frame\r\n").await?;
        let headers = fields(&self.until("\r\n\r\n").await?);
        let length: usize = headers["content-length"].parse().expect("a length");
        while self.ahead.len() < length {
            if !self.chunk().await {
                return None;
            }
        }
        let body = self.ahead.drain(..length).collect();
        Some(Part { headers, body })
    }
}
