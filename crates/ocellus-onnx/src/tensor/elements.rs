//! Element types, and elements of each of them.

use std::fmt;

use half::f16;
use tract_onnx::prelude::{DatumType, Tensor as TractTensor, TractResult};

/// Declares the types once, so that no list of them can miss one.
macro_rules! element_types {
    ($($(#[$doc:meta])* $name:ident, $type:ty, $short:literal;)*) => {
        /// What the elements of a tensor are.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ElementType {
            $($(#[$doc])* $name,)*
        }

        /// The elements of a tensor, in row-major order.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Elements {
            $($(#[$doc])* $name(Vec<$type>),)*
        }

        impl ElementType {
            /// Every type there is.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Short name, as `f32`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $short,)*
                }
            }
        }

        impl Elements {
            /// Their type.
            #[must_use]
            pub const fn element_type(&self) -> ElementType {
                match self {
                    $(Self::$name(_) => ElementType::$name,)*
                }
            }

            /// How many there are.
            #[must_use]
            pub const fn len(&self) -> usize {
                match self {
                    $(Self::$name(data) => data.len(),)*
                }
            }

            /// As tract holds them, in this shape.
            pub(crate) fn to_tract(&self, shape: &[usize]) -> TractResult<TractTensor> {
                match self {
                    $(Self::$name(data) => TractTensor::from_shape(shape, data),)*
                }
            }

            /// What tract holds, its symbolic integers as `i64`; nothing for types that are not here.
            pub(crate) fn from_tract(tensor: &TractTensor) -> TractResult<Option<Self>> {
                let Some(element_type) = ElementType::from_tract(tensor.datum_type()) else { return Ok(None) };
                Ok(Some(match element_type {
                    $(ElementType::$name => {
                        let tensor = tensor.cast_to::<$type>()?;
                        Self::$name(tensor.try_as_plain_ram()?.as_slice::<$type>()?.to_vec())
                    })*
                }))
            }
        }

        $(impl From<Vec<$type>> for Elements {
            fn from(data: Vec<$type>) -> Self {
                Self::$name(data)
            }
        })*
    };
}

element_types! {
    /// True or false.
    Bool, bool, "bool";
    /// 8 bits, unsigned.
    U8, u8, "u8";
    /// 8 bits, signed.
    I8, i8, "i8";
    /// 16 bits, unsigned.
    U16, u16, "u16";
    /// 16 bits, signed.
    I16, i16, "i16";
    /// 32 bits, unsigned.
    U32, u32, "u32";
    /// 32 bits, signed.
    I32, i32, "i32";
    /// 64 bits, unsigned.
    U64, u64, "u64";
    /// 64 bits, signed.
    I64, i64, "i64";
    /// Half precision.
    F16, f16, "f16";
    /// Single precision.
    F32, f32, "f32";
    /// Double precision.
    F64, f64, "f64";
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Elements {
    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl ElementType {
    /// tract's type as it appears at the edge of a graph.
    pub(crate) fn from_tract(datum_type: DatumType) -> Option<Self> {
        Some(match datum_type.unquantized() {
            DatumType::Bool => Self::Bool,
            DatumType::U8 => Self::U8,
            DatumType::I8 => Self::I8,
            DatumType::U16 => Self::U16,
            DatumType::I16 => Self::I16,
            DatumType::U32 => Self::U32,
            DatumType::I32 => Self::I32,
            DatumType::U64 => Self::U64,
            DatumType::I64 | DatumType::TDim => Self::I64,
            DatumType::F16 => Self::F16,
            DatumType::F32 => Self::F32,
            DatumType::F64 => Self::F64,
            _ => return None,
        })
    }

    /// The type as tract calls it.
    pub(crate) const fn to_tract(self) -> DatumType {
        match self {
            Self::Bool => DatumType::Bool,
            Self::U8 => DatumType::U8,
            Self::I8 => DatumType::I8,
            Self::U16 => DatumType::U16,
            Self::I16 => DatumType::I16,
            Self::U32 => DatumType::U32,
            Self::I32 => DatumType::I32,
            Self::U64 => DatumType::U64,
            Self::I64 => DatumType::I64,
            Self::F16 => DatumType::F16,
            Self::F32 => DatumType::F32,
            Self::F64 => DatumType::F64,
        }
    }

    /// Short name of an ONNX element type that tensors at the edge may have.
    pub(crate) fn from_onnx(data_type: i32) -> Option<Self> {
        let name = crate::check::dtype_name(data_type);
        Self::ALL.iter().copied().find(|t| t.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_goes_to_tract_and_back() {
        for (ix, elements) in [
            Elements::Bool(vec![true, false]),
            Elements::U8(vec![0, 255]),
            Elements::I8(vec![-128, 127]),
            Elements::U16(vec![0, 65_535]),
            Elements::I16(vec![-32_768, 32_767]),
            Elements::U32(vec![0, u32::MAX]),
            Elements::I32(vec![i32::MIN, i32::MAX]),
            Elements::U64(vec![0, u64::MAX]),
            Elements::I64(vec![i64::MIN, i64::MAX]),
            Elements::F16(vec![f16::MIN, f16::MAX]),
            Elements::F32(vec![f32::MIN, f32::MAX]),
            Elements::F64(vec![f64::MIN, f64::MAX]),
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(elements.element_type(), ElementType::ALL[ix]);
            assert_eq!(ElementType::from_tract(elements.element_type().to_tract()), Some(elements.element_type()));
            let there = elements.to_tract(&[1, 2]).unwrap();
            assert_eq!(Elements::from_tract(&there).unwrap(), Some(elements));
        }
    }

    #[test]
    fn onnx_numbers_name_the_types() {
        assert_eq!(ElementType::from_onnx(1), Some(ElementType::F32));
        assert_eq!(ElementType::from_onnx(10), Some(ElementType::F16));
        assert_eq!(ElementType::from_onnx(8), None, "text");
        assert_eq!(ElementType::from_onnx(999), None);
    }
}
