//! The header of a `.npy` array: element type, order, shape.

use std::io::{self, Read};

/// The first bytes of every array.
pub(super) const MAGIC: &[u8] = b"\x93NUMPY";

/// Headers longer than this are refused, as NumPy itself does unless told otherwise.
const LONGEST: usize = 10_000;

/// The header's length is padded to a multiple of this with everything before it.
const ALIGNMENT: usize = 64;

/// Contents of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NpyHeader {
    /// NumPy's name of the element type, such as `|u1` or `<f4`.
    pub descr: String,
    /// Whether columns come first.
    pub fortran_order: bool,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
}

/// Element types that are read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NpyDtype {
    /// Bytes.
    U8,
    /// SingleProcess precision.
    F32,
    /// Double precision.
    F64,
}

impl NpyDtype {
    /// Bytes of one.
    pub const fn size(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// NumPy's name of it, little-endian.
    pub const fn descr(self) -> &'static str {
        match self {
            Self::U8 => "|u1",
            Self::F32 => "<f4",
            Self::F64 => "<f8",
        }
    }
}

impl NpyHeader {
    /// The little-endian element type, if it is one of those read here.
    pub fn element(&self) -> Option<NpyDtype> {
        [NpyDtype::U8, NpyDtype::F32, NpyDtype::F64].into_iter().find(|e| e.descr() == self.descr)
    }

    /// Bytes of an element and whether the greatest comes first, if elements are floats.
    pub(super) fn float(&self) -> Option<(usize, bool)> {
        let (order, kind) = self.descr.split_at_checked(1)?;
        let size = match kind {
            "f2" => 2,
            "f4" => 4,
            "f8" => 8,
            _ => return None,
        };
        Some((
            size,
            match order {
                "<" => false,
                ">" => true,
                _ => return None,
            },
        ))
    }

    /// Reads a header, and its own length.
    ///
    /// # Errors
    /// The reader's, or the fault of the header.
    pub(super) fn read(from: &mut impl Read) -> io::Result<Result<(Self, usize), &'static str>> {
        let mut start = [0; 8];
        if let Err(error) = from.read_exact(&mut start) {
            return short(error);
        }
        if !start.starts_with(MAGIC) {
            return Ok(Err("does not begin with \\x93NUMPY"));
        }
        let (length, prefix) = match start[6] {
            1 => {
                let mut length = [0; 2];
                from.read_exact(&mut length)?;
                (usize::from(u16::from_le_bytes(length)), 10)
            }
            2 | 3 => {
                let mut length = [0; 4];
                from.read_exact(&mut length)?;
                (u32::from_le_bytes(length) as usize, 12)
            }
            _ => return Ok(Err("a version of the format other than 1, 2, 3")),
        };
        if length > LONGEST {
            return Ok(Err("longer than 10000 bytes"));
        }
        let mut text = vec![0; length];
        if let Err(error) = from.read_exact(&mut text) {
            return short(error);
        }
        let header = str::from_utf8(&text).ok().and_then(Self::parse);
        Ok(header
            .map(|header| (header, prefix + length))
            .ok_or("not a dict of descr, fortran_order, shape"))
    }

    /// `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`, the keys in any order.
    fn parse(text: &str) -> Option<Self> {
        let value = |key: &str| {
            let rest = [format!("'{key}'"), format!("\"{key}\"")]
                .iter()
                .find_map(|quoted| Some(text.split_once(quoted.as_str())?.1))?;
            Some(rest.trim_start().strip_prefix(':')?.trim_start())
        };
        let descr = value("descr")?;
        let quote = descr.chars().next().filter(|c| "'\"".contains(*c));
        let descr = match quote {
            Some(quote) => descr[1..].split(quote).next()?.to_owned(),
            // A structured type: a list of names and types.
            None => descr.split(", 'fortran_order'").next()?.trim().to_owned(),
        };
        let order = value("fortran_order")?;
        let fortran_order = match (order.starts_with("True"), order.starts_with("False")) {
            (true, false) => true,
            (false, true) => false,
            _ => return None,
        };
        let (shape, _) = value("shape")?.strip_prefix('(')?.split_once(')')?;
        let sides = shape.split(',').map(str::trim).filter(|side| !side.is_empty());
        // NumPy under Python 2 wrote sides as 3L.
        let sides = sides.map(|side| side.trim_end_matches('L').parse().ok());
        Some(Self { descr, fortran_order, shape: sides.collect::<Option<_>>()? })
    }

    /// Elements, unless there are more than can be counted.
    pub(super) fn count(&self) -> Option<u64> {
        self.shape.iter().try_fold(1_u64, |count, side| count.checked_mul(*side as u64))
    }

    /// The header's bytes, version 1, as NumPy writes them.
    ///
    /// # Panics
    /// If there are so many dimensions that it does not fit.
    pub(super) fn bytes(element: NpyDtype, shape: &[usize]) -> Vec<u8> {
        let sides: Vec<String> = shape.iter().map(usize::to_string).collect();
        let comma = if shape.len() == 1 { "," } else { "" };
        let mut text = format!(
            "{{'descr': '{}', 'fortran_order': False, 'shape': ({}{comma}), }}",
            element.descr(),
            sides.join(", ")
        );
        const PREFIX: usize = MAGIC.len() + 4;
        let whole = (PREFIX + text.len() + 1).next_multiple_of(ALIGNMENT);
        text.extend(core::iter::repeat_n(' ', whole - PREFIX - text.len() - 1));
        text.push('\n');
        let length = u16::try_from(text.len()).expect("a header of few dimensions is short");
        [MAGIC, &[1, 0], &length.to_le_bytes(), text.as_bytes()].concat()
    }
}

/// A header cut short is a fault of the header, not of the system.
fn short<T>(error: io::Error) -> io::Result<Result<T, &'static str>> {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Ok(Err("cut short")),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<(NpyHeader, usize), &'static str> {
        NpyHeader::read(&mut &*bytes).unwrap()
    }

    #[test]
    fn header_is_read_as_written() {
        for shape in [&[][..], &[3], &[2, 0], &[50_000, 256, 256, 3]] {
            let bytes = NpyHeader::bytes(NpyDtype::F32, shape);
            assert_eq!(bytes.len() % ALIGNMENT, 0);
            let (header, length) = read(&bytes).unwrap();
            assert_eq!((header.shape.as_slice(), length), (shape, bytes.len()));
            assert_eq!((header.element(), header.fortran_order), (Some(NpyDtype::F32), false));
        }
        let bytes = NpyHeader::bytes(NpyDtype::U8, &[2]);
        assert_eq!(&bytes[..10], b"\x93NUMPY\x01\x00\x76\x00");
        assert!(
            bytes[10..].starts_with(b"{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }")
        );
    }

    #[test]
    fn other_writers_headers_are_read() {
        let header = |text: &str| NpyHeader::parse(text);
        let odd = header("{\"shape\":(3L,4L),\"fortran_order\":True,\"descr\":\">f8\"}").unwrap();
        assert_eq!((odd.shape, odd.fortran_order, odd.descr), (vec![3, 4], true, ">f8".to_owned()));
        let fields =
            "{'descr': [('a', '<f4'), ('b', '|u1')], 'fortran_order': False, 'shape': (3,), }";
        assert_eq!(header(fields).unwrap().element(), None);
        for text in [
            "",
            "{}",
            "{'descr': '<f4', 'fortran_order': False}",
            "{'descr': '<f4', 'fortran_order': Maybe, 'shape': ()}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3}",
        ] {
            assert_eq!(header(text), None, "{text}");
        }
    }

    #[test]
    fn damaged_headers_are_told() {
        let bytes = NpyHeader::bytes(NpyDtype::U8, &[2]);
        assert_eq!(read(&bytes[..5]), Err("cut short"));
        assert_eq!(read(&bytes[..100]), Err("cut short"));
        assert_eq!(read(b"PK\x03\x04 and more"), Err("does not begin with \\x93NUMPY"));
        assert_eq!(
            read(b"\x93NUMPY\x09\x00\x00\x00"),
            Err("a version of the format other than 1, 2, 3")
        );
        assert_eq!(read(b"\x93NUMPY\x02\x00\xff\xff\xff\x00"), Err("longer than 10000 bytes"));
    }
}
