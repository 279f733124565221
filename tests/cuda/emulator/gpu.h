// Settings and reports that all libraries of the emulator share.
//
// VAR_FAKE_GPU, a list of words with commas between, asks for a GPU that computes nothing (products apart), and
// says its faults: none, stub, old-driver, old-gpu, new-gpu, busy, full, tiny, lost; no-capture, no-graph,
// no-launch-in-capture; waiting, a GPU with work that never ends; pair, one of two; lost-of-pair; small, of one
// multiprocessor; the same with an old-library, or a broken-library; counting, which says at the end how much was
// launched; any other word is a GPU without a fault. Unset, GPU 0 computes and GPU 1 records.
//
// Misuse of the interface (copies outside of memory, allocations within a capture, objects left behind) is said on
// stderr, after "fake driver:".
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

inline bool is(const char* name) {
    const char* fake = getenv("VAR_FAKE_GPU");
    size_t length = strlen(name);
    for (; fake && *fake; fake += *fake == ',') {
        const char* word = fake;
        fake += strcspn(fake, ",");
        if ((size_t)(fake - word) == length && strncmp(word, name, length) == 0) return true;
    }
    return false;
}

inline bool computes() { return !getenv("VAR_FAKE_GPU"); }

// Misuse ends the process of a GPU that computes: its tests do not read their own stderr.
inline void wrong(const char* text) {
    fprintf(stderr, "fake driver: %s\n", text);
    if (computes()) abort();
}

// Begins a module's image that names a shared object; another image is a program's text.
constexpr char SHARED_OBJECT[] = "shared object ";

// Of the GPU that computes; the one that records has another.
constexpr char COMPUTING_ARCHITECTURE[] = "sm_90";

// Exported by libcuda for the other libraries.
extern "C" {
bool emulator_lost();
void emulator_sum(uint64_t start, size_t bytes, void* stream);
// Runs `run` on a copy of `data` in the order of the stream: a product m × n with k terms in each sum.
struct Stream;
int emulator_multiply(
    Stream* stream, uint64_t m, uint64_t n, uint64_t k, void (*run)(const void*), const void* data, size_t bytes);
}
