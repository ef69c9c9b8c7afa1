//! What review pages ask and say.

use serde_json::{Value, json};

use super::*;
use crate::config::{Name, ReviewConfig, ReviewerConfig};
use crate::evidence::review_tests::{hold, id, reviews};
use crate::evidence::{MAX_VERDICT, Reviews};

/// A page where frames 1 and 2 wait for verdicts.
async fn serve(listen: SocketAddr, people: Vec<ReviewerConfig>) -> (Page, Reviews) {
    let settings = ReviewConfig { people, ..ReviewConfig::default() };
    let reviews = reviews(&settings, None);
    for n in [1, 2] {
        hold(&reviews, n);
    }
    let hub = hub();
    let reviewers = Reviewers::of(&settings).expect("tokens");
    hub.review(ReviewDesk { reviews: reviews.clone(), reviewers });
    (Page::serve_on(listen, hub).await, reviews)
}

pub(super) async fn on_this_machine() -> (Page, Reviews) {
    serve(([127, 0, 0, 1], 0).into(), Vec::new()).await
}

fn verdicts(n: u64) -> String {
    format!("/api/review/frames/{}/verdicts", id(n))
}

async fn post(address: SocketAddr, path: &str, header: &str, body: &str) -> (u16, Value) {
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\n{header}");
    let answer = ask(address, &format!("{head}\r\n{body}")).await;
    (answer.status, answer.json().await)
}

const JSON: &str = "Content-Type: application/json\r\n";

async fn say(page: &Page, n: u64, body: &Value) -> (u16, Value) {
    post(page.address, &verdicts(n), JSON, &body.to_string()).await
}

#[tokio::test]
async fn a_page_can_list_show_judge_and_correct() {
    let (page, _) = on_this_machine().await;
    let list = get(page.address, "/api/review/frames").await.json().await;
    assert_eq!((&list["awaiting"], &list["held"], &list["next"]), (&2.into(), &2.into(), &Value::Null));
    let frame = &list["frames"][0];
    assert_eq!((&frame["id"], &frame["camera"]), (&id(2).into(), &"line3".into()));
    assert_eq!((&frame["reason"]["kind"], &frame["leaves"]), (&"band".into(), &"frame".into()));
    assert_eq!((&frame["objects"][0]["label"], &frame["verdict"]), (&"bolt".into(), &Value::Null));
    let picture = get(page.address, frame["picture"]["path"].as_str().expect("a path")).await;
    assert_eq!((picture.status, picture.header("content-type")), (200, "image/jpeg"));
    assert_eq!(decoded(&picture.body().await).dimensions(), (64, 48));
    let few = get(page.address, "/api/review/frames?state=all&limit=1&camera=line3").await.json().await;
    assert_eq!((few["frames"].as_array().map(Vec::len), &few["next"]), (Some(1), &id(2).into()));
    let rest = get(page.address, &format!("/api/review/frames?state=all&before={}", id(2))).await.json().await;
    assert_eq!(rest["frames"][0]["id"], id(1));
    let none = get(page.address, "/api/review/frames?camera=other").await.json().await;
    assert_eq!(none["frames"], json!([]));

    let (status, answer) = say(&page, 1, &json!({"verdict": "right", "id": "v1", "by": "Ann"})).await;
    assert_eq!((status, &answer["repeated"], &answer["verdict"]["revision"]), (201, &false.into(), &1.into()));
    assert_eq!((&answer["verdict"]["via"], &answer["verdict"]["by"]), (&"http".into(), &"Ann".into()));
    let (status, again) = say(&page, 1, &json!({"verdict": "right", "id": "v1", "by": "Ann"})).await;
    assert_eq!((status, &again["repeated"], &again["verdict"]), (200, &true.into(), &answer["verdict"]));
    let nut = json!({"label": "nut", "box": [0.5, 0.5, 0.25, 0.25]});
    let corrected = json!({"verdict": "corrected", "objects": [nut], "replaces": "v1"});
    assert_eq!(say(&page, 1, &corrected).await.0, 201);
    let detail = get(page.address, &format!("/api/review/frames/{}", id(1))).await.json().await;
    assert_eq!((&detail["verdict"], &detail["labels"]), (&"corrected".into(), &json!(["bolt", "nut"])));
    let said: Vec<_> = detail["verdicts"].as_array().expect("a list").iter().map(|said| &said["verdict"]).collect();
    assert_eq!(said, ["right", "corrected"]);
    assert_eq!(detail["verdicts"][1]["objects"], json!([nut]));
    let judged = get(page.address, "/api/review/frames?state=judged").await.json().await;
    assert_eq!((&judged["awaiting"], judged["frames"].as_array().map(Vec::len)), (&1.into(), Some(1)));
    page.stop().await;
}

#[tokio::test]
async fn what_can_not_be_taken_is_told_and_changes_nothing() {
    let (page, reviews) = on_this_machine().await;
    assert_eq!(say(&page, 1, &json!({"verdict": "right", "id": "v1"})).await.0, 201);
    let marked = |label: &str, rect: Value| json!({"verdict": "corrected", "objects": [{"label": label, "box": rect}]});
    for (n, body, status, wanted) in [
        (9, json!({"verdict": "right"}), 404, "there is no frame"),
        (1, json!({"verdict": "fine"}), 400, "expected one of `right`, `wrong`, `corrected`"),
        (1, json!({"verdict": "corrected"}), 422, "needs `objects`"),
        (1, marked("bolt", json!([0.9, 0, 0.2, 1])), 422, "lies outside the picture"),
        (1, marked("bolts", json!([0, 0, 1, 1])), 422, "did you mean `bolt`?"),
        (1, json!({"verdict": "right", "by": "a\nb\u{7}"}), 422, "`by` is who says it"),
        (1, json!({"verdict": "right", "frame": id(2)}), 422, "another frame"),
        (1, json!({"verdict": "wrong", "id": "v1"}), 409, "the id of another"),
        (2, json!({"verdict": "right", "id": "v1"}), 409, "the id of another"),
        (1, json!({"verdict": "wrong", "replaces": null}), 409, "it is v1"),
    ] {
        let (answered, answer) = say(&page, n, &body).await;
        assert_eq!(answered, status, "{body}: {answer}");
        assert!(answer["error"].as_str().is_some_and(|error| error.contains(wanted)), "{body}: {answer}");
    }
    let large = format!("{{\"verdict\":\"right\",\"by\":\"{}\"}}", "x".repeat(MAX_VERDICT));
    let (status, answer) = post(page.address, &verdicts(1), JSON, &large).await;
    assert_eq!((status, answer["error"].as_str().map(|e| e.contains("at most 65536 bytes"))), (413, Some(true)));
    // What a form or a page from elsewhere can send without asking.
    for header in ["", "Content-Type: text/plain\r\n", "Content-Type: application/x-www-form-urlencoded\r\n"] {
        let (status, answer) = post(page.address, &verdicts(1), header, "{\"verdict\":\"wrong\"}").await;
        assert_eq!(status, 415, "{answer}");
    }
    for (path, status) in [
        ("/api/review/frames?state=odd", 400),
        ("/api/review/frames?limit=-1", 400),
        ("/api/review/frames?colour=1", 400),
        ("/api/review/frames/x", 404),
        ("/api/review/frames/x/picture", 404),
        (&*verdicts(1), 405),
    ] {
        let answer = get(page.address, path).await;
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.json().await["error"].is_string(), "{path}");
    }
    let head = format!("POST {} HTTP/1.1\r\nHost: evil.example\r\n{JSON}", verdicts(1));
    let elsewhere = ask(page.address, &format!("{head}Content-Length: 2\r\n\r\n{{}}")).await;
    assert_eq!(elsewhere.status, 421, "another name for this machine");
    assert_eq!(reviews.detail(&id(1)).expect("held").verdicts.len(), 1);
    page.stop().await;
}

fn people(folder: &std::path::Path) -> Vec<ReviewerConfig> {
    ["ann", "bob"]
        .map(|name| {
            let file = folder.join(name);
            std::fs::write(&file, format!("token of {name}\n")).expect("written");
            ReviewerConfig { name: Name::near(name), token_file: Some(file), token_credential: None }
        })
        .into()
}

#[tokio::test]
async fn beyond_this_machine_only_reviewers_are_answered_and_speak_for_themselves() {
    let everywhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let (page, _) = serve(everywhere, Vec::new()).await;
    let address = SocketAddr::from(([127, 0, 0, 1], page.address.port()));
    for path in ["/api/review/frames".to_owned(), format!("/api/review/frames/{}/picture", id(1))] {
        let refused = get(address, &path).await;
        assert_eq!(refused.status, 403, "{path}");
        assert!(refused.json().await["error"].as_str().is_some_and(|error| error.contains("[[review.people]]")));
    }
    assert_eq!(post(address, &verdicts(1), JSON, "{\"verdict\":\"right\"}").await.0, 403);
    page.stop().await;

    let folder = tempfile::tempdir().expect("a folder");
    // Also on this machine, once there are reviewers.
    for listen in [everywhere, SocketAddr::from(([127, 0, 0, 1], 0))] {
        let (page, _) = serve(listen, people(folder.path())).await;
        let address = SocketAddr::from(([127, 0, 0, 1], page.address.port()));
        let body = "{\"verdict\":\"right\"}";
        for header in ["", "Authorization: Bearer \r\n", "Authorization: Bearer token\r\n", "Authorization: ann\r\n"] {
            let (status, answer) = post(address, &verdicts(1), &format!("{JSON}{header}"), body).await;
            assert_eq!(status, 401, "{header}: {answer}");
        }
        let refused = get(address, "/api/review/frames").await;
        assert_eq!((refused.status, refused.header("www-authenticate")), (401, "Bearer"));
        let ann = format!("{JSON}Authorization: Bearer token of ann\r\n");
        let (status, answer) = post(address, &verdicts(1), &ann, body).await;
        assert_eq!((status, &answer["verdict"]["by"]), (201, &"ann".into()));
        let (status, answer) = post(address, &verdicts(1), &ann, "{\"verdict\":\"right\",\"by\":\"bob\"}").await;
        assert_eq!(status, 403);
        assert!(answer["error"].as_str().is_some_and(|error| error.contains("can't speak for others")), "{answer}");
        page.stop().await;
    }
}

#[tokio::test]
async fn tokens_that_can_not_be_are_one_clear_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let error = |people: Vec<ReviewerConfig>| {
        Reviewers::of(&ReviewConfig { people, ..ReviewConfig::default() }).expect_err("no token").to_string()
    };
    let all = people(folder.path());
    std::fs::write(folder.path().join("bob"), "token of ann").expect("written");
    assert!(error(all.clone()).contains("of the reviewer `bob` can't be used: `ann` has the same"));
    std::fs::write(folder.path().join("bob"), "\n").expect("written");
    assert!(error(all.clone()).contains("it is empty"));
    std::fs::remove_file(folder.path().join("bob")).expect("removed");
    assert!(error(all).contains("can't read"));
}

#[tokio::test]
async fn where_nothing_is_reviewed_that_is_said() {
    let page = Page::serve().await;
    let answer = get(page.address, "/api/review/frames").await;
    assert_eq!(answer.status, 404);
    assert!(answer.json().await["error"].as_str().is_some_and(|error| error.contains("[evidence]")));
    page.stop().await;
}

#[tokio::test]
async fn verdicts_are_in_the_metrics_by_camera_and_model() {
    let (page, reviews) = on_this_machine().await;
    for (n, verdict) in [(1, "wrong"), (2, "right"), (2, "wrong")] {
        assert_eq!(say(&page, n, &json!({"verdict": verdict})).await.0, 201);
    }
    let mut stats = stats("line-1", &[]);
    stats.cameras.get_mut("line-1").expect("there").verdicts = reviews.tallies("line3");
    page.hub.stats(stats);
    let text = get(page.address, "/metrics").await.text().await;
    let of = |verdict: &str, frames: u64| {
        let labels = "camera=\"line-1\",model=\"m\",version=\"1\",digest=\"sha256:0\"";
        format!("ocellus_verdicts{{{labels},verdict=\"{verdict}\"}} {frames}\n")
    };
    for (verdict, frames) in [("right", 0), ("wrong", 2), ("corrected", 0)] {
        assert!(text.contains(&of(verdict, frames)), "{text}");
    }
    assert!(text.contains("ocellus_verdicts_waiting 3\n"), "{text}");
    page.stop().await;
}
