//! RTSP over TLS with the camera's certificate checked.
//!
//! The RTSP reader of ffmpeg 5 takes any certificate: it does not hand `tls_verify` on to its TLS layer, as its HTTP
//! reader does. So TLS ends here. The reader speaks plain RTSP to a port on loopback, and what it says goes on to the
//! camera under TLS. It is kept from speaking TLS itself, so that no redirection leads around the check.

use std::io;
use std::net::{Ipv4Addr, TcpListener as StdListener};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, Error as TlsError, RootCertStore, crypto};

use crate::camera::error::CameraError;
use crate::camera::source::NetworkUrl;

/// How long a camera may take to connect and to show its certificate.
const GREETING: Duration = Duration::from_secs(10);
/// How long what was said last may take to reach the camera.
const FAREWELL: Duration = Duration::from_millis(400);
/// Connections at a time: a reader has one, and its successor may come before it is gone.
const CONNECTIONS: usize = 4;
/// The wait after the system has refused a connection.
const RESPITE: Duration = Duration::from_millis(100);

/// A port on loopback that leads to one camera. Dropping it closes it.
#[derive(Debug)]
pub(super) struct Tunnel {
    port: u16,
    failure: Arc<Mutex<Option<Failure>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Why a camera was not reached.
#[derive(Debug, Clone)]
enum Failure {
    Untrusted(String),
    Unreachable(String),
}

impl Tunnel {
    /// Opens the way to the camera of this URL, whose certificate must be vouched for by the authorities of a file in
    /// PEM, or by the system's. Nothing is sent before a reader connects.
    pub fn open(url: &NetworkUrl, ca_file: Option<&Path>) -> Result<Self, CameraError> {
        let failed = |reason: String| CameraError::Open { from: url.to_string(), reason };
        let (host, port) = url.address().ok_or_else(|| failed("it has no host".to_owned()))?;
        let name = ServerName::try_from(host.clone()).map_err(|error| failed(error.to_string()))?;
        let failure: Arc<Mutex<Option<Failure>>> = Arc::default();
        let connector = TlsConnector::from(client(ca_file).map_err(failed)?);
        let far = Arc::new(Far { connector, name, host, port, failure: Arc::clone(&failure) });
        let (stop, stopped) = oneshot::channel();
        let started = start(far, stopped).map_err(|error| failed(error.to_string()))?;
        Ok(Self { port: started.0, failure, stop: Some(stop), thread: Some(started.1) })
    }

    /// Where the reader is to connect to, on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Why the camera could not be reached, if that is why a reader failed.
    pub fn failure(&self, from: &str) -> Option<CameraError> {
        let from = from.to_owned();
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        Some(match failure {
            Failure::Untrusted(reason) => CameraError::Untrusted { from, reason },
            Failure::Unreachable(reason) => CameraError::Open { from, reason },
        })
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("The thread of a camera's TLS failed.");
        }
    }
}

/// A TLS client that trusts the authorities of a file, or the system's.
fn client(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    let certificates = match ca_file {
        Some(path) => {
            let read = |error| format!("the certificates in {} can't be read: {error}", path.display());
            let found = CertificateDer::pem_file_iter(path).map_err(read)?;
            found.collect::<Result<Vec<_>, _>>().map_err(read)?
        }
        None => rustls_native_certs::load_native_certs().certs,
    };
    // A bundle may hold certificates that rustls can't use; one that it can is enough.
    if roots.add_parsable_certificates(certificates).0 == 0 {
        return Err(match ca_file {
            Some(path) => format!("{} holds no certificate in PEM", path.display()),
            None => "this system has no bundle of certificate authorities: set `ca_file`".to_owned(),
        });
    }
    // The provider is named, since the process may hold several, and then rustls would have to guess.
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

/// Listens on loopback, on a thread of its own; gives the port.
fn start(far: Arc<Far>, stopped: oneshot::Receiver<()>) -> io::Result<(u16, JoinHandle<()>)> {
    let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = {
        let _inside = runtime.enter();
        TcpListener::from_std(listener)?
    };
    let serve = move || runtime.block_on(serve(&listener, far, stopped));
    Ok((port, thread::Builder::new().name("rtsps".to_owned()).spawn(serve)?))
}

async fn serve(listener: &TcpListener, far: Arc<Far>, mut stopped: oneshot::Receiver<()>) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            Some(_) = open.join_next() => {}
            near = listener.accept() => match near {
                Ok((near, _)) if open.len() < CONNECTIONS => {
                    open.spawn(Arc::clone(&far).carry(near));
                }
                _ => sleep(RESPITE).await,
            }
        }
    }
    let rest = async { while open.join_next().await.is_some() {} };
    // A camera that does not hang up is left.
    let _ = timeout(FAREWELL, rest).await;
}

/// The camera's end.
struct Far {
    connector: TlsConnector,
    name: ServerName<'static>,
    host: String,
    port: u16,
    failure: Arc<Mutex<Option<Failure>>>,
}

impl Far {
    /// Carries one connection to the camera until one side ends it.
    async fn carry(self: Arc<Self>, mut near: TcpStream) {
        let failure = match timeout(GREETING, self.connect()).await {
            Ok(Ok(mut camera)) => {
                // Either side may break off at any time; the reader says so.
                let _ = tokio::io::copy_bidirectional(&mut near, &mut camera).await;
                return;
            }
            Ok(Err(error)) => failure(&error),
            Err(_) => Failure::Unreachable(format!("it does not answer within {} s", GREETING.as_secs())),
        };
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
    }

    async fn connect(&self) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        self.connector.connect(self.name.clone(), stream).await
    }
}

/// Whether it is the certificate that is wrong.
fn failure(error: &io::Error) -> Failure {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) {
        Some(TlsError::InvalidCertificate(reason)) => Failure::Untrusted(reason.to_string()),
        _ => Failure::Unreachable(error.to_string()),
    }
}
