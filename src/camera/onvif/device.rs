//! What one device is asked: its clock, where its media service is, its profiles, and the address of each one's stream.

use std::net::IpAddr;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use roxmltree::Node;
use url::{Host, Url};

use super::probe::Answer;
use super::soap::{Login, Service, escaped};
use super::{NetworkCamera, Profile, xml};
use crate::camera::source::Source;

/// Profiles that are looked at; encoders have a handful.
const MOST_PROFILES: usize = 32;

/// Asks a device that answered for all that is worth knowing.
pub(super) async fn ask(client: &reqwest::Client, answer: Answer, login: Option<&Login>) -> NetworkCamera {
    let Answer { from, services, name, hardware, .. } = answer;
    let mut camera =
        NetworkCamera { address: from, name, hardware, service: String::new(), profiles: Vec::new(), problem: None };
    let Some(service) = services.iter().find_map(|service| own_address(service, from)) else {
        camera.problem = Some("it does not say where it takes questions".to_owned());
        return camera;
    };
    camera.service = service.to_string();
    if let Err(problem) = describe(client, &service, login, &mut camera).await {
        camera.problem = Some(problem);
    }
    camera
}

/// An address of a device, with the host set to who really answered: devices behind translated addresses say what is
/// true on their side only, and nobody can make us ask others.
fn own_address(said: &str, from: IpAddr) -> Option<Url> {
    let mut url = Url::parse(said).ok()?;
    if !["http", "https"].contains(&url.scheme()) {
        return None;
    }
    url.set_ip_host(from).ok()?;
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    Some(url)
}

async fn describe(
    client: &reqwest::Client,
    at: &Url,
    login: Option<&Login>,
    camera: &mut NetworkCamera,
) -> Result<(), String> {
    let mut service = Service { client, login, ahead: TimeDelta::zero() };
    // Anyone may ask for the time; a device that has none is taken to have ours.
    if let Ok(answer) = service.ask(at, "<d:GetSystemDateAndTime/>", true).await {
        service.ahead = clock(&answer).map_or(TimeDelta::zero(), |theirs| theirs - Utc::now());
    }
    let question = "<d:GetCapabilities><d:Category>Media</d:Category></d:GetCapabilities>";
    let media = media(&service.ask(at, question, false).await?)?;
    let media = own_address(&media, camera.address).ok_or("its media service has no usable address")?;
    camera.profiles = profiles(&service.ask(&media, "<m:GetProfiles/>", false).await?)?;
    for profile in &mut camera.profiles {
        let question = format!(
            "<m:GetStreamUri><m:StreamSetup><t:Stream>RTP-Unicast</t:Stream>\
             <t:Transport><t:Protocol>RTSP</t:Protocol></t:Transport></m:StreamSetup>\
             <m:ProfileToken>{}</m:ProfileToken></m:GetStreamUri>",
            escaped(&profile.token)
        );
        match service.ask(&media, &question, false).await.and_then(|answer| stream(&answer)) {
            Ok(source) => profile.source = Some(source),
            Err(problem) => camera.problem = Some(format!("profile {}: {problem}", profile.name)),
        }
    }
    Ok(())
}

/// The device's time, in UTC.
fn clock(answer: &[u8]) -> Option<DateTime<Utc>> {
    let document = xml::parse(answer).ok()?;
    let utc = xml::find(document.root(), "UTCDateTime")?;
    let date =
        NaiveDate::from_ymd_opt(xml::number(utc, "Year")?, xml::number(utc, "Month")?, xml::number(utc, "Day")?)?;
    let time = date.and_hms_opt(xml::number(utc, "Hour")?, xml::number(utc, "Minute")?, xml::number(utc, "Second")?)?;
    // A clock that was never set is years behind; one that is further off is no clock.
    Some(time.and_utc()).filter(|theirs| (*theirs - Utc::now()).abs() < TimeDelta::days(100 * 365))
}

/// Where the media service is.
fn media(answer: &[u8]) -> Result<String, String> {
    let document = xml::parse(answer)?;
    let media = xml::find(document.root(), "Media").and_then(|media| xml::text(media, "XAddr"));
    media.ok_or_else(|| "it has no media service".to_owned())
}

/// The media profiles; their streams are not known yet.
fn profiles(answer: &[u8]) -> Result<Vec<Profile>, String> {
    let document = xml::parse(answer)?;
    let listed = xml::all(document.root(), "Profiles").filter_map(profile).take(MOST_PROFILES);
    let profiles: Vec<Profile> = listed.collect();
    if profiles.is_empty() { Err("it has no media profile".to_owned()) } else { Ok(profiles) }
}

fn profile(node: Node<'_, '_>) -> Option<Profile> {
    let token = xml::plain(node.attribute("token")?);
    let encoder = xml::find(node, "VideoEncoderConfiguration");
    let size = encoder
        .and_then(|encoder| xml::find(encoder, "Resolution"))
        .and_then(|resolution| Some([xml::number(resolution, "Width")?, xml::number(resolution, "Height")?]));
    let fps: Option<f32> = encoder.and_then(|encoder| xml::number(encoder, "FrameRateLimit"));
    Some(Profile {
        name: xml::text(node, "Name").unwrap_or_else(|| token.clone()),
        token,
        encoding: encoder.and_then(|encoder| xml::text(encoder, "Encoding")).unwrap_or_default(),
        size,
        fps: fps.filter(|fps| fps.is_finite() && *fps > 0.0),
        source: None,
        suggested: false,
    })
}

/// The address of a stream as a `source`, without credentials; one that we couldn't open ourselves is refused.
fn stream(answer: &[u8]) -> Result<String, String> {
    let document = xml::parse(answer)?;
    let said = xml::text(document.root(), "Uri").ok_or("it gives no address for its stream")?;
    let mut url = Url::parse(&said).map_err(|_| "the address of its stream makes no sense".to_owned())?;
    let bare = url.set_username("").is_ok() && url.set_password(None).is_ok();
    let named = matches!(url.host(), Some(Host::Ipv4(_) | Host::Ipv6(_) | Host::Domain(_)));
    if !bare || !named || !["rtsp", "rtsps", "http", "https"].contains(&url.scheme()) {
        return Err("the address of its stream is of no known kind".to_owned());
    }
    Source::parse(url.as_str()).map_err(|error| error.to_string())?;
    Ok(url.to_string())
}

#[cfg(test)]
mod tests;
