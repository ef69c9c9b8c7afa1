//! How often what was answered, for Prometheus (its text format, version 0.0.4).

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Request, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use super::App;

/// What is counted since the start.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    /// By status: there are only so many that are ever given.
    answers: Arc<Mutex<BTreeMap<StatusCode, u64>>>,
    pictures: Arc<AtomicU64>,
}

impl Counts {
    fn answered(&self, status: StatusCode) {
        *self.answers.lock().unwrap_or_else(PoisonError::into_inner).entry(status).or_default() += 1;
    }

    pub(super) fn scored(&self, pictures: usize) {
        self.pictures.fetch_add(pictures as u64, Ordering::Relaxed);
    }

    fn text(&self, waiting: usize) -> String {
        let mut text = String::new();
        let mut family = |name: &str, kind: &str, help: &str, samples: &[(String, u64)]| {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (labels, value) in samples {
                let _ = writeln!(text, "{name}{labels} {value}");
            }
        };
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let answers: Vec<_> =
            answers.iter().map(|(status, count)| (format!("{{status=\"{}\"}}", status.as_u16()), *count)).collect();
        family("ocellus_serve_requests_total", "counter", "Requests that were answered, by status.", &answers);
        let pictures = [(String::new(), self.pictures.load(Ordering::Relaxed))];
        family("ocellus_serve_pictures_total", "counter", "Pictures that were scored for others.", &pictures);
        let waiting = [(String::new(), waiting as u64)];
        family("ocellus_serve_waiting", "gauge", "Pictures that wait for a model.", &waiting);
        text
    }
}

/// Counts what is answered.
pub(super) async fn count(State(app): State<App>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    app.counts.answered(response.status());
    response
}

/// `GET /metrics`
pub(super) async fn metrics(State(app): State<App>) -> ([(HeaderName, &'static str); 1], String) {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], app.counts.text(app.desk.waiting()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_status() {
        let counts = Counts::default();
        counts.scored(3);
        for status in [StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE, StatusCode::OK] {
            counts.answered(status);
        }
        let text = counts.text(2);
        for line in [
            "ocellus_serve_requests_total{status=\"200\"} 2",
            "ocellus_serve_requests_total{status=\"503\"} 1",
            "ocellus_serve_pictures_total 3",
            "ocellus_serve_waiting 2",
        ] {
            assert!(text.lines().any(|there| there == line), "{text}");
        }
    }
}
