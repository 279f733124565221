// Gradients of y = n · (1 + scale) + shift, n = (x - mean) / deviation of each row.
//
// One block of 256 threads a row; four channels a thread at a time where rows allow it. The row is read a few
// times, from the first-level cache but for the first.

struct Moments {
    float mean, reciprocal;  // of the deviation
};

template <int WIDTH>
__device__ __forceinline__ Moments moments_of(const float* x, float eps, u32 channels, float* between) {
    u32 first = WIDTH * threadIdx.x, step = WIDTH * blockDim.x;
    float sum = 0.0f, squares = 0.0f;
    for (u32 c = first; c < channels; c += step) {
        Some<WIDTH> some = load_some<WIDTH>(x + c);
#pragma unroll
        for (int i = 0; i < WIDTH; i++) sum += some.at[i];
    }
    float mean = block_sum(sum, between) / (float)channels;
    for (u32 c = first; c < channels; c += step) {
        Some<WIDTH> some = load_some<WIDTH>(x + c);
#pragma unroll
        for (int i = 0; i < WIDTH; i++) {
            float centerd = some.at[i] - mean;
            squares = fmaf(centerd, centerd, squares);
        }
    }
    return {mean, 1.0f / __fsqrt_rn(block_sum(squares, between) / (float)channels + eps)};
}

// dx += (g - mean(g) - n · mean(g · n)) / deviation, g = dy · (1 + scale)
template <int WIDTH>
__device__ __forceinline__ void add_dx(
    float* dx, const float* dy, const float* x, const float* scale, float eps, u32 channels) {
    __shared__ float between[8];
    Moments of = moments_of<WIDTH>(x, eps, channels, between);
    u32 first = WIDTH * threadIdx.x, step = WIDTH * blockDim.x;
    float of_g = 0.0f, of_gn = 0.0f;
    for (u32 c = first; c < channels; c += step) {
        Some<WIDTH> some = load_some<WIDTH>(x + c), out = load_some<WIDTH>(dy + c), by = load_some<WIDTH>(scale + c);
#pragma unroll
        for (int i = 0; i < WIDTH; i++) {
            float n = (some.at[i] - of.mean) * of.reciprocal, g = out.at[i] * (1.0f + by.at[i]);
            of_g += g;
            of_gn = fmaf(g, n, of_gn);
        }
    }
    of_g = block_sum(of_g, between) / (float)channels;
    of_gn = block_sum(of_gn, between) / (float)channels;
    for (u32 c = first; c < channels; c += step) {
        Some<WIDTH> some = load_some<WIDTH>(x + c), out = load_some<WIDTH>(dy + c), by = load_some<WIDTH>(scale + c);
        Some<WIDTH> sum = load_some<WIDTH>(dx + c);
#pragma unroll
        for (int i = 0; i < WIDTH; i++) {
            float n = (some.at[i] - of.mean) * of.reciprocal, g = out.at[i] * (1.0f + by.at[i]);
            sum.at[i] = fmaf(g - of_g - n * of_gn, of.reciprocal, sum.at[i]);
        }
        store_some(dx + c, sum);
    }
}

// `by_four`: whether every row of x, dy, dx and the table begins at a multiple of four numbers.
KERNEL(256) void layer_norm_dx(
    float* dx, const float* dy, const float* x, const float* scale, u32 start, u32 stride, u32 rows, float eps,
    u32 channels, u32 by_four) {
    u64 from = (u64)blockIdx.x * channels;
    const float* by = row_of({scale, start, stride, rows}, blockIdx.x);
    if (by_four) add_dx<4>(dx + from, dy + from, x + from, by, eps, channels);
    else add_dx<1>(dx + from, dy + from, x + from, by, eps, channels);
}

// Mean and reciprocal of the deviation of each row.
KERNEL(256) void row_moments(float2* moments, const float* x, float eps, u32 channels, u32 by_four) {
    __shared__ float between[8];
    x += (u64)blockIdx.x * channels;
    Moments of = by_four ? moments_of<4>(x, eps, channels, between) : moments_of<1>(x, eps, channels, between);
    if (threadIdx.x == 0) moments[blockIdx.x] = make_float2(of.mean, of.reciprocal);
}

// dtable[n · stride + start + c] += sum_r dy[r, c] · n[r, c]
KERNEL(256) void layer_norm_dscale(TABLE_PARAMETERS, const float* dy, const float* x, const float2* moments) {
    sum_into_table(TABLE, [&](float sum, u32 row, u32 c) {
        u64 i = (u64)row * width + c;
        float2 of = moments[row];
        return fmaf(dy[i], (x[i] - of.x) * of.y, sum);
    });
}

// dtable[n · stride + start + c] += sum_r dy[r, c]
KERNEL(256) void layer_norm_dshift(TABLE_PARAMETERS, const float* dy) {
    sum_into_table(TABLE, [&](float sum, u32 row, u32 c) { return sum + dy[(u64)row * width + c]; });
}
