//! Finding network cameras that speak ONVIF, and asking them for their streams.
//!
//! `probe` calls into the local networks by multicast (WS-Discovery 1.1 as ONVIF Core 7.3 wants it) and collects who
//! answers; `device` asks each by SOAP over HTTP for its media profiles and their RTSP addresses. Whatever comes back
//! is read within limits (`xml`): anyone on the network may answer.

mod device;
mod probe;
mod soap;
mod xml;

use std::net::IpAddr;
use std::time::Duration;

use futures::StreamExt;
use serde::Serialize;

pub use self::probe::ProbeError;
pub use self::soap::Login;

/// Devices that are asked at one time.
const AT_ONCE: usize = 16;
/// How small a picture may be for a detector to see enough.
const SEES_ENOUGH: [u32; 2] = [640, 360];

/// A camera that answered.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NetworkCamera {
    /// Who answered.
    pub address: IpAddr,
    /// What it calls itself.
    pub name: String,
    /// What it calls its hardware.
    pub hardware: String,
    /// Where it takes questions.
    pub service: String,
    /// Its streams.
    pub profiles: Vec<Profile>,
    /// Why not all of it is known.
    pub problem: Option<String>,
}

/// One of a camera's streams.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Profile {
    /// Its name, for people.
    pub name: String,
    /// What the camera knows it by.
    pub token: String,
    /// `H264`, `H265`, `JPEG`, …; empty where the camera doesn't say.
    pub encoding: String,
    /// Pixels across and down, where the camera says so.
    pub size: Option<[u32; 2]>,
    /// Most pictures a second, where the camera says so.
    pub fps: Option<f32>,
    /// What `source` says to take this stream, without credentials; absent where the camera gave none.
    pub source: Option<String>,
    /// Whether it is the one to take for detection: the smallest that shows enough.
    pub suggested: bool,
}

/// Finds cameras, and asks each for its streams. Takes a little longer than `time`, which is how long answers are
/// waited for.
///
/// # Errors
/// When no network can be called into.
pub async fn discover(time: Duration, login: Option<&Login>) -> Result<Vec<NetworkCamera>, ProbeError> {
    let answers = probe::probe(time).await?;
    let client = soap::client().map_err(ProbeError)?;
    let asked = answers.into_iter().map(|answer| device::ask(&client, answer, login));
    let mut cameras: Vec<NetworkCamera> = futures::stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
    cameras.sort_by(|a, b| a.address.cmp(&b.address).then_with(|| a.service.cmp(&b.service)));
    for camera in &mut cameras {
        suggest(&mut camera.profiles);
    }
    Ok(cameras)
}

/// Marks the stream that is enough for detection and costs least.
fn suggest(profiles: &mut [Profile]) {
    let pixels = |[width, height]: [u32; 2]| u64::from(width) * u64::from(height);
    let rank = |profile: &Profile| {
        let size = profile.size.unwrap_or_default();
        let enough = size[0] >= SEES_ENOUGH[0] && size[1] >= SEES_ENOUGH[1];
        // Of those that show enough the smallest, else the largest; of equals the one that is easiest to decode.
        let cost = if enough { pixels(size) } else { u64::MAX - pixels(size) };
        let codec = ["H264", "H265", "JPEG"].iter().position(|known| *known == profile.encoding).unwrap_or(3);
        (profile.source.is_none(), !enough, cost, codec)
    };
    if let Some(best) = profiles.iter_mut().filter(|profile| profile.source.is_some()).min_by_key(|p| rank(p)) {
        best.suggested = true;
    }
}

#[cfg(test)]
mod tests;
