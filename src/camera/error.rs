//! What can go wrong between a camera and its frames.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::sim::ConveyorError;
use crate::frame::ImageError;
use crate::secret::SecretError;

/// Why a source gives no pictures. The text holds no credentials.
#[derive(Debug, thiserror::Error)]
pub enum CameraError {
    /// A program that reads video is absent.
    #[error("{program} was not found; video needs it: `apt-get install ffmpeg`")]
    ProgramMissing {
        /// The program that was looked for.
        program: String,
    },
    /// A program that reads video could not be started.
    #[error("{program} could not be started: {error}")]
    ProgramFailed {
        /// The program.
        program: String,
        /// What the system said.
        error: io::Error,
    },
    /// The source could not be opened or understood.
    #[error("{from} can't be opened as video: {reason}")]
    Open {
        /// The source, without credentials.
        from: String,
        /// What the decoder said.
        reason: String,
    },
    /// The camera does not know us.
    #[error("{from} {}", refusal(*.known))]
    Refused {
        /// The source, without credentials.
        from: String,
        /// Whether we gave it a name.
        known: bool,
    },
    /// The camera does not prove who it is.
    #[error(
        "{from} shows a certificate that is not trusted ({reason}): set `ca_file` to the certificate of its authority, \
         or `tls_verify = false` to take any"
    )]
    Untrusted {
        /// The source, without credentials.
        from: String,
        /// What is wrong with the certificate.
        reason: String,
    },
    /// The password for the camera can't be had.
    #[error("{from}: {error}")]
    Secret {
        /// The source, without credentials.
        from: String,
        /// Why.
        error: SecretError,
    },
    /// The stream broke off.
    #[error("{from} broke off: {reason}")]
    Broken {
        /// The source, without credentials.
        from: String,
        /// What the decoder said.
        reason: String,
    },
    /// A local camera is not plugged in.
    #[error("{} is not there: is the camera plugged in? `ocellus cameras` lists those that are", path.display())]
    Absent {
        /// Its device.
        path: PathBuf,
    },
    /// What machine-vision cameras need is absent.
    #[error("machine-vision cameras need Aravis: `apt-get install python3-gi gir1.2-aravis-0.8`")]
    AravisMissing,
    /// Pictures come, and none can be used.
    #[error("{from} gives nothing that can be used: {reason}")]
    Unusable {
        /// The source, without credentials.
        from: String,
        /// What is wrong with the last one.
        reason: String,
    },
    /// The source was opened and ended without a picture.
    #[error("{from} holds no picture")]
    Empty {
        /// The source, without credentials.
        from: String,
    },
    /// Nothing came for too long.
    #[error("{from} gave no picture for {} s", after.as_secs_f32())]
    Stalled {
        /// The source, without credentials.
        from: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// The size is outside what any room accepts.
    #[error("{from}: {error}")]
    Size {
        /// The source, without credentials.
        from: String,
        /// The size and the limits.
        error: ImageError,
    },
    /// There is no such simulation.
    #[error(transparent)]
    Simulation(#[from] ConveyorError),
    /// A file or directory can't be read.
    #[error("{} can't be read: {error}", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A file is no picture, or a broken one.
    #[error("{} can't be decoded: {reason}", path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        reason: String,
    },
    /// A directory holds no picture.
    #[error("the directory {} holds no picture (jpg, jpeg, png, bmp, webp or gif)", path.display())]
    NoPictures {
        /// The directory.
        path: PathBuf,
    },
    /// A reader failed in a way that it never should; the camera is opened again.
    #[error("{from}: the reader failed: {reason}")]
    Panicked {
        /// The source, without credentials.
        from: String,
        /// What it said.
        reason: String,
    },
}

fn refusal(known: bool) -> &'static str {
    match known {
        true => "refuses the user name or the password",
        false => "wants a user name and a password: set `username`, and `password_file` or `password_credential`",
    }
}

impl CameraError {
    /// Whether trying again is pointless.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Simulation(_))
    }
}
