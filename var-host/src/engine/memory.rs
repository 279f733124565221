//! Working memory the engine lends to the kernel, kept from one call to the next.

use var_kernel::arena::ALIGNMENT;

use super::EngineError;

/// Memory that starts at a multiple of a cache line and grows when more is wanted.
#[derive(Debug, Default)]
pub struct Buffer(Vec<f32>);

impl Buffer {
    /// At least `floats`, contents unspecified.
    ///
    /// # Errors
    /// If the system has not as much.
    pub fn at_least(&mut self, floats: usize) -> Result<&mut [f32], EngineError> {
        let refused = || EngineError::Memory { bytes: 4 * floats as u128 };
        let wanted = floats.checked_add(ALIGNMENT).ok_or_else(refused)?;
        if self.0.len() < wanted {
            // The old memory goes first, and the new is not touched: only pages in use are resident.
            self.0 = Vec::new();
            let mut fresh = Vec::<f32>::new();
            fresh.try_reserve_exact(wanted).map_err(|_| refused())?;
            drop(fresh);
            self.0 = vec![0.0; wanted];
        }
        let bytes = ALIGNMENT * size_of::<f32>();
        let start = self.0.as_ptr().align_offset(bytes).min(ALIGNMENT);
        Ok(&mut self.0[start..start + floats])
    }
}
