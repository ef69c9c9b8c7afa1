//! A file out of `multipart/form-data` (RFC 7578), as browsers and `curl --form` send it.

use bytes::Bytes;

use super::error::Refused;

/// The longest boundary (RFC 2046, 5.1.1).
const MAX_BOUNDARY: usize = 70;
/// The most parts that are looked at.
const MAX_PARTS: usize = 32;

/// The first part that is a file, or of a body in another form the body itself.
pub(super) fn file(content_type: &str, body: Bytes) -> Result<Bytes, Refused> {
    let (kind, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return Ok(body);
    }
    let boundary = parameters.split(';').filter_map(|parameter| parameter.trim().split_once('='));
    let mut boundary =
        boundary.filter(|(name, _)| name.eq_ignore_ascii_case("boundary")).map(|(_, value)| value.trim_matches('"'));
    let boundary = boundary.find(|boundary| (1..=MAX_BOUNDARY).contains(&boundary.len()));
    let boundary =
        boundary.ok_or_else(|| Refused::bad("the multipart body has no usable `boundary` in its Content-Type"))?;
    parts(&body, boundary).take(MAX_PARTS).find_map(|(start, end)| picture(&body, start, end)).ok_or_else(|| {
        Refused::bad(
            "the multipart body has no whole file: send one part with a file name, as `curl --form image=@FILE` does",
        )
    })
}

/// Where parts begin, behind their boundary's line, and end. One whose end is missing is none.
fn parts<'a>(body: &'a [u8], boundary: &str) -> impl Iterator<Item = (usize, usize)> + 'a {
    let line = format!("--{boundary}").into_bytes();
    let mut at = find(body, 0, &line).map(|at| at + line.len());
    std::iter::from_fn(move || {
        let start = at?;
        if body.get(start..)?.starts_with(b"--") {
            return None;
        }
        let fence = [b"\r\n".as_slice(), &line].concat();
        let end = find(body, start, &fence)?;
        at = Some(end + fence.len());
        Some((start, end))
    })
}

/// The content of a part, if it is a file.
fn picture(body: &Bytes, start: usize, end: usize) -> Option<Bytes> {
    const BLANK: &[u8] = b"\r\n\r\n";
    let blank = find(body.get(..end)?, start, BLANK)?;
    let head = String::from_utf8_lossy(body.get(start..blank)?).to_ascii_lowercase();
    let is_file = head.contains("filename") || head.contains("content-type: image/");
    (is_file && blank + BLANK.len() <= end).then(|| body.slice(blank + BLANK.len()..end))
}

/// Where some bytes are found, from a place on.
fn find(bytes: &[u8], from: usize, wanted: &[u8]) -> Option<usize> {
    let first = *wanted.first()?;
    let mut at = from;
    loop {
        at += bytes.get(at..)?.iter().position(|byte| *byte == first)?;
        if bytes.get(at..)?.starts_with(wanted) {
            return Some(at);
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(content_type: &str, body: &str) -> Result<String, String> {
        let file = file(content_type, Bytes::copy_from_slice(body.as_bytes())).map_err(|refused| refused.message)?;
        Ok(String::from_utf8_lossy(&file).into_owned())
    }

    #[test]
    fn the_first_file_is_taken() {
        let body = "preamble\r\n--x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nparts\r\n\
                    --x\r\nContent-Disposition: form-data; name=\"image\"; filename=\"a.jpg\"\r\n\r\na\r\n--y\r\nb\r\n--x--\r\n";
        assert_eq!(taken("multipart/form-data; boundary=x", body), Ok("a\r\n--y\r\nb".to_owned()));
        assert_eq!(taken("Multipart/Form-Data;charset=utf-8; Boundary=\"x\"", body), Ok("a\r\n--y\r\nb".to_owned()));
        let typed = "--x\r\nContent-Type: image/png\r\n\r\n\r\n--x--";
        assert_eq!(taken("multipart/form-data; boundary=x", typed), Ok(String::new()));
        assert_eq!(taken("image/jpeg", body), Ok(body.to_owned()));
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        for (content_type, body) in [
            ("multipart/form-data", "--x\r\n\r\n\r\n--x--"),
            ("multipart/form-data; boundary=", "--x\r\n\r\n\r\n--x--"),
            ("multipart/form-data; boundary=x", ""),
            ("multipart/form-data; boundary=x", "--x"),
            ("multipart/form-data; boundary=x", "--x--"),
            ("multipart/form-data; boundary=x", "--x\r\nfilename=a\r\n\r\nno end"),
            ("multipart/form-data; boundary=x", "--x\r\nfilename=a\r\n--x--"),
            ("multipart/form-data; boundary=x", "--x\r\nname=a\r\n\r\nno file\r\n--x--"),
        ] {
            assert!(taken(content_type, body).is_err(), "{content_type} {body:?}");
        }
        let many = "--x\r\nname=a\r\n\r\n\r\n".repeat(100_000);
        assert!(taken("multipart/form-data; boundary=x", &many).is_err());
    }
}
