//! Thrift's compact protocol, as much of it as Parquet's metadata need (apache/thrift, `thrift-compact-protocol.md`).

/// A struct that is being written.
#[derive(Debug, Default)]
pub(super) struct Struct {
    bytes: Vec<u8>,
    last: i16,
}

const I32: u8 = 5;
const I64: u8 = 6;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

impl Struct {
    fn field(&mut self, id: i16, kind: u8) {
        // Ids ascend by less than 16 in every struct of Parquet's, so that the short form always does.
        let delta = u8::try_from(id - self.last).unwrap_or_default();
        debug_assert!((1..16).contains(&delta), "fields are written in order");
        self.bytes.push(delta << 4 | kind);
        self.last = id;
    }

    pub(super) fn boolean(mut self, id: i16, value: bool) -> Self {
        self.field(id, if value { 1 } else { 2 });
        self
    }

    pub(super) fn int(mut self, id: i16, value: i32) -> Self {
        self.field(id, I32);
        varint(&mut self.bytes, zigzag(value.into()));
        self
    }

    pub(super) fn long(mut self, id: i16, value: i64) -> Self {
        self.field(id, I64);
        varint(&mut self.bytes, zigzag(value));
        self
    }

    pub(super) fn text(mut self, id: i16, value: &str) -> Self {
        self.field(id, BINARY);
        binary(&mut self.bytes, value);
        self
    }

    pub(super) fn nested(mut self, id: i16, value: Self) -> Self {
        self.field(id, STRUCT);
        self.bytes.extend(value.end());
        self
    }

    pub(super) fn structs(mut self, id: i16, values: Vec<Self>) -> Self {
        self.list(id, STRUCT, values.len());
        values.into_iter().for_each(|value| self.bytes.extend(value.end()));
        self
    }

    pub(super) fn ints(mut self, id: i16, values: &[i32]) -> Self {
        self.list(id, I32, values.len());
        values.iter().for_each(|value| varint(&mut self.bytes, zigzag((*value).into())));
        self
    }

    pub(super) fn texts(mut self, id: i16, values: &[&str]) -> Self {
        self.list(id, BINARY, values.len());
        values.iter().for_each(|value| binary(&mut self.bytes, value));
        self
    }

    fn list(&mut self, id: i16, kind: u8, count: usize) {
        self.field(id, LIST);
        match u8::try_from(count) {
            Ok(count) if count < 15 => self.bytes.push(count << 4 | kind),
            _ => {
                self.bytes.push(0xf0 | kind);
                varint(&mut self.bytes, count as u64);
            }
        }
    }

    /// The whole struct.
    pub(super) fn end(mut self) -> Vec<u8> {
        self.bytes.push(0);
        self.bytes
    }
}

fn binary(bytes: &mut Vec<u8>, value: &str) {
    varint(bytes, value.len() as u64);
    bytes.extend(value.as_bytes());
}

/// Small numbers of either sign become small numbers.
fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// Seven bits a byte, the lowest first.
pub(super) fn varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_protocol_says() {
        let written = |value| {
            let mut bytes = Vec::new();
            varint(&mut bytes, value);
            bytes
        };
        assert_eq!(written(0), [0]);
        assert_eq!(written(127), [127]);
        // The example of the specification.
        assert_eq!(written(50399), [0xdf, 0x89, 0x03]);
        assert_eq!([0, -1, 1, -2, 2].map(zigzag), [0, 1, 2, 3, 4]);
        assert_eq!((zigzag(i64::MAX), zigzag(i64::MIN)), (u64::MAX - 1, u64::MAX));
    }

    #[test]
    fn a_struct_has_its_fields_by_their_distance() {
        let inner = Struct::default().boolean(2, true);
        let bytes = Struct::default().int(1, 3).text(4, "ab").nested(5, inner).ints(6, &[1; 15]).end();
        let wanted = [&[0x15, 6, 0x38, 2, b'a', b'b', 0x1c, 0x21, 0, 0x19, 0xf5, 15][..], &[2; 15], &[0]].concat();
        assert_eq!(bytes, wanted);
    }
}
