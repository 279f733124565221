// out = mean over cells of sum_c weights[c] · (a[c] / ‖a‖ - b[c] / ‖b‖)², for each image
//
// Two launches: `distances`, a block of eight warps a chunk of an image's cells, one warp a cell at a time, leaves
// the chunk's sum; `mean`, one block an image, adds its chunks.

// ‖x‖ + least of a cell's channels, the same bits in each lane.
__device__ __forceinline__ float length_of(const float* x, u32 channels, float least) {
    float squares = 0.0f;
    for (u32 c = threadIdx.x % 32; c < channels; c += 32) squares = fmaf(x[c], x[c], squares);
    return __fadd_rn(__fsqrt_rn(warp_sum(squares)), least);
}

KERNEL(256) void distances(
    double* sums, const float* a, const float* b, const float* weights, float least, u32 cells, u32 channels,
    u32 chunk, u32 chunks) {
    __shared__ double of_warps[8];
    u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    u32 first = blockIdx.x % chunks * chunk, end = min(first + chunk, cells);
    u64 picture = (u64)(blockIdx.x / chunks) * cells * channels;
    a += picture, b += picture;
    double sum = 0.0;
    for (u32 cell = first + warp; cell < end; cell += 8) {
        const float* of_a = a + (u64)cell * channels;
        const float* of_b = b + (u64)cell * channels;
        float a_length = length_of(of_a, channels, least), b_length = length_of(of_b, channels, least);
        float distance = 0.0f;
        for (u32 c = lane; c < channels; c += 32) {
            float difference = __fsub_rn(__fdiv_rn(of_a[c], a_length), __fdiv_rn(of_b[c], b_length));
            distance = fmaf(__fmul_rn(weights[c], difference), difference, distance);
        }
        sum += warp_sum(distance);
    }
    if (lane == 0) of_warps[warp] = sum;
    __syncthreads();
    if (threadIdx.x > 0) return;
    for (u32 other = 1; other < 8; other++) sum += of_warps[other];
    sums[blockIdx.x] = sum;
}

KERNEL(256) void mean(float* out, const double* sums, u32 cells, u32 chunks) {
    __shared__ double of_warps[8];
    double sum = 0.0;
    for (u32 chunk = threadIdx.x; chunk < chunks; chunk += 256) sum += sums[(u64)blockIdx.x * chunks + chunk];
    sum = block_sum(sum, of_warps);
    if (threadIdx.x == 0) out[blockIdx.x] = (float)(sum / cells);
}
