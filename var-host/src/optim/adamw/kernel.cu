// AdamW, sums of squares and averages: passes over flat memory, in the CPU's own roundings.

// What a step computes with.
struct Factors {
    float beta_1, rest_1, beta_2, rest_2, keep, size, root, eps, factor;
};

__device__ __forceinline__ float average_of(float average, float x, float keep, float rest) {
    return __fadd_rn(__fmul_rn(keep, average), __fmul_rn(rest, x));
}

// m = b1·m + (1 - b1)·g, v = b2·v + (1 - b2)·g², w = w·keep - size·m / (sqrt(v)/root + eps), g = factor · gradient
template <int WIDTH>
__device__ __forceinline__ void step_at(
    float* weights, float* m, float* v, const float* gradient, const Factors& of, u64 i) {
    Some<WIDTH> w = load_some<WIDTH>(weights + i), average = load_some<WIDTH>(m + i);
    Some<WIDTH> square = load_some<WIDTH>(v + i), some = load_some<WIDTH>(gradient + i);
#pragma unroll
    for (int j = 0; j < WIDTH; j++) {
        float g = __fmul_rn(of.factor, some.at[j]);
        average.at[j] = average_of(average.at[j], g, of.beta_1, of.rest_1);
        square.at[j] = average_of(square.at[j], __fmul_rn(g, g), of.beta_2, of.rest_2);
        float divisor = __fadd_rn(__fdiv_rn(__fsqrt_rn(square.at[j]), of.root), of.eps);
        float moved = __fdiv_rn(__fmul_rn(of.size, average.at[j]), divisor);
        w.at[j] = __fsub_rn(__fmul_rn(w.at[j], of.keep), moved);
    }
    store_some(weights + i, w), store_some(m + i, average), store_some(v + i, square);
}

// `by_four`: whether all four begin at a multiple of four numbers and their length is one.
KERNEL(256) void adamw(
    float* weights, float* m, float* v, const float* gradient, const Factors* factors, u64 length, u32 by_four) {
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    Factors of = *factors;
    if (by_four) {
        if (i * 4 < length) step_at<4>(weights, m, v, gradient, of, i * 4);
    } else if (i < length) {
        step_at<1>(weights, m, v, gradient, of, i);
    }
}

// parts[block] = sum of x[i]² over every gridDim.x-th run of a block's threads
KERNEL(256) void sums_of_squares(double* parts, const float* x, u64 length) {
    __shared__ double between[8];
    double sum = 0;
    u64 step = (u64)gridDim.x * blockDim.x;
#pragma unroll 4
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < length; i += step) {
        double some = x[i];
        sum = fma(some, some, sum);
    }
    sum = block_sum(sum, between);
    if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

// out[0] = parts[0] + parts[1] + …, by one block
KERNEL(256) void sum_of_parts(double* out, const double* parts, u32 count) {
    __shared__ double between[8];
    double sum = 0;
    for (u32 i = threadIdx.x; i < count; i += blockDim.x) sum += parts[i];
    sum = block_sum(sum, between);
    if (threadIdx.x == 0) *out = sum;
}

// average[i] = keep · average[i] + rest · x[i]
KERNEL(256) void average(float* average, const float* x, float keep, float rest, u64 length) {
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < length) average[i] = average_of(average[i], x[i], keep, rest);
}
