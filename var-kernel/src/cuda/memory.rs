//! Memory of a GPU, owned.

use core::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::driver::Driver;
use super::error::CudaError;
use crate::remote::{Remote, WORD};

/// A run of a GPU's memory that is given back when this is dropped.
///
/// Contents are unspecified at first.
pub struct Memory {
    driver: Arc<dyn Driver>,
    address: u64,
    words: usize,
}

impl Memory {
    pub(super) fn new(driver: Arc<dyn Driver>, words: usize) -> Result<Self, CudaError> {
        let address = driver.allocate((WORD * words as u64).max(WORD))?;
        Ok(Self { driver, address, words })
    }
}

impl Deref for Memory {
    type Target = Remote;

    fn deref(&self) -> &Remote {
        Remote::at(self.address, self.words)
    }
}

impl DerefMut for Memory {
    fn deref_mut(&mut self) -> &mut Remote {
        Remote::at_mut(self.address, self.words)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.driver.free(self.address);
    }
}

impl core::fmt::Debug for Memory {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        (**self).fmt(f)
    }
}
