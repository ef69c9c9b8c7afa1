use super::*;

const ID: &str = "urn:uuid:0a0b";
const FROM: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9));

fn answer(types: &str, relates: &str) -> String {
    format!(
        "<?xml version='1.0'?><s:Envelope xmlns:s='http://www.w3.org/2003/05/soap-envelope' xmlns:a='a' xmlns:d='d'>\
         <s:Header><a:RelatesTo>{relates}</a:RelatesTo></s:Header><s:Body><d:ProbeMatches><d:ProbeMatch>\
         <a:EndpointReference><a:Address>urn:uuid:camera</a:Address></a:EndpointReference><d:Types>{types}</d:Types>\
         <d:Scopes>onvif://www.onvif.org/type/video_encoder onvif://www.onvif.org/name/Gate%203 \
         onvif://www.onvif.org/hardware/X%1b[2J</d:Scopes>\
         <d:XAddrs>http://192.0.2.9/onvif/device_service http://[fe80::1]/onvif</d:XAddrs>\
         </d:ProbeMatch></d:ProbeMatches></s:Body></s:Envelope>"
    )
}

#[test]
fn a_camera_is_told_from_a_printer_and_our_answer_from_another() {
    let of = |types, relates| read(answer(types, relates).as_bytes(), FROM, ID).map(|found| found.len());
    assert_eq!(of("dn:NetworkVideoTransmitter tds:Device", ID), Ok(1));
    assert_eq!(of("p:PrintDeviceType", ID), Ok(0));
    assert_eq!(of("dn:NetworkVideoTransmitterX", ID), Ok(0));
    assert!(of("dn:NetworkVideoTransmitter", "urn:uuid:other").is_err());
}

#[test]
fn what_a_camera_says_of_itself_is_readable() {
    let found = read(answer("dn:NetworkVideoTransmitter", ID).as_bytes(), FROM, ID).unwrap().remove(0);
    assert_eq!((found.name.as_str(), found.hardware.as_str()), ("Gate 3", "X [2J"));
    assert_eq!(found.services, ["http://192.0.2.9/onvif/device_service", "http://[fe80::1]/onvif"]);
    assert_eq!((found.from, found.id.as_str()), (FROM, "urn:uuid:camera"));
}

#[test]
fn the_call_is_xml_and_has_the_id_that_answers_relate_to() {
    let id = uuid();
    assert_eq!(id.len(), "urn:uuid:".len() + 36);
    let text = call(&id);
    let document = xml::parse(text.as_bytes()).unwrap();
    assert_eq!(xml::text(document.root(), "MessageID"), Some(id));
}

#[test]
fn own_addresses_come_from_the_table_of_routes() {
    let routes = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     +-- 127.0.0.0/8 2 0 2\n\
                  \x20       |-- 127.0.0.0\n           /8 host LOCAL\n        |-- 127.0.0.1\n           /32 host LOCAL\n\
                  \x20    |-- 192.0.2.2\n           /32 host LOCAL\nLocal:\n     |-- 192.0.2.2\n        /32 host LOCAL\n\
                  \x20    |-- 192.0.2.255\n        /32 link BROADCAST\n";
    assert_eq!(own_addresses(routes), [Ipv4Addr::LOCALHOST, Ipv4Addr::new(192, 0, 2, 2)]);
    assert!(own_addresses("nonsense").is_empty());
}

#[test]
fn entities_depth_and_length_are_refused() {
    let bomb = "<!DOCTYPE a [<!ENTITY b 'cccccccc'><!ENTITY d '&b;&b;&b;&b;'>]><a>&d;</a>";
    assert!(xml::parse(bomb.as_bytes()).is_err());
    let deep = ["<a>".repeat(200_000), "</a>".repeat(200_000)].concat();
    assert!(xml::parse(deep.as_bytes()).is_err());
    assert!(xml::parse(&vec![b' '; xml::LONGEST + 1]).is_err());
    assert!(xml::parse(b"\xff\xfe<\0a\0>").is_err());
    let nested = ["<a>".repeat(900), "</a>".repeat(900)].concat();
    let _ = xml::parse(nested.as_bytes());
}

/// Every byte of an answer changed, and every prefix of it: somebody, nobody or an error, and never a panic.
#[test]
fn mangled_answers_never_panic() {
    let good = answer("dn:NetworkVideoTransmitter", ID).into_bytes();
    for at in 0..good.len() {
        let _ = read(&good[..at], FROM, ID);
        for byte in [0, b'<', b'>', b'&', b'"', b' ', 0xFF] {
            let mut packet = good.clone();
            packet[at] = byte;
            for found in read(&packet, FROM, ID).into_iter().flatten() {
                assert!(found.services.len() <= 8 && !found.name.contains(char::is_control), "{found:?}");
            }
        }
    }
}
