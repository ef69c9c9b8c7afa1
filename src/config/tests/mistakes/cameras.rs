//! Mistakes about cameras, and what they are told.

use super::super::{only, wrong};
use super::good;
use crate::config::parse;

#[test]
fn cameras_need_a_model() {
    let (_folder, good) = good();
    assert!(parse(&good).is_ok());
    let message = only("[cameras.a]\nsource = \"sim:conveyor\"\n");
    assert!(message.starts_with("1: no model is configured"), "{message}");
    let two = format!("{good}{}", good.lines().take(2).collect::<Vec<_>>().join("\n").replace(".m]", ".n]"));
    let message = only(&two);
    assert!(message.starts_with("3: there are several models"), "{message}");
    let message = only("[models.m]\npath = \"/no/such/model\"");
    assert!(message.starts_with("2: there is no file or directory /no/such/model"), "{message}");
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
    parse(&format!(
        "{local}format = \"grey\"\nsize = [640, 480]\ncontrols = {{ exposure = \"auto\", gain = 3, hdr = true }}\n"
    ))
    .expect("it makes sense");
    let settings = "format = \"bayer\"\nfps = 5\ntrigger = \"Line1\"\ncontrols = { exposure = 200, BlackLevel = 2 }";
    parse(&vision(settings)).expect("it makes sense");
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
fn mistakes_in_several_zones_are_all_found() {
    let (_folder, good) = good();
    let zone = "[[cameras.line3.zones]]\nname = \"NAME\"\npoints = [[0, 0], [1, 0], [1, 1]]\n";
    let (one, two) = (zone.replace("NAME", "a"), zone.replace("NAME", "b"));
    let found = wrong(&format!("{good}{one}dwel_s = 3\n{two}inertia = [0, 1]\n{two}inerta = 1\n"));
    let lines: Vec<_> = found.iter().map(|m| m.split(':').next().expect("a line")).collect();
    assert_eq!(lines, ["8", "12", "14", "16"], "{found:#?}");
}
