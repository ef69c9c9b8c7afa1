//! What strangers can't do: take the port, be too many, be slow, come by another name.

use super::*;
use crate::web::hub::{VIEWERS, VIEWERS_PER_CAMERA};

#[tokio::test]
async fn a_port_in_use_is_one_clear_error() {
    let page = Page::serve().await;
    let error = Web::bind(&WebConfig { listen: page.address, ..WebConfig::default() }).await.expect_err("it is taken");
    assert!(matches!(error, WebError::InUse { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&page.address.to_string()) && text.contains("another program uses this port"), "{text}");
    assert!(!text.contains('\n'), "{text}");
    page.stop().await;
}

#[tokio::test]
async fn an_address_of_another_machine_is_one_clear_error() {
    // TEST-NET-1 (RFC 5737): nobody's.
    let listen = SocketAddr::from(([192, 0, 2, 1], 8642));
    let error = Web::bind(&WebConfig { listen, ..WebConfig::default() }).await.expect_err("it is not ours");
    assert!(matches!(error, WebError::Listen { .. }), "{error:?}");
    assert!(error.to_string().contains("192.0.2.1:8642"), "{error}");
}

#[tokio::test]
async fn a_restarted_server_gets_its_port_back_at_once() {
    let first = Page::serve().await;
    let address = first.address;
    let mut events = get(address, "/api/events").await;
    events.event().await.expect("a state");
    first.stop().await;
    let second = Page::serve_on(address, hub()).await;
    assert_eq!(get(address, "/healthz").await.status, 200);
    second.stop().await;
}

#[tokio::test]
async fn too_many_viewers_of_a_camera_are_refused_until_one_goes() {
    let page = Page::serve().await;
    page.hub.scored(&scored("line-1", 1, &["bolt"]));
    let path = "/api/cameras/line-1/live.mjpeg";
    let mut viewers = Vec::new();
    for _ in 0..VIEWERS_PER_CAMERA {
        let mut viewer = get(page.address, path).await;
        assert_eq!(viewer.status, 200);
        viewer.part().await.expect("a picture");
        viewers.push(viewer);
    }
    let refused = get(page.address, path).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, "2"));
    assert!(refused.json().await["error"].as_str().is_some_and(|e| e.contains("too many people watch")));
    assert_eq!(get(page.address, "/api/live.mjpeg").await.status, 200, "there is room for others");

    viewers.pop();
    // The place comes back when the server has seen the end of the connection.
    while get(page.address, path).await.status != 200 {
        tokio::task::yield_now().await;
    }
    page.stop().await;
}

#[tokio::test]
async fn too_many_viewers_in_all_are_refused() {
    let page = Page::serve().await;
    let mut viewers = Vec::new();
    for _ in 0..VIEWERS {
        viewers.push(get(page.address, "/api/live.mjpeg").await);
    }
    assert!(viewers.iter().all(|viewer| viewer.status == 200));
    for path in ["/api/live.mjpeg", "/api/cameras/line-1/live.mjpeg"] {
        assert_eq!(get(page.address, path).await.status, 503, "{path}");
    }
    assert_eq!(get(page.address, "/api/state").await.status, 200, "the rest goes on");
    page.stop().await;
}

#[tokio::test]
async fn a_frame_is_encoded_once_for_all_and_only_when_someone_watches() {
    let page = Page::serve().await;
    page.hub.scored(&scored("line-1", 1, &["bolt"]));
    get(page.address, "/api/state").await.json().await;
    let camera = page.hub.camera("line-1").expect("it is shown");
    assert!(camera.encoded.lock().await.is_none(), "nobody asked for a picture");

    let mut first = get(page.address, "/api/cameras/line-1/live.mjpeg").await;
    let mut second = get(page.address, "/api/cameras/line-1/live.mjpeg").await;
    let mut wall = get(page.address, "/api/live.mjpeg").await;
    let part = first.part().await;
    assert!(part.is_some());
    let made = camera.encoded.lock().await.as_ref().map(|encoded| encoded.made);
    assert_eq!(second.part().await, part);
    assert_eq!(wall.part().await, part);
    assert_eq!(camera.encoded.lock().await.as_ref().map(|encoded| encoded.made), made, "it was made again");
    page.stop().await;
}

#[tokio::test]
async fn who_can_not_follow_gets_the_newest_frame() {
    const FRAMES: u64 = 24;
    let page = Page::serve().await;
    // Noise, which JPEG can't shrink: a few of these fill all buffers between here and there.
    let mut state = 1_u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(PixelFormat::Rgb8.bytes(1280, 960))
    .collect();
    let noise = Image::new(1280, 960, PixelFormat::Rgb8, noise.into()).expect("a picture");

    let mut slow = get(page.address, "/api/cameras/line-1/live.mjpeg").await;
    let mut quick = get(page.address, "/api/cameras/line-1/live.mjpeg").await;
    for seq in 1..=FRAMES {
        page.hub.scored(&scored_image("line-1", seq, &[], noise.clone()));
        quick.part().await.expect("a picture");
    }
    let last = format!("2026-01-01T00:00:{FRAMES}.000000Z");
    let mut got = 1;
    while slow.part().await.expect("a picture").headers["x-captured-at"] != last {
        got += 1;
    }
    assert!(got < FRAMES, "{got} of {FRAMES} came: there is a backlog");
    page.stop().await;
}

#[tokio::test]
async fn only_names_of_this_machine_are_answered() {
    let page = Page::serve().await;
    let port = page.address.port();
    for (host, status) in [
        (format!("localhost:{port}"), 200),
        (format!("127.0.0.1:{port}"), 200),
        (format!("[::1]:{port}"), 200),
        ("page.localhost".to_owned(), 200),
        (format!("evil.example:{port}"), 421),
        (format!("localhost.evil.example:{port}"), 421),
        (format!("127.0.0.1.evil.example:{port}"), 421),
        (String::new(), 421),
    ] {
        for path in ["/", "/api/state", "/api/cameras/line-1/live.mjpeg", "/nothing"] {
            let answer = ask(page.address, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
            let wanted = if path == "/nothing" && status == 200 { 404 } else { status };
            assert_eq!(answer.status, wanted, "{path} of {host:?}");
        }
    }
    page.stop().await;
}

#[tokio::test]
async fn other_sites_may_not_read_or_embed() {
    let page = Page::serve().await;
    let request = format!("GET /api/state HTTP/1.1\r\nHost: {}\r\nOrigin: https://evil.example\r\n\r\n", page.address);
    let answer = ask(page.address, &request).await;
    assert_eq!(answer.header("access-control-allow-origin"), "");
    assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin");
    assert!(answer.header("content-security-policy").contains("frame-ancestors 'none'"));
    page.stop().await;
}
