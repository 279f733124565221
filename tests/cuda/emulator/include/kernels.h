// The table of a shared object's kernels, as nvrtc.cc writes it and modules.cc reads it.
#pragma once

#include <cstdint>

struct KernelEntry {
    const char* name;
    // The body, with its arguments read from memory.
    void (*run)();
    // Bytes of each parameter.
    const uint32_t* sizes;
    uint32_t parameters;
    // The most threads of a block, and blocks that a multiprocessor must hold at once.
    uint32_t threads, blocks;
};

// Shared memory that a kernel may declare and be launched with, together.
constexpr uint32_t SHARED_OF_LIBRARY = 256 << 10;

// Runs a grid: each argument in the low bytes of a word. The seed decides about the order of threads and
// blocks. Returns a fault's text, or null.
typedef const char* LaunchKernel(
    const KernelEntry* kernel, const uint32_t* grid, uint32_t threads, uint32_t shared, const uint64_t* arguments,
    uint64_t seed);

// Names of both in the shared object.
#define KERNEL_TABLE emulated_kernels
#define KERNEL_LAUNCH emulated_launch
