//! Writing Parquet files: one row group, a page a column, values plain, pages in gzip (apache/parquet-format, `README.md`,
//! `Encodings.md`, `parquet.thrift`).
//!
//! The `parquet` crate does much more. It asks for a feature of `ahash` that no other crate here does, and `burn` is built
//! on that one; what files of sums need is these few hundred lines.

mod thrift;

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use self::thrift::{Struct, varint};

const MAGIC: &[u8; 4] = b"PAR1";
/// `Encoding`s.
const PLAIN: i32 = 0;
const RLE: i32 = 3;
/// `CompressionCodec`.
const GZIP: i32 = 2;
/// `FieldRepetitionType`s.
const REQUIRED: i32 = 0;
const OPTIONAL: i32 = 1;
const REPEATED: i32 = 2;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    /// Text in UTF-8.
    Text,
    /// A whole number of 64 bits.
    Number,
    /// A float of 64 bits.
    Real,
    /// Microseconds since 1970, UTC.
    Time,
    /// A list of whole numbers.
    Numbers,
}

impl Type {
    /// As Spark calls it.
    #[cfg(test)]
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Number => "bigint",
            Self::Real => "double",
            Self::Time => "timestamp",
            Self::Numbers => "array<bigint>",
        }
    }

    /// The physical type.
    fn code(self) -> i32 {
        match self {
            Self::Number | Self::Time | Self::Numbers => 2,
            Self::Real => 5,
            Self::Text => 6,
        }
    }

    /// The column in the tree of the schema.
    fn elements(self, name: &str) -> Vec<Struct> {
        let leaf = |repetition, name: &str| Struct::default().int(1, self.code()).int(3, repetition).text(4, name);
        // `ConvertedType` for old readers, and `LogicalType`.
        match self {
            Self::Number | Self::Real => vec![leaf(OPTIONAL, name)],
            Self::Text => {
                vec![leaf(OPTIONAL, name).int(6, 0).nested(10, Struct::default().nested(1, Struct::default()))]
            }
            Self::Time => {
                let unit = Struct::default().nested(2, Struct::default());
                let timestamp = Struct::default().boolean(1, true).nested(2, unit);
                vec![leaf(OPTIONAL, name).int(6, 10).nested(10, Struct::default().nested(8, timestamp))]
            }
            Self::Numbers => {
                let group = |repetition, name| Struct::default().int(3, repetition).text(4, name).int(5, 1);
                let list = Struct::default().nested(3, Struct::default());
                let outer = group(OPTIONAL, name).int(6, 3).nested(10, list);
                vec![outer, group(REPEATED, "list"), leaf(REQUIRED, "element")]
            }
        }
    }

    fn path(self, name: &str) -> Vec<&str> {
        match self {
            Self::Numbers => vec![name, "list", "element"],
            _ => vec![name],
        }
    }
}

/// A cell.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// Nothing.
    Null,
    Text(String),
    /// A number, or a time.
    Number(i64),
    Real(f64),
    Numbers(Vec<i64>),
}

/// A column: its name, its type, and a cell a row. A cell of another type counts as nothing.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: Type,
    pub(super) cells: Vec<Value>,
}

/// Levels and values of a column, as its page has them.
#[derive(Default)]
struct Page {
    repetition: Vec<u8>,
    definition: Vec<u8>,
    values: Vec<u8>,
}

impl Page {
    fn of(column: &Column) -> Self {
        let mut page = Self::default();
        for cell in &column.cells {
            page.add(column.kind, cell);
        }
        page
    }

    fn add(&mut self, kind: Type, cell: &Value) {
        self.repetition.push(0);
        match (kind, cell) {
            (Type::Text, Value::Text(text)) => {
                let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
                self.values.extend(length.to_le_bytes());
                self.values.extend(text.as_bytes());
            }
            (Type::Number | Type::Time, Value::Number(number)) => self.values.extend(number.to_le_bytes()),
            (Type::Real, Value::Real(real)) => self.values.extend(real.to_le_bytes()),
            // There, and empty.
            (Type::Numbers, Value::Numbers(numbers)) if numbers.is_empty() => return self.definition.push(1),
            (Type::Numbers, Value::Numbers(numbers)) => {
                numbers.iter().for_each(|number| self.values.extend(number.to_le_bytes()));
                self.repetition.extend(std::iter::repeat_n(1, numbers.len() - 1));
                return self.definition.extend(std::iter::repeat_n(2, numbers.len()));
            }
            _ => return self.definition.push(0),
        }
        self.definition.push(1);
    }

    fn bytes(&self, kind: Type) -> Vec<u8> {
        let mut bytes = Vec::new();
        if kind == Type::Numbers {
            levels(&mut bytes, &self.repetition);
        }
        levels(&mut bytes, &self.definition);
        bytes.extend(&self.values);
        bytes
    }
}

/// Levels as runs of the same one, with their length before them. They are small enough for a byte each.
fn levels(bytes: &mut Vec<u8>, levels: &[u8]) {
    let mut runs = Vec::new();
    for run in levels.chunk_by(|a, b| a == b) {
        varint(&mut runs, (run.len() as u64) << 1);
        runs.extend(run.first());
    }
    let length = u32::try_from(runs.len()).unwrap_or(u32::MAX);
    bytes.extend(length.to_le_bytes());
    bytes.extend(runs);
}

/// A file with these columns, all of one length, and what is said of it beside them.
///
/// # Errors
/// When a column is larger than a page may be: two GiB.
pub(super) fn file(columns: &[Column], metadata: &[(&str, &str)]) -> std::io::Result<Vec<u8>> {
    let rows = columns.first().map_or(0, |column| column.cells.len() as i64);
    let mut file = MAGIC.to_vec();
    let (mut chunks, mut total) = (Vec::new(), 0);
    for column in columns {
        let (chunk, size) = write_column(&mut file, column)?;
        chunks.push(chunk);
        total += size;
    }
    let group = Struct::default().structs(1, chunks).long(2, total).long(3, rows);
    let root = Struct::default().text(4, "row").int(5, int(columns.len())?);
    let schema = std::iter::once(root).chain(columns.iter().flat_map(|column| column.kind.elements(column.name)));
    let said = metadata.iter().map(|(key, value)| Struct::default().text(1, key).text(2, value));
    let version = env!("CARGO_PKG_VERSION");
    let footer = Struct::default()
        .int(1, 1)
        .structs(2, schema.collect())
        .long(3, rows)
        .structs(4, vec![group])
        .structs(5, said.collect())
        .text(6, &format!("ocellus version {version} (build {version})"))
        .end();
    file.extend(&footer);
    file.extend(int(footer.len())?.to_le_bytes());
    file.extend(MAGIC);
    Ok(file)
}

/// Appends a column and gives its `ColumnChunk`, with its size before compression.
fn write_column(file: &mut Vec<u8>, column: &Column) -> std::io::Result<(Struct, i64)> {
    let page = Page::of(column);
    let (plain, count) = (page.bytes(column.kind), page.definition.len());
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&plain)?;
    let packed = encoder.finish()?;
    let data = Struct::default().int(1, int(count)?).int(2, PLAIN).int(3, RLE).int(4, RLE);
    let header = Struct::default().int(1, 0).int(2, int(plain.len())?).int(3, int(packed.len())?).nested(5, data).end();
    let offset = file.len() as i64;
    let sizes = [plain.len(), packed.len()].map(|size| (size + header.len()) as i64);
    file.extend(header);
    file.extend(packed);
    let about = Struct::default()
        .int(1, column.kind.code())
        .ints(2, &[PLAIN, RLE])
        .texts(3, &column.kind.path(column.name))
        .int(4, GZIP)
        .long(5, count as i64)
        .long(6, sizes[0])
        .long(7, sizes[1])
        .long(9, offset);
    Ok((Struct::default().long(2, offset).nested(3, about), sizes[0]))
}

fn int(size: usize) -> std::io::Result<i32> {
    i32::try_from(size).map_err(|_| std::io::Error::other("a column is larger than two GiB"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_runs() {
        let mut bytes = Vec::new();
        levels(&mut bytes, &[2, 2, 2, 0, 1]);
        assert_eq!(bytes, [6, 0, 0, 0, 6, 2, 2, 0, 2, 1]);
    }

    #[test]
    fn lists_say_where_they_begin_and_what_is_not_there() {
        let cells = vec![Value::Numbers(vec![7, 8]), Value::Null, Value::Numbers(Vec::new()), Value::Text("x".into())];
        let page = Page::of(&Column { name: "n", kind: Type::Numbers, cells });
        assert_eq!(page.repetition, [0, 1, 0, 0, 0]);
        assert_eq!(page.definition, [2, 2, 0, 1, 0]);
        assert_eq!(page.values, [7_i64.to_le_bytes(), 8_i64.to_le_bytes()].concat());
    }

    #[test]
    fn a_file_begins_and_ends_as_the_format_says() {
        let column = |name, kind, cells| Column { name, kind, cells };
        let columns = [
            column("label", Type::Text, vec![Value::Text("bolt".into()), Value::Null]),
            column("frames", Type::Number, vec![Value::Number(3), Value::Number(-1)]),
        ];
        let bytes = file(&columns, &[("ocellus.schema", "x/1")]).unwrap();
        assert_eq!((&bytes[..4], &bytes[bytes.len() - 4..]), (&MAGIC[..], &MAGIC[..]));
        let length = u32::from_le_bytes(bytes[bytes.len() - 8..bytes.len() - 4].try_into().unwrap()) as usize;
        let footer = &bytes[bytes.len() - 8 - length..bytes.len() - 8];
        // Version 1, and three elements of a schema.
        assert_eq!(footer[..4], [0x15, 2, 0x19, 0x3c]);
        assert!(!footer.windows(4).any(|part| part == b"bolt"), "values stand in pages");
        assert!(footer.windows(14).any(|part| part == b"ocellus.schema"));
        assert_eq!(footer.last(), Some(&0));
        // Nothing is a file too.
        assert!(file(&[], &[]).unwrap().len() > 12);
    }
}
