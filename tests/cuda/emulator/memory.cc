// Memory of a GPU: the host's, each allocation with a page behind it that faults. An emulated GPU's is filled with
// NaN in every format at first, a fake's with zeros; a recording GPU has none.
#include <sys/mman.h>

#include <algorithm>

#include "driver.h"

namespace {

constexpr size_t PAGE = 4096;

// Addresses are multiples of this, as a GPU's are.
constexpr size_t ALIGNED = 256;

constexpr size_t ROOM = 1 << 30, ROOM_OF_EMULATED = 1ull << 36;

std::map<uint64_t, Allocation> held[2];

std::map<uint64_t, Allocation>& held_by(const Gpu* gpu) { return held[gpu->number]; }

size_t room(const Gpu* gpu) {
    if (gpu->kind == COMPUTES) return ROOM_OF_EMULATED;
    return is("full") ? ROOM / 16 : is("tiny") ? ROOM / 128 : ROOM;
}

// Where the first byte behind an allocation's end lies that was written, from its start; they are restored. 0 is none.
size_t first_written(uint64_t address, const Allocation& of) {
    unsigned char *end = (unsigned char*)address + of.bytes, *last = (unsigned char*)of.pages + of.bytes_of_pages;
    unsigned char* found = std::find_if(end, last, [](unsigned char byte) { return byte != 0xff; });
    if (found == last) return 0;
    memset(end, 0xff, last - end);
    return found - (unsigned char*)address;
}

int copy_failure() {
    wrong("a copy outside of memory");
    return failure(INVALID, "a copy outside of memory");
}

}  // namespace

bool inside(uint64_t address, size_t bytes) {
    for (auto& memory : held) {
        auto next = memory.upper_bound(address);
        if (next == memory.begin()) continue;
        auto& [start, of] = *--next;
        if (address + bytes <= start + of.bytes) return true;
    }
    return false;
}

size_t bytes_of(uint64_t address) {
    for (auto& memory : held)
        if (auto found = memory.find(address); found != memory.end()) return found->second.bytes;
    return 0;
}

std::string written_past_the_end() {
    for (auto& [address, of] : held[0])
        if (size_t place = first_written(address, of))
            return std::to_string(place - of.bytes) + " bytes past an allocation's end";
    return "";
}

void report_memory_left(Gpu* gpu) {
    if (!held_by(gpu).empty()) wrong("memory is left");
}

extern "C" {

int cuMemAlloc_v2(uint64_t* address, size_t bytes) {
    Locked locked;
    Gpu* gpu = current();
    if (capturing()) wrong("memory is asked for within a capture");
    if (gpu->kind == RECORDS) return allocate_of_record(address, bytes);
    if (gpu->used + bytes > room(gpu)) return failure(OUT_OF_MEMORY, "out of memory");
    size_t bytes_of_pages = (std::max(bytes, (size_t)1) + ALIGNED + PAGE - 1) / PAGE * PAGE;
    char* pages =
        (char*)mmap(nullptr, bytes_of_pages + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) return failure(OUT_OF_MEMORY, "out of memory");
    mprotect(pages + bytes_of_pages, PAGE, PROT_NONE);
    // As near to the end as alignment allows.
    *address = ((uint64_t)pages + bytes_of_pages - bytes) / ALIGNED * ALIGNED;
    memset((char*)*address + bytes, 0xff, pages + bytes_of_pages - (char*)*address - bytes);
    if (gpu->kind == COMPUTES) memset(pages, 0xff, bytes_of_pages);
    held_by(gpu)[*address] = {pages, bytes_of_pages, bytes};
    return gpu->used += bytes, OK;
}
int cuMemFree_v2(uint64_t address) {
    Locked locked;
    Gpu* gpu = current();
    if (gpu->kind == RECORDS) return OK;
    auto found = held_by(gpu).find(address);
    if (found == held_by(gpu).end()) {
        wrong("what is freed was not allocated");
        return failure(INVALID, "what is freed was not allocated");
    }
    Allocation of = found->second;
    if (first_written(address, of)) wrong("bytes past an allocation's end");
    held_by(gpu).erase(found);
    munmap(of.pages, of.bytes_of_pages + PAGE);
    return gpu->used -= of.bytes, OK;
}
int cuMemGetInfo_v2(size_t* free, size_t* total) {
    Locked locked;
    Gpu* gpu = current();
    *total = gpu->kind == RECORDS ? left_of_record() : room(gpu);
    return *free = *total - (gpu->kind == RECORDS ? 0 : gpu->used), OK;
}
int cuMemHostAlloc(void** memory, size_t bytes, unsigned) { return *memory = malloc(bytes), OK; }
int cuMemFreeHost(void* memory) { return free(memory), OK; }

int cuMemcpyHtoDAsync_v2(uint64_t to, const void* from, size_t bytes, Stream* stream) {
    Locked locked;
    if (stream->gpu->kind == RECORDS) return OK;
    if (!inside(to, bytes)) return copy_failure();
    return enqueue(stream, [=] { return memcpy((void*)to, from, bytes), OK; }, false);
}
int cuMemcpyDtoHAsync_v2(void* to, uint64_t from, size_t bytes, Stream* stream) {
    Locked locked;
    if (stream->captures) wrong("a download within a capture");
    if (stream->gpu->kind == RECORDS) return OK;
    if (!inside(from, bytes)) return copy_failure();
    return memcpy(to, (void*)from, bytes), OK;
}
int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, Stream* stream) {
    Locked locked;
    if (stream->gpu->kind == RECORDS) return OK;
    if (!inside(to, bytes) || !inside(from, bytes)) return copy_failure();
    return enqueue(stream, [=] { return memmove((void*)to, (void*)from, bytes), OK; }, false);
}
}
