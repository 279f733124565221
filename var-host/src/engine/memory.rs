//! Working memory the engine lends to the kernel, kept from one call to the next.

use var_kernel::arena::ALIGNMENT;

use super::EngineError;

/// Memory that starts at a multiple of a cache line: its own, which grows when more is wanted, or the caller's.
#[derive(Debug)]
pub struct Buffer(Ownership);

#[derive(Debug)]
enum Ownership {
    Owned(Vec<f32>),
    Lent(&'static mut [f32]),
}

impl Default for Buffer {
    fn default() -> Self {
        Self(Ownership::Owned(Vec::new()))
    }
}

impl Buffer {
    /// Memory of the caller's, which stays as long as it is.
    pub fn lent(memory: &'static mut [f32]) -> Self {
        Self(Ownership::Lent(memory))
    }

    /// Floats to lend for `floats` of use, wherever they begin.
    pub fn lent_len(floats: usize) -> usize {
        floats + ALIGNMENT
    }

    /// At least `floats`, contents unspecified.
    ///
    /// # Errors
    /// If the system has not as much, or the caller lent less.
    pub fn at_least(&mut self, floats: usize) -> Result<&mut [f32], EngineError> {
        let refused = || EngineError::Memory { bytes: 4 * floats as u128 };
        let wanted = floats.checked_add(ALIGNMENT).ok_or_else(refused)?;
        let memory = match &mut self.0 {
            Ownership::Owned(memory) => {
                if memory.len() < wanted {
                    // The old memory goes first, and the new is not touched: only pages in use are
                    // resident.
                    *memory = Vec::new();
                    let mut fresh = Vec::<f32>::new();
                    fresh.try_reserve_exact(wanted).map_err(|_| refused())?;
                    drop(fresh);
                    *memory = vec![0.0; wanted];
                }
                &mut memory[..]
            }
            Ownership::Lent(memory) => memory,
        };
        let start = memory.as_ptr().align_offset(ALIGNMENT * size_of::<f32>()).min(ALIGNMENT);
        let lent = memory.len();
        memory
            .get_mut(start..start + floats)
            .ok_or(EngineError::LentMemory { wanted: 4 * wanted as u128, lent: 4 * lent as u128 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lent_memory_serves_from_a_cache_line_on_and_is_never_replaced() {
        let memory: &'static mut [f32] = vec![0.0; Buffer::lent_len(100) + 3].leak();
        let range = memory.as_ptr_range();
        let mut buffer = Buffer::lent(&mut memory[3..]);
        let own = buffer.at_least(100).unwrap();
        assert_eq!(own.as_ptr().align_offset(64), 0);
        assert!(own.len() == 100 && range.contains(&own.as_ptr()));
        let refused = buffer.at_least(200).unwrap_err().to_string();
        assert_eq!(refused, "864 bytes of working memory wanted, 464 lent");
    }
}
