// dlogits[r, i] += dloss[r] · (softmax(logits[r])_i - (1 - eps)·[i = targets[r]] - eps/codes)
//
// One block of 256 threads a row; four logits a thread at a time where rows allow it. The row is read three
// times, from the first-level cache but for the first.

template <int WIDTH>
__device__ __forceinline__ void add_row(
    float* dlogits, const float* logits, float factor, u32 target, float smoothing, u32 codes) {
    __shared__ float between[8];
    u32 first = WIDTH * threadIdx.x, step = WIDTH * blockDim.x;
    float most = -INFINITE, sum = 0.0f;
    for (u32 i = first; i < codes; i += step) {
        Some<WIDTH> some = load_some<WIDTH>(logits + i);
#pragma unroll
        for (int j = 0; j < WIDTH; j++) most = fmaxf(most, some.at[j]);
    }
    most = block_max(most, between);
    for (u32 i = first; i < codes; i += step) {
        Some<WIDTH> some = load_some<WIDTH>(logits + i);
#pragma unroll
        for (int j = 0; j < WIDTH; j++) sum += exponential(some.at[j] - most);
    }
    float share = 1.0f / block_sum(sum, between), spread = smoothing / (float)codes;
    for (u32 i = first; i < codes; i += step) {
        Some<WIDTH> some = load_some<WIDTH>(logits + i), out = load_some<WIDTH>(dlogits + i);
#pragma unroll
        for (int j = 0; j < WIDTH; j++) {
            float wanted = i + j == target ? 1.0f - smoothing + spread : spread;
            out.at[j] = fmaf(fmaf(exponential(some.at[j] - most), share, -wanted), factor, out.at[j]);
        }
        store_some(dlogits + i, out);
    }
}

// `by_four`: whether every row of both begins at a multiple of four numbers.
KERNEL(256) void cross_entropy_dlogits(
    float* dlogits, const float* dloss, const float* logits, const u32* targets, float smoothing, u32 codes,
    u32 by_four) {
    u64 row = blockIdx.x, from = row * codes;
    if (by_four) add_row<4>(dlogits + from, logits + from, dloss[row], targets[row], smoothing, codes);
    else add_row<1>(dlogits + from, logits + from, dloss[row], targets[row], smoothing, codes);
}
