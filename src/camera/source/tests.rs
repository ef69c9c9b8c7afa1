use std::fs;
use std::os::unix::ffi::OsStrExt;

use super::*;
use crate::random::Random;

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in ["clip.mp4", "a b?c=d%20.mp4", "UP.JPG", "anim.gif"] {
        fs::write(dir.path().join(name), b"x").unwrap();
    }
    fs::write(dir.path().join(OsStr::from_bytes(b"\xff.mp4")), b"x").unwrap();
    dir
}

fn error(text: &str) -> String {
    Source::parse(text).unwrap_err().to_string()
}

#[test]
fn files_and_directories_in_every_spelling() {
    let dir = folder();
    let at = dir.path().display();
    let clip = |looping, realtime| Source::Clip { path: dir.path().join("clip.mp4"), looping, realtime };
    assert_eq!(Source::parse(&format!("{at}/clip.mp4")), Ok(clip(None, None)));
    assert_eq!(Source::parse(&format!("file:{at}/clip.mp4?loop=true")), Ok(clip(Some(true), None)));
    assert_eq!(Source::parse(&format!("{at}/clip.mp4?loop&realtime=false")), Ok(clip(Some(true), Some(false))));
    assert_eq!(Source::parse(&format!("FILE://{at}/clip.mp4")), Ok(clip(None, None)));
    assert_eq!(Source::parse(&format!("file://localhost{at}/clip.mp4")), Ok(clip(None, None)));
    let pictures = |path: &Path, fps| Source::Pictures { path: path.to_owned(), looping: None, realtime: None, fps };
    assert_eq!(Source::parse(&format!("dir:{at}?fps=2.5")), Ok(pictures(dir.path(), Some(2.5))));
    assert_eq!(Source::parse(&at.to_string()), Ok(pictures(dir.path(), None)));
    assert_eq!(Source::parse(&format!("{at}/UP.JPG")), Ok(pictures(&dir.path().join("UP.JPG"), None)));
    assert_eq!(Source::parse(&format!("file:{at}/anim.gif")), Ok(pictures(&dir.path().join("anim.gif"), None)));
}

#[test]
fn odd_names_can_be_written() {
    let dir = folder();
    let at = dir.path().display();
    let named = |text: String| match Source::parse(&text) {
        Ok(Source::Clip { path, looping, .. }) => (path, looping),
        other => panic!("{text}: {other:?}"),
    };
    let odd = dir.path().join("a b?c=d%20.mp4");
    assert_eq!(named(format!("{at}/a b?c=d%20.mp4")), (odd.clone(), None));
    assert_eq!(named(format!("file:{at}/a%20b%3Fc=d%2520.mp4?loop=true")), (odd, Some(true)));
    let bytes = dir.path().join(OsStr::from_bytes(b"\xff.mp4"));
    assert_eq!(named(format!("file:{at}/%FF.mp4")), (bytes.clone(), None));
    assert!(matches!(Source::parse_os(bytes.as_os_str()), Ok(Source::Clip { path, .. }) if path == bytes));
}

#[test]
fn simulations() {
    let parsed = Source::parse("sim:conveyor?seed=7&fps=25&width=640&height=480");
    assert_eq!(parsed, Ok(Source::Conveyor { seed: 7, fps: 25.0, width: 640, height: 480, leaning: 0.0 }));
    assert!(matches!(Source::parse("sim:conveyor"), Ok(Source::Conveyor { seed: 1, .. })));
    assert!(error("sim:ocean").contains("sim:conveyor"));
    assert!(error("sim:conveyor?fps=0").contains("fps=0"));
    assert!(error("sim:conveyor?fps=NaN").contains("0.1 to 240"));
    assert!(error("sim:conveyor?width=1000000").contains("160 to 1920"));
    assert!(error("sim:conveyor?height=641").contains("at most the width"));
    assert!(error("sim:conveyor?leaning=1.5").contains("a share, 0 to 1"));
    assert!(error("sim:conveyor?seed=-1").contains("whole number"));
    assert!(error("sim:conveyor?seed=1&seed=2").contains("twice"));
}

#[test]
fn mistakes_name_what_would_be_right() {
    let dir = folder();
    let at = dir.path().display();
    let e = error(&format!("file:{at}/clip.mp4?lop=true"));
    assert!(e.contains("`lop`") && e.contains("did you mean `loop`?"), "{e}");
    let e = error(&format!("file:{at}/clip.mp4?loop=maybe"));
    assert!(e.contains("`true` or `false`"), "{e}");
    let e = error("rtps://camera/1");
    assert!(e.contains("`rtps:`") && e.contains("did you mean `rtsp"), "{e}");
    assert!(error("/no/such/clip.mp4").contains("/no/such/clip.mp4"));
    assert!(error("file:/no/such/clip.mp4?loop=true").ends_with("/no/such/clip.mp4"));
    assert!(error("file:").contains("empty"));
    assert!(error("file://elsewhere/x.mp4").contains("another host"));
    assert!(error("file:/a%00b").contains("zero byte"));
    assert!(error(&format!("dir:{at}/clip.mp4")).contains("not a directory"));
    assert!(error("  ").contains("empty"));
    assert!(error("rtsp:///path").contains("host"));
    for text in ["x", "/no/such", "rtps://a", "file:", "rtsp://", "sim:conveyor?x=1"] {
        assert!(!error(text).contains('\n'));
    }
}

#[test]
fn credentials_are_kept_and_never_shown() {
    let text = "rtsp://admin:s3cr%40t@10.0.0.5:554/live?token=hunter2";
    let source = Source::parse(text).unwrap();
    let Source::Network(url) = &source else { panic!("{source:?}") };
    assert_eq!(url.secret(), text);
    for shown in [format!("{source}"), format!("{source:?}"), format!("{url:?}")] {
        assert!(shown.contains("rtsp://10.0.0.5:554/live?…"), "{shown}");
        for secret in ["admin", "s3cr", "hunter2"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
    for bad in [
        "rtsp://admin:s3cret@",
        "http://admin:s3c/ret@host:99999/",
        "rtps://admin:s3cret@host/",
        "http://a:s3cret@h:x/?q=s3cret",
    ] {
        let e = Source::parse(bad).unwrap_err();
        assert!(!format!("{e} {e:?}").contains("s3c"), "{e:?}");
    }
}

#[test]
fn credentials_are_taken_out_of_other_programs_words() {
    let Ok(Source::Network(url)) = Source::parse("http://admin:s3cr%40t@cam/video?pwd=hunter2") else { panic!() };
    let redacted = Redacted::of(&url);
    for said in [
        "[concat] Impossible to open 'http://admin:s3cr%40t@cam/video?pwd=hunter2'",
        "user admin with s3cr@t was refused",
        "GET /video?pwd=hunter2",
        "two http://x:y@a/ and http://admin:s3cr@t@b/ here",
    ] {
        let shown = redacted.apply(said);
        for secret in ["admin", "s3cr", "hunter2", "x:y"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
    assert_eq!(redacted.apply("Connection refused"), "Connection refused");
}

/// Every single-byte change of good sources, and their prefixes, parse or fail without a panic and never leak.
#[test]
fn mangled_sources_never_panic_nor_leak() {
    let good = [
        "rtsp://user:hunter2@host:554/path?x=1",
        "http://user:hunter2@[::1]:80/",
        "sim:conveyor?seed=1&fps=10&width=640&height=480",
        "file:/tmp/%41%zz%?loop=true&realtime",
        "v4l:/dev/video0",
        "dir://localhost/tmp?fps=1",
    ];
    for text in good {
        for at in 0..text.len() {
            let _ = Source::parse(&text[..at]);
            for byte in [0, b'%', b'?', b'/', b':', b'@', b'&', b'=', b' ', b'\'', 0x7f] {
                let mut bytes = text.as_bytes().to_vec();
                bytes[at] = byte;
                let shown = format!("{:?}", Source::parse(std::str::from_utf8(&bytes).unwrap()));
                let intact = bytes.windows(9).any(|w| w == b":hunter2@");
                assert!(!intact || !shown.contains("hunter2"), "{shown}");
            }
        }
    }
}

#[test]
fn what_is_written_reads_back_the_same() {
    let dir = folder();
    for name in
        [&b"a b"[..], b"%41", b"100%", b"x?y=z&w", b" edge ", b"new\nline", b"\xff\x80", b"q'\"\\#", b"rtsp:", b"~-._"]
    {
        for extension in [".mp4", ".png", ""] {
            let path = dir.path().join(OsStr::from_bytes(&[name, extension.as_bytes()].concat()));
            match extension {
                "" => fs::create_dir(&path).unwrap(),
                _ => fs::write(&path, b"x").unwrap(),
            }
            let source = Source::parse_os(path.as_os_str()).unwrap();
            for source in [source.clone(), source.live()] {
                assert_eq!(Source::parse(&source.to_url()), Ok(source));
            }
        }
    }
    let at = dir.path().display();
    for text in [
        format!("dir:{at}?fps=0.3&loop=false"),
        format!("file:{at}/clip.mp4?realtime=true"),
        "sim:conveyor?seed=18446744073709551615&fps=29.97&width=800&height=600".to_owned(),
        "rtsps://admin:s3cr%40t@10.0.0.5:554/live?token=hunter2".to_owned(),
        "v4l:/dev/video0".to_owned(),
    ] {
        let source = Source::parse(&text).unwrap();
        assert_eq!(Source::parse(&source.to_url()), Ok(source));
    }
}

#[test]
fn a_record_as_a_camera_loops_in_real_time_unless_it_says_otherwise() {
    let dir = folder();
    let clip = |query: &str| Source::parse(&format!("file:{}/clip.mp4{query}", dir.path().display())).unwrap();
    let says = |source: Source| (source.looping(), source.realtime());
    assert_eq!(says(clip("")), (None, None));
    assert_eq!(says(clip("").live()), (Some(true), Some(true)));
    assert_eq!(says(clip("?loop=false").live()), (Some(false), Some(true)));
    assert_eq!(says(clip("?realtime=false").live()), (Some(true), Some(false)));
    let network = Source::parse("rtsp://camera/1").unwrap();
    assert_eq!(network.clone().live(), network);
}

/// Texts made of what sources are made of, in any order: each parses or fails without a panic, in one line, and shows
/// no credentials.
#[test]
fn random_texts_never_panic_nor_leak() {
    const PIECES: [&str; 40] = [
        "rtsp",
        "rtsps",
        "http",
        "https",
        "file",
        "dir",
        "sim",
        "v4l",
        "RTSP",
        "ftp",
        ":",
        "://",
        "/",
        "//",
        ":/",
        "@",
        "?",
        "&",
        "=",
        "%",
        "%00",
        "%2F",
        "#",
        " ",
        "'",
        "\"",
        "[::1]",
        "10.0.0.5",
        ":99999",
        "host",
        "conveyor",
        "seed=1",
        "fps=1e9",
        "loop",
        "width=-1",
        "tmp",
        "ä",
        "root:s3cret@",
        "root:s3cret@host",
        "?token=s3cret",
    ];
    let mut numbers = Random(7);
    let mut random = |below: usize| numbers.below(below);
    let mut cameras = 0;
    for _ in 0..200_000 {
        let start = ["", "", "rtsp://", "http://root:s3cret@"][random(4)];
        let rest: String = (0..=random(9)).map(|_| PIECES[random(PIECES.len())]).collect();
        let text = format!("{start}{rest}");
        let shown = match Source::parse(&text) {
            Ok(source @ Source::Network(_)) => {
                cameras += 1;
                assert_eq!(Source::parse(&source.to_url()).as_ref(), Ok(&source), "{text}");
                format!("{source} {source:?}")
            }
            // These show their paths.
            Ok(_) => continue,
            Err(error) => {
                assert_eq!(error.to_string().lines().count(), 1, "{text}");
                format!("{error} {error:?}")
            }
        };
        assert!(!shown.contains("s3cret"), "{text} shows as {shown}");
    }
    assert!(cameras > 1000, "{cameras}");
}
