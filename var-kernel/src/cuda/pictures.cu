// Samples of 8 bits ↔ numbers in [-1, 1]; one thread four of them, which are a word.

// x = sample / 127.5 - 1
KERNEL(256) void read_pictures(float* out, const u32* samples, u64 length) {
    u64 first = ((u64)blockIdx.x * blockDim.x + threadIdx.x) * 4;
    if (first >= length) return;
    u32 word = samples[first / 4];
#pragma unroll
    for (u32 i = 0; i < 4; i++)
        if (first + i < length) out[first + i] = __fsub_rn(__fdiv_rn((float)(word >> 8 * i & 255), 127.5f), 1.0f);
}

// sample = round((clamp(x, -1, 1) + 1) / 2 · 255), halves to the even one; NaN becomes 0
KERNEL(256) void show_pictures(u32* samples, const float* x, u64 length) {
    u64 first = ((u64)blockIdx.x * blockDim.x + threadIdx.x) * 4;
    if (first >= length) return;
    u32 word = 0;
#pragma unroll
    for (u32 i = 0; i < 4; i++) {
        float inside = first + i < length ? fminf(fmaxf(x[first + i], -1.0f), 1.0f) : -1.0f;
        word |= (u32)rintf(__fmul_rn(__fmul_rn(__fadd_rn(inside, 1.0f), 0.5f), 255.0f)) << 8 * i;
    }
    samples[first / 4] = word;
}
