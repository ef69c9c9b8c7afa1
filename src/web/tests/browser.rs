//! The page in a real browser: Debian's Chromium, driven by `tests/peers/page.mjs`.

use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use super::*;

/// Labels as a hostile model has them.
const HOSTILE: [&str; 3] = ["<img src=x onerror=alert(1)>", "\"><script>alert(1)</script>", "\u{202e}&lt;b&gt;"];

/// Scores frames on all cameras until it is aborted: a bright bar that moves, and more and more objects.
fn feed(hub: &Arc<Hub>) -> JoinHandle<()> {
    let hub = Arc::clone(hub);
    tokio::spawn(async move {
        for camera in CAMERAS {
            hub.camera_status(camera, status(CameraState::Ok, ""));
        }
        for seq in 1.. {
            let mut both = stats(CAMERAS[0], &HOSTILE.map(|label| (label, seq)));
            let of_camera = both.cameras.values().next().cloned().expect("of the first camera");
            both.cameras.insert(CAMERAS[1].to_owned(), of_camera);
            hub.stats(both);
            for camera in CAMERAS {
                hub.scored(&scored_image(camera, seq, &HOSTILE, bar(seq)));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
}

/// Shades of grey with a bright bar whose place tells the number of the frame.
fn bar(seq: u64) -> Image {
    let (width, height) = (320, 240);
    let at = u32::try_from(seq % 32).expect("below 32") * 10;
    let pixel = |i: u32| {
        let (x, y) = (i % width, i / width);
        if (at..at + 10).contains(&x) { [250, 240, 90] } else { [x / 2, y, 60] }
    };
    let pixels = (0..width * height).flat_map(pixel);
    let pixels: Vec<u8> = pixels.map(|v| u8::try_from(v).expect("a byte")).collect();
    Image::new(width, height, PixelFormat::Rgb8, pixels.into()).expect("a picture")
}

/// Opens the page; none where there is no browser to open it with, unless this is CI.
fn open(address: SocketAddr, more: &[&str]) -> Option<(Child, tempfile::TempDir)> {
    let cache = std::env::var_os("OCELLUS_CACHE").map_or_else(
        || Path::new(&std::env::var_os("HOME").unwrap_or_default()).join(".cache/ocellus"),
        std::path::PathBuf::from,
    );
    let driver = cache.join("peers/node_modules/playwright-core");
    if !driver.exists() || !Path::new("/usr/bin/chromium").exists() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI must have a browser: run scripts/setup test");
        eprintln!("skipped: there is no browser; scripts/setup test installs one");
        return None;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/page.mjs");
    let browser = Command::new("node")
        .arg(script)
        .arg(format!("http://{address}/"))
        .arg(folder.path().join("page.png"))
        .args(["--cameras", "2", "--seconds", "120"])
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("node starts");
    Some((browser, folder))
}

/// What the browser saw.
async fn seen(mut browser: Child) -> serde_json::Value {
    let mut text = String::new();
    let mut stdout = browser.stdout.take().expect("piped");
    stdout.read_to_string(&mut text).await.expect("text");
    let ended = browser.wait().await.expect("node ends");
    let seen: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {ended} {text}"));
    assert_eq!(seen["problems"], serde_json::json!([]), "{seen:#}");
    assert_eq!(seen["errors"], serde_json::json!([]), "{seen:#}");
    assert!(ended.success(), "{ended}");
    seen
}

#[tokio::test]
async fn the_page_shows_cameras_and_labels_are_only_text() {
    let page = Page::serve().await;
    let Some((browser, folder)) = open(page.address, &[]) else { return };
    let feeding = feed(&page.hub);
    let seen = seen(browser).await;
    feeding.abort();
    assert_eq!((&seen["node"], &seen["site"], &seen["device"]), (&"edge-01".into(), &"plant-7".into(), &"CPU".into()));
    assert_eq!(seen["title"], "edge-01 · Ocellus");
    for camera in seen["cameras"].as_array().expect("cameras") {
        assert_eq!((&camera["picture"]["width"], &camera["picture"]["height"]), (&320.into(), &240.into()));
        for label in HOSTILE {
            assert!(camera["labels"][label].is_string(), "{label:?} in {camera:#}");
        }
    }
    assert!(image::open(folder.path().join("page.png")).is_ok(), "a screenshot");
    page.stop().await;
}

#[tokio::test]
async fn the_page_says_when_the_daemon_is_gone_and_goes_on_when_it_is_back() {
    let page = Page::serve().await;
    let Some((mut browser, _folder)) = open(page.address, &["--loss"]) else { return };
    let (hub, address) = (Arc::clone(&page.hub), page.address);
    let feeding = feed(&hub);
    let mut says = BufReader::new(browser.stderr.take().expect("piped")).lines();
    assert_eq!(says.next_line().await.expect("text").as_deref(), Some("shown"));
    page.stop().await;
    assert_eq!(says.next_line().await.expect("text").as_deref(), Some("lost"));
    let again = Page::serve_on(address, hub).await;
    seen(browser).await;
    feeding.abort();
    again.stop().await;
}
