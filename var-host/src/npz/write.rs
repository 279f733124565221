//! Writing arrays into an archive, a part at a time.

use core::cell::RefCell;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::header::NpyHeader;
use super::{NpyDtype, NpzError, NpzFault};
use crate::atomic_file::AtomicFile;

/// An archive that is being written; it appears under its name when it is finished.
///
/// Arrays are stored, not compressed, with 64-bit sizes, as NumPy's `savez` does.
pub struct NpzWriter {
    path: PathBuf,
    zip: ZipWriter<Sink>,
    file: Rc<RefCell<Option<AtomicFile>>>,
    /// Bytes that the current array still wants.
    wants: u64,
}

impl NpzWriter {
    /// Begins an archive at `path`.
    ///
    /// # Errors
    /// If there is a file and it is not to be overwritten, or the folder cannot be written to.
    pub fn create(path: &Path, overwrite: bool) -> Result<Self, NpzError> {
        let file = AtomicFile::create(path, overwrite).map_err(|e| NpzFault::from(e).of(path))?;
        let file = Rc::new(RefCell::new(Some(file)));
        let zip = ZipWriter::new(Sink { file: Rc::clone(&file), place: 0 });
        Ok(Self { path: path.to_path_buf(), zip, file, wants: 0 })
    }

    /// Begins the array `array`; its elements must follow by [`NpzWriter::write`].
    ///
    /// # Panics
    /// If the array before it has not been written whole, or has the same name.
    ///
    /// # Errors
    /// If the system refuses to write.
    pub fn begin(
        &mut self,
        array: &str,
        element: NpyDtype,
        shape: &[usize],
    ) -> Result<(), NpzError> {
        assert_eq!(self.wants, 0, "npz: {array} begins before the array before it has ended");
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .large_file(true);
        let begun = self.zip.start_file(format!("{array}.npy"), options);
        begun.map_err(|error| self.fault(error.into()))?;
        let header = NpyHeader::bytes(element, shape);
        self.wants = shape.iter().fold(element.size() as u64, |size, side| size * *side as u64);
        self.put(&header)
    }

    /// The next bytes of the array's elements, little-endian, rows first.
    ///
    /// # Panics
    /// If they are more than the array's shape takes.
    ///
    /// # Errors
    /// If the system refuses to write.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), NpzError> {
        let more = bytes.len() as u64;
        assert!(more <= self.wants, "npz: {more} bytes, the array wants {} more", self.wants);
        self.wants -= more;
        self.put(bytes)
    }

    /// A whole array in double precision.
    ///
    /// # Panics
    /// As [`NpzWriter::begin`] and [`NpzWriter::write`].
    ///
    /// # Errors
    /// If the system refuses to write.
    pub fn floats(&mut self, array: &str, shape: &[usize], values: &[f64]) -> Result<(), NpzError> {
        self.begin(array, NpyDtype::F64, shape)?;
        for values in values.chunks(1 << 15) {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            self.write(&bytes)?;
        }
        Ok(())
    }

    /// Keeps `text`, of at most 65 535 bytes, as the archive's comment: readers of arrays pass it over.
    ///
    /// # Errors
    /// If it is longer.
    pub fn comment(&mut self, text: &str) -> Result<(), NpzError> {
        self.zip.set_comment(text).map_err(|error| self.fault(error.into()))
    }

    /// Writes the list of arrays and gives the file its name.
    ///
    /// # Panics
    /// If the last array has not been written whole.
    ///
    /// # Errors
    /// If the system refuses to write.
    pub fn finish(self) -> Result<(), NpzError> {
        let Self { path, zip, file, wants } = self;
        assert_eq!(wants, 0, "npz: the last array wants {wants} bytes more");
        zip.finish().map_err(|error| NpzFault::from(error).of(&path))?;
        let file = file.borrow_mut().take();
        let file = file.expect("is taken only after a fault, which ends the writing");
        file.commit().map_err(|error| NpzFault::from(error).of(&path))
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), NpzError> {
        self.zip.write_all(bytes).map_err(|error| self.fault(error.into()))
    }

    /// Abandons the file: the zip writer's output after a fault is dropped.
    fn fault(&self, fault: NpzFault) -> NpzError {
        *self.file.borrow_mut() = None;
        fault.of(&self.path)
    }
}

/// Where the archive's bytes go: a file, or nowhere once the file has been given up. The zip writer
/// ends its archive when it is dropped and complains on the terminal if it cannot.
struct Sink {
    file: Rc<RefCell<Option<AtomicFile>>>,
    /// Where writing goes on, once there is no file.
    place: u64,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut *self.file.borrow_mut() {
            Some(file) => file.write(bytes),
            None => {
                self.place += bytes.len() as u64;
                Ok(bytes.len())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.borrow_mut().as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Seek for Sink {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match &mut *self.file.borrow_mut() {
            Some(file) => {
                self.place = file.seek(to)?;
            }
            None => {
                self.place = match to {
                    SeekFrom::Start(place) => place,
                    SeekFrom::Current(by) | SeekFrom::End(by) => {
                        self.place.saturating_add_signed(by)
                    }
                };
            }
        }
        Ok(self.place)
    }
}

impl core::fmt::Debug for NpzWriter {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("NpzWriter").field("path", &self.path).finish_non_exhaustive()
    }
}
