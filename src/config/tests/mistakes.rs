mod cameras;
mod outputs;

use super::{only, wrong};

/// A camera and a model with nothing wrong, to put before or after what is.
fn good() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let model = folder.path().join("m.onnx");
    std::fs::write(&model, "").expect("written");
    let text = format!("[models.m]\npath = {model:?}\n[cameras.line3]\nsource = \"sim:conveyor\"\n");
    (folder, text)
}

#[test]
fn unknown_keys_have_their_line_and_the_nearest_valid_key() {
    for (text, wanted) in [
        ("sitte = \"a\"", "1: unknown key `sitte`: did you mean `site`?"),
        ("\n[mqtt]\ndetection_qos = 1", "3: unknown key `detection_qos`: did you mean `detections_qos`?"),
        ("[mqtt]\n\n# hm\nurI = \"\"", "4: unknown key `urI`: did you mean `url`?"),
        ("[web]\nlisten_on = 1", "2: unknown key `listen_on`: did you mean `listen`?"),
        (
            "[web]\nmetrics_token_file = \"/t\"\nmetrics_token_credential = \"t\"",
            "3: the token comes from one place: give `metrics_token_file` or `metrics_token_credential`",
        ),
        (
            "[web]\nxyz = 1",
            "2: unknown key `xyz`. Valid keys here: `listen`, `metrics_token_file`, `metrics_token_credential`",
        ),
        ("[camera.a]\nsource = \"sim:conveyor\"", "1: unknown key `camera`: did you mean `cameras`?"),
        ("mqtt = { prefx = \"a\" }", "1: unknown key `prefx`: did you mean `prefix`?"),
        ("[mqtt]\npassword = \"hunter2\"", "2: unknown key `password`: did you mean `password_"),
        ("device = \"gpuu\"", "1: unknown value `gpuu`: did you mean `gpu`? Valid values here: "),
    ] {
        let message = only(text);
        assert!(message.starts_with(wanted), "{text:?}: {message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[test]
fn wrong_types_say_what_would_be_right() {
    for (text, wanted) in [
        ("[mqtt]\nqueue = \"many\"", "2: this is string \"many\", and should be a whole number"),
        ("[mqtt]\nqueue = -1", "2: this is integer `-1`, and should be a whole number"),
        ("[mqtt]\ndetections_qos = 1.5", "2: this is floating point `1.5`, and should be a whole number"),
        ("[mqtt]\nurl = 3", "2: this is integer `3`, and should be text in quotes"),
        ("[mqtt]\nca_file = true", "2: this is boolean `true`, and should be "),
        ("mqtt = 3", "1: this is integer `3`, and should be a table"),
        ("[evidence]\nstore = \"/tmp\"\nflicker = \"no\"", "3: this is string \"no\", and should be `true` or `false`"),
        ("[evidence]\nstore = \"/tmp\"\nband = [0.1]", "3: "),
        ("site = 3", "1: this is integer `3`, and should be text in quotes"),
    ] {
        let message = only(text);
        assert!(message.starts_with(wanted), "{text:?}: {message}");
    }
}

#[test]
fn a_missing_key_is_said_once_at_its_table() {
    let message = only("\n[evidence]\nper_minute = 3\n");
    assert!(message.starts_with("2: the key `store` is missing here"), "{message}");
    // The misspelt key is the mistake; that the right one is missing follows from it.
    let message = only("[evidence]\nstrore = \"/tmp\"\n");
    assert!(message.starts_with("2: unknown key `strore`: did you mean `store`?"), "{message}");
}

#[test]
fn a_missing_key_hides_no_other_mistake() {
    let found = wrong("[evidence]\nper_minute = 3\n[web]\nlisten_on = 1\n[[privacy.store]]\nallow = \"metadata\"\n");
    let wanted =
        ["1: the key `store` is missing here", "4: unknown key `listen_on`", "5: the key `name` is missing here"];
    assert_eq!(found.len(), wanted.len(), "{found:#?}");
    for (found, wanted) in found.iter().zip(wanted) {
        assert!(found.starts_with(wanted), "{found}, not {wanted}");
    }
    // A misspelt key in one table excuses no other table.
    let found = wrong("[web]\nlisten_on = 1\n[evidence]\nper_minute = 3\n");
    assert!(found.len() == 2 && found[1].starts_with("3: the key `store` is missing here"), "{found:#?}");
}

#[test]
fn names_are_safe_in_topics_and_paths() {
    for bad in ["a b", "a/b", "+", "#", "a#", "", "..", "-a", "ä", "a\\u0000"] {
        for text in [format!("site = \"{bad}\""), format!("node = \"{bad}\"")] {
            let message = only(&text);
            assert!(message.starts_with("1: ") && message.contains("is not a usable name"), "{text}: {message}");
        }
        for table in ["cameras", "models"] {
            let found = wrong(&format!("\n[{table}.\"{bad}\"]\nsource = \"sim:conveyor\"\n"));
            assert!(found.iter().any(|m| m.starts_with("2: ") && m.contains("not a usable name")), "{found:?}");
        }
    }
    for bad in ["a b", "a//b", "/a", "+", "a/#", "", "$SYS"] {
        let message = only(&format!("[mqtt]\nprefix = \"{bad}\""));
        assert!(message.starts_with("2: ") && message.contains("topic"), "{bad:?}: {message}");
    }
}

#[test]
fn values_outside_their_range_are_told_apart() {
    let (_folder, good) = good();
    let camera = good.replace("sim:conveyor", "rtsp://cam/");
    let secure = |settings: &str| format!("{}{settings}\n", camera.replace("rtsp:", "rtsps:"));
    for (text, wanted) in [
        (good.replace("[cameras", "batch = 0\n[cameras"), "3: `batch` is from 1 to 64"),
        (good.replace("[cameras", "memory_mib = 0\n[cameras"), "3: `memory_mib` is at least 1"),
        (good.replace("[cameras", "score = 1.5\n[cameras"), "3: `score` is a fraction from 0 to 1"),
        (good.replace("[cameras", "iou = nan\n[cameras"), "3: `iou` is a fraction from 0 to 1"),
        (
            good.replace("[cameras", "profile = \"yollox\"\n[cameras"),
            "3: there is no profile `yollox`: did you mean `yolox`?",
        ),
        (good.replace("[cameras", "labels = \"/no/such\"\n[cameras"), "3: there is no file /no/such"),
        (format!("{good}fps = 0\n"), "5: `fps` is above 0 and at most 1000"),
        (format!("{good}fps = inf\n"), "5: `fps` is above 0 and at most 1000"),
        (format!("{good}model = \"n\"\n"), "5: there is no model `n`: there are `m`"),
        (good.replace("sim:conveyor", "sim:belt"), "4: "),
        (format!("{good}username = \"a\"\n"), "5: only network cameras"),
        (format!("{camera}username = \"a\"\npassword_file = \"/no/such\"\n"), "6: there is no file /no/such"),
        (format!("{camera}password_env = \"A\"\n"), "3: a password needs a `username` beside it"),
        (format!("{camera}username = \"a\"\n").replace("cam/", "b@cam/"), "5: the URL in `source` has a user name"),
        (
            format!("{camera}username = \"a\"\npassword_env = \"A\"\npassword_credential = \"a\"\n"),
            "3: the password comes from one place",
        ),
        (format!("{good}ca_file = \"/no\"\n"), "5: only rtsps and https have certificates: leave `ca_file` out"),
        (format!("{camera}tls_verify = false\n"), "5: only rtsps and https have certificates"),
        (secure("ca_file = \"/no/ca.pem\""), "5: there is no file /no/ca.pem"),
        (secure("tls_verify = false\nca_file = \"/dev/null\""), "5: `tls_verify = false` takes any certificate"),
        (secure("tls_verify = 0"), "5: "),
        (format!("{camera}poll_s = 1\n"), "5: only http and https give stills"),
        (format!("{camera}poll_s = 0\n"), "5: `poll_s` is from 0.05 to 86400"),
        (format!("{camera}queue = \"all\"\n"), "5: unknown value `all`. Valid values here: `newest`, `every`"),
        (format!("{camera}queue_frames = 3\n"), "5: `queue_frames` is for `queue = \"every\"`"),
        (format!("{camera}queue = \"every\"\nqueue_frames = 0\n"), "6: `queue_frames` is from 1 to 1024"),
        (format!("{camera}motion = 0\n"), "5: `motion` is from 0.5 to 255 levels"),
        (format!("{camera}[cameras.line3.trust]\nstil = 1\n"), "6: unknown key `stil`: did you mean `still`?"),
        (format!("{camera}[cameras.line3.trust]\nstill = 2.0\n"), "6: `still` is from 0 (off) to 1"),
        (format!("{camera}[cameras.line3.trust]\nreference = \"/no\"\n"), "6: there is no file /no"),
        (format!("{camera}max_side = 8\n"), "5: `max_side` is from 16 to 16384"),
        (format!("{camera}timeout_s = 0\n"), "5: `timeout_s` is from 0.5 to 3600"),
        (format!("{camera}transport = \"upd\"\n"), "5: unknown value `upd`. Valid values here: `tcp`, `udp`"),
        (format!("{camera}hwaccel = \"vapi\"\n"), "5: unknown value `vapi`: did you mean `vaapi`?"),
        ("[mqtt]\ndetections_qos = 2".to_owned(), "2: `detections_qos` is 0 or 1"),
        ("[mqtt]\nqueue = 0".to_owned(), "2: `queue` is from 1 to 65536"),
        ("[mqtt]\nurl = \"http://broker\"".to_owned(), "2: the MQTT `url` is not usable: the scheme `http`"),
        ("[mqtt]\nclient_id = \"\"".to_owned(), "2: `client_id` is not usable"),
        ("[mqtt]\nca_file = \"/no/ca.pem\"\nurl = \"mqtts://b\"".to_owned(), "2: there is no file /no/ca.pem"),
        ("\n[mqtt]\npassword_env = \"A\"".to_owned(), "2: a password needs a `username` beside it"),
        ("[evidence]\nstore = \"\"".to_owned(), "2: `store` is not usable: it is empty"),
        (
            "[evidence]\nstore = \"gopher://x\"".to_owned(),
            "2: `store` is not usable: `gopher` is no known kind of store",
        ),
        ("[evidence]\nstore = \"/tmp\"\nband = [0.6, 0.3]".to_owned(), "3: `band` is [low, high]"),
        ("[evidence]\nstore = \"/tmp\"\nper_minute = 0".to_owned(), "3: `per_minute` is from 1 to 6000"),
        ("[evidence]\nstore = \"/tmp\"\nper_hour = 400000".to_owned(), "3: `per_hour` is from 1 to 360000"),
        ("[evidence]\nstore = \"/tmp\"\nper_day = 0".to_owned(), "3: `per_day` is from 1 to 8640000"),
        ("[evidence]\nstore = \"/tmp\"\n[evidence.node]\nper_day = 0".to_owned(), "4: `per_day` is from 1 to 8640000"),
        (
            "[evidence]\nstore = \"/tmp\"\n[evidence.node]\nper_dya = 1".to_owned(),
            "4: unknown key `per_dya`: did you mean `per_day`?",
        ),
        ("[evidence]\nstore = \"/tmp\"\nmargin = 1.5".to_owned(), "3: `margin` is from 0 (off) to 1"),
        ("[evidence]\nstore = \"/tmp\"\nrare = -0.5".to_owned(), "3: `rare` is from 0 (off) to 1"),
        ("[evidence]\nstore = \"/tmp\"\nrandom = 5".to_owned(), "3: `random` is a share of all frames, from 0 to 1"),
        ("[evidence]\nstore = \"/tmp\"\nseed = -1".to_owned(), "3: "),
        ("[evidence]\nstore = \"/tmp\"\nrules = [\"exit\"]".to_owned(), "3: no camera has a zone or line `exit`"),
        (
            format!(
                "{camera}[[cameras.line3.lines]]\nname = \"exit\"\npoints = [[0, 0], [0, 1]]\n[evidence]\nstore = \"/tmp\"\nrules = [\"exti\"]\n"
            ),
            "10: no camera has a zone or line `exti`: did you mean `exit`?",
        ),
    ] {
        let message = only(&text);
        assert!(message.starts_with(wanted), "{text:?}: {message}");
    }
}

#[test]
fn everything_wrong_is_said_at_once_in_the_order_of_the_file() {
    let text = r#"
sitte = "a"
node = "a b"
device = "gpuu"
[mqtt]
url = "http://broker"
queue = 0
detections_qos = "one"
prefx = "a"
[cameras.line3]
source = "sim:belt"
fsp = 3
[evidence]
store = "gopher://x"
band = [0.6, 0.3]
"#;
    let found = wrong(text);
    let lines: Vec<_> = found.iter().map(|m| m.split(':').next().expect("a line")).collect();
    // Line 10 is the camera's table: no model is configured.
    assert_eq!(lines, ["2", "3", "4", "6", "7", "8", "9", "10", "11", "12", "14", "15"], "{found:#?}");
}

#[test]
fn syntax_errors_do_not_hide_the_rest() {
    let found = wrong("site = \n[mqtt]\nprefx = \"a\"\nqueue = = 3\n");
    let lines: Vec<_> = found.iter().map(|m| m.split(':').next().expect("a line")).collect();
    for line in ["1", "3", "4"] {
        assert!(lines.contains(&line), "{found:#?}");
    }
    assert!(wrong("site = \"a\"\nsite = \"b\"").iter().any(|m| m.starts_with("2: duplicate key")));
    assert!(wrong("[mqtt\nurl = \"\"").iter().any(|m| m.starts_with("1: ")));
}
