// out[p, c] = activation((x[p, c] - mean_g) / sqrt(var_g + eps) · weight[c] + bias[c]), mean and variance over all
// positions and channels of a group
//
// Three launches: `measure`, one block a chunk of positions, leaves each group's mean and squares; `merge`, one warp
// a group, makes of all chunks' each channel's scale and shift; `apply`, one thread WIDTH numbers. See moments.cuh.

KERNEL(256) void measure_4(
    float* moments, const float* x, u32 positions, u32 channels, u32 groups, u32 chunk, u32 chunks) {
    measure_chunk<4>(moments, x, positions, channels, groups, chunk, chunks);
}

KERNEL(256) void measure_1(
    float* moments, const float* x, u32 positions, u32 channels, u32 groups, u32 chunk, u32 chunks) {
    measure_chunk<1>(moments, x, positions, channels, groups, chunk, chunks);
}

// factors: scale, then shift, of each channel of each image, images × 2 × channels
KERNEL(256) void merge(
    float* factors, const float* moments, const float* weight, const float* bias, float eps, u32 positions,
    u32 channels, u32 groups, u32 chunk, u32 chunks, u32 all_groups) {
    u32 number = blockIdx.x * 8 + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (number >= all_groups) return;
    u32 group = number % groups, picture = number / groups, width = channels / groups;
    Normal normal = normal_of(moments, eps, picture, group, positions, groups, width, chunk, chunks);
    factors += (u64)picture * 2 * channels;
    for (u32 c = group * width + lane; c < (group + 1) * width; c += 32) {
        double factor = weight[c] * normal.reciprocal;
        factors[c] = (float)factor;
        factors[channels + c] = (float)(bias[c] - normal.mean * factor);
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
KERNEL(256) void apply_4_half(PARAMETERS(Half)) { apply_some<4>(ARGUMENTS); }
KERNEL(256) void apply_1_half(PARAMETERS(Half)) { apply_some<1>(ARGUMENTS); }

// The same, plainly: one thread a group of an image. For tests.
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
