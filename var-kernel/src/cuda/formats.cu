// Between formats: out[i] = x[i].
// Blocks of 256 threads, four numbers a thread, 256 apart: enough loads under way to keep the memory busy.

template <class Out, class In>
__device__ __forceinline__ void convert(Out* out, const In* x, u64 length) {
    constexpr int EACH = 4;
    u64 first = (u64)blockIdx.x * blockDim.x * EACH + threadIdx.x;
    In some[EACH];
#pragma unroll
    for (int i = 0; i < EACH; i++)
        if (first + i * blockDim.x < length) some[i] = x[first + i * blockDim.x];
#pragma unroll
    for (int i = 0; i < EACH; i++)
        if (first + i * blockDim.x < length) store(out + first + i * blockDim.x, widen(some[i]));
}

// Single → short, rounded to nearest.
KERNEL(256) void narrow_run(Half* out, const float* x, u64 length) { convert(out, x, length); }

// Half → single, exact.
KERNEL(256) void widen_run(float* out, const Half* x, u64 length) { convert(out, x, length); }
