//! The types of the elements of an array, as NumPy and safetensors name them.

use safetensors::Dtype;

/// What the elements of an array are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Element {
    Bool,
    Unsigned(Width),
    Signed(Width),
    Float(Width),
    /// By the name that its file has for it.
    Other(String),
}

/// Bytes of an element, and their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Width {
    pub bytes: usize,
    big_endian: bool,
}

impl Width {
    fn little(bytes: usize) -> Width {
        Width { bytes, big_endian: false }
    }

    /// The bits of an element, in the low ones of a word.
    pub fn bits(self, bytes: &[u8]) -> u64 {
        let mut word = [0; 8];
        word[..self.bytes].copy_from_slice(bytes);
        if self.big_endian {
            word[..self.bytes].reverse();
        }
        u64::from_le_bytes(word)
    }
}

impl Element {
    /// From NumPy's name for it, as in `<f4`.
    pub fn from_numpy(name: &str) -> Element {
        let other = || Element::Other(format!("{name:.20}").escape_debug().to_string());
        let mut letters = name.chars();
        let (Some(order), Some(kind)) = (letters.next(), letters.next()) else {
            return other();
        };
        let width = |sizes: &[usize]| {
            let bytes = letters.as_str().parse().ok().filter(|bytes| sizes.contains(bytes))?;
            let big_endian = match order {
                '<' => false,
                '>' => true,
                '|' if bytes == 1 => false,
                _ => return None,
            };
            Some(Width { bytes, big_endian })
        };
        let element = match kind {
            'b' => width(&[1]).map(|_| Element::Bool),
            'u' => width(&[1, 2, 4, 8]).map(Element::Unsigned),
            'i' => width(&[1, 2, 4, 8]).map(Element::Signed),
            'f' => width(&[2, 4, 8]).map(Element::Float),
            _ => None,
        };
        element.unwrap_or_else(other)
    }

    pub fn from_safetensors(dtype: Dtype) -> Element {
        match dtype {
            Dtype::BOOL => Element::Bool,
            Dtype::U8 => Element::Unsigned(Width::little(1)),
            Dtype::U16 => Element::Unsigned(Width::little(2)),
            Dtype::U32 => Element::Unsigned(Width::little(4)),
            Dtype::U64 => Element::Unsigned(Width::little(8)),
            Dtype::I8 => Element::Signed(Width::little(1)),
            Dtype::I16 => Element::Signed(Width::little(2)),
            Dtype::I32 => Element::Signed(Width::little(4)),
            Dtype::I64 => Element::Signed(Width::little(8)),
            Dtype::F16 => Element::Float(Width::little(2)),
            Dtype::F32 => Element::Float(Width::little(4)),
            Dtype::F64 => Element::Float(Width::little(8)),
            other => Element::Other(format!("{other:?}")),
        }
    }

    pub fn bytes(&self) -> usize {
        match self {
            Element::Bool => 1,
            Element::Unsigned(width) | Element::Signed(width) | Element::Float(width) => {
                width.bytes
            }
            Element::Other(_) => 0,
        }
    }

    /// The value of an element.
    pub fn number(&self, bytes: &[u8]) -> f64 {
        match self {
            Element::Bool => f64::from(u8::from(bytes[0] != 0)),
            Element::Unsigned(width) => width.bits(bytes) as f64,
            Element::Signed(width) => {
                let unused = 64 - 8 * width.bytes;
                ((width.bits(bytes) << unused).cast_signed() >> unused) as f64
            }
            Element::Float(width) => match (width.bytes, width.bits(bytes)) {
                (2, bits) => half(bits as u16),
                (4, bits) => f64::from(f32::from_bits(bits as u32)),
                (_, bits) => f64::from_bits(bits),
            },
            Element::Other(_) => f64::NAN,
        }
    }

    pub fn is_integer(&self) -> bool {
        matches!(self, Element::Unsigned(_) | Element::Signed(_))
    }

    pub fn name(&self) -> String {
        match self {
            Element::Bool => "bool".into(),
            Element::Unsigned(width) => format!("uint{}", 8 * width.bytes),
            Element::Signed(width) => format!("int{}", 8 * width.bytes),
            Element::Float(width) => format!("float{}", 8 * width.bytes),
            Element::Other(name) => name.clone(),
        }
    }
}

/// The value of a number in half precision (IEEE 754 binary16).
fn half(bits: u16) -> f64 {
    let (sign, exponent, fraction) =
        (bits >> 15, i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    let magnitude = match exponent {
        0 => fraction * 2.0_f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction / 1024.0) * 2.0_f64.powi(exponent - 15),
    };
    if sign == 1 { -magnitude } else { magnitude }
}
