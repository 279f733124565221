// Gradients of out = activation(y), y = n · weight + bias, n = (x - mean) / deviation over a group of channels of a
// picture: dx += (g - mean(g) - n · mean(g · n)) / deviation, g = dy · weight, dy = dout · activation'(y)
//
// Launches, an image cut into chunks of positions: `measure` and `merge` give each channel's mean and 1 / deviation
// (see moments.cuh); `sum`, one block a chunk, leaves each channel's sums of dy and dy · n, which `add_chunks` adds in
// the chunks' order; `means` makes of them each group's means of g and g · n; `add`, one block a chunk, adds to dx.

KERNEL(256) void measure_4(
    float* moments, const float* x, u32 positions, u32 channels, u32 groups, u32 chunk, u32 chunks) {
    measure_chunk<4>(moments, x, positions, channels, groups, chunk, chunks);
}

KERNEL(256) void measure_1(
    float* moments, const float* x, u32 positions, u32 channels, u32 groups, u32 chunk, u32 chunks) {
    measure_chunk<1>(moments, x, positions, channels, groups, chunk, chunks);
}

// normal: mean, then 1 / deviation, of each channel of each image, images × 2 × channels
KERNEL(256) void merge(
    float* normal, const float* moments, float eps, u32 positions, u32 channels, u32 groups, u32 chunk, u32 chunks,
    u32 all_groups) {
    u32 number = blockIdx.x * 8 + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (number >= all_groups) return;
    u32 group = number % groups, picture = number / groups, width = channels / groups;
    Normal of = normal_of(moments, eps, picture, group, positions, groups, width, chunk, chunks);
    normal += (u64)picture * 2 * channels;
    for (u32 c = group * width + lane; c < (group + 1) * width; c += 32)
        normal[c] = (float)of.mean, normal[channels + c] = (float)of.reciprocal;
}

// σ(y) · (1 + y · (1 - σ(y)))
__device__ __forceinline__ float silu_slope(float y) {
    float sigmoid = __fdiv_rn(1.0f, __fadd_rn(1.0f, exponential(-y)));
    return __fmul_rn(sigmoid, fmaf(y, __fsub_rn(1.0f, sigmoid), 1.0f));
}

// What WIDTH neighboring channels compute with at every position.
template <int WIDTH>
struct LiveRange {
    Some<WIDTH> mean, factor, weight, bias;
    u32 silu;

    __device__ __forceinline__ float n(int i, float x) const {
        return __fmul_rn(__fsub_rn(x, mean.at[i]), factor.at[i]);
    }
    __device__ __forceinline__ float dy(int i, float n, float dout) const {
        return silu ? __fmul_rn(dout, silu_slope(fmaf(n, weight.at[i], bias.at[i]))) : dout;
    }
};

// Those from channel c on.
template <int WIDTH>
__device__ __forceinline__ LiveRange<WIDTH> piece_at(
    const float* normal, const float* weight, const float* bias, u32 silu, u32 channels, u32 c) {
    return {
        load_some<WIDTH>(normal + c), load_some<WIDTH>(normal + channels + c), load_some<WIDTH>(weight + c),
        load_some<WIDTH>(bias + c), silu};
}

// parts: sums of dy, then of dy · n, of each channel over each chunk, images × chunks × 2 × channels
template <int WIDTH>
__device__ __forceinline__ void sum_chunk(
    float* parts, const float* dout, const float* x, const float* normal, const float* weight, const float* bias,
    u32 silu, u32 positions, u32 channels, u32 chunk, u32 chunks) {
    DYNAMIC_SHARED(shared);
    u32 pieces = channels / WIDTH, rows = pieces <= 256 ? 256 / pieces : 1;
    float* of_dy = (float*)shared;              // rows × channels
    float* of_product = of_dy + rows * channels;  // the same
    u32 picture = blockIdx.x / chunks, first = blockIdx.x % chunks * chunk, end = min(first + chunk, positions);
    dout += (u64)picture * positions * channels, x += (u64)picture * positions * channels;
    normal += (u64)picture * 2 * channels, parts += (u64)blockIdx.x * 2 * channels;
    u32 row = pieces <= 256 ? threadIdx.x / pieces : 0, start = pieces <= 256 ? threadIdx.x % pieces : threadIdx.x;
    if (row < rows) {
        for (u32 number = start; number < pieces; number += 256) {
            u32 c = number * WIDTH;
            LiveRange<WIDTH> piece = piece_at<WIDTH>(normal, weight, bias, silu, channels, c);
            float sum[WIDTH] = {}, product[WIDTH] = {};
            for (u32 p = first + row; p < end; p += rows) {
                Some<WIDTH> from = load_some<WIDTH>(dout + (u64)p * channels + c);
                Some<WIDTH> of_x = load_some<WIDTH>(x + (u64)p * channels + c);
#pragma unroll
                for (int i = 0; i < WIDTH; i++) {
                    float n = piece.n(i, of_x.at[i]), dy = piece.dy(i, n, from.at[i]);
                    sum[i] += dy, product[i] = fmaf(dy, n, product[i]);
                }
            }
#pragma unroll
            for (int i = 0; i < WIDTH; i++)
                of_dy[row * channels + c + i] = sum[i], of_product[row * channels + c + i] = product[i];
        }
    }
    __syncthreads();
    for (u32 c = threadIdx.x; c < channels; c += 256) {
        float sum = 0.0f, product = 0.0f;
        for (u32 r = 0; r < rows; r++) sum += of_dy[r * channels + c], product += of_product[r * channels + c];
        parts[c] = sum, parts[channels + c] = product;
    }
}

#define SUM_PARAMETERS                                                                                          \
    float *parts, const float *dout, const float *x, const float *normal, const float *weight,                  \
        const float *bias, u32 silu, u32 positions, u32 channels, u32 chunk, u32 chunks
#define SUM_ARGUMENTS parts, dout, x, normal, weight, bias, silu, positions, channels, chunk, chunks

KERNEL(256) void sum_4(SUM_PARAMETERS) { sum_chunk<4>(SUM_ARGUMENTS); }
KERNEL(256) void sum_1(SUM_PARAMETERS) { sum_chunk<1>(SUM_ARGUMENTS); }

// sums[image, c] = sum over the chunks of parts[image, chunk, c]: 32 columns a block; eight warps share the
// chunks, each lane adds one column's in order, and the warps' sums are added in theirs.
KERNEL(256) void add_chunks(float* sums, const float* parts, u32 chunks, u32 columns) {
    __shared__ float of_warps[8][33];
    u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32, across = (columns + 31) / 32;
    u32 picture = blockIdx.x / across, column = blockIdx.x % across * 32 + lane;
    parts += (u64)picture * chunks * columns + column;
    float sum = 0.0f;
    if (column < columns)
        for (u32 chunk = warp; chunk < chunks; chunk += 8) sum += parts[(u64)chunk * columns];
    of_warps[warp][lane] = sum;
    __syncthreads();
    if (warp > 0 || column >= columns) return;
    float all = of_warps[0][lane];
    for (u32 other = 1; other < 8; other++) all += of_warps[other][lane];
    sums[(u64)picture * columns + column] = all;
}

// means: of g, then of g · n, over the group of each channel of each image, images × 2 × channels
KERNEL(256) void means(
    float* means, const float* sums, const float* weight, u32 positions, u32 channels, u32 groups, u32 all_groups) {
    u32 number = blockIdx.x * 8 + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (number >= all_groups) return;
    u32 width = channels / groups, first = number % groups * width;
    means += (u64)(number / groups) * 2 * channels, sums += (u64)(number / groups) * 2 * channels;
    float g = 0.0f, product = 0.0f;
    for (u32 c = first + lane; c < first + width; c += 32)
        g = fmaf(weight[c], sums[c], g), product = fmaf(weight[c], sums[channels + c], product);
    float count = (float)positions * (float)width;
    g = __fdiv_rn(warp_sum(g), count), product = __fdiv_rn(warp_sum(product), count);
    for (u32 c = first + lane; c < first + width; c += 32) means[c] = g, means[channels + c] = product;
}

template <int WIDTH>
__device__ __forceinline__ void add_chunk(
    float* dx, const float* dout, const float* x, const float* normal, const float* means, const float* weight,
    const float* bias, u32 silu, u32 positions, u32 channels, u32 chunk, u32 chunks) {
    u32 pieces = channels / WIDTH, rows = pieces <= 256 ? 256 / pieces : 1;
    u32 picture = blockIdx.x / chunks, first = blockIdx.x % chunks * chunk, end = min(first + chunk, positions);
    u64 before = (u64)picture * positions * channels;
    dx += before, dout += before, x += before;
    normal += (u64)picture * 2 * channels, means += (u64)picture * 2 * channels;
    u32 row = pieces <= 256 ? threadIdx.x / pieces : 0, start = pieces <= 256 ? threadIdx.x % pieces : threadIdx.x;
    if (row >= rows) return;
    for (u32 number = start; number < pieces; number += 256) {
        u32 c = number * WIDTH;
        LiveRange<WIDTH> piece = piece_at<WIDTH>(normal, weight, bias, silu, channels, c);
        Some<WIDTH> mean_g = load_some<WIDTH>(means + c), mean_gn = load_some<WIDTH>(means + channels + c);
        for (u32 p = first + row; p < end; p += rows) {
            u64 place = (u64)p * channels + c;
            Some<WIDTH> from = load_some<WIDTH>(dout + place), of_x = load_some<WIDTH>(x + place);
            Some<WIDTH> to = load_some<WIDTH>(dx + place);
#pragma unroll
            for (int i = 0; i < WIDTH; i++) {
                float n = piece.n(i, of_x.at[i]), g = __fmul_rn(piece.dy(i, n, from.at[i]), piece.weight.at[i]);
                float inner = __fsub_rn(__fsub_rn(g, mean_g.at[i]), __fmul_rn(n, mean_gn.at[i]));
                to.at[i] = fmaf(inner, piece.factor.at[i], to.at[i]);
            }
            store_some(dx + place, to);
        }
    }
}

#define ADD_PARAMETERS                                                                                          \
    float *dx, const float *dout, const float *x, const float *normal, const float *means, const float *weight, \
        const float *bias, u32 silu, u32 positions, u32 channels, u32 chunk, u32 chunks
#define ADD_ARGUMENTS dx, dout, x, normal, means, weight, bias, silu, positions, channels, chunk, chunks

KERNEL(256) void add_4(ADD_PARAMETERS) { add_chunk<4>(ADD_ARGUMENTS); }
KERNEL(256) void add_1(ADD_PARAMETERS) { add_chunk<1>(ADD_ARGUMENTS); }
