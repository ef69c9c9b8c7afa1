//! Tokens of those who ask, which are compared by their digests: how long that takes says nothing of a token.

use axum::http::{HeaderMap, header};
use sha2::{Digest, Sha256};

/// Of a token.
pub(super) fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// Of the token that a request brings, or of none.
pub(super) fn brought(headers: &HeaderMap) -> [u8; 32] {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    digest(given.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default())
}
