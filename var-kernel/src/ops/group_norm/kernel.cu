// out[p, c] = activation((x[p, c] - mean_g) / sqrt(var_g + eps) · weight[c] + bias[c]), mean and variance over all
// positions and channels of a group
//
// Three launches: `measure`, one block of 256 threads a chunk of positions, reads it twice, the second time
// from a cache, and leaves each group's mean and squares; `merge`, one warp a group, makes of all chunks' each
// channel's scale and shift; `apply`, one thread WIDTH numbers.

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

KERNEL(256) void measure_4(
    float* moments, const float* x, u32 positions, u32 channels, u32 groups, u32 chunk, u32 chunks) {
    measure_chunk<4>(moments, x, positions, channels, groups, chunk, chunks);
}

KERNEL(256) void measure_1(
    float* moments, const float* x, u32 positions, u32 channels, u32 groups, u32 chunk, u32 chunks) {
    measure_chunk<1>(moments, x, positions, channels, groups, chunk, chunks);
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

// factors: scale, then shift, of each channel of each picture, pictures × 2 × channels
KERNEL(256) void merge(
    float* factors, const float* moments, const float* weight, const float* bias, float eps, u32 positions,
    u32 channels, u32 groups, u32 chunk, u32 chunks, u32 all_groups) {
    u32 number = blockIdx.x * 8 + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (number >= all_groups) return;
    u32 group = number % groups, picture = number / groups, width = channels / groups;
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
    double reciprocal = 1.0 / sqrt(squares / count + (double)eps);
    factors += (u64)picture * 2 * channels;
    for (u32 c = group * width + lane; c < (group + 1) * width; c += 32) {
        double factor = weight[c] * reciprocal;
        factors[c] = (float)factor;
        factors[channels + c] = (float)(bias[c] - mean * factor);
    }
}

template <int WIDTH, class Out>
__device__ __forceinline__ void apply_some(
    Out* out, const float* x, const float* factors, u32 silu, u32 channels, u64 picture, u64 length) {
    u64 i = ((u64)blockIdx.x * blockDim.x + threadIdx.x) * WIDTH;
    if (i >= length) return;
    u32 c = i % channels;
    factors += i / picture * 2 * channels + c;
    Some<WIDTH> some = load_some<WIDTH>(x + i);
    Some<WIDTH> scale = load_some<WIDTH>(factors), shift = load_some<WIDTH>(factors + channels);
#pragma unroll
    for (int j = 0; j < WIDTH; j++) {
        float y = fmaf(some.at[j], scale.at[j], shift.at[j]);
        some.at[j] = silu ? silu_of(y) : y;
    }
    store_some(out + i, some);
}

#define PARAMETERS(Out) \
    Out *out, const float *x, const float *factors, u32 silu, u32 channels, u64 picture, u64 length
#define ARGUMENTS out, x, factors, silu, channels, picture, length

KERNEL(256) void apply_4(PARAMETERS(float)) { apply_some<4>(ARGUMENTS); }
KERNEL(256) void apply_1(PARAMETERS(float)) { apply_some<1>(ARGUMENTS); }
KERNEL(256) void apply_4_short(PARAMETERS(Short)) { apply_some<4>(ARGUMENTS); }
KERNEL(256) void apply_1_short(PARAMETERS(Short)) { apply_some<1>(ARGUMENTS); }

// The same, plainly: one thread a group of a picture. For tests.
KERNEL(256) void group_norm_naive(
    float* out, const float* x, const float* weight, const float* bias, float eps, u32 silu, u32 positions,
    u32 channels, u32 groups, u32 all_groups) {
    u32 number = blockIdx.x * blockDim.x + threadIdx.x;
    if (number >= all_groups) return;
    u32 width = channels / groups, first = number % groups * width;
    u64 start = (u64)(number / groups) * positions * channels;
    double mean = 0, squares = 0, count = (double)positions * width;
    for (u32 p = 0; p < positions; p++)
        for (u32 c = first; c < first + width; c++) mean += x[start + (u64)p * channels + c];
    mean /= count;
    for (u32 p = 0; p < positions; p++)
        for (u32 c = first; c < first + width; c++) {
            double difference = x[start + (u64)p * channels + c] - mean;
            squares += difference * difference;
        }
    double deviation = sqrt(squares / count + eps);
    for (u32 p = 0; p < positions; p++)
        for (u32 c = first; c < first + width; c++) {
            u64 i = start + (u64)p * channels + c;
            double y = (x[i] - mean) / deviation * weight[c] + bias[c];
            out[i] = (float)(silu ? y / (1.0 + exp(-y)) : y);
        }
}
