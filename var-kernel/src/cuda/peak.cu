// What a GPU can do at most: multiply-adds on registers alone.
// As many blocks of 256 threads as keep every multiprocessor busy; each thread or warp has chains that do not
// wait for each other.

// rounds × CHAINS fused multiply-adds a thread
KERNEL(256) void peak_f32(float* out, u32 rounds) {
    constexpr int CHAINS = 32;
    float sums[CHAINS];
#pragma unroll
    for (int i = 0; i < CHAINS; i++) sums[i] = (float)(threadIdx.x + i);
    float a = 1.0f + 1e-7f * (float)blockIdx.x, b = 1e-7f * (float)threadIdx.x;
    for (u32 round = 0; round < rounds; round++)
#pragma unroll
        for (int i = 0; i < CHAINS; i++) sums[i] = fmaf(sums[i], a, b);
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < CHAINS; i++) sum += sums[i];
    // Kept, so that the compiler keeps what it is the sum of.
    if (sum == 0.123f) out[threadIdx.x] = sum;
}

// rounds × CHAINS products a warp, by `multiply`, which adds one to four sums of each lane.
template <class Multiply>
__device__ __forceinline__ void peak_of_products(float* out, u32 rounds, const Multiply& multiply) {
    constexpr int CHAINS = 16;
    float sums[CHAINS][4];
#pragma unroll
    for (int i = 0; i < CHAINS; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) sums[i][j] = (float)(threadIdx.x + i + j);
    for (u32 round = 0; round < rounds; round++)
#pragma unroll
        for (int i = 0; i < CHAINS; i++) multiply(sums[i]);
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < CHAINS; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) sum += sums[i][j];
    if (sum == 0.123f) out[threadIdx.x] = sum;
}

// Products of 16 × 8 × 8
KERNEL(256) void peak_tf32(float* out, u32 rounds) {
    float x = round_to_tf32(1e-3f * (float)threadIdx.x), y = round_to_tf32(1e-3f * (float)blockIdx.x);
    float a[4] = {x, y, x, y}, b[2] = {x, y};
    peak_of_products(out, rounds, [&](float (&sums)[4]) { multiply_add_16x8x8(sums, a, b); });
}

// Products of 16 × 8 × 16
KERNEL(256) void peak_half(float* out, u32 rounds) {
    u32 word = pack_half(1e-3f * (float)threadIdx.x, 1e-3f * (float)blockIdx.x), a[4] = {word, word, word, word};
    peak_of_products(out, rounds, [&](float (&sums)[4]) { multiply_add_16x8x16(sums, a, word, word); });
}
