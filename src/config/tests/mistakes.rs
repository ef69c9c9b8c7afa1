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
fn cameras_need_a_model() {
    let (_folder, good) = good();
    assert!(super::super::parse(&good).is_ok());
    let message = only("[cameras.a]\nsource = \"sim:conveyor\"\n");
    assert!(message.starts_with("1: no model is configured"), "{message}");
    let two = format!("{good}{}", good.lines().take(2).collect::<Vec<_>>().join("\n").replace(".m]", ".n]"));
    let message = only(&two);
    assert!(message.starts_with("3: there are several models"), "{message}");
    let message = only("[models.m]\npath = \"/no/such/model\"");
    assert!(message.starts_with("2: there is no file or directory /no/such/model"), "{message}");
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

#[test]
fn what_a_local_camera_is_asked_for_must_make_sense() {
    let (_folder, good) = good();
    let local = good.replace("sim:conveyor", "v4l:/dev/video0");
    let vision = |settings: &str| format!("{}{settings}\n", good.replace("sim:conveyor", "genicam:Basler-1234"));
    for (text, wanted) in [
        (format!("{good}format = \"mjpg\"\n"), "5: `format` is for cameras whose `source` is `v4l:…` or `genicam:…`"),
        (format!("{good}size = [640, 480]\n"), "5: `size` is for cameras whose"),
        (format!("{good}controls = {{ gain = 3 }}\n"), "5: `controls` is for cameras whose"),
        (format!("{local}trigger = \"software\"\n"), "5: `trigger` is for cameras whose `source` is `genicam:…`"),
        (vision("trigger = \"Line 1\""), "5: `trigger` is \"off\", \"software\" or the name of one of"),
        (vision("format = \"mjpg\""), "5: a `genicam:` camera gives no mjpg"),
        (vision("size = [0, 1]"), "5: a picture of 0x1 pixels"),
        (good.replace("sim:conveyor", "genicam:"), "4: the source genicam: is not usable: name the camera"),
        (format!("{local}format = \"mjpeg\"\n"), "5: unknown value `mjpeg`: did you mean `mjpg`?"),
        (format!("{local}size = [0, 480]\n"), "5: a picture of 0x480 pixels is outside the limits"),
        (format!("{local}size = 640\n"), "5: this is integer `640`, and should be "),
        (
            format!("{local}controls = {{ gain = [1] }}\n"),
            "5: this is sequence, and should be a number, `true`, `false`, \"auto\" or the name of a choice in quotes",
        ),
    ] {
        let message = only(&text);
        assert!(message.starts_with(wanted), "{text:?}: {message}");
    }
    super::parse(&format!(
        "{local}format = \"grey\"\nsize = [640, 480]\ncontrols = {{ exposure = \"auto\", gain = 3, hdr = true }}\n"
    ))
    .expect("it makes sense");
    let settings = "format = \"bayer\"\nfps = 5\ntrigger = \"Line1\"\ncontrols = { exposure = 200, BlackLevel = 2 }";
    super::parse(&vision(settings)).expect("it makes sense");
}

#[test]
fn zones_lines_and_tracks_that_make_no_sense_have_their_line() {
    let (_folder, good) = good();
    let zone = |keys: &str| format!("{good}[[cameras.line3.zones]]\nname = \"belt\"\n{keys}\n");
    let line = |keys: &str| format!("{good}[[cameras.line3.lines]]\nname = \"exit\"\n{keys}\n");
    let track = |keys: &str| format!("{good}[cameras.line3.track]\n{keys}\n");
    let (square, upright) = ("points = [[0, 0], [1, 0], [1, 1]]", "points = [[0.5, 0], [0.5, 1]]");
    for (text, wanted) in [
        (zone("points = [[0, 0], [1, 0]]"), "7: a zone has at least three `points` and at most 256, not 2"),
        (zone("points = [[0, 0], [1.2, 0.5], [1, 1]]"), "7: [1.2, 0.5] is outside the picture: `points` are fractions"),
        (zone("points = [[0, 0], [nan, 0.5], [1, 1]]"), "7: [NaN, 0.5] is outside the picture"),
        (zone("points = [[0, 0], [0.5, 0.5], [1, 1]]"), "7: the zone has no area"),
        (zone(&format!("{square}\ninertia = [1, 4]")), "8: `inertia` is [n, m]: n of the last m frames"),
        (
            zone(&format!("{square}\ninertia = [65, 65]")),
            "8: `inertia` is [n, m]: n of the last m frames, m at most 64",
        ),
        (zone(&format!("{square}\ndwell_s = 0")), "8: `dwell_s` is above 0"),
        (zone(&format!("{square}\nlabels = []")), "8: `labels` is empty"),
        (zone(&format!("{square}\nanchor = \"middle\"")), "8: unknown value `middle`"),
        (zone(&format!("{square}\ndwel_s = 3")), "8: unknown key `dwel_s`: did you mean `dwell_s`?"),
        (zone("points = 3"), "7: this is integer `3`, and should be a list in brackets"),
        (line("points = [[0, 0], [1, 0], [1, 1]]"), "7: a line has two `points`, not 3"),
        (line("points = [[0.5, 0.5], [0.5, 0.5]]"), "7: the two ends of the line are the same point"),
        (line("points = [[0, 0], [0, -1]]"), "7: [0, -1] is outside the picture"),
        (
            line(&format!("{upright}\ndirection = \"up\"")),
            "8: this line is crossed to the other side by going `left` or `right`",
        ),
        (line(&format!("{upright}\ngroups = {{ ok = [] }}")), "8: the group `ok` has no labels"),
        (
            line(&format!("{upright}\ngroups = {{ ok = [\"a\"], ng = [\"b\", \"a\"] }}")),
            "8: the label `a` is in `ng`, `ok`: a label is in one group",
        ),
        (
            zone(&format!("{square}\n[[cameras.line3.lines]]\n{upright}\nname = \"belt\"")),
            "10: there is another `belt`: the zones and lines of a camera share no name",
        ),
        (track("min_score = 2"), "6: `min_score` is a fraction from 0 to 1"),
        (track("min_area = 0.2\nmax_area = 0.1"), "6: `min_area`, 0.2, is above `max_area`, 0.1"),
        (track("confirm = 0"), "6: `confirm` is from 1 to 100"),
        (track("keep_s = inf"), "6: `keep_s` is from 0 to 600"),
        (track("filters.bolt.threshold = 1.1"), "6: `threshold` is a fraction from 0 to 1"),
        (track("events = \"some\""), "6: unknown value `some`"),
    ] {
        let message = only(&text);
        assert!(message.starts_with(wanted), "{text}: {message}");
    }
}

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
fn mistakes_in_several_zones_are_all_found() {
    let (_folder, good) = good();
    let zone = "[[cameras.line3.zones]]\nname = \"NAME\"\npoints = [[0, 0], [1, 0], [1, 1]]\n";
    let (one, two) = (zone.replace("NAME", "a"), zone.replace("NAME", "b"));
    let found = wrong(&format!("{good}{one}dwel_s = 3\n{two}inertia = [0, 1]\n{two}inerta = 1\n"));
    let lines: Vec<_> = found.iter().map(|m| m.split(':').next().expect("a line")).collect();
    assert_eq!(lines, ["8", "12", "14", "16"], "{found:#?}");
}

#[test]
fn versions_of_mqtt_are_3_and_5() {
    assert_eq!(only("[mqtt]\nversion = 4"), "2: `version` is 3 (MQTT 3.1.1) or 5");
    assert_eq!(only("[mqtt]\nexpiry_s = 60"), "2: `expiry_s` needs MQTT 5: add `version = 5`");
    assert!(super::parse("[mqtt]\nversion = 5\nexpiry_s = 60").is_ok());
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
    let config = super::parse(&shared).expect("good");
    assert_eq!((config.insights_store(), config.insights_way().max_kib_s), (Some("az://c"), Some(5)));
    assert_eq!(config.uncertain_band(), [0.2, 0.4]);
    let own = super::parse("[insights]\nstore = \"/tmp\"\nuncertain = [0.1, 0.2]").expect("good");
    assert_eq!(
        (own.insights_store(), own.insights_way().max_kib_s, own.uncertain_band()),
        (Some("/tmp"), None, [0.1, 0.2])
    );
}
