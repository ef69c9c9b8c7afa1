//! Identities in Azure: tokens from a peer that gives them as Azure's services do, to a store that wants them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;

use super::*;

/// What came to the peer: the request's line with its head, in small letters, and its body.
type Asked = Arc<Mutex<Vec<(String, String)>>>;

/// Gives tokens, and takes blobs that come with one.
struct Peer {
    address: String,
    asked: Asked,
}

impl Peer {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let asked = Asked::default();
        std::thread::spawn({
            let asked = Arc::clone(&asked);
            move || listener.incoming().flatten().for_each(|stream| _ = answer(stream, &asked))
        });
        Self { address, asked }
    }

    /// The requests with this in their first line.
    fn asked(&self, part: &str) -> Vec<(String, String)> {
        let asked = self.asked.lock().expect("no panic");
        asked.iter().filter(|(head, _)| head.lines().next().is_some_and(|line| line.contains(part))).cloned().collect()
    }
}

fn answer(stream: TcpStream, asked: &Asked) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        let line = line.to_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        head += &line;
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let is_token = ["/token", "/msi", "/oauth2/"].iter().any(|part| head.contains(part));
    let with_token = head.contains("authorization: bearer t-1");
    asked.lock().expect("no panic").push((head, String::from_utf8_lossy(&body).into_owned()));
    let token = r#"{"access_token":"t-1","token_type":"Bearer","expires_in":3600,"expires_on":"4102444800","resource":"https://storage.azure.com"}"#;
    let (status, content) = match (is_token, with_token) {
        (true, _) => ("200 OK", token),
        (false, true) => ("201 Created", ""),
        (false, false) => ("403 Forbidden", ""),
    };
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nETag: \"1\"\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{content}",
        content.len()
    )
}

fn variables(peer: &Peer, more: &[(&str, String)]) -> Vec<(String, String)> {
    let usual = [
        ("AZURE_STORAGE_ACCOUNT_NAME", "plant".to_owned()),
        ("AZURE_STORAGE_ENDPOINT", format!("http://{}/plant", peer.address)),
    ];
    usual.iter().chain(more).map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
}

fn keep_twice(peer: &Peer, variables: &[(String, String)]) {
    let store = Store::open_with("az://frames", &ShipConfig::default(), variables).expect("usable");
    block_on(async {
        store.keep(&evidence("01A", "line3")).await.expect("kept");
        store.keep(&evidence("01B", "line3")).await.expect("kept");
    });
    let puts = peer.asked("put /plant/frames/");
    assert_eq!(puts.len(), 4);
    assert!(puts.iter().all(|(head, _)| head.contains("authorization: bearer t-1")), "{puts:?}");
}

#[test]
fn a_managed_identity_gets_its_token_from_the_machine() {
    let peer = Peer::start();
    let more = [("IDENTITY_ENDPOINT", format!("http://{}/msi/token", peer.address))];
    keep_twice(&peer, &variables(&peer, &more));
    let tokens = peer.asked("/msi/token");
    assert_eq!(tokens.len(), 1, "a token is used until it expires");
    let head = &tokens[0].0;
    assert!(head.contains("metadata: true") && head.contains("storage.azure.com"), "{head}");
}

#[test]
fn a_workload_identity_exchanges_the_token_in_its_file() {
    let (peer, folder) = (Peer::start(), tempfile::tempdir().expect("a folder"));
    let file = folder.path().join("token");
    std::fs::write(&file, "of-the-cluster").expect("written");
    let more = [
        ("AZURE_CLIENT_ID", "node".to_owned()),
        ("AZURE_TENANT_ID", "tenant".to_owned()),
        ("AZURE_FEDERATED_TOKEN_FILE", file.display().to_string()),
        ("AZURE_AUTHORITY_HOST", format!("http://{}", peer.address)),
    ];
    keep_twice(&peer, &variables(&peer, &more));
    let tokens = peer.asked("/tenant/oauth2/");
    assert_eq!(tokens.len(), 1, "a token is used until it expires");
    let body = &tokens[0].1;
    assert!(body.contains("client_assertion=of-the-cluster") && body.contains("client_id=node"), "{body}");
}
