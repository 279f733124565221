// The recording GPU: no memory behind its addresses, no computation, and a record of each thread's launches.
#include "driver.h"

// As the tests read it.
struct Launched {
    char kernel[64];
    uint32_t grid[3], threads, shared;
};
struct Multiplied { uint64_t m, n, k; };

static thread_local uint64_t left;
static thread_local std::vector<Launched> launched, given;
static thread_local std::vector<Multiplied> multiplied, given_products;

size_t left_of_record() { return left; }

// From the end on, in multiples of 256 bytes; freed memory is not taken again.
int allocate_of_record(uint64_t* address, size_t bytes) {
    if (bytes > left) return failure(OUT_OF_MEMORY, "out of memory");
    left = (left - bytes) / 256 * 256;
    return *address = left + 256, OK;
}

void record_launch(const Function* function, const unsigned* grid, unsigned threads, unsigned shared) {
    Launched entry = {"", {grid[0], grid[1], grid[2]}, threads, shared};
    snprintf(entry.kernel, sizeof entry.kernel, "%s", function->name.c_str());
    launched.push_back(entry);
}

void record_product(uint64_t m, uint64_t n, uint64_t k) { multiplied.push_back({m, n, k}); }

extern "C" {

// This thread's recording GPU has so many bytes of memory, and an empty record.
void emulator_record(uint64_t bytes) { left = bytes, launched.clear(), multiplied.clear(); }

// The launches and products since the last call; good until the next.
const Launched* emulator_launched(size_t* count) {
    given = std::move(launched), launched.clear();
    return *count = given.size(), given.data();
}
const Multiplied* emulator_multiplied(size_t* count) {
    given_products = std::move(multiplied), multiplied.clear();
    return *count = given_products.size(), given_products.data();
}
}
