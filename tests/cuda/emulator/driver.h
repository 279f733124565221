// State of the driver: GPUs, their memory and their objects. One lock holds it all; a kernel runs while a thread
// has it.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "gpu.h"
#include "include/kernels.h"

// Numbers of CUresult.
enum Code {
    OK = 0, INVALID = 1, OUT_OF_MEMORY = 2, STUB = 34, BUSY = 46, NO_DEVICE = 100, INVALID_DEVICE = 101,
    INVALID_CONTEXT = 201, NOT_FOUND = 500, NOT_READY = 600, ILLEGAL_ADDRESS = 700, OUT_OF_RESOURCES = 701,
    FAILED = 719, NOT_SUPPORTED = 801, INVALIDATED = 901
};

// Bytes of shared memory that a block may have, that it may have without a function's attribute, and that it takes
// beside its own.
constexpr unsigned SHARED_OF_BLOCK = 227 << 10, USUAL_SHARED = 48 << 10, RESERVED_SHARED = 1 << 10;
constexpr unsigned SHARED_OF_MULTIPROCESSOR = 228 << 10;

// A GPU's computation: a fake's are left out; of a recorder they are noted; an emulated one does them.
enum Kind { FAKE, RECORDS, COMPUTES };

struct Allocation {
    char* pages;
    size_t bytes_of_pages, bytes;
};

struct Gpu {
    Kind kind = FAKE;
    int number = 0, retained = 0;
    int modules = 0, events = 0, graphs = 0, streams = 0;
    size_t used = 0;
};

// Work in a stream: what a graph replays. Captured by a copy of its arguments, host memory by its address.
typedef std::function<int()> Work;

// How much was asked for in a stream, and for how much of another's it waits.
struct Stream {
    Gpu* gpu;
    long asked = 0, awaited = 0;
    Stream* other = nullptr;
    bool captures = false;
    std::vector<Work> captured = {};
    int captured_launches = 0;
};

struct Event {
    Gpu* gpu;
    Stream* stream = nullptr;
    long asked = 0;
    int begun = 0;
    std::chrono::steady_clock::time_point time = {};
};

struct Graph {
    Gpu* gpu;
    std::vector<Work> work;
    int launches;
};

struct Function {
    std::string name;
    const KernelEntry* kernel;
    LaunchKernel* launch;
    unsigned allowed = 0;
    // As ptxas says: of the kernels with dynamic shared memory, `draw` declares the most.
    unsigned declared() const { return name == "draw" ? 4352 : 128; }
};

struct Module {
    Gpu* gpu;
    std::string image;
    void* library = nullptr;
    std::map<std::string, std::unique_ptr<Function>> functions = {};
};

// Held by each call of the interface.
struct Locked {
    std::lock_guard<std::recursive_mutex> guard;
    Locked();
};

// A failure, and the text that cuGetErrorString then gives this thread.
int failure(Code code, const std::string& text);

// The GPU that this thread has made its own.
Gpu* current();

// Whether this thread captures a stream.
bool capturing();

// Does work, or captures it.
int enqueue(Stream* stream, Work work, bool is_launch);

// Kernels launched, and whether that was more than the GPU stands.
extern int launches;
bool lost();

// Whether a run of memory is an allocation's.
bool inside(uint64_t address, size_t bytes);

// Bytes of the allocation that begins there; 0 if none does.
size_t bytes_of(uint64_t address);

// A report of bytes written behind an allocation's end since the last call; empty if there are none.
std::string written_past_the_end();

// Reports memory that is left when a GPU is given back.
void report_memory_left(Gpu* gpu);

// Counts a graph's launch.
void count_graph_launch();

// Sums over GPUs that nobody has waited for.
int sums_begun();
void report_sums();
void end_sums(Stream* later, const Event* passed);

// A recording GPU: each thread has its own memory and record.
size_t left_of_record();
int allocate_of_record(uint64_t* address, size_t bytes);
void record_launch(const Function* function, const unsigned* grid, unsigned threads, unsigned shared);
void record_product(uint64_t m, uint64_t n, uint64_t k);
