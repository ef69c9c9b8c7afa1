use std::net::Ipv4Addr;

use super::*;

const FROM: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9));

const CLOCK: &str = "<e><d:UTCDateTime xmlns:d='d'><d:Time><d:Hour>23</d:Hour><d:Minute>59</d:Minute><d:Second>7</d:Second>\
     </d:Time><d:Date><d:Year>2026</d:Year><d:Month>2</d:Month><d:Day>28</d:Day></d:Date></d:UTCDateTime></e>";
const PROFILES: &str = "<e xmlns:t='t'><Profiles token='p&amp;1'><t:Name>Main</t:Name><t:VideoSourceConfiguration>\
     <t:Name>v</t:Name></t:VideoSourceConfiguration><t:VideoEncoderConfiguration><t:Encoding>H264</t:Encoding>\
     <t:Resolution><t:Width>1920</t:Width><t:Height>1080</t:Height></t:Resolution><t:RateControl>\
     <t:FrameRateLimit>25</t:FrameRateLimit></t:RateControl></t:VideoEncoderConfiguration></Profiles>\
     <Profiles token='audio'><t:Name>Audio</t:Name></Profiles><Profiles/></e>";
const STREAM: &str = "<e><MediaUri><Uri>rtsp://admin:hunter2@192.0.2.9:554/1?a=b&amp;c=d</Uri></MediaUri></e>";
const MEDIA: &str =
    "<e><Capabilities><Media><XAddr>http://10.0.0.1:8080/onvif/media</XAddr></Media></Capabilities></e>";

#[test]
fn profiles_are_read_with_what_is_known_of_each() {
    let found = profiles(PROFILES.as_bytes()).unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].name.as_str(), found[0].token.as_str(), found[0].encoding.as_str()), ("Main", "p&1", "H264"));
    assert_eq!((found[0].size, found[0].fps), (Some([1920, 1080]), Some(25.0)));
    assert_eq!((found[1].token.as_str(), found[1].size, found[1].fps), ("audio", None, None));
    assert_eq!(profiles(b"<e/>"), Err("it has no media profile".to_owned()));
}

#[test]
fn a_clock_is_read_and_nonsense_is_none() {
    assert_eq!(clock(CLOCK.as_bytes()).unwrap().to_rfc3339(), "2026-02-28T23:59:07+00:00");
    for (right, wrong) in [("28", "30"), ("2026", "-262143"), ("2026", "99999"), ("23", "24"), ("59", "x")] {
        assert_eq!(clock(CLOCK.replace(right, wrong).as_bytes()), None, "{wrong}");
    }
}

#[test]
fn a_stream_is_a_source_without_credentials() {
    assert_eq!(stream(STREAM.as_bytes()), Ok("rtsp://192.0.2.9:554/1?a=b&c=d".to_owned()));
    for uri in ["file:///etc/passwd", "javascript:1", "rtsp:", "x", "v4l:/dev/video0"] {
        assert!(stream(format!("<e><Uri>{uri}</Uri></e>").as_bytes()).is_err(), "{uri}");
    }
}

#[test]
fn only_who_answered_is_asked() {
    let url = |said: &str| own_address(said, FROM).map(|url| url.to_string());
    assert_eq!(
        media(MEDIA.as_bytes()).map(|said| url(&said)),
        Ok(Some("http://192.0.2.9:8080/onvif/media".to_owned()))
    );
    assert_eq!(url("http://user:secret@intranet.example/x?y"), Some("http://192.0.2.9/x?y".to_owned()));
    for said in ["ftp://192.0.2.9/", "file:///x", "http://", "", "http://[::1"] {
        assert_eq!(url(said), None, "{said}");
    }
}

/// Every byte of each answer changed, and every prefix of it: something, nothing or an error, and never a panic.
#[test]
fn mangled_answers_never_panic() {
    for good in [CLOCK, PROFILES, STREAM, MEDIA] {
        for at in 0..good.len() {
            let mut mangled: Vec<Vec<u8>> = vec![good.as_bytes()[..at].to_vec()];
            for byte in [0, b'<', b'>', b'&', b'9', b'-', 0xFF] {
                let mut bytes = good.as_bytes().to_vec();
                bytes[at] = byte;
                mangled.push(bytes);
            }
            for bytes in mangled {
                let _ = (clock(&bytes), profiles(&bytes), media(&bytes));
                let shown = stream(&bytes).unwrap_or_default();
                assert!(!shown.contains("hunter2@"), "{shown}");
            }
        }
    }
}
