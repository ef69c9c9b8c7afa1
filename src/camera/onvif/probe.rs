//! Calling into the local networks for cameras: WS-Discovery (OASIS 2005/04, the draft that ONVIF uses) over UDP.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until, timeout_at};
use ulid::Ulid;

use super::xml;
use crate::camera::source::unescape;

/// Where cameras listen.
const GROUP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(239, 255, 255, 250)), 3702);
/// When the call is repeated: packets get lost.
const AGAIN: [Duration; 2] = [Duration::from_millis(0), Duration::from_millis(400)];
/// Cameras that are listed at most.
const MOST: usize = 512;
/// The longest answer.
const LONGEST: usize = 65_536;
/// Where the kernel lists this machine's own addresses.
const OWN_ADDRESSES: &str = "/proc/net/fib_trie";

/// Why nobody can be called.
#[derive(Debug, thiserror::Error)]
#[error("no network could be called into for cameras: {0}")]
pub struct ProbeError(pub(super) String);

/// Somebody who answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// Who sent it.
    pub from: IpAddr,
    /// What it is known by, the same whichever of its addresses answers.
    pub id: String,
    /// Where it says that it takes questions.
    pub services: Vec<String>,
    pub name: String,
    pub hardware: String,
}

/// Calls on every network of this machine and collects the answers that come within `time`.
pub(super) async fn probe(time: Duration) -> Result<Vec<Answer>, ProbeError> {
    let routes = std::fs::read_to_string(OWN_ADDRESSES).unwrap_or_default();
    let mut sockets = Vec::new();
    let mut last = "this machine has no IPv4 address".to_owned();
    // A packet to a group leaves through the interface whose address it is sent from.
    for address in own_addresses(&routes) {
        match UdpSocket::bind((address, 0)).await {
            Ok(socket) => sockets.push(socket),
            Err(error) => last = format!("{address}: {error}"),
        }
    }
    let id = uuid();
    let call = call(&id);
    let until = Instant::now() + time;
    let heard = futures::future::join_all(sockets.iter().map(|socket| listen(socket, &call, &id, until))).await;
    let mut found: BTreeMap<String, Answer> = BTreeMap::new();
    let mut any = false;
    for heard in heard {
        match heard {
            Ok(answers) => {
                any = true;
                for answer in answers {
                    found.entry(answer.id.clone()).or_insert(answer);
                }
            }
            Err(error) => last = error,
        }
    }
    if any { Ok(found.into_values().take(MOST).collect()) } else { Err(ProbeError(last)) }
}

/// Calls on one network and listens until the time is up.
async fn listen(socket: &UdpSocket, call: &str, id: &str, until: Instant) -> Result<Vec<Answer>, String> {
    let began = Instant::now();
    let mut calls = AGAIN.iter().map(|after| began + *after).peekable();
    let mut answers = Vec::new();
    let mut buffer = vec![0; LONGEST];
    let mut sent = Err("no call was made".to_owned());
    while Instant::now() < until && answers.len() < MOST {
        let due = calls.peek().copied().unwrap_or(until).min(until);
        tokio::select! {
            biased;
            () = sleep_until(due) => {
                if calls.next().is_some() {
                    let outcome = socket.send_to(call.as_bytes(), GROUP).await;
                    sent = sent.or(outcome.map(drop).map_err(|error| error.to_string()));
                }
            }
            received = timeout_at(until, socket.recv_from(&mut buffer)) => {
                // Errors are other people's answers to our packets (ICMP).
                let Ok(Ok((length, from))) = received else { continue };
                let packet = buffer.get(..length).unwrap_or_default();
                answers.extend(read(packet, from.ip(), id).into_iter().flatten());
            }
        }
    }
    sent.map(|()| answers)
}

/// Who answers in a packet; an error in words where it is no answer to our call.
fn read(packet: &[u8], from: IpAddr, id: &str) -> Result<Vec<Answer>, String> {
    let document = xml::parse(packet)?;
    let root = document.root();
    if xml::text(root, "RelatesTo").is_some_and(|to| to != id) {
        return Err("it answers somebody else".to_owned());
    }
    let matches = xml::all(root, "ProbeMatch").take(8).filter(|found| {
        // Printers and others answer too, though they were not asked.
        let types = xml::text(*found, "Types").unwrap_or_default();
        types.split_whitespace().any(|kind| kind.rsplit(':').next() == Some("NetworkVideoTransmitter"))
    });
    Ok(matches
        .map(|found| {
            let services: Vec<String> =
                xml::text(found, "XAddrs").unwrap_or_default().split_whitespace().take(8).map(str::to_owned).collect();
            let id = xml::text(found, "Address").unwrap_or_else(|| format!("{from} {}", services.join(" ")));
            let scopes = xml::find(found, "Scopes").and_then(|scopes| scopes.text()).unwrap_or_default();
            let (name, hardware) = (scope(scopes, "name"), scope(scopes, "hardware"));
            Answer { from, id, services, name, hardware }
        })
        .collect())
}

/// What a camera says of itself: `onvif://www.onvif.org/name/Gate%203`.
fn scope(scopes: &str, kind: &str) -> String {
    let start = format!("onvif://www.onvif.org/{kind}/");
    let said = scopes.split_whitespace().find_map(|scope| scope.strip_prefix(start.as_str())).unwrap_or_default();
    let bytes = unescape(said.as_bytes());
    xml::plain(&String::from_utf8_lossy(&bytes))
}

fn call(id: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\
         <e:Envelope xmlns:e=\"http://www.w3.org/2003/05/soap-envelope\" \
         xmlns:w=\"http://schemas.xmlsoap.org/ws/2004/08/addressing\" \
         xmlns:d=\"http://schemas.xmlsoap.org/ws/2005/04/discovery\" \
         xmlns:dn=\"http://www.onvif.org/ver10/network/wsdl\">\
         <e:Header><w:MessageID>{id}</w:MessageID>\
         <w:To>urn:schemas-xmlsoap-org:ws:2005:04:discovery</w:To>\
         <w:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</w:Action></e:Header>\
         <e:Body><d:Probe><d:Types>dn:NetworkVideoTransmitter</d:Types></d:Probe></e:Body></e:Envelope>"
    )
}

/// `urn:uuid:…`, of random bits.
fn uuid() -> String {
    let mut text = "urn:uuid:".to_owned();
    let bits = Ulid::generate().0;
    for (i, byte) in bits.to_be_bytes().into_iter().enumerate() {
        let dash = if [4, 6, 8, 10].contains(&i) { "-" } else { "" };
        // Writing to a string can't fail.
        let _ = write!(text, "{dash}{byte:02x}");
    }
    text
}

/// This machine's own IPv4 addresses, from the kernel's table of routes.
fn own_addresses(routes: &str) -> Vec<Ipv4Addr> {
    let mut addresses = Vec::new();
    let mut last = None;
    for line in routes.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse().ok();
        } else if line == "/32 host LOCAL" {
            addresses.extend(last.filter(|address| !addresses.contains(address)));
        }
    }
    addresses
}

#[cfg(test)]
mod tests;
