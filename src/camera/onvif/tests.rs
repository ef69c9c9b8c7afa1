use super::*;

fn profile(token: &str, encoding: &str, size: Option<[u32; 2]>) -> Profile {
    Profile {
        name: token.to_owned(),
        token: token.to_owned(),
        encoding: encoding.to_owned(),
        size,
        fps: None,
        source: Some(format!("rtsp://192.0.2.9/{token}")),
        suggested: false,
    }
}

fn suggested(mut profiles: Vec<Profile>) -> Option<String> {
    suggest(&mut profiles);
    let marked: Vec<_> = profiles.into_iter().filter(|profile| profile.suggested).collect();
    assert!(marked.len() <= 1);
    marked.into_iter().next().map(|profile| profile.token)
}

#[test]
fn the_smallest_stream_that_shows_enough_is_suggested() {
    let main = profile("main", "H264", Some([2560, 1440]));
    let sub = profile("sub", "H264", Some([704, 576]));
    let tiny = profile("tiny", "JPEG", Some([320, 240]));
    let some = |profiles: &[&Profile]| suggested(profiles.iter().map(|p| (*p).clone()).collect());
    assert_eq!(some(&[&main, &sub, &tiny]).as_deref(), Some("sub"));
    assert_eq!(some(&[&main, &tiny]).as_deref(), Some("main"));
    // Where none shows enough, the one that shows most.
    let less = profile("less", "H264", Some([352, 288]));
    assert_eq!(some(&[&tiny, &less]).as_deref(), Some("less"));
    // Of equals what is decoded in hardware everywhere.
    let coded = profile("hevc", "H265", sub.size);
    assert_eq!(some(&[&coded, &sub]).as_deref(), Some("sub"));
    // Without an address it is of no use, without a size it is better than nothing.
    let nowhere = Profile { source: None, ..sub.clone() };
    assert_eq!(some(&[&nowhere]), None);
    assert_eq!(some(&[&nowhere, &profile("unknown", "", None)]).as_deref(), Some("unknown"));
    assert_eq!(some(&[]), None);
}
