//! linear on the CPU.
