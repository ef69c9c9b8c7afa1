//! A tensor's `data` in JSON: numbers or texts, flat or nested as the shape is, in row-major order.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

/// The most texts of a tensor: a file each.
const MAX_TEXTS: usize = 1024;

/// What was in the list. Values that are no pixels are not kept, only that there was one.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Data {
    /// The numbers, each from 0 to 255.
    pub(super) pixels: Vec<u8>,
    /// The texts.
    pub(super) texts: Vec<String>,
    /// The first value that is neither.
    pub(super) odd: Option<String>,
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut data = Self::default();
        deserializer.deserialize_seq(Flat(&mut data))?;
        Ok(data)
    }
}

/// Takes values into a list, whatever lists they are in. How deep those may be the parser limits.
struct Flat<'a>(&'a mut Data);

impl<'de> DeserializeSeed<'de> for Flat<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Flat<'_> {
    fn odd<E>(self, value: impl fmt::Display) -> Result<(), E> {
        self.0.odd.get_or_insert_with(|| value.to_string());
        Ok(())
    }
}

impl<'de> Visitor<'de> for Flat<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of numbers or texts")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Flat(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        match u8::try_from(value) {
            Ok(pixel) => self.0.pixels.push(pixel),
            Err(_) => return self.odd(value),
        }
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.odd(value)
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.odd(value)
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.odd(value)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.odd("null")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        if self.0.texts.len() == MAX_TEXTS {
            return Err(E::custom(format!("a tensor has at most {MAX_TEXTS} texts")));
        }
        self.0.texts.push(value.to_owned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_flattened_and_what_is_no_pixel_is_named() {
        let read = |text: &str| serde_json::from_str::<Data>(text);
        assert_eq!(read("[[0,1],[[2]],255,[]]").expect("numbers").pixels, [0, 1, 2, 255]);
        assert_eq!(read("[\"a\",[\"b\"]]").expect("texts").texts, ["a", "b"]);
        for (text, odd) in
            [("[256]", "256"), ("[-1,-2]", "-1"), ("[1.5]", "1.5"), ("[true]", "true"), ("[null]", "null")]
        {
            assert_eq!(read(text).expect(text).odd.as_deref(), Some(odd));
        }
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for wrong in ["{}", "1", "\"a\"", "[{}]", "[1", &deep] {
            assert!(read(wrong).is_err(), "{}", &wrong[..wrong.len().min(20)]);
        }
    }
}
