//! TLS towards the broker: whom to trust, who we are, and why a connection failed.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rumqttc::tokio_rustls::rustls;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};

use super::error::MqttError;

/// Where Linux distributions keep the bundle of authorities: Debian, Red Hat, SUSE, Alpine.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Reads files in PEM and makes a TLS client of them: the authorities to trust, and our certificate with its key.
///
/// Without `ca` the system's authorities are trusted: the bundle that `SSL_CERT_FILE` names, else the distribution's.
pub(super) fn client(ca: Option<&Path>, identity: Option<(&Path, &Path)>) -> Result<Arc<ClientConfig>, MqttError> {
    let bundle = ca.map(Path::to_owned).map_or_else(system_bundle, Ok)?;
    // The provider is named, since the process may hold several, and then rustls would have to guess.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| MqttError::Tls(error.to_string()))?
        .with_root_certificates(authorities(&bundle)?);
    let client = match identity {
        Some((cert, key)) => builder
            .with_client_auth_cert(certificates(cert)?, private_key(key)?)
            .map_err(|error| MqttError::Tls(format!("{}: {error}", cert.display())))?,
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(client))
}

fn system_bundle() -> Result<PathBuf, MqttError> {
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    named
        .or_else(|| SYSTEM_BUNDLES.iter().map(PathBuf::from).find(|path| path.exists()))
        .ok_or_else(|| MqttError::Tls("this system has no bundle of certificate authorities; set `ca_file`".to_owned()))
}

fn authorities(bundle: &Path) -> Result<RootCertStore, MqttError> {
    let mut roots = RootCertStore::empty();
    // A system's bundle may hold certificates that rustls can't use; one that it can is enough.
    let (usable, _) = roots.add_parsable_certificates(certificates(bundle)?);
    if usable == 0 {
        return Err(no_pem(bundle, "certificate"));
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, MqttError> {
    let pem = read(path)?;
    let found: Vec<_> =
        CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|_| no_pem(path, "certificate"))?;
    if found.is_empty() {
        return Err(no_pem(path, "certificate"));
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, MqttError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|_| no_pem(path, "private key"))
}

fn read(path: &Path) -> Result<Vec<u8>, MqttError> {
    std::fs::read(path).map_err(|source| MqttError::File { path: path.to_owned(), source })
}

/// Why a connection by TLS failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distrust {
    /// The other side's certificate has expired, by this machine's clock.
    Expired,
    /// It is not valid yet, by this machine's clock.
    NotYetValid,
    /// It is for another name.
    OtherName,
    /// Nobody whom we trust vouches for it.
    UnknownAuthority,
    /// The other side does not accept our certificate, or misses one.
    OursRefused,
    /// What the other side says is not TLS.
    NotTls,
    /// Something else, which the reason says.
    Other,
}

/// What of TLS is the cause of an error; none where TLS is not.
pub(crate) fn distrust(error: &(dyn Error + 'static)) -> Option<Distrust> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return Some(of_tls(error));
        }
        // What an I/O error holds is not among its sources.
        let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match held {
            Some(held) => Some(held),
            None => error.source(),
        };
    }
    None
}

fn of_tls(error: &rustls::Error) -> Distrust {
    use CertificateError as Wrong;
    match error {
        rustls::Error::InvalidCertificate(wrong) => match wrong {
            Wrong::Expired | Wrong::ExpiredContext { .. } => Distrust::Expired,
            Wrong::NotValidYet | Wrong::NotValidYetContext { .. } => Distrust::NotYetValid,
            Wrong::NotValidForName | Wrong::NotValidForNameContext { .. } => Distrust::OtherName,
            // An authority of the same name with another key shows as a bad signature.
            Wrong::UnknownIssuer | Wrong::BadSignature => Distrust::UnknownAuthority,
            _ => Distrust::Other,
        },
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied,
        ) => Distrust::OursRefused,
        rustls::Error::InvalidMessage(_) => Distrust::NotTls,
        _ => Distrust::Other,
    }
}

fn no_pem(path: &Path, what: &'static str) -> MqttError {
    MqttError::Pem { path: path.to_owned(), what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_or_wrong_authority_is_named() {
        let missing = client(Some(Path::new("/no/such/ca.pem")), None).expect_err("no file").to_string();
        assert!(missing.contains("/no/such/ca.pem"), "{missing}");

        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ca.pem");
        for content in [
            &b""[..],
            b"hello",
            b"-----BEGIN CERTIFICATE-----\n",
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n",
            &[0xff; 64],
        ] {
            std::fs::write(&path, content).expect("written");
            let error = client(Some(&path), None).expect_err("no certificate").to_string();
            assert!(error.contains("ca.pem"), "{error}");
        }
    }
}
