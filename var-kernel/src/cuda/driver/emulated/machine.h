// CUDA's builtins and the kernels' instructions on the processor, for tests: every thread of a block is a
// fiber; blocks run one after the other.
//
// What it finds: wrong numbers, barriers that not all threads reach, warp operations in which lanes are
// missing or do something else, reads of memory nobody wrote (it holds NaN), copies not waited for, reads
// past the end of an allocation (a page that faults follows it), and — threads and blocks run in an order
// that changes from launch to launch — barriers that are missing.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <sys/mman.h>
#include <tuple>
#include <utility>
#include <vector>

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

#define __device__
#define __global__
#define __forceinline__ inline
#define __restrict__
#define __shared__ static
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(...)
#define KERNEL(...) static
#define DYNAMIC_SHARED(name) unsigned char* name = machine::shared

struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) uint2 { u32 x, y; };
struct alignas(16) uint4 { u32 x, y, z, w; };
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline uint4 make_uint4(u32 x, u32 y, u32 z, u32 w) { return {x, y, z, w}; }

namespace machine {

constexpr int LANES = 32;
constexpr int MOST_THREADS = 1024;
constexpr size_t STACK = 128 << 10;
constexpr size_t SHARED = 256 << 10;

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

// A kernel's body with its arguments read from memory.
template <auto KERNEL_FUNCTION> struct Body;
template <class... A, void (*KERNEL_FUNCTION)(A...)>
struct Body<KERNEL_FUNCTION> {
    static constexpr u32 COUNT = sizeof...(A);
    static void run() { call(KERNEL_FUNCTION, arguments, std::index_sequence_for<A...>{}); }
};

struct Entry { const char* name; void (*run)(); u32 arguments; };

// Runs a kernel; returns what was wrong, or null.
inline const char* launch(
    const Entry* entries, const char* name, const u32* grid, u32 threads, u32 shared_bytes, const u64* given,
    u32 count, u64 seed) {
    start();
    random_state = seed | 1;
    for (; entries->name; entries++)
        if (strcmp(entries->name, name) == 0) break;
    if (!entries->name) return "there is no such kernel";
    if (entries->arguments != count) return "the kernel takes another number of arguments";
    if (shared_bytes > SHARED) return "more shared memory than a block can have";
    entry = entries->run;
    arguments = given;
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

#define threadIdx (machine::current->index)
#define blockIdx machine::block_index
#define blockDim machine::block_size
#define gridDim machine::grid_size

inline void __syncthreads() { machine::leave(machine::AT_BLOCK); }
inline int __syncthreads_or(int vote) {
    // Three turns: nobody clears the votes of a turn that others still read.
    u32 turn = machine::current->votes++ % 3;
    machine::votes[(turn + 1) % 3] = 0;
    machine::votes[turn] |= vote != 0;
    __syncthreads();
    return machine::votes[turn];
}
inline void __syncwarp(u32 = ~0u) { machine::warp_barrier(1); }

template <class T> T exchange_lane(int operation, T x, u32 from) {
    u64 word = 0;
    memcpy(&word, &x, sizeof x);
    auto words = machine::share(operation, &word, 1);
    T y;
    memcpy(&y, &words[from % machine::LANES][0], sizeof y);
    return y;
}
template <class T> T __shfl_xor_sync(u32, T x, int mask) { return exchange_lane(2, x, machine::lane() ^ mask); }
template <class T> T __shfl_sync(u32, T x, int from) { return exchange_lane(3, x, from); }
template <class T> T __shfl_up_sync(u32, T x, u32 by) {
    u32 lane = machine::lane();
    return exchange_lane(4, x, lane >= by ? lane - by : lane);
}
template <class T> T __shfl_down_sync(u32, T x, u32 by) {
    u32 lane = machine::lane();
    return exchange_lane(5, x, lane + by < 32 ? lane + by : lane);
}
inline u32 __ballot_sync(u32, bool vote) {
    u64 word = vote;
    auto words = machine::share(6, &word, 1);
    u32 votes = 0;
    for (int i = 0; i < machine::LANES; i++) votes |= (u32)words[i][0] << i;
    return votes;
}
inline bool __any_sync(u32 mask, bool vote) { return __ballot_sync(mask, vote) != 0; }

inline float __uint_as_float(u32 bits) { float x; memcpy(&x, &bits, 4); return x; }
inline u32 __float_as_uint(float x) { u32 bits; memcpy(&bits, &x, 4); return bits; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float a) { return std::sqrt(a); }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __dadd_rn(double a, double b) { return a + b; }
inline float rsqrtf(float a) { return 1.0f / std::sqrt(a); }
inline int __popc(u32 x) { return __builtin_popcount(x); }
inline u32 __umulhi(u32 a, u32 b) { return (u32)((u64)a * b >> 32); }
template <class T> T __ldg(const T* p) { return *p; }
template <class T> T min(T a, T b) { return b < a ? b : a; }
template <class T> T max(T a, T b) { return a < b ? b : a; }
template <class T> T atomicAdd(T* place, T x) { T before = *place; *place += x; return before; }
template <class T> T atomicMin(T* place, T x) { T before = *place; *place = std::min(*place, x); return before; }
template <class T> T atomicMax(T* place, T x) { T before = *place; *place = std::max(*place, x); return before; }

inline float f16_to_f32(u16 bits) { _Float16 x; memcpy(&x, &bits, 2); return (float)x; }
inline u16 f32_to_f16(float x) { _Float16 y = (_Float16)x; u16 bits; memcpy(&bits, &y, 2); return bits; }
inline u16 f32_to_bf16(float x) {
    u32 bits = __float_as_uint(x);
    if ((bits & 0x7fffffff) > 0x7f800000) return 0x7fff;
    return (u16)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
#ifdef HALF_IS_BF16
inline float machine_widen(u16 bits) { return __uint_as_float((u32)bits << 16); }
inline u16 machine_narrow(float x) { return f32_to_bf16(x); }
#else
inline float machine_widen(u16 bits) { return f16_to_f32(bits); }
inline u16 machine_narrow(float x) { return f32_to_f16(x); }
#endif
inline u32 pack_half(float low, float high) { return machine_narrow(low) | (u32)machine_narrow(high) << 16; }
inline float exp2_fast(float x) { return std::exp2(x); }

inline void multiply_add_16x8x16(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    u64 words[4] = {a[0] | (u64)a[1] << 32, a[2] | (u64)a[3] << 32, b0 | (u64)b1 << 32, 0};
    auto all = machine::share(7, words, 3);
    auto half = [](u64 pair, int i) { return machine_widen((u16)(pair >> 16 * i)); };
    auto at_a = [&](int row, int k) {
        u64 pair = all[row % 8 * 4 + k % 8 / 2][k / 8] >> (row / 8 * 32);
        return half(pair, k % 2);
    };
    auto at_b = [&](int k, int column) {
        return half(all[column * 4 + k % 8 / 2][2] >> (k / 8 * 32), k % 2);
    };
    int g = machine::lane() / 4, t = machine::lane() % 4;
    for (int i = 0; i < 4; i++) {
        int row = g + i / 2 * 8, column = 2 * t + i % 2;
        float sum = d[i];
        for (int k = 0; k < 16; k++) sum = std::fma(at_a(row, k), at_b(k, column), sum);
        d[i] = sum;
    }
}

inline float round_to_tf32(float x) {
    u32 bits = __float_as_uint(x);
    if ((bits & 0x7fffffff) > 0x7f800000) return __uint_as_float(0x7fffffff);
    return __uint_as_float((bits + 0x1000) & ~0x1fffu);
}

// Products are exact; a sum is one chain in order of k, rounded at each.
inline void multiply_add_16x8x8(float (&d)[4], const float (&a)[4], const float (&b)[2]) {
    auto pair = [](float low, float high) {
        for (float x : {low, high})
            if (x == x && (__float_as_uint(x) & 0x1fff) != 0) machine::fault = "a factor has more digits than TF32";
        return __float_as_uint(low) | (u64)__float_as_uint(high) << 32;
    };
    u64 words[3] = {pair(a[0], a[1]), pair(a[2], a[3]), pair(b[0], b[1])};
    auto all = machine::share(11, words, 3);
    auto at_a = [&](int row, int k) { return __uint_as_float((u32)(all[row % 8 * 4 + k % 4][k / 4] >> row / 8 * 32)); };
    auto at_b = [&](int k, int column) { return __uint_as_float((u32)(all[column * 4 + k % 4][2] >> k / 4 * 32)); };
    int g = machine::lane() / 4, t = machine::lane() % 4;
    for (int i = 0; i < 4; i++) {
        int row = g + i / 2 * 8, column = 2 * t + i % 2;
        for (int k = 0; k < 8; k++) d[i] = std::fma(at_a(row, k), at_b(k, column), d[i]);
    }
}

inline void machine_load_matrices(u32 (&out)[4], const void* row, bool transposed, int operation) {
    if ((u64)row % 16 != 0) machine::fault = "a matrix's row does not begin at a multiple of 16 bytes";
    u64 word = (u64)row;
    auto rows = machine::share(operation, &word, 1);
    int g = machine::lane() / 4, t = machine::lane() % 4;
    for (int i = 0; i < 4; i++) {
        auto at = [&](int r, int c) { return ((const u16*)rows[8 * i + r][0])[c]; };
        u32 low = transposed ? at(2 * t, g) : at(g, 2 * t);
        u32 high = transposed ? at(2 * t + 1, g) : at(g, 2 * t + 1);
        out[i] = low | high << 16;
    }
    // Nobody may write the rows before all have read them.
    machine::warp_barrier(8);
}
inline void load_matrices(u32 (&out)[4], const void* row) { machine_load_matrices(out, row, false, 9); }
inline void load_matrices_transposed(u32 (&out)[4], const void* row) { machine_load_matrices(out, row, true, 10); }

template <class T> inline T& access(void* at) {
    if ((u64)at % sizeof(T) != 0) machine::fault = "an access does not begin at a multiple of its bytes";
    return *(T*)at;
}

inline void copy_16_async(void* to, const void* from, bool valid) {
    if ((u64)to % 16 != 0 || (u64)from % 16 != 0) machine::fault = "a copy does not begin at a multiple of 16 bytes";
    memset(to, 0xff, 16);
    machine::current->open.push_back({to, from, valid});
}
inline void commit_copies() {
    machine::current->groups.push_back(std::move(machine::current->open));
    machine::current->open.clear();
}
template <int LEFT> void wait_for_copies() {
    auto& groups = machine::current->groups;
    while (groups.size() > LEFT) {
        for (auto& copy : groups.front()) {
            if (copy.valid) memcpy(copy.to, copy.from, 16);
            else memset(copy.to, 0, 16);
        }
        groups.erase(groups.begin());
    }
}
