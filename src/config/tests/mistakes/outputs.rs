//! Mistakes about what leaves, and where it goes.

use super::super::{only, wrong};
use super::good;
use crate::config::parse;

#[test]
fn an_outbox_has_limits_that_make_sense() {
    for (text, wanted) in [
        ("[outbox]\nmax_items = 0", "2: `max_items` is at least 1"),
        ("[outbox]\n\nmax_mib = 0", "3: `max_mib` is from 1 to "),
        ("[outbox]\nreserve_mib = 99999999999", "2: `reserve_mib` is at most "),
        ("[outbox]\nbacklog_rate = 0", "2: `backlog_rate` is from 1 to "),
        ("[outbox]\nmax_size = 1", "2: unknown key `max_size`: did you mean `max_"),
        ("[outbox]\nmax_mib = -1", "2: this is integer `-1`, and should be a whole number"),
        ("[outbox]\npath = \"/etc/hostname\"", "2: /etc/hostname is a file: the outbox is a folder"),
    ] {
        let message = only(text);
        assert!(message.starts_with(wanted), "{text:?}: {message}");
    }
}

#[test]
fn versions_of_mqtt_are_3_and_5() {
    assert_eq!(only("[mqtt]\nversion = 4"), "2: `version` is 3 (MQTT 3.1.1) or 5");
    assert_eq!(only("[mqtt]\nexpiry_s = 60"), "2: `expiry_s` needs MQTT 5: add `version = 5`");
    assert!(parse("[mqtt]\nversion = 5\nexpiry_s = 60").is_ok());
}

#[test]
fn mistakes_about_a_hub_have_their_line_and_a_fix() {
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("key");
    std::fs::write(&key, "").expect("written");
    let device = format!("[iothub]\nhub = \"h.azure-devices.net\"\ndevice = \"edge\"\nshared_key_file = {key:?}\n");
    let dps = "[iothub.dps]\nid_scope = \"0ne1\"\nregistration_id = \"a b\"\n";
    for (text, wanted) in [
        ("\n[iothub]\n".to_owned(), "2: say which device this is: `connection_string_file`"),
        ("[iothub]\nhub = \"h\"".to_owned(), "1: `hub` and `device` go together"),
        (device.replace("h.azure", "h/azure"), "2: the hub is named by its host name"),
        (device.replace("\"edge\"", "\"a/b\""), "3: a device id has up to 128"),
        (format!("{device}url = \"mqtt://gateway\""), "5: the MQTT `url` is not usable: IoT Hub speaks TLS only"),
        (format!("{device}token_s = 1"), "5: `token_s` is from 5 to 86400 seconds"),
        (format!("{device}every_s = 0"), "5: `every_s` is from 1 to 86400 seconds"),
        (format!("{device}send = [\"count\"]"), "5: unknown value `count`: did you mean `counts`?"),
        (format!("{device}ca_file = \"/no/such/ca.pem\""), "5: there is no file /no/such/ca.pem"),
        (format!("{device}cert_file = {key:?}"), "1: `cert_file` and `key_file` go together"),
        (format!("{device}connection_string_env = \"C\""), "1: keep one of the connection string"),
        (format!("[iothub]\nshared_key_file = {key:?}\n{dps}"), "5: `registration_id` is not usable: take up to 128"),
        ("[iothub]\nshared_key = \"hunter2\"".to_owned(), "2: unknown key `shared_key`: did you mean `shared_key_"),
        ("[iothub]\nconnection_string = \"hunter2\"".to_owned(), "2: unknown key `connection_string`: did you mean"),
    ] {
        let found = wrong(&text);
        assert!(found.iter().any(|m| m.starts_with(wanted)), "{text}: {found:?}");
        assert!(found.iter().all(|m| !m.contains("hunter2")), "{found:?}");
    }
}

#[test]
fn what_may_leave_must_make_sense() {
    let (folder, good) = good();
    let model = folder.path().join("m.onnx");
    let rule = |rest: &str| format!("{good}[[privacy.store]]\nname = \"r\"\n{rest}");
    let message = |rest: &str| format!("{good}[[privacy.mqtt]]\nname = \"r\"\n{rest}");
    let faces = format!("{good}[privacy.faces]\npath = {model:?}\n");
    let mask = |points: &str| format!("{good}[[privacy.masks]]\ncamera = \"line3\"\npoints = {points}\n");
    for (text, wanted) in [
        (
            rule("allow = \"all\"\n"),
            "7: unknown value `all`. Valid values here: `frame`, `crop`, `metadata`, `nothing`",
        ),
        (rule("allow = \"frame\"\ncameras = [\"line4\"]\n"), "8: there is no camera `line4`: did you mean `line3`?"),
        (rule("allow = \"frame\"\nzones = [\"door\"]\n"), "8: there is no zone `door`"),
        (rule("allow = \"frame\"\nhours = [\"6-18\"]\n"), "8: `6-18` are no hours: write \"22:00-06:00\""),
        (rule("allow = \"frame\"\nredact = [\"faces\"]\n"), "8: nothing finds faces: add a table [privacy.faces]"),
        (rule("allow = \"crop\"\nredact = [\"persons\"]\n"), "8: nothing finds persons: add a table [privacy.persons]"),
        (rule("allow = \"frame\"\nredact = [\"masks\"]\n"), "8: `line3` has no mask"),
        (rule("allow = \"frame\"\nredact = [\"face\"]\n"), "8: unknown value `face`: did you mean `faces`?"),
        (
            format!("{faces}[[privacy.store]]\nname = \"r\"\nallow = \"metadata\"\nredact = [\"faces\"]\n"),
            "10: no picture leaves",
        ),
        (
            rule("allow = \"frame\"\n[[privacy.store]]\nname = \"r\"\nallow = \"crop\"\n"),
            "9: there is another rule `r`",
        ),
        (format!("{good}[privacy.faces]\npath = \"/no/faces\"\n"), "6: there is no file or directory /no/faces"),
        (format!("{faces}score = 1.5\n"), "7: `score` is a fraction from 0 to 1"),
        (format!("{faces}tiles = 0\n"), "7: `tiles` is from 1 to 8"),
        (format!("{faces}labels = []\n"), "7: `labels` is empty"),
        (
            format!("{faces}profile = \"ultrafaces\"\n"),
            "7: there is no profile `ultrafaces`: did you mean `ultraface`?",
        ),
        (mask("[[0, 0], [1, 0]]"), "7: a mask has at least three `points`"),
        (mask("[[0, 0], [1, 0], [2, 0]]"), "7: `points` are fractions of the frame"),
        (mask("[[0, 0], [0.5, 0], [1, 0]]"), "7: the mask has no area"),
        (
            format!("{good}[[privacy.masks]]\ncamera = \"x\"\npoints = [[0, 0], [1, 0], [1, 1]]\n"),
            "6: there is no camera `x`",
        ),
        (format!("{good}[privacy]\naudit_mib = 0\n"), "6: `audit_mib` is from 1 to "),
        (format!("{good}[privacy]\naudit = {model:?}\n"), "6: "),
        (format!("{good}[privacy]\nwithheld = {model:?}\n"), "6: "),
        (format!("{good}[privacy]\nwithheld_mib = 9999999999\n"), "6: `withheld_mib` is at most "),
        (message("allow = \"frame\"\n"), "7: unknown value `frame`. Valid values here: `all`, `labels`, `nothing`"),
        (message("allow = \"all\"\ncameras = [\"line4\"]\n"), "8: there is no camera `line4`: did you mean `line3`?"),
        (message("allow = \"all\"\nzones = [\"door\"]\n"), "8: there is no zone `door`"),
        (message("allow = \"all\"\nhours = [\"6-18\"]\n"), "8: `6-18` are no hours"),
        (message("allow = \"all\"\nmessages = []\n"), "8: `messages` is empty"),
        (message("allow = \"all\"\nmessages = [\"event\"]\n"), "8: unknown value `event`: did you mean `events`?"),
        (
            message("allow = \"all\"\n[[privacy.mqtt]]\nname = \"r\"\nallow = \"nothing\"\n"),
            "9: there is another rule `r`",
        ),
        (format!("{good}[mqtt]\noff_site = true\n"), "6: this broker is elsewhere, and nothing says what may leave"),
        (
            format!("{good}[[privacy.iothub]]\nname = \"r\"\nallow = \"all\"\n"),
            "5: there is no [iothub] that these rules could be for",
        ),
        (rule("allow = \"nothing\"\non_request = true\n"), "8: this rule lets nothing go, whoever asks"),
        (format!("{good}[evidence]\nstore = \"s3://bucket/x\"\n"), "6: this store is elsewhere, and nothing says"),
    ] {
        let message = only(&text);
        assert!(message.starts_with(wanted), "{text}: {message}");
    }
}

#[test]
fn the_way_to_a_store_must_make_sense() {
    let policy = "[[privacy.store]]\nname = \"r\"\nallow = \"frame\"\n";
    let way = |store: &str, rest: &str| format!("[evidence]\nstore = {store:?}\n[evidence.ship]\n{rest}\n{policy}");
    for (store, rest, wanted) in [
        ("/tmp", "service = \"stack-hub\"", "4: `service` is for stores in Azure"),
        ("s3://bucket", "queue = \"frames\"", "4: `queue` is for stores in Azure"),
        ("/tmp", "max_kib_s = 3", "4: `max_kib_s` is for stores that are elsewhere"),
        ("az://c", "max_kib_s = 0", "4: `max_kib_s` is at least 1"),
        ("az://c", "block_kib = 63", "4: `block_kib` is from 64 to 102400"),
        ("az://c", "single_kib = 0", "4: `single_kib` is from 64 to 102400"),
        ("az://c", "api_version = \"2019\"", "4: `api_version` is a date, like \"2019-07-07\""),
        ("az://c", "api_version = \"2019-13-01\"", "4: `api_version` is a date"),
        ("az://c", "ca_file = \"/no/ca.pem\"", "4: there is no file /no/ca.pem"),
        ("az://c", "sas_file = \"/no/sas\"", "4: there is no file /no/sas"),
        ("az://c", "queue = \"Frames\"", "4: a queue has 3 to 63 small letters"),
        ("az://c", "queue = \"a--b\"", "4: a queue has 3 to 63 small letters"),
        ("az://c", "hours = [\"night\"]", "4: `night` are no hours"),
        ("az://c", "service = \"stackhub\"", "4: unknown value `stackhub`: did you mean `stack-hub`?"),
    ] {
        let message = only(&way(store, rest));
        assert!(message.starts_with(wanted), "{store} {rest}: {message}");
    }
}

#[test]
fn scoring_for_others_takes_a_token_a_model_and_limits_that_make_sense() {
    let (_folder, good) = good();
    for (text, wanted) in [
        (
            "listen = \"0.0.0.0:8000\"",
            "1: beyond this machine scoring takes a token: set `token_file` or `token_credential`",
        ),
        ("token_file = \"/no/such\"", "1: there is no file /no/such"),
        ("token_credential = \"a\"\ntoken_file = \"/\"", "1: the token comes from one place: give `token_file` or"),
        ("models = [\"n\"]", "1: there is no model `n`: there are `m`"),
        ("models = []", "1: `models` names a model or more"),
        ("queue = 0", "1: `queue` is from 1 to 1024"),
        ("concurrent = 257", "1: `concurrent` is from 1 to 256"),
        ("max_body_mib = 0", "1: `max_body_mib` is from 1 to 1024"),
        ("memory_mib = 8", "1: `memory_mib` is from `max_body_mib` to 1048576"),
        ("timeout_s = nan", "1: `timeout_s` is from 0.1 to 600"),
        ("port = 8000", "1: unknown key `port`"),
    ] {
        let message = only(&format!("{good}[serve]\n{text}\n"));
        let (line, said) = message.split_once(": ").expect("a line");
        let wanted = wanted.split_once(": ").expect("a line").1;
        assert!(line == "6" && said.starts_with(wanted), "{text:?}: {message}");
    }
    assert!(only("[serve]\n").starts_with("1: there is no model to score with: add a table [models.NAME]"));
}

#[test]
fn insights_need_a_store_and_a_word_on_what_may_leave() {
    let elsewhere = "[evidence]\nstore = \"az://c\"\n[[privacy.store]]\nname = \"r\"\nallow = \"frame\"\n[insights]\n";
    for (text, wanted) in [
        ("\n[insights]\n", "2: there is no store for insights: add `store`, or a table [evidence]"),
        ("[insights]\nstore = \"gopher://x\"", "2: `store` is not usable"),
        ("[insights]\nstore = \"s3://b\"", "2: the store of insights is elsewhere, and nothing says what may leave"),
        (elsewhere, "6: the store of insights is elsewhere"),
        ("[insights]\nstore = \"/tmp\"\nhours_per_file = 5", "3: `hours_per_file` is 1, 2, 3, 4, 6, 8, 12 or 24"),
        ("[insights]\nstore = \"/tmp\"\nuncertain = [0.6, 0.3]", "3: `uncertain` is [low, high]"),
        ("[insights]\nstore = \"/tmp\"\nhours = 3", "3: unknown key `hours`: did you mean `"),
        ("[privacy]\nglobal = [\"frame\"]", "2: unknown value `frame`: did you mean `frames`?"),
        (
            "[insights]\nstore = \"az://c\"\n[insights.ship]\nqueue = \"frames\"\n[privacy]\nglobal = []",
            "4: only evidence is announced on a queue",
        ),
        (
            "[insights]\nstore = \"/tmp\"\n[insights.ship]\nmax_kib_s = 3",
            "4: `max_kib_s` is for stores that are elsewhere",
        ),
    ] {
        let message = only(text);
        assert!(message.starts_with(wanted), "{text}: {message}");
    }
    let shared = format!("[privacy]\nglobal = [\"frames\"]\n{elsewhere}")
        .replace("store = \"az://c\"", "store = \"az://c\"\nband = [0.2, 0.4]\nship = { max_kib_s = 5 }");
    let config = parse(&shared).expect("good");
    assert_eq!((config.insights_store(), config.insights_way().max_kib_s), (Some("az://c"), Some(5)));
    assert_eq!(config.uncertain_band(), [0.2, 0.4]);
    let own = parse("[insights]\nstore = \"/tmp\"\nuncertain = [0.1, 0.2]").expect("good");
    assert_eq!(
        (own.insights_store(), own.insights_way().max_kib_s, own.uncertain_band()),
        (Some("/tmp"), None, [0.1, 0.2])
    );
}
