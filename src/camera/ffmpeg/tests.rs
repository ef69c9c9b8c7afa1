use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;

use super::*;
use crate::camera::options::CameraOptions;
use crate::camera::source::Source;
use crate::camera::tests::{LONG, ended, eventually, fake_program, ffmpeg};
use crate::frame::MAX_SIDE;
use crate::model::preprocess::to_rgb8;
use crate::samples;

fn open(path: &Path) -> Result<FfmpegReader, CameraError> {
    FfmpegReader::file(path.to_owned(), &Ffmpeg::default(), &Stop::new()).map(Option::unwrap)
}

/// Reads to the end: how many pictures came, and how it ended.
fn read(mut reader: FfmpegReader) -> (u64, Result<(), CameraError>) {
    let stop = Stop::new();
    let mut count = 0;
    loop {
        match reader.next(&stop) {
            Ok(Some(_)) => count += 1,
            Ok(None) => return (count, Ok(())),
            Err(error) => return (count, Err(error)),
        }
    }
}

/// What opening or reading the file says went wrong.
fn failure(path: &Path) -> CameraError {
    match open(path) {
        Err(error) => error,
        Ok(reader) => read(reader).1.unwrap_err(),
    }
}

fn network(url: &str) -> Network {
    match Source::parse(url) {
        Ok(Source::Network(url)) => {
            crate::camera::network(&url, &CameraOptions::new(Source::Network(url.clone()))).unwrap()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn pictures_are_those_of_the_clip() {
    let Some(clip) = samples::path("video/bottle-detection.mp4") else { return };
    let Some(still) = samples::path("images/frame_bottle-detection_f360.jpg") else { return };
    let mut reader = open(&clip).unwrap();
    let stop = Stop::new();
    let mut shot = None;
    for _ in 0..=360 {
        shot = reader.next(&stop).unwrap();
    }
    let shot = shot.unwrap();
    // Its times are in 90,000ths of a second.
    assert!((shot.lasts.as_secs_f64() - 6.0 / 179.0).abs() < 1.0 / 45_000.0, "{:?}", shot.lasts);
    let (got, wanted) = (to_rgb8(&shot.image), crate::camera::images::read(&still).unwrap());
    assert_eq!((got.width(), got.height()), (wanted.width(), wanted.height()));
    let off: u64 = got.pixels().iter().zip(wanted.pixels()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    let mean = off as f64 / got.pixels().len() as f64;
    assert!(mean < 3.0, "the picture is off by {mean} on average");
}

/// A picture is copied once, from the pipe; nothing is allocated for it once a few buffers are there.
#[test]
fn pictures_are_read_into_buffers_that_are_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.mkv");
    ffmpeg(&["-f", "lavfi", "-i", "testsrc=s=64x48:r=10:d=10", "-c:v", "ffv1"], &file);
    let (mut reader, mut places, mut count) = (open(&file).unwrap(), std::collections::BTreeSet::new(), 0);
    while let Some(shot) = reader.next(&Stop::new()).unwrap() {
        places.insert(shot.image.pixels().as_ptr());
        count += 1;
    }
    // One being filled, one held until its successor is known, one that waits, one here.
    assert!(count == 100 && places.len() <= 4, "{} buffers for {count} pictures", places.len());
}

#[test]
fn colours_survive_in_every_format() {
    let dir = tempfile::tempdir().unwrap();
    let formats = [
        ("a.mp4", "libx264", "yuv420p", "64x48"),
        // HD is BT.709 where it does not say what it is.
        ("hd.mp4", "libx264", "rgb24,scale=out_color_matrix=bt709,format=yuv420p", "1280x720"),
        ("b.avi", "mjpeg", "yuvj422p", "64x48"),
        ("c.mkv", "ffv1", "yuv444p10le", "66x50"),
        ("d.mov", "png", "rgb24", "65x49"),
        ("e.gif", "gif", "rgb8", "64x48"),
        ("f.nut", "rawvideo", "bgr24", "31x17"),
    ];
    for (name, codec, format, size) in formats {
        let file = dir.path().join(name);
        let input = format!("color=c=0xE02040:s={size}:r=5:d=1,format={format}");
        ffmpeg(&["-f", "lavfi", "-i", &input, "-c:v", codec], &file);
        let mut reader = open(&file).unwrap();
        let image = to_rgb8(&reader.next(&Stop::new()).unwrap().unwrap().image);
        assert_eq!(format!("{}x{}", image.width(), image.height()), size, "{name}");
        let middle = (image.height() / 2 * image.width() + image.width() / 2) as usize * 3;
        let got = &image.pixels()[middle..middle + 3];
        // The palette of a GIF in this format has three bits of red and green, and two of blue.
        let near = if codec == "gif" { 40 } else { 4 };
        let close = got.iter().zip([0xE0, 0x20, 0x40]).all(|(a, b)| a.abs_diff(b) <= near);
        assert!(close, "{name}: {got:?}");
        assert_eq!(read(reader).0, 4, "{name}");
    }
}

#[test]
fn files_that_are_no_video_are_refused_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let noise: Vec<u8> = (0..100_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let audio = dir.path().join("sound.mp4");
    ffmpeg(&["-f", "lavfi", "-i", "sine=d=1", "-c:a", "aac"], &audio);
    let cases = [
        (file("text.mp4", b"this is no video\n"), "Invalid data"),
        (file("zero.mp4", b""), "Invalid data"),
        (file("noise.mp4", &noise), "Invalid data"),
        (audio, "no video"),
        (dir.path().join("absent.mp4"), "No such file"),
        (dir.path().to_owned(), "directory"),
    ];
    for (path, wanted) in cases {
        let error = failure(&path);
        let text = error.to_string();
        assert!(matches!(error, CameraError::Open { .. }), "{error:?}");
        assert!(text.starts_with(&path.display().to_string()) && text.contains(wanted), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

/// A playlist makes its reader open other files or the network, so none is read, whatever it is called.
#[test]
fn playlists_are_refused() {
    let Some(clip) = samples::path("video/azure_shelf.mp4") else { return };
    let dir = tempfile::tempdir().unwrap();
    let clip = clip.canonicalize().unwrap().display().to_string();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/secret.ts", listener.local_addr().unwrap());
    let hls = |target: &str| format!("#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{target}\n#EXT-X-ENDLIST\n");
    let dash = format!(
        "<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\"><Period><AdaptationSet \
         mimeType=\"video/mp4\"><Representation id=\"0\" bandwidth=\"1\"><BaseURL>{url}</BaseURL></Representation>\
         </AdaptationSet></Period></MPD>"
    );
    let sdp = "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n";
    let lists = [
        ("list.m3u8", hls(&format!("file:{clip}"))),
        ("list.mp4", hls(&clip)),
        ("net.m3u8", hls(&url)),
        ("concat.mp4", format!("ffconcat version 1.0\nfile '{clip}'\n")),
        ("concat.txt", format!("ffconcat version 1.0\nfile '{url}'\n")),
        ("camera.sdp", sdp.to_owned()),
        ("manifest.mpd", dash),
    ];
    for (name, content) in lists {
        let path = dir.path().join(name);
        fs::write(&path, content).unwrap();
        let error = failure(&path);
        assert!(matches!(error, CameraError::Open { .. }), "{name}: {error:?}");
        // Not every ffmpeg knows DASH at all.
        assert!(error.to_string().contains("playlist") || name == "manifest.mpd", "{name}: {error}");
    }
    assert!(listener.accept().is_err(), "something was fetched from the network");
}

#[test]
fn what_is_left_of_a_truncated_clip_is_used() {
    let Some(clip) = samples::path("video/azure_shelf.mp4") else { return };
    let dir = tempfile::tempdir().unwrap();
    let clip = clip.to_str().unwrap();
    for (name, options) in [("a.mkv", &[][..]), ("b.ts", &[]), ("c.mp4", &["-movflags", "+faststart"])] {
        let whole = dir.path().join(name);
        ffmpeg(&[&["-i", clip, "-c", "copy"], options].concat(), &whole);
        let content = fs::read(&whole).unwrap();
        fs::write(&whole, &content[..content.len() / 2]).unwrap();
        let (count, end) = read(open(&whole).unwrap());
        assert!((50..150).contains(&count), "{name}: {count} pictures");
        assert!(end.is_ok(), "{name}: {end:?}");
    }
    // The index of a plain MP4 is at its end.
    let cut = dir.path().join("d.mp4");
    fs::write(&cut, &fs::read(clip).unwrap()[..100_000]).unwrap();
    assert!(failure(&cut).to_string().contains("Invalid data"));
}

#[test]
fn a_picture_beyond_the_limits_is_refused_before_it_is_decoded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wide.avi");
    let input = format!("color=s={}x16", MAX_SIDE + 16);
    ffmpeg(&["-f", "lavfi", "-i", &input, "-frames:v", "1", "-c:v", "mjpeg"], &path);
    let error = failure(&path);
    assert!(matches!(error, CameraError::Size { .. }), "{error:?}");
    assert!(error.to_string().contains("16400x16"), "{error}");
}

/// A stream may change its size on the way; its pictures stay what was announced.
#[test]
fn a_change_of_size_is_scaled() {
    let dir = tempfile::tempdir().unwrap();
    let mut joined = Vec::new();
    for size in ["64x48", "128x96"] {
        let part = dir.path().join("part.ts");
        ffmpeg(&["-f", "lavfi", "-i", &format!("testsrc=s={size}:r=5:d=1"), "-c:v", "libx264"], &part);
        joined.extend(fs::read(&part).unwrap());
    }
    let path = dir.path().join("joined.ts");
    fs::write(&path, joined).unwrap();
    let mut reader = open(&path).unwrap();
    let mut sizes = Vec::new();
    while let Some(shot) = reader.next(&Stop::new()).unwrap() {
        sizes.push((shot.image.width(), shot.image.height()));
    }
    assert_eq!(sizes, [(64, 48); 10]);
}

#[test]
fn odd_names_are_only_names() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a b.mp4", "-i.mp4", "http:x.mp4", "%03d.mp4", "it's|pipe:0.mp4", "ä.mp4"] {
        let path = dir.path().join(name);
        let made = dir.path().join("made.mp4");
        ffmpeg(&["-f", "lavfi", "-i", "testsrc=s=64x48:r=5:d=1"], &made);
        fs::rename(&made, &path).unwrap();
        assert_eq!(read(open(&path).unwrap()).0, 5, "{name}");
    }
}

/// ffprobe that answers for a 4x2 stream.
const ANSWER_4X2: &str = r#"echo '{"streams":[{"width":4,"height":2,"avg_frame_rate":"10/1"}]}'"#;

fn tools(dir: &Path, ffprobe: &str, ffmpeg: &str) -> Ffmpeg {
    Ffmpeg {
        ffmpeg: fake_program(dir, "ffmpeg", ffmpeg),
        ffprobe: fake_program(dir, "ffprobe", ffprobe),
        probe_limit: LONG,
        silence_limit: LONG,
    }
}

#[test]
fn a_decoder_that_hangs_is_noticed_and_ended() {
    let dir = tempfile::tempdir().unwrap();
    let pid = dir.path().join("pid");
    let hang = format!("echo $$ > {0}.new; mv {0}.new {0}; sleep 1000", pid.display());
    let limit = Duration::from_millis(200);

    let tools = Ffmpeg { probe_limit: limit, ..tools(dir.path(), &hang, "exit 1") };
    let error = FfmpegReader::file("x.mp4".into(), &tools, &Stop::new()).unwrap_err();
    assert!(matches!(error, CameraError::Stalled { .. }), "{error:?}");
    assert_eq!(error.to_string(), "x.mp4 gave no picture for 0.2 s");

    // The child may have been ended before it came to say who it is.
    let _ = fs::remove_file(&pid);
    // Two pictures: the first is known to be over when the second is there.
    let picture = format!("head -c 24 /dev/zero; {hang}");
    let tools = self::tools(dir.path(), ANSWER_4X2, &picture);
    let mut reader = FfmpegReader::file("x.mp4".into(), &tools, &Stop::new()).unwrap().unwrap();
    assert!(reader.next(&Stop::new()).unwrap().is_some());
    reader.silence_limit = limit;
    let error = reader.next(&Stop::new()).unwrap_err();
    assert!(matches!(error, CameraError::Stalled { .. }), "{error:?}");
    eventually("the decoder runs", || pid.exists());
    drop(reader);
    assert!(ended(&fs::read_to_string(&pid).unwrap()));
}

#[test]
fn the_signal_ends_every_wait() {
    let dir = tempfile::tempdir().unwrap();
    let (file, hang) = (PathBuf::from("x.mp4"), "echo up >&2; sleep 1000");
    let stop = Stop::new();
    let later = stop.clone();
    let tools = tools(dir.path(), hang, hang);
    let opening = thread::spawn(move || FfmpegReader::file(file, &tools, &later).map(|r| r.is_none()));
    thread::sleep(GLANCE);
    stop.set();
    assert!(opening.join().unwrap().unwrap());

    let dir = tempfile::tempdir().unwrap();
    let tools = self::tools(dir.path(), ANSWER_4X2, hang);
    let mut reader = FfmpegReader::file("x.mp4".into(), &tools, &Stop::new()).unwrap().unwrap();
    let stop = Stop::new();
    let later = stop.clone();
    let signal = thread::spawn(move || {
        thread::sleep(GLANCE);
        later.set();
    });
    assert!(reader.next(&stop).unwrap().is_none());
    signal.join().unwrap();
}

#[test]
fn programs_that_misbehave_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let run = |ffprobe: &str, ffmpeg: &str| {
        let dir = tempfile::tempdir_in(dir.path()).unwrap();
        let tools = tools(dir.path(), ffprobe, ffmpeg);
        match FfmpegReader::file("x.mp4".into(), &tools, &Stop::new()) {
            Ok(reader) => read(reader.unwrap()),
            Err(error) => (0, Err(error)),
        }
    };
    let text = |outcome: (u64, Result<(), CameraError>)| outcome.1.unwrap_err().to_string();
    let says = text(run("echo nonsense", ""));
    assert!(says.contains("answer is not understood"), "{says}");
    let says = text(run("head -c 5000000 /dev/zero", ""));
    assert!(says.contains("not understood") || says.contains("ffprobe ended with"), "{says}");
    let says = text(run("echo '[x @ 0x1] no luck' >&2; exit 1", ""));
    assert_eq!(says, "x.mp4 can't be opened as video: no luck");
    let says = text(run("kill -SEGV $$", ""));
    assert!(says.contains("ffprobe ended with signal: 11"), "{says}");
    let says = text(run(ANSWER_4X2, "exit 0"));
    assert_eq!(says, "x.mp4 holds no picture");
    // Twelve bytes make a picture of 4x2.
    let (count, end) = run(ANSWER_4X2, "head -c 31 /dev/urandom");
    assert_eq!(count, 2);
    assert!(matches!(end, Err(CameraError::Broken { .. })), "{end:?}");
    let (count, end) = run(ANSWER_4X2, "head -c 36 /dev/urandom; kill -SEGV $$");
    assert_eq!(count, 3);
    assert!(end.unwrap_err().to_string().contains("ffmpeg ended with signal: 11"));
    let (count, end) = run(ANSWER_4X2, "head -c 24 /dev/urandom; exec >&-; exec sleep 1000");
    assert_eq!(count, 2);
    assert!(end.unwrap_err().to_string().contains("signal: 9"));
}

#[test]
fn absent_programs_say_what_to_install() {
    let tools = Ffmpeg { ffprobe: "no-such-ffprobe".into(), ..Ffmpeg::default() };
    let error = FfmpegReader::file("x.mp4".into(), &tools, &Stop::new()).unwrap_err();
    assert_eq!(error.to_string(), "no-such-ffprobe was not found; video needs it: `apt-get install ffmpeg`");
}

/// Answers every request that has credentials with a status and a body, and tells what was asked.
fn web_server(status: &'static str, body: Vec<u8>) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (asked, requests) = std::sync::mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let request: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
            let _ = asked.send(request.join("\n"));
            let known = request.iter().any(|line| line.starts_with("Authorization: "));
            let (status, body) = if known { (status, &body[..]) } else { ("401 Unauthorized", &b""[..]) };
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status}\r\nWWW-Authenticate: Basic realm=\"camera\"\r\nContent-Length: {length}\r\n\
                 Connection: close\r\n\r\n"
            );
            // A reader that has seen enough goes away.
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
        }
    });
    (address, requests)
}

#[test]
fn a_stream_over_http_is_read_with_its_credentials() {
    let Some(clip) = samples::path("video/azure_shelf.mp4") else { return };
    let dir = tempfile::tempdir().unwrap();
    let stream = dir.path().join("clip.ts");
    ffmpeg(&["-i", clip.to_str().unwrap(), "-c", "copy"], &stream);
    let (address, requests) = web_server("200 OK", fs::read(&stream).unwrap());
    let url = network(&format!("http://admin:hunter2@{address}/live?key=abc"));
    let reader = FfmpegReader::network(url, &Ffmpeg::default(), &Stop::new()).unwrap().unwrap();
    let (count, end) = read(reader);
    assert_eq!(count, 200, "{end:?}");
    let asked: Vec<String> = requests.try_iter().collect();
    assert!(asked.iter().all(|request| request.starts_with("GET /live?key=abc ")), "{asked:?}");
    assert!(asked.iter().any(|request| request.contains("\nAuthorization: Basic YWRtaW46aHVudGVyMg==")), "{asked:?}");
}

#[test]
fn no_error_of_a_network_camera_shows_its_credentials() {
    let (address, _requests) = web_server("404 Not Found", Vec::new());
    let (text, _requests2) = web_server("200 OK", b"no video at all".to_vec());
    let urls = [
        format!("http://admin:hunter2@{address}/live?token=sesame"),
        format!("http://admin:hunter2@{text}/live?token=sesame"),
        "http://admin:hunter2@127.0.0.1:1/live?token=sesame".to_owned(),
        "rtsp://admin:hunter2@127.0.0.1:1/live?token=sesame".to_owned(),
        "rtsp://admin:hunter2@no-such-host.invalid/live?token=sesame".to_owned(),
    ];
    let reasons = ["404", "Invalid data", "Connection refused", "Connection refused", "its host is not known"];
    for (url, reason) in urls.into_iter().zip(reasons) {
        let error = FfmpegReader::network(network(&url), &Ffmpeg::default(), &Stop::new()).unwrap_err();
        let shown = format!("{error} {error:?}");
        for secret in ["admin", "hunter2", "sesame"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(matches!(error, CameraError::Open { .. }), "{error:?}");
        assert!(error.to_string().contains("/live?…") && error.to_string().contains(reason), "{error}");
    }
}
