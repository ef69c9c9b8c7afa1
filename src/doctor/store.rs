//! Whether a store takes anything: the way there, TLS, the credentials, the version of its interface, a trial write.

use std::path::Path;

use chrono::{TimeDelta, Utc};
use url::Url;

use super::broker::{check_of, failed, trust};
use super::{Finding, Machine, clock, sas, web};
use crate::config::{Config, InsightsConfig, ShipConfig};
use crate::publish::{Step, Unreachable};
use crate::secret;
use crate::ship::{ShipError, Store, server};

/// The variables that hold a shared access signature.
const SIGNATURES: [&str; 4] = ["AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY", "AZURE_SAS_TOKEN", "AZURE_SAS_KEY"];

/// Codes that stores answer with, the step that they are about, and what to do (learn.microsoft.com, "Common REST API error
/// codes"; docs.aws.amazon.com, "Error responses"). The first that is in an answer counts.
const ANSWERS: [(&[&str], &str, &str); 4] = [
    (
        &[
            "AuthenticationFailed",
            "failed to authenticate",
            "InvalidAccessKeyId",
            "SignatureDoesNotMatch",
            "InvalidAuthenticationInfo",
            " 401 ",
        ],
        "login",
        "check the account, and the key or signature: one that was renewed or has expired is refused",
    ),
    (
        &["AuthorizationSourceIPMismatch", "AuthorizationFailure"],
        "login",
        "the account's firewall or network rules keep this node out, or the identity has no role there",
    ),
    (
        &["ContainerNotFound", "NoSuchBucket", " 404 ", "not found"],
        "write",
        "make the container or bucket that `store` names",
    ),
    (
        &["AuthorizationPermissionMismatch", "AuthorizationResourceTypeMismatch", "AccessDenied", " 403 "],
        "write",
        "the credentials are good, but do not allow it: they have to let objects be created (`c` or `w`)",
    ),
];

/// A store that is configured, and what its server answered.
pub(super) struct Examined<'a> {
    /// What it is called among the findings.
    check: &'static str,
    /// Its table in the configuration.
    table: &'static str,
    place: &'a str,
    ship: ShipConfig,
    server: Option<(Url, Result<web::Answer, Unreachable>)>,
}

/// The stores that are configured. Their servers are asked.
pub(super) async fn stores<'a>(machine: &Machine, config: &'a Config) -> Vec<Examined<'a>> {
    let evidence = config.evidence.as_ref();
    let of_evidence = evidence.map(|of| ("store", "[evidence.ship]", &*of.store, of.ship.clone()));
    let insights = |of: &'a InsightsConfig| {
        Some(("insights", "[insights.ship]", of.store.as_deref()?, of.ship.clone().unwrap_or_default()))
    };
    let mut stores = Vec::new();
    for (check, table, place, ship) in of_evidence.into_iter().chain(config.insights.as_ref().and_then(insights)) {
        let server = match server(place, &machine.environment()) {
            Some(server) => {
                let answer = web::ask(&server, ship.ca_file.as_deref()).await;
                Some((server, answer))
            }
            None => None,
        };
        stores.push(Examined { check, table, place, ship, server });
    }
    stores
}

/// How far this machine's clock is ahead of a store's, and which that is.
pub(super) fn clock(stores: &[Examined]) -> Option<(String, TimeDelta)> {
    stores.iter().find_map(|store| {
        let (server, answer) = store.server.as_ref()?;
        Some((web::shown(server), answer.as_ref().ok()?.ahead?))
    })
}

impl Examined<'_> {
    /// Each step to it.
    pub(super) async fn examine(&self, machine: &Machine, ahead: Option<TimeDelta>) -> Vec<Finding> {
        let mut findings = Vec::new();
        match &self.server {
            None => {}
            Some((_, Err(failure))) => {
                findings.push(failed(self.check, failure, self.fix_of_way(failure)));
                findings.extend(self.signature(machine));
                return findings;
            }
            Some((server, Ok(_))) => {
                let peer = web::shown(server);
                findings.push(Finding::ok(self.check, format!("{peer} answers")));
                if server.scheme() == "https" {
                    let said = format!("{peer} has a certificate that is trusted");
                    findings.push(Finding::ok(&check_of(self.check, Step::Tls), said));
                }
            }
        }
        findings.extend(self.signature(machine));
        findings.push(self.write(machine, ahead).await);
        findings
    }

    fn fix_of_way(&self, failure: &Unreachable) -> String {
        match failure.step {
            Step::Tls => trust(failure.distrust).replace("`ca_file`", &format!("`ca_file` in {}", self.table)),
            Step::Settings => format!("correct `ca_file` in {}", self.table),
            Step::Network | Step::Login => {
                "check the address, the DNS, the firewall, and HTTPS_PROXY where there is a proxy".to_owned()
            }
        }
    }

    /// What the shared access signature says of itself, where there is one.
    fn signature(&self, machine: &Machine) -> Option<Finding> {
        let text = match &self.ship.sas_file {
            Some(file) => secret::of_file(Path::new(file)).ok()?,
            None if crate::ship::store::is_azure(self.place) => {
                SIGNATURES.iter().find_map(|name| machine.variable(name))?.to_owned()
            }
            None => return None,
        };
        sas::examine(&check_of(self.check, Step::Login), &text, self.ship.version(), Utc::now())
    }

    async fn write(&self, machine: &Machine, ahead: Option<TimeDelta>) -> Finding {
        let probed = match Store::open_with(self.place, &self.ship, &machine.environment()) {
            Ok(store) => store.probe().await.map(|left| (store, left)),
            Err(error) => Err(error),
        };
        let check = format!("{}-write", self.check);
        match probed {
            Ok((store, None)) => Finding::ok(&check, format!("{store} took an object, which is removed again")),
            Ok((store, Some(left))) => {
                Finding::ok(&check, format!("{store} took an object; {left} stays there, as we may not delete it"))
            }
            Err(error) => self.refused(&error, ahead),
        }
    }

    fn refused(&self, error: &ShipError, ahead: Option<TimeDelta>) -> Finding {
        let (part, fix) = match error {
            ShipError::Folder { .. } => {
                ("write", "make the folder, and give it to the user that the daemon runs as".to_owned())
            }
            ShipError::Credentials { .. } => (
                "login",
                "the daemon takes them from /etc/ocellus/environment; run `ocellus doctor` with the same variables"
                    .to_owned(),
            ),
            ShipError::Write { source, .. } => self.judge(&source.to_string(), ahead),
            _ => ("login", "correct it in the configuration, or in /etc/ocellus/environment".to_owned()),
        };
        Finding::error(&format!("{}-{part}", self.check), plain(&error.reason()), fix)
    }

    /// Which step it was that failed, by the code that the store answers with, and what to do about it.
    fn judge(&self, said: &str, ahead: Option<TimeDelta>) -> (&'static str, String) {
        let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
        let late = ahead.filter(|ahead| clock::is_off(*ahead));
        if has(&["InvalidHeaderValue", "x-ms-version", "UnsupportedHeader"]) {
            let table = self.table;
            let fix = match self.ship.version() {
                None => format!(
                    "the store is older than the version that it is asked in: set `service = \"stack-hub\"` (or \
                     `\"stack-edge\"`) under {table}, or `api_version`"
                ),
                Some(version) => format!("it knows no {version}: set an older `api_version` under {table}"),
            };
            ("version", fix)
        } else if has(&["RequestTimeTooSkewed"]) || (late.is_some() && has(&["AuthenticationFailed", " 403 "])) {
            let off =
                late.map(|ahead| format!(", which is off by {} s", ahead.num_seconds().abs())).unwrap_or_default();
            ("login", format!("set this machine's clock{off}: `timedatectl` shows it, a time server keeps it"))
        } else {
            let Some((_, step, fix)) = ANSWERS.iter().find(|(codes, ..)| has(codes)) else {
                return ("write", "the store's answer says what it is; try again later if it is busy".to_owned());
            };
            (step, (*fix).to_owned())
        }
    }
}

/// What a store said, without the XML around it.
fn plain(said: &str) -> String {
    let inside = |tag: &str| {
        let (_, rest) = said.split_once(&format!("<{tag}>"))?;
        let (text, _) = rest.split_once(&format!("</{tag}>"))?;
        text.lines().next().map(str::trim)
    };
    let Some(code) = inside("Code") else { return said.to_owned() };
    let head = said.split('<').next().unwrap_or_default().trim_end_matches(['\u{feff}', ':', ' ', '(']);
    let words: Vec<&str> = [inside("Message"), inside("AuthenticationErrorDetail")].into_iter().flatten().collect();
    // What was around it may have stood in brackets.
    let end = if head.matches('(').count() > head.matches(')').count() { ")" } else { "" };
    format!("{head}: {code}: {}{end}", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::super::testing::machine;
    use super::*;
    use crate::config::parse;

    fn examined(store: &str) -> Vec<Finding> {
        let config =
            parse(&format!("[evidence]\nstore = {store:?}\n[[privacy.store]]\nname = \"r\"\nallow = \"metadata\"\n"))
                .unwrap();
        let root = tempfile::tempdir().unwrap();
        let machine = machine(root.path(), &[]);
        crate::daemon::runtime().unwrap().block_on(async {
            let stores = stores(&machine, &config).await;
            stores[0].examine(&machine, None).await
        })
    }

    #[test]
    fn a_folder_takes_objects_and_keeps_none_of_ours() {
        let folder = tempfile::tempdir().unwrap();
        let found = examined(folder.path().to_str().unwrap());
        assert!(found.iter().all(|finding| finding.verdict == Verdict::Ok), "{found:?}");
        let left = std::fs::read_dir(folder.path().join("ocellus-doctor")).map_or(0, Iterator::count);
        assert_eq!(left, 0);
    }

    #[test]
    fn a_folder_that_can_t_be_one_has_its_fix() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(examined(file.to_str().unwrap())[0].fix.as_deref().unwrap().contains("make the folder"));
    }

    #[test]
    fn what_a_store_answers_leads_to_the_step_and_its_fix() {
        let store = |service: &str| Examined {
            check: "store",
            table: "[evidence.ship]",
            place: "az://c",
            ship: toml::from_str(&format!("service = {service:?}")).unwrap(),
            server: None,
        };
        let late = Some(TimeDelta::hours(-3));
        for (service, said, ahead, part, wanted) in [
            ("azure", "400 InvalidHeaderValue", None, "version", "stack-hub"),
            ("stack-hub", "400 InvalidHeaderValue", None, "version", "knows no 2019-07-07"),
            ("azure", "403 AuthenticationFailed", None, "login", "the key or signature"),
            ("azure", "403 AuthenticationFailed", late, "login", "off by 10800 s"),
            ("azure", "403 AuthenticationFailed", Some(TimeDelta::seconds(20)), "login", "the key or signature"),
            ("azure", "403 AuthorizationFailure", None, "login", "network rules"),
            ("azure", "403 AuthorizationPermissionMismatch", None, "write", "do not allow it"),
            ("azure", "403 RequestTimeTooSkewed", None, "login", "this machine's clock"),
            ("azure", "403 SignatureDoesNotMatch", None, "login", "the key or signature"),
            ("azure", "403 AccessDenied", None, "write", "do not allow it"),
            ("azure", "404 NoSuchBucket", None, "write", "make the container or bucket"),
            ("azure", "503 ServerBusy", None, "write", "try again later"),
        ] {
            let (step, fix) = store(service).judge(said, ahead);
            assert!(step == part && fix.contains(wanted), "{service}, {said}, {ahead:?}: {step}, {fix}");
        }
    }

    #[test]
    fn what_a_store_says_is_shown_without_its_xml() {
        let said = "the store az://c/: this machine's key is wrong (Error performing PUT: 403: \u{feff}<?xml version=\"1.0\"?>\
                    <Error><Code>AuthenticationFailed</Code><Message>Server failed.\nRequestId:x</Message></Error>)";
        assert_eq!(
            plain(said),
            "the store az://c/: this machine's key is wrong (Error performing PUT: 403: AuthenticationFailed: Server failed.)"
        );
        assert_eq!(plain("no XML < here"), "no XML < here");
    }
}
