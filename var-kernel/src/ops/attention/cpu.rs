//! attention on the CPU.
