//! group_norm on the CPU.
