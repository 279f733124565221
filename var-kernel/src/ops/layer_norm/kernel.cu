// out[r, c] = (x[r, c] - mean_r) / sqrt(var_r + eps) · (1 + scale(r, c)) + shift(r, c)
//
// One block of 256 threads a row; four channels a thread at a time where rows allow it. The row is read
// three times, from the first-level cache but for the first.

template <int WIDTH, class Out>
__device__ __forceinline__ void normalize(
    Out* out, const float* x, const float* scale, const float* shift, float eps, u32 channels) {
    __shared__ float between[8];
    u32 first = WIDTH * threadIdx.x, step = WIDTH * blockDim.x;
    float sum = 0.0f;
    for (u32 c = first; c < channels; c += step) {
        Some<WIDTH> some = load_some<WIDTH>(x + c);
#pragma unroll
        for (int i = 0; i < WIDTH; i++) sum += some.at[i];
    }
    float mean = block_sum(sum, between) / (float)channels;
    float squares = 0.0f;
    for (u32 c = first; c < channels; c += step) {
        Some<WIDTH> some = load_some<WIDTH>(x + c);
#pragma unroll
        for (int i = 0; i < WIDTH; i++) {
            float centerd = some.at[i] - mean;
            squares = fmaf(centerd, centerd, squares);
        }
    }
    float deviation = __fsqrt_rn(block_sum(squares, between) / (float)channels + eps);
    float reciprocal = 1.0f / deviation;
    for (u32 c = first; c < channels; c += step) {
        Some<WIDTH> some = load_some<WIDTH>(x + c);
        Some<WIDTH> by = load_some<WIDTH>(scale + c), plus = load_some<WIDTH>(shift + c);
#pragma unroll
        for (int i = 0; i < WIDTH; i++)
            some.at[i] = fmaf((some.at[i] - mean) * reciprocal, 1.0f + by.at[i], plus.at[i]);
        store_some(out + c, some);
    }
}

// `by_four`: whether every row of x, out and the tables begins at a multiple of four numbers.
template <class Out>
__device__ __forceinline__ void normalize_row(
    Out* out, const float* x, PerRow scale, PerRow shift, float eps, u32 channels, u32 by_four) {
    u32 row = blockIdx.x;
    out += (u64)row * channels, x += (u64)row * channels;
    const float* by = row_of(scale, row);
    const float* plus = row_of(shift, row);
    if (by_four) normalize<4>(out, x, by, plus, eps, channels);
    else normalize<1>(out, x, by, plus, eps, channels);
}

KERNEL(256) void layer_norm(
    float* out, const float* x, const float* scale, u32 scale_start, u32 scale_stride, u32 scale_rows,
    const float* shift, u32 shift_start, u32 shift_stride, u32 shift_rows, float eps, u32 channels, u32 by_four) {
    normalize_row(
        out, x, {scale, scale_start, scale_stride, scale_rows}, {shift, shift_start, shift_stride, shift_rows}, eps,
        channels, by_four);
}

KERNEL(256) void layer_norm_half(
    Half* out, const float* x, const float* scale, u32 scale_start, u32 scale_stride, u32 scale_rows,
    const float* shift, u32 shift_start, u32 shift_stride, u32 shift_rows, float eps, u32 channels, u32 by_four) {
    normalize_row(
        out, x, {scale, scale_start, scale_stride, scale_rows}, {shift, shift_start, shift_stride, shift_rows}, eps,
        channels, by_four);
}

// The same, plainly: one thread a row. For tests.
KERNEL(256) void layer_norm_naive(
    float* out, const float* x, const float* scale, u32 scale_start, u32 scale_stride, u32 scale_rows,
    const float* shift, u32 shift_start, u32 shift_stride, u32 shift_rows, float eps, u32 channels, u32 rows) {
    u32 row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= rows) return;
    x += (u64)row * channels, out += (u64)row * channels;
    double mean = 0, squares = 0;
    for (u32 c = 0; c < channels; c++) mean += x[c];
    mean /= channels;
    for (u32 c = 0; c < channels; c++) squares += (x[c] - mean) * (x[c] - mean);
    double deviation = sqrt(squares / channels + eps);
    const float* by = row_of({scale, scale_start, scale_stride, scale_rows}, row);
    const float* plus = row_of({shift, shift_start, shift_stride, shift_rows}, row);
    for (u32 c = 0; c < channels; c++) out[c] = (float)((x[c] - mean) / deviation * (1.0 + by[c]) + plus[c]);
}
