// Launches of kernels: within a GPU's limits, done at once.
#include "driver.h"

// A launch with its arguments, each in the low bytes of a word.
struct Launch {
    const Function* function;
    unsigned grid[3], threads, shared;
    std::vector<uint64_t> arguments;

    int run() const {
        static uint64_t seed;
        const char* fault = function->launch(
            function->kernel, grid, threads, shared, arguments.data(), seed++ * 0x9e3779b97f4a7c15);
        if (fault) return failure(FAILED, "kernel " + function->name + ": " + fault);
        std::string written = written_past_the_end();
        if (!written.empty()) return failure(ILLEGAL_ADDRESS, "kernel " + function->name + ": " + written);
        return OK;
    }
};

// A block's threads, and as many blocks as the text wants on a multiprocessor.
static int check_bounds(const KernelEntry* kernel, unsigned threads, unsigned shared) {
    if (threads > kernel->threads) {
        std::string of = std::to_string(threads) + " threads, the text says " + std::to_string(kernel->threads);
        return failure(INVALID, "a block of " + of);
    }
    if (kernel->blocks * (shared + RESERVED_SHARED) > SHARED_OF_MULTIPROCESSOR) {
        std::string of = std::to_string(kernel->blocks) + " blocks with " + std::to_string(shared);
        return failure(OUT_OF_RESOURCES, of + " bytes of shared memory");
    }
    return OK;
}

extern "C" int cuLaunchKernel(
    Function* function, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned ty, unsigned tz,
    unsigned shared, Stream* stream, void** arguments, void**) {
    Locked locked;
    const std::string& name = function->name;
    if (sums_begun() && (name.find("adamw") != name.npos || name.find("squares") != name.npos))
        wrong("gradients are read before their sum");
    if (!x || y > 65535 || z > 65535 || !threads || threads > 1024 || ty != 1 || tz != 1 || shared > SHARED_OF_BLOCK) {
        wrong("a launch no GPU can do");
        return failure(INVALID, "a launch no GPU can do");
    }
    if (function->declared() + shared > USUAL_SHARED && shared > function->allowed)
        return failure(INVALID, "more shared memory than the function's attribute allows");
    if (stream->captures && is("no-launch-in-capture")) return failure(INVALID, "no launch");
    Launch launch = {function, {x, y, z}, threads, shared, {}};
    if (stream->gpu->kind == RECORDS) return record_launch(function, launch.grid, threads, shared), OK;
    if (stream->gpu->kind == FAKE) return enqueue(stream, [] { return OK; }, true);
    const KernelEntry* kernel = function->kernel;
    if (int failed = check_bounds(kernel, threads, shared)) return failed;
    launch.arguments.resize(kernel->parameters);
    for (uint32_t i = 0; i < kernel->parameters; i++) memcpy(&launch.arguments[i], arguments[i], kernel->sizes[i]);
    return enqueue(stream, [launch] { return launch.run(); }, true);
}
