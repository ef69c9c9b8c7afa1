//! Whether the MQTT broker takes us.

use super::Finding;
use crate::config::Config;
use crate::publish::{Step, reach};

const CHECK: &str = "broker";

pub(super) async fn examine(config: &Config) -> Finding {
    if !config.mqtt.enabled {
        return Finding::ok(CHECK, "there is to be none: `enabled = false` in [mqtt]");
    }
    match reach(&config.mqtt, &config.site, &config.node).await {
        Ok(broker) => Finding::ok(CHECK, format!("{broker} lets us in")),
        Err(failure) => Finding::error(CHECK, failure.to_string(), fix(failure.step)),
    }
}

fn fix(step: Step) -> &'static str {
    match step {
        Step::Settings => "correct [mqtt]; `ocellus check` says more",
        Step::Network => {
            "check `url` in [mqtt], that the broker runs, and that no firewall is between; on this machine: apt install \
             mosquitto"
        }
        Step::Login => {
            "check `username` and where the password comes from, and with `mqtts://` the certificates (`ca_file`, \
             `cert_file`) and this machine's clock"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;
    use crate::config::parse;
    use crate::publish::testing::{Mosquitto, free_port};

    fn examined(mqtt: &str) -> Finding {
        let config = parse(&format!("[mqtt]\n{mqtt}\n")).unwrap();
        crate::daemon::runtime().unwrap().block_on(examine(&config))
    }

    #[test]
    fn where_there_is_to_be_none_none_is_missed() {
        let found = examined("enabled = false\nurl = \"mqtt://127.0.0.1:1\"");
        assert_eq!(found.verdict, Verdict::Ok, "{found:?}");
    }

    #[test]
    fn a_broker_that_lets_us_in_is_fine() {
        let broker = Mosquitto::start();
        for version in [3, 5] {
            let url = format!("url = \"mqtt://127.0.0.1:{}\"\nversion = {version}", broker.port());
            let found = examined(&url);
            assert_eq!(found.verdict, Verdict::Ok, "{found:?}");
        }
    }

    #[test]
    fn each_step_has_its_own_fix() {
        let port = free_port();
        let found = examined(&format!("url = \"mqtt://127.0.0.1:{port}\""));
        assert!(found.said.contains("refused"), "{found:?}");
        assert_eq!(found.fix.as_deref(), Some(fix(Step::Network)));

        let mut broker = Mosquitto::prepare("allow_anonymous false");
        broker.run();
        let found = examined(&format!("url = \"mqtt://127.0.0.1:{}\"", broker.port()));
        assert!(found.said.contains("user name, password or certificate"), "{found:?}");
        assert_eq!(found.fix.as_deref(), Some(fix(Step::Login)));

        let found = examined("username = \"a\"\npassword_env = \"OCELLUS_NO_SUCH_VARIABLE\"");
        assert!(found.said.contains("OCELLUS_NO_SUCH_VARIABLE"), "{found:?}");
        assert_eq!(found.fix.as_deref(), Some(fix(Step::Settings)));
    }
}
