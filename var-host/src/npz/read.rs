//! Reading arrays out of an archive, a part at a time.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use half::f16;
use zip::ZipArchive;
use zip::read::ZipFile;
use zip::result::ZipError;

use super::header::MAGIC;
use super::{NpyDtype, NpyHeader, NpzError, NpzFault};

/// Bytes read from the file at a time.
const BUFFER: usize = 1 << 18;

/// The largest array that is read whole: a covariance of 16 384 features in double precision.
const LARGEST_WHOLE: u64 = 1 << 31;

/// An archive of arrays.
pub struct Npz {
    path: PathBuf,
    archive: ZipArchive<BufReader<File>>,
}

/// The elements of one array, as a stream.
pub struct NpyValues<'a> {
    path: &'a Path,
    array: String,
    header: NpyHeader,
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
            let mut file = File::open(path)?;
            let mut start = Vec::new();
            (&mut file).take(MAGIC.len() as u64).read_to_end(&mut start)?;
            if start == MAGIC {
                return Err(NpzFault::SingleArray);
            }
            file.rewind()?;
            Ok(ZipArchive::new(BufReader::with_capacity(BUFFER, file))?)
        };
        let archive = open().map_err(|fault| fault.of(path))?;
        Ok(Self { path: path.to_path_buf(), archive })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The archive's comment; empty where it has none.
    pub fn comment(&self) -> &[u8] {
        self.archive.comment()
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
    pub fn elements(&mut self, array: &str) -> Result<NpyValues<'_>, NpzError> {
        self.check_there(array)?;
        let Self { path, archive } = self;
        stream(archive, path, array).map_err(|fault| fault.of(path))
    }

    /// The array called `array`, whole, in double precision, and its shape: floats of 2, 4 or 8 bytes in
    /// either order of bytes; a matrix in either order of rows and columns.
    ///
    /// # Errors
    /// If it is not there, its header is damaged or promises another number of elements than there are,
    /// it holds no floats or more than a covariance of 16 384 features, or its bytes are damaged.
    pub fn floats(&mut self, array: &str) -> Result<(Vec<usize>, Vec<f64>), NpzError> {
        self.check_there(array)?;
        let Self { path, archive } = self;
        whole(archive, array).map_err(|fault| fault.of(path))
    }

    fn check_there(&self, array: &str) -> Result<(), NpzError> {
        if self.contains(array) {
            return Ok(());
        }
        let names = self.archive.file_names().filter_map(Result::ok);
        let names = names.map(|name| name.trim_end_matches(".npy").to_owned());
        let has = names.collect::<Vec<_>>().join(", ");
        Err(NpzFault::Missing { array: array.to_owned(), has }.of(&self.path))
    }
}

type Archive = ZipArchive<BufReader<File>>;

/// The elements of an array, for reading a part at a time.
fn stream<'a>(
    archive: &'a mut Archive,
    path: &'a Path,
    array: &str,
) -> Result<NpyValues<'a>, NpzFault> {
    let stored = Stored::open(archive, array)?;
    let Some(element) = stored.header.element() else {
        let wants = "unsigned bytes, or little-endian floats of 4 or 8 bytes";
        return Err(stored.other_element(wants));
    };
    if stored.header.fortran_order && stored.header.shape.len() > 1 {
        return Err(NpzFault::FortranOrder { array: stored.array });
    }
    let length = stored.check_length(element.size())?;
    let Stored { array, header, member, .. } = stored;
    Ok(NpyValues { path, array, header, member, length })
}

/// The shape and the floats of an array.
fn whole(archive: &mut Archive, array: &str) -> Result<(Vec<usize>, Vec<f64>), NpzFault> {
    let mut stored = Stored::open(archive, array)?;
    let Some((size, swapped)) = stored.header.float() else {
        return Err(stored.other_element("floats of 2, 4 or 8 bytes"));
    };
    let shape = stored.header.shape.clone();
    if stored.header.fortran_order && shape.len() > 2 {
        return Err(NpzFault::FortranOrder { array: stored.array });
    }
    let length = stored.check_length(size)?;
    if length > LARGEST_WHOLE {
        let wants = format!("at most {LARGEST_WHOLE} bytes");
        return Err(NpzFault::Shape { array: stored.array, has: shape, wants });
    }
    let mut bytes = vec![0; length as usize];
    stored.member.read_exact(&mut bytes)?;
    // The checksum is compared when the end is read.
    let more = stored.member.read(&mut [0])? as u64;
    if more > 0 {
        let (wants, has) = (length, length + more);
        return Err(NpzFault::Length { array: stored.array, shape, wants, has });
    }
    let values = decode(&bytes, size, swapped);
    Ok(match shape[..] {
        [rows, columns] if stored.header.fortran_order => {
            let at = |i: usize| values[i % columns * rows + i / columns];
            (shape, (0..values.len()).map(at).collect())
        }
        _ => (shape, values),
    })
}

/// A member of an archive, its header read.
struct Stored<'a> {
    array: String,
    header: NpyHeader,
    member: ZipFile<'a, BufReader<File>>,
    /// Bytes that follow the header.
    has: u64,
}

impl<'a> Stored<'a> {
    fn open(archive: &'a mut ZipArchive<BufReader<File>>, array: &str) -> Result<Self, NpzFault> {
        let array = array.to_owned();
        let mut member = archive.by_name(&member(&array)).map_err(|error| match error {
            ZipError::UnsupportedArchive(_) => NpzFault::Zip(error),
            error => error.into(),
        })?;
        let (header, header_length) = NpyHeader::read(&mut member)?
            .map_err(|why| NpzFault::NpyHeader { array: array.clone(), why })?;
        let has = member.size().saturating_sub(header_length as u64);
        Ok(Self { array, header, member, has })
    }

    /// The fault of elements that are of another type.
    fn other_element(self, wants: &'static str) -> NpzFault {
        NpzFault::NpyDtype { array: self.array, has: self.header.descr, wants }
    }

    /// Bytes by the shape, which must be those there are.
    fn check_length(&self, size: usize) -> Result<u64, NpzFault> {
        let length = self.header.count().and_then(|count| count.checked_mul(size as u64));
        match length {
            Some(length) if length == self.has => Ok(length),
            _ => Err(NpzFault::Length {
                array: self.array.clone(),
                shape: self.header.shape.clone(),
                wants: length.unwrap_or(u64::MAX),
                has: self.has,
            }),
        }
    }
}

/// Floats of `size` bytes, which are `swapped` where the greatest comes first.
fn decode(bytes: &[u8], size: usize, swapped: bool) -> Vec<f64> {
    let bits = |element: &[u8]| {
        let push = |bits: u64, byte: &u8| bits << 8 | u64::from(*byte);
        if swapped { element.iter().fold(0, push) } else { element.iter().rev().fold(0, push) }
    };
    let value = |bits: u64| match size {
        2 => f16::from_bits(bits as u16).to_f64(),
        4 => f32::from_bits(bits as u32).into(),
        _ => f64::from_bits(bits),
    };
    bytes.chunks_exact(size).map(bits).map(value).collect()
}

impl NpyValues<'_> {
    /// Dimensions, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.header.shape
    }

    /// The element type.
    pub fn element(&self) -> NpyDtype {
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

impl core::fmt::Debug for NpyValues<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut text = f.debug_struct("Elements");
        text.field("array", &self.array).field("header", &self.header).finish_non_exhaustive()
    }
}

fn member(array: &str) -> String {
    format!("{array}.npy")
}
