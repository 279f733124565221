//! Reading arrays out of an archive, a part at a time.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use zip::ZipArchive;
use zip::read::ZipFile;
use zip::result::ZipError;

use super::{Element, Header, NpzError, NpzFault};

/// What the reader of the file takes from it at a time.
const BUFFER: usize = 1 << 18;

/// The largest array that is read whole: a covariance of 16 384 features in double precision.
const LARGEST_WHOLE: u64 = 1 << 31;

/// An archive of arrays.
pub struct Npz {
    path: PathBuf,
    archive: ZipArchive<BufReader<File>>,
}

/// The elements of one array, as a stream.
pub struct Elements<'a> {
    path: &'a Path,
    array: String,
    header: Header,
    member: ZipFile<'a, BufReader<File>>,
    /// Bytes by the shape.
    length: u64,
}

impl Npz {
    /// Opens the archive at `path` and reads its list of arrays.
    ///
    /// # Errors
    /// If it cannot be read or is no archive.
    pub fn open(path: &Path) -> Result<Self, NpzError> {
        let open = || -> Result<_, NpzFault> {
            let file = File::open(path)?;
            Ok(ZipArchive::new(BufReader::with_capacity(BUFFER, file))?)
        };
        let archive = open().map_err(|fault| fault.of(path))?;
        Ok(Self { path: path.to_path_buf(), archive })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is an array called `array`.
    pub fn contains(&self, array: &str) -> bool {
        self.archive.index_for_name(&member(array)).is_some()
    }

    /// The array called `array`, its header read and checked against the bytes that follow.
    ///
    /// # Errors
    /// If it is not there, or its header is damaged, of another element type, in Fortran order, or
    /// promises another number of elements than there are.
    pub fn elements(&mut self, array: &str) -> Result<Elements<'_>, NpzError> {
        let Self { path, archive } = self;
        if archive.index_for_name(&member(array)).is_none() {
            let names = archive.file_names().filter_map(Result::ok);
            let names = names.map(|name| name.trim_end_matches(".npy").to_owned());
            let has = names.collect::<Vec<_>>().join(", ");
            return Err(NpzFault::Missing { array: array.to_owned(), has }.of(path));
        }
        Self::member(archive, path, array).map_err(|fault| fault.of(path))
    }

    fn member<'a>(
        archive: &'a mut ZipArchive<BufReader<File>>,
        path: &'a Path,
        array: &str,
    ) -> Result<Elements<'a>, NpzFault> {
        let array = array.to_owned();
        let mut member = archive.by_name(&member(&array)).map_err(|error| match error {
            ZipError::UnsupportedArchive(_) => NpzFault::Zip(error),
            error => error.into(),
        })?;
        let (header, header_length) = Header::read(&mut member)?
            .map_err(|why| NpzFault::Header { array: array.clone(), why })?;
        let Some(element) = header.element() else {
            let wants = "unsigned bytes, or little-endian floats of 4 or 8 bytes";
            return Err(NpzFault::Element { array, has: header.descr, wants });
        };
        if header.fortran_order && header.shape.len() > 1 {
            return Err(NpzFault::FortranOrder { array });
        }
        let length = header.count().and_then(|count| count.checked_mul(element.size() as u64));
        let has = member.size().saturating_sub(header_length as u64);
        match length {
            Some(length) if length == has => Ok(Elements { path, array, header, member, length }),
            _ => {
                let wants = length.unwrap_or(u64::MAX);
                Err(NpzFault::Length { array, shape: header.shape, wants, has })
            }
        }
    }

    /// The array called `array`, whole, in double precision, and its shape.
    ///
    /// # Errors
    /// Those of [`Npz::elements`], if it holds bytes or more than a covariance of 16 384 features, or
    /// if its bytes are damaged.
    pub fn floats(&mut self, array: &str) -> Result<(Vec<usize>, Vec<f64>), NpzError> {
        let mut elements = self.elements(array)?;
        let (shape, length) = (elements.header.shape.clone(), elements.length);
        let element = elements.element();
        if element == Element::U8 {
            let (has, wants) = (elements.header.descr.clone(), "little-endian floats");
            return Err(elements.fault(NpzFault::Element { array: array.to_owned(), has, wants }));
        }
        if length > LARGEST_WHOLE {
            let wants = format!("at most {LARGEST_WHOLE} bytes");
            return Err(elements.fault(NpzFault::Shape {
                array: array.to_owned(),
                has: shape,
                wants,
            }));
        }
        let mut bytes = vec![0; length as usize];
        elements.read(&mut bytes)?;
        elements.finish()?;
        let values = match element {
            Element::F32 => bytes
                .as_chunks::<4>()
                .0
                .iter()
                .map(|bytes| f64::from(f32::from_le_bytes(*bytes)))
                .collect(),
            _ => bytes.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect(),
        };
        Ok((shape, values))
    }
}

impl Elements<'_> {
    /// Dimensions, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.header.shape
    }

    /// The element type.
    pub fn element(&self) -> Element {
        self.header.element().expect("was checked when the header was read")
    }

    /// NumPy's name of the element type.
    pub fn descr(&self) -> &str {
        &self.header.descr
    }

    /// The next `to.len()` bytes of the elements.
    ///
    /// # Errors
    /// If the file is damaged or cannot be read.
    pub fn read(&mut self, to: &mut [u8]) -> Result<(), NpzError> {
        self.member.read_exact(to).map_err(|error| NpzFault::from(error).of(self.path))
    }

    /// Checks, at the end, that nothing follows and that the checksum is right.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn finish(mut self) -> Result<(), NpzError> {
        // The checksum is compared when the end is read.
        match self.member.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(more) => {
                let (array, shape) = (self.array.clone(), self.header.shape.clone());
                let (wants, has) = (self.length, self.length + more as u64);
                Err(self.fault(NpzFault::Length { array, shape, wants, has }))
            }
            Err(error) => Err(NpzFault::from(error).of(self.path)),
        }
    }

    /// A fault of this array's file.
    pub(crate) fn fault(&self, fault: NpzFault) -> NpzError {
        fault.of(self.path)
    }
}

impl core::fmt::Debug for Npz {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Npz").field("path", &self.path).finish_non_exhaustive()
    }
}

impl core::fmt::Debug for Elements<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut text = f.debug_struct("Elements");
        text.field("array", &self.array).field("header", &self.header).finish_non_exhaustive()
    }
}

fn member(array: &str) -> String {
    format!("{array}.npy")
}
