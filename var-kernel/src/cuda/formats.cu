// Between formats: out[i] = x[i].
// One thread a number, blocks of 256.

// Single → short, rounded to nearest.
KERNEL(256) void narrow_run(Short* out, const float* x, u64 length) {
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < length) out[i] = narrow(x[i]);
}

// Short → single, exact.
KERNEL(256) void widen_run(float* out, const Short* x, u64 length) {
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < length) out[i] = widen(x[i]);
}
