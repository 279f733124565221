// CUDA's builtins and the kernels' instructions on the processor, for tests: every thread of a block is a
// fiber; blocks run one after the other.
//
// What it finds: wrong numbers, barriers that not all threads reach, warp operations in which lanes are
// missing or do something else, reads of memory nobody wrote (it holds NaN), copies not waited for, reads
// past the end of an allocation (a page that faults follows it), and — threads and blocks run in an order
// that changes from launch to launch — barriers that are missing.
#pragma once

#include "builtins.h"

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
