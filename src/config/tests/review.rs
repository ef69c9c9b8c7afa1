//! Mistakes in what is said of reviews.

use super::wrong;

#[test]
fn reviews_have_limits_and_reviewers_a_name_and_a_token() {
    let folder = tempfile::tempdir().expect("a folder");
    let token = folder.path().join("token");
    std::fs::write(&token, "t").expect("written");
    let person = |rest: &str| format!("[[review.people]]\nname = \"ann\"\n{rest}");
    let good = person(&format!("token_file = {token:?}\n"));
    for (text, wanted) in [
        ("[review]\nframes = 0".to_owned(), "2: `frames` is from 1 to 100000; to hold none set `enabled` to false"),
        ("[review]\nframes = 100001".to_owned(), "2: `frames` is from 1 to 100000"),
        ("[review]\nmib = 0".to_owned(), "2: `mib` is from 1 to 1048576"),
        ("[review]\npictures = \"orginal\"".to_owned(), "2: unknown value `orginal`: did you mean `original`?"),
        ("[review]\nnames = \"hashed\"".to_owned(), "2: unknown value `hashed`: did you mean `hash`?"),
        ("[review]\nlabels = [\" \"]".to_owned(), "2: there are at most 1000 `labels`, each of 1 to 128 characters"),
        ("[review]\nlabel = []".to_owned(), "2: unknown key `label`: did you mean `labels`?"),
        (person(""), "2: `ann` needs one of `token_file` and `token_credential`"),
        (person("token_file = \"/a\"\ntoken_credential = \"a\""), "2: `ann` needs one of"),
        (person("token_file = \"/no/token\""), "3: there is no file /no/token"),
        (format!("{good}{good}"), "5: there is another reviewer `ann`"),
    ] {
        // What is wrong besides comes after it.
        let message = wrong(&text).remove(0);
        assert!(message.starts_with(wanted), "{text:?}: {message}");
    }
}
