// Threads of a block as fibers on one thread of the processor; blocks run one after the other.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <sys/mman.h>
#include <tuple>
#include <utility>
#include <vector>

#include "kernels.h"

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

namespace machine {

constexpr int LANES = 32;
constexpr int MOST_THREADS = 1024;
constexpr size_t STACK = 128 << 10;
constexpr size_t SHARED = SHARED_OF_LIBRARY;

struct Dim { u32 x, y, z; };

// What a thread waits for.
enum State { READY, AT_BLOCK, AT_WARP, DONE };

struct Copy { void* to; const void* from; bool valid; };

struct Fiber {
    void* stack_pointer;
    State state;
    Dim index;
    int operation;          // of the warp operation it is in
    u32 parity;             // which exchange buffer is next
    u32 votes;              // how many votes of the block it took part in
    std::vector<std::vector<Copy>> groups;
    std::vector<Copy> open;
};

inline Fiber fibers[MOST_THREADS];
inline Fiber* current;
inline Dim block_index, block_size, grid_size;
inline unsigned char* stacks;
inline unsigned char* shared_pages;
inline unsigned char* shared;
inline void* scheduler_stack;
inline void (*entry)();
inline const char* fault;
inline int votes[3];
inline u64 random_state = 1;
// Two buffers by turns: a lane cannot be two warp operations ahead of another.
inline u64 exchange[2][MOST_THREADS][4];

inline u32 random(u32 below) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (u32)((random_state >> 32) % below);
}

extern "C" void machine_switch(void** save, void* load);
asm(R"(
.text
.local machine_switch
.type machine_switch, @function
machine_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");

inline void leave(State state) {
    current->state = state;
    machine_switch(&current->stack_pointer, scheduler_stack);
}

inline void run_fiber() {
    entry();
    leave(DONE);
}

inline void warp_barrier(int operation) {
    current->operation = operation;
    leave(AT_WARP);
}

inline u32 lane() { return current->index.x % LANES; }
inline u32 warp_start() { return current->index.x / LANES * LANES; }

// Gives `words` to the other lanes of the warp; returns where theirs lie.
inline u64 (*share(int operation, const u64* words, int count))[4] {
    u64(*buffer)[4] = &exchange[current->parity][warp_start()];
    current->parity ^= 1;
    for (int i = 0; i < count; i++) buffer[lane()][i] = words[i];
    warp_barrier(operation);
    return buffer;
}

inline bool run_block(u32 threads) {
    static int order[MOST_THREADS];
    votes[0] = 0;
    for (u32 t = 0; t < threads; t++) {
        Fiber& fiber = fibers[t];
        u64* top = (u64*)(stacks + (t + 1) * STACK);
        *--top = 0;
        *--top = (u64)(void*)&run_fiber;
        for (int i = 0; i < 6; i++) *--top = 0;
        fiber.stack_pointer = top;
        fiber.state = READY;
        fiber.index = {t, 0, 0};
        fiber.parity = 0;
        fiber.votes = 0;
        fiber.groups.clear();
        fiber.open.clear();
        order[t] = t;
    }
    for (u32 t = threads - 1; t > 0; t--) std::swap(order[t], order[random(t + 1)]);
    for (;;) {
        for (u32 i = 0; i < threads; i++) {
            Fiber& fiber = fibers[order[i]];
            if (fiber.state != READY) continue;
            current = &fiber;
            machine_switch(&scheduler_stack, fiber.stack_pointer);
        }
        u32 done = 0, at_block = 0;
        bool released = false;
        for (u32 warp = 0; warp < threads; warp += LANES) {
            u32 end = std::min(warp + LANES, threads), waiting = 0, gone = 0;
            for (u32 t = warp; t < end; t++) {
                waiting += fibers[t].state == AT_WARP;
                gone += fibers[t].state == DONE;
                at_block += fibers[t].state == AT_BLOCK;
            }
            done += gone;
            if (waiting == 0) continue;
            if (waiting + gone < end - warp) {
                // Some wait at the block's barrier, the others for them: they can never meet.
                fault = "lanes of a warp wait for others that wait at a barrier of the block";
                return false;
            }
            if (gone > 0 || end - warp < LANES) {
                fault = "a warp operation in which lanes are missing";
                return false;
            }
            for (u32 t = warp; t < end; t++) {
                if (fibers[t].operation != fibers[warp].operation) {
                    fault = "lanes of a warp do different operations";
                    return false;
                }
            }
            for (u32 t = warp; t < end; t++) fibers[t].state = READY;
            released = true;
        }
        if (done == threads) return true;
        if (!released && at_block + done == threads) {
            for (u32 t = 0; t < threads; t++)
                if (fibers[t].state == AT_BLOCK) fibers[t].state = READY;
        }
    }
}

inline void start() {
    if (stacks) return;
    auto pages = [](size_t bytes) {
        return (unsigned char*)mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    };
    stacks = pages(MOST_THREADS * STACK);
    shared_pages = pages(SHARED + 4096);
    mprotect(shared_pages + SHARED, 4096, PROT_NONE);
}

template <class... A, size_t... I>
void call(void (*kernel)(A...), const u64* arguments, std::index_sequence<I...>) {
    auto get = [&](auto* p, size_t i) {
        std::remove_pointer_t<decltype(p)> value;
        memcpy(&value, &arguments[i], sizeof value);
        return value;
    };
    kernel(get((std::remove_cv_t<A>*)nullptr, I)...);
}

inline const u64* arguments;

// A kernel's body with its arguments read from memory, and their sizes.
template <auto KERNEL_FUNCTION> struct Body;
template <class... A, void (*KERNEL_FUNCTION)(A...)>
struct Body<KERNEL_FUNCTION> {
    static constexpr u32 COUNT = sizeof...(A);
    static constexpr u32 SIZES[] = {sizeof(A)..., 0};
    static void run() { call(KERNEL_FUNCTION, arguments, std::index_sequence_for<A...>{}); }
};

struct Bounds { u32 threads, blocks; };

// As __launch_bounds__ has them.
constexpr Bounds bounds(u32 threads, u32 blocks = 1) { return {threads, blocks}; }

template <auto KERNEL_FUNCTION>
constexpr KernelEntry entry_of(const char* name, Bounds of) {
    using Of = Body<KERNEL_FUNCTION>;
    return {name, &Of::run, Of::SIZES, Of::COUNT, of.threads, of.blocks};
}

inline const char* launch(
    const KernelEntry* kernel, const u32* grid, u32 threads, u32 shared_bytes, const uint64_t* given, uint64_t seed) {
    start();
    random_state = seed | 1;
    entry = kernel->run;
    arguments = (const u64*)given;
    grid_size = {grid[0], grid[1], grid[2]};
    block_size = {threads, 1, 1};
    shared = shared_pages + SHARED - (shared_bytes + 127) / 128 * 128;
    u64 blocks = (u64)grid[0] * grid[1] * grid[2];
    // A stride that has no factor in common with the blocks visits them all, in no order to rely on.
    u64 stride = blocks > 3 ? blocks / 2 + 1 + random(4) : 1;
    while (std::__gcd(stride, blocks) != 1) stride++;
    u64 block = blocks > 1 ? random(blocks > 0xffffffff ? 0xffffffff : (u32)blocks) : 0;
    fault = nullptr;
    for (u64 i = 0; i < blocks; i++, block = (block + stride) % blocks) {
        block_index = {(u32)(block % grid[0]), (u32)(block / grid[0] % grid[1]), (u32)(block / grid[0] / grid[1])};
        memset(shared, 0xff, shared_pages + SHARED - shared);
        if (!run_block(threads)) return fault;
        if (fault) return fault;
    }
    return nullptr;
}

}  // namespace machine
