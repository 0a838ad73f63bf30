//! Reader of the header of NumPy's `.npy` format: the magic number, the version, the header's length and
//! a Python dictionary with the element type, the order and the shape
//! (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>).

use std::io::{self, Read};

use super::element::Element;

const MAGIC: &[u8] = b"\x93NUMPY";
/// Longest header read; NumPy's of a plain array has 118 bytes.
const MAX_HEADER: u32 = 1 << 16;

/// What comes before the elements.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub element: Element,
    pub shape: Vec<u64>,
    /// Bytes before the elements.
    pub length: u64,
}

/// Why a header is none; the inner message is for the user.
#[derive(Debug)]
pub(super) enum HeaderError {
    Read(io::Error),
    Wrong(String),
}

impl From<io::Error> for HeaderError {
    fn from(error: io::Error) -> HeaderError {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => HeaderError::Wrong("its .npy header is cut off".into()),
            _ => HeaderError::Read(error),
        }
    }
}

/// Reads up to the elements.
pub(super) fn read_header(reader: &mut dyn Read) -> Result<Header, HeaderError> {
    let wrong = |message: &str| Err(HeaderError::Wrong(message.to_string()));
    let mut start = [0; 8];
    reader.read_exact(&mut start)?;
    if !start.starts_with(MAGIC) {
        return wrong("this is not a .npy file; numpy.save(FILE, array) writes one");
    }
    let mut word = [0; 4];
    let size = match start[6] {
        1 => 2,
        2 | 3 => 4,
        version => {
            return Err(HeaderError::Wrong(format!("version {version} of .npy is not known")));
        }
    };
    reader.read_exact(&mut word[..size])?;
    let length = u32::from_le_bytes(word);
    if length > MAX_HEADER {
        return wrong("its .npy header is longer than that of any plain array");
    }
    let mut text = vec![0; length as usize];
    reader.read_exact(&mut text)?;
    let parsed = str::from_utf8(&text).ok().and_then(|text| Parser(text).dictionary());
    let Some((descr, fortran, shape)) = parsed else {
        return wrong("its .npy header is not that of an array of plain numbers");
    };
    if fortran && shape.len() > 1 {
        return wrong(
            "its elements are in Fortran order; numpy.ascontiguousarray(array) before saving helps",
        );
    }
    Ok(Header {
        element: Element::from_numpy(descr),
        shape,
        length: 8 + size as u64 + u64::from(length),
    })
}

/// The rest of a dictionary's text.
struct Parser<'a>(&'a str);

impl<'a> Parser<'a> {
    /// `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 28, 28), }`, its keys in any order.
    fn dictionary(mut self) -> Option<(&'a str, bool, Vec<u64>)> {
        let (mut descr, mut fortran, mut shape) = (None, None, None);
        self.expect("{")?;
        while self.expect("}").is_none() {
            let key = self.string()?;
            self.expect(":")?;
            let is_new = match key {
                "descr" => descr.replace(self.string()?).is_none(),
                "fortran_order" => fortran.replace(self.boolean()?).is_none(),
                "shape" => shape.replace(self.tuple()?).is_none(),
                _ => false,
            };
            if !is_new {
                return None;
            }
            if self.expect(",").is_none() {
                self.expect("}")?;
                break;
            }
        }
        match self.0.trim().is_empty() {
            true => Some((descr?, fortran?, shape?)),
            false => None,
        }
    }

    fn expect(&mut self, token: &str) -> Option<()> {
        self.0 = self.0.trim_start().strip_prefix(token)?;
        Some(())
    }

    fn string(&mut self) -> Option<&'a str> {
        let quote =
            if self.expect("'").is_some() { '\'' } else { self.expect("\"").map(|()| '"')? };
        let (string, rest) = self.0.split_once(quote)?;
        self.0 = rest;
        Some(string)
    }

    fn boolean(&mut self) -> Option<bool> {
        match self.expect("True") {
            Some(()) => Some(true),
            None => self.expect("False").map(|()| false),
        }
    }

    fn tuple(&mut self) -> Option<Vec<u64>> {
        let mut sizes = Vec::new();
        self.expect("(")?;
        while self.expect(")").is_none() {
            self.0 = self.0.trim_start();
            let end = self.0.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.0.len());
            sizes.push(self.0[..end].parse().ok()?);
            self.0 = &self.0[end..];
            if self.expect(",").is_none() {
                self.expect(")")?;
                break;
            }
        }
        Some(sizes)
    }
}
