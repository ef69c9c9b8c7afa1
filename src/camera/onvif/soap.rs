//! Asking a device by SOAP 1.2 over HTTP, with a WS-UsernameToken where a login is given.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use sha1::{Digest, Sha1};
use ulid::Ulid;
use url::Url;

use super::xml;

/// How long a device may take for one answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who we say that we are.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user's name.
    pub username: String,
    /// The user's password.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(…)")
    }
}

/// Talks to devices directly: their addresses are in this network, and what they redirect to may not be.
pub(super) fn client() -> Result<reqwest::Client, String> {
    let builder = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).timeout(PATIENCE);
    builder.build().map_err(|error| error.to_string())
}

/// A device's service, and how to talk to it.
pub(super) struct Service<'a> {
    pub client: &'a reqwest::Client,
    pub login: Option<&'a Login>,
    /// How far the device's clock is ahead of ours; it refuses tokens that are old by its own.
    pub ahead: TimeDelta,
}

impl Service<'_> {
    /// Asks one question, `body`, and gives the answer's bytes. `open` questions are asked without a login.
    ///
    /// # Errors
    /// In words.
    pub async fn ask(&self, at: &Url, body: &str, open: bool) -> Result<Vec<u8>, String> {
        let login = self.login.filter(|_| !open);
        let header = login.map_or_else(String::new, |login| token(login, &nonce(), Utc::now() + self.ahead));
        let envelope = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\
             <s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\" \
             xmlns:t=\"http://www.onvif.org/ver10/schema\" xmlns:d=\"http://www.onvif.org/ver10/device/wsdl\" \
             xmlns:m=\"http://www.onvif.org/ver10/media/wsdl\">\
             <s:Header>{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
        );
        let request = self.client.post(at.clone()).header("Content-Type", "application/soap+xml; charset=utf-8");
        let mut answer = request.body(envelope).send().await.map_err(|error| said(&error))?;
        let status = answer.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| said(&error))? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > xml::LONGEST {
                return Err("its answer is too long".to_owned());
            }
        }
        if status.is_success() {
            return Ok(bytes);
        }
        let fault = fault(&bytes).unwrap_or_default();
        let refused = [401, 403].contains(&status.as_u16()) || fault.contains("NotAuthorized");
        Err(match (refused, login) {
            (true, None) => "it wants a login: give `--username` and `--password-file`".to_owned(),
            (true, Some(_)) => "it does not accept this user name and password".to_owned(),
            (false, _) if fault.is_empty() => format!("it answers {status}"),
            (false, _) => format!("it answers {status}: {fault}"),
        })
    }
}

/// Why a request failed, without the address, which stands beside it.
fn said(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("it gives no answer within {} s", PATIENCE.as_secs());
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    xml::plain(&cause.to_string())
}

/// The reasons that a fault names: its subcodes, and its text.
fn fault(bytes: &[u8]) -> Option<String> {
    let document = xml::parse(bytes).ok()?;
    let fault = xml::find(document.root(), "Fault")?;
    let codes = xml::all(fault, "Value").skip(1).take(3).map(|code| xml::own_text(code));
    let words: Vec<String> = codes.chain(xml::text(fault, "Text")).collect();
    Some(words.join(", "))
}

/// Sixteen bytes that are used once.
fn nonce() -> [u8; 16] {
    Ulid::generate().0.to_be_bytes()
}

/// A login as OASIS WS-UsernameToken Profile 1.0 has it: the digest is `Base64(SHA1(nonce + created + password))`.
fn token(login: &Login, nonce: &[u8], now: DateTime<Utc>) -> String {
    let created = now.to_rfc3339_opts(SecondsFormat::Secs, true);
    let mut hash = Sha1::new();
    hash.update(nonce);
    hash.update(created.as_bytes());
    hash.update(login.password.as_bytes());
    let (digest, nonce) = (STANDARD.encode(hash.finalize()), STANDARD.encode(nonce));
    let username = escaped(&login.username);
    let security = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss";
    format!(
        "<w:Security s:mustUnderstand=\"1\" xmlns:w=\"{security}-wssecurity-secext-1.0.xsd\" \
         xmlns:u=\"{security}-wssecurity-utility-1.0.xsd\"><w:UsernameToken><w:Username>{username}</w:Username>\
         <w:Password Type=\"{security}-username-token-profile-1.0#PasswordDigest\">{digest}</w:Password>\
         <w:Nonce EncodingType=\"{security}-soap-message-security-1.0#Base64Binary\">{nonce}</w:Nonce>\
         <u:Created>{created}</u:Created></w:UsernameToken></w:Security>"
    )
}

/// A text as it may stand in XML.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the ONVIF Application Programmer's Guide 1.0, 6.1.1.3.
    #[test]
    fn the_digest_is_that_of_the_programmers_guide() {
        let login = Login { username: "user".to_owned(), password: "userpassword".to_owned() };
        let nonce = STANDARD.decode("LKqI6G/AikKCQrN0zqZFlg==").unwrap();
        let now = "2010-09-16T07:50:45Z".parse().unwrap();
        let token = token(&login, &nonce, now);
        for part in [">tuOSpGlFlIXsozq4HFNeeGeFLEI=<", ">2010-09-16T07:50:45Z<", ">LKqI6G/AikKCQrN0zqZFlg==<"] {
            assert!(token.contains(part), "{token}");
        }
    }

    #[test]
    fn names_are_escaped_and_passwords_not_shown() {
        let login = Login { username: "<a&\"b\">".to_owned(), password: "hunter2".to_owned() };
        let token = token(&login, &nonce(), Utc::now());
        assert!(token.contains("<w:Username>&lt;a&amp;&quot;b&quot;&gt;</w:Username>"), "{token}");
        assert!(!token.contains("hunter2") && !format!("{login:?}").contains("hunter2"));
        xml::parse(format!("<s:x xmlns:s=\"a\">{token}</s:x>").as_bytes()).unwrap();
    }

    #[test]
    fn a_fault_is_told_by_its_codes_and_text() {
        let fault_xml = "<e xmlns:s='x'><s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>ter:NotAuthorized\
                         </s:Value></s:Subcode></s:Code><s:Reason><s:Text>Sender not\nauthorized</s:Text></s:Reason></s:Fault></e>";
        assert_eq!(fault(fault_xml.as_bytes()).unwrap(), "ter:NotAuthorized, Sender not authorized");
        assert_eq!(fault(b"<html/>"), None);
    }
}
