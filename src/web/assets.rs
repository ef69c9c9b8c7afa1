//! The page's sources, in the binary: nodes have no internet, and nothing to lose beside the executable.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};

type Asset = ([(HeaderName, &'static str); 2], &'static str);

/// Asked for again each time, so that a new version of the daemon never meets an old script.
const fn asset(kind: &'static str, text: &'static str) -> Asset {
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-cache")], text)
}

pub(super) async fn index() -> Asset {
    asset("text/html; charset=utf-8", include_str!("../../web/index.html"))
}

pub(super) async fn style() -> Asset {
    asset("text/css; charset=utf-8", include_str!("../../web/style.css"))
}

pub(super) async fn script() -> Asset {
    javascript(include_str!("../../web/app.js"))
}

pub(super) async fn camera_script() -> Asset {
    javascript(include_str!("../../web/camera.js"))
}

pub(super) async fn format_script() -> Asset {
    javascript(include_str!("../../web/format.js"))
}

pub(super) async fn live_script() -> Asset {
    javascript(include_str!("../../web/live.js"))
}

const fn javascript(text: &'static str) -> Asset {
    asset("text/javascript; charset=utf-8", text)
}

pub(super) async fn icon() -> Asset {
    asset("image/svg+xml", include_str!("../../web/favicon.svg"))
}
