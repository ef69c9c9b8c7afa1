//! Stores: Azurite, alone and behind a way that knows no more than Azure Stack Hub does, that speaks TLS, that refuses.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::{findings_of, late, steps};
use crate::evidence::{ACCOUNT, Container, KEY};
use crate::peers::{free_port, text};

/// Where Azurite is; none skips the test, unless this is continuous integration.
pub fn azurite() -> Option<String> {
    let address = std::env::var("OCELLUS_AZURITE").ok();
    if address.is_none() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "OCELLUS_AZURITE is not set, and CI must have it");
        eprintln!("skipped: OCELLUS_AZURITE is not set; scripts/test starts Azurite");
    }
    address
}

/// A way to a store (`tests/peers/storage_proxy.py`), killed when dropped.
pub struct Way {
    child: Child,
    pub address: String,
}

impl Way {
    pub fn to(store: &str, more: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/storage_proxy.py");
        let mut command = Command::new("python3");
        let mut child = command.arg(script).arg(store).args(more).stdout(Stdio::piped()).spawn().expect("Python runs");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let address = lines.next().unwrap().replace("listening on ", "127.0.0.1:");
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A signature for a container that is good for so many seconds, by Azure's own library.
fn signature(container: &Container, permission: &str, seconds: i32) -> String {
    let line = format!(
        "from datetime import datetime, timedelta, timezone\nfrom azure.storage.blob import generate_container_sas\n\
         until = datetime.now(timezone.utc) + timedelta(seconds={seconds})\n\
         print(generate_container_sas(account, name, account_key=key, permission='{permission}', expiry=until))"
    );
    text(&container.python(&line)).trim().to_owned()
}

/// A configuration whose evidence goes there.
fn config(place: &str, ship: &str) -> String {
    format!(
        "[mqtt]\nenabled = false\n[evidence]\nstore = {place:?}\n[evidence.ship]\n{ship}\
         [[privacy.store]]\nname = \"all\"\nallow = \"frame\"\n"
    )
}

/// What is found wrong: in which check, with these words.
#[track_caller]
fn wrong(found: &[serde_json::Value], check: &str, wanted: &str) {
    let (_, bad) = steps(found, "store");
    let of_check: Vec<_> = bad.iter().filter(|(name, _)| *name == check).collect();
    assert!(of_check.iter().any(|(_, said)| said.contains(wanted)), "{check} with {wanted:?} is not in {bad:#?}");
}

#[test]
fn each_step_to_a_store_has_its_own_finding() {
    let Some(address) = azurite() else { return };
    let folder = tempfile::tempdir().unwrap();
    let container = Container::make(&address);
    let place = format!("az://{}", container.name);
    let examined = |place: &str, ship: &str, address: &str, secret: (&str, &str)| {
        let endpoint = format!("http://{address}/{ACCOUNT}");
        let variables = [("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT), ("AZURE_STORAGE_ENDPOINT", &*endpoint), secret];
        findings_of(folder.path(), &config(place, ship), &variables)
    };
    let key = ("AZURE_STORAGE_ACCOUNT_KEY", KEY);

    let found = examined(&place, "", &address, key);
    assert_eq!(steps(&found, "store"), (vec!["store", "store-write"], vec![]), "{found:?}");
    assert!(container.blobs().is_empty(), "nothing of ours is left");
    let clock = found.iter().find(|finding| finding["said"].as_str().unwrap().starts_with("it agrees with"));
    assert!(clock.is_some_and(|finding| finding["check"] == "clock"), "{found:?}");

    wrong(&examined(&place, "", &format!("127.0.0.1:{}", free_port()), key), "store", "firewall");
    wrong(
        &examined(&place, "", &address, ("AZURE_STORAGE_ACCOUNT_KEY", "aHVudGVyMg==")),
        "store-login",
        "check the account",
    );
    wrong(&examined("az://absent", "", &address, key), "store-write", "make the container");

    let sas = |permission: &str, seconds: i32| {
        let text = signature(&container, permission, seconds);
        examined(&place, "", &address, ("AZURE_STORAGE_SAS_TOKEN", &text))
    };
    let found = sas("c", 60);
    wrong(&found, "store-login", "the signature expires on");
    assert_eq!(steps(&found, "store").0, ["store", "store-write"], "{found:?}");
    assert!(found.iter().any(|f| f["said"].as_str().unwrap().contains("stays there")), "{found:?}");
    let found = sas("c", -60);
    wrong(&found, "store-login", "the signature has expired");
    wrong(&sas("r", 864_000), "store-write", "do not allow it");

    let stack = Way::to(&address, &[]);
    wrong(&examined(&place, "", &stack.address, key), "store-version", "service = \\\"stack-hub\\\"");
    let found = examined(&place, "service = \"stack-hub\"\n", &stack.address, key);
    assert_eq!(steps(&found, "store"), (vec!["store", "store-write"], vec![]), "{found:?}");
}

#[test]
fn a_store_s_certificate_is_a_step_of_its_own() {
    let Some(address) = azurite() else { return };
    let folder = tempfile::tempdir().unwrap();
    let script = "
        key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
        openssl req -x509 $key -days 2 -keyout ca.key -out ca.pem -subj /CN=plant
        printf 'subjectAltName=IP:127.0.0.1\\nbasicConstraints=CA:FALSE' >ext
        openssl req $key -keyout key -out csr -subj /CN=store
        openssl x509 -req -in csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out cert
    ";
    let made = Command::new("bash").args(["-ec", script]).current_dir(folder.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let file = |name: &str| folder.path().join(name).display().to_string();
    let container = Container::make(&address);
    let examined = |ship: &str, address: &str| {
        let endpoint = format!("https://{address}/{ACCOUNT}");
        let variables = [
            ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT),
            ("AZURE_STORAGE_ENDPOINT", &*endpoint),
            ("AZURE_STORAGE_ACCOUNT_KEY", KEY),
        ];
        findings_of(folder.path(), &config(&format!("az://{}", container.name), ship), &variables)
    };
    let way = Way::to(&address, &["--any", "--tls", &file("cert"), &file("key")]);
    wrong(&examined("", &way.address), "store-tls", "have `ca_file` in [evidence.ship] name");
    let found = examined(&format!("ca_file = {:?}\n", file("ca.pem")), &way.address);
    assert_eq!(steps(&found, "store"), (vec!["store", "store-tls", "store-write"], vec![]), "{found:?}");
    // Azurite itself speaks no TLS.
    wrong(&examined("", &address), "store-tls", "does not speak TLS");
}

#[test]
fn a_clock_that_is_late_is_what_is_wrong_and_not_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let way = |code: &str| Way::to("127.0.0.1:1", &["--any", "--say", "403", code]);
    let azure = way("AuthenticationFailed");
    let s3 = way("RequestTimeTooSkewed");
    let (blobs, objects) = (format!("http://{}/{ACCOUNT}", azure.address), format!("http://{}", s3.address));
    let of_azure = [
        ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT),
        ("AZURE_STORAGE_ENDPOINT", &*blobs),
        ("AZURE_STORAGE_ACCOUNT_KEY", KEY),
    ];
    let of_s3 = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b"), ("AWS_ENDPOINT_URL", &*objects)];
    let late = late(3);
    for (place, variables) in [("az://c", of_azure), ("s3://c", of_s3)] {
        let found = findings_of(folder.path(), &config(place, ""), &variables);
        assert!(steps(&found, "clock").1.iter().all(|(_, said)| !said.contains("behind")), "{found:?}");
        let all: Vec<_> = variables.into_iter().chain(late.iter().map(|(k, v)| (*k, &**v))).collect();
        let found = findings_of(folder.path(), &config(place, ""), &all);
        let (_, clock) = steps(&found, "clock");
        assert!(clock.iter().any(|(_, said)| said.contains("s behind that of 127.0.0.1")), "{clock:?}");
        wrong(&found, "store-login", "set this machine's clock, which is off by 1");
    }
}
