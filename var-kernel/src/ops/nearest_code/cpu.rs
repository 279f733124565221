//! nearest_code on the CPU.
