// What all kernels share: formats, sums over warps and blocks, the CPU's own polynomials.

#define INFINITE __uint_as_float(0x7f800000)

// A 16-bit number: half precision, or bf16 where the text is compiled for it.
struct Half {
    u16 bits;
};

__device__ __forceinline__ float widen(Half x) {
#ifdef HALF_IS_BF16
    return __uint_as_float((u32)x.bits << 16);
#else
    return f16_to_f32(x.bits);
#endif
}

__device__ __forceinline__ float widen(float x) { return x; }

__device__ __forceinline__ Half narrow(float x) {
#ifdef HALF_IS_BF16
    return {f32_to_bf16(x)};
#else
    return {f32_to_f16(x)};
#endif
}

__device__ __forceinline__ void store(float* to, float x) { *to = x; }
__device__ __forceinline__ void store(Half* to, float x) { *to = narrow(x); }

// The sum over a warp, the same bits in each lane.
__device__ __forceinline__ float warp_sum(float x) {
    for (int apart = 16; apart > 0; apart /= 2) x += __shfl_xor_sync(~0u, x, apart);
    return x;
}

__device__ __forceinline__ double warp_sum(double x) {
    for (int apart = 16; apart > 0; apart /= 2) x += __shfl_xor_sync(~0u, x, apart);
    return x;
}

__device__ __forceinline__ float warp_max(float x) {
    for (int apart = 16; apart > 0; apart /= 2) x = fmaxf(x, __shfl_xor_sync(~0u, x, apart));
    return x;
}

// The sum over a block of whole warps, the same bits in each thread; `between` has a place for each warp and
// may be used again after the next barrier.
template <class T>
__device__ __forceinline__ T block_sum(T x, T* between) {
    x = warp_sum(x);
    if (threadIdx.x % 32 == 0) between[threadIdx.x / 32] = x;
    __syncthreads();
    T sum = between[0];
    for (u32 warp = 1; warp < blockDim.x / 32; warp++) sum += between[warp];
    __syncthreads();
    return sum;
}

__device__ __forceinline__ float block_max(float x, float* between) {
    x = warp_max(x);
    if (threadIdx.x % 32 == 0) between[threadIdx.x / 32] = x;
    __syncthreads();
    float most = between[0];
    for (u32 warp = 1; warp < blockDim.x / 32; warp++) most = fmaxf(most, between[warp]);
    __syncthreads();
    return most;
}

// e^x within 2 units in the last place, the same bits as on the CPU (cpu/math.rs has the derivation).
__device__ __forceinline__ float exponential(float x) {
    float inside = fminf(fmaxf(x, -87.33f), 88.37f);
    float shifted = fmaf(inside, 1.44269504f, 12582912.0f);
    float n = __fsub_rn(shifted, 12582912.0f);
    float r = fmaf(n, -0.693359375f, inside);
    r = fmaf(n, 2.12194440e-4f, r);
    float p = 1.0f / 5040.0f;
    p = fmaf(p, r, 1.0f / 720.0f);
    p = fmaf(p, r, 1.0f / 120.0f);
    p = fmaf(p, r, 1.0f / 24.0f);
    p = fmaf(p, r, 1.0f / 6.0f);
    p = fmaf(p, r, 0.5f);
    p = fmaf(p, r, 1.0f);
    p = fmaf(p, r, 1.0f);
    float power = __uint_as_float((__float_as_uint(shifted) << 23) + 0x3f800000u);
    return x < -87.33f ? 0.0f : __fmul_rn(p, power);
}

// x / (1 + e^-x)
__device__ __forceinline__ float silu_of(float x) {
    return __fdiv_rn(x, __fadd_rn(1.0f, exponential(-x)));
}

// GELU in its tanh form, as x / (1 + e^-2u).
__device__ __forceinline__ float gelu_of(float x) {
    float cubic = fmaf(__fmul_rn(x, x), 0.044715f, 1.0f);
    return __fdiv_rn(x, __fadd_rn(1.0f, exponential(__fmul_rn(__fmul_rn(x, -1.595769f), cubic))));
}

// A part of a table that `rows` neighboring rows share: its number for row r, channel c is
// table[start + r / rows * stride + c].
struct PerRow {
    const float* table;
    u32 start, stride, rows;
};

__device__ __forceinline__ const float* row_of(PerRow of, u32 row) {
    return of.table + of.start + (u64)(row / of.rows) * of.stride;
}
