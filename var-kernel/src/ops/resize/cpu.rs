//! resize on the CPU.
