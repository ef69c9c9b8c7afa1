//! An inference request: JSON, and behind it the tensors that come in binary.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;

use super::data::Data;
use super::few::Few;
use crate::frame::{Image, PixelFormat};
use crate::serve::error::{Refused, shown};

/// The only input.
pub(super) const INPUT: &str = "image";
/// Channels of a picture: red, green, blue.
const CHANNELS: u64 = 3;
/// The datatypes of the protocol.
const DATATYPES: [&str; 14] = [
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BF16",
    "BYTES",
];

/// The JSON of a request. Parameters that are not known are passed over, as the protocol says.
#[derive(Debug, Deserialize)]
pub(super) struct InferRequest {
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) parameters: RequestParameters,
    inputs: Few<Input>,
    #[serde(default)]
    pub(super) outputs: Few<Wanted>,
}

/// What counts for the whole request.
#[derive(Debug, Default, Deserialize)]
pub(super) struct RequestParameters {
    /// Outputs are sent in binary where nothing else is said of them.
    #[serde(default)]
    pub(super) binary_data_output: bool,
    /// Lowest score of a detection.
    pub(super) score: Option<f32>,
}

#[derive(Debug, Deserialize)]
struct Input {
    name: String,
    shape: Few<u64>,
    datatype: String,
    #[serde(default)]
    parameters: InputParameters,
    data: Option<Data>,
}

#[derive(Debug, Default, Deserialize)]
struct InputParameters {
    binary_data_size: Option<u64>,
}

/// An output that is wanted.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    pub(super) name: String,
    #[serde(default)]
    pub(super) parameters: OutputParameters,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct OutputParameters {
    pub(super) binary_data: Option<bool>,
    pub(super) classification: Option<u64>,
}

/// A picture as it came.
#[derive(Debug)]
pub(super) enum Sent {
    /// Its pixels.
    Pixels(Image),
    /// A file: JPEG, PNG or BMP.
    File(Bytes),
}

impl InferRequest {
    /// Reads a body of which the first `json` bytes are JSON; all where nothing is said.
    /// With more than `most` pictures it is refused.
    pub(super) fn read(body: &Bytes, json: Option<usize>, most: usize) -> Result<(Self, Vec<Sent>), Refused> {
        let length = json.unwrap_or(body.len());
        let head = body.get(..length).ok_or_else(|| {
            let got = body.len();
            Refused::bad(format!("`Inference-Header-Content-Length` is {length}, but the body has {got} bytes"))
        })?;
        let mut request: Self = serde_json::from_slice(head)
            .map_err(|error| Refused::bad(format!("the request's JSON is wrong: {error}")))?;
        if let Some(score) = request.parameters.score.filter(|score| !(0.0..=1.0).contains(score)) {
            return Err(Refused::bad(format!("the parameter `score` is from 0 to 1, not {score}")));
        }
        let inputs = std::mem::take(&mut request.inputs.0);
        let [input] = <[Input; 1]>::try_from(inputs)
            .map_err(|inputs| Refused::bad(format!("a request has one input, `{INPUT}`, not {}", inputs.len())))?;
        let pictures = input.pictures(&body.slice(length..), most)?;
        Ok((request, pictures))
    }
}

impl Input {
    /// The pictures of the tensor; `rest` is what came behind the JSON.
    fn pictures(self, rest: &Bytes, most: usize) -> Result<Vec<Sent>, Refused> {
        if self.name != INPUT {
            return Err(Refused::bad(format!("there is no input {}; there is `{INPUT}`", shown(&self.name))));
        }
        let binary = self.binary(rest)?;
        match self.datatype.as_str() {
            "UINT8" => self.pixels(binary, most),
            "BYTES" => self.files(binary, most),
            known if DATATYPES.contains(&known) => Err(Refused::bad(format!(
                "input `{INPUT}` is UINT8, [pictures, height, width, 3] in RGB, or BYTES, [pictures], a JPEG, PNG or BMP \
                 each; not {known}"
            ))),
            other => Err(Refused::bad(format!("there is no datatype {}", shown(other)))),
        }
    }

    /// The tensor's bytes, where they came behind the JSON: all of them, as there is one input.
    fn binary(&self, rest: &Bytes) -> Result<Option<Bytes>, Refused> {
        match (self.parameters.binary_data_size, &self.data) {
            (Some(_), Some(_)) => {
                Err(Refused::bad(format!("input `{INPUT}` has both `data` and `binary_data_size`: give one of them")))
            }
            (None, None) => Err(Refused::bad(format!(
                "input `{INPUT}` has no data: give `data`, or `binary_data_size` and the bytes behind the JSON"
            ))),
            (Some(size), None) if size != rest.len() as u64 => Err(Refused::bad(format!(
                "`binary_data_size` of input `{INPUT}` is {size}, but {} bytes come behind the JSON{}",
                rest.len(),
                if rest.is_empty() {
                    " (say where it ends in the header `Inference-Header-Content-Length`)"
                } else {
                    ""
                },
            ))),
            (Some(_), None) => Ok(Some(rest.clone())),
            (None, Some(_)) if !rest.is_empty() => {
                Err(Refused::bad(format!("{} bytes come behind the JSON, but no input is binary", rest.len())))
            }
            (None, Some(_)) => Ok(None),
        }
    }

    fn pixels(mut self, binary: Option<Bytes>, most: usize) -> Result<Vec<Sent>, Refused> {
        let (count, height, width) = match *self.shape.0.as_slice() {
            [height, width, CHANNELS] => (1, height, width),
            [count, height, width, CHANNELS] => (count, height, width),
            _ => return Err(self.shaped("[pictures, height, width, 3]")),
        };
        let size = (u32::try_from(width), u32::try_from(height));
        let (Ok(width), Ok(height)) = size else { return Err(self.shaped("of a picture's size")) };
        crate::frame::check_size(width, height).map_err(|error| Refused::too_large(error.to_string()))?;
        few_enough(count, most)?;
        let each = PixelFormat::Rgb8.bytes(width, height);
        let pixels = match binary {
            Some(bytes) => bytes,
            None => Bytes::from(self.numbers()?),
        };
        let wanted = count.checked_mul(each as u64);
        if count == 0 || wanted != Some(pixels.len() as u64) {
            let (shape, got) = (&self.shape.0, pixels.len());
            return Err(match wanted {
                Some(wanted) if count > 0 => {
                    Refused::bad(format!("the shape {shape:?} takes {wanted} bytes of UINT8, but there are {got}"))
                }
                _ => self.shaped("[pictures, height, width, 3] with a picture or more"),
            });
        }
        let image = |at: usize| Image::new(width, height, PixelFormat::Rgb8, pixels.slice(at..at + each));
        (0..pixels.len())
            .step_by(each)
            .map(|at| image(at).map(Sent::Pixels).map_err(|error| Refused::bad(error.to_string())))
            .collect()
    }

    fn files(mut self, binary: Option<Bytes>, most: usize) -> Result<Vec<Sent>, Refused> {
        let count = match *self.shape.0.as_slice() {
            [count] | [count, 1] if count > 0 => count,
            _ => return Err(self.shaped("[pictures]")),
        };
        few_enough(count, most)?;
        let files = match binary {
            Some(bytes) => elements(&bytes, count)?,
            None => self.texts()?,
        };
        if files.len() as u64 != count {
            let (shape, got) = (&self.shape.0, files.len());
            return Err(Refused::bad(format!(
                "the shape {shape:?} takes {count} elements of BYTES, but there are {got}"
            )));
        }
        Ok(files.into_iter().map(Sent::File).collect())
    }

    fn shaped(&self, wanted: &str) -> Refused {
        let (shape, datatype) = (&self.shape.0, &self.datatype);
        Refused::bad(format!("input `{INPUT}` as {datatype} has a shape {wanted}, not {shape:?}"))
    }

    /// Pixels in JSON.
    fn numbers(&mut self) -> Result<Vec<u8>, Refused> {
        let Data { pixels, texts, odd } = self.data.take().unwrap_or_default();
        match (odd, texts.first()) {
            (Some(odd), _) => Err(Refused::bad(format!("UINT8 data is whole numbers from 0 to 255, not {odd}"))),
            (None, Some(text)) => {
                Err(Refused::bad(format!("UINT8 data is whole numbers from 0 to 255, not the text {}", shown(text))))
            }
            (None, None) => Ok(pixels),
        }
    }

    /// Files in JSON: no JPEG is a text, so they come in base64.
    fn texts(&mut self) -> Result<Vec<Bytes>, Refused> {
        let Data { pixels, texts, odd } = self.data.take().unwrap_or_default();
        if odd.is_some() || !pixels.is_empty() {
            return Err(Refused::bad("BYTES data in JSON is texts, each a file in base64"));
        }
        let decoded = texts.iter().map(|text| STANDARD.decode(text).map(Bytes::from));
        decoded
            .collect::<Result<_, _>>()
            .map_err(|error| Refused::bad(format!("BYTES data in JSON is in base64, and this is not: {error}")))
    }
}

/// Whether there is room for so many pictures at all.
fn few_enough(count: u64, most: usize) -> Result<(), Refused> {
    if count > most as u64 {
        let message = format!("{count} pictures in a request; at most {most} may wait (`queue` in the [serve] table)");
        return Err(Refused::too_large(message));
    }
    Ok(())
}

/// The elements of a BYTES tensor in binary, and at most one more than there should be: each has its length before it,
/// four bytes, the least first.
fn elements(bytes: &Bytes, count: u64) -> Result<Vec<Bytes>, Refused> {
    let mut found: Vec<Bytes> = Vec::new();
    let mut at = 0;
    while at < bytes.len() && found.len() as u64 <= count {
        let length = bytes.get(at..at + 4).and_then(|length| <[u8; 4]>::try_from(length).ok());
        let start = at + 4;
        let end = length.and_then(|length| start.checked_add(u32::from_le_bytes(length) as usize));
        let Some(end) = end.filter(|end| *end <= bytes.len()) else {
            let number = found.len();
            return Err(Refused::bad(format!(
                "element {number} of the BYTES tensor is longer than what is left: each has its length before it, four bytes, \
                 the least first"
            )));
        };
        found.push(bytes.slice(start..end));
        at = end;
    }
    Ok(found)
}
