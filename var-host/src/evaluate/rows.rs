//! Features of a set of images, kept in a temporary file: 8 KB an image.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use super::EvaluateError;

/// Rows of `f32` that have no name and go when this goes.
#[derive(Debug)]
pub struct FeatureRows {
    width: usize,
    count: usize,
    file: File,
}

impl FeatureRows {
    /// None yet, of `width` numbers each.
    ///
    /// # Errors
    /// If the system has no place for temporary files.
    pub fn new(width: usize) -> Result<Self, EvaluateError> {
        let file = tempfile::tempfile().map_err(|source| fault(0, width, source))?;
        Ok(Self { width, count: 0, file })
    }

    /// Numbers of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows so far.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds `rows`, whole rows.
    ///
    /// # Panics
    /// If they are not whole rows.
    ///
    /// # Errors
    /// If the system refuses to write.
    pub fn push(&mut self, rows: &[f32]) -> Result<(), EvaluateError> {
        assert_eq!(rows.len() % self.width, 0, "rows: not rows of {}", self.width);
        let mut write = || {
            self.file.seek(SeekFrom::End(0))?;
            self.file.write_all(bytemuck::cast_slice(rows))
        };
        write().map_err(|source| fault(self.count, self.width, source))?;
        self.count += rows.len() / self.width;
        Ok(())
    }

    /// The rows from `first` on, as many as `to` takes.
    ///
    /// # Panics
    /// If there are not so many.
    ///
    /// # Errors
    /// If the system refuses to read.
    pub fn read(&self, first: usize, to: &mut [f32]) -> Result<(), EvaluateError> {
        assert!(first * self.width + to.len() <= self.count * self.width, "rows: past the end");
        let mut file = &self.file;
        let mut read = || {
            file.seek(SeekFrom::Start(4 * (first * self.width) as u64))?;
            file.read_exact(bytemuck::cast_slice_mut(to))
        };
        read().map_err(|source| fault(self.count, self.width, source))
    }
}

fn fault(pictures: usize, width: usize, source: io::Error) -> EvaluateError {
    EvaluateError::InceptionFeatures { pictures, bytes: 4 * (pictures * width) as u64, source }
}
