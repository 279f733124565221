// CUDA's keywords, vectors and builtin functions on the processor.
#pragma once

#include "fibers.h"

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
