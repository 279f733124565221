// Mean and deviation of groups of channels over a picture: `measure_chunk`, one block of 256 threads a chunk of
// positions, reads it twice, the second time from a cache; `normal_of`, one warp a group, merges all chunks'.

// Each group's mean (moments[2g]) and sum of squared differences from it (moments[2g + 1]) over a chunk.
template <int WIDTH>
__device__ __forceinline__ void measure_chunk(
    float* moments, const float* x, u32 positions, u32 channels, u32 groups, u32 chunk, u32 chunks) {
    DYNAMIC_SHARED(shared);
    u32 pieces = channels / WIDTH, rows = pieces <= 256 ? 256 / pieces : 1, width = channels / groups;
    float* sums = (float*)shared;          // rows × channels
    float* means = sums + rows * channels;  // groups
    u32 first = blockIdx.x % chunks * chunk, end = min(first + chunk, positions);
    x += (u64)(blockIdx.x / chunks) * positions * channels;
    moments += (u64)blockIdx.x * groups * 2;
    u32 row = pieces <= 256 ? threadIdx.x / pieces : 0, start = pieces <= 256 ? threadIdx.x % pieces : threadIdx.x;
    float count = (float)((end - first) * width);
#pragma unroll
    for (int squared = 0; squared < 2; squared++) {
        if (row < rows) {
            for (u32 piece = start; piece < pieces; piece += 256) {
                float part[WIDTH] = {}, mean[WIDTH] = {};
                if (squared)
#pragma unroll
                    for (int i = 0; i < WIDTH; i++) mean[i] = means[(piece * WIDTH + i) / width];
                for (u32 p = first + row; p < end; p += rows) {
                    Some<WIDTH> some = load_some<WIDTH>(x + (u64)p * channels + piece * WIDTH);
#pragma unroll
                    for (int i = 0; i < WIDTH; i++) {
                        float difference = some.at[i] - mean[i];
                        part[i] = squared ? fmaf(difference, difference, part[i]) : part[i] + difference;
                    }
                }
#pragma unroll
                for (int i = 0; i < WIDTH; i++) sums[row * channels + piece * WIDTH + i] = part[i];
            }
        }
        __syncthreads();
        for (u32 group = threadIdx.x; group < groups; group += 256) {
            float sum = 0.0f;
            for (u32 r = 0; r < rows; r++)
                for (u32 c = 0; c < width; c++) sum += sums[r * channels + group * width + c];
            if (squared) {
                moments[2 * group] = means[group], moments[2 * group + 1] = sum;
            } else {
                means[group] = sum / count;
            }
        }
        __syncthreads();
    }
}

// Adds the numbers that (other_count, other_mean, other_squares) describe.
__device__ __forceinline__ void merge_moments(
    double& count, double& mean, double& squares, double other_count, double other_mean, double other_squares) {
    if (other_count == 0.0) return;
    double both = count + other_count, share = other_count / both, difference = other_mean - mean;
    mean += difference * share;
    squares += other_squares + difference * difference * count * share;
    count = both;
}

// Mean and 1 / deviation of a group.
struct Normal {
    double mean, reciprocal;
};

// Those of one group of an image, of all its chunks' moments; the same bits in each lane of a warp.
__device__ __forceinline__ Normal normal_of(
    const float* moments, float eps, u32 picture, u32 group, u32 positions, u32 groups, u32 width, u32 chunk,
    u32 chunks) {
    u32 lane = threadIdx.x % 32;
    double count = 0, mean = 0, squares = 0;
    for (u32 c = lane; c < chunks; c += 32) {
        const float* of = moments + ((u64)picture * chunks + c) * groups * 2 + group * 2;
        double numbers = (double)(min(chunk, positions - c * chunk)) * width;
        merge_moments(count, mean, squares, numbers, of[0], of[1]);
    }
    for (u32 apart = 1; apart < 32; apart *= 2) {
        double other_count = __shfl_down_sync(~0u, count, apart), other_mean = __shfl_down_sync(~0u, mean, apart);
        double other_squares = __shfl_down_sync(~0u, squares, apart);
        if (lane % (2 * apart) == 0) merge_moments(count, mean, squares, other_count, other_mean, other_squares);
    }
    count = __shfl_sync(~0u, count, 0), mean = __shfl_sync(~0u, mean, 0), squares = __shfl_sync(~0u, squares, 0);
    return {mean, 1.0 / sqrt(squares / count + (double)eps)};
}
