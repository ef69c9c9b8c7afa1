//! Whether the MQTT broker takes us: the way there, TLS, the login, each for itself.

use super::Finding;
use crate::config::Config;
use crate::publish::{Distrust, Step, Unreachable, reach};

const CHECK: &str = "broker";

pub(super) async fn examine(config: &Config) -> Vec<Finding> {
    if !config.mqtt.enabled {
        return vec![Finding::ok(CHECK, "there is to be none: `enabled = false` in [mqtt]")];
    }
    let mut findings = Vec::new();
    let passed = |step, broker: &str| findings.push(passed(step, broker));
    let outcome = reach(&config.mqtt, &config.site, &config.node, passed).await;
    findings.extend(outcome.err().map(|failure| failed(CHECK, &failure, fix(&failure))));
    findings
}

fn passed(step: Step, broker: &str) -> Finding {
    let said = match step {
        Step::Settings | Step::Network => "answers",
        Step::Tls => "has a certificate that is trusted",
        Step::Login => "lets us in",
    };
    Finding::ok(&check_of(CHECK, step), format!("{broker} {said}"))
}

/// What a step is called among the findings.
pub(super) fn check_of(what: &str, step: Step) -> String {
    match step {
        Step::Settings | Step::Network => what.to_owned(),
        Step::Tls => format!("{what}-tls"),
        Step::Login => format!("{what}-login"),
    }
}

/// A step that did not go well.
pub(super) fn failed(what: &str, failure: &Unreachable, fix: impl Into<String>) -> Finding {
    Finding::error(&check_of(what, failure.step), failure.to_string(), fix)
}

fn fix(failure: &Unreachable) -> &'static str {
    match failure.step {
        Step::Settings => "correct [mqtt]; `ocellus check` says more",
        Step::Network => {
            "check `url` in [mqtt], that the broker runs, and that no firewall is between; on this machine: apt install \
             mosquitto"
        }
        Step::Tls => trust(failure.distrust),
        Step::Login => {
            "check `username` and where the password comes from, and what the broker lets in: its log says why"
        }
    }
}

/// What makes a connection one that can be trusted.
pub(super) fn trust(why: Option<Distrust>) -> &'static str {
    match why {
        Some(Distrust::Expired) => {
            "renew the server's certificate; if it is new, set this machine's clock: `timedatectl` shows it"
        }
        Some(Distrust::NotYetValid) => {
            "set this machine's clock, `timedatectl` shows it: by it the server's certificate is not valid yet"
        }
        Some(Distrust::OtherName) => {
            "write the name that the certificate is for, or have one made that has this name as subjectAltName"
        }
        Some(Distrust::UnknownAuthority) => {
            "have `ca_file` name the PEM file of the authority that made the server's certificate"
        }
        Some(Distrust::OursRefused) => {
            "give a certificate that the server knows (`cert_file`, `key_file`): one of its authority that has not expired"
        }
        Some(Distrust::NotTls) => {
            "check the port: what answers there does not speak TLS (MQTT has 8883 for it, 1883 without)"
        }
        Some(Distrust::Other) | None => "look at what the server shows: openssl s_client -connect HOST:PORT",
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::super::Verdict;
    use super::*;
    use crate::config::parse;
    use crate::publish::testing::{Mosquitto, free_port};

    fn examined(mqtt: &str) -> Vec<Finding> {
        let config = parse(&format!("[mqtt]\n{mqtt}\n")).unwrap();
        crate::daemon::runtime().unwrap().block_on(examine(&config))
    }

    /// The checks that went well, and the one that did not.
    fn steps(findings: &[Finding]) -> (Vec<&str>, Option<&Finding>) {
        let (good, bad): (Vec<_>, Vec<_>) = findings.iter().partition(|finding| finding.verdict == Verdict::Ok);
        assert!(bad.len() <= 1, "{findings:?}");
        (good.iter().map(|finding| &*finding.check).collect(), bad.first().copied())
    }

    #[test]
    fn where_there_is_to_be_none_none_is_missed() {
        let found = examined("enabled = false\nurl = \"mqtt://127.0.0.1:1\"");
        assert_eq!(steps(&found), (vec!["broker"], None));
    }

    #[test]
    fn a_broker_that_lets_us_in_is_fine() {
        let broker = Mosquitto::start();
        for version in [3, 5] {
            let found = examined(&format!("url = \"mqtt://127.0.0.1:{}\"\nversion = {version}", broker.port()));
            assert_eq!(steps(&found), (vec!["broker", "broker-login"], None));
        }
    }

    #[test]
    fn each_step_has_its_own_fix() {
        let found = examined(&format!("url = \"mqtt://127.0.0.1:{}\"", free_port()));
        let bad = steps(&found).1.unwrap();
        assert!(bad.check == "broker" && bad.said.contains("refused"), "{bad:?}");
        assert!(bad.fix.as_deref().unwrap().contains("that the broker runs"), "{bad:?}");

        let mut broker = Mosquitto::prepare("allow_anonymous false");
        broker.run();
        let found = examined(&format!("url = \"mqtt://127.0.0.1:{}\"", broker.port()));
        let (good, bad) = steps(&found);
        let bad = bad.unwrap();
        assert_eq!((good, &*bad.check), (vec!["broker"], "broker-login"));
        assert!(bad.said.contains("user name, password or certificate"), "{bad:?}");

        let found = examined("username = \"a\"\npassword_env = \"OCELLUS_NO_SUCH_VARIABLE\"");
        let bad = steps(&found).1.unwrap();
        assert!(bad.check == "broker" && bad.said.contains("OCELLUS_NO_SUCH_VARIABLE"), "{bad:?}");
        assert!(bad.fix.as_deref().unwrap().contains("ocellus check"), "{bad:?}");
    }

    /// Authorities `ca` and `else`, and certificates of the first for a broker: fine ones, for another name, of
    /// yesterday, of tomorrow.
    fn certificates(folder: &Path) {
        let script = "
            key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
            for ca in ca else; do openssl req -x509 $key -days 2 -keyout $ca.key -out $ca.pem -subj /CN=$ca; done
            leaf() { # name, subjectAltName, authority, from, until
                printf 'basicConstraints=CA:FALSE\nsubjectAltName=%s\n' $2 >names
                openssl req $key -keyout $1.key -out $1.csr -subj /CN=$1
                mkdir $1.ca; touch $1.ca/index; echo 01 >$1.ca/serial
                printf '[ca]\ndefault_ca=d\n[d]\ndatabase=%s/index\nserial=%s/serial\nnew_certs_dir=%s\npolicy=p\n[p]\ncommonName=supplied\n' \
                    $1.ca $1.ca $1.ca >ca.cnf
                openssl ca -batch -notext -config ca.cnf -md sha256 -cert $3.pem -keyfile $3.key -extfile names \
                    -startdate $(date -u -d \"$4\" +%Y%m%d%H%M%SZ) -enddate $(date -u -d \"$5\" +%Y%m%d%H%M%SZ) \
                    -in $1.csr -out $1.pem
            }
            leaf good IP:127.0.0.1 ca '1 day ago' '1 day'
            leaf other DNS:elsewhere ca '1 day ago' '1 day'
            leaf old IP:127.0.0.1 ca '2 days ago' '1 day ago'
            leaf young IP:127.0.0.1 ca '1 day' '2 days'
            leaf ours DNS:node ca '1 day ago' '1 day'
            leaf theirs DNS:node else '1 day ago' '1 day'
        ";
        let made = Command::new("bash").args(["-ec", script]).current_dir(folder).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    #[test]
    fn tls_is_a_step_of_its_own_and_says_what_is_wrong_with_whose_certificate() {
        let folder = tempfile::tempdir().unwrap();
        certificates(folder.path());
        let file = |name: &str| format!("{:?}", folder.path().join(name));
        let broker = |name: &str, more: &str| {
            let mut broker = Mosquitto::prepare(&format!(
                "allow_anonymous true\ncertfile {0}/{name}.pem\nkeyfile {0}/{name}.key\ncafile {0}/ca.pem\n{more}",
                folder.path().display()
            ));
            broker.run();
            broker
        };
        let ca = format!("ca_file = {}\n", file("ca.pem"));
        let ours = |name: &str| {
            let (cert, key) = (file(&format!("{name}.pem")), file(&format!("{name}.key")));
            format!("{ca}cert_file = {cert}\nkey_file = {key}\n")
        };
        let elsewhere = format!("ca_file = {}\n", file("else.pem"));
        let certified = "require_certificate true";
        let cases = [
            ("good", "", &ca, None),
            ("good", "", &elsewhere, Some("`ca_file`")),
            ("other", "", &ca, Some("subjectAltName")),
            ("old", "", &ca, Some("renew the server's certificate")),
            ("young", "", &ca, Some("not valid yet")),
            ("good", certified, &ours("ours"), None),
            ("good", certified, &ca, Some("give a certificate")),
            ("good", certified, &ours("theirs"), Some("give a certificate")),
        ];
        for (name, more, settings, wanted) in cases {
            let broker = broker(name, more);
            for version in [3, 5] {
                let url = format!("url = \"mqtts://127.0.0.1:{}\"\nversion = {version}\n", broker.port());
                let found = examined(&format!("{url}{settings}"));
                let (good, bad) = steps(&found);
                let Some(wanted) = wanted else {
                    assert_eq!((good, bad), (vec!["broker", "broker-tls", "broker-login"], None));
                    continue;
                };
                let bad = bad.unwrap();
                assert!(good.first() == Some(&"broker") && !good.contains(&"broker-login"), "{found:?}");
                assert_eq!(bad.check, "broker-tls", "{name}: {found:?}");
                assert!(bad.fix.as_deref().unwrap().contains(wanted), "{name}: {found:?}");
            }
        }
        let plain = Mosquitto::start();
        let found = examined(&format!("url = \"mqtts://127.0.0.1:{}\"\n{ca}", plain.port()));
        let bad = steps(&found).1.unwrap();
        assert!(bad.check == "broker-tls" && bad.fix.as_deref().unwrap().contains("check the port"), "{bad:?}");
    }
}
