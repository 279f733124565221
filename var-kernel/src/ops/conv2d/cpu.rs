//! conv2d on the CPU.
