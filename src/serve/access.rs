//! Who may ask.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::error::Refused;
use super::{App, ServeError};
use crate::config::ServeConfig;
use crate::secret::SecretPlace;
use crate::web::names_this_machine;

/// Who may ask for scores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Access {
    /// The token's digest; none where everybody on this machine may ask.
    token: Option<Vec<u8>>,
    /// Whether nobody beyond this machine can reach the port.
    loopback: bool,
}

impl Access {
    pub(super) fn of(config: &ServeConfig) -> Result<Self, ServeError> {
        let ServeConfig { token_file: file, token_credential: credential, .. } = config;
        let loopback = config.listen.ip().is_loopback();
        let place = SecretPlace { file: file.clone(), env: None, credential: credential.clone() };
        if !place.is_named() {
            return if loopback { Ok(Self { token: None, loopback }) } else { Err(ServeError::Open(config.listen)) };
        }
        match place.read().map_err(|error| ServeError::Token(error.to_string()))? {
            token if token.is_empty() => Err(ServeError::Token("it is empty".to_owned())),
            // How long digests take to compare says nothing of the token.
            token => Ok(Self { token: Some(digest(&token)), loopback }),
        }
    }

    fn check(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let Some(token) = &self.token else { return Ok(()) };
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given =
            given.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let given = given.map(|(_, token)| token.trim()).unwrap_or_default();
        if digest(given) == *token {
            return Ok(());
        }
        Err(Refused::new(StatusCode::UNAUTHORIZED, "this needs the header `Authorization: Bearer` with the token"))
    }
}

fn digest(token: &str) -> Vec<u8> {
    Sha256::digest(token).to_vec()
}

/// Lets pass who has the token.
pub(super) async fn with_token(State(app): State<App>, request: Request, next: Next) -> Response {
    match app.access.check(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refused) => refused.into_response(),
    }
}

/// Turns away who was led here by a foreign page: one that points its own name at this machine, or one that makes a
/// browser send something here.
pub(super) async fn no_foreign_page(State(app): State<App>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    if app.access.loopback && !names_this_machine(headers) {
        let message = "this port is for this machine only: ask for localhost or an IP address, or set `listen` in the \
                       [serve] table to an address of the network";
        return Refused::new(StatusCode::MISDIRECTED_REQUEST, message).into_response();
    }
    let site = headers.get("sec-fetch-site").map(|site| site.as_bytes());
    if matches!(site, Some(b"cross-site" | b"same-site")) {
        return Refused::new(StatusCode::FORBIDDEN, "pages of other sites may not ask here").into_response();
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(listen: &str, token: Option<&std::path::Path>) -> ServeConfig {
        let listen = listen.parse().expect("an address");
        ServeConfig { listen, token_file: token.map(Into::into), ..ServeConfig::default() }
    }

    fn headers(authorization: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, authorization.parse().expect("a value"))])
    }

    #[test]
    fn beyond_this_machine_there_is_a_token_or_nothing() {
        assert!(matches!(Access::of(&config("0.0.0.0:8000", None)), Err(ServeError::Open(_))));
        let free = Access::of(&config("[::1]:8000", None)).expect("this machine");
        assert_eq!(free.check(&HeaderMap::new()), Ok(()));
        let file = tempfile::NamedTempFile::new().expect("a file");
        assert!(matches!(Access::of(&config("127.0.0.1:1", Some(file.path()))), Err(ServeError::Token(_))));
        std::fs::write(file.path(), "swordfish\n").expect("written");
        let guarded = Access::of(&config("0.0.0.0:8000", Some(file.path()))).expect("a token");
        for right in ["Bearer swordfish", "bearer  swordfish"] {
            assert_eq!(guarded.check(&headers(right)), Ok(()), "{right}");
        }
        for wrong in ["Bearer swordfis", "Bearer swordfish2", "swordfish", "Basic swordfish", "Bearer", ""] {
            let refused = guarded.check(&headers(wrong)).expect_err(wrong);
            assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
            assert!(!refused.message.contains("swordfish"));
        }
        assert!(guarded.check(&HeaderMap::new()).is_err());
        assert!(!format!("{guarded:?}").contains("swordfish"));
    }
}
